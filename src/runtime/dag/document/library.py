"""Graphs that a document can refer to and does not define."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from runtime.dag.document.document import Document
from runtime.dag.document.node import Graph
from runtime.dag.document.parser import parse_document
from runtime.dag.document.path import Reference, split_version, version_key, version_matches
from runtime.dag.document.system_nodes import SYSTEM_GRAPHS
from runtime.dag.errors import DocumentError

PACKAGE = "runtime.dag"


class Library:
    """The graphs of some documents, and those that are always there. Of two of the same path the later one counts."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(documents)
        defined = {graph.path: graph for document in self._documents for graph in document.graphs}
        self._by_path = SYSTEM_GRAPHS | defined
        self._by_base: dict[str, list[Graph]] = {}
        for graph in self._by_path.values():
            self._by_base.setdefault(split_version(graph.path)[0], []).append(graph)

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return tuple(self._by_path.values())

    def with_document(self, document: Document) -> "Library":
        return Library((*self._documents, document))

    def find(self, reference: Reference) -> Graph | None:
        """The newest graph that a reference can mean, None if there is none. Of a reference without a version, the one
        without a version, if there is one."""
        return find_graph(self._by_base.get(reference.path, ()), reference)


def find_graph(graphs: Iterable[Graph], reference: Reference) -> Graph | None:
    """The newest of some graphs that a reference can mean."""
    matching = [
        graph
        for graph in graphs
        if split_version(graph.path)[0] == reference.path and version_matches(graph_version(graph), reference.version)
    ]
    if not reference.version:
        matching = [graph for graph in matching if graph.path == reference.path] or matching
    return max(matching, key=lambda graph: version_key(graph_version(graph)), default=None)


def graph_version(graph: Graph) -> str:
    """What its path says; its signature may say it with more numbers. "": it has none."""
    written = split_version(graph.path)[1]
    signed = (graph.signature.version or "").removeprefix("v") if graph.signature else ""
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in signed.split(".")):
        return written
    return signed if not written or (signed + ".").startswith(written + ".") else written


@cache
def shipped_library() -> Library:
    """The library that comes with this package."""
    return Library(map(_read, _markdown_files(files(PACKAGE) / "library")))


def _markdown_files(folder: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found.extend(_markdown_files(entry))
        elif entry.name.endswith(".md"):
            found.append(entry)
    return found


def _read(file: Traversable) -> Document:
    document = parse_document(file.read_text("utf-8"), str(file), "strict")
    if any(problem.is_error for problem in document.problems):
        raise DocumentError([problem for problem in document.problems if problem.is_error])
    return document
