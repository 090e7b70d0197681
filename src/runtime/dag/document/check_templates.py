"""Whether templates are written as templates are."""

from collections.abc import Iterator

from runtime.dag.document.edges import mentions
from runtime.dag.document.fields import is_template
from runtime.dag.document.findings import Findings
from runtime.dag.document.node import Assert, Assign, GenerateSubgraph, LlmCall, NativeCall, Node, Resource, ToolCall
from runtime.dag.errors import Code
from runtime.dag.json_value import Json
from runtime.dag.template.renderer import Renderer

MOST_CHECKED = 128 * 1024  # characters of different templates; what is beyond is left to the run
EACH = 64  # characters that a template counts for more than it has


def check_templates(findings: Findings) -> None:
    renderer = Renderer()
    known: dict[str, str | None] = {}
    left = MOST_CHECKED
    for graph in findings.document.graphs:
        for node in graph.nodes:
            for text in templates(node):
                if text not in known:
                    left -= len(text) + EACH
                    if left < 0:
                        return
                    known[text] = renderer.check(text)
                wrong = known[text]
                if wrong is not None:
                    findings.fault(Code.TEMPLATE, f"the template {_shown(text)}: {wrong}", graph, node)


def templates(node: Node) -> Iterator[str]:
    """The templates of a node."""
    for mention in mentions(node):
        if isinstance(mention.targets, str):
            yield mention.targets
    if isinstance(node.body, Assert) and not is_template(node.body.condition):
        yield "{{ " + node.body.condition + " }}"
    yield from (text for text in _texts(node) if is_template(text) or "{#" in text)


def _texts(node: Node) -> Iterator[str]:
    match node.body:
        case Assign(values):
            yield from _inside(values)
            yield from values
        case ToolCall(arguments=arguments):
            yield from _inside(arguments)
        case LlmCall(prompt_template=prompt, params=params) | GenerateSubgraph(prompt_template=prompt, params=params):
            yield prompt
            yield from _inside(params)
        case NativeCall(llm):
            yield from _inside(llm)
        case Assert(condition):
            yield condition
        case Resource(uri=uri):
            yield uri


def _inside(value: Json) -> Iterator[str]:
    """All texts in a value, in their order."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, list):
            waiting.extend(reversed(inner))
        elif isinstance(inner, dict):
            waiting.extend(reversed(inner.values()))


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")
