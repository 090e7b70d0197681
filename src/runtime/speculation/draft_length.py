"""How many drafts each sequence gets: as many as make the batch fastest, none where drafts do not pay."""

import math
from typing import NamedTuple, Protocol

from runtime.speculation.acceptance import Acceptance
from runtime.speculation.draft_cost import USUAL, DraftCost
from runtime.speculation.step_cost import Curve, StepCost

_RATE = 0.01  # of all time that may be lost on drafts that did not pay
_GRANT = 8.0  # plain steps that may be lost before
_SAVED = 64.0  # plain steps of gains that may be lost again
_GAIN = 1.01  # times as many tokens a second as without drafts that are expected of them
_SLIGHT = 0.02  # a chance that is not worth looking at
_HORIZON = 64  # tokens over which catching up on a sequence must pay


class Candidate(NamedTuple):
    """A decoding sequence before a step. number: its id; pending: tokens that it feeds anyway; limit: drafts that it may
    have; behind: tokens that the drafter would have to read first; remaining: new tokens that it may still get."""

    number: int
    pending: int
    limit: int
    behind: int
    remaining: int


class Verified(NamedTuple):
    """A sequence after a step: how many of its drafts were right."""

    number: int
    pending: int
    drafts: int
    right: int


class Length(Protocol):
    def choose(self, candidates: list[Candidate]) -> list[int]:
        """Drafts for each candidate, at most its limit."""
        ...

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None:
        """A drafter that is not free has made so many drafts of each candidate, after reading so many tokens, in so
        long."""

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        """The model has seen them, in so many seconds; None if other tokens were in the step as well."""

    def forget(self, number: int) -> None: ...


