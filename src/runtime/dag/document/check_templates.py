"""Whether templates are written as templates are."""

from runtime.dag.document.findings import Findings
from runtime.dag.document.node_templates import templates
from runtime.dag.errors import Code
from runtime.dag.template.renderer import Renderer

MOST_CHECKED = 128 * 1024  # characters of different templates; what is beyond is left to the run
EACH = 64  # characters that a template counts for more than it has


def check_templates(findings: Findings) -> None:
    renderer = Renderer()
    known: dict[str, str | None] = {}
    left = MOST_CHECKED
    for graph in findings.document.graphs:
        for node in graph.nodes:
            for text in templates(node):
                if text not in known:
                    left -= len(text) + EACH
                    if left < 0:
                        return
                    known[text] = renderer.check(text)
                wrong = known[text]
                if wrong is not None:
                    findings.fault(Code.TEMPLATE, f"the template {_shown(text)}: {wrong}", graph, node)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")
