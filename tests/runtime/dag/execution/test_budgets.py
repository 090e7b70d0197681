"""Budgets that end in the middle of anything: what is told, what runs still, and that nothing is left."""

import asyncio
import threading
from typing import Any

import pytest
from toy_document import block, check_trace, document, graph, is_balanced, node, paths, run_alone
from toy_driver import BLOCK_BYTES, toy_driver
from toy_model import toy_engine

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver

SYSTEM = "/__system__/budget_exceeded"
OWN = block(SYSTEM, type="assign", assign={"told": "{{ $.error.code }}: {{ $.error.message }}"})


def ask(id: str, prompt: str, next_: Any = (), **fields: Any) -> dict[str, Any]:
    mapping = {"text": f"t_{id}", "kv_handle": f"h_{id}"}
    return node(id, "llm_call", llm={"prompt": prompt, "max_tokens": 4}, output_mapping=mapping, next=next_, **fields)


def everything(*blocks: str) -> str:
    """Inferences, nested forks, calls, handles: 17 nodes, 6 of which ask the model."""
    return document(
        graph(
            "/main",
            node("start", "assign", assign={"prompt": "a beginning for all "}, next="first"),
            ask("first", "{{ $.prompt }}", "fork", on_error="never"),
            node("never", "start"),
            node("fork", "fork", branches=["a", "b", "c"]),
            ask("a", "{{ $.prompt }}a", "meet"),
            ask("b", "{{ $.prompt }}b", "b_more"),
            node("b_more", "start", next="meet"),
            node("c", "fork", branches=["d", "e"]),
            ask("d", "{{ $.prompt }}d", "meet_inner"),
            node("e", "assign", assign={"e": "{{ $.prompt }}"}, next="meet_inner"),
            node("meet_inner", "join", wait_for=["d", "e"], next="meet"),
            node("meet", "join", wait_for=["a", "b", "c"], next="go_on"),
            node(
                "go_on",
                "assign",
                assign={"kv_handle": "{{ $.h_first }}", "new_prompt": "!", "max_tokens": 3},
                next=["/lib/reasoning/continue_from_kv@v1", "two"],
            ),
            node("two", "start", next=["left", "right"]),
            ask("left", "{{ $.continuation }}", "end"),
            node("right", "start", next="end"),
            node("end", "start"),
        ),
        *blocks,
    )


JOINS = ("/main/meet", "/main/meet_inner")


def engine_for(text: str, **options: Any) -> tuple[DSLEngine, InferenceDriver]:
    driver = toy_driver(toy_engine(blocks=100, **options))
    return DSLEngine.from_markdown(text, driver, cache_bytes=0), driver


def limited(text: str, **limits: Any) -> RunResult:
    engine, driver = engine_for(text)
    result = run_alone(engine, budget=Budget(**limits))
    check_trace(result.traces, *JOINS)
    assert is_balanced(driver)
    if not result.success:
        assert result.error == Code.BUDGET_EXCEEDED, result.message
        assert paths(result.traces)[-1] == SYSTEM
        assert result.final_context["error"]["code"] == Code.BUDGET_EXCEEDED
        assert "/main/never" not in paths(result.traces)
    return result


def charged(result: RunResult) -> int:
    """How many nodes have begun, refused ones and the system's node apart."""
    return sum(
        record.status in ("success", "cancelled") and record.node_path != SYSTEM for record in result.traces
    ) + sum(record.status == "failed" and record.error_code != Code.BUDGET_EXCEEDED for record in result.traces)


def test_exactly_as_many_nodes_run_as_may() -> None:
    whole = limited(everything())
    assert whole.success and charged(whole) == 17
    for most in range(18):
        result = limited(everything(), max_nodes=most)
        assert result.success == (most == 17) and charged(result) == most
        refused = [record for record in result.traces if record.error_code == Code.BUDGET_EXCEEDED]
        assert (
            all("node limit reached" in (record.error or "") for record in refused) and bool(refused) != result.success
        )


