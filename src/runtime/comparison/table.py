"""The table at the end of a comparison."""

from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from runtime.comparison.result import Result, grouped
from runtime.comparison.settings import Column


class Look(NamedTuple):
    heading: str
    digits: int = 0  # behind the point
    scale: float = 1.0


LOOKS: dict[Column, Look] = {
    "prefilled_tokens": Look("prefilled tokens"),
    "reused_tokens": Look("reused tokens"),
    "new_tokens": Look("new tokens"),
    "ttft_median": Look("first token, median ms", 0, 1e3),
    "ttft_p95": Look("first token, p95 ms", 0, 1e3),
    "tpot_median": Look("per token, median ms", 1, 1e3),
    "tpot_p95": Look("per token, p95 ms", 1, 1e3),
    "longest_gap": Look("longest gap ms", 0, 1e3),
    "tokens_per_second": Look("tokens/s"),
    "steps": Look("steps"),
    "preemptions": Look("preemptions"),
    "drafted": Look("drafted"),
    "drafts_kept": Look("drafts kept"),
    "held_blocks": Look("blocks held"),
    "cached_blocks": Look("blocks cached"),
    "valid": Look("valid %", 0, 1e2),
}


def print_table(console: Console, results: list[Result], columns: tuple[Column, ...]) -> None:
    """A section for each model and kind of requests; beside each figure, how it compares with the first variant's."""
    table = Table(title="comparison", title_justify="left", caption="beside a figure: ratio to the first variant's")
    several = len({result.requests for result in results}) > 1
    for heading in ("model", "requests", "variant") if several else ("model", "variant"):
        table.add_column(heading)
    for column in columns:
        table.add_column(LOOKS[column].heading, justify="right")
    for group in grouped(results):
        table.add_section()
        for result in group:
            cells = [_cell(result, column, group[0]) for column in columns]
            names = (result.model, result.requests, result.variant) if several else (result.model, result.variant)
            table.add_row(*names, *cells)
    console.print(table)


def _cell(result: Result, column: Column, first: Result) -> str:
    value, look = result.value(column), LOOKS[column]
    if value is None:
        return "-"
    text = f"{value * look.scale:.{look.digits}f}"
    ratio = None if result is first else result.ratio(column, first)
    return f"{text} {_ratio(ratio)}" if ratio and value != first.value(column) else text


def _ratio(ratio: float) -> str:
    return f"×{ratio:.1f}" if ratio >= 1 else f"÷{1 / ratio:.1f}"
