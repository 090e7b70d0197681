"""An engine for the tasks of an event loop: a thread of its own drives it while there is work."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from weakref import WeakValueDictionary

from runtime.async_stream import AsyncStream, EngineStopped
from runtime.completions import Completions
from runtime.engine import Engine
from runtime.events import Event, RequestEvent
from runtime.observer import Observer
from runtime.request import Completion, Request


class AsyncEngine:
    """Serves requests, which tasks submit whenever they like.

    Only its own thread touches the engine: what tasks want of it is queued and done between two steps, and events go
    to the event loop after each step. So no listener, however slow, stalls the others. An error in the thread ends the
    engine; who waits for it, or comes later, gets EngineStopped.
    """

    def __init__(self, engine: Engine, observers: Sequence[Observer] = ()) -> None:
        """Must be made in the event loop whose tasks use it. observers: are told of every event, in the engine's
        thread."""
        self._engine = engine
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[BaseException] = self._loop.create_future()  # why, once it has
        self._streams: WeakValueDictionary[int, AsyncStream] = WeakValueDictionary()  # by request
        self._submitting: set[asyncio.Future[list[int]]] = set()
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._is_closing = False
        self._thread = threading.Thread(target=self._drive, name="engine", daemon=True)
        self._thread.start()

    async def submit(self, *requests: Request) -> AsyncStream:
        """What will happen to these requests. Raises RequestError if one of them could never be served, EngineBusy if
        the queue is full: none of them is served then. Raises EngineStopped."""
        if self.stopped.done():
            raise EngineStopped("the engine has stopped") from self.stopped.result()
        stream = AsyncStream(self._cancel)
        accepted: asyncio.Future[list[int]] = self._loop.create_future()
        self._submitting.add(accepted)
        self._commands.put(partial(self._submit, requests, stream, accepted))
        try:
            await accepted
        finally:
            self._submitting.discard(accepted)
        return stream

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Serves the requests together; their completions, in order. Raises as `submit` does."""
        async with await self.submit(*requests) as stream:
            completions = Completions(stream.numbers)
            async for event in stream:
                completions.add(event)
            return completions.all()

    async def close(self) -> None:
        """Cancels all requests, and ends the thread after the step that it is in."""
        self._commands.put(self._close)
        await self._loop.run_in_executor(None, self._thread.join)

    # In the engine's thread

    def _drive(self) -> None:
        try:
            while self._obey():
                self._deliver(self._engine.step())
            reason: BaseException = EngineStopped("the engine has been closed")
        except BaseException as error:  # whatever it was, who waits must not wait for ever
            reason = error
        self._tell(self._stop, reason)

    def _obey(self) -> bool:
        """Does what tasks have asked for, and waits for that where there is no other work. False to end."""
        while not self._is_closing:
            try:
                command = self._commands.get(block=self._engine.is_idle)
            except Empty:
                return True
            command()
        return False

    def _submit(self, requests: Sequence[Request], stream: AsyncStream, accepted: asyncio.Future[list[int]]) -> None:
        numbers: list[int] = []
        try:
            for request in requests:
                numbers.append(self._engine.submit(request))
        except Exception as error:
            self._cancel_now(numbers)
            self._tell(_refuse, accepted, error)
        else:
            self._tell(self._begin, stream, numbers, accepted)

    def _cancel_now(self, numbers: list[int]) -> None:
        for number in numbers:
            self._engine.cancel(number)

    def _close(self) -> None:
        self._deliver(self._engine.cancel_all())
        self._is_closing = True

    def _deliver(self, events: list[Event]) -> None:
        for observer in self._observers:
            for event in events:
                observer.add(event)
        self._tell(self._hand_out, [event for event in events if isinstance(event, RequestEvent)])

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop has been closed: there is nobody to tell
            self._loop.call_soon_threadsafe(callback, *arguments)

    # In the event loop

    def _begin(self, stream: AsyncStream, numbers: list[int], accepted: asyncio.Future[list[int]]) -> None:
        if accepted.done():  # nobody waits for it any more
            self._cancel(numbers)
            return
        stream.begin(numbers)
        self._streams.update((number, stream) for number in numbers)
        accepted.set_result(numbers)

    def _hand_out(self, events: list[RequestEvent]) -> None:
        for event in events:
            if (stream := self._streams.get(event.request)) is not None:
                stream.put(event)

    def _stop(self, reason: BaseException) -> None:
        self.stopped.set_result(reason)
        for stream in set(self._streams.values()):
            stream.fail(reason)
        for accepted in self._submitting:
            error = EngineStopped("the engine has stopped")
            error.__cause__ = reason
            _refuse(accepted, error)

    def _cancel(self, numbers: list[int]) -> None:  # from any thread, even while a stream is being deleted
        self._commands.put(partial(self._cancel_now, numbers))


def _refuse(accepted: asyncio.Future[list[int]], error: BaseException) -> None:
    if not accepted.done():
        accepted.set_exception(error)
