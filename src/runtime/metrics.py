"""The figures of a run, from its events."""

import resource
import statistics
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from runtime.events import Event, Finished, Preempted, Started, Stepped, Submitted, TokenAccepted


@dataclass
class RequestMetrics:
    prompt_tokens: int
    submitted: float  # seconds on the engine's clock, as are the next two
    first_token: float | None = None
    last_token: float | None = None
    new_tokens: int = 0
    reused_tokens: int = 0  # of the prompt, whose memory was there when it first began to run
    reason: str | None = None

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from submission to the first token, waiting included."""
        return None if self.first_token is None else self.first_token - self.submitted

    @property
    def decode_rate(self) -> float | None:
        """Tokens a second after the first."""
        if self.first_token is None or self.last_token is None or self.new_tokens < 2:
            return None
        return (self.new_tokens - 1) / (self.last_token - self.first_token)


@dataclass
class RunMetrics:
    """Adds events up. A step that feeds any prompt is a prefill step; the others are decode steps."""

    requests: dict[int, RequestMetrics] = field(default_factory=dict)
    steps: int = 0
    preemptions: int = 0
    prefill_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_tokens: int = 0  # in decode steps only
    decode_seconds: float = 0.0
    executor_seconds: float = 0.0
    drafted: int = 0
    drafts_kept: int = 0
    started: set[int] = field(default_factory=set)  # requests that have begun to run before

    def add(self, event: Event) -> None:
        match event:
            case Submitted():
                self.requests[event.request] = RequestMetrics(event.prompt_tokens, event.time)
            case TokenAccepted():
                request = self.requests[event.request]
                request.new_tokens += 1
                request.last_token = event.time
                if request.first_token is None:
                    request.first_token = event.time
            case Started():
                if event.request not in self.started:
                    self.started.add(event.request)
                    self.requests[event.request].reused_tokens = event.reused
            case Finished():
                self.requests[event.request].reason = event.reason.value
            case Preempted():
                self.preemptions += 1
            case Stepped():
                self._add_step(event)

    def _add_step(self, step: Stepped) -> None:
        self.steps += 1
        self.executor_seconds += step.executor_seconds
        self.drafted += step.drafted
        self.drafts_kept += step.drafts_kept
        if step.prefill_tokens:
            self.prefill_tokens += step.prefill_tokens
            self.prefill_seconds += step.seconds
        else:
            self.decode_tokens += step.decode_tokens
            self.decode_seconds += step.seconds

    def figures(self) -> dict[str, Any]:
        requests = [asdict(request) for request in self.requests.values()]
        return {"summary": asdict(self.summary()), "requests": requests}

    def summary(self) -> "Summary":
        firsts = [t for r in self.requests.values() if (t := r.time_to_first_token) is not None]
        return Summary(
            requests=len(self.requests),
            prompt_tokens=sum(request.prompt_tokens for request in self.requests.values()),
            new_tokens=sum(request.new_tokens for request in self.requests.values()),
            prefill_tokens_per_second=_rate(self.prefill_tokens, self.prefill_seconds),
            decode_tokens_per_second=_rate(self.decode_tokens, self.decode_seconds),
            median_time_to_first_token=statistics.median(firsts) if firsts else None,
            peak_memory_mib=peak_memory_mib(),
            prefilled_tokens=self.prefill_tokens,
            reused_tokens=sum(request.reused_tokens for request in self.requests.values()),
            steps=self.steps,
            preemptions=self.preemptions,
            drafted_tokens=self.drafted,
            accepted_drafts=self.drafts_kept,
        )


@dataclass(frozen=True)
class Summary:
    """One line of figures for a run. Rates are tokens a second of all requests together; times are
    seconds."""

    requests: int
    prompt_tokens: int
    new_tokens: int
    prefill_tokens_per_second: float | None
    decode_tokens_per_second: float | None
    median_time_to_first_token: float | None
    peak_memory_mib: float
    prefilled_tokens: int  # fed in steps that feed prompts, those of preempted requests again
    reused_tokens: int  # of prompts, whose memory was there
    steps: int
    preemptions: int
    drafted_tokens: int
    accepted_drafts: int


def peak_memory_mib() -> float:
    """The most memory this process has held: on the GPU where one was used, else resident in RAM."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _rate(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if seconds else None
