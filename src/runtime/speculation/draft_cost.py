"""How long a draft model takes, from how long it took."""

import math

from runtime.speculation.estimate import Estimate

USUAL = 2  # tokens that a sequence is behind when it had drafts in the step before
_CLIP = 0.3  # how far from the estimate a sample counts, as a difference of logarithms
_MANY = 16  # tokens to catch up on that can be told from none


class DraftCost:
    """Seconds by rounds (drafts that the sequence with the most gets) and sequences, and of each token that is caught up
    on. 0 where nothing is known: the first drafts are not held against anybody."""

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
            beyond = max(seconds - self.seconds(sequences, rounds), 0.1 * seconds, 1e-9)
            self._catch_up.add(math.log(beyond / catch_up), self._steps, _CLIP)

    def seconds(self, sequences: int, rounds: int) -> float:
        """Of `rounds` rounds, 0 rounds cost nothing."""
        known = [(key, estimate) for key, estimate in self._rounds.items() if estimate.is_known]
        if rounds == 0 or not known:
            return 0.0
        (_, nearest), estimate = min(
            known, key=lambda item: (abs(item[0][0] - _padded(sequences)), abs(item[0][1] - rounds))
        )
        return estimate.seconds * rounds / nearest

    def catch_up_seconds(self, tokens: int) -> float:
        return self._catch_up.seconds * tokens if self._catch_up.is_known else 0.0


def _padded(sequences: int) -> int:
    return 1 << max(0, sequences - 1).bit_length()
