"""Runs that are cancelled and tools that do their worst: nothing is held, nobody is left, and the next run is right."""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_document import check_trace, document, graph, is_balanced, node, nothing_else_runs, paths, run_alone
from toy_driver import toy_driver
from toy_model import toy_engine
from toy_programs import Program, engine_of, left, programs

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.errors import RequestError

JOINS = ("/main/meet", "/main/meet_inner")


def ask(id: str, prompt: str, next_: Any = (), **fields: Any) -> dict[str, Any]:
    mapping = {"text": f"t_{id}", "kv_handle": f"h_{id}"}
    return node(id, "llm_call", llm={"prompt": prompt, "max_tokens": 4}, output_mapping=mapping, next=next_, **fields)


def work(id: str, next_: Any = (), tool: str = "work", **fields: Any) -> dict[str, Any]:
    return node(id, "tool_call", tool=tool, arguments={}, output_keys=[id], next=next_, **fields)


EVERYTHING = document(
    graph(
        "/main",
        ask("start", "a beginning for all ", "before"),
        work("before", "fork"),
        node("fork", "fork", branches=["a", "b", "c"]),
        ask("a", "a beginning for all a", "meet"),
        work("b", "b_more"),
        ask("b_more", "a beginning for all b", "meet"),
        node("c", "fork", branches=["d", "e"]),
        ask("d", "a beginning for all d", "meet_inner"),
        work("e", "meet_inner"),
        node("meet_inner", "join", wait_for=["d", "e"], next="meet"),
        node("meet", "join", wait_for=["a", "b", "c"], next="go_on"),
        node(
            "go_on",
            "assign",
            assign={"kv_handle": "{{ $.h_start }}", "new_prompt": "!", "max_tokens": 3},
            next=["/lib/reasoning/continue_from_kv@v1", "two"],
        ),
        node("two", "start", next=["left", "right"]),
        ask("left", "{{ $.continuation }}", "end"),
        work("right", "end"),
        node("end", "start"),
    )
)


async def work_a_little() -> str:
    for _ in range(4):
        await asyncio.sleep(0)
    return "done"


def new_engine(text: str, tool: Callable[..., Any] = work_a_little, cache_bytes: int = 0, **options: Any) -> DSLEngine:
    """Of a small cache: what is left behind would soon be missed."""
    engine = DSLEngine.from_markdown(text, toy_driver(toy_engine(blocks=60, **options)), cache_bytes=cache_bytes)
    engine.register_tool("work", tool)
    return engine


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_run_can_be_cancelled_at_any_moment(recurrent: bool) -> None:
    """One engine for all: what a cancelled run leaves would change what the next ones give."""
    engine = new_engine(EVERYTHING, recurrent=recurrent, token_budget=8)
    driver = engine._driver
    assert driver is not None
    expected = left(run_alone(engine))

    async def cancelled(turns: int) -> bool:
        task = asyncio.create_task(engine.run_async())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await nothing_else_runs()
        assert is_balanced(driver)
        return task.cancelled()

    turns, ended = 0, set()
    while asyncio.run(cancelled(turns)):
        traces = engine.get_last_traces()
        check_trace(traces, *JOINS)
        ended |= {path for record in traces if record.status == "cancelled" for path in [record.node_path]}
        turns += 5 if turns < 60 else 11
    assert turns > 60 and {"/main/start", "/main/before", "/main/fork", "/main/b", "/main/a"} <= ended
    assert left(run_alone(engine)) == expected and is_balanced(driver)


def test_a_run_can_be_cancelled_while_a_grammar_is_compiled() -> None:
    """The thread that does it cannot be stopped; nobody waits for it."""
    begun, go_on = threading.Event(), threading.Event()

    def compile(grammar: object) -> None:
        begun.set()
        go_on.wait(30)
        raise RequestError("it is none")

    llm = {"prompt": "x", "output_schema": {"type": "object"}}
    fork = node("start", "fork", branches=["a", "b"])
    engine = new_engine(document(graph("/main", fork, node("a", "llm_call", llm=llm), ask("b", "abc"))))
    driver = engine._driver
    assert driver is not None
    driver._engine._make_enforcer = lambda: SimpleNamespace(compile=compile)  # type: ignore[assignment,return-value]

    async def run() -> None:
        task = asyncio.create_task(engine.run_async())
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_else_runs()
        assert is_balanced(driver)
        go_on.set()

    asyncio.run(run())
    assert sorted(paths(engine.get_last_traces(), "cancelled")) == ["/main/a", "/main/b", "/main/start"]
    result = run_alone(engine)
    assert result.error == Code.INVALID_INPUT and "it is none" in result.message and is_balanced(driver)


class Odd(BaseException):
    """Nobody expects it."""


def raising(error: BaseException) -> Callable[[], Any]:
    def tool() -> Any:
        raise error

    return tool


def raising_in_the_loop(error: BaseException) -> Callable[[], Any]:
    async def tool() -> Any:
        await asyncio.sleep(0)
        raise error

    return tool


async def hang() -> None:
    await asyncio.Event().wait()


async def hang_on_cancellation() -> str:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "too late"


