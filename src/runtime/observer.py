"""Who is told what happens in a run: the record, the screen, the tracker."""

from typing import Protocol

from runtime.events import Event


class Observer(Protocol):
    def add(self, event: Event) -> None:
        """Takes note of the next event."""
