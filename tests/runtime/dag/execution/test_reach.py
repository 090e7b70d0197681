"""Which nodes can run after which, against walks over the graph."""

import time
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.document.edges import ANYWHERE, Edge
from runtime.dag.execution.reach import Reach

Successors = dict[str, list[str]]


class Case(NamedTuple):
    successors: Successors
    queued: set[str]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to nine nodes with any edges: to themselves, to nothing that is there, anywhere."""
    names = [f"/n{i}" for i in range(draw(st.integers(1, 9)))]
    targets = st.sampled_from([*names, *names, ANYWHERE, "/nobody"])
    density = draw(st.integers(0, 3))
    successors = {name: draw(st.lists(targets, max_size=density)) for name in names}
    return Case(successors, draw(st.sets(st.sampled_from(names))))


def reach_of(successors: Successors) -> Reach:
    return Reach({path: [Edge("next", target) for target in targets] for path, targets in successors.items()})


def walked(successors: Successors, start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for target in successors[todo.pop()]:
            following = set(successors) if target == ANYWHERE else {target} & set(successors)
            todo += following - found
            found |= following
    return found


@settings(max_examples=500, deadline=None)
@given(cases())
def test_it_is_what_a_walk_finds(case: Case) -> None:
    reach = reach_of(case.successors)
    after = {path: walked(case.successors, path) for path in case.successors}
    for path, found in after.items():
        assert set(reach.paths_of(reach.after(path))) == found
        assert all(reach.leads(path, other) == (other in found) for other in case.successors)
        others = {other for other in case.queued - {path} if path in after[other] and other not in found}
        assert reach.is_first(path, reach.set_of(case.queued)) == (not others)
    onwards = case.queued.union(*(after[path] for path in case.queued))
    assert set(reach.paths_of(reach.onwards(case.queued))) == onwards
    assert list(reach.paths_of(reach.set_of(case.successors))) == list(case.successors)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_somebody_is_always_first(case: Case) -> None:
    reach = reach_of(case.successors)
    queued = reach.set_of(case.queued)
    assert not case.queued or any(reach.is_first(path, queued) for path in case.queued)


def test_paths_of_no_node_are_passed_over() -> None:
    reach = reach_of({"/a": ["/b"], "/b": []})
    assert reach.after("/nobody") == reach.set_of(["/nobody", ANYWHERE]) == reach.onwards(["/nobody"]) == 0
    assert not reach.leads("/nobody", "/a") and not reach.leads("/a", "/nobody")


def test_large_graphs_take_a_moment() -> None:
    """10,000 nodes in a chain, in a ring, and 500 that all lead to each other; recursion would overflow."""
    began = time.process_time()
    chain = {f"/n{i}": [f"/n{i + 1}"] for i in range(10_000)}
    reach = reach_of(chain)
    assert reach.leads("/n0", "/n9999") and not reach.leads("/n9999", "/n0")
    assert reach.is_first("/n0", reach.onwards(["/n0"])) and not reach.is_first("/n1", reach.onwards(["/n0"]))
    ring = reach_of(chain | {"/n9999": ["/n0"]})
    assert ring.after("/n5") == ring.onwards(["/n7"]) and ring.leads("/n5", "/n5")
    names = [f"/n{i}" for i in range(500)]
    clique = reach_of(dict.fromkeys(names, names))
    assert clique.is_first("/n0", clique.after("/n1"))
    assert time.process_time() - began < 8
