"""What happened in a trial, from its events, and the figures of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from runtime.comparison.events import Asked, Judged
from runtime.events import Event, Preempted, Started, Stepped, Submitted, TokenAccepted


@dataclass
class RequestCourse:
    turn: int  # of its thread, from 0
    submitted: float = 0.0  # seconds on the engine's clock, as are the times of its tokens
    tokens: list[float] = field(default_factory=list)
    reused: int = 0  # tokens whose memory was there when it began to run, or to run again
    is_valid: bool | None = None  # under its schema, if it has one

    @property
    def first_token(self) -> float:
        """Seconds from submission to the first token, waiting included."""
        return self.tokens[0] - self.submitted

    @property
    def gaps(self) -> list[float]:
        """Seconds between one token and the next."""
        return [after - before for before, after in zip(self.tokens, self.tokens[1:], strict=False)]


class BlocksInUse(NamedTuple):
    time: float
    held: int  # by requests
    cached: int  # by the prefix index alone


@dataclass
class Course:
    """Adds the events of a trial up. blocks: of its cache."""

    blocks: int
    requests: dict[int, RequestCourse] = field(default_factory=dict)
    steps: list[Stepped] = field(default_factory=list)
    preempted: list[float] = field(default_factory=list)  # when

    def add(self, event: Event) -> None:
        match event:
            case Asked():
                self.requests[event.request] = RequestCourse(event.turn)
            case Submitted():
                self.requests[event.request].submitted = event.time
            case Started():
                self.requests[event.request].reused += event.reused
            case TokenAccepted():
                self.requests[event.request].tokens.append(event.time)
            case Judged():
                self.requests[event.request].is_valid = not event.problems
            case Preempted():
                self.preempted.append(event.time)
            case Stepped():
                self.steps.append(event)

    @property
    def gaps(self) -> list[float]:
        """Seconds between the tokens of all requests."""
        return [gap for request in self.requests.values() for gap in request.gaps]

    def blocks_in_use(self) -> list[BlocksInUse]:
        """After each step."""
        return [
            BlocksInUse(step.time, self.blocks - step.free_blocks - step.cached_blocks, step.cached_blocks)
            for step in self.steps
        ]

    def first_tokens(self) -> list[float]:
        """Median seconds to the first token of each turn."""
        turns = range(1 + max(request.turn for request in self.requests.values()))
        return [float(np.median([r.first_token for r in self.requests.values() if r.turn == turn])) for turn in turns]

    def figures(self) -> "Figures":
        """Of a trial that was not interrupted."""
        requests = list(self.requests.values())
        firsts = [request.first_token for request in requests]
        rates = [sum(request.gaps) / len(request.gaps) for request in requests if request.gaps]
        new_tokens = sum(len(request.tokens) for request in requests)
        seconds = max(r.tokens[-1] for r in requests) - min(r.submitted for r in requests)
        judged = [request.is_valid for request in requests if request.is_valid is not None]
        in_use = self.blocks_in_use()
        return Figures(
            answers=len(requests),
            new_tokens=new_tokens,
            prefilled_tokens=sum(step.prefill_tokens for step in self.steps),
            reused_tokens=sum(request.reused for request in requests),
            ttft_median=float(np.median(firsts)),
            ttft_p95=float(np.percentile(firsts, 95)),
            tpot_median=float(np.median(rates)) if rates else None,
            tpot_p95=float(np.percentile(rates, 95)) if rates else None,
            longest_gap=max(self.gaps, default=None),
            tokens_per_second=new_tokens / seconds,
            seconds=seconds,
            steps=len(self.steps),
            preemptions=len(self.preempted),
            drafted=sum(step.drafted for step in self.steps),
            drafts_kept=sum(step.drafts_kept for step in self.steps),
            held_blocks=max(use.held for use in in_use),
            cached_blocks=max(use.cached for use in in_use),
            valid=sum(judged) / len(judged) if judged else None,
        )


@dataclass(frozen=True)
class Figures:
    """One row of a comparison. Times are seconds."""

    answers: int
    new_tokens: int
    prefilled_tokens: int  # those of preempted requests again
    reused_tokens: int  # whose memory was there when a request began to run, or to run again
    ttft_median: float  # time to first token, waiting included
    ttft_p95: float
    tpot_median: float | None  # time per output token after the first, one value a request
    tpot_p95: float | None
    longest_gap: float | None  # between two tokens of a request
    tokens_per_second: float  # new ones, from the first request to the last answer
    seconds: float
    steps: int
    preemptions: int
    drafted: int
    drafts_kept: int
    held_blocks: int  # by requests, at most
    cached_blocks: int  # by the prefix index alone, at most
    valid: float | None  # share of the answers that are what their schemas say
