"""What a node waits for."""

from typing import TYPE_CHECKING

from runtime.dag.errors import NodeError
from runtime.dag.execution.program import Place

if TYPE_CHECKING:
    from runtime.dag.execution.region import Region


def is_over(region: "Region", place: Place, just_ended: set[str] | None = None) -> bool:
    """Whether all (or one) of what the node waits for has ended in the region. just_ended: one of these has to be among
    it. A template that has no value yet is waited for, too."""
    wait = place.node.wait_for
    if wait is None:
        return True
    try:
        references = region.references(wait.targets, place)
    except NodeError:
        return False
    names = [{str(reference._replace(query=())), reference.path} for reference in references]
    if just_ended is not None and not any(name & just_ended for name in names):
        return False
    over = [any(_has_ended(region, path) for path in name) for name in names]
    return any(over) if wait.is_any else all(over)


def _has_ended(region: "Region", path: str) -> bool:
    """A graph that is jumped to has ended when none of its nodes is left to run."""
    if path in region.ended:
        return True
    graph = region.program.document.by_path.get(path)
    if graph is None:
        return False
    paths = {node.path for node in graph.nodes}
    return bool(paths & region.ended.keys()) and not paths & set(region.work.paths)
