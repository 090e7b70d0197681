"""What guessing costs where it does not pay: each way to guess races plain decoding, step by step.

    python experiments/speculation_race.py                       # settings as for runtime.run +experiment=speculative

In a race, whoever has taken less time so far makes the next step, so that whatever slows the machine for a while slows
both. Ways that always guess are left out: they are meant to lose at times.
"""

import statistics
import sys
import time
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from rich.table import Table

from runtime.assembly import Assembly
from runtime.command_line import hydra_application, plain
from runtime.comparison.clients import Turn
from runtime.comparison.preparation import prepare_comparison
from runtime.comparison.settings import ComparisonWorkload
from runtime.comparison.trial import Trial
from runtime.config import NgramSpeculation, NoSpeculation, RunConfig
from runtime.events import Stepped
from runtime.typed_config import read_config

RACES = 24


def race(trials: list[Trial], assemblies: list[Assembly]) -> list[float]:
    """Seconds each takes to serve its requests."""
    runs = [trial.clients(assembly).serve(lambda: False) for trial, assembly in zip(trials, assemblies, strict=True)]
    seconds, running = [0.0] * len(runs), set(range(len(runs)))
    while running:
        next_one = min(running, key=lambda run: seconds[run])
        begun = time.perf_counter()
        if all(not isinstance(event, Stepped) for event in runs[next_one]):
            running.remove(next_one)
        seconds[next_one] += time.perf_counter() - begun
    return seconds


def race_pair(plain_trial: Trial, other: Trial) -> list[float]:
    """How much longer the other takes, in each race."""
    trials, assemblies = [plain_trial, other], [plain_trial.assemble(), other.assemble()]
    for trial, assembly in zip(trials, assemblies, strict=True):
        assembly.warm_up([trial.request(Turn(0, 0), trial.threads[0].prompt(0, []))])
    race(trials, assemblies)  # warms up the rest
    ratios = []
    for _ in track(range(RACES), description=other.name, transient=True):
        alone, guessing = race(trials, assemblies)
        ratios.append(guessing / alone - 1)
    return ratios


def run(composed: DictConfig) -> None:
    config = read_config(RunConfig, plain(composed))
    assert isinstance(config.workload, ComparisonWorkload)
    table = Table(title=f"longer than without guesses, of {RACES} races", title_justify="left")
    for column in ("model", "requests", "guesses", "median", "middle half"):
        table.add_column(column, justify="right" if column in ("median", "middle half") else "left")
    for first, *others in prepare_comparison(config, config.workload).groups:
        assert isinstance(first.config.speculation, NoSpeculation)
        for other in others:
            speculation = other.config.speculation
            if isinstance(speculation, NoSpeculation) or not speculation.adaptive:
                continue
            low, median, high = statistics.quantiles(race_pair(first, other), n=4)
            what = "from the text" if isinstance(speculation, NgramSpeculation) else "of a model"
            table.add_row(first.model, first.requests, what, f"{median:+.1%}", f"{low:+.1%} to {high:+.1%}")
    Console().print(table)


if __name__ == "__main__":
    sys.argv[1:1] = ["+experiment=speculative", f"hydra.run.dir={Path('outputs/race')}"]
    hydra_application(run)
