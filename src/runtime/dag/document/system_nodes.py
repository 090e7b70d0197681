"""Graphs that every document has, unless it defines one of the same path."""

from runtime.dag.contract.signature import Signature
from runtime.dag.document.node import End, Graph, Node

BUDGET_EXCEEDED = "/__system__/budget_exceeded"


def _end(path: str, *, is_hard: bool = False) -> Graph:
    return Graph(path, (Node(path, "end", End(is_hard)),), signature=Signature())


SYSTEM_GRAPHS = {
    graph.path: graph
    for graph in (
        _end(BUDGET_EXCEEDED, is_hard=True),
        _end("/__system__/end_soft"),
        _end("/__system__/noop"),
        _end("/end_soft"),
        _end("/end", is_hard=True),
        _end("/lib/utils/noop"),
    )
}
