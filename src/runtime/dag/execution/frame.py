"""A call on the way to a node."""

from dataclasses import dataclass

from runtime.dag.contract.grant import Grant
from runtime.dag.document.node import Graph, MergeStrategy
from runtime.dag.execution.budget import BudgetScope

DEEPEST = 64  # calls and forks within each other: a document without a budget must end, too


@dataclass(frozen=True)
class Frame:
    """What the nodes of a called graph, or of the document, have in common.

    graph: None for the document itself. depth: how many calls and forks it is in; generated: how many generated graphs
    are among these. policy: merge strategies of fields, inherited from callers. stands_in_for: path of the node that
    has failed, where the call stands in for it.
    """

    graph: Graph | None
    grant: Grant
    scope: BudgetScope
    depth: int
    policy: dict[str, MergeStrategy]
    generated: int = 0
    stands_in_for: str | None = None
