"""What can be told of a document before it runs."""

from collections.abc import Mapping

from runtime.dag.document.check_contracts import check_contracts
from runtime.dag.document.check_flow import check_flow
from runtime.dag.document.check_requirements import check_requirements
from runtime.dag.document.check_targets import check_entry, check_targets
from runtime.dag.document.check_templates import check_templates
from runtime.dag.document.check_tools import check_tools
from runtime.dag.document.document import Document
from runtime.dag.document.edges import Targeting, static_edges
from runtime.dag.document.findings import Findings
from runtime.dag.document.library import Library
from runtime.dag.errors import Problem


def validate(document: Document, library: Library, tools: Mapping[str, frozenset[str]] | None) -> list[Problem]:
    """All that is wrong with a document, and what is odd about it as warnings, in the order of its lines; of very many,
    some. What the parser found is among them.

    tools: names -> capabilities of the registered ones; None: nobody knows, and nothing is said about them.
    """
    findings = Findings(document)
    targeting = Targeting(document, library)
    edges = static_edges(document, library)
    check_entry(findings, targeting)
    check_targets(findings, targeting, library)
    check_contracts(findings, library)
    check_requirements(findings, targeting, library)
    check_flow(findings, targeting, edges)
    check_templates(findings)
    if tools is not None:
        check_tools(findings, library, edges, tools)
    return sorted([*document.problems, *findings.found], key=lambda problem: (problem.file, problem.line))
