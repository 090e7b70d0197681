"""Documents from text: what every type of node reads, and that nothing makes the parser fail."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.contract.permission import Permission
from runtime.dag.document.document import Document
from runtime.dag.document.node import (
    Assert,
    Assign,
    Budget,
    End,
    Fork,
    GenerateSubgraph,
    Graph,
    Join,
    LlmCall,
    NativeCall,
    Node,
    Requirement,
    Resource,
    Start,
    ToolCall,
    Unsupported,
    Wait,
)  # fmt: skip
from runtime.dag.document.parser import MOST_BYTES, parse_document, read_document
from runtime.dag.document.path import Reference
from runtime.errors import UserError

ROOT = Path(__file__).parents[4]
REAL = sorted([*ROOT.glob("src/runtime/dag/library/**/*.md"), *ROOT.glob("tests/runtime/dag/documents/*.md")])
TEXTS = [path.read_text("utf-8") for path in REAL]


def block(path: str, yaml: str) -> str:
    return f"### AgenticDSL `{path}`\n```yaml\n{yaml}\n```\n"


def read(yaml: str, path: str = "/main/x") -> Node:
    document = parse_document(block(path, yaml))
    assert document.problems == ()
    return document.graphs[0].first


def said(text: str) -> list[str]:
    return [f"{problem.line} {problem.text}" for problem in parse_document(text).problems]


REFERENCES = (Reference("/main/a"), Reference("/lib/b", "1"))
BODIES = [
    ("type: start", Start()),
    ("type: end", End()),
    ("type: end\ntermination_mode: soft\noutput_keys: [a, b]", End(False, ("a", "b"))),
    ("type: end\nmetadata: {termination_mode: SOFT}\noutput_keys: a", End(False, ("a",))),
    ("type: assign\nassign: {a: 1, $.b.c: x}", Assign({"a": 1, "b.c": "x"})),
    ("type: assign\nassign: [{a: 1}, {b: 2}]", Assign({"a": 1, "b": 2})),
    ("type: assign\nassign: {expr: x, path: a.b}", Assign({"a.b": "x"})),
    ("type: assign\nassign: {expr: {k: 1}, path: '', meta: {ttl_seconds: 3}}", Assign({"": {"k": 1}})),
    ("type: assign\nassign: {expr: x}\npath: a", Assign({"a": "x"})),
    ("type: assign\nassign: {k: x}\npath: a", Assign({"a": {"k": "x"}})),
    ("type: assign\nexpr: x\npath: a", Assign({"a": "x"})),
    ("type: assign\nassign: {expr: x}", Assign({"expr": "x"})),
    ("type: tool_call\ntool: t\narguments: {q: 1}\noutput_keys: r", ToolCall("t", {"q": 1}, ("r",))),
    (
        "type: tool_call\ntool: t\noutput_mapping: {a: b}\nrollback_on_failure: 'true'\ntimeout: '2.5'",
        ToolCall("t", None, (), {"a": "b"}, True, 2.5),
    ),
    (
        "type: dsl_call\nprompt_template: p\nllm_tool_name: m\nllm_params: {seed: 1}\noutput_keys: [r]",
        LlmCall("p", "m", {"seed": 1}, ("r",)),
    ),
    ("type: llm_call\nprompt_template: p\noutput_keys: r", LlmCall("p", "llama-default", {}, ("r",))),
    (
        "type: llm_call\nllm: {prompt: p, seed: 1}\noutput_mapping: {text: t}",
        NativeCall({"prompt": "p", "seed": 1}, (), {"text": "t"}),
    ),
    (
        "type: generate_subgraph\nprompt_template: p\noutput_keys: g\nsignature_validation: warn\n"
        "on_signature_violation: a",
        GenerateSubgraph("p", ("g",), {}, "warn", REFERENCES[0]),
    ),
    (
        "type: llm_generate_dsl\nprompt: p\nllm: {seed: 1}\n"
        "output_constraints: {max_blocks: 5, namespace_prefix: /dynamic/x/}",
        GenerateSubgraph("p", (), {"seed": 1}, "strict", None, "/dynamic/x/", 5),
    ),
    ("type: llm_generate_dsl\nprompt: p", GenerateSubgraph("p", (), {}, "strict", None, "/dynamic/", 3)),
    ("type: fork\nbranches: [a, /lib/b@v1]", Fork(REFERENCES)),
    ("type: fork\nfork: {branches: [a, /lib/b@v1]}", Fork(REFERENCES)),
    ("type: fork\nbranches: a", Fork(REFERENCES[:1])),
    ("type: fork\nbranches: '{{ $.x }}'", Fork("{{ $.x }}")),
    ("type: fork\nbranches: ['{{ $.x }}']", Fork("{{ $.x }}")),
    ("type: join", Join()),
    ("type: join\nmerge_strategy: deep_merge", Join("deep_merge")),
    ("type: join\njoin: {merge_strategy: array_concat, wait_for: [a]}", Join("array_concat")),
    ("type: assert\ncondition: '{{ $.x }}'\non_failure: a", Assert("{{ $.x }}", REFERENCES[0])),
    ("type: assert\ncondition: true", Assert("true")),
    ("type: resource\nresource_type: file\nuri: /tmp/x", Resource("file", "/tmp/x")),
    ("type: resource\nresource_type: custom\nuri: x\nscope: local", Resource("custom", "x", "local")),
]  # fmt: skip


@pytest.mark.parametrize(("yaml", "body"), BODIES)
def test_bodies(yaml: str, body: object) -> None:
    assert read(yaml).body == body


def test_what_all_nodes_have() -> None:
    node = read(
        "type: start\nnext: [a, /lib/b@v1]\nwait_for: {any_of: [a, b]}\non_error: /self/oops\n"
        "on_success: archive_to('/lib/y@1')\npermissions: ['tool: t', {reasoning: llm_generate}]\n"
        "context_merge_policy: {$.a.*: last_write_wins}\nexpected_output: {a: 1}\ncurriculum_level: 2\n"
        "metadata: {snapshot_before_execution: true, k: 1}\nexecution_budget: {max_nodes: 3, max_llm_calls: -1}"
    )
    assert node == Node(
        "/main/x", "start", Start(), next=REFERENCES, wait_for=Wait((REFERENCES[0], Reference("/main/b")), True),
        on_error=Reference("/main/oops"), on_success='archive_to("/lib/y@v1")',
        permissions=(Permission("tool", "t"), Permission("reasoning", "llm_generate")),
        context_merge_policy={"a.*": "last_write_wins"}, expected_output={"a": 1}, snapshot=True,
        budget=Budget(max_nodes=3), metadata={"snapshot_before_execution": True, "k": 1, "curriculum_level": 2}, line=1,
    )  # fmt: skip


@pytest.mark.parametrize("place", ["", "metadata: "])
@pytest.mark.parametrize(
    ("written", "wait"),
    [("a", Wait(REFERENCES[:1])), ("[a, /lib/b@v1]", Wait(REFERENCES)), ("{all_of: [a]}", Wait(REFERENCES[:1])),
     ("{any_of: [a]}", Wait(REFERENCES[:1], True)), ("'{{ $.w }}'", Wait("{{ $.w }}"))],
)  # fmt: skip
def test_waits(place: str, written: str, wait: Wait) -> None:
    yaml = f"metadata: {{wait_for: {written}}}" if place else f"wait_for: {written}"
    assert read(f"type: start\n{yaml}").wait_for == wait


def test_subgraphs() -> None:
    text = block(
        "/lib/x@1.2",
        "graph_type: subgraph\nversion: 1.2.3\nstability: stable\nentry: b\nsignature: '(a: number) -> b: string'\n"
        "requires:\n- lib: /lib/y@^1.0\n- tool: t\non_error: /end_soft\nnodes:\n- {id: a, type: start, next: b}\n"
        "- id: b\n  type: end",
    )
    document = parse_document(text, "f.md")
    assert document.problems == ()
    (graph,) = document.graphs
    assert (graph.path, graph.entry, graph.first.path, graph.file) == (
        "/lib/x@v1.2",
        "/lib/x@v1.2/b",
        "/lib/x@v1.2/b",
        "f.md",
    )
    assert [(node.path, node.line) for node in graph.nodes] == [("/lib/x@v1.2/a", 13), ("/lib/x@v1.2/b", 14)]
    assert graph.requires == (Requirement("lib", "/lib/y@^1.0"), Requirement("tool", "t"))
    assert graph.signature is not None and (graph.signature.version, graph.signature.stability) == ("1.2.3", "stable")
    assert graph.nodes[0].next == (Reference("/lib/x@v1.2/b"),) and graph.on_error == Reference("/end_soft")


@pytest.mark.parametrize(("ids", "first"), [("ab", "a"), (["a", "start"], "start")])
def test_where_a_graph_begins(ids: list[str], first: str) -> None:
    nodes = "\n".join(f"- {{id: {one}, type: start}}" for one in ids)
    assert parse_document(block("/g", f"nodes:\n{nodes}")).graphs[0].first.path == f"/g/{first}"


def test_meta_and_resources() -> None:
    document = parse_document(
        block("/__meta__", "version: '3.10'\nmode: dev\nentry_point: /main/x\nexecution_budget: {max_nodes: 5}\n"
              "context_merge_strategy: deep_merge")
        + block("/__meta__/resources", "type: resource_declare\nresources:\n- {type: tool, name: t, capabilities: [a], "
                "scope: s}\n- {type: native_inference_core}\n- {type: network, outbound: {domains: [x]}}")
    )  # fmt: skip
    assert document.problems == ()
    meta = document.meta
    assert (meta.version, meta.mode, meta.entry_point, meta.budget.max_nodes) == ("3.10", "dev", "/main/x", 5)
    assert meta.merge_strategy == "deep_merge" and not meta.is_strict
    tool, engine, network = document.resources
    assert (tool.type, tool.name, tool.capabilities, tool.fields, tool.line) == (
        "tool",
        "t",
        ("a",),
        {"scope": "s"},
        13,
    )
    assert (engine.name, network.fields) == ("native_inference_core", {"outbound": {"domains": ["x"]}})
    assert parse_document(block("/__meta__", "version: x")).meta.is_strict
    assert not parse_document("").meta.is_strict


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("type: strat", "did you mean 'start'"),
        ("typ: start\ntype: end", ""),
        ("type: start\nnexts: a", "did you mean `next`"),
        ("type: start\nnext: a b", "no path"),
        ("type: start\nnext: ['{{ a }}', b]", "mixes"),
        ("type: tool_call", "`tool` is missing"),
        ("type: fork", "no `branches`"),
        ("type: assert", "`condition` is missing"),
        ("type: join\nmerge_strategy: deep", "it can be"),
        ("type: assign", "`assign` is missing"),
        ("type: assign\nassign: 1", "object"),
        ("type: start\nwait_for: []", "nothing to wait"),
        ("type: start\nwait_for: {some: a}", "all_of and any_of"), ("type: start\npermissions: [3]", "permission"),
        ("type: start\nsignature: 3", "signature"), ("type: start\nexecution_budget: {max_nodes: -3}", "negative"),
        ("type: start\nexecution_budget: {max_nodes: 1.5}", "whole"), ("type: start\non_success: 'a b'", "no path"),
        ("type: codelet_call", "not run"), ("type: [x]", "text"), ("nodes: 3", "list"), ("nodes: []", "no nodes"),
        ("nodes: [x]", "no node"), ("nodes: [{type: start}]", "`id`"), ("nodes: [{id: a/b, type: start}]", "`id`"),
        ("nodes: [{id: a}]", "`type` is missing"), ("a: 1", "neither `type` nor `nodes`"), ("- 1", "no object"),
        ("type: start\nrequires: [x]", "neither `lib"), ("type: start\nrequires: [/lib/..]", "no path"),
        ("type: generate_subgraph\nprompt_template: x\noutput_constraints: {namespace_prefix: /lib/x}", "/dynamic/"),
        ("type: resource\nresource_type: cloud\nuri: x", "it can be"), ("type: start\nloop_until: x", "since 3.3"),
    ],
)  # fmt: skip
def test_says_what_is_wrong(yaml: str, says: str) -> None:
    problems = said("\n\n" + block("/main/x", yaml))
    assert any(says in problem for problem in problems) if says else problems == []
    assert all(3 <= int(problem.split()[0]) <= 5 + yaml.count("\n") + 1 for problem in problems)


def test_unknown_types_are_placeholders() -> None:
    document = parse_document(block("/main/x", "type: telepathy\nnext: y"))
    assert isinstance(document.graphs[0].first.body, Unsupported)
    assert [problem.is_error for problem in document.problems] == [False]


@pytest.mark.parametrize(("mode", "is_error"), [("prod", True), ("dev", False)])
def test_the_last_of_the_same_path_counts(mode: str, is_error: bool) -> None:
    text = block("/__meta__", f"mode: {mode}") + block("/a", "type: start") + block("/a", "type: end")
    document = parse_document(
        text + block("/g", "nodes: [{id: n, type: start}, {id: n, type: end}, {id: m, type: end}]")
    )
    assert [(graph.path, [node.type for node in graph.nodes]) for graph in document.graphs] == [
        ("/a", ["end"]), ("/g", ["end", "end"]),
    ]  # fmt: skip
    assert [(problem.line, problem.is_error) for problem in document.problems] == [(5, is_error), (15, is_error)]


def test_errors_are_not_lost_among_warnings() -> None:
    odd = "".join(block(f"/main/n{i}", "type: codelet") for i in range(400))
    document = parse_document(odd + block("/main/x", "type: tool_call"))
    assert [problem.node for problem in document.problems if problem.is_error] == ["/main/x"]
    assert len(document.problems) <= 201


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"\xef\xbb\xbf" + block("/a", "type: end").encode())
    assert [graph.file for graph in read_document(path).graphs] == [str(path)]
    path.write_bytes(b"ab\xff")
    with pytest.raises(UserError, match="byte 2"):
        read_document(path)
    path.write_bytes(b"a" * (MOST_BYTES + 5))
    assert "KiB" in read_document(path).problems[0].text
    with pytest.raises(UserError, match="cannot be read"):
        read_document(tmp_path / "none.md")


def check(document: Document, text: str) -> None:
    most = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    for problem in document.problems:
        assert 0 <= problem.line <= most and problem.text and "\n" not in str(problem)
        assert str(problem).isprintable() or problem.file
    paths = [graph.path for graph in document.graphs]
    assert len(set(paths)) == len(paths) and all(graph.nodes for graph in document.graphs)
    assert all(isinstance(graph, Graph) and 1 <= graph.line <= most for graph in document.graphs)
    nodes = [node.path for graph in document.graphs for node in graph.nodes]
    assert all(1 <= document.nodes[path].line <= most for path in nodes)


@given(st.text(max_size=400) | st.lists(st.sampled_from(TEXTS[0].split("\n") + TEXTS[-1].split("\n"))).map("\n".join))
def test_no_text_makes_it_fail(text: str) -> None:
    for level in ("strict", "tolerant"):
        check(parse_document(text, level=level), text)


@settings(max_examples=150)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_mutation_of_a_document_makes_it_fail(text: str, chance: random.Random, times: int) -> None:
    """Texts are cut, doubled, and mixed at any place."""
    for _ in range(times):
        a, b = sorted(chance.choices(range(len(text) + 1), k=2))
        piece = chance.choice([text[a:b], "", "\n", ": ", "- ", "`", "{{", "\t", "[", "'", chance.choice(TEXTS)[a:b]])
        text = (text[:a] + piece + text[b - (b - a) // 2 :])[:20_000]
    check(parse_document(text), text)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_documents_are_the_same_with_other_line_ends(path: Path) -> None:
    text = path.read_text("utf-8")
    expected = parse_document(text)
    assert parse_document(text.replace("\n", "\r\n")).graphs == expected.graphs
    moved = parse_document("\n\n" + text)
    assert [problem.line - 2 for problem in moved.problems] == [problem.line for problem in expected.problems]


def test_a_problem_is_one_line_whatever_it_quotes() -> None:
    block = '# --- BEGIN AgenticDSL ---\n"ver\\tsio\\nn": 1\n# --- END AgenticDSL ---'
    (problem,) = parse_document(f"## AgenticDSL `/__meta__`\n```yaml\n{block}\n```\n").problems
    assert str(problem).isprintable() and "did you mean `version`" in str(problem)
