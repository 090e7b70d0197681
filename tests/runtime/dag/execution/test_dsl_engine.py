"""What hosts can do with an engine of documents."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from toy_document import block, document, graph, inferences, is_balanced, node, paths, run_alone
from toy_driver import toy_driver

from runtime.dag.document.parser import parse_document
from runtime.dag.errors import Code, DocumentError
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.trace.record import TraceRecord
from runtime.errors import UserError

ADDS = document(
    block(
        "/main/start",
        type="tool_call",
        tool="calculate",
        arguments={"a": "{{ $.a }}", "b": 2, "op": "+"},
        output_mapping={"result": "sum"},
    )
)


def test_a_document_from_a_text_and_from_a_file_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    file.write_text(ADDS)
    for engine in (DSLEngine.from_markdown(ADDS), DSLEngine.from_file(file), DSLEngine.from_file(str(file))):
        result = engine.run({"a": 1})
        assert result.success and result.message == "success" and result.error is None and result.paused_at is None
        assert result.final_context == {"a": 1, "sum": 3.0} and result.memory == ()
        assert engine.get_last_traces() == list(result.traces) and paths(result.traces) == ["/main/start"]
    with pytest.raises(UserError, match=r"nothing\.md"):
        DSLEngine.from_file(tmp_path / "nothing.md")


def test_what_the_host_gives_is_not_changed() -> None:
    ctx: dict[str, Any] = {"a": 1, "deep": {"list": [1]}}
    text = document(graph("/main", node("start", "assign", assign={"deep.list.0": "2", "a": "{{ $.deep }}"})))
    engine = DSLEngine.from_markdown(text)
    for _ in range(2):
        assert engine.run(ctx).final_context["deep"] == {"list": ["2"]}
        assert ctx == {"a": 1, "deep": {"list": [1]}}


@pytest.mark.parametrize(
    "text",
    [
        "no document at all",
        document(block("/main/start", type="assign", assign={"x": "{{ $.y"})),
        document(block("/main/start", type="start", next="/main/nobody"), mode="prod"),
        document(block("/main/start", type="start"), entry="/main/nobody"),
        document(block("/main/start", type="start")) + block("/lib/x", type="start", signature="(a: nonsense"),
    ],
)
def test_a_document_with_errors_is_refused_before_anything_runs(text: str) -> None:
    seen: list[TraceRecord] = []
    engine = DSLEngine.from_markdown(text, write=seen.append)
    if text == "no document at all":
        result = engine.run()
        assert result.error == Code.MISSING_ENTRY_POINT and not result.success and not result.traces
        return
    errors = [problem for problem in engine.problems() if problem.is_error]
    with pytest.raises(DocumentError) as refused:
        engine.run({"a": 1})
    assert refused.value.problems == errors and len(str(refused.value).splitlines()) == len(errors) > 0
    assert not seen and not engine.get_last_traces()


def test_graphs_that_are_added_run_the_next_time() -> None:
    """Without an entry point all that nothing leads to runs, in the order of the document."""
    engine = DSLEngine.from_markdown(block("/main/first", type="assign", assign={"order": "1"}))
    assert paths(engine.run().traces) == ["/main/first"]
    added = block("/main/new", type="assign", assign={"order": "{{ $.order }}2"}) + block("/main/last", type="start")
    engine.append_graphs(parse_document(added).graphs)
    result = engine.run()
    assert paths(result.traces) == ["/main/first", "/main/new", "/main/last"] and result.final_context["order"] == "12"
    engine.append_graphs(parse_document(block("/main/first", type="start", next="/main/last")).graphs)  # replaced
    assert paths(engine.run({"order": ""}).traces) == ["/main/new", "/main/first", "/main/last"]


def test_generated_text_is_gone_on_with() -> None:
    engine = DSLEngine.from_markdown(ADDS)
    engine.run({"a": 1})
    text = "Here you are:\n\n" + block("/dynamic/on", type="assign", assign={"x": "{{ $.sum }}"}, next="/main/more")
    result = engine.continue_with_generated_dsl(text + block("/main/more", type="assign", assign={"y": "{{ $.x }}"}))
    assert result.success and result.final_context == {"a": 1, "sum": 3.0, "x": "3.0", "y": "3.0"}
    again = engine.run({"a": 5})
    assert paths(again.traces) == ["/main/start"] and again.final_context["sum"] == 7
    assert "/dynamic/on" in engine.document.by_path
    graphs = engine.document.graphs
    for bad in ("nothing to run", "", "# AgenticDSL `/dynamic/x`\n```yaml\n: [\n```\n"):
        with pytest.raises(DocumentError) as refused:
            engine.continue_with_generated_dsl(bad)
        assert len(str(refused.value).splitlines()) >= 1 and engine.document.graphs == graphs
    assert engine.run({"a": 1}).success


def test_text_that_cannot_run_is_refused_and_can_be_mended() -> None:
    engine = DSLEngine.from_markdown(ADDS)
    with pytest.raises(DocumentError):
        engine.continue_with_generated_dsl(block("/dynamic/x", type="assert", condition="{{ $.x"))
    assert engine.document.meta.entry_point == "/main/start"
    mended = block("/dynamic/x", type="assign", assign={"x": "y"})
    assert engine.continue_with_generated_dsl(mended).final_context == {"x": "y"}


def test_tools_of_the_host_are_called_and_replaced() -> None:
    text = document(
        graph(
            "/main",
            node("start", "tool_call", tool="own", arguments={"x": 1}, output_keys=["y"], next="ask"),
            node("ask", "dsl_call", llm_tool_name="poet", prompt_template="on {{ $.y }}", output_keys=["poem"],
                 llm_params={"temperature": 0.5}),
        )
    )  # fmt: skip
    engine = DSLEngine.from_markdown(text)
    assert engine.run().error == Code.RESOURCE_UNAVAILABLE
    asked: list[Any] = []

    def poet(prompt: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append((prompt, {key: params[key] for key in ("temperature", "style")}))
        return {"success": True, "text": "a poem"}

    def own(x: int) -> int:
        """Adds 1."""
        return x + 1

    engine.register_tool("own", own)
    engine.register_llm_tool("poet", poet, {"style": "free", "temperature": 0.1})
    result = engine.run()
    assert result.final_context == {"y": 2, "poem": "a poem"}
    assert asked == [("on 2", {"temperature": 0.5, "style": "free"})]
    assert result.traces[1].dsl_call is not None and result.traces[1].dsl_call["llm_tool_name"] == "poet"

    async def other(x: int) -> int:
        await asyncio.sleep(0)
        return x * 10

    engine.register_tool("own", other)
    assert engine.run().final_context["y"] == 10
    assert {"own", "poet", "calculate", "web_search", "get_weather"} <= set(engine.get_tool_registry().names)


def test_traces_are_those_of_the_last_run_and_told_as_it_goes() -> None:
    text = document(graph("/main", node("start", "start", next="bad"), node("bad", "assert", condition="$.ok")))
    seen: list[TraceRecord] = []
    engine = DSLEngine.from_markdown(text, write=seen.append)
    assert engine.get_last_traces() == [] and engine.get_last_memory() == []
    failed = engine.run({"ok": False})
    assert failed.error == Code.ASSERT_FAILED and seen == list(failed.traces) == engine.get_last_traces()
    assert [record.status for record in seen] == ["success", "failed"]
    whole = engine.run({"ok": True})
    assert engine.get_last_traces() == list(whole.traces) == seen[2:] and whole.success
    assert whole.traces[0].trace_id != failed.traces[0].trace_id


def test_an_error_that_was_handled_is_told_at_the_end() -> None:
    text = document(
        graph(
            "/main",
            node("start", "tool_call", tool="nobody", arguments={}, output_keys=["x"], on_error="after"),
            node("after", "assign", assign={"why": "{{ $.error.code }}"}),
        )
    )
    result = DSLEngine.from_markdown(text).run()
    assert result.success and result.error is None and result.final_context["why"] == Code.RESOURCE_UNAVAILABLE
    assert result.final_context["error"]["code"] == Code.RESOURCE_UNAVAILABLE


def test_an_engine_works_in_a_loop_of_the_hosts_and_over_again() -> None:
    ask = node("start", "llm_call", llm={"prompt": "abc", "max_tokens": 3}, output_mapping={"text": "t"})
    text = document(graph("/main", ask))
    driver = toy_driver()
    engine = DSLEngine.from_markdown(text, driver)

    async def host() -> list[RunResult]:
        return [await engine.run_async() for _ in range(2)]

    results = [*asyncio.run(host()), run_alone(engine)]
    assert len({result.final_context["t"] for result in results}) == 1 and is_balanced(driver)
    assert [inferences(result) for result in results] == [1, 1, 1]  # no call of a graph
    assert results[0].memory and engine.get_last_memory() == list(results[-1].memory)
