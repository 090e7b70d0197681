"""Whose choices a grammar keeps refusing, so that their masks had better come first."""

_PATIENCE = 2  # refusals in a row that may be chance
_LONGEST = 64  # steps


class Refusals:
    """A choice that is refused was made in vain: the next one, with a mask, takes as long again. After some in a row it
    is made with a mask at once, for more and more steps, and then again without, to see whether that is still so."""

    def __init__(self) -> None:
        self._streaks: dict[int, int] = {}  # by sequence: refusals in a row
        self._left: dict[int, int] = {}  # steps in which its mask comes first

    def expected(self, sequence: int) -> bool:
        """Whether the step that comes is one of those in which the sequence's mask comes first."""
        left = self._left.get(sequence, 0)
        if left:
            self._left[sequence] = left - 1
        return left > 0

    def note(self, sequence: int, refused: bool) -> None:
        """What has come of a choice without a mask."""
        if not refused:
            self._streaks.pop(sequence, None)
            return
        streak = self._streaks[sequence] = self._streaks.get(sequence, 0) + 1
        if streak >= _PATIENCE:
            self._left[sequence] = min(2 << (streak - _PATIENCE), _LONGEST)

    def forget(self, sequence: int) -> None:
        self._streaks.pop(sequence, None)
        self._left.pop(sequence, None)
