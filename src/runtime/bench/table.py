"""The benchmark's table: this project's rows first, with how many times the fastest peer's speed they have."""

from rich.console import Console
from rich.table import Table

from runtime.bench.child import Outcome
from runtime.bench.spec import Case, Result

WRONG_BELOW = 0.9  # share of predictions that must agree for a speed to count


def print_table(console: Console, cases: tuple[Case, ...], ours: list[Outcome], peers: list[Outcome]) -> None:
    """The first peer in f32, else this project's first row, says which predictions are right."""
    outcomes = ours + peers
    results = [outcome.result for outcome in outcomes if outcome.result]
    exact = next((o.result for o in peers if "32" in o.engine.name and o.result), results[0] if results else None)
    right = [o.result for o in peers if o.result and exact and _agreement(o.result, exact) >= WRONG_BELOW]
    fastest = {case.name: max((r.rates.get(case.name, 0.0) for r in right), default=0.0) for case in cases}
    table = Table(title="tokens/s, medians; (n x): over the fastest peer", title_justify="left")
    table.add_column("engine")
    for case in cases:
        table.add_column(case.name, justify="right")
    table.add_column("peak MiB", justify="right")
    table.add_column("agrees", justify="right")
    for outcome in outcomes:
        table.add_row(outcome.engine.name, *_cells(outcome, cases, exact, fastest if outcome in ours else {}))
    console.print(table)
    for outcome in outcomes:
        if outcome.failure:
            console.print(f"{outcome.engine.name}: {outcome.failure}", highlight=False)
    for note in [note for result in results for note in result.notes]:
        console.print(note, highlight=False)
    versions = dict.fromkeys(result.version for result in results)
    console.print("versions: " + "; ".join(versions), highlight=False)
    busiest = max((result.outside_load for result in results), default=0.0)
    console.print(f"other processes took at most {busiest:.0%} of the CPUs during a counted run", highlight=False)


def _cells(outcome: Outcome, cases: tuple[Case, ...], exact: Result | None, compared: dict[str, float]) -> list[str]:
    result = outcome.result
    if result is None or exact is None:
        return ["-"] * (len(cases) + 2)
    agreement = _agreement(result, exact)
    memory = f"{result.peak_rss_mib:.0f}"
    if agreement < WRONG_BELOW:
        return ["wrong results"] * len(cases) + [memory, f"{agreement:.2f}"]
    rates = [_rate(result.rates.get(case.name), compared.get(case.name, 0.0)) for case in cases]
    return [*rates, memory, f"{agreement:.2f}"]


def _rate(rate: float | None, peer: float) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f} ({rate / peer:.2f} x)" if peer else f"{rate:.1f}"


def _agreement(result: Result, exact: Result) -> float:
    """The share of the text's positions at which an engine predicts the token that the exact one predicts."""
    same = [a == b for a, b in zip(result.predictions, exact.predictions, strict=True)]
    return sum(same) / len(same)
