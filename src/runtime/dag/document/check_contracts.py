"""Whether a document keeps what it and the library have promised."""

from runtime.dag.contract.compatibility import incompatibilities
from runtime.dag.contract.signature import Signature
from runtime.dag.document.check_targets import is_library
from runtime.dag.document.findings import Findings
from runtime.dag.document.library import Library
from runtime.dag.document.node import GenerateSubgraph, Graph, Node
from runtime.dag.document.node_reader import archive_target
from runtime.dag.document.path import namespace
from runtime.dag.document.system_nodes import SYSTEM_GRAPHS
from runtime.dag.errors import Code

MOST_SHOWN = 3  # of what a signature has lost


def check_contracts(findings: Findings, library: Library) -> None:
    """Namespaces, signatures, and what is to be archived."""
    document = findings.document
    stable = {
        graph.path: graph.signature
        for graph in library.graphs
        if graph.signature is not None and graph.signature.stability == "stable"
    }
    is_strict = document.meta.is_strict or is_library(document)
    for graph in document.graphs:
        if namespace(graph.path) == "__system__" and graph.path not in SYSTEM_GRAPHS:
            text = f"/__system__ is the runtime's own; only {', '.join(_system_paths())} can be defined anew"
            findings.frown(Code.NAMESPACE_VIOLATION, text, graph)
        if namespace(graph.path) == "lib" and graph.signature is None:
            text = "a graph under /lib has to have a `signature`: what it takes and gives"
            findings.fault(Code.SIGNATURE_REQUIRED, text, graph, is_error=is_strict)
        if graph.path in stable and graph.signature is not None:
            _check_compatible(findings, stable[graph.path], graph.signature, graph)
        for node in graph.nodes:
            if node.on_success is not None:
                _check_archive(findings, node.on_success, graph, node)


def _check_compatible(findings: Findings, old: Signature, new: Signature, graph: Graph) -> None:
    lost = incompatibilities(old, new)
    if lost:
        more = f" and {len(lost) - MOST_SHOWN} more" if len(lost) > MOST_SHOWN else ""
        text = f"it takes the place of a stable graph and breaks its signature: {'; '.join(lost[:MOST_SHOWN])}{more}"
        findings.fault(Code.SIGNATURE_VIOLATION, text, graph)


def _check_archive(findings: Findings, on_success: str, graph: Graph, node: Node) -> None:
    target = archive_target(on_success)
    if target is None:
        return
    if namespace(target) != "lib":
        text = f"`on_success` archives to {target}; what is archived is put under /lib"
        findings.frown(Code.NAMESPACE_VIOLATION, text, graph, node)
    if graph.signature is None and not isinstance(node.body, GenerateSubgraph):
        text = "`on_success` archives a graph that has no `signature`"
        findings.frown(Code.SIGNATURE_REQUIRED, text, graph, node)


def _system_paths() -> list[str]:
    return [path for path in SYSTEM_GRAPHS if namespace(path) == "__system__"]
