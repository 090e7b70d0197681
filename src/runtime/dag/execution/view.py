"""What templates see of a run, and what they name."""

from collections.abc import Collection

from runtime.dag.document.edges import home_path
from runtime.dag.document.node import Node, Targets
from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.program import Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.json_value import Json, JsonObject


def view(run: RunState, region: Region, node: Node) -> JsonObject:
    """The context, and what the interpreter tells of itself."""
    told = {
        "now": run.now(),
        "budget": region.frame.scope.left(),
        "ctx_snapshots": region.snapshots.as_json(),
        "available_subgraphs": region.program.catalogue,
        "expected_output": node.expected_output,
        "execution_context": {
            "executed_nodes": list(region.ended),
            "task_goal": region.context.get("task_goal"),
        },
    }
    return run.lasting | told | region.context


def references(run: RunState, region: Region, targets: Targets, place: Place) -> tuple[Reference, ...]:
    """What `next`, `branches` or a wait names; templates see the context as it is. Raises NodeError."""
    if not isinstance(targets, str):
        return targets
    value = run.renderer.evaluate(targets, view(run, region, place.node))
    paths = [path for path in (value if isinstance(value, list) else [value]) if path]
    return tuple(_reference(path, place, region.program.document.by_path) for path in paths)


def _reference(path: Json, place: Place, blocks: Collection[str]) -> Reference:
    try:
        return parse_reference(path, home_path(*place), blocks)
    except (AttributeError, TypeError, ValueError) as error:
        text = f"a template gave {str(path)[:80]!r}, which is no path: {error}"
        raise NodeError(Code.UNKNOWN_TARGET, text) from error
