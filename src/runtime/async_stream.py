"""What happens to some requests of an AsyncEngine, as it happens."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

from runtime.events import Finished, RequestEvent


class EngineStopped(RuntimeError):
    """The engine has been closed, or an error (this one's cause) has ended it."""


class AsyncStream:
    """The events of one or several requests until all have finished: `async for event in stream`.

    Who stops listening cancels what is still running: by leaving `async with stream`, by `close`, by being cancelled
    while it waits for an event, or by dropping the stream. Events wait here, however long nobody takes them.
    """

    def __init__(self, cancel: Callable[[list[int]], None]) -> None:
        """cancel: ends requests; called from any thread."""
        self.numbers: list[int] = []  # of the requests, in the order in which they were submitted
        self._cancel = cancel
        self._running: set[int] = set()
        self._events: deque[RequestEvent] = deque()
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()

    def begin(self, numbers: list[int]) -> None:
        """For AsyncEngine, as the next two: it serves these requests."""
        self.numbers = numbers
        self._running = set(numbers)

    def put(self, event: RequestEvent) -> None:
        if event.request in self._running:  # else it has been closed
            self._events.append(event)
            self._wake.set()

    def fail(self, error: BaseException) -> None:
        """There will be no more events, and this is why."""
        self._failure = error
        self._wake.set()

    async def wait(self) -> bool:
        """Waits until there is an event to take; False if there will be none. Raises EngineStopped."""
        while not self._events:
            if not self._running:
                return False
            if self._failure is not None:
                raise EngineStopped("the engine has stopped") from self._failure
            self._wake.clear()
            try:
                await self._wake.wait()
            except asyncio.CancelledError:
                self.close()
                raise
        return True

    def take(self) -> list[RequestEvent]:
        """The events that are there already."""
        events = list(self._events)
        self._events.clear()
        self._running -= {event.request for event in events if isinstance(event, Finished)}
        return events

    def close(self) -> None:
        """Cancels what is still running; nothing more comes then."""
        running, self._running = sorted(self._running), set()
        self._events.clear()
        if running:
            self._cancel(running)

    def __aiter__(self) -> "AsyncStream":
        return self

    async def __anext__(self) -> RequestEvent:
        if not await self.wait():
            raise StopAsyncIteration
        event = self._events.popleft()
        if isinstance(event, Finished):
            self._running.discard(event.request)
        return event

    async def __aenter__(self) -> "AsyncStream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
