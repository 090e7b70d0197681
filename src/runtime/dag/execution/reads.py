"""Which fields of the context a node may look at."""

from collections.abc import Iterable, Iterator

from runtime.dag.document.fields import is_template
from runtime.dag.document.node import (
    Assert,
    Assign,
    End,
    Fork,
    GenerateSubgraph,
    Graph,
    LlmCall,
    NativeCall,
    Node,
    ToolCall,
)
from runtime.dag.json_value import Json
from runtime.dag.template.renderer import Renderer

Fields = frozenset[str] | None  # names at the top of the context; None: any
STAGE = "result"  # outputs may lie in it under their names
INPUTS = "inputs"  # where a call's inputs lie, all together
# What only the moment can tell: who reads one of these may give another result each time.
VOLATILE = frozenset(("now", "budget", "execution_context", "ctx_snapshots"))


def reads(node: Node, graph: Graph, renderer: Renderer) -> Fields:
    """What the node's templates name, and what it takes unnamed; of the first node of a graph with a signature, what a
    call takes for it, too."""
    named = (renderer.reads(text) for text in _texts([*_written(node)]))
    return union([*named, frozenset(_unnamed(node, graph))])


def union(many: Iterable[Fields]) -> Fields:
    names: set[str] = set()
    for each in many:
        if each is None:
            return None
        names |= each
    return frozenset(names)


def _written(node: Node) -> Iterator[Json]:
    """All of the node that may hold templates."""
    yield node.next if isinstance(node.next, str) else None
    if node.wait_for is not None and isinstance(node.wait_for.targets, str):
        yield node.wait_for.targets
    match node.body:
        case Assign(values):
            yield from (list(values), list(values.values()))
        case ToolCall(arguments=arguments):
            yield arguments
        case LlmCall(prompt, _, params) | GenerateSubgraph(prompt, _, params):
            yield from (prompt, params)
        case NativeCall(llm):
            yield llm
        case Fork(branches) if isinstance(branches, str):
            yield branches
        case Assert(condition):
            yield condition if is_template(condition) else f"{{{{ {condition} }}}}"


def _unnamed(node: Node, graph: Graph) -> Iterator[str]:
    signature = graph.signature
    inputs = [field.name for field in signature.inputs] if signature is not None else []
    if inputs and node is graph.first:
        yield from (INPUTS, *inputs)
    if isinstance(node.body, ToolCall) and node.body.arguments is None:
        yield from inputs
    if isinstance(node.body, End):
        yield from node.body.output_keys or ()


def _texts(values: list[Json]) -> Iterator[str]:
    while values:
        value = values.pop()
        if isinstance(value, str):
            if is_template(value):
                yield value
        elif isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
