"""Who is at work in an event loop, so that the engine waits until all who could ask it for something have asked."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_TURNS = 12  # of the loop, from a task that ends to the last of those that wait for it in turn


class Activity:
    """Tasks that are at work, as opposed to those that wait for the engine, for each other or for the world.

    Where the engine is driven only when all are quiet, what sibling branches ask of it is in one batch, however long
    each of them took to get there.
    """

    def __init__(self) -> None:
        self._working: set[asyncio.Task[object]] = set()
        self._changes = 0
        self._seen = -1  # changes when it was last found quiet
        self._changed: asyncio.Event | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """The current task is at work, but for what it spends in `waiting`. May be nested."""
        task = _current()
        if task in self._working:
            yield
            return
        self._enter(task)
        try:
            yield
        finally:
            self._leave(task)

    async def waiting(self, awaitable: Awaitable[T]) -> T:
        """Awaits it, while the current task does not count as one at work."""
        task = _current()
        if task not in self._working:
            return await awaitable
        self._leave(task)
        try:
            return await awaitable
        finally:
            self._enter(task)

    def touch(self) -> None:
        """Something has been done that makes waiting tasks go on."""
        self._changes += 1

    async def until_quiet(self) -> None:
        """Returns when nobody is at work, nor about to be: a task that has just been woken or made gets its turn."""
        await asyncio.sleep(0)
        while self._working or self._seen != self._changes:
            if self._working:
                self._changed = asyncio.Event()
                await self._changed.wait()
            self._seen = self._changes
            for _ in range(_TURNS):
                await asyncio.sleep(0)
                if self._working:
                    break

    def _enter(self, task: "asyncio.Task[object]") -> None:
        self._working.add(task)
        self._changes += 1

    def _leave(self, task: "asyncio.Task[object]") -> None:
        self._working.discard(task)
        self._changes += 1
        if self._changed is not None and not self._working:
            self._changed.set()


def _current() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None, "there is a task wherever something is awaited"
    return task
