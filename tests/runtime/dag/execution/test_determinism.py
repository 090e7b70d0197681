"""Documents give the same however fast their parts are: random ones, against each other and against plain Python."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_document import document, expected, graph, is_balanced, node
from toy_driver import toy_driver
from toy_model import toy_engine

from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult

Context = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What a node or a few do, one after the other with others of its body.

    write: a field tells how much has been done; work, work_in_a_thread: a tool puts its name behind `log`; ask: the
    model continues a prompt that tells how much has been done; fail: a tool raises, and something stands in; both,
    waits: two parts that both lead on, or that what follows waits for; call: of a graph; fork: bodies at once.
    """

    kind: str
    parts: tuple["Part", ...] = ()
    branches: tuple[tuple["Part", ...], ...] = ()
    graph: int = 0
    id: str = ""

    def named(self, ids: Iterator[str]) -> "Part":
        parts = tuple(part.named(ids) for part in self.parts)
        branches = tuple(tuple(part.named(ids) for part in body) for body in self.branches)
        return replace(self, parts=parts, branches=branches, id=next(ids))


ARMS = ("write", "work", "work_in_a_thread")
arms = st.sampled_from(ARMS).map(Part)
plain = st.sampled_from([*ARMS, "ask", "fail"]).map(Part)
pairs = st.builds(Part, st.sampled_from(["both", "waits"]), st.tuples(arms, arms))
leaves = st.one_of(plain, plain, pairs, st.builds(Part, st.just("call"), graph=st.integers(0, 2)))


def bodies(parts: st.SearchStrategy[Part], most: int = 3) -> st.SearchStrategy[tuple[Part, ...]]:
    return st.lists(parts, min_size=1, max_size=most).map(tuple)


