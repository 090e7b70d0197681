"""What leads to what in a document, as far as that can be told without running it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from runtime.dag.document.document import Document
from runtime.dag.document.library import Library, by_base
from runtime.dag.document.node import Assert, End, Fork, GenerateSubgraph, Graph, Node, Targets
from runtime.dag.document.node_reader import archive_target
from runtime.dag.document.path import LATEST, Reference, namespace, parse_reference, split_version
from runtime.dag.template.outcomes import outcomes

EdgeKind = Literal["next", "error", "failure", "branch", "wait", "call"]
ANYWHERE = "*"  # the target of an edge that only a run can tell
END_OF_GRAPH = "/*"  # behind the path of a graph: its end, which any of its nodes may lead to
CALLED = ("lib", "dynamic")
MOST_READ, EACH = 64 * 1024, 64  # characters of templates, and what each counts for more than it has


class Edge(NamedTuple):
    """kind: "wait" leads from what is waited for to who waits; "call" to the node that a called graph begins with.
    target: path of a node, ANYWHERE, or a graph's END_OF_GRAPH, which has edges itself."""

    kind: EdgeKind
    target: str


class Mention(NamedTuple):
    """What a field of a node names. kind: of the edges that it makes."""

    field: str
    kind: EdgeKind
    targets: Targets


class Targeting:
    """Finds what references mean: a node or graph of the document, of the library, or one that is always there."""

    def __init__(self, document: Document, library: Library) -> None:
        self._document = document
        self._library = library
        self._versions = by_base(document.graphs)
        others = (graph for graph in library.graphs if graph.path not in document.by_path)
        self._library_nodes = {node.path: node for graph in others for node in graph.nodes}

    def graph(self, reference: Reference) -> Graph | None:
        """The newest graph that a reference can mean; the document's own before the library's."""
        return self._own_graph(reference) or self._library_graph(reference)

    def node(self, reference: Reference) -> Node | None:
        """The node that a reference means, or that the graph begins with which it means."""
        path = str(reference._replace(query=()))
        own = self._document.nodes.get(path)
        graph = None if own is not None else self._own_graph(reference)
        if own is None and graph is None and not reference.version:
            own = self._library_nodes.get(path)
        if own is not None:
            return own
        graph = graph or self._library_graph(reference)
        return graph.first if graph is not None else None

    def newest(self, path: str) -> Graph | None:
        """Of a path without a version."""
        return self.graph(Reference(path, LATEST))

    def _own_graph(self, reference: Reference) -> Graph | None:
        versions = self._versions.get(reference.path)
        return versions.find(reference.version) if versions else None

    def _library_graph(self, reference: Reference) -> Graph | None:
        graph = self._library.find(reference)
        return graph if graph is not None and graph.path not in self._document.by_path else None


def static_edges(document: Document, library: Library) -> dict[str, tuple[Edge, ...]]:
    """The edges of each node of the document and of the library, by its path. References to nothing have none."""
    targeting = Targeting(document, library)
    graphs = {graph.path: graph for graph in (*library.graphs, *document.graphs)}
    edges: dict[str, dict[Edge, None]] = {node.path: {} for graph in graphs.values() for node in graph.nodes}
    choices = _Choices()
    ends: dict[str, list[str]] = {}  # path of a graph → of the nodes that wait for it
    for graph in graphs.values():
        for node in graph.nodes:
            edges[node.path] |= dict.fromkeys(_outgoing(node, graph, targeting, choices))
            for awaited in _awaited(node, targeting):
                if isinstance(awaited, Node):
                    edges[awaited.path][Edge("wait", node.path)] = None
                else:
                    ends.setdefault(awaited.path, []).append(node.path)
    for path, waiting in ends.items():
        end = path + END_OF_GRAPH
        edges[end] = dict.fromkeys(Edge("wait", node) for node in waiting)
        for node in graphs[path].nodes:
            edges[node.path][Edge("wait", end)] = None
    return {path: tuple(found) for path, found in edges.items()}


