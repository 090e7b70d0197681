"""Which fields of the context a node may look at."""

from collections.abc import Iterable, Iterator

from runtime.dag.document.node import End, Graph, Node, ToolCall
from runtime.dag.document.node_templates import templates
from runtime.dag.template.renderer import Renderer

Fields = frozenset[str] | None  # names at the top of the context; None: any
STAGE = "result"  # outputs may lie in it under their names
INPUTS = "inputs"  # where a call's inputs lie, all together
# What only the moment can tell: who reads one of these may give another result each time.
VOLATILE = frozenset(("now", "budget", "execution_context", "ctx_snapshots"))


def reads(node: Node, graph: Graph, renderer: Renderer) -> Fields:
    """What the node's templates name, and what it takes unnamed; of the first node of a graph with a signature, what a
    call takes for it, too."""
    named = (renderer.reads(text) for text in templates(node))
    return union([*named, frozenset(_unnamed(node, graph))])


def union(many: Iterable[Fields]) -> Fields:
    names: set[str] = set()
    for each in many:
        if each is None:
            return None
        names |= each
    return frozenset(names)


def _unnamed(node: Node, graph: Graph) -> Iterator[str]:
    signature = graph.signature
    inputs = [field.name for field in signature.inputs] if signature is not None else []
    if inputs and node is graph.first:
        yield from (INPUTS, *inputs)
    if isinstance(node.body, ToolCall) and node.body.arguments is None:
        yield from inputs
    if isinstance(node.body, End):
        yield from node.body.output_keys or ()
