"""What is found wrong with a document that can be read."""

from collections.abc import Iterable
from difflib import get_close_matches

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.document.document import Document
from runtime.dag.document.fields import Problems
from runtime.dag.document.node import Graph, Node
from runtime.dag.document.parser import META, RESOURCES
from runtime.dag.errors import Code, Problem

MOST_COMPARED = 1_000_000  # pairs of letters that guesses may compare in one document: a fifth of a second or so
LONGEST_GUESSED = 100  # characters


class Findings:
    def __init__(self, document: Document) -> None:
        self.document = document
        self._problems = Problems(document.file)
        self._left = MOST_COMPARED

    @property
    def found(self) -> list[Problem]:
        return self._problems.found

    def fault(
        self, code: Code, text: str, graph: Graph | None = None, node: Node | None = None, *, is_error: bool = True
    ) -> None:
        line = node.line if node is not None else graph.line if graph is not None else 0
        path = node.path if node is not None and graph is not None and node.path != graph.path else ""
        where = (graph.file, graph.path) if graph is not None else ("", "")
        self._problems.add(Problem(code, text, where[0], where[1], path, line, is_error))

    def fault_of_meta(self, code: Code, text: str, *, is_error: bool = True) -> None:
        line = self.document.meta.line
        self._problems.add(Problem(code, text, "", META if line else "", "", line, is_error))

    def fault_of_resource(self, code: Code, text: str, entry: ResourceEntry) -> None:
        self._problems.add(Problem(code, text, "", RESOURCES, "", entry.line))

    def frown(self, code: Code, text: str, graph: Graph, node: Node | None = None) -> None:
        """What a document for production may not do, and others had better not."""
        self.fault(code, text, graph, node, is_error=self.document.meta.is_strict)

    def near(self, word: str, names: Iterable[str]) -> str:
        """ "; did you mean ..?" if one of the names looks like the word. It gives up when it has looked at much."""
        some = [name for name in names if len(name) <= LONGEST_GUESSED]
        cost = len(word) * sum(map(len, some))
        if len(word) > LONGEST_GUESSED or cost > self._left:
            return ""
        self._left -= cost
        close = get_close_matches(word, some, 1)
        return f"; did you mean {close[0]}?" if close else ""
