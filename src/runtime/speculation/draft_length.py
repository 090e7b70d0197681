"""How many drafts each sequence gets: as many as make the batch fastest, none where drafts do not pay."""

import copy
import math
from typing import NamedTuple

from runtime.speculation.acceptance import Acceptance
from runtime.speculation.draft_cost import USUAL, DraftCost
from runtime.speculation.length import Candidate, Verified
from runtime.speculation.step_cost import Curve, StepCost

_RATE = 0.01  # of all time that may be lost on drafts that did not pay
_GRANT = 5.0  # plain steps that may be lost before
_SAVED = 64.0  # plain steps of gains that may be lost again
_GAIN = 1.02  # times as many tokens a second as without drafts that are expected of them
_SLIGHT = 0.02  # a chance that is not worth looking at
_HORIZON = 64  # tokens over which catching up on a sequence must pay


# The chance that a draft and all before it are right, negated, so that the likeliest come first; how many are before
# it; the candidate's index. (No NamedTuple: these are made and sorted by the hundred before each step.)
_Guess = tuple[float, int, int]


class _Choice(NamedTuple):
    rate: float  # expected tokens a second
    guesses: list[_Guess]
    loss: float  # seconds, if none is right


class _Made(NamedTuple):
    """What a drafter did before a step."""

    sequences: int
    rounds: int
    read: int  # tokens beyond the usual ones


_NOTHING = _Made(0, 0, 0)


class DraftLength:
    """Maximises expected tokens a second of the whole batch.

        sum_i (1 + p_i1 + p_i1 p_i2 + ..) / (seconds of drafting + seconds of a step of all tokens)

    The likeliest drafts of all sequences come first, whosever they are; how many is a scan over their number.

    What keeps it from being slower than plain decoding is an account of time. Whatever drafts have gained over plain
    decoding is paid in, what they have lost is paid out, and a hundredth of all time is paid in for trying. A choice is
    allowed if the account covers it even when no draft is right. So no mistake about chances can cost more than that.
    """

    def __init__(self, free: bool, costs: DraftCost | None = None) -> None:
        """free: drafts cost nothing, and candidates' limits are what has been found already. costs: what is known of
        the drafter before; None: nothing."""
        self.may_pause = False
        self._free = free
        self._acceptance = Acceptance()
        self._steps = StepCost()
        self._drafts = DraftCost() if costs is None else copy.deepcopy(costs)
        self._account = 0.0  # seconds
        self._made = _NOTHING

    def choose(self, candidates: list[Candidate]) -> list[int]:
        sequences, pending = len(candidates), sum(candidate.pending for candidate in candidates)
        counts = [0] * sequences
        self.may_pause = self._steps.is_known(sequences, pending)
        if not self.may_pause or not any(candidate.limit for candidate in candidates):
            return counts
        guesses = self._guesses(candidates, hopeful=True)
        curve = self._steps.curve(sequences, pending, pending + len(guesses))
        best = self._best(candidates, guesses, curve, math.inf)
        if best.loss > (affordable := self._affordable(curve.bound[0])):
            guesses = self._guesses(candidates, hopeful=False)
            best = self._best(candidates, guesses, curve, affordable)
        gain = best.rate * curve.expected[0] / sequences
        if best.guesses and pending == sequences and self._steps.is_due(sequences, gain):
            self.may_pause = False
            return counts
        for _, _, i in best.guesses:
            counts[i] += 1
        for candidate, count in zip(candidates, counts, strict=True):
            if candidate.limit and not count:
                self._acceptance.rest(candidate.number)
        return counts

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None:
        self._made = _Made(sum(count > 0 for count in made), max(made), sum(max(0, tokens - USUAL) for tokens in read))
        self._drafts.observe(*self._made, seconds)

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        sequences, pending = len(steps), sum(step.pending for step in steps)
        drafts = sum(step.drafts for step in steps)
        for step in steps:
            if step.drafts:
                self._acceptance.observe(step.number, step.drafts, step.right)
        if seconds is not None:
            self._steps.observe(sequences, pending + drafts, seconds)
        if not drafts and self._made == _NOTHING:
            self._account += _RATE * (seconds or 0.0)
        elif self._steps.is_known(sequences, pending):
            self._book(steps, seconds)
        self._made = _NOTHING

    def paused(self, steps: int, seconds: float) -> None:
        self._account += _RATE * seconds
        self._acceptance.rest_all(steps)

    def forget(self, number: int) -> None:
        self._acceptance.forget(number)

    def _book(self, steps: list[Verified], seconds: float | None) -> None:
        """Pays the gain or loss of a step with drafts in, by estimates: a single measured step may have met with
        anything. Where these are in doubt, a gain counts for less."""
        sequences, pending = len(steps), sum(step.pending for step in steps)
        drafts, right = sum(step.drafts for step in steps), sum(step.right for step in steps)
        curve = self._steps.curve(sequences, pending, pending + drafts)
        plain, spent = curve.bound[0], curve.bound[-1]
        measured = self._steps.estimate(sequences, pending + drafts)
        if seconds is not None and not measured.is_known:
            # More than the bound went into compiling, perhaps: that is no fault of the drafts.
            spent = max(curve.expected[-1], min(seconds, spent))
        spent += self._drafts.seconds(self._made.sequences, self._made.rounds, plain)
        spent += self._drafts.reading_seconds(self._made.read, plain / sequences)
        gained = curve.expected[0] * (1 + right / sequences) - spent
        self._account = min(self._account + gained + _RATE * spent, _SAVED * plain)

    def _affordable(self, plain: float) -> float:
        """Seconds that a choice may lose; any, once all is saved that can be (reading a long prompt may cost more)."""
        self._account = min(self._account, _SAVED * plain)
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
        """The best set of guesses: of those within some number of rounds of drafting, the likeliest."""
        best = _Choice(_GAIN * len(candidates) / curve.expected[0], [], 0.0)
        if self._free:
            return max(best, self._scan(candidates, guesses, curve, affordable), key=_rate)
        for rounds in range(1, max((candidate.limit for candidate in candidates), default=0) + 1):
            within = [guess for guess in guesses if guess[1] < rounds]
            best = max(best, self._scan(candidates, within, curve, affordable), key=_rate)
        return best

    def _scan(self, candidates: list[Candidate], guesses: list[_Guess], curve: Curve, affordable: float) -> _Choice:
        """The best number of guesses, in order."""
        sequences, plain = len(candidates), curve.bound[0]
        tokens, rounds = float(sequences), 0
        making = reading = 0.0
        behind, horizon = 0, 1
        best_rate, best_drafts, best_loss = 0.0, 0, 0.0
        for drafts, (chance, place, i) in enumerate(guesses, 1):
            if not self._free and place == rounds:
                rounds += 1
                making = self._drafts.seconds(sequences, rounds, plain)
            if place == 0 and candidates[i].behind > USUAL:
                behind += candidates[i].behind - USUAL
                horizon = max(horizon, min(candidates[i].remaining, _HORIZON))
                reading = self._drafts.reading_seconds(behind, plain / sequences)
            tokens -= chance
            rate = tokens / (making + reading / horizon + curve.expected[drafts])
            if rate > best_rate:
                loss = making + reading + curve.bound[drafts] - plain
                if loss <= affordable:
                    best_rate, best_drafts, best_loss = rate, drafts, loss
        return _Choice(best_rate, guesses[:best_drafts], best_loss)


def _rate(choice: _Choice) -> float:
    return choice.rate
