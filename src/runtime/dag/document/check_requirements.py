"""Whether there is what graphs require: libraries in their versions, and tools."""

from collections.abc import Iterator
from itertools import islice

from runtime.dag.document import cycles
from runtime.dag.document.check_targets import other_version
from runtime.dag.document.edges import Targeting
from runtime.dag.document.findings import Findings
from runtime.dag.document.library import Library
from runtime.dag.document.node import Graph
from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.errors import Code

MOST_CYCLES = 5


def check_requirements(findings: Findings, targeting: Targeting, library: Library) -> None:
    """Of libraries. Tools are `check_tools`'."""
    own = findings.document.by_path
    required: dict[str, list[str]] = {}
    for graph in (library.by_path | own).values():
        required[graph.path] = []
        for wanted, found in _libraries(graph, targeting):
            if found is not None:
                required[graph.path].append(found.path)
            elif graph.path in own:
                hint = other_version(wanted, targeting)
                findings.fault(Code.UNKNOWN_TARGET, f"`requires` {wanted}, which is not there{hint}", graph)
    for cycle in islice(cycles.cycles(required), MOST_CYCLES):
        here = next((path for path in cycle if path in own), None)
        if here is not None:
            text = f"`requires` goes in a circle: {cycles.shown(cycle)}"
            findings.fault(Code.INVALID_INPUT, text, own[here])


def _libraries(graph: Graph, targeting: Targeting) -> Iterator[tuple[Reference, Graph | None]]:
    """The libraries that a graph requires, and what there is of them."""
    for requirement in graph.requires:
        if requirement.kind == "lib":
            wanted = parse_reference(requirement.name, graph.path)
            yield wanted, targeting.graph(wanted)
