"""What a run does, once it is ready: text is generated, or a model is evaluated."""

from pathlib import Path
from typing import Protocol

from rich.console import Console

from runtime.observer import Metrics, Observer


class Job(Protocol):
    @property
    def metrics(self) -> Metrics:
        """Of `run`: it is one of its observers."""

    def warm_up(self) -> float:
        """Has kernels compiled and steps captured before anything is measured. Returns the seconds it took."""

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        """Does the work, telling the observers; what it writes besides goes into `folder`. True if Ctrl-C ended it."""

    def report(self, console: Console) -> None:
        """Prints the figures."""
