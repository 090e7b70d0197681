"""Documents give the same however fast their parts are: random ones, against each other and against plain Python."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_document import document, graph, is_balanced, node
from toy_driver import toy_driver
from toy_model import toy_engine
from toy_programs import Program, add_tools, engine_of, left, programs

from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult


def run(text: str, pace: random.Random | None) -> RunResult:
    driver = toy_driver(toy_engine(token_budget=16, max_sequences=3))
    engine = DSLEngine.from_markdown(text, driver)
    add_tools(engine, pace)
    result = engine.run()
    engine.cache.clear()
    assert is_balanced(driver)
    return result


def told(result: RunResult) -> list[str]:
    """Records, but for their order, times and numbers."""
    records = [
        (record.branch, record.node_path, record.status, record.depth, record.context_delta, record.next_paths)
        for record in result.traces
    ]
    return sorted(map(json.dumps, records))


random_documents = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@random_documents
@given(programs, st.integers(0, 1 << 30))
def test_a_document_gives_what_its_parts_give_one_after_the_other(program: Program, seed: int) -> None:
    """And the same if what it calls is known from a run before."""
    results = []
    for pace in (None, random.Random(seed)):
        engine = engine_of(program, pace)
        results.append([engine.run(), engine.run()])
        assert [left(result) for result in results[-1]] == [program.result()] * 2
    for one, other in zip(*results, strict=True):
        assert told(one) == told(other)


@random_documents
@given(
    st.lists(
        st.lists(st.sampled_from(["work", "work_in_a_thread", "fail"]), min_size=1, max_size=4), min_size=2, max_size=4
    ),
    st.booleans(),
    st.integers(0, 1 << 30),
)
def test_branches_that_fail_or_lose_change_nothing(branches: list[list[str]], is_race: bool, seed: int) -> None:
    """The first in the list that fails counts, or the first that does not, and what the others did costs nothing."""
    nodes = [
        node(
            f"b{i}_{j}",
            "tool_call",
            tool=tool,
            arguments={} if tool == "fail" else {"log": "{{ $.log }}", "name": f"b{i}_{j}"},
            output_keys=["log"],
            next=f"b{i}_{j + 1}" if j + 1 < len(tools) else "join",
        )
        for i, tools in enumerate(branches)
        for j, tool in enumerate(tools)
    ]
    starts = [f"b{i}_0" for i in range(len(branches))]
    told = {"left": "{{ $.budget.nodes_left }}", "failed": "{{ default($.error.context.node, 'none') }}"}
    text = document(
        graph(
            "/main",
            node("start", "assign", assign={"log": []}, next="fork"),
            node("fork", "fork", branches=starts, on_error="after", next="after"),
            *nodes,
            node("join", "join", wait_for={"any_of": starts} if is_race else starts, next="after"),
            node("after", "assign", assign=told),
        ),
        execution_budget={"max_nodes": 100},
        context_merge_strategy="array_concat",
    )
    results = [run(text, pace) for pace in (None, random.Random(seed), random.Random(seed + 1))]
    failing = [i for i, tools in enumerate(branches) if "fail" in tools]
    whole = [i for i, tools in enumerate(branches) if "fail" not in tools]
    for result in results:
        assert result.success and result.final_context == results[0].final_context
        failed = result.final_context["failed"]
        if (not whole) if is_race else failing:
            assert failed == f"/main/b{failing[0]}_{branches[failing[0]].index('fail')}"
        else:
            kept = whole[:1] if is_race else whole
            assert failed == "none"
            assert result.final_context["log"] == [f"b{i}_{j}" for i in kept for j in range(len(branches[i]))]


@random_documents
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("xy")), min_size=2, max_size=5), st.integers(0, 1 << 30))
def test_what_siblings_have_called_is_not_known_to_each_other(callers: list[tuple[int, str]], seed: int) -> None:
    """Which of them was first would show in the trace, and in what is left of the budget."""
    nodes = []
    for i, (before, argument) in enumerate(callers):
        for j in range(before):
            fields = {"tool": "work", "arguments": {"log": [], "name": ""}, "output_keys": ["x"]}
            nodes.append(node(f"b{i}_{j}", "tool_call", **fields, next=f"b{i}_{j + 1}"))
        call = ["/lib/twice@v1", f"b{i}_after"]
        nodes.append(node(f"b{i}_{before}", "assign", assign={"x": argument}, next=call))
        nodes.append(node(f"b{i}_after", "assign", assign={f"left{i}": "{{ $.budget.nodes_left }}"}, next="join"))
    starts = [f"b{i}_0" for i in range(len(callers))]
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=starts),
            *nodes,
            node("join", "join", wait_for=starts, merge_strategy="array_concat", next="again"),
            node("again", "assign", assign={"x": callers[0][1]}, next=["/lib/twice@v1", "end"]),
            node("end", "assign", assign={"left": "{{ $.budget.nodes_left }}"}),
        ),
        graph(
            "/lib/twice@v1",
            node("start", "assign", assign={"y": "{{ $.x }}{{ $.x }}"}, next="end"),
            node("end", "start"),
            signature="(x: string) -> y: string",
        ),
        execution_budget={"max_nodes": 100},
    )
    results = [run(text, pace) for pace in (None, random.Random(seed), random.Random(seed + 1))]
    for result in results:
        assert result.success, result.message
        assert result.final_context == results[0].final_context and told(result) == told(results[0])
        assert result.final_context["y"] == callers[0][1] * 2
        recalled = [record for record in result.traces if "recalled" in record.metadata]
        assert any(record.branch == () for record in recalled)


@random_documents
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "ab"])), min_size=2, max_size=4), st.integers(0, 99))
def test_names_of_handles_tell_nothing_of_who_was_faster(branches: list[tuple[int, str]], seed: int) -> None:
    """Siblings ask the same, after tools that take their time (more of it than others wait for them)."""
    nodes = []
    for i, (before, prompt) in enumerate(branches):
        for j in range(before):
            fields = {"tool": "work_in_a_thread", "arguments": {"log": [], "name": ""}, "output_keys": ["x"]}
            nodes.append(node(f"b{i}_{j}", "tool_call", **fields, next=f"b{i}_{j + 1}"))
        llm, mapping = {"prompt": prompt, "max_tokens": 2}, {"text": f"t{i}", "kv_handle": f"h{i}"}
        nodes.append(node(f"b{i}_{before}", "llm_call", llm=llm, output_mapping=mapping))
    start = node("start", "fork", branches=[f"b{i}_0" for i in range(len(branches))])
    text = document(graph("/main", start, *nodes), context_merge_strategy="array_concat")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("runtime.dag.tools.work._AT_ONCE", 0.0)
        results = [run(text, pace) for pace in (None, random.Random(seed), random.Random(seed + 1))]
    assert all(result.success and result.final_context == results[0].final_context for result in results)
    names = [results[0].final_context[f"h{i}"] for i in range(len(branches))]
    assert len(set(names)) == len(names)
