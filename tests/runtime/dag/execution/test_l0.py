"""Calls that are known: what is recalled, and what it takes to be computed again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from toy_document import document, expected, graph, inferences, is_balanced, node, run_alone
from toy_driver import BLOCK_BYTES, invocation, toy_driver
from toy_model import toy_engine

from runtime.dag.document.node import Budget
from runtime.dag.document.parser import parse_document
from runtime.dag.errors import Code
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.inference import Inference
from runtime.dag.inference.subgraph_kv_cache import CallKey, SubgraphKVCache

SIGNATURE = {
    "inputs": [{"name": "x", "type": "string", "required": True}],
    "outputs": [{"name": "y", "type": "string", "required": True}, {"name": "kv_handle", "type": "string"}],
    "version": "1.0",
}


def answer(path: str = "/lib/answer@v1", before: str = "", version: str = "1.0", **fields: Any) -> str:
    """A graph of two nodes that asks the model. before: what the first one's `z` is."""
    llm = {"prompt": "{{ $.x }} {{ $.z }}", "max_tokens": 4}
    return graph(
        path,
        node("start", "assign", assign={"z": before}, next="ask"),
        node("ask", "llm_call", llm=llm, output_mapping={"text": "y", "kv_handle": "kv_handle"}, next="end"),
        node("end", "start"),
        **{"signature": SIGNATURE | {"version": version}} | fields,
    )


def calling(*blocks: str, times: int = 1, target: str = "/lib/answer@v1", **fields: Any) -> str:
    """Calls it so often, with the context's `x`."""
    chain = [
        node(f"n{i}", "assign", assign={f"y{i}": "{{ default($.y, '') }}"}, next=[target, f"n{i + 1}"])
        for i in range(times)
    ]
    start = node("start", "start", next="n0")
    return document(graph("/main", start, *chain, node(f"n{times}", "start")), *blocks, **fields)


def engine_of(text: str, **options: Any) -> DSLEngine:
    return DSLEngine.from_markdown(text, toy_driver(toy_engine(blocks=200)), **options)


def driver_of(engine: DSLEngine) -> InferenceDriver:
    assert engine._driver is not None
    return engine._driver


def run(engine: DSLEngine, x: str = "abc", **options: Any) -> RunResult:
    result = run_alone(engine, {"x": x} | options.pop("ctx", {}), **options)
    assert len(driver_of(engine).handles) == 0
    return result


def check_nothing_is_left(engine: DSLEngine) -> None:
    engine.cache.clear()
    assert is_balanced(driver_of(engine)) and engine.cache.bytes == 0


def recalled(result: RunResult) -> int:
    return sum("recalled" in record.metadata for record in result.traces)


def test_what_is_known_is_not_asked_again_in_a_run_and_in_the_next() -> None:
    engine = engine_of(calling(answer(), times=3))
    first, second, other = run(engine), run(engine), run(engine, "abd")
    assert [inferences(each) for each in (first, second, other)] == [1, 0, 1]
    assert [recalled(each) for each in (first, second, other)] == [2, 3, 2]
    assert first.final_context["y"] == second.final_context["y"] == expected("abc ", 4)
    assert other.final_context["y"] == expected("abd ", 4)
    assert first.final_context == second.final_context | {"kv_handle": first.final_context["kv_handle"]}
    check_nothing_is_left(engine)


Change = Callable[[DSLEngine], Any]


def appended(*blocks: str) -> Change:
    return lambda engine: engine.append_graphs(parse_document("".join(blocks)).graphs)


def other_weights(engine: DSLEngine) -> None:
    driver = driver_of(engine)
    driver.model = replace(driver.model, fingerprint="other")


def another_model(engine: DSLEngine) -> None:
    driver = toy_driver(toy_engine(blocks=200))
    engine.use_model(driver)


NESTED = graph(
    "/lib/outer@v1",
    node("start", "start", next=["/lib/answer@v1", "end"]),
    node("end", "start"),
    signature=SIGNATURE,
)


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        (lambda engine: None, True),
        (appended(answer()), False),  # though it is the same
        (appended(answer("/lib/other@v1")), True),
        (appended(answer(version="1.1")), False),
        (appended(answer(before="other")), False),
        (appended(answer(execution_budget={"max_nodes": 50})), False),
        (appended(answer(permissions=[{"reasoning": "llm_generate"}])), False),
        (another_model, False),
        (other_weights, False),
        (lambda engine: engine.cache.invalidate("/lib/answer@v1"), False),
        (lambda engine: engine.cache.invalidate("/lib/other@v1"), True),
        (lambda engine: engine.register_tool("calculate", lambda a: a), False),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_changes_of_graphs_models_and_tools_count(change: Change, is_known: bool, is_nested: bool) -> None:
    """Of graphs that the called one calls, too."""
    text = calling(answer(), NESTED, target="/lib/outer@v1" if is_nested else "/lib/answer@v1")
    engine = engine_of(text)
    assert inferences(run(engine)) == 1
    change(engine)
    again = run(engine)
    assert inferences(again) == (0 if is_known else 1) and again.success
    assert inferences(run(engine)) == 0
    check_nothing_is_left(engine)