def test_as_many_inferences_run_as_may() -> None:
    for most in range(7):
        result = limited(everything(), max_llm_calls=most)
        assert result.success == (most == 6)
        assert sum(record.llm_call is not None for record in result.traces) <= most


@pytest.mark.parametrize("limit", ["max_tokens", "max_kv_bytes"])
def test_what_does_not_fit_is_not_computed(limit: str) -> None:
    unit = 1 if limit == "max_tokens" else BLOCK_BYTES
    ends = []
    for most in range(0, 260, 12):
        result = limited(everything(), **{limit: most * unit})
        served = [record.native_inference for record in result.traces if record.native_inference is not None]
        if limit == "max_tokens":  # of a handle's tokens, only new ones count
            assert sum(each.prefilled_tokens - each.prompt_tokens + each.completion_tokens for each in served) <= most
        ends.append(result.success)
    assert ends == sorted(ends) and not ends[0] and ends[-1]


@pytest.mark.parametrize("limit", [{"max_tokens": 23}, {"max_kv_bytes": 5 * BLOCK_BYTES}])
def test_an_inference_is_refused_before_its_prefill(limit: dict[str, int]) -> None:
    engine, driver = engine_for(everything())
    result = run_alone(engine, budget=Budget(**limit))
    assert result.error == Code.BUDGET_EXCEEDED and driver._engine.executor.batch_tokens == []  # type: ignore[attr-defined]
    assert result.final_context["error"]["context"]["node"] == "/main/first" and is_balanced(driver)


@pytest.mark.parametrize("is_kept", [False, True])
def test_memory_is_given_back_for_the_next_inference(is_kept: bool) -> None:
    """There is room for one at a time; some fail after they were served."""
    schema = {"prompt": "abcd", "max_tokens": 4, "model": "nobody"}
    nodes = []
    for i in range(6):
        then = {"next": f"n{i + 1}"} if i < 5 else {}
        if i % 3 == 2:
            nodes.append(node(f"n{i}", "llm_call", llm=schema, on_error=f"n{i + 1}" if i < 5 else "last"))
        elif is_kept:
            nodes.append(ask(f"n{i}", f"ab{i}", f"n{i + 1}"))
        else:
            fields = {"llm_tool_name": "llama-default", "llm_params": {"max_tokens": 4}, "output_keys": ["x"]}
            nodes.append(node(f"n{i}", "dsl_call", prompt_template=f"ab{i}", **fields, **then))
    text = document(graph("/main", *nodes, node("last", "start")), entry="/main/n0")
    result = limited(text, max_kv_bytes=2 * BLOCK_BYTES)
    assert result.success and result.traces[-1].budget_snapshot["kv_bytes_used"] == 0


@pytest.mark.parametrize("limits", [{"max_nodes": 7}, {"max_llm_calls": 2}, {"max_tokens": 60}, {"max_nodes": 0}])
def test_the_documents_own_node_runs_at_the_end(limits: dict[str, int]) -> None:
    result = limited(everything(OWN), **limits)
    assert (
        result.final_context["told"] == f"ERR_BUDGET_EXCEEDED: {result.message.removesuffix(' [ERR_BUDGET_EXCEEDED]')}"
    )


def test_the_documents_own_end_cannot_go_on_for_ever() -> None:
    endless = block(SYSTEM, type="assign", assign={"again": "{{ default($.again, '') }}x"}, next=SYSTEM)
    result = limited_endless(everything(endless))
    assert result.error == Code.BUDGET_EXCEEDED and result.final_context["again"] == "x" * 100


def limited_endless(text: str) -> RunResult:
    engine, driver = engine_for(text)
    result = run_alone(engine, budget=Budget(max_nodes=3))
    assert is_balanced(driver)
    return result


