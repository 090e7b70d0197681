"""The interpreter: nodes that run one after the other on one context."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from runtime.dag.context.snapshots import Snapshots
from runtime.dag.document.edges import home_path
from runtime.dag.document.node import Join, Node, Targets
from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import is_of_run
from runtime.dag.execution.call import call
from runtime.dag.execution.context_limit import ContextLimit
from runtime.dag.execution.failure import ERROR_FIELDS, handler, told
from runtime.dag.execution.fork import merge_now
from runtime.dag.execution.frame import Frame
from runtime.dag.execution.merging import Merging
from runtime.dag.execution.outcome import Finish, RunEnds
from runtime.dag.execution.program import Arguments, Jump, Place, Program
from runtime.dag.execution.step import Step
from runtime.dag.execution.waits import is_over
from runtime.dag.execution.work_list import PendingCall, WorkList
from runtime.dag.json_value import Json, JsonObject

if TYPE_CHECKING:
    from runtime.dag.execution.run_state import RunState


class Region:
    """The document itself, a branch of a fork, or a called graph.

    context: never changed in place, so that branches, calls, snapshots and traces can share it. local: fields that do
    not leave it. writers: field -> path of the node that wrote it last. ended: paths of nodes and graphs that have run,
    in order. joins: what a branch has come to, and stops at. merging: what branches have left for the join that runs
    next. going_on: where it goes on from, while a node or a call of its own runs. fell_back: another node has stood in
    for one that failed. made: names of the handles that were given in it.
    stands_in: path of a node -> path of the one that failed and that it stands in for.
    """

    def __init__(
        self,
        run: "RunState",
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
        self.run_state = run
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

    async def run(self) -> None:
        """Runs what is in the work list, and what that leads to. Raises NodeError if a node has failed and nothing
        stands in for it, RunEnds if the whole run is to end."""
        self.run_state.liveness.enter(self)
        try:
            while True:
                await asyncio.sleep(0)  # so that others get a turn, and a run of any length can be cancelled
                item = self.work.take(self._is_ready, self.program.reach)
                if item is None:
                    break
                try:
                    if isinstance(item, PendingCall):
                        await call(self, item)
                    elif await self._run_node(item):
                        return
                except NodeError as error:
                    self._stand_in(item, error)
                self.going_on = ()
                self.run_state.liveness.collect()
            self._skip("what it waits for can no longer run")
            if self.merging is not None:  # the join that was to do it is one of these
                merge_now(self, self.program.place(self.merging.path))
        finally:
            self._skip("its part of the run has ended")
            self.run_state.liveness.leave(self)

    async def _run_node(self, jump: Jump) -> bool:
        """Whether the region ends with it."""
        place = jump.place
        self.going_on = (place.node.path,)
        if jump.arguments:
            self.change(place.node.path, self.context | dict(jump.arguments))
        control = await Step(self, place).run()
        self.ended[place.node.path] = None
        if isinstance(control, Finish):
            if control.is_hard:
                raise RunEnds(self.context, place.node.path)
            self.output_keys = control.output_keys
            return True
        self.follow(place, control.targets)
        self.wake({place.node.path})
        return False

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

    def returned(self, pending: PendingCall) -> None:
        """Goes on after a call: with nodes that wait for the graph, with the rest of the caller's list, or else with
        what stands behind the caller."""
        path = pending.callee.graph.path
        names = {path, path.partition("@")[0]}
        self.ended |= dict.fromkeys(sorted(names))
        is_woken = self.wake(names)
        if pending.rest:
            self.follow(pending.caller, pending.rest)
        elif not is_woken and not pending.is_branch and pending.fallback_from is None:
            follower = self.program.follower(pending.caller)
            if follower is not None:
                self.activate(follower)

    def wake(self, just_ended: set[str]) -> bool:
        """Activates nodes that nothing leads to and that waited for these. Whether there were any."""
        waiting = [place for place in self.program.waiters(self.frame.graph) if place.node.path not in self.ended]
        woken = [place for place in waiting if is_over(self, place, just_ended)]
        for place in woken:
            self.activate(place)
        return bool(woken)

    def references(self, targets: Targets, place: Place) -> tuple[Reference, ...]:
        """What `next`, `branches` or a wait names; templates see the context as it is. Raises NodeError."""
        if not isinstance(targets, str):
            return targets
        value = self.run_state.renderer.evaluate(targets, self.view(place.node))
        paths = [path for path in (value if isinstance(value, list) else [value]) if path]
        return tuple(_reference(path, place, self.program.document.by_path) for path in paths)

    def view(self, node: Node) -> JsonObject:
        """What templates of the node see: the context, and what the interpreter tells of itself."""
        return self.run_state.told(self, node) | self.context

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
            self.run_state,
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
            self.run_state,
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

    def _skip(self, why: str) -> None:
        """What there is still to do is not done."""
        for place in self.work.drop():
            self.run_state.tracer.skipped(place.node, self, why)

    def _is_ready(self, place: Place) -> bool:
        return is_over(self, place)

    def _stand_in(self, item: Jump | PendingCall, error: NodeError) -> None:
        """Goes on with what stands in for a node that has failed. Raises the error if nothing does."""
        place = item.caller if isinstance(item, PendingCall) else item.place
        path = place.node.path
        error.details.setdefault("node", path)
        if is_of_run(error):
            raise RunEnds(self.context, path, error) from error
        substitute = handler(place, error)
        if substitute is None:
            raise error
        self.change(path, self.context | told(error))
        self.ended[path] = None
        self.fell_back, self.is_deterministic = True, False
        target = self.program.target(substitute, place.graph)
        if isinstance(target, Jump):
            self.stands_in[target.place.node.path] = path
            self.activate(target.place, target.arguments)
        else:
            rest = item.rest if isinstance(item, PendingCall) else place.node.next
            rest = rest if isinstance(rest, tuple) else ()
            self.work.calls.append(PendingCall(target, place, rest, fallback_from=path))


def _reference(path: Json, place: Place, blocks: Collection[str]) -> Reference:
    try:
        return parse_reference(path, home_path(*place), blocks)
    except (AttributeError, TypeError, ValueError) as error:
        raise NodeError(
            Code.UNKNOWN_TARGET, f"a template gave {str(path)[:80]!r}, which is no path: {error}"
        ) from error
