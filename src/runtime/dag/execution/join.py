"""Joins: what branches have left becomes one context."""

from runtime.dag.document.node import Join
from runtime.dag.execution.program import Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState


def merge_now(run: RunState, region: Region, place: Place) -> None:
    """What the last fork's branches have left becomes the context, as the node (a join, or the fork itself) says.
    Raises NodeError (CTX_MERGE_CONFLICT)."""
    merging, region.merging = region.merging, None
    if merging is None:
        return
    node, graph = place
    body = node.body
    policy = region.frame.policy | graph.context_merge_policy | node.context_merge_policy
    strategy = (body.merge_strategy if isinstance(body, Join) else None) or run.merge_strategy
    region.change(node.path, merging.merged(strategy, policy, allows_equal=run.allows_equal))
