"""A running mean and how far it may be off."""

import math
from dataclasses import dataclass


@dataclass
class Mean:
    """Source of the update: Welford, Technometrics 4 (1962), 419."""

    count: int = 0
    value: float = math.nan
    _squares: float = 0.0  # of the deviations from the mean

    def add(self, number: float) -> None:
        self.count += 1
        before = self.value if self.count > 1 else number
        self.value = before + (number - before) / self.count
        self._squares += (number - before) * (number - self.value)

    @property
    def error(self) -> float:
        """The standard error of the mean: the deviation of the sample (n - 1) over sqrt(n). NaN for less than two."""
        return math.sqrt(self._squares / (self.count - 1) / self.count) if self.count > 1 else math.nan

    def figures(self, name: str) -> dict[str, float]:
        return {name: self.value, f"{name}_error": self.error}


def perplexity(log_prob: float) -> float:
    """exp(-log_prob), which may be beyond what a float holds."""
    try:
        return math.exp(-log_prob)
    except OverflowError:
        return math.inf