WORST = {
    "raises": (raising(RuntimeError("two\nlines")), Code.TOOL_FAILED),
    "raises in the loop": (raising_in_the_loop(ValueError("x")), Code.TOOL_FAILED),
    "raises a node's error": (raising(NodeError(Code.KV_EXPIRED, "gone")), Code.KV_EXPIRED),
    "ends the program": (raising(SystemExit(3)), Code.TOOL_FAILED),
    "presses Ctrl-C": (raising(KeyboardInterrupt()), Code.TOOL_FAILED),
    "stops": (raising(StopIteration("x")), Code.TOOL_FAILED),
    "raises what is no Exception": (raising(Odd()), Code.TOOL_FAILED),
    "raises it in the loop": (raising_in_the_loop(Odd()), Code.TOOL_FAILED),
    "cancels itself": (raising_in_the_loop(asyncio.CancelledError()), Code.TOOL_CANCELLED),
    "raises a timeout": (raising_in_the_loop(TimeoutError()), Code.TOOL_FAILED),
    "hangs": (hang, Code.TOOL_TIMEOUT),
    "hangs and returns": (hang_on_cancellation, Code.TOOL_TIMEOUT),
    "gives no JSON": (lambda: object(), Code.TOOL_FAILED),
    "gives a ring": (lambda: (ring := [], ring.append(ring), ring)[2], Code.TOOL_FAILED),
}


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("handled", [False, True])
def test_tools_can_do_their_worst(name: str, handled: bool) -> None:
    """Beside inferences, in a branch and in a call within it."""
    tool, code = WORST[name]
    handler = {"on_error": "end"} if handled else {}
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["a", "b", "c"], next="end", **handler),
            ask("a", "a beginning for all a"),
            node("b", "start", next="/dynamic/call"),
            ask("c", "a beginning for all c", "c_more"),
            ask("c_more", "more", "c_most"),
            ask("c_most", "most"),
            ask("end", "{{ default($.error.code, 'none') }}"),
        ),
        graph("/dynamic/call", ask("start", "a beginning for all b", "worst"), work("worst", tool="worst")),
    )
    engine = new_engine(text)
    engine.register_tool("worst", tool, timeout=0.02)
    driver = engine._driver
    assert driver is not None
    for _ in range(2):
        result = run_alone(engine)
        check_trace(result.traces)
        assert is_balanced(driver) and result.success == handled
        failed = {record.node_path: record.error_code for record in result.traces if record.status == "failed"}
        assert failed == {"/dynamic/call/worst": code, "/main/start": code}
        assert "\n" not in result.message and (handled or result.error == code)
        assert ("/main/end" in paths(result.traces, "success")) == handled


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_tool_that_ends_the_loop_leaves_nothing_behind(error: BaseException) -> None:
    """That is asyncio's: whoever raises these in the event loop ends it."""
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["a", "b"], on_error="end"),
            ask("a", "a beginning for all a", "a_more"),
            ask("a_more", "more"),
            ask("b", "a beginning for all b", "worst"),
            work("worst", tool="worst"),
            node("end", "start"),
        )
    )
    engine = new_engine(text)
    engine.register_tool("worst", raising_in_the_loop(error))
    driver = engine._driver
    assert driver is not None
    with pytest.raises(type(error)):
        engine.run()
    assert is_balanced(driver)
    check_trace(engine.get_last_traces())
    engine.register_tool("worst", work_a_little)
    assert left(run_alone(engine))["worst"] == "done" and is_balanced(driver)


def test_what_the_engine_raises_ends_the_run_and_not_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(EVERYTHING)
    driver = engine._driver
    assert driver is not None
    executor = driver._engine.executor
    step, steps = executor.step, iter(range(1000))

    def broken(batch: Any) -> Any:
        if next(steps) == 9:
            raise ZeroDivisionError
        return step(batch)

    with monkeypatch.context() as patched:
        patched.setattr(executor, "step", broken)
        with pytest.raises(ZeroDivisionError):
            engine.run()
    check_trace(engine.get_last_traces(), *JOINS)
    assert is_balanced(driver)
    assert left(run_alone(engine)) == left(run_alone(new_engine(EVERYTHING)))


limits = st.sampled_from(["max_nodes", "max_llm_calls", "max_tokens", "max_kv_bytes"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs, st.lists(st.tuples(limits, st.integers(0, 40), st.integers(0, 200)), max_size=3), st.integers(0, 999))
def test_whatever_ends_random_runs_the_next_one_is_right(
    program: Program, ends: list[tuple[str, int, int]], seed: int
) -> None:
    """Cancelled at any time, under any budget, with what is known from the runs before."""
    engine = engine_of(program, random.Random(seed))
    driver = engine._driver
    assert driver is not None

    async def run() -> RunResult:
        for limit, most, turns in ends:
            budget = Budget(**{limit: most * (500 if limit == "max_kv_bytes" else 1)})
            task = asyncio.create_task(engine.run_async(budget=budget))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert (result := await task).success or result.error == Code.BUDGET_EXCEEDED
            await nothing_else_runs()
            assert len(driver.handles) == 0 and not driver.activity._working
        return await engine.run_async()

    assert left(asyncio.run(run())) == program.result()
    engine.cache.clear()
    assert is_balanced(driver)
