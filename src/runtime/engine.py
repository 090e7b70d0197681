"""The loop: the scheduler picks, the model computes, the decoder keeps, the stream shows."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch

from model.batch import Batch, SequenceStep, make_batch
from runtime.decoder.strategy import DecoderStrategy
from runtime.errors import RequestError
from runtime.events import Event, Finished, Preempted, Prefilled, Stepped, Submitted, TokenAccepted
from runtime.kept import Kept
from runtime.request import Completion, FinishReason, Request
from runtime.scheduler import InferenceScheduler, Scheduled
from runtime.sequence import Sequence
from runtime.streaming import StreamingController


class Executor(Protocol):
    def step(self, batch: Batch) -> torch.Tensor:
        """Logits f32 [L, V] of the batch's logit rows; the cache has the batch's tokens afterwards."""


class Engine:
    """Serves requests with one model. Nothing runs between calls: whoever calls `step` drives it."""

    def __init__(
        self,
        executor: Executor,
        scheduler: InferenceScheduler,
        decoder: DecoderStrategy,
        token_bytes: Callable[[int], bytes],
        context_length: int,
    ) -> None:
        self.executor = executor
        self.scheduler = scheduler
        self.decoder = decoder
        self.token_bytes = token_bytes
        self.context_length = context_length
        self._sequences: dict[int, Sequence] = {}
        self._submitted = 0
        self._events: list[Event] = []
        self._kept: dict[int, Kept] = {}
        self._start = time.perf_counter()

    def now(self) -> float:
        """Seconds since the engine was made: the clock of all events."""
        return time.perf_counter() - self._start

    @property
    def is_idle(self) -> bool:
        return not self._sequences

    def submit(self, request: Request) -> int:
        """Queues a request and returns its number. Raises RequestError if it could never be served."""
        self.check(request)
        number, self._submitted = self._submitted, self._submitted + 1
        sequence = Sequence(number, request, StreamingController(request, self.token_bytes), list(request.prompt))
        self._sequences[number] = sequence
        self.scheduler.add(sequence)
        self._events.append(Submitted(self.now(), number, len(request.prompt)))
        return number

    def step(self) -> list[Event]:
        """Runs the model once on whatever can run; returns all events since the last step."""
        start = self.now()
        plan = self.scheduler.schedule(self.decoder.propose)
        batch = make_batch([_step_of(entry) for entry in plan.scheduled], self.scheduler.block_size)
        before = self.now()
        logits = self.executor.step(batch)
        executor_seconds = self.now() - before
        accepting = [entry for entry in plan.scheduled if entry.yields_token]
        accepted = self.decoder.accept(logits, accepting) if accepting else []

        self._events += [Preempted(start, victim.id, len(victim.tokens)) for victim in plan.preempted]
        prefill_tokens = sum(self._mark_computed(entry) for entry in plan.scheduled)
        decode_tokens = sum(map(self._extend, accepting, accepted))
        self._events.append(
            Stepped(
                time=self.now(),
                seconds=self.now() - start,
                executor_seconds=executor_seconds,
                prefill_tokens=prefill_tokens,
                decode_tokens=decode_tokens,
                free_blocks=self.scheduler.allocator.free_blocks,
            )
        )
        return self._drain()

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        """Submits the requests and yields every event until all of them (and those before) have finished."""
        for request in requests:
            self.submit(request)
        while not self.is_idle:
            yield from self.step()

    def generate(self, requests: Iterable[Request]) -> list[Completion]:
        """Serves the requests together; their completions, in order."""
        numbers = [self.submit(request) for request in requests]
        tokens: dict[int, list[int]] = {number: [] for number in numbers}
        completions: dict[int, Completion] = {}
        for event in self.stream(()):
            if isinstance(event, TokenAccepted) and event.request in tokens:
                tokens[event.request].append(event.token)
            elif isinstance(event, Finished) and event.request in tokens:
                completions[event.request] = Completion(tokens[event.request], event.text, event.reason)
        return [completions[number] for number in numbers]

    def kept(self, number: int) -> Kept:
        """The memory that a finished request with `keep` has left behind; handed out once."""
        return self._kept.pop(number)

    def cancel(self) -> list[Event]:
        """Ends every request with what it has so far, between two steps; returns the events since the last
        one."""
        for sequence in list(self._sequences.values()):
            sequence.stream.finish(FinishReason.CANCELLED)
            self._retire(sequence)
        return self._drain()

    def check(self, request: Request) -> None:
        """Raises RequestError if the request is longer than the context or the cache, or empty."""
        prompt, new = len(request.prompt), request.max_new_tokens
        if prompt == 0:
            raise RequestError("a prompt is empty: it needs at least one token")
        total = prompt + new
        need = f"a prompt of {prompt} tokens with {new} new ones needs a context of {total} tokens"
        if total > self.context_length:
            limit, fix = (
                f"the model's is {self.context_length}",
                "shorten the prompt or workload.max_new_tokens",
            )
            raise RequestError(f"{need}, but {limit}: {fix}")
        if total > self.scheduler.capacity:
            limit, fix = (
                f"the cache holds {self.scheduler.capacity}",
                "raise cache.blocks or cache.memory_mib",
            )
            raise RequestError(f"{need}, but {limit}: {fix}")

    def _mark_computed(self, entry: Scheduled) -> int:
        """Notes that the fed tokens are in the cache; returns how many of them were a prompt's."""
        sequence, fed = entry.sequence, len(entry.tokens) - entry.drafts
        is_prefill = entry.is_prefill
        sequence.computed += fed
        if not is_prefill:
            return 0
        self._events.append(Prefilled(self.now(), sequence.id, fed, sequence.pending))
        return fed

    def _extend(self, entry: Scheduled, accepted: list[int]) -> int:
        """Appends the accepted tokens; returns how many of them were decoded (none after a prefill)."""
        sequence = entry.sequence
        sequence.computed += len(accepted) - 1  # drafts that were kept are in the cache already
        before = sequence.stream.new_tokens
        for token in accepted:
            sequence.tokens.append(token)
            text = sequence.stream.push(token)
            self._events.append(TokenAccepted(self.now(), sequence.id, token, text))
            if sequence.stream.reason is not None:
                self._retire(sequence)
                break
        return 0 if entry.is_prefill else sequence.stream.new_tokens - before

    def _retire(self, sequence: Sequence) -> None:
        reason = sequence.stream.reason
        assert reason is not None
        if (kept := self.scheduler.remove(sequence)) is not None:
            self._kept[sequence.id] = kept
        del self._sequences[sequence.id]
        stream = sequence.stream
        self._events.append(Finished(self.now(), sequence.id, reason, stream.new_tokens, stream.text))

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _step_of(entry: Scheduled) -> SequenceStep:
    sequence = entry.sequence
    n_logits = 1 + entry.drafts if entry.yields_token else 0
    return SequenceStep(entry.tokens, sequence.computed, sequence.page_table, n_logits)
