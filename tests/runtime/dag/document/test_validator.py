"""What is told of documents before they run, and that nothing is said of good ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.document.cycles import cycles
from runtime.dag.document.library import Library, shipped_library
from runtime.dag.document.parser import parse_document
from runtime.dag.document.validator import validate
from runtime.dag.errors import Code, Problem

LIBRARY = shipped_library()
ENGINE = frozenset(("text_generation", "structured_generate", "compile_grammar"))
TOOLS = {"calculate": frozenset[str](), "llama-default": frozenset[str](), "native_inference_core": ENGINE}
FILES = sorted((Path(__file__).parents[4] / "src/runtime/dag/library").glob("**/*.md"))


def block(path: str, yaml: str) -> str:
    return f"### AgenticDSL `{path}`\n```yaml\n{yaml}\n```\n"


def main(*nodes: str, mode: str = "prod", fields: str = "", others: str = "") -> str:
    """A document that begins at /main/a; line 9 is the first of its nodes."""
    meta = block("/__meta__", f"mode: {mode}\nentry_point: /main/a")
    graph = block("/main", "nodes:\n" + "\n".join(f"- {{{node}}}" for node in nodes) + "\n" + fields)
    return meta + graph + others


def found(text: str, tools: dict[str, frozenset[str]] | None = TOOLS, library: Library = LIBRARY) -> list[Problem]:
    return validate(parse_document(text, "f.md"), library, tools)


GOOD = main("id: a, type: start, next: b", "id: b, type: end")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_library_is_without_fault(path: Path) -> None:
    document = parse_document(path.read_text("utf-8"), str(path), "strict")
    offered = {name: frozenset[str]() for graph in document.graphs for name in _tools(graph.requires)}
    problems = validate(document, LIBRARY, {**TOOLS, **offered})
    assert [str(problem) for problem in problems if problem.is_error] == []


def _tools(requires) -> list[str]:
    return [one.name for one in requires if one.kind == "tool"]


def test_good_documents() -> None:
    calls = main(
        "id: a, type: fork, branches: [b, 'c?x=1', 'c?x=2'], next: d",
        "id: b, type: assign, assign: {x: '{{ $.y }}'}, next: /lib/math/add, on_error: e",
        "id: c, type: tool_call, tool: calculate, arguments: {op: '+'}, output_keys: r, next: [/lib/utils/noop, d]",
        "id: d, type: join, wait_for: [b, c], next: '/dynamic/later'",
        "id: e, type: end",
        mode="dev",
    )
    for text in (GOOD, block("/main/a", "type: start\nnext: b") + block("/main/b", "type: end")):
        assert found(text) == []
    assert [problem.text for problem in found(calls)] == ["`next` names /dynamic/later, which is not there"]


CASES = [
    (main("id: a, type: start, next: bb", "id: b, type: end"), Code.UNKNOWN_TARGET, "/main/a", 9, "mean /main/b"),
    (main("id: a, type: start, on_error: x"), Code.UNKNOWN_TARGET, "/main/a", 9, "`on_error`"),
    (main("id: a, type: join, wait_for: x"), Code.UNKNOWN_TARGET, "/main/a", 9, "`wait_for`"),
    (main("id: a, type: fork, branches: [x]"), Code.UNKNOWN_TARGET, "/main/a", 9, "`branches`"),
    (main("id: a, type: assert, condition: x, on_failure: x"), Code.UNKNOWN_TARGET, "/main/a", 9, "`on_failure`"),
    (main("id: a, type: start, on_success: /x"), Code.UNKNOWN_TARGET, "/main/a", 9, "`on_success`"),
    (main("id: a, type: end", fields="entry: x"), Code.UNKNOWN_TARGET, "", 6, "`entry`"),
    (main("id: a, type: end", fields="on_error: x"), Code.UNKNOWN_TARGET, "", 6, "`on_error`"),
    (main("id: a, type: start, next: /lib/math/add@v3"), Code.UNKNOWN_TARGET, "/main/a", 9, "of the version 1.0"),
    (main("id: b, type: end"), Code.MISSING_ENTRY_POINT, "", 1, "did you mean /main/b"),
    (block("/__meta__", "mode: prod") + block("/main/a", "type: end"), Code.MISSING_ENTRY_POINT, "", 1, "entry_point"),
    (main("id: a, type: end", others=block("/lib/x", "type: end")), Code.SIGNATURE_REQUIRED, "", 12, "signature"),
    (block("/lib/x", "type: end"), Code.SIGNATURE_REQUIRED, "", 1, "signature"),
    (
        main("id: a, type: end", others=block("/lib/math/add", "type: end\nsignature: '(a: number) -> sum: number'")),
        Code.SIGNATURE_VIOLATION, "", 12, "breaks",
    ),
    (main("id: a, type: start, on_success: archive_to('/main/b')"), Code.NAMESPACE_VIOLATION, "/main/a", 9, "/lib"),
    (main("id: a, type: start, on_success: archive_to('/lib/b')"), Code.SIGNATURE_REQUIRED, "/main/a", 9, "archives"),
    (main("id: a, type: end", others=block("/__system__/x", "type: end")), Code.NAMESPACE_VIOLATION, "", 12, "anew"),
    (main("id: a, type: llm_call, llm: {prompt: x}"), Code.NAMESPACE_VIOLATION, "/main/a", 9, "/lib/reasoning"),
    (main("id: a, type: join, wait_for: a, merge_strategy: last_write_wins"), Code.INVALID_INPUT, "/main/a", 9, "prod"),
    (main("id: a, type: end, context_merge_policy: last_write_wins"), Code.INVALID_INPUT, "/main/a", 9, "prod"),
    (main("id: a, type: end", fields="context_merge_policy: {x: last_write_wins}"), Code.INVALID_INPUT, "", 6, "prod"),
    (main("id: a, type: end", fields="requires: [{lib: /lib/none}]"), Code.UNKNOWN_TARGET, "", 6, "not there"),
    (main("id: a, type: end", fields="requires: [{lib: /lib/math/add@^2.0}]"), Code.UNKNOWN_TARGET, "", 6, "1.0"),
    (main("id: a, type: end", fields="requires: [{tool: calculat}]"), Code.RESOURCE_UNAVAILABLE, "", 6, "calculate"),
    (main("id: a, type: tool_call, tool: x, output_keys: r"), Code.RESOURCE_UNAVAILABLE, "/main/a", 9, "'x'"),
    (
        main("id: a, type: dsl_call, llm_tool_name: y, prompt_template: x, output_keys: r"),
        Code.RESOURCE_UNAVAILABLE, "/main/a", 9, "'y'",
    ),
    (main("id: a, type: assign, assign: {x: [{y: '{{ $.a + }}'}]}"), Code.TEMPLATE, "/main/a", 9, "$.a +"),
    (main("id: a, type: start, next: '{{ ( }}'"), Code.TEMPLATE, "/main/a", 9, "template"),
    (main("id: a, type: assert, condition: '1 +'"), Code.TEMPLATE, "/main/a", 9, "1 +"),
    (
        main("id: a, type: start, wait_for: b, next: b", "id: b, type: start, wait_for: a"),
        Code.INVALID_INPUT, "/main/a", 9, "waits for itself",
    ),
    (main("id: a, type: start", "id: b, type: start, wait_for: /main"), Code.INVALID_INPUT, "/main/b", 10, "in itself"),
]  # fmt: skip
CASES += [
    (GOOD + block("/__meta__/resources", f"resources:\n- {{{entry}}}"), code, "", 16, says)
    for entry, code, says in [
        ("type: tool, name: calculat", Code.RESOURCE_UNAVAILABLE, "did you mean calculate"),
        ("type: tool, name: native_inference_core, capabilities: [fly]", Code.UNSUPPORTED_CAPABILITY, "'fly'"),
        ("type: native_inference_core, capabilities: [stream_output]", Code.UNSUPPORTED_CAPABILITY, "'stream_output'"),
        ("type: reasoning, capabilities: [speculative_decode]", Code.UNSUPPORTED_CAPABILITY, "any tool"),
        ("type: runtime, name: python3", Code.RESOURCE_UNAVAILABLE, "codelets"),
        ("type: knowledge_graph", Code.RESOURCE_UNAVAILABLE, "knowledge graph"),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "node", "line", "says"), CASES)
def test_faults_and_where_they_are(text: str, code: Code, node: str, line: int, says: str) -> None:
    same = [problem for problem in found(text) if problem.code == code and says in problem.text and problem.is_error]
    assert [(problem.node, problem.line, problem.file) for problem in same] == [(node, line, "f.md")]
    assert same[0].block and str(same[0]).isprintable()


@pytest.mark.parametrize("text", [case[0] for case in CASES if "/lib/x" not in case[0]])
def test_what_is_only_frowned_upon_runs_in_dev(text: str) -> None:
    """What fails for sure, and what somebody has promised, is an error in dev, too."""
    errors = {problem.code for problem in found(text.replace("mode: prod", "mode: dev")) if problem.is_error}
    assert errors <= {
        Code.TEMPLATE, Code.SIGNATURE_VIOLATION, Code.RESOURCE_UNAVAILABLE, Code.UNSUPPORTED_CAPABILITY,
        Code.MISSING_ENTRY_POINT, Code.UNKNOWN_TARGET,
    }  # fmt: skip
    assert (Code.UNKNOWN_TARGET in errors) == ("requires: [{lib" in text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (main("id: a, type: end", "id: b, type: start"), ["/main/b nothing leads"]),
        (main("id: a, type: end", others=block("/app/x", "nodes: [{id: a, type: end}]")), [" nothing leads"]),
        (
            main("id: a, type: start, next: b", "id: b, type: join", "id: c, type: join"),
            ["/main/c nothing leads", "/main/c the join waits"],
        ),
        (main("id: a, type: fork, branches: [b, b]", "id: b, type: end"), ["/main/a `branches` names"]),
        (main("id: a, type: start, next: /lib/math/add@latest"), ["/main/a `next` names /lib/math/add@latest: which"]),
        (main("id: a, type: end, permissions: ['tool: x', 'tool: x']"), ["/main/a `tool: x` is denied"]),
        ("Just a text.", [" there are no blocks"]),
    ],
)  # fmt: skip
def test_warnings(text: str, says: list[str]) -> None:
    problems = found(text)
    assert not any(problem.is_error for problem in problems)
    shown = [f"{problem.node} {problem.text}" for problem in problems]
    assert len(shown) == len(says) and all(any(one.startswith(start) for one in shown) for start in says)


TWO = block("/main/y", "type: end")
APP = block("/app", "nodes: [{id: x, type: start, next: y}, {id: y, type: end}]")


@pytest.mark.parametrize(
    "text",
    [
        main("id: a, type: start, next: /lib/math/add", "id: b, type: end"),  # behind a call
        main("id: a, type: start, next: '{{ $.x }}'", "id: b, type: end"),
        main("id: a, type: start", "id: b, type: start, wait_for: a"),
        main("id: a, type: start", "id: b, type: start, wait_for: '{{ $.x }}'"),
        main("id: r, type: resource, resource_type: file, uri: x", "id: a, type: end", "id: b, type: end, wait_for: r"),
        main("id: a, type: start, on_error: b", "id: b, type: end"),
        main("id: a, type: assert, condition: x, on_failure: b", "id: b, type: end"),
        main("id: a, type: start", "id: b, type: end", fields="on_error: b"),
        main("id: a, type: start, next: x", others=block("/main/x", "type: start\nnext: /lib/utils/noop") + TWO),
        main("id: a, type: start, next: /app", others=APP + block("/app/w", "type: end\nwait_for: /app")),
        main("id: a, type: generate_subgraph, prompt_template: x", "id: b, type: end", mode="dev"),
        block("/main/a", "type: end") + block("/main/b", "type: end"),  # nothing says where it begins
    ],
)  # fmt: skip
def test_what_can_be_reached(text: str) -> None:
    assert [problem.text for problem in found(text) if "nothing leads" in problem.text] == []


def test_requirements_that_go_in_a_circle() -> None:
    signed = "type: end\nsignature: '(a: any) -> b: any'\n"
    text = (
        block("/lib/a@v1", signed + "requires: /lib/b@^1.0")
        + block("/lib/b@v1.2", signed + "requires: [{lib: /lib/c}]")
        + block("/lib/c", signed + "requires: [{lib: /lib/a@v1}]")
    )
    (problem,) = found(text)
    assert problem.is_error and problem.text.endswith("/lib/a@v1 → /lib/b@v1.2 → /lib/c → /lib/a@v1")
    first, second = text.split("### AgenticDSL `/lib/b")
    library = LIBRARY.with_document(parse_document("### AgenticDSL `/lib/b" + second))
    (problem,) = found(first, library=library)
    assert problem.block == "/lib/a@v1" and "in a circle" in problem.text


def test_tools_are_not_asked_for_when_nobody_knows_them() -> None:
    text = main(
        "id: a, type: tool_call, tool: x, output_keys: r, next: /lib/reasoning/generate_text@v1",
        fields="requires: [{tool: t}]",
    )
    assert found(text, None) == []
    told = [(problem.node, problem.is_error) for problem in found(text, {"x": frozenset()})]
    assert told == [("", True), ("/main/a", False)]


def test_what_is_generated_may_be_named_before() -> None:
    text = main("id: a, type: generate_subgraph, prompt_template: x, output_keys: g, next: /dynamic/plan", mode="dev")
    assert found(text) == []


def test_many_problems_are_some() -> None:
    problems = found(main(*(f"id: n{i}, type: start, next: m{i}" for i in range(3000))))
    assert len([problem for problem in problems if problem.is_error]) == 200
    assert problems == sorted(problems, key=lambda problem: problem.line)


graphs = st.integers(1, 8).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=3), min_size=n, max_size=n)
)


@given(graphs)
def test_cycles_are_found_if_there_are_any(leads: list[list[int]]) -> None:
    named = {str(i): [str(j) for j in targets] for i, targets in enumerate(leads)}
    some = list(cycles(named))
    for cycle in some:
        assert len(set(cycle)) == len(cycle)
        assert all(after in named[before] for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    left = dict(named)  # takes away what leads nowhere, as long as there is any
    while ends := [node for node, targets in left.items() if not any(target in left for target in targets)]:
        for node in ends:
            del left[node]
    assert bool(some) == bool(left)