def reachable(edges: Mapping[str, Iterable[Edge]], *starts: str) -> frozenset[str]:
    """The nodes that one edge or more lead to from any of `starts`; all, if one leads anywhere."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        for edge in edges.get(waiting.pop(), ()):
            if edge.target == ANYWHERE:
                return frozenset(edges)
            if edge.target not in found:
                found.add(edge.target)
                waiting.append(edge.target)
    return frozenset(found)


def is_called(graph: Graph) -> bool:
    """Whether to go there is to call and to come back, and not a jump: library, generated, soft system nodes."""
    if namespace(graph.path) == "__system__":
        return isinstance(graph.first.body, End) and not graph.first.body.is_hard
    return namespace(graph.path) in CALLED


def mentions(node: Node) -> Iterator[Mention]:
    """All that a node names."""
    yield Mention("next", "next", node.next)
    if node.wait_for is not None:
        yield Mention("wait_for", "wait", node.wait_for.targets)
    if node.on_error is not None:
        yield Mention("on_error", "error", (node.on_error,))
    if node.on_success is not None and archive_target(node.on_success) is None:
        yield Mention("on_success", "next", (parse_reference(node.on_success, ""),))
    match node.body:
        case Fork(branches):
            yield Mention("branches", "branch", branches)
        case Assert(_, Reference() as target):
            yield Mention("on_failure", "failure", (target,))
        case GenerateSubgraph(on_signature_violation=Reference() as target):
            yield Mention("on_signature_violation", "failure", (target,))


class _Choices:
    """What targets can be, templates that choose between paths among them. Of very many templates it reads some, as
    that takes time."""

    def __init__(self) -> None:
        self._left = MOST_READ

    def of(self, targets: Targets, node: Node, graph: Graph) -> tuple[Reference, ...] | None:
        """All that a node may name; None if only a run can tell."""
        if not isinstance(targets, str):
            return targets
        self._left -= len(targets) + EACH
        if self._left < 0:
            return None
        try:
            paths = outcomes(targets)
            home = home_path(node, graph)
            return None if paths is None else tuple(parse_reference(path, home) for path in sorted(paths))
        except ValueError:  # no path: an error of the run
            return None


def home_path(node: Node, graph: Graph) -> str:
    """The path that bare ids are put behind: the graph's, or for a node that is alone, what its path is in."""
    return graph.path if node.path != graph.path else split_version(graph.path)[0].rpartition("/")[0]


def _outgoing(node: Node, graph: Graph, targeting: Targeting, choices: _Choices) -> Iterator[Edge]:
    for _, kind, targets in mentions(node):
        if kind == "wait":
            continue
        named = choices.of(targets, node, graph)
        if named is None:
            yield Edge(kind, ANYWHERE)
            continue
        for reference in named:
            yield from _edge(kind, reference, graph, targeting)
    if graph.on_error is not None and node.on_error is None:
        yield from _edge("error", graph.on_error, graph, targeting)


def _edge(kind: EdgeKind, reference: Reference, home: Graph, targeting: Targeting) -> Iterator[Edge]:
    target = targeting.node(reference)
    if target is None:
        return
    called = targeting.graph(reference)
    is_call = called is not None and called.path != home.path and is_called(called) and called.first is target
    yield Edge("call" if is_call and kind == "next" else kind, target.path)


def _awaited(node: Node, targeting: Targeting) -> Iterator[Node | Graph]:
    """The nodes and the graphs of several nodes that `node` waits for."""
    if node.wait_for is None or isinstance(node.wait_for.targets, str):
        return
    for reference in node.wait_for.targets:
        target, graph = targeting.node(reference), targeting.graph(reference)
        if graph is not None and graph.first is target and len(graph.nodes) > 1:
            yield graph
        elif target is not None:
            yield target
