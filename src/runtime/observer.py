"""Who is told what happens in a run: the record, the screen, the tracker, the figures."""

from typing import Any, Protocol

from runtime.events import Event


class Observer(Protocol):
    def add(self, event: Event) -> None:
        """Takes note of the next event."""


class Metrics(Observer, Protocol):
    def figures(self) -> dict[str, Any]:
        """The contents of metrics.json: under "summary" one line of figures, and whatever else there is."""
        ...
