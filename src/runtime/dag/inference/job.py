"""An inference on its way through the engine."""

import asyncio
from dataclasses import dataclass, field

from runtime.dag.inference.fork_prefixes import Prefix
from runtime.dag.trace.record import NativeInference
from runtime.events import Finished
from runtime.request import Request


@dataclass(eq=False)
class Job:
    """order: in which jobs that wait together are submitted, whoever came first. deadline: time.monotonic().
    submitted: on the engine's clock. own_memory: tokens of the prompt whose memory the handle that it continues has.
    prefix: shared with others of its fork, computed before it is submitted."""

    order: tuple[tuple[int, ...], str, int]
    fork: str | None
    request: Request
    deadline: float | None
    submitted: float
    own_memory: int
    ended: "asyncio.Future[Finished]"
    number: int | None = None
    prefix: Prefix | None = None
    is_placed: bool = False  # whether a prefix has been looked for
    figures: "Figures" = field(default_factory=lambda: Figures())

    def native(self, finished: Finished, model: str, began: float, block_size: int) -> NativeInference:
        """began: engine time from which times count."""
        figures, request = self.figures, self.request
        prompt = len(request.prompt)
        first = figures.first_token
        return NativeInference(
            request=-1 if self.number is None else self.number,
            model=model,
            prompt_tokens=prompt,
            completion_tokens=finished.new_tokens,
            reused_tokens=figures.reused or 0,
            prefilled_tokens=figures.prefilled,
            finish_reason=finished.reason.value,
            submitted=self.submitted - began,
            first_token=None if first is None else first - began,
            finished=finished.time - began,
            steps=figures.steps,
            batch_size=figures.batched / figures.count if figures.count else 0.0,
            peak_blocks=-(-(prompt + finished.new_tokens) // block_size) if figures.count else 0,
            drafted=finished.drafted,
            drafts_kept=finished.drafts_kept,
            seed=request.seed,
            decoder_strategy=_strategy(request, finished),
        )


@dataclass
class Figures:
    """What is counted while a job runs. reused: of its prompt, when it first began; prefilled: tokens fed that were
    there before, again after a preemption; steps: the first and the last it was in; batched: sum of these steps'
    sizes, count: how many there were."""

    reused: int | None = None
    prefilled: int = 0
    first_token: float | None = None
    steps: tuple[int, int] = (0, 0)
    batched: int = 0
    count: int = 0

    def started(self, tokens: int, reused: int) -> None:
        self.reused = reused if self.reused is None else self.reused
        self.prefilled += tokens - reused

    def stepped(self, step: int, size: int) -> None:
        self.steps = (self.steps[0] if self.count else step, step)
        self.batched += size
        self.count += 1


def _strategy(request: Request, finished: Finished) -> str:
    if finished.drafted:
        return "speculative"
    return "sampling" if request.sampling.temperature else "greedy"
