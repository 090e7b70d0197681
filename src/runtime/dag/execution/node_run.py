"""One node, from the moment that it may run to its record in the trace."""

from runtime.dag.document.node import (
    Assert,
    Assign,
    End,
    Fork,
    GenerateSubgraph,
    Join,
    LlmCall,
    NativeCall,
    Resource,
    Start,
    ToolCall,
    Unsupported,
)
from runtime.dag.document.node_reader import archive_target
from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.assignment import assigned
from runtime.dag.execution.fork import fork
from runtime.dag.execution.generate import generate
from runtime.dag.execution.join import merge_now
from runtime.dag.execution.liveness import infers
from runtime.dag.execution.outcome import Continue, Control, Finish
from runtime.dag.execution.program import Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.step import Step
from runtime.dag.execution.tool_use import ask_core, ask_model, use_tool
from runtime.dag.execution.view import references

SNAPSHOT = (Fork, GenerateSubgraph, Assert)  # types before which the context is always kept


async def run_node(run: RunState, region: Region, place: Place) -> Control:
    """Raises NodeError, and from within a fork RunEnds."""
    node, outer = place.node, region.frame.scope
    scope = outer.child(node.budget) if node.budget else outer
    with run.tracer.node(node, region) as notes:
        step = Step(run, region, place, scope, region.frame.grant.narrowed(node.permissions), notes)
        _admit(step)
        await _do(step)
        if isinstance(node.body, End):
            return Finish(node.body.is_hard, node.body.output_keys)
        targets = (*_on_success(step), *references(run, region, node.next, place))
        notes.next_paths = tuple(map(str, targets))
        return Continue(targets)


def _admit(step: Step) -> None:
    """Raises NodeError if the node may not run, or if what it may use has been used up."""
    body = step.node.body
    step.scope.check_time()
    asks = infers(step.node, step.run.tools)
    step.scope.charge(nodes=1, llm_calls=int(asks), depth=int(isinstance(body, GenerateSubgraph)))
    for permission in step.node.permissions:
        step.region.frame.grant.require(permission)
    keeps = isinstance(body, SNAPSHOT) or (isinstance(body, ToolCall) and body.rollback_on_failure)
    if (keeps or step.node.snapshot) and step.region.snapshots.take(step.node.path, step.region.context):
        step.notes.snapshot_key = step.node.path


async def _do(step: Step) -> None:
    match step.node.body:
        case Assign() as body:
            step.region.change(step.node.path, assigned(step, body))
        case ToolCall() as body:
            await use_tool(step, body)
        case LlmCall() as body:
            await ask_model(step, body)
        case NativeCall() as body:
            await ask_core(step, body)
        case GenerateSubgraph() as body:
            await generate(step, body)
        case Fork() as body:
            await fork(step.run, step.region, step.place, body)
        case Join():
            merge_now(step.run, step.region, step.place)
        case Assert(condition):
            if not step.run.renderer.condition(condition, step.view):
                shown = condition if len(condition) <= 200 else condition[:197] + "..."
                raise NodeError(Code.ASSERT_FAILED, f"assertion failed: {' '.join(shown.split())}")
        case Unsupported(why):
            raise NodeError(Code.UNSUPPORTED_CAPABILITY, why)
        case Start() | End() | Resource():
            pass


def _on_success(step: Step) -> tuple[Reference, ...]:
    text = step.node.on_success
    if text is None:
        return ()
    archive = archive_target(text)
    if archive is None:
        return (parse_reference(text, ""),)
    step.notes.metadata["not_archived"] = archive  # a run writes no library: its host does
    return ()
