"""Forks: branches that run at the same time, each on its own context, and what becomes of them."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from runtime.dag.context.merge import BranchResult
from runtime.dag.document.node import Fork, Join
from runtime.dag.document.path import Reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.flow import wake
from runtime.dag.execution.frame import DEEPEST
from runtime.dag.execution.join import merge_now
from runtime.dag.execution.merging import Merging
from runtime.dag.execution.outcome import RunEnds
from runtime.dag.execution.program import Callee, Jump, Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.view import references
from runtime.dag.execution.work_list import PendingCall

MOST_BRANCHES = 1024


async def fork(run: RunState, region: Region, place: Place, body: Fork) -> None:
    """Runs the branches, and leaves what they have come to for the join that is next; if there is none, merges it.

    What a branch does when and how fast decides nothing: if several fail, the first in the list counts; of a race
    (`any_of`), the first in the list that gets there. Raises NodeError as that branch does, and RunEnds.
    """
    named = references(run, region, body.branches, place)
    targets = [region.program.target(reference, place.graph) for reference in named]
    _check(region, place, targets)
    starts = [target.place.node.path for target in targets]
    name = run.new_fork(place.node.path)
    branches = [_branch(region, place, target, index, name, starts) for index, target in enumerate(targets)]
    base = region.context
    tasks = [asyncio.create_task(_run(run, branch), name=f"{name}/{i}") for i, branch in enumerate(branches)]
    race = _race(region, starts)
    counted: Sequence[int] = range(len(tasks))
    try:
        waiting = _first(tasks, race) if race is not None else _all(tasks)
        counted = ended = await run.activity.waiting(waiting)
    except NodeError:
        counted = race if race is not None else range(_first_failed(tasks) + 1)
        raise
    finally:
        await run.activity.waiting(_cancel(tasks))
        _settle(run, branches, counted)
        run.liveness.fork_ended(name)
    kept = [branches[index] for index in ended]
    results = []
    for index, branch in zip(ended, kept, strict=True):
        context = branch.leaving(base)
        results.append(BranchResult(index, str(named[index]), context, branch.writers))
        region.ended |= branch.ended
        region.take_over(branch)
    region.is_deterministic &= len(kept) == len(branches)
    region.merging = Merging(base, tuple(results), place.node.path)
    _go_on(run, region, place, kept, starts)


def _check(region: Region, place: Place, targets: Sequence[Jump | Callee]) -> None:
    if not targets:
        raise NodeError(Code.INVALID_INPUT, f"the fork {place.node.path} has no branches")
    if len(targets) > MOST_BRANCHES:
        text = f"the fork {place.node.path} has {len(targets)} branches; at most {MOST_BRANCHES} can run"
        raise NodeError(Code.INVALID_INPUT, text)
    if region.frame.depth >= DEEPEST:
        text = f"forks are nested deeper than {DEEPEST}: does {place.node.path} lead back to itself?"
        raise NodeError(Code.BUDGET_EXCEEDED, text, {"scope": "part"})


def _branch(
    region: Region, place: Place, target: Jump | Callee, index: int, name: str, starts: Sequence[str]
) -> Region:
    frame = replace(
        region.frame,
        scope=region.frame.scope.branch(),
        depth=region.frame.depth + 1,
        policy=region.frame.policy | place.node.context_merge_policy,
    )
    branch = region.branched(frame, index, name, starts)
    if isinstance(target, Callee):
        branch.work.calls.append(PendingCall(target, place, is_branch=True))
        return branch
    branch.local |= {key for key, _ in target.arguments}
    branch.context = branch.context | dict(target.arguments)
    branch.activate(target.place)
    return branch


def _settle(run: RunState, branches: Sequence[Region], counted: Collection[int]) -> None:
    """What the branches have used, and what is known of their calls, is the region's from now on; of those that do not
    count, whose speed decides how far they came, nothing is."""
    for index, branch in enumerate(branches):
        if index not in counted:
            branch.frame.scope.forget()
        run.cache.branch_ended(branch.branch, is_kept=index in counted)


async def _run(run: RunState, branch: Region) -> None:
    with run.activity.working():
        await run.interpret(run, branch)


async def _all(tasks: Sequence["asyncio.Task[None]"]) -> list[int]:
    """Waits for all. Where one fails, those behind it are of no use any more."""
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        failed = [index for index, task in enumerate(tasks) if task.done() and _failure(task) is not None]
        if failed:
            before = [task for task in tasks[: failed[0]] if not task.done()]
            if not before:
                break
            for task in tasks[failed[0] + 1 :]:
                task.cancel()
            pending &= set(before)
    for task in tasks:
        if task.done() and (failure := _failure(task)) is not None:
            raise failure
    return list(range(len(tasks)))


async def _first(tasks: Sequence["asyncio.Task[None]"], race: Sequence[int]) -> list[int]:
    """Waits for the first in the list that succeeds."""
    failures = []
    for index in race:
        await asyncio.wait([tasks[index]])
        failure = _failure(tasks[index])
        if failure is None:
            return [index]
        if isinstance(failure, RunEnds):
            raise failure
        failures.append(failure)
    raise failures[0]


def _first_failed(tasks: Sequence["asyncio.Task[None]"]) -> int:
    return next(index for index, task in enumerate(tasks) if task.done() and _failure(task) is not None)


def _failure(task: "asyncio.Task[None]") -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _cancel(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _race(region: Region, starts: Sequence[str]) -> list[int] | None:
    """Branches in the order in which a join with `any_of` lists them; None if none of the joins ahead has one."""
    reach = region.program.reach
    for join in region.program.joins:
        wait = join.node.wait_for
        if wait is None or not wait.is_any or isinstance(wait.targets, str):
            continue
        awaited = [region.program.target(reference, join.graph) for reference in wait.targets]
        paths = [each.place.node.path for each in awaited]
        order = [i for path in paths for i, start in enumerate(starts) if path == start or reach.leads(start, path)]
        if order:
            return list(dict.fromkeys(order))
    return None


def _go_on(run: RunState, region: Region, place: Place, kept: Sequence[Region], starts: Sequence[str]) -> None:
    """Finds the joins that the branches have come to, or that waited for them; without any, merges at once."""
    region.ended[place.node.path] = None
    wake(run, region, {path for branch in kept for path in branch.ended} | {place.node.path})
    joins = {join.node.path: join for branch in kept for join in branch.joins}
    joins |= {each.node.path: each for each in region.work.nodes if isinstance(each.node.body, Join)}
    for join in joins.values():
        if region.siblings is None or _is_inner(region, join, place, starts):
            region.work.add(join)
        else:
            region.activate(join)
    follows = references(run, region, place.node.next, place)
    leads_to_join = any(_is_join(region, reference, place) for reference in follows)
    if not any(join.node.path in region.work.paths for join in joins.values()) and not leads_to_join:
        merge_now(run, region, place)


def _is_join(region: Region, reference: Reference, place: Place) -> bool:
    target = region.program.target(reference, place.graph)
    return isinstance(target, Jump) and isinstance(target.place.node.body, Join)


def _is_inner(region: Region, join: Place, place: Place, starts: Sequence[str]) -> bool:
    """Whether a join that branches of a fork within a branch have come to is that fork's, and not the outer one's: all
    that it waits for is in them, or none of the outer branches gets to it in another way."""
    reach, wait = region.program.reach, join.node.wait_for
    inside = reach.onwards(starts)
    if wait is not None and not isinstance(wait.targets, str):
        awaited = [region.program.target(reference, join.graph) for reference in wait.targets]
        paths = [each.place.node.path for each in awaited]
        return all(reach.set_of([path]) & inside for path in paths)
    others = [start for start in region.siblings or () if not reach.leads(start, place.node.path)]
    others = [start for start in others if start != place.node.path]
    return not any(reach.leads(start, join.node.path) or start == join.node.path for start in others)
