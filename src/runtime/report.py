"""The table at the end of a run."""

from rich.console import Console
from rich.table import Table

from runtime.metrics import RunMetrics, Summary


def print_report(console: Console, metrics: RunMetrics) -> None:
    summary = metrics.summary()
    table = Table(title="requests", title_justify="left")
    for column in (
        "request",
        "prompt tokens",
        "new tokens",
        "prefill tok/s",
        "decode tok/s",
        "first token s",
        "ended by",
    ):
        table.add_column(column, justify="left" if column in ("request", "ended by") else "right")
    for number, request in metrics.requests.items():
        table.add_row(
            str(number),
            str(request.prompt_tokens),
            str(request.new_tokens),
            "",
            _figure(request.decode_rate, 1),
            _figure(request.time_to_first_token, 3),
            request.reason,
        )
    table.add_section()
    table.add_row(
        "together",
        str(summary.prompt_tokens),
        str(summary.new_tokens),
        _figure(summary.prefill_tokens_per_second, 1),
        _figure(summary.decode_tokens_per_second, 1),
        _figure(summary.median_time_to_first_token, 3) + " (median)",
        "",
    )
    console.print(table)
    console.print(f"{_course(summary)}; peak memory {summary.peak_memory_mib:.0f} MiB", highlight=False)


def _course(summary: Summary) -> str:
    parts = [f"{summary.steps} steps"]
    if summary.preemptions:
        parts.append(f"{summary.preemptions} preemptions")
    if summary.reused_tokens:
        parts.append(f"{summary.reused_tokens} prompt tokens shared")
    if summary.drafted_tokens:
        parts.append(f"{summary.accepted_drafts} of {summary.drafted_tokens} drafts kept")
    return ", ".join(parts)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
