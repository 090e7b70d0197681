"""How long a step takes, from how long steps took: seconds by the number of tokens that the model sees."""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from statistics import median
from typing import NamedTuple

from runtime.speculation.estimate import Estimate

_LEVEL_SAMPLES = 5
_FIRST_NOISE = 0.05  # of a sample, as a difference of logarithms, before it is known
_FIRST_SHARE = 0.25  # of a step's time that grows with its tokens, before it is known
_OFTEN = 16  # samples of a size that is well known
_FEW = 8  # tokens up to which every number is a size of its own
_REFRESH = 100.0  # measuring a step without drafts may cost a hundredth of the time


class Curve(NamedTuple):
    """Seconds of steps of first, first + 1, .. tokens. expected: where little or nothing was measured, rather too low,
    so that it will be; bound: there rather too high."""

    expected: list[float]
    bound: list[float]


class StepCost:
    """A curve for each number of sequences, because these cost time apart from their tokens (attention, states)."""

    def __init__(self) -> None:
        self._samples: dict[int, _Samples] = {}
        self._share = _FIRST_SHARE

    def observe(self, sequences: int, tokens: int, seconds: float) -> None:
        samples = self._samples.setdefault(sequences, _Samples(sequences))
        samples.add(tokens, seconds)
        if tokens > sequences and (share := samples.share()) is not None:
            self._share += 0.1 * (min(share, 1.0) - self._share)

    def is_known(self, sequences: int, tokens: int) -> bool:
        """Whether steps of so many tokens or fewer have been measured."""
        return sequences in self._samples and self._samples[sequences].smallest <= tokens

    def estimate(self, sequences: int, tokens: int) -> Estimate:
        """Of steps of about so many tokens."""
        return self._samples[sequences].estimate(tokens)

    def is_due(self, sequences: int, gain: float) -> bool:
        """Whether a step without drafts is to be measured again, if others are so many times as fast."""
        return self._samples[sequences].age > _REFRESH * (1 - 1 / gain)

    def curve(self, sequences: int, first: int, last: int) -> Curve:
        """Of steps of first .. last tokens; the first is_known."""
        return self._samples[sequences].curve(first, last, self._share)


class _Size:
    """Steps of about the same number of tokens: their mean; logarithm of seconds, relative to the level."""

    def __init__(self) -> None:
        self.tokens = 0.0
        self.estimate = Estimate()


class _Fit(NamedTuple):
    """What is known of a curve: sizes, ascending, their tokens, expected and fitted seconds."""

    sizes: list[int]
    tokens: list[float]
    expected: list[float]
    seconds: list[float]


class _Samples:
    """Steps of one number of sequences.

    What they have in common (longer contexts, a busier machine) is kept apart as a level, which follows the last few
    samples whatever their size: so sizes that were measured at different times can be compared.
    """

    def __init__(self, sequences: int) -> None:
        self.smallest = math.inf  # tokens of a step that is known
        self._sequences = sequences
        self._steps = 0
        self._level = 0.0  # logarithm of seconds
        self._recent: deque[float] = deque(maxlen=_LEVEL_SAMPLES)
        self._noise = _FIRST_NOISE
        self._sizes: dict[int, _Size] = {}
        self._fitted: _Fit | None = None

    def add(self, tokens: int, seconds: float) -> None:
        self._steps += 1
        logarithm = math.log(max(seconds, 1e-9))
        size = self._sizes.setdefault(self._size_of(tokens), _Size())
        if size.estimate.is_known:
            off = abs(logarithm - self._level - size.estimate.value)
            self._noise += 0.02 * (min(off, 3 * self._noise) - self._noise)
        size.estimate.add(logarithm - self._level, self._steps, 3 * self._noise)
        size.tokens += (tokens - size.tokens) * max(0.1, 1 / size.estimate.samples)
        if size.estimate.is_known:
            self.smallest = min(self.smallest, tokens)
            self._recent.append(logarithm - size.estimate.value)
            self._level = median(self._recent)
            self._fitted = None

    def estimate(self, tokens: int) -> Estimate:
        size = self._sizes.get(self._size_of(tokens))
        return size.estimate if size else Estimate()

    @property
    def age(self) -> float:
        """Steps since one without drafts, more as long as there were few."""
        plain = self.estimate(self._sequences)
        return (self._steps - plain.last) / min(1.0, max(plain.samples, 1) / _OFTEN)

    def share(self) -> float | None:
        """What share of a step's time grows with its tokens, on the whole."""
        fit = self._fit()
        at = bisect_right(fit.sizes, self._sequences)  # steps without drafts may be of a faster kind
        if len(fit.sizes) < at + 2:
            return None
        return (fit.seconds[-1] / fit.seconds[at] - 1) / (fit.tokens[-1] / fit.tokens[at] - 1)

    def curve(self, first: int, last: int, share: float) -> Curve:
        fit = self._fit()
        curve = Curve([], [])
        for count in range(first, last + 1):
            size = self._size_of(count)
            at = bisect_left(fit.sizes, size)
            if at < len(fit.sizes) and fit.sizes[at] == size:
                expected, bound = fit.expected[at], fit.seconds[at]
            else:
                before, tokens = fit.seconds[at - 1], fit.tokens[at - 1]
                bound = before * count / tokens
                rise = (bound - before) * share
                if at < len(fit.sizes):
                    bound = fit.seconds[at]
                    rise = (bound - before) * (count - tokens) / (fit.tokens[at] - tokens)
                expected = before + rise / 2
            curve.expected.append(expected)
            curve.bound.append(bound)
        return curve

    def _size_of(self, tokens: int) -> int:
        """Rounded up to one of four sizes an octave, among them the powers of two that steps are padded to; exact for
        few tokens, and for a step without drafts."""
        if tokens <= _FEW or tokens == self._sequences:
            return tokens
        shift = (tokens - 1).bit_length() - 3
        return -(-tokens >> shift) << shift

    def _fit(self) -> _Fit:
        """More tokens never cost less: isotonic regression of the logarithms, by pooling adjacent violators."""
        if self._fitted is None:
            known = sorted(number for number, size in self._sizes.items() if size.estimate.is_known)
            sizes = [self._sizes[number] for number in known]
            pools: list[tuple[float, float, int]] = []  # value, weight, sizes
            for size in sizes:
                pool = (size.estimate.value, size.estimate.weight, 1)
                while pools and pools[-1][0] >= pool[0]:
                    pool = _pooled(pools.pop(), pool)
                pools.append(pool)
            seconds = [math.exp(self._level + value) for value, _, count in pools for _ in range(count)]
            doubts = [math.exp(-self._noise / math.sqrt(size.estimate.weight)) for size in sizes]
            expected = [value * doubt for value, doubt in zip(seconds, doubts, strict=True)]
            self._fitted = _Fit(known, [size.tokens for size in sizes], expected, seconds)
        return self._fitted


def _pooled(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float, int]:
    weight = one[1] + other[1]
    return (one[0] * one[1] + other[0] * other[1]) / weight, weight, one[2] + other[2]
