"""The graphs of the library that only orchestrate, against what they are to come to, said in Python."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.errors import Code
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult

HEAD = """
# AgenticDSL `/__meta__`
```yaml
# --- BEGIN AgenticDSL ---
mode: dev
entry_point: /main/start
# --- END AgenticDSL ---
```
"""
few = settings(max_examples=40, deadline=None)
WORDS = st.text("abc", min_size=1, max_size=3)


def block(path: str, yaml: str) -> str:
    return f"# AgenticDSL `{path}`\n```yaml\n# --- BEGIN AgenticDSL ---\n{yaml}\n# --- END AgenticDSL ---\n```\n"


def run(library_path: str, context: dict[str, Any], *blocks: str, **tools: Callable[..., Any]) -> RunResult:
    """Calls a graph of the library with the context as its inputs."""
    document = HEAD + block("/main/start", f'type: start\nnext: "{library_path}"') + "".join(blocks)
    engine = DSLEngine.from_markdown(document)
    for name, function in tools.items():
        engine.register_tool(name, function)
    return engine.run(context)


def calling(path: str, tool: str, arguments: str, outputs: str) -> str:
    return block(path, f"type: tool_call\ntool: {tool}\narguments: {arguments}\noutput_mapping: {outputs}")


CONFIDENCES = st.none() | st.integers(0, 10).map(lambda tenths: tenths / 10)
VERDICTS = st.lists(st.tuples(CONFIDENCES, st.sampled_from([True, False, None, "fails"])), max_size=7)


@few
@given(VERDICTS, st.integers(1, 8), st.sampled_from([0.0, 0.3, 1.0]))
def test_hypotheses_are_filtered_and_ranked(verdicts: list[tuple[float | None, Any]], most: int, least: float) -> None:
    def verify(number: str) -> dict[str, Any]:
        confidence, verified = verdicts[int(number)]
        if verified == "fails":
            raise RuntimeError("cannot tell")
        return {"confidence": confidence, "verified": verified}

    result = run(
        "/lib/reasoning/hypothesize_and_verify@v1",
        {
            "generator_path": "/dynamic/guess",
            "verifier_path": "/dynamic/verify",
            "max_hypotheses": most,
            "min_confidence": least,
            "guesses": [str(i) for i in range(len(verdicts))],
        },
        block("/dynamic/guess", 'type: assign\nassign: {hypotheses: "{{ $.guesses }}"}'),
        calling(
            "/dynamic/verify",
            "verify",
            '{number: "{{ $.hypothesis }}"}',
            "{confidence: confidence, verified: verified}",
        ),
        verify=verify,
    )
    kept = [
        (1.0 if confidence is None else confidence, i)
        for i, (confidence, verified) in enumerate(verdicts[:most])
        if verified is True or (verified is None and confidence is not None)
    ]
    ranked = sorted((pair for pair in kept if pair[0] >= least), key=lambda pair: -pair[0])
    expected = [{"hypothesis": str(i), "confidence": confidence} for confidence, i in ranked]
    assert result.success, result.message
    assert result.final_context["verified_hypotheses"] == expected
    assert result.final_context["best_hypothesis"] == (expected[0] if expected else None)
    assert not result.final_context.keys() & {"hypotheses", "hypothesis", "index", "confidence", "verified"}


@few
@given(st.lists(st.sampled_from(["planner", "plan", "silent"]), max_size=7), st.integers(1, 5))
def test_a_loop_reflects_until_something_works(failures: list[str], most: int) -> None:
    """failures: what goes wrong each time, one after the other, before it works."""
    seen: list[int] = []

    def plan(reflections: list[Any]) -> dict[str, Any]:
        seen.append(len(reflections))
        if len(seen) <= len(failures) and failures[len(seen) - 1] == "planner":
            raise RuntimeError("no idea")
        return {"plan": "/dynamic/work"}

    def work() -> dict[str, Any]:
        trouble = failures[len(seen) - 1] if len(seen) <= len(failures) else ""
        if trouble == "plan":
            raise RuntimeError("does not work")
        return {"final_result": None if trouble == "silent" else f"the {len(seen)}th"}

    result = run(
        "/lib/reasoning/iper_loop@v1",
        {"user_intent": "anything", "planner_path": "/dynamic/plan", "max_reflections": most},
        calling("/dynamic/plan", "plan", '{reflections: "{{ $.reflections }}"}', "{plan: plan}"),
        calling("/dynamic/work", "work", "{}", "{final_result: final_result}"),
        plan=plan,
        work=work,
    )
    assert seen == list(range(min(len(failures), most) + 1))
    assert result.success == (len(failures) <= most)
    if not result.success:
        assert result.error == Code.ASSERT_FAILED and "final_result" not in result.final_context
        return
    assert result.final_context["final_result"] == f"the {len(failures) + 1}th"
    assert result.final_context["reflection_count"] == len(failures)
    code = {"silent": str(Code.ASSERT_FAILED)}.get(failures[-1], str(Code.TOOL_FAILED)) if failures else None
    assert result.final_context["last_error"].get("code") == code


@few
@given(st.lists(st.sampled_from(["holds", "fails", "false"]), max_size=5), st.booleans())
def test_steps_end_at_the_first_assertion_that_does_not_hold(outcomes: list[str], is_handled: bool) -> None:
    def check(count: int) -> dict[str, Any]:
        outcome = outcomes[count - 1]
        if outcome == "fails":
            raise RuntimeError("it does not hold")
        return {"passed": outcome == "holds"}

    result = run(
        "/lib/reasoning/stepwise_assert@v1",
        {
            "steps": [{"reasoner": "/dynamic/add", "assertion": "/dynamic/check"}] * len(outcomes),
            "state": {"count": 0},
            **({"on_assertion_fail": "/dynamic/mend"} if is_handled else {}),
        },
        block("/dynamic/add", "type: assign\nassign: {state: \"{{ {'count': $.state.count + 1} }}\"}"),
        calling("/dynamic/check", "check", '{count: "{{ $.state.count }}"}', "{passed: passed}"),
        block(
            "/dynamic/mend",
            "type: assign\nassign: {state: \"{{ {'count': $.state.count, 'failed': int($.failed_step)} }}\"}",
        ),
        check=check,
    )
    failed = next((i for i, outcome in enumerate(outcomes) if outcome != "holds"), None)
    assert result.success == (failed is None or is_handled)
    if failed is None:
        assert result.final_context["final_state"] == {"count": len(outcomes)}
        assert result.final_context["failed_step"] == -1
    elif is_handled:
        assert result.final_context["final_state"] == {"count": failed + 1, "failed": failed}
        assert result.final_context["failed_step"] == failed
    else:
        assert result.error == Code.ASSERT_FAILED


@few
@given(st.booleans(), st.booleans(), st.booleans())
def test_what_is_tried_is_caught(fails: bool, has_catch: bool, catch_fails: bool) -> None:
    def check(wanted: bool) -> dict[str, Any]:
        if not wanted:
            raise RuntimeError("does not work")
        return {}

    def graph(name: str, works: str) -> str:
        nodes = (
            f"  - {{id: write, type: assign, assign: {{result: {name}, left_by: {name}}}, next: check}}\n"
            f'  - {{id: check, type: tool_call, tool: check, arguments: {{wanted: "{works}"}}, output_keys: none}}'
        )
        return block(f"/dynamic/{name}", f"graph_type: subgraph\nnodes:\n{nodes}")

    result = run(
        "/lib/reasoning/try_catch@v1",
        {
            "try_block": "/dynamic/try",
            **({"catch_block": "/dynamic/catch"} if has_catch else {}),
            "try_works": not fails,
            "catch_works": not catch_fails,
        },
        graph("try", "{{ $.try_works }}"),
        graph("catch", "{{ $.catch_works }}"),
        check=check,
    )
    is_caught_badly = fails and has_catch and catch_fails
    assert result.success == (not is_caught_badly), result.message
    assert "left_by" not in result.final_context
    if is_caught_badly:
        assert result.error == Code.TOOL_FAILED and "success" not in result.final_context
        return
    assert result.final_context["success"] == (not fails)
    assert result.final_context["result"] == ("try" if not fails else "catch" if has_catch else None)
    assert result.final_context["failure"].get("code") == (Code.TOOL_FAILED if fails else None)


CAPABILITIES = st.lists(st.sampled_from(["read", "write", "draw"]), max_size=3)


@few
@given(st.dictionaries(WORDS.map("tool_".__add__), CAPABILITIES, max_size=4), CAPABILITIES)
def test_tools_that_can_all_of_it_are_listed(tools: dict[str, list[str]], required: list[str]) -> None:
    document = HEAD + block("/main/start", 'type: start\nnext: "/lib/tool/list_available@v1"')
    engine = DSLEngine.from_markdown(document)
    for name, capabilities in tools.items():
        engine.register_tool(name, lambda: None, capabilities=capabilities)
    result = engine.run({"required_capabilities": required})
    assert result.success, result.message
    found = {tool["name"]: set(tool["capabilities"]) for tool in result.final_context["matching_tools"]}
    assert found == {tool.name: set(tool.capabilities) for tool in engine.get_tool_registry().matching(required)}


@few
@given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(".".join), WORDS), min_size=1, max_size=4))
def test_memory_gives_what_was_put_there(writes: list[tuple[str, str]]) -> None:
    """A path through a value that is no object takes its place, or is refused; what was accepted is read again."""
    memory: dict[str, Any] = {}
    for key, value in writes:
        written = run("/lib/memory/state/set@v1", {"key": key, "value": {"v": value}, "memory": memory})
        if not written.success:
            continue
        memory = written.final_context["memory"]
        assert written.final_context["success"] is True
        read = run("/lib/memory/state/get_latest@v1", {"key": key, "memory": memory})
        assert read.final_context["value"] == {"v": value}
    missing = run("/lib/memory/state/get_latest@v1", {"key": "zzz.zzz", "memory": memory})
    assert missing.success and missing.final_context["value"] is None
