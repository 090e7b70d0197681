"""When drafts are not looked for: after it has been in vain."""

_PATIENCE = 4  # looks in vain, one after the other, before pauses grow
_LONGEST = 256  # steps


class Pause:
    """Steps in which nobody looks for drafts. As long as looking stays in vain, pauses double; others' texts may be
    different, so they do not outlast a change of the sequences that are decoded."""

    def __init__(self) -> None:
        self._left = 0
        self._least = 0
        self._vain = 0  # looks since drafts came true
        self._sequences = 0

    def takes(self, sequences: int) -> bool:
        """Whether the step that comes, of so many sequences, belongs to a pause."""
        if sequences != self._sequences:
            self._sequences = sequences
            self.shorten()
        if not self._left:
            return False
        self._left -= 1
        return True

    def begin(self, least: int) -> None:
        """Somebody has looked in vain. least: steps that the pause lasts at any rate; the first few such pauses last no
        longer."""
        self._least = least
        doublings = self._vain - _PATIENCE
        self._left = least if doublings < 0 else min(max(2 * least, 1) << doublings, _LONGEST)
        if self._left < _LONGEST:
            self._vain += 1

    def shorten(self) -> None:
        """Other sequences are decoded now."""
        self._left = min(self._left, self._least)
        self._vain = min(self._vain, _PATIENCE)

    def end(self) -> None:
        """Drafts have come true."""
        self._left = self._vain = 0
