"""The interpreter: the loop over what a region has to do."""

import asyncio

from runtime.dag.errors import NodeError
from runtime.dag.execution.budget import is_of_run
from runtime.dag.execution.call import call
from runtime.dag.execution.failure import handler, told
from runtime.dag.execution.flow import is_over, wake
from runtime.dag.execution.join import merge_now
from runtime.dag.execution.node_run import run_node
from runtime.dag.execution.outcome import Finish, RunEnds
from runtime.dag.execution.program import Jump
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.work_list import PendingCall


async def interpret(run: RunState, region: Region) -> None:
    """Runs what is in the region's work list, and what that leads to. Raises NodeError if a node has failed and nothing
    stands in for it, RunEnds if the whole run is to end."""
    run.liveness.enter(region)
    try:
        while True:
            await asyncio.sleep(0)  # so that others get a turn, and a run of any length can be cancelled
            item = region.work.take(lambda place: is_over(run, region, place), region.program.reach)
            if item is None:
                break
            try:
                if isinstance(item, PendingCall):
                    await call(run, region, item)
                elif await _do(run, region, item):
                    return
            except NodeError as error:
                _stand_in(region, item, error)
            region.going_on = ()
            run.liveness.collect()
        _skip(run, region, "what it waits for can no longer run")
        if region.merging is not None:  # the join that was to do it is one of these
            merge_now(run, region, region.program.place(region.merging.path))
    finally:
        _skip(run, region, "its part of the run has ended")
        run.liveness.leave(region)


async def _do(run: RunState, region: Region, jump: Jump) -> bool:
    """Whether the region ends with it."""
    place = jump.place
    region.going_on = (place.node.path,)
    if jump.arguments:
        region.change(place.node.path, region.context | dict(jump.arguments))
    control = await run_node(run, region, place)
    region.ended[place.node.path] = None
    if isinstance(control, Finish):
        if control.is_hard:
            raise RunEnds(region.context, place.node.path)
        region.output_keys = control.output_keys
        return True
    region.follow(place, control.targets)
    wake(run, region, {place.node.path})
    return False


def _stand_in(region: Region, item: Jump | PendingCall, error: NodeError) -> None:
    """Goes on with what stands in for a node that has failed. Raises the error if nothing does."""
    place = item.caller if isinstance(item, PendingCall) else item.place
    path = place.node.path
    error.details.setdefault("node", path)
    if is_of_run(error):
        raise RunEnds(region.context, path, error) from error
    substitute = handler(place, error)
    if substitute is None:
        raise error
    region.change(path, region.context | told(error))
    region.ended[path] = None
    region.fell_back, region.is_deterministic = True, False
    target = region.program.target(substitute, place.graph)
    if isinstance(target, Jump):
        region.stands_in[target.place.node.path] = path
        region.activate(target.place, target.arguments)
    else:
        rest = item.rest if isinstance(item, PendingCall) else place.node.next
        rest = rest if isinstance(rest, tuple) else ()
        region.work.calls.append(PendingCall(target, place, rest, fallback_from=path))


def _skip(run: RunState, region: Region, why: str) -> None:
    """What there is still to do is not done."""
    for place in region.work.drop():
        run.tracer.skipped(place.node, region, why)
