"""Where two variants' answers part, and how sure the model was there."""

from dataclasses import replace
from itertools import chain, zip_longest
from typing import NamedTuple

from runtime.comparison.thread import Answer
from runtime.engine import Engine
from runtime.memory.common_length import common_length
from runtime.request import Request
from runtime.request_check import MOST_LOGPROBS

NOTHING: Answer = []  # in place of an answer that is not there


class Difference(NamedTuple):
    """At `position` of the answer to a turn of a thread one variant has another token than the first variant, or one of
    them has none."""

    thread: int
    turn: int
    position: int
    expected: int | None
    found: int | None


def first_difference(expected: list[list[Answer]], found: list[list[Answer]]) -> Difference | None:
    """Of the answers of each thread, in each turn: in the earliest turn that has one."""
    differences = []
    for thread, (one, other) in enumerate(zip(expected, found, strict=True)):
        for turn, (mine, theirs) in enumerate(zip_longest(one, other, fillvalue=NOTHING)):
            if mine != theirs:
                at = common_length(mine, theirs)
                differences.append(Difference(thread, turn, at, _token(mine, at), _token(theirs, at)))
    return min(differences, key=lambda difference: (difference.turn, difference.position), default=None)


def _token(answer: Answer, position: int) -> int | None:
    return answer[position] if position < len(answer) else None


def describe(difference: Difference, request: Request, answer: Answer, engine: Engine) -> str:
    """The difference in words, with the log-probabilities of both tokens: nearly equal ones tell rounding from a bug.
    request, answer: of the first variant; engine: an idle one."""
    prompt = (*request.prompt, *answer[: difference.position])
    asked = replace(request, prompt=prompt, max_new_tokens=1, grammar=None)
    (completion,) = engine.generate([replace(asked, sampling=replace(request.sampling, logprobs=MOST_LOGPROBS))])
    likely = dict(chain.from_iterable(report.top for report in completion.logprobs if report))

    def tell(token: int | None) -> str:
        if token is None:
            return "the end"
        return f"{token} ({likely[token]:.6f})" if token in likely else f"{token} (unlikely)"

    turn = f" of turn {difference.turn}" if difference.turn else ""
    return (
        f"token {difference.position}{turn} of thread {difference.thread} is {tell(difference.found)} instead of "
        f"{tell(difference.expected)} (log-probabilities: nearly equal ones mean that rounding decided; with "
        f"kernels.invariant=true it cannot)"
    )
