"""What a region still has to do, and what of it is next."""

from collections.abc import Callable
from typing import NamedTuple

from runtime.dag.document.path import Reference
from runtime.dag.execution.program import Arguments, Callee, Jump, Place
from runtime.dag.execution.reach import Nodes, Reach


class PendingCall(NamedTuple):
    """A graph that is to be called for `caller`. rest: what the caller wants to go on with afterwards. is_branch: the
    call is all that a branch of the fork `caller` does first. fallback_from: path of the node that has failed, if the
    graph stands in for it."""

    callee: Callee
    caller: Place
    rest: tuple[Reference, ...] = ()
    is_branch: bool = False
    fallback_from: str | None = None


class WorkList:
    """Nodes in the order in which they were reached. Calls go before all of them, so that a graph finds its arguments
    as its caller has left them."""

    def __init__(self) -> None:
        self.calls: list[PendingCall] = []
        self._nodes: dict[str, Jump] = {}
        self._added: list[str] = []  # since `_queued` was looked at
        self._queued: Nodes = 0  # the nodes, as `_reach` numbers them
        self._reach: Reach | None = None

    @property
    def nodes(self) -> list[Place]:
        return [jump.place for jump in self._nodes.values()]

    @property
    def paths(self) -> list[str]:
        return list(self._nodes)

    def add(self, place: Place, arguments: Arguments = ()) -> None:
        """A node that is in the list already is not added again: it runs once for all who lead to it."""
        if place.node.path not in self._nodes:
            self._nodes[place.node.path] = Jump(place, arguments)
            self._added.append(place.node.path)

    def take(self, is_ready: Callable[[Place], bool], reach: Reach) -> Jump | PendingCall | None:
        """What is next: a call, or the first node that has what it waits for and that no other node in the list leads
        to. Nodes that lead to each other do not wait for each other. None: nothing can run."""
        if self.calls:
            return self.calls.pop()
        self._look(reach)
        chosen = None
        for path, jump in self._nodes.items():
            if is_ready(jump.place):
                if reach.is_first(path, self._queued):
                    chosen = path
                    break
                chosen = chosen or path
        if chosen is None:
            return None
        self._queued &= ~reach.set_of([chosen])
        return self._nodes.pop(chosen)

    def drop(self) -> list[Place]:
        """Empties the list; the nodes that were in it."""
        dropped = self.nodes
        self.calls, self._nodes, self._added, self._queued = [], {}, [], 0
        return dropped

    def _look(self, reach: Reach) -> None:
        """Brings `_queued` up to date."""
        if reach is not self._reach:
            self._reach, self._queued, self._added = reach, 0, list(self._nodes)
        self._queued |= reach.set_of(self._added)
        self._added = []
