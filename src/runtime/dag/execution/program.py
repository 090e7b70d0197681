"""Where a run can go: all graphs that it knows, and what leads to what."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from runtime.dag.document.check_targets import entry_node
from runtime.dag.document.document import Document
from runtime.dag.document.edges import CALLED, Edge, Targeting, is_called, static_edges
from runtime.dag.document.library import Library, graph_version
from runtime.dag.document.node import Graph, Join, Node, Resource
from runtime.dag.document.path import Reference, namespace
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.reach import Nodes, Reach
from runtime.dag.execution.reads import Fields, reads, union
from runtime.dag.json_value import JsonObject
from runtime.dag.template.renderer import Renderer

Arguments = tuple[tuple[str, str], ...]  # of a reference: /x?a=b


class Place(NamedTuple):
    """A node, and the graph that it is in."""

    node: Node
    graph: Graph


class Jump(NamedTuple):
    """To go on with a node."""

    place: Place
    arguments: Arguments = ()


class Callee(NamedTuple):
    """To call a graph, and to come back."""

    graph: Graph
    arguments: Arguments = ()

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.graph.first, self.graph)


class Program:
    """The graphs of a document, of the library and of what has been generated so far. Never changes: what is generated
    makes another one."""

    def __init__(
        self, document: Document, library: Library, renderer: Renderer, generated: tuple[Graph, ...] = ()
    ) -> None:
        self.document = document
        self.library = library
        self.generated = generated  # those of the document's graphs that it did not begin with
        self._renderer = renderer
        self._reads: dict[Nodes, Fields] = {}
        self._hashes: dict[str, str] = {}
        self._waiters: dict[str, list[Place]] = {}
        self._targeting = Targeting(document, library)
        graphs = (*library.graphs, *document.graphs)
        self.graphs = {graph.path: graph for graph in graphs}
        self._places = {node.path: Place(node, graph) for graph in self.graphs.values() for node in graph.nodes}

    def with_graphs(self, graphs: Iterable[Graph]) -> "Program":
        """This and more graphs; one of a path that is there already replaces it."""
        new = {graph.path: graph for graph in graphs}
        if all(self.graphs.get(path) is graph for path, graph in new.items()):
            return self
        kept = tuple(graph for graph in self.document.graphs if graph.path not in new)
        generated = tuple(graph for graph in self.generated if graph.path not in new)
        document = replace(self.document, graphs=(*kept, *new.values()))
        return Program(document, self.library, self._renderer, (*generated, *new.values()))

    def target(self, reference: Reference, home: Graph) -> Jump | Callee:
        """What a node of the graph `home` means by a reference. Raises NodeError for a path that nothing has."""
        node = self._targeting.node(reference)
        if node is None:
            raise NodeError(Code.UNKNOWN_TARGET, f"no block or node has the path {reference}", {"path": str(reference)})
        place = self._places[node.path]
        if is_called(place.graph) and place.graph.path != home.path and place.graph.first is node:
            return Callee(place.graph, reference.query)
        return Jump(place, reference.query)

    def entries(self) -> list[Place]:
        """Where the document begins: where it says so, else at all that nothing leads to. Raises NodeError if it has
        nothing to begin with."""
        node = entry_node(self.document, self._targeting)
        if node is not None:
            return [self._places[node.path]]
        beginnings = self._beginnings()
        if not beginnings:
            raise NodeError(Code.MISSING_ENTRY_POINT, "the document has no node to begin with: name one in /__meta__")
        return beginnings

    def follower(self, caller: Place) -> Place | None:
        """Where a run goes on after a call that nothing says more about: what stands behind the caller in its graph or
        in its document, if it is of the same namespace and nothing else leads to it."""
        nodes = caller.graph.nodes
        behind = nodes[nodes.index(caller.node) + 1 :]
        if not behind and not is_called(caller.graph):
            behind = tuple(self._behind(caller.graph))
        if not behind or isinstance(behind[0].body, Resource) or behind[0].path in self._led_to:
            return None
        return None if behind[0].wait_for else self._places[behind[0].path]

    def waiters(self, home: Graph | None) -> list[Place]:
        """Nodes that begin by themselves, when what they wait for has ended: in the called graph `home`, or in the
        document."""
        key = "" if home is None else home.path
        if key not in self._waiters:
            nodes = home.nodes if home is not None else self._own_nodes
            waiting = [node for node in nodes if node.wait_for and node.path not in self._led_to]
            self._waiters[key] = [self._places[node.path] for node in waiting]
        return self._waiters[key]

    @cached_property
    def reach(self) -> Reach:
        """What may run after what, calls and errors included."""
        return Reach(self._edges)

    def place(self, path: str) -> Place:
        return self._places[path]

    @property
    def places(self) -> Iterable[Place]:
        return self._places.values()

    def places_onwards(self, paths: Iterable[str]) -> Iterator[Place]:
        """Of these nodes and all that may run after them."""
        return self._places_of(self.reach.onwards(paths))

    def _places_of(self, nodes: Nodes) -> Iterator[Place]:
        """The ends of graphs, which edges lead through, are no nodes."""
        return (self._places[path] for path in self.reach.paths_of(nodes) if path in self._places)

    @cached_property
    def joins(self) -> list[Place]:
        return [place for place in self.places if isinstance(place.node.body, Join)]

    def called_from(self, graph: Graph) -> dict[str, str]:
        """Paths of the graphs that a call of this one may lead to, itself among them, with hashes of their content."""
        paths = {graph.path} | {place.graph.path for place in self.places_onwards([graph.first.path])}
        return {path: self.content_hash(path) for path in sorted(paths)}

    def content_hash(self, path: str) -> str:
        """Equal for graphs that are written alike; "" if there is none of this path."""
        if path not in self._hashes:
            graph = self.graphs.get(path)
            self._hashes[path] = "" if graph is None else hashlib.sha256(repr(graph).encode()).hexdigest()
        return self._hashes[path]

    def is_current(self, path: str, content: str) -> bool:
        """Whether the graph of this path is still written as when its content had this hash."""
        return self.content_hash(path) == content

    def reads(self, nodes: Nodes) -> Fields:
        """Fields of the context that any of these nodes may look at, by the graphs that they call, too."""
        if nodes not in self._reads:
            self._reads[nodes] = union(reads(node, graph, self._renderer) for node, graph in self._places_of(nodes))
        return self._reads[nodes]

    @cached_property
    def catalogue(self) -> list[JsonObject]:
        """What can be called, for prompts (`available_subgraphs`)."""
        return [
            {
                "path": graph.path,
                "version": graph_version(graph),
                "description": str(graph.metadata.get("description", "")),
                "signature": {
                    "inputs": [{"name": field.name, "type": field.type} for field in graph.signature.inputs],
                    "outputs": [{"name": field.name, "type": field.type} for field in graph.signature.outputs],
                },
                "permissions": [list(filter(None, permission[:2])) for permission in graph.permissions],
                "stability": graph.signature.stability or "",
            }
            for graph in self.graphs.values()
            if graph.signature is not None and namespace(graph.path) in CALLED
        ]

    def _beginnings(self) -> list[Place]:
        places = [self._places[node.path] for node in self._own_nodes if not node.wait_for]
        runnable = [place for place in places if not isinstance(place.node.body, Resource)]
        return [place for place in runnable if place.node.path not in self._led_to] or runnable[:1]

    def _behind(self, graph: Graph) -> Iterator[Node]:
        paths = list(self.document.by_path)
        for path in paths[paths.index(graph.path) + 1 :] if graph.path in paths else []:
            if namespace(path) == namespace(graph.path):
                yield self.graphs[path].first

    @cached_property
    def _own_nodes(self) -> list[Node]:
        graphs = self.document.graphs
        return [
            node for graph in graphs if namespace(graph.path) not in (*CALLED, "__system__") for node in graph.nodes
        ]

    @cached_property
    def _edges(self) -> dict[str, tuple[Edge, ...]]:
        return static_edges(self.document, self.library)

    @cached_property
    def _led_to(self) -> frozenset[str]:
        """Paths of nodes that another one leads to, other than by being waited for."""
        return frozenset(
            edge.target
            for path, edges in self._edges.items()
            for edge in edges
            if edge.kind != "wait" and edge.target != path
        )
