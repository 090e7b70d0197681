"""What a region does next, against a twin that looks at everything each time."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.document.edges import ANYWHERE, Edge
from runtime.dag.document.node import Graph, Node, Start
from runtime.dag.execution.program import Callee, Jump, Place
from runtime.dag.execution.reach import Reach
from runtime.dag.execution.work_list import PendingCall, WorkList

NAMES = [f"/n{i}" for i in range(7)]
PLACES = {path: Place(node := Node(path, "start", Start()), Graph(path, (node,))) for path in NAMES}
CALLS = [PendingCall(Callee(PLACES[path].graph), PLACES[path]) for path in NAMES[:3]]
edges = st.fixed_dictionaries({path: st.lists(st.sampled_from([*NAMES, ANYWHERE]), max_size=2) for path in NAMES})
ADD, CALL, TAKE, GROW = "add", "call", "take", "grow"
events = st.lists(
    st.tuples(st.sampled_from([ADD, ADD, ADD, CALL, TAKE, TAKE, GROW]), st.integers(0, 6), st.sets(st.integers(0, 6))),
    max_size=30,
)


def reach_of(successors: dict[str, list[str]]) -> Reach:
    return Reach({path: [Edge("next", target) for target in targets] for path, targets in successors.items()})


class Twin:
    """Leads: whether one path leads to another."""

    def __init__(self) -> None:
        self.calls: list[PendingCall] = []
        self.queued: list[tuple[str, tuple[tuple[str, str], ...]]] = []

    def take(self, ready: set[str], reach: Reach) -> Any:
        if self.calls:
            return self.calls.pop()
        queued = [path for path, _ in self.queued]
        able = [path for path in queued if path in ready]
        first = [
            path
            for path in able
            if not any(reach.leads(other, path) and not reach.leads(path, other) for other in queued if other != path)
        ]
        if not able:
            return None
        chosen = (first or able)[0]
        entry = next(entry for entry in self.queued if entry[0] == chosen)
        self.queued.remove(entry)
        return Jump(PLACES[chosen], entry[1])


@settings(max_examples=300, deadline=None)
@given(edges, edges, events)
def test_it_gives_what_looking_at_everything_gives(
    before: dict[str, list[str]], more: dict[str, list[str]], happening: list[tuple[str, int, set[int]]]
) -> None:
    """Nodes are added more than once, calls are pushed, and a graph that is generated makes another reach."""
    work, twin, reach = WorkList(), Twin(), reach_of(before)
    for what, number, able in happening:
        path = NAMES[number]
        if what == ADD:
            arguments = (("count", str(len(able))),)
            work.add(PLACES[path], arguments)
            if path not in [queued for queued, _ in twin.queued]:
                twin.queued.append((path, arguments))
        elif what == CALL:
            work.calls.append(CALLS[number % 3])
            twin.calls.append(CALLS[number % 3])
        elif what == GROW:
            reach = reach_of({path: [*before[path], *more[path]] for path in NAMES})
        else:
            ready = {NAMES[i] for i in able}
            assert work.take(lambda place, ready=ready: place.node.path in ready, reach) == twin.take(ready, reach)
        assert work.paths == [path for path, _ in twin.queued] == [place.node.path for place in work.nodes]


@settings(max_examples=200, deadline=None)
@given(edges, st.lists(st.sampled_from(NAMES), unique=True))
def test_all_that_is_added_is_given_once_and_in_an_order_that_respects_what_leads_to_what(
    successors: dict[str, list[str]], added: list[str]
) -> None:
    work, reach = WorkList(), reach_of(successors)
    for path in added:
        work.add(PLACES[path])
    taken: list[str] = []
    while isinstance(item := work.take(lambda place: True, reach), Jump):
        taken.append(item.place.node.path)
    assert sorted(taken) == sorted(added)
    for i, path in enumerate(taken):
        for later in taken[i + 1 :]:
            assert reach.leads(path, later) or not reach.leads(later, path)


def test_it_looks_at_each_node_a_few_times_only() -> None:
    """A list of 2,000 that all can run is emptied in one look each, not in one look at all for each."""
    names = [f"/n{i}" for i in range(2_000)]
    places = [Place(node := Node(path, "start", Start()), Graph(path, (node,))) for path in names]
    reach = reach_of({path: [] for path in names})
    work, seen = WorkList(), SimpleNamespace(count=0)

    def is_ready(place: Place) -> bool:
        seen.count += 1
        return True

    for place in places:
        work.add(place)
    assert [item.place for item in iter(lambda: work.take(is_ready, reach), None) if isinstance(item, Jump)] == places
    assert seen.count == len(names)