def test_generated_graphs_are_counted() -> None:
    written = "### AgenticDSL `/dynamic/x`\n```yaml\ntype: start\n```\n"
    text = document(
        block("/main/start", type="generate_subgraph", prompt_template="go", output_keys=["p"], next="/main/again"),
        block("/main/again", type="generate_subgraph", prompt_template="go", output_keys=["p"], next="/main/end"),
        block("/main/end", type="start"),
    )
    for most in range(3):
        engine = DSLEngine.from_markdown(text)
        engine.register_llm_tool("llama-default", lambda prompt, params: written)
        result = run_alone(engine, budget=Budget(max_subgraph_depth=most))
        check_trace(result.traces)
        assert result.success == (most == 2)
        assert sum(record.generate_subgraph is not None for record in result.traces) == most
        if most < 2:
            assert result.error == Code.BUDGET_EXCEEDED and "subgraph depth limit" in result.message


@pytest.mark.parametrize("fork", [False, True])
def test_time_ends_in_the_middle_of_decoding(fork: bool) -> None:
    """The answer is what there was in time; what follows is refused."""
    long = {"prompt": "abc", "max_tokens": 5000}
    branches = [
        each
        for id in "ab"
        for each in (
            node(id, "llm_call", llm=long, output_mapping={"text": id}, next=f"{id}2"),
            node(f"{id}2", "start"),
        )
    ]
    first = node("start", "fork", branches=["a", "b"], next="end") if fork else node("start", "start", next="a")
    text = document(graph("/main", first, *branches, node("end", "start")), execution_budget={"max_duration_sec": 0.15})
    driver = toy_driver(toy_engine(blocks=6000, context_length=10_000))
    result = run_alone(DSLEngine.from_markdown(text, driver))
    check_trace(result.traces)
    assert result.error == Code.BUDGET_EXCEEDED and "time limit" in result.message and is_balanced(driver)
    served = [record.native_inference for record in result.traces if record.native_inference is not None]
    assert len(served) == 1 + fork and all(each.finish_reason == "deadline" for each in served)
    assert all(0 < each.completion_tokens < 5000 for each in served)
    assert not {"/main/a2", "/main/b2", "/main/end"} & set(paths(result.traces, "success"))
    assert paths(result.traces)[-1] == SYSTEM


def test_time_ends_in_the_last_node() -> None:
    """Nothing follows that could be refused; what there was in time is left."""
    text = document(
        graph(
            "/main", node("start", "llm_call", llm={"prompt": "abc", "max_tokens": 5000}, output_mapping={"text": "t"})
        )
    )
    driver = toy_driver(toy_engine(blocks=6000, context_length=10_000))
    result = run_alone(DSLEngine.from_markdown(text, driver), budget=Budget(max_duration_sec=0.1))
    assert result.error == Code.BUDGET_EXCEEDED and "time limit" in result.message and is_balanced(driver)
    assert paths(result.traces, "success") == ["/main/start", SYSTEM] and result.final_context["t"]


@pytest.mark.parametrize("is_thread", [False, True])
@pytest.mark.parametrize("fork", [False, True])
def test_time_ends_while_a_tool_hangs(is_thread: bool, fork: bool) -> None:
    """Beside an inference that is whole, in a fork."""
    done = threading.Event()

    async def hang() -> None:
        await asyncio.Event().wait()

    first = node("start", "fork", branches=["a", "b"], next="end") if fork else node("start", "start", next="b")
    text = document(
        graph(
            "/main",
            first,
            ask("a", "quick"),
            node("b", "tool_call", tool="hang", arguments={}, output_keys=["x"], on_error="end"),
            node("end", "start"),
        ),
        execution_budget={"max_duration_sec": 0.1},
    )
    engine, driver = engine_for(text)
    engine.register_tool("hang", (lambda: done.wait(60)) if is_thread else hang, timeout=None)
    try:
        result = run_alone(engine)
    finally:
        done.set()
    check_trace(result.traces)
    assert result.error == Code.BUDGET_EXCEEDED and "time limit" in result.message and is_balanced(driver)
    assert paths(result.traces, "failed") == ["/main/b"]
    assert ("/main/a" in paths(result.traces, "success")) == fork
