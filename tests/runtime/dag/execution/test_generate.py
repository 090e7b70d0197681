"""Graphs that a model writes while the document runs: who sees them, and where they may be."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_document import block, check_trace, document, graph, node, paths, run_alone

from runtime.dag.errors import Code
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult


def written(path: str, **fields: Any) -> str:
    return block(path, **fields)


def says(path: str, word: str, **fields: Any) -> str:
    return written(path, type="assign", assign={"said": word}, **fields)


def generating(id: str, next_: Any = (), **fields: Any) -> dict[str, Any]:
    """Its prompt is its id, by which `Model` knows what to write."""
    return node(id, "generate_subgraph", prompt_template=id, output_keys=[f"p_{id}"], next=next_, **fields)


def engine_for(text: str, **answers: str) -> DSLEngine:
    engine = DSLEngine.from_markdown(text)
    engine.register_llm_tool("llama-default", lambda prompt, params: answers[prompt])
    return engine


def run(text: str, **answers: str) -> RunResult:
    result = run_alone(engine_for(text, **answers))
    check_trace(result.traces)
    return result


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_what_branches_generate_is_there_afterwards_in_their_order(order: str) -> None:
    """Both write the same path: the last branch in the list counts, however fast it is."""
    waits = [node(f"w{i}", "start", next=f"w{i + 1}" if i < 8 else order[0]) for i in range(9)]
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["w0", order[1]], next="call"),
            *waits,
            generating(order[0], f"{order[0]}2"),
            generating(order[1], f"{order[1]}2"),
            node(f"{order[0]}2", "start", next="/dynamic/own"),
            node(f"{order[1]}2", "start", next="/dynamic/own"),
            node("call", "assign", assign={"other": "{{ $.said }}"}, next=["/dynamic/own", "also"]),
            node("also", "start", next=["/dynamic/x", "/dynamic/y"]),
        ),
        context_merge_strategy="array_concat",
    )
    answers = {
        "a": says("/dynamic/own", "a") + written("/dynamic/x", type="assign", assign={"x": 1}),
        "b": says("/dynamic/own", "b") + written("/dynamic/y", type="assign", assign={"y": 2}),
    }
    result = run(text, **answers)
    assert result.success, result.message
    assert [result.final_context[key] for key in ("other", "said", "x", "y")] == [order[1], order[1], 1, 2]
    assert result.final_context["p_a"] == ["/dynamic/own", "/dynamic/x"]


def test_what_a_branch_generates_is_not_there_for_its_siblings() -> None:
    waits = [node(f"w{i}", "start", next=f"w{i + 1}" if i < 8 else "call") for i in range(9)]
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["a", "w0"]),
            generating("a"),
            *waits,
            node("call", "start", next="{{ '/dynamic/own' }}"),
        )
    )
    result = run(text, a=says("/dynamic/own", "a"))
    assert result.error == Code.UNKNOWN_TARGET and "/dynamic/own" in result.message


def test_what_a_called_graph_generates_is_there_for_its_caller_and_the_next_run() -> None:
    text = document(
        graph("/main", node("start", "start", next=["/dynamic/maker", "/dynamic/own"])),
        graph("/dynamic/maker", generating("a")),
    )
    engine = engine_for(text, a=says("/dynamic/own", "a"))
    result = engine.run()
    assert result.success and result.final_context["said"] == "a"
    assert [graph.path for graph in engine.document.graphs][-1] == "/dynamic/own"
    assert engine.continue_with_generated_dsl(written("/main/again", type="start", next="/dynamic/own")).success


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("no block", Code.GENERATION, "no block"),
        (says("/main/x", "x"), Code.NAMESPACE_VIOLATION, "/main/x"),
        (says("/lib/x", "x"), Code.NAMESPACE_VIOLATION, "/lib/x"),
        (says("/__system__/budget_exceeded", "x"), Code.NAMESPACE_VIOLATION, "/__system__"),
        (says("/dynamicx/x", "x"), Code.NAMESPACE_VIOLATION, "/dynamicx"),
        (says("/dynamic/x", "x") + says("/main/start", "x"), Code.NAMESPACE_VIOLATION, "/main/start"),
        (written("/__meta__", mode="dev") + says("/dynamic/x", "x"), Code.NAMESPACE_VIOLATION, "/__meta__"),
        (written("/dynamic/x", type="assign", assign={"x": "{{ $.a"}), Code.TEMPLATE, "cannot run"),
    ],
)
def test_what_may_not_be_there_is_refused_and_nothing_of_it_is_kept(answer: str, code: Code, words: str) -> None:
    after = node("after", "assign", assign={"code": "{{ $.error.code }}"})
    text = document(graph("/main", generating("start", "/dynamic/x", on_error="after"), after))
    engine = engine_for(text, start=answer)
    before = engine.document.graphs
    result = run_alone(engine)
    assert result.success and result.final_context["code"] == code
    assert words in result.final_context["error"]["message"] and "p_start" not in result.final_context
    assert engine.document.graphs == before


def test_what_is_generated_can_call_what_the_document_defines() -> None:
    """In prod, too."""
    own = block("/lib/own@v1", type="assign", assign={"own": "called"}, signature="() -> own: string")
    allowed = [{"type": "generate_subgraph", "max_depth": 1}, {"type": "tool", "name": "llama-default"}]
    text = document(
        graph("/main", generating("start", "/dynamic/x")),
        own,
        block("/__meta__/resources", type="resource_declare", resources=allowed),
        mode="prod",
    )
    called = run(text, start=written("/dynamic/x", type="start", next="/lib/own@v1"))
    assert called.success and called.final_context["own"] == "called", called.message
    refused = run(text, start=written("/dynamic/x", type="start", next="/lib/nobody@v1"))
    assert refused.error == Code.UNKNOWN_TARGET and "/lib/nobody@v1" in refused.message


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(1, 4))
def test_no_more_blocks_than_allowed(count: int, most: int) -> None:
    answer = "".join(says(f"/dynamic/x{i}", str(i)) for i in range(count))
    limits = {"namespace_prefix": "/dynamic/", "max_blocks": most}
    fields = {"type": "llm_generate_dsl", "prompt": "go", "output_constraints": limits, "output_keys": ["p"]}
    engine = engine_for(document(block("/main/start", **fields)), go=answer)
    result = run_alone(engine)
    assert result.success == (1 <= count <= most), result.message
    if result.success:
        found = [f"/dynamic/x{i}" for i in range(count)]
        assert result.final_context["p"] == (found[0] if count == 1 else found)
    else:
        assert result.error == Code.GENERATION


@pytest.mark.parametrize("most", [1, 2, 3])
def test_what_is_generated_generates_only_as_deep_as_allowed(most: int) -> None:
    """Each graph asks for another one, and calls it."""

    def layer(number: int) -> str:
        path = f"/dynamic/d{number}"
        fields = {"type": "generate_subgraph", "prompt_template": f"d{number + 1}", "output_keys": ["p"]}
        return written(path, **fields, next=f"{{{{ '/dynamic/d{number + 1}' }}}}")

    allowed = [{"type": "generate_subgraph", "max_depth": most}, {"type": "tool", "name": "llama-default"}]
    permissions = [{"generate_subgraph": {"max_depth": most}}]
    fields = {"prompt_template": "d1", "output_keys": ["p"], "next_": "/dynamic/d1", "permissions": permissions}
    text = document(
        graph("/main", node("start", "generate_subgraph", **fields)),
        block("/__meta__/resources", type="resource_declare", resources=allowed),
        mode="prod",
    )
    result = run_alone(engine_for(text, **{f"d{i}": layer(i) for i in range(1, 9)}))
    assert result.error == Code.PERMISSION_DENIED, result.message
    assert paths(result.traces, "success") == ["/main/start", *(f"/dynamic/d{i}" for i in range(1, most))]
