"""How likely it is that a sequence's drafts are right, from how many were."""

from dataclasses import dataclass, field
from typing import NamedTuple

_CERTAINTY = 5.0  # observations that a prior is worth
_FADE_ALL, _FADE_ONE = 0.99, 0.95  # what an observation weighs after the next: of all sequences, of one
_FADE_RESTED = 0.98  # what a sequence's observations weigh after a step in which it could have had drafts
_HOPE = 0.9  # a probability that is worth another try when all observations are old


@dataclass
class _Rate:
    """A share of right drafts, of the last ones."""

    tried: float = 0.0
    right: float = 0.0

    def value(self, prior: float, weight: float = 1.0) -> float:
        return (self.right * weight + prior * _CERTAINTY) / (self.tried * weight + _CERTAINTY)

    def add(self, tried: int, right: int, fade: float) -> None:
        self.tried = self.tried * fade + tried
        self.right = self.right * fade + right


@dataclass
class _Rates:
    """first: of first drafts; next: of those behind right ones, which come in runs. rested: steps since the last."""

    first: _Rate = field(default_factory=_Rate)
    next: _Rate = field(default_factory=_Rate)
    rested: int = 0

    def add(self, drafts: int, right: int, fade: float) -> None:
        fade_rested = _FADE_RESTED**self.rested
        self.first.add(1, min(right, 1), fade * fade_rested)
        if right and drafts > 1:
            self.next.add(min(drafts - 1, right), right - 1, fade * fade_rested)
        self.rested = 0


class Chances(NamedTuple):
    """That a first draft is right, and each one behind a right one."""

    first: float
    next: float


@dataclass
class Acceptance:
    """What is known of all sequences is the prior of each.

    Observations fade, so that a text may change. When a sequence has had no drafts though it could, what is known of it
    fades towards hope: or a guess that was once bad would never be tried again.
    """

    _all: _Rates = field(default_factory=_Rates)
    _each: dict[int, _Rates] = field(default_factory=dict)

    def chances(self, number: int, hopeful: bool) -> Chances:
        """Of the sequence's next drafts. hopeful: after rests as good as they may have become."""
        first, after = self._all.first.value(0.5), self._all.next.value(0.9)
        if (rates := self._each.get(number)) is None:
            return Chances(first, after)
        weight = _FADE_RESTED**rates.rested
        first, after = rates.first.value(first, weight), rates.next.value(after, weight)
        if hopeful and rates.rested:
            first = weight * first + (1 - weight) * max(first, _HOPE)
            after = weight * after + (1 - weight) * max(after, _HOPE)
        return Chances(first, after)

    def observe(self, number: int, drafts: int, right: int) -> None:
        """Of `drafts` the first `right` were right."""
        self._all.add(drafts, right, _FADE_ALL)
        self._each.setdefault(number, _Rates()).add(drafts, right, _FADE_ONE)

    def rest(self, number: int) -> None:
        """The sequence could have had drafts, but none were worth it."""
        self._each.setdefault(number, _Rates()).rested += 1

    def rest_all(self, steps: int) -> None:
        """So many steps have passed, and nobody knows whether there could have been drafts."""
        for rates in self._each.values():
            rates.rested += steps

    def forget(self, number: int) -> None:
        self._each.pop(number, None)
