"""An engine in a thread of its own gives every task its answer, and nobody waits for somebody slow."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import toy_continuation, toy_engine

from runtime.async_engine import AsyncEngine
from runtime.async_stream import EngineStopped
from runtime.engine import Engine
from runtime.errors import RequestError
from runtime.events import Event, Finished, Submitted, TokenAccepted
from runtime.observer import Observer
from runtime.request import FinishReason, Request

SECONDS = 60
LONG = Request((1, 2), 900)


def run(
    test: Callable[[AsyncEngine], Awaitable[None]], engine: Engine | None = None, observers: Sequence[Observer] = ()
) -> None:
    """Runs a test's tasks on an engine, and checks that nothing is left of them."""
    engine = engine or toy_engine(blocks=1024)

    async def main() -> None:
        asynchronous = AsyncEngine(engine, observers)
        try:
            await asyncio.wait_for(test(asynchronous), SECONDS)
        finally:
            await asynchronous.close()

    asyncio.run(main())
    assert engine.is_idle and engine.ledger().held == 0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


tokens = st.integers(0, 255)
requests = st.lists(
    st.builds(Request, st.lists(tokens, min_size=1, max_size=20).map(tuple), st.integers(1, 12)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4), st.integers(13, 40))
def test_any_tasks_get_their_own_answers(groups: list[list[Request]], blocks: int) -> None:
    async def test(engine: AsyncEngine) -> None:
        for group, completions in zip(groups, await asyncio.gather(*map(engine.generate, groups)), strict=True):
            for request, completion in zip(group, completions, strict=True):
                assert completion.tokens == toy_continuation(list(request.prompt), request.max_new_tokens)
                assert completion.reason is FinishReason.LENGTH

    run(test, toy_engine(blocks=blocks))


def test_a_stream_is_all_that_happens_to_its_requests() -> None:
    async def test(engine: AsyncEngine) -> None:
        async with await engine.submit(Request((1, 2), 5), Request((3,), 7)) as stream:
            events = [event async for event in stream]
        first, second = stream.numbers
        assert [type(event) for event in events if event.request == first][:1] == [Submitted]
        for number, prompt, count in ((first, [1, 2], 5), (second, [3], 7)):
            own = [event for event in events if event.request == number]
            new = [event.token for event in own if isinstance(event, TokenAccepted)]
            assert new == toy_continuation(prompt, count) and isinstance(own[-1], Finished)
        assert not await stream.wait()

    run(test)


def test_who_stops_listening_cancels_the_request() -> None:
    async def closing(engine: AsyncEngine) -> None:
        async with await engine.submit(LONG) as stream:
            await anext(stream)

    async def dropping(engine: AsyncEngine) -> None:
        async for _ in await engine.submit(LONG):
            break
        gc.collect()

    async def being_cancelled(engine: AsyncEngine) -> None:
        async def listen() -> None:
            async for _ in await engine.submit(LONG):
                pass

        task = asyncio.create_task(listen())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def being_cancelled_early(engine: AsyncEngine) -> None:
        task = asyncio.create_task(engine.submit(LONG))
        await asyncio.sleep(0)  # it waits for the engine's thread now
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for leave in (closing, dropping, being_cancelled, being_cancelled_early):
        seen: list[Event] = []

        async def test(engine: AsyncEngine, leave: Callable = leave, seen: list[Event] = seen) -> None:
            await leave(engine)
            await until(lambda: any(isinstance(event, Finished) for event in seen))
            await engine.generate([Request((5,), 3)])  # the engine goes on

        run(test, observers=[Recorder(seen)])
        reasons = [event.reason for event in seen if isinstance(event, Finished)]
        assert reasons == [FinishReason.CANCELLED, FinishReason.LENGTH], leave.__name__


class Recorder:
    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def add(self, event: Event) -> None:
        self.events.append(event)


def test_a_slow_listener_stalls_nobody_and_loses_nothing() -> None:
    async def test(engine: AsyncEngine) -> None:
        slow = await engine.submit(Request((1, 2), 40))
        await engine.generate([Request((3,), 60)])
        assert await slow.wait()
        events = slow.take()
        assert [event.token for event in events if isinstance(event, TokenAccepted)] == toy_continuation([1, 2], 40)
        assert not await slow.wait()

    run(test)


def test_a_group_with_a_wrong_request_is_refused_whole() -> None:
    async def test(engine: AsyncEngine) -> None:
        with pytest.raises(RequestError, match="empty"):
            await engine.submit(Request((1,), 50), Request((), 1))
        (completion,) = await engine.generate([Request((4,), 3)])
        assert completion.tokens == toy_continuation([4], 3)

    run(test)


def test_an_error_in_the_engine_reaches_everybody() -> None:
    class Broken(Exception):
        pass

    async def main() -> None:
        inner = toy_engine(blocks=1024)
        engine = AsyncEngine(inner)
        waiting = [asyncio.create_task(engine.generate([Request((i,), 900)])) for i in range(3)]
        streams = [await engine.submit(Request((9,), 900)) for _ in range(2)]
        inner.executor.step = fail  # type: ignore[method-assign]
        for task in waiting:
            with pytest.raises(EngineStopped) as stopped:
                await task
            assert isinstance(stopped.value.__cause__, Broken)
        for stream in streams:
            with pytest.raises(EngineStopped):
                async for _ in stream:
                    pass
        with pytest.raises(EngineStopped):
            await engine.submit(Request((1,), 1))
        await engine.close()

    def fail(batch: object) -> None:
        raise Broken

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_closing_ends_what_runs_and_refuses_what_comes() -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = await engine.submit(LONG)
        await engine.close()
        events = [event async for event in stream]
        assert isinstance(events[-1], Finished) and events[-1].reason is FinishReason.CANCELLED
        with pytest.raises(EngineStopped):
            await engine.submit(LONG)

    run(test)
