"""The folder of a run: config.yaml, events.jsonl and metrics.json."""

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from omegaconf import DictConfig, OmegaConf

from runtime.events import Event, write_jsonl
from runtime.metrics import RunMetrics


class RunFolder(AbstractContextManager["RunFolder"]):
    """Writes the composed config at once and each event as it comes, so that an interrupted run keeps what
    it had; the metrics, which it adds up meanwhile, when it is closed."""

    def __init__(self, path: Path, composed: DictConfig) -> None:
        self.path = path
        self.metrics = RunMetrics()
        path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(composed, path / "config.yaml", resolve=True)
        self._events = (path / "events.jsonl").open("w", encoding="utf-8", buffering=1)

    def add(self, event: Event) -> None:
        write_jsonl(event, self._events)
        self.metrics.add(event)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()
        figures = {
            "summary": asdict(self.metrics.summary()),
            "requests": [asdict(request) for request in self.metrics.requests.values()],
        }
        (self.path / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
