"""Whether the tools and resources are there that a document needs, and whether it may use them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.contract.grant import REASONING, Grant, root_grant, shown
from runtime.dag.contract.permission import Permission
from runtime.dag.document.edges import Edge
from runtime.dag.document.fields import is_template
from runtime.dag.document.findings import Findings
from runtime.dag.document.library import Library
from runtime.dag.document.node import GenerateSubgraph, Graph, LlmCall, NativeCall, Node, ToolCall
from runtime.dag.errors import Code

Tools = Mapping[str, frozenset[str]]  # name → capabilities
ENGINE = "native_inference_core"


def check_tools(findings: Findings, library: Library, edges: Mapping[str, Iterable[Edge]], tools: Tools) -> None:
    """tools: that are registered."""
    document = findings.document
    for entry in document.resources:
        for code, text in _unavailable(entry, tools, findings):
            findings.fault_of_resource(code, text, entry)
    missing = _Missing(findings, library, edges, tools)
    for graph in document.graphs:
        for name in _required(graph, tools):
            hint = findings.near(name, tools)
            findings.fault(
                Code.RESOURCE_UNAVAILABLE, f"`requires` the tool {name}, which nobody has registered{hint}", graph
            )
        for node in graph.nodes:
            missing.check(graph, node)
    if document.meta.is_strict:
        _check_permissions(findings, root_grant("prod", document.resources, tools))


class _Missing:
    """Tools that nodes call, themselves or by way of the library."""

    def __init__(self, findings: Findings, library: Library, edges: Mapping[str, Iterable[Edge]], tools: Tools) -> None:
        self._findings = findings
        self._edges = edges
        self._tools = tools
        others = (graph for graph in library.graphs if graph.path not in findings.document.by_path)
        self._library = {node.path: graph for graph in others for node in graph.nodes}
        self._seen: set[str] = set()

    def check(self, graph: Graph, node: Node) -> None:
        name = _tool(node)
        if name and not is_template(name) and name not in self._tools:
            text = (
                f"it calls the tool {name[:80]!r}, which nobody has registered{self._findings.near(name, self._tools)}"
            )
            self._findings.frown(Code.RESOURCE_UNAVAILABLE, text, graph, node)
        for called in self._called(node.path):
            for name in _required(called, self._tools):
                text = f"it leads to {called.path}, which requires the tool {name}, which nobody has registered"
                self._findings.fault(Code.RESOURCE_UNAVAILABLE, text, graph, node, is_error=False)

    def _called(self, path: str) -> Iterator[Graph]:
        """Graphs of the library that a node leads to, and those that they lead to. Each comes once."""
        waiting = [path]
        while waiting:
            for edge in self._edges.get(waiting.pop(), ()):
                graph = self._library.get(edge.target)
                if graph is not None and graph.path not in self._seen:
                    self._seen.add(graph.path)
                    waiting.extend(node.path for node in graph.nodes)
                    yield graph


def _unavailable(entry: ResourceEntry, tools: Tools, findings: Findings) -> Iterator[tuple[Code, str]]:
    """What there is not of a declared resource. Networks and memory are the host's, who does not say."""
    if entry.type in ("tool", "native_inference_core"):
        if entry.name not in tools:
            hint = findings.near(entry.name, tools)
            yield (
                Code.RESOURCE_UNAVAILABLE,
                f"the tool {entry.name[:80]!r} is declared and nobody has registered it{hint}",
            )
            return
        offered = tools[entry.name]
    elif entry.type in ("reasoning", "knowledge_graph"):
        offered = frozenset[str]().union(*tools.values())
        if entry.type == "knowledge_graph" and not entry.capabilities and "subgraph_query" not in offered:
            yield Code.RESOURCE_UNAVAILABLE, "a knowledge graph is declared and no tool offers `subgraph_query`"
    elif entry.type == "runtime":
        yield Code.RESOURCE_UNAVAILABLE, f"the runtime {entry.name[:80]!r} is declared: codelets are not run here"
        return
    else:
        return
    can = offered | {REASONING[each] for each in offered if each in REASONING}
    for capability in dict.fromkeys(entry.capabilities):
        if capability not in can and REASONING.get(capability) not in can:
            whose = f"the tool {entry.name}" if entry.name else "any tool"
            text = f"{capability[:80]!r} is declared and is no capability of {whose}{findings.near(capability, can)}"
            yield Code.UNSUPPORTED_CAPABILITY, text


def _required(graph: Graph, tools: Tools) -> list[str]:
    """The tools that a graph says it requires, and that there are not."""
    names = (one.name.partition("@")[0] for one in graph.requires if one.kind == "tool")
    return [name for name in names if name not in tools]


def _tool(node: Node) -> str:
    match node.body:
        case ToolCall(tool) | LlmCall(tool=tool):
            return tool
        case NativeCall():
            return ENGINE
        case _:
            return ""


def _check_permissions(findings: Findings, granted: Grant) -> None:
    """Those that nodes ask for and cannot get, as the document does not declare what they are for."""
    allows = cache(granted.allows)
    for graph in findings.document.graphs:
        for node in graph.nodes:
            wanted = node.permissions
            if isinstance(node.body, GenerateSubgraph):
                wanted = (*wanted, Permission("generate_subgraph"))
            for permission in dict.fromkeys(wanted):
                if not allows(permission):
                    text = (
                        f"`{shown(permission)[:100]}` is denied in prod unless it is declared under /__meta__/resources"
                    )
                    findings.fault(Code.PERMISSION_DENIED, text, graph, node, is_error=False)
