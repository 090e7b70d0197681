"""From where a region goes on."""

from runtime.dag.errors import NodeError
from runtime.dag.execution.region import Region
from runtime.dag.execution.work_list import PendingCall


def ahead(region: Region) -> list[str]:
    """Paths of the nodes from which it goes on: what runs, what is queued, what is awaited, what comes after calls."""
    waiting = [place.node.path for place in (*region.joins, *region.program.waiters(region.frame.graph))]
    called = [item.callee.place.node.path for item in region.work.calls]
    after = [path for item in region.work.calls for path in after_call(region, item)]
    return [*region.work.paths, *called, *after, *waiting, *region.going_on]


def after_call(region: Region, pending: PendingCall) -> list[str]:
    """Paths of the nodes from which it goes on after a call."""
    found = []
    for reference in pending.rest:
        try:
            target = region.program.target(reference, pending.caller.graph)
        except NodeError:  # of which it will be told when it gets there
            continue
        found.append(target.place.node.path)
    follower = region.program.follower(pending.caller)
    return found if follower is None else [*found, follower.node.path]
