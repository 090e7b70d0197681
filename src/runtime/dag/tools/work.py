"""The host's code, at work beside the event loop."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from runtime.dag.inference.activity import Activity

_AT_ONCE = 0.05  # seconds: tools that take less do not part branches that would share a batch of the engine


def start(name: str, function: Callable[..., Any], call: Callable[[], Any]) -> "asyncio.Future[Any]":
    """What the call gives: in the event loop if the function is asynchronous, else in a thread of its own, which
    nobody ever joins: not even the end of the program waits for it."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return asyncio.ensure_future(call())
    return _in_thread(name, call)


async def finish(work: "asyncio.Future[Any]", seconds: float | None, activity: Activity) -> None:
    """Waits until it is done, or so many seconds have passed; but for the first moments, the task counts as one that
    waits."""
    at_once = _AT_ONCE if seconds is None else min(_AT_ONCE, seconds)
    await asyncio.wait([work], timeout=at_once)
    if not work.done():
        left = None if seconds is None else seconds - at_once
        await activity.waiting(asyncio.wait([work], timeout=left))


def _in_thread(name: str, call: Callable[[], Any]) -> "asyncio.Future[Any]":
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = call()
        except StopIteration as raised:  # which no future takes
            error = RuntimeError(f"StopIteration: {raised}")
        except Exception as raised:
            error = raised
        except BaseException as raised:  # SystemExit and the like end a thread, and no run
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name=f"tool {name}", daemon=True).start()
    return future
