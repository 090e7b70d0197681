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
        self._trial = TrialBegan(0.0, "", "", "", 0)
        self._courses: list[Course] = []  # of the running trial, one for each time it is measured

    def add(self, event: Event) -> None:
        if isinstance(event, TrialBegan):
            self._trial = event
            self._courses.append(Course(event.blocks))
        else:
            self._courses[-1].add(event)

    def conclude(self) -> dict[str, Any]:
        """The trial is over: keeps the result of its fastest course, and returns that as a line of results.jsonl."""
        trial, courses = self._trial, [(course, course.figures()) for course in self._courses]
        course, figures = min(courses, key=lambda pair: pair[1].seconds)
        result = Result(trial.model, trial.requests, trial.variant, course, figures)
        self.results.append(result)
        self._courses = []
        return self._line(result)

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


def grouped(results: list[Result]) -> list[list[Result]]:
    """The variants of each model and kind of requests, in order."""
    return [list(group) for _, group in groupby(results, key=lambda result: (result.model, result.requests))]
