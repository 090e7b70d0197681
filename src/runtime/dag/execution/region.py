"""A part of a run: nodes that run one after the other on one context."""

from collections.abc import Iterable, Sequence

from runtime.dag.context.snapshots import Snapshots
from runtime.dag.document.node import Join
from runtime.dag.document.path import Reference
from runtime.dag.execution.context_limit import ContextLimit
from runtime.dag.execution.failure import ERROR_FIELDS
from runtime.dag.execution.frame import Frame
from runtime.dag.execution.merging import Merging
from runtime.dag.execution.program import Arguments, Jump, Place, Program
from runtime.dag.execution.work_list import PendingCall, WorkList
from runtime.dag.json_value import JsonObject


class Region:
    """The document itself, a branch of a fork, or a called graph.

    context: never changed in place, so that branches, calls, snapshots and traces can share it. local: fields that do
    not leave it. writers: field -> path of the node that wrote it last. ended: paths of nodes and graphs that have run,
    in order. joins: what a branch has come to, and stops at. merging: what branches have left for the join that runs
    next. going_on: where it goes on from, while a node or a call of its own runs. fell_back: another node has stood in
    for one that failed. made: names of the handles that were given in it. stands_in: path of a node -> path of the one
    that failed and that it stands in for.
    """

    def __init__(
        self,
        frame: Frame,
        program: Program,
        context: JsonObject,
        snapshots: Snapshots,
        *,
        parent: "Region | None" = None,
        branch: tuple[int, ...] = (),
        fork: str | None = None,
        siblings: Sequence[str] | None = None,
        ended: Iterable[str] = (),
    ) -> None:
        """parent: the region that called or forked. fork, branch: the innermost run of a fork, and indices of branches
        on the way, outermost first. siblings: where the branches of the fork begin, if this is one of them."""
        self.frame = frame
        self.program = program
        self.context = context
        self.snapshots = snapshots
        self.parent = parent
        self.branch = branch
        self.fork = fork
        self.siblings = siblings
        self.ended = dict.fromkeys(ended)
        self.local: set[str] = set(ERROR_FIELDS)
        self.writers: dict[str, str] = {}
        self.joins: list[Place] = []
        self.merging: Merging | None = None
        self.work = WorkList()
        self.going_on: tuple[str, ...] = ()
        self.fell_back = False
        self.output_keys: tuple[str, ...] | None = None
        self.is_deterministic = True
        self.made: list[str] = []
        self.stands_in: dict[str, str] = {}
        self._limit = ContextLimit()

    def follow(self, place: Place, references: Sequence[Reference]) -> None:
        """Goes on from a node to what it leads to. What stands behind a call in the list has to wait for it."""
        for number, reference in enumerate(references):
            target = self.program.target(reference, place.graph)
            if not isinstance(target, Jump):
                self.work.calls.append(PendingCall(target, place, tuple(references[number + 1 :])))
                return
            self.activate(target.place, target.arguments)

    def activate(self, place: Place, arguments: Arguments = ()) -> None:
        if isinstance(place.node.body, Join) and self.siblings is not None:
            if place not in self.joins:
                self.joins.append(place)
        else:
            self.work.add(place, arguments)

    def change(self, path: str, context: JsonObject) -> None:
        """Takes a new context over from a node. Raises NodeError if it is too large."""
        changed = [key for key in context if context[key] is not self.context.get(key, self)]
        changed += [key for key in self.context if key not in context]
        self._limit.check(context)
        self.writers |= dict.fromkeys(changed, path)
        self.context = context

    def inner(self, frame: Frame, context: JsonObject) -> "Region":
        """The region of a graph that this one calls."""
        return Region(
            frame,
            self.program,
            context,
            self.snapshots,
            parent=self,
            branch=self.branch,
            fork=self.fork,
        )

    def branched(self, frame: Frame, index: int, fork: str, siblings: Sequence[str]) -> "Region":
        """A branch of a fork of this one."""
        return Region(
            frame,
            self.program,
            self.context,
            self.snapshots.copy(),
            parent=self,
            branch=(*self.branch, index),
            fork=fork,
            siblings=siblings,
            ended=self.ended,
        )

    def take_over(self, other: "Region") -> None:
        """What a call or a branch that has ended leaves, other than its context."""
        self.program = self.program.with_graphs(other.program.generated)
        self.is_deterministic &= other.is_deterministic
        self.made += other.made

    def leaving(self, base: JsonObject) -> JsonObject:
        """The context without what does not leave the region: these fields are as `base` has them."""
        kept = {key: value for key, value in self.context.items() if key not in self.local}
        return kept | {key: base[key] for key in self.local if key in base}
