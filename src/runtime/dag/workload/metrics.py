"""The record of a run of a document: figures for each way of serving its inferences."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from runtime.dag.workload.figures import Figures, Sharing
from runtime.events import Event

DOCUMENT = "document"  # the variant that knows the graph


@dataclass(frozen=True)
class Result:
    variant: str
    figures: Figures


class DagMetrics:
    """results: of the fastest measurement of each variant; the document's own is the first."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.sharing: Sharing | None = None

    def add(self, event: Event) -> None:
        """The figures come from the job, which has them from all events of a measurement."""

    def figures(self) -> dict[str, Any]:
        summary = {
            f"{result.variant}/{key}": value for result in self.results for key, value in asdict(result.figures).items()
        }
        return {
            "summary": summary | {f"{result.variant}/speedup": self.speedup(result) for result in self.results[1:]},
            "sharing": None if self.sharing is None else asdict(self.sharing),
        }

    def speedup(self, result: Result) -> float:
        """How many times as long it takes as the document's run."""
        return result.figures.seconds / self.results[0].figures.seconds


def print_figures(console: Console, metrics: DagMetrics) -> None:
    table = Table(
        title="what the graph saves", title_justify="left", caption="beside a figure: ratio to the document's"
    )
    table.add_column("inferences served")
    for heading in ("seconds", "prefilled tokens", "new tokens", "steps", "blocks held"):
        table.add_column(heading, justify="right")
    first = metrics.results[0].figures
    for result in metrics.results:
        own = result.figures
        row = (own.prefilled_tokens, own.new_tokens, own.steps, own.held_blocks)
        base = (first.prefilled_tokens, first.new_tokens, first.steps, first.held_blocks)
        cells = [_cell(str(value), value, other) for value, other in zip(row, base, strict=True)]
        table.add_row(result.variant, _cell(f"{own.seconds:.3f}", own.seconds, first.seconds), *cells)
    console.print(table)
    sharing = metrics.sharing
    if sharing is None or not sharing.distinct_prompt:
        return
    text = (
        f"document: {first.prefilled_tokens} tokens prefilled of {sharing.distinct_prompt} that differ "
        f"(×{first.prefilled_tokens / sharing.distinct_prompt:.3f})"
    )
    if sharing.block_tokens is not None:
        text += (
            f"; blocks for {sharing.block_tokens} tokens held at most, of {sharing.distinct} that differ "
            f"(×{sharing.block_tokens / sharing.distinct:.3f})"
        )
    console.print(text, highlight=False)


def _cell(text: str, value: float, base: float) -> str:
    return text if value == base or not base else f"{text} ×{value / base:.1f}"
