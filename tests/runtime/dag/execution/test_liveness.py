"""Handles, and what forks share, are given back as soon as nothing can use them, and not before."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_document import document, graph, is_balanced, node, run_alone
from toy_driver import toy_driver
from toy_model import toy_engine

from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.liveness import Liveness
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.trace.record import TraceRecord

families = pytest.mark.parametrize("recurrent", [False, True])


def ask(id: str, prompt: str, handle: str = "", next_: Any = (), past: str = "", **llm: Any) -> dict[str, Any]:
    """Goes on from the handle in the field `past`, if there is one, and puts one into the field `handle`."""
    wanted = {"prompt": prompt, "max_tokens": 4, **({"kv_handle": f"{{{{ $.{past} }}}}"} if past else {}), **llm}
    mapping = {"text": f"t_{id}"} | ({"kv_handle": handle} if handle else {})
    return node(id, "llm_call", llm=wanted, output_mapping=mapping, next=next_)


@dataclass
class Watch:
    """A run, with what was held when each node had ended (and nothing of it had been given back)."""

    text: str
    options: dict[str, Any] = field(default_factory=dict)
    handles: dict[str, int] = field(default_factory=dict)
    forks: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = {"prefix": False, "blocks": 200, "token_budget": 64} | self.options
        self.driver: InferenceDriver = toy_driver(toy_engine(**options))
        self.engine = DSLEngine.from_markdown(self.text, self.driver, cache_bytes=0, write=self.see)

    def see(self, record: TraceRecord) -> None:
        self.handles[record.node_path] = len(self.driver.handles)
        self.forks[record.node_path] = sum(map(len, self.driver._prefixes._of_fork.values()))

    def run(self, ctx: dict[str, Any] | None = None) -> RunResult:
        result = run_alone(self.engine, ctx)
        assert result.success, result.message
        assert is_balanced(self.driver)
        return result


@families
@pytest.mark.parametrize("is_loop", [False, True])
def test_a_long_chain_needs_no_more_memory_than_a_short_one(recurrent: bool, is_loop: bool) -> None:
    """Generates and continues again and again, in other fields each time, or in the same ones."""
    nodes = []
    for i in range(12):
        new, old = (f"h{i}", f"g{i}") if not is_loop else ("h", "g")
        nodes.append(ask(f"new{i}", f"prompt {i:02}", new, f"on{i}"))
        nodes.append(ask(f"on{i}", "on", old, f"more{i}", past=new))
        nodes.append(ask(f"more{i}", "and on", "", f"new{i + 1}" if i < 11 else (), past=old))
    watch = Watch(document(graph("/main", *nodes), entry="/main/new0"), {"recurrent": recurrent})
    result = watch.run()
    # The one that is continued and the new one; of one field, what was in it before, too.
    assert set(watch.handles.values()) == ({1, 2, 3} if is_loop else {1, 2})
    assert is_loop or all(watch.handles[f"/main/new{i}"] == 1 for i in range(12))
    held = [sample.held for sample in result.memory]
    assert max(held[len(held) // 2 :]) == max(held[: len(held) // 4])


@families
def test_branches_go_on_from_one_handle_however_late(recurrent: bool) -> None:
    waits = [node(f"wait{i}", "start", next=f"wait{i + 1}" if i < 20 else "late") for i in range(21)]
    nodes = [
        ask("start", "a text", "h", "fork"),
        node("fork", "fork", branches=["soon", "wait0", "idle"], next="end"),
        ask("soon", "soon", "", "soon_more", past="h"),
        node("soon_more", "start"),
        *waits,
        ask("late", "late", "", (), past="h"),
        node("idle", "start"),
        node("end", "start"),
    ]
    watch = Watch(document(graph("/main", *nodes)), {"recurrent": recurrent})
    result = watch.run()
    records = {record.node_path: record.native_inference for record in result.traces}
    late = records["/main/late"]
    assert late is not None and late.reused_tokens >= len("a text") + 3 and late.prefilled_tokens <= 1 + len("late")
    assert watch.handles["/main/late"] == 2 and watch.handles["/main/end"] == 0  # its own among them


def test_what_a_branch_has_made_is_kept_while_others_go_on() -> None:
    """It has ended; what it leaves is merged when all have."""
    longer = [ask(f"b{i}", f"another {i}", "", f"b{i + 1}" if i < 5 else ()) for i in range(6)]
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["soon", "b0"], next="end"),
            ask("soon", "a text", "h"),
            *longer,
            ask("end", "!", "", (), past="h"),
        )
    )
    watch = Watch(text)
    native = watch.run().traces[-1].native_inference
    assert native is not None and native.reused_tokens == len("a text") + 3
    assert watch.handles["/main/b3"] == 2 and watch.handles["/main/end"] == 2  # and the node's own


def test_what_branches_have_made_is_kept_until_their_join() -> None:
    """A node stands between the fork and the join."""
    text = document(
        graph(
            "/main",
            node("start", "fork", branches=["a", "b"], next="between"),
            ask("a", "a text", "h", "meet"),
            node("b", "start", next="meet"),
            ask("between", "another", "", "more"),
            node("more", "start", next="meet"),
            node("meet", "join", wait_for=["a", "b"], next="end"),
            ask("end", "!", "", (), past="h"),
        )
    )
    result = Watch(text).run()
    assert [record.node_path for record in result.traces][-3:] == ["/main/more", "/main/meet", "/main/end"]


def test_a_handle_among_the_inputs_of_a_later_call_is_kept() -> None:
    inputs = {"kv_handle": "{{ $.h }}", "new_prompt": "!", "max_tokens": 3}
    text = document(
        graph(
            "/main",
            ask("start", "a text", "h", "put"),
            node("put", "assign", assign={"inputs": inputs, "h": "gone"}, next="wait"),
            node("wait", "start", next=["/lib/reasoning/continue_from_kv@v1", "end"]),
            node("end", "assert", condition="$.continuation != ''"),
        )
    )
    result = Watch(text).run()
    assert not any(record.fallback_from for record in result.traces)


@pytest.mark.parametrize("is_called", [False, True])
def test_a_handle_that_only_a_later_call_takes_is_kept(is_called: bool) -> None:
    """`kv_handle` is an input of the graph: no template of the document names it."""
    first = (
        node(
            "start",
            "assign",
            assign={"prompt": "a text", "max_tokens": 4},
            next=["/lib/reasoning/generate_text@v1", "b"],
        )
        if is_called
        else ask("start", "a text", "kv_handle", "b")
    )
    text = document(
        graph(
            "/main",
            first,
            ask("b", "another", "other", "c"),
            node("c", "start", next="d"),
            node(
                "d",
                "assign",
                assign={"new_prompt": "!", "max_tokens": 4},
                next=["/lib/reasoning/continue_from_kv@v1", "e"],
            ),
            node("e", "start", next="f"),
            node("f", "start"),
        )
    )
    watch = Watch(text)
    result = watch.run()
    record = next(each for each in result.traces if each.node_path == "/lib/reasoning/continue_from_kv@v1")
    assert record.native_inference is not None and record.native_inference.reused_tokens == len("a text") + 3
    assert [watch.handles[f"/main/{id}"] for id in "bcdef"] == [2, 1, 1, 0, 0]


@pytest.mark.parametrize("is_read", [False, True])
def test_a_handle_in_a_snapshot_is_kept_if_snapshots_are_read(is_read: bool) -> None:
    past = "ctx_snapshots['/main/check'].h" if is_read else "g"
    text = document(
        graph(
            "/main",
            ask("start", "a text", "h", "check"),
            node("check", "assert", condition="true", next="gone"),
            node("gone", "assign", assign={"h": "nothing"}, next="other"),
            ask("other", "another", "g", "wait"),
            node("wait", "start", next="end"),
            ask("end", "!", "", (), past=past),
        )
    )
    watch = Watch(text)
    result = watch.run()
    record = next(each for each in result.traces if each.node_path == "/main/end")
    length = len("a text") if is_read else len("another")
    assert record.native_inference is not None and record.native_inference.reused_tokens == length + 3
    assert watch.handles["/main/wait"] == (2 if is_read else 1)


def test_what_a_fork_shares_ends_with_the_last_inference_of_its_branches() -> None:
    common = "a context that all branches have in common, "
    branches = []
    for id in "abc":
        branches += [
            ask(id, f"{common}{id}", "", f"{id}2"),
            node(f"{id}2", "start", next=f"{id}3"),
            ask(f"{id}3", f"{common}{id} again", "", f"{id}4") if id == "c" else node(f"{id}3", "start", next=f"{id}4"),
            node(f"{id}4", "start", next=f"{id}5"),
            node(f"{id}5", "start"),
        ]
    text = document(
        graph("/main", node("start", "fork", branches=["a", "b", "c"], next="end"), *branches, node("end", "start"))
    )
    watch = Watch(text)
    result = watch.run()
    again = next(each.native_inference for each in result.traces if each.node_path == "/main/c3")
    assert again is not None and again.reused_tokens >= len(common)
    assert [watch.forks[f"/main/{id}"] for id in ("c", "c2", "c3", "c4", "c5", "start")] == [1, 1, 1, 0, 0, 0]


def test_what_a_fork_shares_stays_for_graphs_that_its_branches_call() -> None:
    common = "a context that all branches have in common, "
    nodes = [node("start", "fork", branches=["a", "b"], next="end"), node("end", "start")]
    for id in "ab":
        nodes += [
            node(id, "assign", assign={"x": id}, next=["/dynamic/twice", f"{id}2"]),
            node(f"{id}2", "start", next=f"{id}3"),
            node(f"{id}3", "start"),
        ]
    called = graph(
        "/dynamic/twice",
        ask("one", common + "{{ $.x }}", "", "wait"),
        node("wait", "start", next="two"),
        ask("two", common + "{{ $.x }} again", "", ()),
    )
    watch = Watch(document(graph("/main", *nodes), called, context_merge_strategy="last_write_wins"))
    result = watch.run()
    found = [each.native_inference for each in result.traces if each.native_inference is not None]
    assert len(found) == 4 and all(each.reused_tokens >= len(common) for each in found)
    assert watch.forks["/dynamic/twice/two"] == 1 and watch.forks["/main/b3"] == 0


WAYS = ("new", "on", "copy", "inside", "taken", "called", "lost", "fork")


@dataclass
class Writer:
    """A random chain of nodes that make handles, move them around in the context, and go on from them."""

    data: st.DataObject
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: Iterator[str] = field(default_factory=lambda: (f"n{i}" for i in count()))

    def chain(self, known: list[str], length: int, depth: int) -> str:
        """The id of the first node of a chain. known: expressions that give handles; those of the chain are added."""
        ids = [next(self.ids) for _ in range(length)]
        for id, following in zip(ids, [*ids[1:], ""], strict=True):
            way = self.data.draw(st.sampled_from(WAYS[: None if depth else -1])) if known else "new"
            past = self.data.draw(st.sampled_from(known)) if known else ""
            made = self.node(way, id, past, known, depth)
            self.nodes[id] = made | {"next": [*made.get("next", ()), *([following] if following else [])]}
        return ids[0]

    def node(self, way: str, id: str, past: str, known: list[str], depth: int) -> dict[str, Any]:
        template = f"{{{{ $.{past} }}}}"
        if way in ("new", "on"):
            made = ask(id, f"prompt {id} ", f"h_{id}", (), past if way == "on" else "")
            known.append(f"h_{id}")
        elif way in ("copy", "inside"):
            made = node(id, "assign", assign={f"c_{id}": template if way == "copy" else {"x": [template]}})
            known.append(f"c_{id}" if way == "copy" else f"c_{id}.x[0]")
        elif way == "taken":
            made = node(id, "tool_call", tool="keep", arguments={"all": template}, output_keys=[f"k_{id}"])
            known.append(f"k_{id}.all")
        elif way == "called":
            inputs = {"kv_handle": template, "new_prompt": f"call {id}", "max_tokens": 3}
            made = node(id, "assign", assign=inputs, next=["/lib/reasoning/continue_from_kv@v1"])
            known.append("updated_kv_handle")
        elif way == "lost":
            name = past.partition(".")[0]
            made = node(id, "assign", assign={name: "nothing"})
            known[:] = [each for each in known if each.partition(".")[0] != name]
        else:
            inner = [list(known) for _ in range(self.data.draw(st.integers(1, 3)))]
            starts = [self.chain(each, self.data.draw(st.integers(1, 3)), depth - 1) for each in inner]
            made = node(id, "fork", branches=starts)
            known[:] = [each for each in known if all(each in branch for branch in inner)]
        return made


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_giving_back_changes_nothing(data: st.DataObject, recurrent: bool) -> None:
    """Whatever happens to handles in a document, it gives the same as where all are kept until its end."""
    writer = Writer(data)
    first = writer.chain([], data.draw(st.integers(2, 7)), 2)
    text = document(
        graph("/main", *writer.nodes.values()), entry=f"/main/{first}", context_merge_strategy="last_write_wins"
    )

    def run() -> tuple[dict[str, Any], int]:
        watch = Watch(text, {"recurrent": recurrent})
        watch.engine.register_tool("keep", keep)
        result = watch.run()
        return result.final_context, max(sample.held for sample in result.memory)

    def keep(all: str) -> dict[str, str]:
        return {"all": all}

    context, held = run()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Liveness, "collect", lambda self: None)
        kept, most = run()
    assert context == kept and held <= most
