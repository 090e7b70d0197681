"""Graphs that a document can refer to and does not define."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from runtime.dag.document.document import Document
from runtime.dag.document.node import Graph
from runtime.dag.document.parser import parse_document
from runtime.dag.document.path import Reference, split_version, version_end, version_key, version_matches
from runtime.dag.document.system_nodes import SYSTEM_GRAPHS
from runtime.dag.errors import DocumentError

PACKAGE = "runtime.dag"


class Versions:
    """The graphs of one path without its version, ordered by their versions."""

    def __init__(self, graphs: Iterable[Graph]) -> None:
        self._graphs = sorted(graphs, key=lambda graph: version_key(graph_version(graph)))
        self._keys = [version_key(graph_version(graph)) for graph in self._graphs]
        self._unversioned = next((graph for graph in self._graphs if not split_version(graph.path)[1]), None)

    def find(self, wanted: str) -> Graph | None:
        """The newest that a reference with this version can mean: "" is the one that has none in its path, if there is
        one."""
        if not wanted and self._unversioned is not None:
            return self._unversioned
        end = version_end(wanted)
        newest = self._graphs[(len(self._keys) if end is None else bisect_left(self._keys, end)) - 1]
        return newest if version_matches(graph_version(newest), wanted) else None

    @property
    def newest(self) -> Graph:
        return self._graphs[-1]


def by_base(graphs: Iterable[Graph]) -> dict[str, Versions]:
    """Graphs by their paths without versions."""
    found: dict[str, list[Graph]] = {}
    for graph in graphs:
        found.setdefault(split_version(graph.path)[0], []).append(graph)
    return {base: Versions(versions) for base, versions in found.items()}


class Library:
    """The graphs of some documents, and those that are always there. Of two of the same path the later one counts."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(documents)
        defined = {graph.path: graph for document in self._documents for graph in document.graphs}
        self._by_path = SYSTEM_GRAPHS | defined
        self._versions = by_base(self._by_path.values())

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return tuple(self._by_path.values())

    @property
    def by_path(self) -> dict[str, Graph]:
        return dict(self._by_path)

    def with_document(self, document: Document) -> "Library":
        return Library((*self._documents, document))

    def find(self, reference: Reference) -> Graph | None:
        """The newest graph that a reference can mean, None if there is none. Of a reference without a version, the one
        without a version, if there is one."""
        versions = self._versions.get(reference.path)
        return versions.find(reference.version) if versions else None


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
