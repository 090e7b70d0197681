"""A run of a document, from its first node to what it leaves."""

from typing import Literal, NamedTuple

from runtime.dag.context.snapshots import Snapshots
from runtime.dag.contract.grant import root_grant
from runtime.dag.document.node import Budget, Resource
from runtime.dag.document.path import Reference
from runtime.dag.document.system_nodes import BUDGET_EXCEEDED
from runtime.dag.errors import NodeError
from runtime.dag.execution.budget import BudgetScope, is_of_run
from runtime.dag.execution.failure import told
from runtime.dag.execution.frame import Frame
from runtime.dag.execution.outcome import RunEnds
from runtime.dag.execution.program import Jump, Program
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.json_value import JsonObject

MOST_SNAPSHOTS = {"dev": 10, "prod": 0}  # where a document says nothing


class Ending(NamedTuple):
    """context: what the run leaves; error: None if it succeeded; program: with what was generated."""

    context: JsonObject
    error: NodeError | None
    program: Program


async def run(state: RunState, program: Program, context: JsonObject, budget: Budget) -> Ending:
    """Runs the document. What nodes do wrong is in the ending; a run that is cancelled has given all memory back when
    this raises CancelledError."""
    root = _root(state, program, context, budget)
    try:
        with state.activity.working():
            return await _ended(state, root)
    finally:
        if state.driver is not None:
            state.driver.end_run()


async def _ended(state: RunState, root: Region) -> Ending:
    try:
        root.change("", root.context)
        for place in root.program.entries():
            root.activate(place)
        await state.interpret(state, root)
        root.frame.scope.check_time()  # an answer that was cut off is no success, even if no node comes after it
    except NodeError as error:
        if is_of_run(error):
            return await _over_budget(state, root, root.context, error)
        return Ending(root.context, error, root.program)
    except RunEnds as end:
        if end.error is None:
            return Ending(end.context, None, root.program)
        return await _over_budget(state, root, end.context, end.error)
    return Ending(root.context, None, root.program)


async def _over_budget(state: RunState, root: Region, context: JsonObject, error: NodeError) -> Ending:
    """The system's node runs, or the document's own of that path, which may still do a little."""
    context = context | told(error)
    scope = BudgetScope(Budget(max_nodes=100, max_llm_calls=0, max_duration_sec=5))
    frame = Frame(None, root.frame.grant, scope, 0, {})
    last = Region(frame, root.program, context, root.snapshots)
    try:
        target = root.program.target(Reference(BUDGET_EXCEEDED), root.program.entries()[0].graph)
        assert isinstance(target, Jump)
        last.activate(target.place)
        await state.interpret(state, last)
    except NodeError:
        pass  # the run has failed already, and why counts
    except RunEnds as end:
        last.context = end.context
    return Ending(last.context, error, root.program)


def _root(state: RunState, program: Program, context: JsonObject, budget: Budget) -> Region:
    meta, declared = state.document.meta, state.document.resources
    mode: Literal["prod", "dev"] = "prod" if meta.is_strict else "dev"
    most = MOST_SNAPSHOTS[mode] if budget.max_snapshots is None else budget.max_snapshots
    snapshots = Snapshots(most, budget.snapshot_max_size_kb or 512)
    grant = root_grant(mode, declared, state.tools.capabilities())
    frame = Frame(None, grant, BudgetScope(budget), 0, {})
    resources = [path for path, node in state.document.nodes.items() if isinstance(node.body, Resource)]
    return Region(frame, program, context, snapshots, ended=resources)