class FixedLength:
    """As many as there may be, up to a number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def choose(self, candidates: list[Candidate]) -> list[int]:
        return [min(self.count, candidate.limit) for candidate in candidates]

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None: ...

    def verified(self, steps: list[Verified], seconds: float | None) -> None: ...

    def forget(self, number: int) -> None: ...


# The chance that a draft and all before it are right, negated, so that the likeliest come first; how many are before it;
# the candidate's index. (No NamedTuple: these are made and sorted by the hundred before each step.)
_Guess = tuple[float, int, int]


class _Choice(NamedTuple):
    """The first `count` guesses of those within so many rounds of drafting."""

    rate: float  # expected tokens a second
    rounds: int
    count: int
    loss: float  # seconds, if none is right


class DraftLength:
    """Maximises expected tokens a second of the whole batch.

        sum_i (1 + p_i1 + p_i1 p_i2 + ..) / (seconds of drafting + seconds of a step of all tokens)

    The likeliest drafts of all sequences come first, whosever they are; how many is a scan over their number.

    What keeps it from being slower than plain decoding is an account of time. Whatever drafts have gained over plain
    decoding is paid in, what they have lost is paid out, and a hundredth of all time is paid in for trying. A choice is
    allowed if the account covers it even when no draft is right. So no mistake about chances can cost more than that.
    """

    def __init__(self, most: int, free: bool) -> None:
        """free: drafts cost nothing, and candidates' limits are what has been found already."""
        self._most = most
        self._free = free
        self._acceptance = Acceptance()
        self._steps = StepCost()
        self._drafts = DraftCost()
        self._account = 0.0  # seconds
        self._drafting = 0.0  # estimated seconds of this step's drafting

    def choose(self, candidates: list[Candidate]) -> list[int]:
        sequences, pending = len(candidates), sum(candidate.pending for candidate in candidates)
        counts = [0] * sequences
        if not any(candidate.limit for candidate in candidates) or not self._steps.is_known(sequences, pending):
            return counts
        guesses = self._guesses(candidates, hopeful=True)
        curve = self._steps.curve(sequences, pending, pending + len(guesses))
        best = self._best(candidates, guesses, curve, math.inf)
        if best.loss > (affordable := self._affordable(curve.bound[0])):
            guesses = self._guesses(candidates, hopeful=False)
            best = self._best(candidates, guesses, curve, affordable)
        if best.count and pending == sequences and self._steps.is_due(sequences, best.rate * curve.expected[0] / sequences):
            return counts
        for _, _, i in [guess for guess in guesses if guess[1] < best.rounds][: best.count]:
            counts[i] += 1
        for candidate, count in zip(candidates, counts, strict=True):
            if candidate.limit and not count:
                self._acceptance.rest(candidate.number)
        return counts

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None:
        sequences, rounds = sum(count > 0 for count in made), max(made)
        catch_up = sum(max(0, tokens - USUAL) for tokens in read)
        if rounds or catch_up:
            self._drafts.observe(sequences, rounds, catch_up, seconds)
        self._drafting = self._drafts.seconds(sequences, rounds) + self._drafts.catch_up_seconds(catch_up)

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        sequences, pending = len(steps), sum(step.pending for step in steps)
        drafts = sum(step.drafts for step in steps)
        for step in steps:
            if step.drafts:
                self._acceptance.observe(step.number, step.drafts, step.right)
        if seconds is not None:
            self._steps.observe(sequences, pending + drafts, seconds)
        if self._steps.is_known(sequences, pending):
            self._book(steps, seconds)
        self._drafting = 0.0

    def forget(self, number: int) -> None:
        self._acceptance.forget(number)

    def _book(self, steps: list[Verified], seconds: float | None) -> None:
        """Pays a step's gain or loss in, by estimates: a single measured step may have met with anything. Where these
        are in doubt, a gain counts for less."""
        sequences, pending = len(steps), sum(step.pending for step in steps)
        drafts, right = sum(step.drafts for step in steps), sum(step.right for step in steps)
        curve = self._steps.curve(sequences, pending, pending + drafts)
        spent, gained = curve.bound[-1], 0.0
        if drafts or self._drafting:
            if seconds is not None and not self._steps.is_measured(sequences, pending + drafts):
                spent = min(max(seconds, curve.expected[-1]), 2 * spent)
            spent += self._drafting
            gained = curve.expected[0] * (1 + right / sequences) - spent
        self._account = min(self._account + gained + _RATE * spent, _SAVED * curve.bound[0])

    def _affordable(self, plain: float) -> float:
        """Seconds that a choice may lose; any, once all is saved that can be (reading a long prompt may cost more)."""
        return math.inf if self._account >= 0.9 * _SAVED * plain else self._account + _GRANT * plain

    def _guesses(self, candidates: list[Candidate], hopeful: bool) -> list[_Guess]:
        """The likeliest first, and none before those that it depends on."""
        guesses: list[_Guess] = []
        for i, candidate in enumerate(candidates):
            if candidate.limit:
                first, following = self._acceptance.chances(candidate.number, hopeful)
                chance = -first
                for place in range(candidate.limit):
                    if place and chance > -_SLIGHT:
                        break
                    guesses.append((chance, place, i))
                    chance *= following
        guesses.sort()
        return guesses

    def _best(self, candidates: list[Candidate], guesses: list[_Guess], curve: Curve, affordable: float) -> _Choice:
        best = _Choice(_GAIN * len(candidates) / curve.expected[0], 0, 0, 0.0)
        for rounds in [self._most] if self._free else range(1, self._most + 1):
            best = max(best, self._scan(candidates, guesses, curve, affordable, rounds))
        return best

    def _scan(
        self, candidates: list[Candidate], guesses: list[_Guess], curve: Curve, affordable: float, rounds: int
    ) -> _Choice:
        """The best number of guesses, in order, of those within so many rounds of drafting."""
        tokens, count = float(len(candidates)), 0
        drafting = at_once = 0.0 if self._free else self._drafts.seconds(len(candidates), rounds)
        best = _Choice(0.0, 0, 0, 0.0)
        for chance, place, i in guesses:
            if place >= rounds:
                continue
            if place == 0 and (catch_up := _catch_up(candidates[i])):
                once = self._drafts.catch_up_seconds(catch_up)
                at_once += once
                drafting += once / min(max(candidates[i].remaining, 1), _HORIZON)
            tokens -= chance
            count += 1
            rate = tokens / (drafting + curve.expected[count])
            loss = at_once + curve.bound[count] - curve.bound[0]
            if rate > best.rate and loss <= affordable:
                best = _Choice(rate, rounds, count, loss)
        return best


def _catch_up(candidate: Candidate) -> int:
    return max(0, candidate.behind - USUAL)
