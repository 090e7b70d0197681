"""The engine, for the nodes of a document: what they ask for together runs together."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock
from typing import NamedTuple, Self

from model.token_encoder import TokenEncoder
from runtime.assembly import Assembly
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import Reservation
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.continuation import continuation_of
from runtime.dag.inference.fork_prefixes import ForkPrefixes
from runtime.dag.inference.inference import Inference, InferenceResult
from runtime.dag.inference.job import Job
from runtime.dag.inference.kv_handles import Continuation, KVHandleTable
from runtime.dag.inference.model_card import ModelCard
from runtime.dag.inference.outcome import acceptance_rate, features, parsed
from runtime.dag.inference.request_writer import RequestWriter
from runtime.dag.inference.timeline import Timeline
from runtime.dag.tools.tool import Invocation
from runtime.dag.trace.record import MemorySample
from runtime.engine import Engine
from runtime.errors import EngineBusy, RequestError
from runtime.events import Event, Finished
from runtime.grammar.grammar import Grammar
from runtime.memory.common_length import common_length
from runtime.request import FinishReason, Request


class Served(NamedTuple):
    """order: among those that wait together. request: as one that knows nothing of others."""

    order: tuple[tuple[int, ...], str, int]
    request: Request
    text: str


@dataclass
class Log:
    """events: of the engine. served: what was asked for, and what came of it."""

    events: list[Event] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)


class InferenceDriver:
    """Serves inferences with an engine that it alone drives, in the event loop that asks for them.

    The engine takes a step only when all tasks of the run wait (`activity`). So what sibling branches ask for is in one
    batch, in the order of the branches, and no step depends on how fast anybody was. A task that is cancelled takes its
    request with it. One event loop at a time.

    log: filled from now on, if there is one.
    """

    def __init__(self, engine: Engine, encoder: TokenEncoder, model: ModelCard, activity: Activity) -> None:
        self.model = model
        self.activity = activity
        self.handles = KVHandleTable(engine, model.fingerprint)
        self._engine = engine
        self._encoder = encoder
        self._writer = RequestWriter(encoder, model, min(engine.context_length, engine.store.capacity))
        self._prefixes = ForkPrefixes(engine)
        self._timeline = Timeline(engine.store.allocator.total)
        self._waiting: list[Job] = []
        self._jobs: dict[int, Job] = {}  # by request
        self._serial = count()
        self._began = engine.now()
        self._task: asyncio.Task[None] | None = None
        self._compiling = Lock()  # of threads; see Engine.prepare
        self.log: Log | None = None

    @classmethod
    def of(cls, assembly: Assembly) -> Self:
        """Of a new engine of the assembly."""
        return cls(assembly.engine(), assembly.loaded.encoder, ModelCard.of(assembly), Activity())

    @property
    def memory(self) -> list[MemorySample]:
        """The cache after each step since the run began."""
        return self._timeline.samples

    def begin_run(self) -> None:
        """Times, steps and samples of memory count from now."""
        self._began = self._engine.now()
        self._timeline = Timeline(self._engine.store.allocator.total, self._began)

    def end_run(self) -> None:
        """Releases all handles and all that was kept for forks. Nobody waits for an inference any more."""
        self.handles.release_all()
        self._prefixes.end_all()

    def end_fork(self, fork: str) -> None:
        """No branch of this run of a fork will ask for an inference again."""
        self._prefixes.end(fork)

    async def infer(self, inference: Inference, invocation: Invocation) -> InferenceResult:
        """Raises NodeError: RESOURCE_UNAVAILABLE for another model, UNSUPPORTED_CAPABILITY for guesses where there are
        none, INVALID_INPUT for what can never be served, KV_EXPIRED, BUDGET_EXCEEDED (before anything is computed, or
        where time ended before an answer that has to be whole), GENERATION for an answer that was cut off and had to be
        whole."""
        past = self.handles.get(inference.kv_handle) if inference.kv_handle is not None else None
        request = self._writer.write(inference, past)
        await self._check(request)
        store, prompt = self._engine.store, len(request.prompt)
        blocks = -(-(prompt + request.max_new_tokens) // store.block_size)
        new = prompt - (len(past.tokens) if past else 0)
        reservation = invocation.scope.reserve(
            tokens=new + request.max_new_tokens, kv_bytes=blocks * self.model.block_bytes
        )
        is_kept = False
        try:
            job = self._job(request, invocation)
            finished = await self._serve(job)
            continuation = self._continuation(job, finished)
            reservation.settle(tokens=0 if job.number is None else new + finished.new_tokens)
            if self.log is not None:
                self.log.served.append(Served(job.order, replace(request, resume=None, keep=False), finished.text))
            native = job.native(finished, self.model.name, self._began, store.block_size)
            try:
                output = parsed(inference, finished)
            except NodeError as error:
                error.native = native
                if continuation is not None:
                    self._engine.release(continuation.handle)
                raise
            handle = None if continuation is None else self._named(continuation, reservation, job)
            is_kept = handle is not None
        finally:
            if not is_kept:
                reservation.release()
        return InferenceResult(
            finished.text,
            handle,
            output,
            acceptance_rate(inference, finished),
            finished.reason.value,
            native,
            features(inference),
            self._writer.notes(inference),
        )

    async def _check(self, request: Request) -> None:
        try:
            if request.grammar is not None:
                # In a thread, as it may take a second. The task stays at work: others wait, as for whatever it does.
                await asyncio.get_running_loop().run_in_executor(None, self._compile, request.grammar)
            self._engine.check(request)
        except RequestError as error:
            raise NodeError(Code.INVALID_INPUT, str(error)) from error

    def _compile(self, grammar: Grammar) -> None:
        with self._compiling:
            self._engine.prepare(grammar)

    def _job(self, request: Request, invocation: Invocation) -> Job:
        return Job(
            (invocation.branch, invocation.node_path, next(self._serial)),
            invocation.fork,
            request,
            invocation.deadline,
            self._engine.now(),
            self._remembered(request),
            asyncio.get_running_loop().create_future(),
        )

    def _remembered(self, request: Request) -> int:
        """Tokens of its prompt that it need not compute, thanks to the handle that it resumes."""
        handle, store = request.resume, self._engine.store
        if handle is None or handle not in store.handles:
            return 0
        common = common_length(handle.tokens[: handle.computed], request.prompt)
        return common if store.memory.truncates or common == handle.computed else 0

    async def _serve(self, job: Job) -> Finished:
        self._waiting.append(job)
        self.activity.touch()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drive(), name="inference driver")
        try:
            return await self.activity.waiting(job.ended)
        except BaseException:
            self._abandon(job)
            raise

    def _continuation(self, job: Job, finished: Finished) -> Continuation | None:
        if job.number is None or not job.request.keep:
            return None
        handle = self._engine.handle(job.number)
        return continuation_of(handle, len(job.request.prompt), finished.text, finished.reason, self._encoder)

    def _named(self, continuation: Continuation, reservation: Reservation, job: Job) -> str:
        reservation.settle(tokens=0, kv_bytes=len(continuation.handle.blocks) * self.model.block_bytes)
        return self.handles.name(continuation, reservation, branch=job.order[0])

    def _abandon(self, job: Job) -> None:
        """Nobody waits for it any more, however far it is."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._prefixes.drop(job)
        if job.number is not None:
            self._jobs.pop(job.number, None)
            self._engine.cancel(job.number)
            if job.request.keep:
                self._engine.release(self._engine.handle(job.number))

    async def _drive(self) -> None:
        """While there is work: waits until nobody else is about to ask for something, then takes a step."""
        try:
            while self._waiting or not self._engine.is_idle:
                await self.activity.until_quiet()
                self._submit()
                self._deliver(self._engine.step())
        except BaseException as error:
            for job in [*self._waiting, *self._jobs.values()]:
                if not job.ended.done():
                    job.ended.set_exception(error) if isinstance(error, Exception) else job.ended.cancel()
            self.activity.touch()
            if not isinstance(error, Exception):
                raise

    def _submit(self) -> None:
        """Hands waiting jobs to the engine, but for those whose prefix is being computed."""
        self._waiting.sort(key=lambda job: job.order)
        self._prefixes.place(self._waiting)
        for job in list(self._waiting):
            left = None if job.deadline is None else job.deadline - time.monotonic()
            if left is not None and left <= 0:
                self._leave(job)
                self._finish(job, Finished(self._engine.now(), -1, FinishReason.DEADLINE, 0, ""))
            elif job.prefix is None or job.prefix.is_ready:
                try:
                    job.number = self._engine.submit(replace(_resumed(job), deadline=left))
                except EngineBusy:
                    return
                self._jobs[job.number] = job
                self._leave(job)

    def _leave(self, job: Job) -> None:
        self._waiting.remove(job)
        self._prefixes.drop(job)

    def _deliver(self, events: list[Event]) -> None:
        if self.log is not None:
            self.log.events += events
        self._timeline.add(events, self._jobs)
        for event in events:
            if not isinstance(event, Finished) or self._prefixes.finished(event.request):
                continue
            job = self._jobs.pop(event.request, None)
            if job is not None:
                self._finish(job, event)

    def _finish(self, job: Job, finished: Finished) -> None:
        if not job.ended.done():
            job.ended.set_result(finished)
            self.activity.touch()


def _resumed(job: Job) -> Request:
    """Its request, resuming what spares most: its own handle, or what its fork shares."""
    prefix = job.prefix
    if prefix is None or prefix.handle is None or job.own_memory >= len(prefix.tokens):
        return job.request
    return replace(job.request, resume=prefix.handle)
