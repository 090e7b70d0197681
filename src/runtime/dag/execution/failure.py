"""What stands in for a node that has failed."""

from runtime.dag.document.node import Assert, GenerateSubgraph
from runtime.dag.document.path import Reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.program import Place
from runtime.dag.json_value import JsonObject

ERROR_FIELDS = ("error", "error_context")  # of the context, for what stands in


def told(error: NodeError) -> JsonObject:
    """The fields of the context that tell of it."""
    value = {"code": str(error.code), "message": error.message, "context": error.details}
    return dict.fromkeys(ERROR_FIELDS, value)


def handler(place: Place, error: NodeError) -> Reference | None:
    """What the node names for such an error, or else its graph; None if nothing is to stand in."""
    node, graph = place
    own = None
    if isinstance(node.body, Assert) and error.code == Code.ASSERT_FAILED:
        own = node.body.on_failure
    elif isinstance(node.body, GenerateSubgraph) and error.code == Code.SIGNATURE_VIOLATION:
        own = node.body.on_signature_violation
    if own or node.on_error:
        return own or node.on_error
    is_own = graph.on_error is not None and str(graph.on_error) in (node.path, graph.path)
    return None if is_own else graph.on_error
