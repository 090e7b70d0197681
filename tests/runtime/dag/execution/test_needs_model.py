"""Whether a model has to be loaded before a document can run."""

from typing import Any

import pytest
from toy_document import block, document, graph, node
from toy_driver import toy_driver

from runtime.dag.errors import Code
from runtime.dag.execution.dsl_engine import DSLEngine

ASKS = {"type": "llm_call", "llm": {"prompt": "x"}}

CALLS = block("/dynamic/a", type="start", next="/dynamic/b")


def resources(*entries: dict[str, Any]) -> str:
    return block("/__meta__/resources", type="resource_declare", resources=list(entries))


def start(**fields: Any) -> str:
    return block("/main/start", **fields)


@pytest.mark.parametrize(
    ("blocks", "needed"),
    [
        ([start(type="start")], False),
        ([start(**ASKS)], True),
        ([start(type="llm_call", prompt_template="x", output_keys=["y"])], True),
        ([start(type="dsl_call", llm_tool_name="own", prompt_template="x", output_keys=["y"])], False),
        ([start(type="dsl_call", llm_tool_name="other", prompt_template="x", output_keys=["y"])], True),
        ([start(type="generate_subgraph", prompt_template="x", output_keys=["y"])], True),
        ([start(type="tool_call", tool="native_infer", arguments={"prompt": "x"}, output_keys=["y"])], True),
        ([start(type="tool_call", tool="calculate", arguments={}, output_keys=["y"])], False),
        ([start(type="tool_call", tool="nobody", arguments={}, output_keys=["y"])], False),
        ([start(type="start", next="/lib/reasoning/generate_text@v1")], True),
        ([start(type="start", next="/lib/reasoning/fallback_text@v1")], False),
        ([start(type="start", next="/lib/utils/noop")], False),
        ([start(type="start", next="/dynamic/a"), CALLS, block("/dynamic/b", **ASKS)], True),
        ([start(type="start", on_error="/main/b"), block("/main/b", **ASKS)], True),
        ([start(type="start"), resources({"type": "tool", "name": "native_inference_core"})], True),
        ([start(type="start"), resources({"type": "reasoning", "capabilities": ["text_generation"]})], True),
        ([start(type="start"), resources({"type": "tool", "name": "calculate"})], False),
        # Where only the run can tell what follows, it may be anything.
        ([start(type="start", next="{{ $.where }}")], True),
    ],
)  # fmt: skip
def test_it_is_told_before_anything_is_loaded(blocks: list[str], needed: bool) -> None:
    engine = DSLEngine.from_markdown(document(*blocks))
    engine.register_llm_tool("own", lambda prompt, params: "text")
    assert engine.needs_model() == needed
    engine.use_model(toy_driver())
    declared = any("resource_declare" in each for each in blocks)
    assert engine.needs_model() == (needed and declared) or "other" in blocks[0]


def test_a_models_place_can_be_taken_by_the_hosts() -> None:
    ask = node("start", "llm_call", prompt_template="x", output_keys=["y"])
    engine = DSLEngine.from_markdown(document(graph("/main", ask)))
    assert engine.needs_model() and engine.run().error == Code.RESOURCE_UNAVAILABLE
    engine.register_llm_tool("llama-default", lambda prompt, params: "text")
    assert not engine.needs_model() and engine.run().final_context == {"y": "text"}


def test_without_a_model_what_asks_for_it_fails_and_says_so() -> None:
    text = document(
        graph(
            "/main",
            node("start", "llm_call", llm={"prompt": "x"}, on_error="end"),
            node("end", "assign", assign={"why": "{{ $.error.message }}"}),
        )
    )
    result = DSLEngine.from_markdown(text).run()
    assert result.success and "native_inference_core" in result.final_context["why"]
