"""The templates that a node has."""

from collections.abc import Iterator

from runtime.dag.document.edges import mentions
from runtime.dag.document.fields import is_template
from runtime.dag.document.node import Assert, Assign, GenerateSubgraph, LlmCall, NativeCall, Node, Resource, ToolCall
from runtime.dag.json_value import texts_in


def templates(node: Node) -> Iterator[str]:
    """All of them; a condition that is written without braces has them here."""
    for mention in mentions(node):
        if isinstance(mention.targets, str):
            yield mention.targets
    if isinstance(node.body, Assert) and not is_template(node.body.condition):
        yield "{{ " + node.body.condition + " }}"
    yield from (text for text in _texts(node) if is_template(text) or "{#" in text)


def _texts(node: Node) -> Iterator[str]:
    match node.body:
        case Assign(values):
            yield from texts_in(values)
            yield from values
        case ToolCall(arguments=arguments):
            yield from texts_in(arguments)
        case LlmCall(prompt_template=prompt, params=params) | GenerateSubgraph(prompt_template=prompt, params=params):
            yield prompt
            yield from texts_in(params)
        case NativeCall(llm):
            yield from texts_in(llm)
        case Assert(condition):
            yield condition
        case Resource(uri=uri):
            yield uri
