"""A running estimate of a duration that single samples do not throw off."""

import math
from dataclasses import dataclass, field

ENOUGH = 2  # samples before an estimate counts: the first step of a size may include compiling
_FADE = 0.98  # what a sample weighs after a step
_LARGEST_WEIGHT = 0.1  # of a sample among those before it, however long ago they were


@dataclass
class Estimate:
    """Of a logarithm of seconds: the least of the first samples, then a mean in which a sample weighs by the steps
    since the one before it."""

    value: float = 0.0
    samples: int = 0
    last: int = 0  # step of the last sample
    _first: list[float] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        return self.samples >= ENOUGH

    def seconds(self, guess: float) -> float:
        """Before enough is known, the fastest so far; or a guess, where that took more than 20 times as long: something
        was compiled."""
        if self.is_known:
            return math.exp(self.value)
        fastest = math.exp(min(self._first, default=math.inf))
        return fastest if fastest < 20 * guess else guess

    @property
    def weight(self) -> float:
        """How many samples the estimate rests on, about."""
        return min(self.samples, 1 / (1 - _FADE))

    def add(self, value: float, step: int, furthest: float) -> None:
        """furthest: how far from the estimate a sample counts."""
        self.samples += 1
        if self.samples <= ENOUGH:
            self._first.append(value)
            self.value = min(self._first)
        else:
            weight = max(min(1 - _FADE ** (step - self.last), _LARGEST_WEIGHT), 1 / self.samples)
            self.value += weight * min(max(value - self.value, -furthest), furthest)
        self.last = step