def forks(parts: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.builds(Part, st.just("fork"), branches=st.lists(bodies(parts), min_size=1, max_size=4).map(tuple))


@dataclass(frozen=True)
class Program:
    body: tuple[Part, ...]
    graphs: tuple[tuple[Part, ...], ...]

    @classmethod
    def of(cls, body: tuple[Part, ...], *graphs: tuple[Part, ...]) -> "Program":
        def named(body: tuple[Part, ...], prefix: str) -> tuple[Part, ...]:
            ids = (f"{prefix}{i}" for i in count())
            return tuple(part.named(ids) for part in body)

        return cls(named(body, "n"), tuple(named(body, f"g{i}_") for i, body in enumerate(graphs)))

    def text(self) -> str:
        called = [graph(f"/dynamic/g{i}", *nodes_of(body, []), entry=body[0].id) for i, body in enumerate(self.graphs)]
        start = node("start", "assign", assign={"log": []}, next=self.body[0].id)
        return document(graph("/main", start, *nodes_of(self.body, [])), *called)

    def played(self, body: Sequence[Part], context: Context) -> Context:
        """What a run of it comes to, one part after the other."""
        for part in body:
            context = self._after(part, context)
        return context

    def _after(self, part: Part, context: Context) -> Context:
        done = len(context["log"])
        match part.kind:
            case "write":
                return context | {f"w_{part.id}": str(done)}
            case "work" | "work_in_a_thread":
                return context | {"log": [*context["log"], part.id]}
            case "ask":
                return context | {f"a_{part.id}": expected(f"{part.id} {done}", 2)}
            case "fail":
                return context | {f"e_{part.id}": f"ERR_EXEC.TOOL_FAILED {done}"}
            case "both" | "waits":
                return self.played(part.parts, context)
            case "call":
                return self.played(self.graphs[part.graph], context)
        merged = context
        for body in part.branches:
            left = self.played(body, context)
            log = [*merged["log"], *left["log"][done:]]
            merged = merged | {key: value for key, value in left.items() if value != context.get(key)} | {"log": log}
        return merged


def nodes_of(body: Sequence[Part], following: list[str]) -> list[dict[str, Any]]:
    """The last of the body leads to `following`."""
    nodes = []
    for i, part in enumerate(body):
        nodes += nodes_of_part(part, [body[i + 1].id] if i + 1 < len(body) else following)
    return nodes


def nodes_of_part(part: Part, following: list[str]) -> list[dict[str, Any]]:
    id, done = part.id, "{{ length($.log) }}"

    def one(type: str, id: str = id, next_: list[str] = following, **fields: Any) -> dict[str, Any]:
        return node(id, type, next=next_, **fields)

    match part.kind:
        case "write":
            return [one("assign", assign={f"w_{id}": done})]
        case "work" | "work_in_a_thread":
            arguments = {"log": "{{ $.log }}", "name": id}
            return [one("tool_call", tool=part.kind, arguments=arguments, output_keys=["log"])]
        case "ask":
            llm = {"prompt": f"{id} {done}", "max_tokens": 2}
            return [one("llm_call", llm=llm, output_mapping={"text": f"a_{id}"})]
        case "fail":
            handler = one("assign", f"{id}_handler", assign={f"e_{id}": "{{ $.error.code }} " + done})
            failing = one("tool_call", tool="fail", arguments={}, output_keys=["no"], on_error=handler["id"], next_=[])
            return [failing, handler]
        case "both":
            ends = [each for arm in part.parts for each in nodes_of_part(arm, following)]
            return [one("start", next_=[arm.id for arm in part.parts]), *ends]
        case "waits":
            ends = [each for arm in part.parts for each in nodes_of_part(arm, [])]
            waiter = one("start", f"{id}_waiter", wait_for=[arm.id for arm in part.parts])
            return [one("start", next_=[arm.id for arm in part.parts]), *ends, waiter]
        case "call":
            return [one("start", next_=[f"/dynamic/g{part.graph}", *following])]
    starts = [branch[0].id for branch in part.branches]
    inside = [each for branch in part.branches for each in nodes_of(branch, [f"{id}_join"])]
    join = one("join", f"{id}_join", wait_for=starts, merge_strategy="array_concat")
    return [one("fork", branches=starts, next_=[]), *inside, join]


programs = st.builds(
    Program.of,
    bodies(st.recursive(leaves, forks, max_leaves=8)),
    bodies(plain, 2),
    bodies(st.one_of(plain, st.just(Part("call", graph=0))), 2),
    bodies(st.one_of(plain, st.just(Part("call", graph=1))), 2),
)


def run(text: str, pace: random.Random | None) -> RunResult:
    """pace: of the tools; None: all are as fast as can be."""
    driver = toy_driver(toy_engine(token_budget=16, max_sequences=3))
    engine = DSLEngine.from_markdown(text, driver)

    async def work(log: list[Any], name: str) -> list[Any]:
        for _ in range(pace.randrange(30) if pace else 0):
            await asyncio.sleep(0)
        return [*log, name]

    def work_in_a_thread(log: list[Any], name: str) -> list[Any]:
        time.sleep(pace.random() / 500 if pace else 0)
        return [*log, name]

    async def fail() -> None:
        await work([], "")
        raise RuntimeError("as it does")

    for tool in (work, work_in_a_thread, fail):
        engine.register_tool(tool.__name__, tool)
    result = engine.run()
    assert is_balanced(driver)
    return result


def left(result: RunResult) -> Context:
    """Without what the interpreter tells of errors."""
    return {key: value for key, value in result.final_context.items() if key not in ("error", "error_context")}


def told(result: RunResult) -> list[str]:
    """Records, but for their order, times and numbers."""
    records = [
        (record.branch, record.node_path, record.status, record.depth, record.context_delta, record.next_paths)
        for record in result.traces
    ]
    return sorted(map(json.dumps, records))


random_documents = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@random_documents
@given(programs, st.integers(0, 1 << 30))
def test_a_document_gives_what_its_parts_give_one_after_the_other(program: Program, seed: int) -> None:
    text = program.text()
    results = [run(text, pace) for pace in (None, random.Random(seed))]
    for result in results:
        assert result.success, result.message
        assert left(result) == program.played(program.body, {"log": []})
    assert told(results[0]) == told(results[1])


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