def test_what_a_graph_reads_besides_its_inputs_counts() -> None:
    engine = engine_of(calling(answer(before="{{ default($.mood.now, 'none') }}")))
    contexts: list[dict[str, Any]] = [
        {},
        {"mood": {"now": "good"}},
        {"mood": {"now": "good", "then": 1}},
        {"mood": {}},
    ]
    assert [inferences(run(engine, ctx=ctx)) for ctx in contexts] == [1, 1, 1, 1]
    others = [ctx | {"other": i, "y": str(i), "inputs": {"x": "w"}} for i, ctx in enumerate(contexts)]
    assert [inferences(run(engine, ctx=ctx)) for ctx in others] == [0, 0, 0, 0]
    check_nothing_is_left(engine)


def test_inputs_of_another_type_or_order_count() -> None:
    anything = SIGNATURE | {"inputs": [{"name": "x", "type": "any", "required": True}]}
    engine = engine_of(calling(answer(signature=anything)))
    values: list[Any] = ["1", 1, 1.0, True, None, [1], ["1"], {"a": 1, "b": 2}, {"b": 2, "a": 1}]
    for _ in range(2):
        results = [run_alone(engine, {"x": value}) for value in values]
        assert all(result.success for result in results)
    fresh = [run_alone(engine_of(calling(answer(signature=anything))), {"x": value}) for value in values]
    assert [each.final_context["y"] for each in results] == [each.final_context["y"] for each in fresh]
    check_nothing_is_left(engine)


def test_what_the_caller_may_counts() -> None:
    """What is denied takes another way: the graph is computed for each grant."""

    def narrow(path: str, *permissions: dict[str, str]) -> str:
        inside = (node("start", "start", next=["/lib/answer@v1", "end"]), node("end", "start"))
        return graph(path, *inside, signature=SIGNATURE, permissions=list(permissions))

    blocks = [
        answer(),
        narrow("/lib/a@v1", {"reasoning": "llm_generate"}, {"tool": "calculate"}),
        narrow("/lib/b@v1", {"reasoning": "llm_generate"}),
        narrow("/lib/c@v1", {"tool": "calculate"}),
    ]
    start = node("start", "start", next=[f"/lib/{each}@v1" for each in "ab"])
    engine = engine_of(document(graph("/main", start), *blocks))
    assert inferences(run(engine)) == 2 and inferences(run(engine)) == 0
    engine.append_graphs(parse_document(graph("/main", node("start", "start", next="/lib/c@v1"))).graphs)
    assert run(engine).error == Code.PERMISSION_DENIED
    check_nothing_is_left(engine)


