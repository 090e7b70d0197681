"""Where a region goes on, once something has ended."""

from runtime.dag.errors import NodeError
from runtime.dag.execution.program import Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.view import references
from runtime.dag.execution.work_list import PendingCall


def returned(run: RunState, region: Region, pending: PendingCall) -> None:
    """Goes on after a call: with nodes that wait for the graph, with the rest of the caller's list, or else with what
    stands behind the caller."""
    path = pending.callee.graph.path
    names = {path, path.partition("@")[0]}
    region.ended |= dict.fromkeys(sorted(names))
    is_woken = wake(run, region, names)
    if pending.rest:
        region.follow(pending.caller, pending.rest)
    elif not is_woken and not pending.is_branch and pending.fallback_from is None:
        follower = region.program.follower(pending.caller)
        if follower is not None:
            region.activate(follower)


def wake(run: RunState, region: Region, just_ended: set[str]) -> bool:
    """Activates nodes that nothing leads to and that waited for these. Whether there were any."""
    waiting = [place for place in region.program.waiters(region.frame.graph) if place.node.path not in region.ended]
    woken = [place for place in waiting if is_over(run, region, place, just_ended)]
    for place in woken:
        region.activate(place)
    return bool(woken)


def is_over(run: RunState, region: Region, place: Place, just_ended: set[str] | None = None) -> bool:
    """Whether all (or one) of what the node waits for has ended in the region. just_ended: one of these has to be among
    it. A template that has no value yet is waited for, too."""
    wait = place.node.wait_for
    if wait is None:
        return True
    try:
        awaited = references(run, region, wait.targets, place)
    except NodeError:
        return False
    names = [{str(reference._replace(query=())), reference.path} for reference in awaited]
    if just_ended is not None and not any(_parts(region, name) & just_ended for name in names):
        return False
    over = [any(_has_ended(region, path) for path in name) for name in names]
    return any(over) if wait.is_any else all(over)


def _parts(region: Region, paths: set[str]) -> set[str]:
    """These, and of graphs that are jumped to their nodes."""
    graphs = [graph for path in paths if (graph := region.program.document.by_path.get(path)) is not None]
    return paths | {node.path for graph in graphs for node in graph.nodes}


def _has_ended(region: Region, path: str) -> bool:
    """A graph that is jumped to has ended when some of its nodes have run, and none is left to run."""
    if path in region.ended:
        return True
    nodes = _parts(region, {path})
    return bool(nodes & region.ended.keys()) and not nodes & set(region.work.paths)
