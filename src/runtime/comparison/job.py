"""A run that compares ways to serve the same requests."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runtime.assembly import Assembly
from runtime.comparison.clients import Turn
from runtime.comparison.difference import describe, first_difference
from runtime.comparison.events import TrialBegan
from runtime.comparison.result import ComparisonMetrics
from runtime.comparison.settings import ComparisonWorkload
from runtime.comparison.table import print_table
from runtime.comparison.thread import Answer
from runtime.comparison.trial import Trial
from runtime.errors import AnswersDiffer
from runtime.events import Event, Finished
from runtime.interrupt import DeferredInterrupt
from runtime.observer import Observer
from runtime.request import Request

Answers = list[list[Answer]]  # of each thread, to each turn


class Comparison:
    """A Job: the trials, those of the same requests to the same model together."""

    def __init__(self, workload: ComparisonWorkload, groups: list[list[Trial]]) -> None:
        self.metrics = ComparisonMetrics(workload.columns)
        self._workload = workload
        self.groups = groups

    def warm_up(self) -> float:
        """One request to each model, which compiles kernels. What only a trial itself can warm up, `run` does."""
        start = time.perf_counter()
        for trial in {group[0].model: group[0] for group in self.groups}.values():
            trial.loaded.warm_up([_first_request(trial)])
        return time.perf_counter() - start

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        """Writes a line to results.jsonl for each trial, and the plot at the end.

        Raises AnswersDiffer as soon as a variant gives other answers than the first.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with (
            (folder / "results.jsonl").open("w", encoding="utf-8", buffering=1) as file,
            Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
            DeferredInterrupt() as interrupt,
        ):
            turns = sum(trial.turns * self._rounds(trial) for group in self.groups for trial in group)
            bar = _Bar(progress, turns)
            for group in self.groups:
                self._measure(group, observers, bar, lambda: interrupt.requested)
                if interrupt.requested:
                    break
                for line in self.metrics.conclude():
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    name = ", ".join(line[key] for key in ("model", "requests", "variant"))
                    console.print(f"{name}: {line['seconds']:.2f} s", highlight=False)
        self._draw(folder / "comparison.png")
        return interrupt.requested

    def report(self, console: Console) -> None:
        if not self.metrics.results:
            console.print("interrupted before any requests had been served in all variants", highlight=False)
            return
        print_table(console, self.metrics.results, self._workload.columns)
        free = self._workload.may_differ
        which = f"all variants but {', '.join(free)}" if free else "all variants"
        console.print(f"{which} gave the same answers, token for token", highlight=False)

    def _rounds(self, trial: Trial) -> int:
        return trial.warms_up + self._workload.repeats

    def _measure(
        self, group: list[Trial], observers: list[Observer], bar: Observer, interrupted: Callable[[], bool]
    ) -> None:
        """In turn, so that what slows the machine for a while is no variant's loss. Observers are not told of the round
        that warms up."""
        assemblies = [trial.assemble() for trial in group]
        for trial, assembly in zip(group, assemblies, strict=True):
            if trial.warms_up:  # drafts of which one round has none may come in the next
                assembly.warm_up([_first_request(trial)])
        expected: Answers = []
        for number in range(self._rounds(group[0])):
            for trial, assembly in zip(group, assemblies, strict=True):
                told = [] if number < trial.warms_up else observers
                answers = _serve(trial, assembly, bar, told, interrupted)
                if interrupted():
                    return
                if trial is group[0] and not number:
                    expected = answers
                elif trial.variant not in self._workload.may_differ:
                    self._require_equal(trial, assembly, expected, answers)

    def _require_equal(self, trial: Trial, assembly: Assembly, expected: Answers, found: Answers) -> None:
        difference = first_difference(expected, found)
        if difference is None:
            return
        turn, answers = Turn(difference.thread, difference.turn), expected[difference.thread]
        request = trial.request(turn, trial.threads[turn.thread].prompt(turn.turn, answers[: turn.turn]))
        words = describe(difference, request, answers[turn.turn], assembly.engine())
        raise AnswersDiffer(f"{trial.name}: not the answers of '{self._workload.variants[0].name}': {words}")

    def _draw(self, path: Path) -> None:
        if self.metrics.results:
            from runtime.comparison.plot import draw

            draw(self.metrics.results, self._workload.panels, path)


def _first_request(trial: Trial) -> Request:
    return trial.request(Turn(0, 0), trial.threads[0].prompt(0, []))


class _Bar:
    """A progress bar over the answers of all trials."""

    def __init__(self, progress: Progress, turns: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=turns)

    def add(self, event: Event) -> None:
        if isinstance(event, TrialBegan):
            self._progress.update(self._task, description=f"{event.model}, {event.requests}, {event.variant}")
        elif isinstance(event, Finished):
            self._progress.advance(self._task)


def _serve(
    trial: Trial, assembly: Assembly, bar: Observer, observers: list[Observer], interrupted: Callable[[], bool]
) -> Answers:
    """The observers are told when all is over: writing things down would take time of what is measured."""
    events: list[Event] = [trial.began(assembly)]
    bar.add(events[0])
    clients = trial.clients(assembly)
    for event in clients.serve(interrupted):
        events.append(event)
        bar.add(event)
    for observer in observers:
        for event in events:
            observer.add(event)
    return clients.answers
