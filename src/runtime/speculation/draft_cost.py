"""How long a draft model takes, from how long it took."""

import math

from runtime.speculation.estimate import Estimate

USUAL = 2  # tokens that a sequence is behind when it had drafts in the step before
_CLIP = 0.3  # how far from the estimate a sample counts, as a difference of logarithms
_FIRST_ROUND, _FIRST_TOKEN = 0.1, 0.005  # of a step of the large model without drafts, before anything is known


class DraftCost:
    """Seconds of making drafts, by sequences and rounds (drafts that the sequence with the most gets); and of reading
    tokens beyond the usual ones before, by their number (few take hardly less time than many)."""

    def __init__(self) -> None:
        self._steps = 0
        self._rounds: dict[tuple[int, int], Estimate] = {}  # by sequences, a power of two, and rounds
        self._readings: dict[int, Estimate] = {}  # by tokens: those below two to this power

    def observe(self, sequences: int, rounds: int, tokens: int, seconds: float) -> None:
        """tokens: that were read beyond the usual ones, of all sequences."""
        if not rounds and not tokens:
            return
        self._steps += 1
        if tokens:
            estimate = self._readings.setdefault(tokens.bit_length(), Estimate())
            seconds = max(seconds - self.seconds(sequences, rounds, 0.0), 0.1 * seconds)
        else:
            estimate = self._rounds.setdefault((_padded(sequences), rounds), Estimate())
        estimate.add(math.log(max(seconds, 1e-9)), self._steps, _CLIP)

    def seconds(self, sequences: int, rounds: int, plain: float) -> float:
        """Of making so many rounds of drafts. plain: seconds of a step without."""
        if rounds == 0:
            return 0.0
        padded = _padded(sequences)
        near = min(self._rounds, key=lambda key: (abs(key[0] - padded), abs(key[1] - rounds)), default=(padded, rounds))
        return self._rounds.get(near, Estimate()).seconds(_FIRST_ROUND * plain * near[1]) * rounds / near[1]

    def reading_seconds(self, tokens: int, plain: float) -> float:
        """Of reading so many tokens. plain: seconds of a sequence's part of a step without drafts."""
        if tokens == 0:
            return 0.0
        guess, size = _FIRST_TOKEN * plain * tokens, tokens.bit_length()
        if size in self._readings:
            return self._readings[size].seconds(guess)
        if fewer := [known for known in self._readings if known < size]:
            return self._readings[max(fewer)].seconds(guess) + guess
        return self._readings[min(self._readings)].seconds(guess) if self._readings else guess


def _padded(sequences: int) -> int:
    return 1 << max(0, sequences - 1).bit_length()
