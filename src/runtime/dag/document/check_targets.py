"""Whether what a document names is there."""

from collections.abc import Iterable

from runtime.dag.document.document import Document
from runtime.dag.document.edges import Targeting, mentions
from runtime.dag.document.findings import Findings
from runtime.dag.document.library import Library, graph_version
from runtime.dag.document.node import GenerateSubgraph, Graph, Node
from runtime.dag.document.path import LATEST, Reference, namespace, parse_reference, split_version
from runtime.dag.errors import Code

MOST_NEIGHBOURS = 300  # that are looked at for what was meant
APPLICATION = ("/main", "/app")  # graphs whose `entry` is where a document begins that does not say where


def check_targets(findings: Findings, targeting: Targeting, library: Library) -> None:
    """Of `next`, `branches`, `wait_for`, `on_error`, .. and of `entry`."""
    document = findings.document
    neighbours = _Neighbours((*document.by_path, *document.nodes, *library.by_path))
    is_generating = any(isinstance(node.body, GenerateSubgraph) for node in document.nodes.values())

    def check(field: str, reference: Reference, graph: Graph, node: Node | None = None) -> None:
        if reference.version == LATEST and document.meta.is_strict:
            text = f"`{field}` names {reference}: which version that is changes; name one in a document for prod"
            findings.fault(Code.INVALID_INPUT, text, graph, node, is_error=False)
        if targeting.node(reference) is not None or (is_generating and namespace(reference.path) == "dynamic"):
            return
        wanted = str(reference._replace(query=()))
        hint = other_version(reference, targeting) or findings.near(wanted, neighbours.of(reference.path))
        findings.frown(Code.UNKNOWN_TARGET, f"`{field}` names {_short(wanted)}, which is not there{hint}", graph, node)

    for graph in document.graphs:
        if graph.entry is not None and graph.entry not in document.nodes:
            check("entry", parse_reference(graph.entry, graph.path), graph)
        if graph.on_error is not None:
            check("on_error", graph.on_error, graph)
        for node in graph.nodes:
            for field, _, targets in mentions(node):
                for reference in targets if isinstance(targets, tuple) else ():
                    check(field, reference, graph, node)


def check_entry(findings: Findings, targeting: Targeting) -> None:
    """Whether it is clear where a document begins."""
    document = findings.document
    if not document.graphs:
        text = "there are no blocks with nodes in it; a block begins with a heading such as ### AgenticDSL `/main`"
        findings.fault_of_meta(Code.MISSING_ENTRY_POINT, text, is_error=False)
        return
    wanted = document.meta.entry_point
    if wanted is not None and entry_node(document, targeting) is None:
        if not any(problem.code == Code.MISSING_ENTRY_POINT for problem in document.problems):
            hint = findings.near(wanted, _Neighbours((*document.by_path, *document.nodes)).of(wanted))
            text = f"`entry_point` is {_short(wanted)}, which is not there{hint}"
            findings.fault_of_meta(Code.MISSING_ENTRY_POINT, text)
    elif wanted is None and document.meta.is_strict and not (is_library(document) or _application_entry(document)):
        text = f"a document for prod has to say where it begins: `entry_point: {document.graphs[0].path}`, for instance"
        findings.fault_of_meta(Code.MISSING_ENTRY_POINT, text)


def entry_node(document: Document, targeting: Targeting) -> Node | None:
    """Where a document begins, if it says so: at `entry_point`, or at the `entry` of its main graph."""
    if document.meta.entry_point is None:
        graph = _application_entry(document)
        return graph.first if graph is not None else None
    try:
        return targeting.node(parse_reference(document.meta.entry_point, ""))
    except ValueError:
        return None


def is_library(document: Document) -> bool:
    """Whether there is nothing in a document but what others call."""
    return all(namespace(graph.path) == "lib" for graph in document.graphs)


def _application_entry(document: Document) -> Graph | None:
    graphs = (document.by_path.get(path) for path in APPLICATION)
    return next((graph for graph in graphs if graph is not None and graph.entry is not None), None)


def other_version(reference: Reference, targeting: Targeting) -> str:
    """What there is in place of a version that there is not, for messages."""
    newest = targeting.newest(reference.path) if reference.version else None
    return f"; there is {newest.path} of the version {graph_version(newest) or 'none'}" if newest is not None else ""


class _Neighbours:
    """Paths that may have been meant: of nodes and graphs of the same name elsewhere, and of those beside."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._by_parent: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            parent, _, name = split_version(path)[0].rpartition("/")
            for key, index in ((name, self._by_name), (parent, self._by_parent)):
                index.setdefault(key, []).append(path)

    def of(self, path: str) -> Iterable[str]:
        parent, _, name = path.rpartition("/")
        same_name = self._by_name.get(name, [])[:MOST_NEIGHBOURS]
        return same_name or self._by_parent.get(parent, [])[:MOST_NEIGHBOURS]


def _short(path: str) -> str:
    return path if len(path) <= 120 else path[:117] + "..."
