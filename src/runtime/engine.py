"""The loop: the scheduler picks, the model computes, the decoder keeps, the stream shows."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch

from model.sequence_step import SequenceStep
from runtime.completions import Completions
from runtime.config import BatchingConfig
from runtime.decoder.strategy import Accepted, DecoderStrategy
from runtime.errors import EngineBusy, RequestError
from runtime.events import (
    Event,
    Finished,
    Preempted,
    Prefilled,
    RequestEvent,
    Started,
    Stepped,
    Submitted,
    TokenAccepted,
)
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.grammar.grammar import Grammar
from runtime.memory.block_store import BlockStore, Ledger
from runtime.memory.handle import Handle
from runtime.request import Completion, FinishReason, Request
from runtime.request_check import check_request
from runtime.scheduler import InferenceScheduler, Scheduled
from runtime.sequence import Sequence
from runtime.streaming import StreamingController


class Executor(Protocol):
    def step(self, steps: list[SequenceStep]) -> torch.Tensor:
        """The wanted logits f32 [L, V], in one of a few buffers; the cache has the tokens afterwards."""


class Vocabulary(Protocol):
    """What the engine asks of a TokenEncoder."""

    vocab_size: int

    def token_bytes(self, id: int) -> bytes: ...


class Engine:
    """Serves requests with one model. Nothing runs between calls: whoever calls `step` drives it."""

    def __init__(
        self,
        executor: Executor,
        store: BlockStore,
        batching: BatchingConfig,
        decoder: DecoderStrategy,
        vocabulary: Vocabulary,
        context_length: int,
        enforcer: Callable[[], GrammarEnforcer],
    ) -> None:
        """enforcer: makes what is needed once a request has a grammar."""
        self.executor = executor
        self.store = store
        self.decoder = decoder
        self.vocabulary = vocabulary
        self.context_length = context_length
        self.scheduler = InferenceScheduler(store, batching)
        self._batching = batching
        self._make_enforcer = enforcer
        self._enforcer: GrammarEnforcer | None = None
        self._sequences: dict[int, Sequence] = {}
        self._filling: list[Sequence] = []  # those that only want their prompt's memory
        self._deadlines: list[tuple[float, int]] = []  # a heap: engine time, request
        self._handles: dict[int, Handle] = {}  # of finished requests, until somebody asks
        self._submitted = 0
        self._events: list[Event] = []
        self._start = time.perf_counter()

    def now(self) -> float:
        """Seconds since the engine was made: the clock of all events."""
        return time.perf_counter() - self._start

    @property
    def is_idle(self) -> bool:
        """Whether `step` would do and tell nothing."""
        return not self._sequences and not self._events

    def submit(self, request: Request) -> int:
        """Queues a request and returns its number. Raises RequestError if it could never be served, EngineBusy if the
        queue is full."""
        self.check(request)
        limit = self._batching.max_waiting
        if limit is not None and len(self.scheduler.waiting) >= limit:
            raise EngineBusy(f"{limit} requests are waiting already (batching.max_waiting): try again later")
        grammar = None if request.grammar is None else self._grammars().start(request.grammar, request.stop_tokens)
        number, self._submitted = self._submitted, self._submitted + 1
        stream = StreamingController(request, self.vocabulary.token_bytes)
        sequence = Sequence(number, request, stream, list(request.prompt), grammar=grammar)
        self._sequences[number] = sequence
        self.scheduler.add(sequence)
        if sequence.only_fills:
            self._filling.append(sequence)
        now = self.now()
        if request.deadline is not None:
            heapq.heappush(self._deadlines, (now + request.deadline, number))
        self._events.append(Submitted(now, number, len(request.prompt)))
        return number

    def step(self) -> list[Event]:
        """Runs the model once on whatever can run; returns all events since the last step."""
        start = self.now()
        self._expire(start)
        plan = self.scheduler.schedule(self.decoder.propose)
        for victim in plan.preempted:
            self.decoder.forget(victim)
            self._events.append(Preempted(start, victim.id, len(victim.tokens)))
        self._events += [Started(start, sequence.id, reused) for sequence, reused in plan.started]
        if not plan.scheduled:
            self._retire_filled()
            return self._drain()
        self.decoder.begin(plan.scheduled)
        before = self.now()
        logits = self.executor.step([_step_of(entry) for entry in plan.scheduled])
        executor_seconds = self.now() - before
        accepting = [entry for entry in plan.scheduled if entry.yields_token]
        accepted = self.decoder.accept(logits, accepting) if accepting else []

        now = self.now()
        for entry in plan.scheduled:
            entry.sequence.computed += len(entry.tokens) - entry.drafts
        prefill_tokens = sum([self._publish(entry, now) for entry in plan.scheduled if entry.is_prefill])
        decode_tokens = sum([self._extend(entry, kept, now) for entry, kept in zip(accepting, accepted, strict=True)])
        self._retire_filled()
        ledger = self.store.ledger()
        self._events.append(
            Stepped(
                time=self.now(),
                seconds=self.now() - start,
                executor_seconds=executor_seconds,
                prefill_tokens=prefill_tokens,
                decode_tokens=decode_tokens,
                drafted=sum([entry.drafts for entry in plan.scheduled]),
                drafts_kept=sum([kept.drafts for kept in accepted]),
                free_blocks=ledger.free,
                cached_blocks=ledger.cached,
            )
        )
        return self._drain()

    def serve(self, requests: Iterable[Request]) -> Iterator[Event]:
        """Submits the requests and yields every event until all of them (and those before) have finished."""
        for request in requests:
            self.submit(request)
        while not self.is_idle:
            yield from self.step()

    def stream(self, request: Request) -> Iterator[Event]:
        """Serves one request, beside whatever else there is, and yields what happens to it (events of others in the
        meantime are lost). Who closes the iterator cancels the request."""
        number = self.submit(request)
        try:
            while number in self._sequences:
                yield from (
                    event for event in self.step() if isinstance(event, RequestEvent) and event.request == number
                )
        finally:
            self.cancel(number)

    def generate(self, requests: Iterable[Request]) -> list[Completion]:
        """Serves the requests together; their completions, in order."""
        completions = Completions([self.submit(request) for request in requests])
        for event in self.serve(()):
            completions.add(event)
        return completions.all()

    def cancel(self, number: int) -> None:
        """Ends a request with what it has so far, between two steps; one that has ended already stays as it is."""
        if number in self._sequences:
            self._end(self._sequences[number], FinishReason.CANCELLED)

    def cancel_all(self) -> list[Event]:
        """Ends every request; returns the events since the last step."""
        for number in list(self._sequences):
            self.cancel(number)
        return self._drain()

    def handle(self, number: int) -> Handle:
        """A handle on the memory of a request: of a running one as far as it is, or of one that has finished with
        `keep`, once. Release it when nobody will continue it any more."""
        if number in self._sequences:
            return self.store.hold(self._sequences[number])
        if number not in self._handles:
            raise RequestError(f"request {number} has left no handle: submit it with keep, and ask for its handle once")
        return self._handles.pop(number)

    def release(self, handle: Handle) -> None:
        """Lets go of a handle's memory, if that has not happened before."""
        self.store.handles.release(handle)

    def ledger(self) -> Ledger:
        """Who has the blocks of the cache."""
        return self.store.ledger()

    def prepare(self, grammar: Grammar) -> None:
        """Makes a later `submit` with this grammar quick. The one method that another thread may call, one at a time.
        Raises RequestError if the grammar is refused."""
        self._grammars().compile(grammar)

    def check(self, request: Request) -> None:
        """Raises RequestError, in one line, if the request could never be served, its grammar included."""
        check_request(request, self.store, self.context_length, self.vocabulary.vocab_size)
        if request.grammar is not None:
            self.prepare(request.grammar)

    def _grammars(self) -> GrammarEnforcer:
        if self._enforcer is None:
            self._enforcer = self._make_enforcer()
        return self._enforcer

    def _expire(self, now: float) -> None:
        self.store.handles.expire()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number = heapq.heappop(self._deadlines)
            if number in self._sequences:
                self._end(self._sequences[number], FinishReason.DEADLINE)

    def _publish(self, entry: Scheduled, now: float) -> int:
        """Lets others share a chunk of a prompt that is in the cache now; returns how many tokens it has."""
        self.store.publish(entry.sequence)
        self._events.append(Prefilled(now, entry.sequence.id, len(entry.tokens), entry.sequence.pending))
        return len(entry.tokens)

    def _extend(self, entry: Scheduled, accepted: Accepted, now: float) -> int:
        """Appends the accepted tokens; returns how many of them were decoded (none after a prefill)."""
        sequence, stream, tokens = entry.sequence, entry.sequence.stream, accepted.tokens
        sequence.computed += accepted.drafts
        sequence.drafted += entry.drafts
        sequence.drafts_kept += accepted.drafts
        sequence.forced = len(tokens) - accepted.drafts - 1
        taken = 0
        for token, logprob in zip(tokens, accepted.logprobs, strict=True):
            taken += 1
            sequence.tokens.append(token)
            text = stream.push(token)
            if sequence.grammar and taken == len(tokens) and stream.reason is None and sequence.grammar.is_complete:
                text += stream.finish(FinishReason.STOP)
            self._events.append(TokenAccepted(now, sequence.id, token, text, logprob))
            if stream.reason is not None:
                sequence.computed = min(sequence.computed, len(sequence.tokens) - 1)
                self._retire(sequence, now)
                break
        return 0 if entry.is_prefill else taken

    def _retire_filled(self) -> None:
        """Ends requests whose prompt's memory, all that they want, is there."""
        for sequence in [sequence for sequence in self._filling if not sequence.pending]:
            self._end(sequence, FinishReason.LENGTH)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        sequence.stream.finish(reason)
        self._retire(sequence, self.now())

    def _retire(self, sequence: Sequence, now: float) -> None:
        stream = sequence.stream
        assert stream.reason is not None
        if sequence.request.keep:
            self._handles[sequence.id] = self.store.hold(sequence)
        self.scheduler.remove(sequence)
        self.decoder.forget(sequence)
        del self._sequences[sequence.id]
        if sequence.only_fills:
            self._filling.remove(sequence)
        is_whole = stream.reason is FinishReason.STOP
        warnings = sequence.grammar.problems(stream.text) if sequence.grammar and is_whole else ()
        figures = (stream.new_tokens, stream.text, warnings, sequence.drafted, sequence.drafts_kept)
        self._events.append(Finished(now, sequence.id, stream.reason, *figures))

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _step_of(entry: Scheduled) -> SequenceStep:
    sequence = entry.sequence
    n_logits = 1 + entry.drafts if entry.yields_token else 0
    return SequenceStep(entry.tokens, sequence.computed, sequence.page_table, n_logits)
