"""The benchmark's table: this project first, each peer with how many times its speed this project has."""

from rich.console import Console
from rich.table import Table

from runtime.bench.child import Outcome
from runtime.bench.spec import CASES, Result

WRONG_BELOW = 0.9  # share of predictions that must agree for a speed to count


def print_table(console: Console, outcomes: list[Outcome]) -> None:
    """outcomes: this project's first; the last one named "transformers f32", if there, says what is right."""
    ours = outcomes[0].result
    exact = next((o.result for o in outcomes if o.engine.name == "transformers f32" and o.result), ours)
    table = Table(title="tokens/s, medians; (n x): this project's speed over the peer's", title_justify="left")
    table.add_column("engine")
    for case in CASES:
        table.add_column(case.name, justify="right")
    table.add_column("peak MiB", justify="right")
    table.add_column("agrees", justify="right")
    for outcome in outcomes:
        table.add_row(outcome.engine.name, *_cells(outcome, ours, exact))
    console.print(table)
    for outcome in outcomes:
        if outcome.failure:
            console.print(f"{outcome.engine.name}: {outcome.failure}", highlight=False)
    results = [outcome.result for outcome in outcomes if outcome.result]
    for note in [note for result in results for note in result.notes]:
        console.print(note, highlight=False)
    versions = dict.fromkeys(result.version for result in results)
    console.print("versions: " + "; ".join(versions), highlight=False)
    busiest = max((result.outside_load for result in results), default=0.0)
    console.print(f"other processes took at most {busiest:.0%} of the CPUs during a counted run", highlight=False)


def _cells(outcome: Outcome, ours: Result | None, exact: Result | None) -> list[str]:
    result = outcome.result
    if result is None:
        return ["-"] * (len(CASES) + 2)
    agreement = _agreement(result, exact)
    memory = f"{result.peak_rss_mib:.0f}"
    if agreement < WRONG_BELOW:
        return ["wrong results"] * len(CASES) + [memory, f"{agreement:.2f}"]
    rates = []
    for case in CASES:
        rate = result.rates[case.name]
        share = f" ({ours.rates[case.name] / rate:.2f} x)" if ours and result is not ours else ""
        rates.append(f"{rate:.1f}{share}")
    return [*rates, memory, f"{agreement:.2f}"]


def _agreement(result: Result, exact: Result | None) -> float:
    """The share of the text's positions at which an engine predicts the token that the exact one predicts."""
    assert exact is not None, "there is a result, so there is one to compare with"
    same = [a == b for a, b in zip(result.predictions, exact.predictions, strict=True)]
    return sum(same) / len(same)
