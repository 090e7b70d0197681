"""The folder of a run: config.yaml, events.jsonl, metrics.json, and what the job itself writes beside them."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from omegaconf import DictConfig, OmegaConf

from runtime.events import Event, write_jsonl
from runtime.observer import Metrics


class RunFolder(AbstractContextManager["RunFolder"]):
    """Writes the composed config at once and each event as it comes, so that an interrupted run keeps what
    it had; the metrics, an observer like itself, when it is closed."""

    def __init__(self, path: Path, composed: DictConfig, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(composed, path / "config.yaml", resolve=True)
        self._events = (path / "events.jsonl").open("w", encoding="utf-8", buffering=1)

    def add(self, event: Event) -> None:
        write_jsonl(event, self._events)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()
        text = json.dumps(self._metrics.figures(), indent=2)
        (self._path / "metrics.json").write_text(text + "\n", encoding="utf-8")
