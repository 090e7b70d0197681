"""What every kind of evaluation is: items with spans to score, a verdict on each, and figures."""

from collections.abc import Sequence
from typing import Any, Protocol

from runtime.evaluation.span import Score, Span


class Task(Protocol):
    @property
    def kind(self) -> str:
        """Its name in the settings."""

    @property
    def items(self) -> Sequence[Sequence[Span]]:
        """The spans to score for each item, one or more."""

    def judge(self, number: int, scores: Sequence[Score]) -> dict[str, Any]:
        """The line of results.jsonl for item `number`, from its spans' scores; takes it into the figures."""

    def figures(self) -> dict[str, float]:
        """What the items judged so far say, NaN without any. `<name>_error` is the standard error of `<name>`."""

    def headline(self) -> str:
        """The same in a few words."""
