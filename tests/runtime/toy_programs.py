"""Random documents, whose results are known without the interpreter."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from hypothesis import strategies as st
from toy_document import document, expected, graph, node
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
    waits: two parts that both lead on, or that what follows waits for; call: of a graph; known: the same, of a graph
    that gives `log` only and may be recalled; fork: bodies at once.
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
leaves = st.one_of(plain, plain, pairs, st.builds(Part, st.sampled_from(["call", "known"]), graph=st.integers(0, 2)))


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
        called = []
        for i, body in enumerate(self.graphs):
            called.append(graph(f"/dynamic/g{i}", *nodes_of(body, []), entry=body[0].id))
            signature = "(log: array) -> log: array"
            called.append(graph(f"/lib/g{i}@v1", *nodes_of(body, []), entry=body[0].id, signature=signature))
        start = node("start", "assign", assign={"log": []}, next=self.body[0].id)
        return document(graph("/main", start, *nodes_of(self.body, [])), *called)

    def result(self) -> Context:
        return self.played(self.body, {"log": []})

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
            case "known":
                return context | {"log": self.played(self.graphs[part.graph], context)["log"]}
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
        case "known":
            return [one("start", next_=[f"/lib/g{part.graph}@v1", *following])]
    starts = [branch[0].id for branch in part.branches]
    inside = [each for branch in part.branches for each in nodes_of(branch, [f"{id}_join"])]
    join = one("join", f"{id}_join", wait_for=starts, merge_strategy="array_concat")
    return [one("fork", branches=starts, next_=[]), *inside, join]


def inner(graph: int) -> st.SearchStrategy[Part]:
    return st.sampled_from(["call", "known"]).map(lambda kind: Part(kind, graph=graph))


programs = st.builds(
    Program.of,
    bodies(st.recursive(leaves, forks, max_leaves=8)),
    bodies(plain, 2),
    bodies(st.one_of(plain, inner(0)), 2),
    bodies(st.one_of(plain, inner(1)), 2),
)


def engine_of(program: Program, pace: random.Random | None = None, **options: Any) -> DSLEngine:
    """With a toy model of a small cache. pace: of the tools; None: all are as fast as can be."""
    driver = toy_driver(toy_engine(token_budget=16, max_sequences=3))
    engine = DSLEngine.from_markdown(program.text(), driver, **options)
    add_tools(engine, pace)
    return engine


def add_tools(engine: DSLEngine, pace: random.Random | None = None) -> None:
    """Those that programs call."""

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
        engine.register_tool(tool.__name__, tool, deterministic=True)


def left(result: RunResult) -> Context:
    """Without what the interpreter tells of errors."""
    assert result.success, result.message
    return {key: value for key, value in result.final_context.items() if key not in ("error", "error_context")}
