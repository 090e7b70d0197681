"""The record of a comparison: one result for each trial."""

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from runtime.comparison.course import Course, Figures
from runtime.comparison.events import TrialBegan
from runtime.comparison.settings import Column
from runtime.events import Event


@dataclass(frozen=True)
class Result:
    model: str
    requests: str
    variant: str
    course: Course
    figures: Figures

    def value(self, column: Column) -> float | None:
        value: float | None = getattr(self.figures, column)
        return value

    def ratio(self, column: Column, first: "Result") -> float | None:
        """To the first variant's; None where there is none."""
        value, base = self.value(column), first.value(column)
        return value / base if value is not None and base else None


class ComparisonMetrics:
    """Results of the trials so far, from the events of all. columns: those that count."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.results: list[Result] = []
        self._columns = columns
        self._courses: dict[TrialBegan, list[Course]] = {}  # of the trials that are not concluded, one for each time
        self._course = Course(0)  # of the running one

    def add(self, event: Event) -> None:
        if isinstance(event, TrialBegan):
            self._course = Course(event.blocks)
            self._courses.setdefault(event, []).append(self._course)
        else:
            self._course.add(event)

    def conclude(self) -> list[dict[str, Any]]:
        """The trials so far are over: keeps the results of each one's fastest course, and returns them as lines of
        results.jsonl."""
        concluded = [_fastest(trial, courses) for trial, courses in self._courses.items()]
        self.results += concluded
        self._courses = {}
        return [self._line(result) for result in concluded]

    def figures(self) -> dict[str, Any]:
        summary = {
            f"{r.model}/{r.requests}/{r.variant}/{column}": r.value(column)
            for r in self.results
            for column in self._columns
        }
        return {"summary": summary, "trials": [self._line(result) for result in self.results]}

    def _line(self, result: Result) -> dict[str, Any]:
        (first,) = (group[0] for group in grouped(self.results) if result in group)
        ratios = {column: result.ratio(column, first) for column in self._columns}
        names = {"model": result.model, "requests": result.requests, "variant": result.variant}
        return {**names, **asdict(result.figures), "ratios": ratios}


def _fastest(trial: TrialBegan, courses: list[Course]) -> Result:
    course, figures = min(((course, course.figures()) for course in courses), key=lambda pair: pair[1].seconds)
    return Result(trial.model, trial.requests, trial.variant, course, figures)


def grouped(results: list[Result]) -> list[list[Result]]:
    """The variants of each model and kind of requests, in order."""
    return [list(group) for _, group in groupby(results, key=lambda result: (result.model, result.requests))]
