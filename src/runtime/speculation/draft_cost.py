"""How long a draft model takes, from how long it took."""

import math

from runtime.speculation.estimate import Estimate

USUAL = 2  # tokens that a sequence is behind when it had drafts in the step before
_MANY = 16  # tokens to catch up on that can be told from none
_CLIP = 0.3  # how far from the estimate a sample counts, as a difference of logarithms
_FIRST_ROUND, _FIRST_TOKEN = 0.1, 0.005  # of a step of the large model without drafts, before anything is known


class DraftCost:
    """Seconds by rounds (drafts that the sequence with the most gets) and sequences, and of each token that is caught
    up on."""

    def __init__(self) -> None:
        self._steps = 0
        self._rounds: dict[tuple[int, int], Estimate] = {}  # by sequences, a power of two, and rounds
        self._catch_up = Estimate()

    def observe(self, sequences: int, rounds: int, catch_up: int, seconds: float) -> None:
        """catch_up: tokens that were read beyond the usual ones."""
        self._steps += 1
        if catch_up == 0 and rounds:
            estimate = self._rounds.setdefault((_padded(sequences), rounds), Estimate())
            estimate.add(math.log(max(seconds, 1e-9)), self._steps, _CLIP)
        elif catch_up >= _MANY:
            beyond = max(seconds - self.seconds(sequences, rounds, 0.0), 0.1 * seconds, 1e-9)
            self._catch_up.add(math.log(beyond / catch_up), self._steps, _CLIP)

    def seconds(self, sequences: int, rounds: int, plain: float) -> float:
        """Of making so many rounds of drafts. plain: seconds of a step without."""
        if rounds == 0:
            return 0.0
        padded = _padded(sequences)
        if (padded, rounds) in self._rounds:
            return self._rounds[padded, rounds].seconds(_FIRST_ROUND * plain * rounds)
        if self._rounds:
            near = min(self._rounds, key=lambda key: (abs(key[0] - padded), abs(key[1] - rounds)))
            return self._rounds[near].seconds(_FIRST_ROUND * plain * near[1]) * rounds / near[1]
        return _FIRST_ROUND * plain * rounds

    def catch_up_seconds(self, tokens: int, plain: float) -> float:
        """Of reading so many tokens. plain: seconds of a sequence's part of a step without drafts."""
        return self._catch_up.seconds(_FIRST_TOKEN * plain) * tokens


def _padded(sequences: int) -> int:
    return 1 << max(0, sequences - 1).bit_length()