@pytest.mark.parametrize(
    "template",
    [
        "{{ $.now }}",
        "{{ $.budget.nodes_left }}",
        "{{ length($.execution_context.executed_nodes) }}",
        "{{ length($.ctx_snapshots) }}",
        "{{ length($) > 0 }}",
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_what_reads_the_moment_is_never_recalled(template: str, is_nested: bool) -> None:
    text = calling(answer(before=template), NESTED, times=2, target="/lib/outer@v1" if is_nested else "/lib/answer@v1")
    engine = engine_of(text)
    for _ in range(2):
        result = run(engine)
        assert result.success and inferences(result) == 2 and recalled(result) == 0
    check_nothing_is_left(engine)


@pytest.mark.parametrize("deterministic", [False, True])
def test_tools_say_whether_they_give_the_same_again(deterministic: bool) -> None:
    count: list[int] = []

    def counted(x: str) -> str:
        count.append(1)
        return x + str(len(count))

    tool = node("start", "tool_call", tool="counted", arguments={"x": "{{ $.x }}"}, output_keys=["y"], next="end")
    engine = engine_of(calling(graph("/lib/answer@v1", tool, node("end", "start"), signature=SIGNATURE), times=2))
    engine.register_tool("counted", counted, deterministic=deterministic)
    assert [run(engine).final_context["y"] for _ in range(2)] == (["abc1"] * 2 if deterministic else ["abc2", "abc4"])


def test_a_fallback_is_not_recalled() -> None:
    """It may go well the next time."""
    answers = ["fail", "well"]

    def asked(x: str) -> str:
        if (answer := answers.pop(0)) == "fail":
            raise RuntimeError(answer)
        return answer

    def asks(**fields: Any) -> dict[str, Any]:
        return node("start", "tool_call", tool="asked", arguments={"x": "{{ $.x }}"}, output_keys=["y"], **fields)

    inner = graph(
        "/lib/inner@v1", asks(on_error="other"), node("other", "assign", assign={"y": "bad"}), signature=SIGNATURE
    )
    for text in (
        calling(inner, target="/lib/inner@v1"),
        calling(inner, graph("/lib/answer@v1", node("start", "start", next="/lib/inner@v1"), signature=SIGNATURE)),
    ):
        answers[:] = ["fail", "well"]
        engine = engine_of(text)
        engine.register_tool("asked", asked, deterministic=True)
        assert [run(engine).final_context["y"] for _ in range(3)] == ["bad", "well", "well"]


def test_an_answer_that_time_has_cut_is_not_recalled() -> None:
    ask = node("start", "llm_call", llm={"prompt": "{{ $.x }}", "max_tokens": 600}, output_mapping={"text": "y"})
    driver = toy_driver(toy_engine(blocks=400, context_length=2000))
    engine = DSLEngine.from_markdown(calling(graph("/lib/answer@v1", ask, signature=SIGNATURE)), driver)
    cut = run(engine, budget=Budget(max_duration_sec=0.05))
    native = next(record.native_inference for record in cut.traces if record.native_inference is not None)
    assert native.finish_reason == "deadline" and cut.error == Code.BUDGET_EXCEEDED
    whole = run(engine)
    assert whole.success and inferences(whole) == 1 and whole.final_context["y"] == expected("abc", 600)
    assert inferences(run(engine)) == 0
    check_nothing_is_left(engine)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("target", ["/lib/answer@v1", "/lib/outer@v1"])
def test_recalled_handles_are_as_good_as_new(recurrent: bool, target: str) -> None:
    start = node("start", "start", next=[target, "on"])
    llm = {"kv_handle": "{{ $.kv_handle }}", "prompt": "{{ $.more }}", "max_tokens": 4}
    text = document(
        graph("/main", start, node("on", "llm_call", llm=llm, output_mapping={"text": "text"})), answer(), NESTED
    )
    driver = toy_driver(toy_engine(recurrent=recurrent, prefix=False))
    engine = DSLEngine.from_markdown(text, driver)
    for more, count in (("", 2), ("!", 1), ("and so on", 1)):
        result = run(engine, ctx={"more": more})
        fresh = run(DSLEngine.from_markdown(text, toy_driver(toy_engine(recurrent=recurrent))), ctx={"more": more})
        assert inferences(result) == count and result.final_context["text"] == fresh.final_context["text"]
        native = result.traces[-1].native_inference
        assert native is not None and native.prefilled_tokens == 1 + len(more)
        assert driver._engine.ledger().held > 0  # L0 has it
    check_nothing_is_left(engine)


@pytest.mark.parametrize("limit", [0, 3 * BLOCK_BYTES, 10 * BLOCK_BYTES])
def test_it_takes_no_more_memory_than_it_may(limit: int) -> None:
    engine = engine_of(calling(answer()), cache_bytes=limit)
    driver = driver_of(engine)
    for number in range(12):
        result = run(engine, f"number {number % 5}")
        assert result.final_context["y"] == expected(f"number {number % 5} ", 4)
        assert engine.cache.bytes <= limit and driver._engine.ledger().held * BLOCK_BYTES <= engine.cache.bytes
    if limit == 0:
        assert len(engine.cache) == 0 and engine.cache.hits == 0
    check_nothing_is_left(engine)


def test_memory_of_recalled_handles_counts_and_has_to_fit() -> None:
    engine = engine_of(calling(answer()))
    assert run(engine, budget=Budget(max_kv_bytes=3 * BLOCK_BYTES)).success
    result = run(engine, budget=Budget(max_kv_bytes=BLOCK_BYTES))
    assert result.error == Code.BUDGET_EXCEEDED and "KV memory" in result.message
    assert inferences(run(engine, budget=Budget(max_kv_bytes=3 * BLOCK_BYTES))) == 0
    check_nothing_is_left(engine)


def test_a_result_whose_handle_was_released_is_not_remembered() -> None:
    driver = toy_driver()
    cache = SubgraphKVCache(10**6, driver.handles, BLOCK_BYTES)
    key = CallKey.of("/lib/a", "1", "hash", "toy", {}, {}, "grant")
    inference = Inference("abc", max_tokens=2, keep=True)
    name = asyncio.run(driver.infer(inference, invocation(driver))).kv_handle or ""
    driver.handles.release(name)
    cache.record(key, {"y": "x", "h": name}, [name], {})
    assert cache.recall(key, lambda path, content: True, BudgetScope(Budget())) is None
    cache.record(key, {"y": "x"}, [name], {})
    assert cache.recall(key, lambda path, content: True, BudgetScope(Budget())) == {"y": "x"}
