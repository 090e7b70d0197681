"""Runs in Weights & Biases: their settings, the figures of each step, the summary."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import wandb
from omegaconf import DictConfig

from runtime.command_line import plain
from runtime.config import WandbTracking
from runtime.events import Event, Stepped
from runtime.observer import Metrics


class WandbTracker(AbstractContextManager["WandbTracker"]):
    """One W&B run; the jobs of a sweep have its name as their group. This module is imported only where it
    is used."""

    def __init__(
        self,
        config: WandbTracking,
        composed: DictConfig,
        folder: Path,
        group: str | None,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._run = wandb.init(
            project=config.project,
            mode=config.mode,
            tags=list(config.tags),
            group=group,
            dir=folder,
            config=plain(composed),
            settings=wandb.Settings(silent=True),
        )

    def add(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._run.log({key: value for key, value in asdict(event).items() if key != "time"})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.summary.update(self._metrics.figures()["summary"])
        self._run.finish(exit_code=0 if kind is None else 1)
