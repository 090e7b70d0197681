"""A run that evaluates a model on a file."""

import json
import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from runtime.assembly import Assembly, assemble
from runtime.config import EvalWorkload, RunConfig
from runtime.evaluation.reader import read_task
from runtime.evaluation.scorer import Scorer
from runtime.evaluation.span import Score
from runtime.evaluation.task import Task
from runtime.events import Event, Stepped
from runtime.interrupt import DeferredInterrupt
from runtime.metrics import peak_memory_mib
from runtime.observer import Observer


class EvaluationMetrics:
    """The figures of a task, and how fast they came."""

    def __init__(self, task: Task) -> None:
        self.judged = 0
        self._task = task
        self._truncated = sum(any(span.dropped for span in spans) for spans in task.items)
        self._tokens = 0
        self._seconds = 0.0

    def add(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._tokens += event.prefill_tokens
            self._seconds += event.seconds

    def figures(self) -> dict[str, Any]:
        """Figures that are not known, or no number, are None. truncated_items: those without all of their context."""
        summary = {
            "kind": self._task.kind,
            "items": self.judged,
            "unfinished_items": len(self._task.items) - self.judged,
            "truncated_items": self._truncated,
            **self._task.figures(),
            "fed_tokens": self._tokens,
            "tokens_per_second": self._tokens / self._seconds if self._seconds else None,
            "peak_memory_mib": peak_memory_mib(),
        }
        return {"summary": {key: value if _is_known(value) else None for key, value in summary.items()}}


class Evaluation:
    """A Job: the items that are scored, and by what."""

    def __init__(self, scorer: Scorer, task: Task) -> None:
        self.metrics = EvaluationMetrics(task)
        self._scorer = scorer
        self._task = task
        self._spans = [span for spans in task.items for span in spans]

    def warm_up(self) -> float:
        start = time.perf_counter()
        next(self._scorer.steps(self._spans))
        return time.perf_counter() - start

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        """Writes a line to results.jsonl for each item, in order, as soon as it is judged."""
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        scores: list[Score] = []
        with (
            (folder / "results.jsonl").open("w", encoding="utf-8", buffering=1) as file,
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
            DeferredInterrupt() as interrupt,
        ):
            bar = progress.add_task("", total=len(self._task.items))
            for stepped, done in self._scorer.steps(self._spans):
                for observer in observers:
                    observer.add(stepped)
                scores += done
                for result in self._judge(scores):
                    file.write(json.dumps(result, ensure_ascii=False) + "\n")
                if self.metrics.judged:
                    progress.update(bar, completed=self.metrics.judged, description=self._task.headline())
                if interrupt.requested:
                    break
        return interrupt.requested

    def report(self, console: Console) -> None:
        summary = self.metrics.figures()["summary"]
        table = Table("", self._task.kind, "standard error", title="evaluation", title_justify="left")
        for name, value in summary.items():
            if name != "kind" and not name.endswith("_error"):
                table.add_row(name.replace("_", " "), _figure(value), _figure(summary.get(f"{name}_error"), ""))
        console.print(table)

    def _judge(self, scores: list[Score]) -> list[dict[str, Any]]:
        """The results of the items whose scores are all there; takes these from the list."""
        results = []
        items = self._task.items
        while self.metrics.judged < len(items) and len(scores) >= len(items[self.metrics.judged]):
            count = len(items[self.metrics.judged])
            results.append(self._task.judge(self.metrics.judged, scores[:count]))
            del scores[:count]
            self.metrics.judged += 1
        return results


def prepare_evaluation(config: RunConfig, workload: EvalWorkload) -> Evaluation:
    """Everything that can find a fault of the user's, before anything is computed or written."""
    assembly = assemble(config)
    return Evaluation(make_scorer(assembly), read_task(workload, assembly.loaded.encoder, context_length(assembly)))


def context_length(assembly: Assembly) -> int:
    """Tokens of the longest sequence that model and cache can hold."""
    cache = assembly.executor.cache
    return min(assembly.loaded.model.max_context, cache.num_blocks * cache.block_size)


def make_scorer(assembly: Assembly) -> Scorer:
    batching = assembly.config.batching
    return Scorer(assembly.executor, assembly.ops.log_probs, batching.token_budget, batching.max_sequences)


def _is_known(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _figure(value: float | None, unknown: str = "-") -> str:
    if value is None:
        return unknown
    return f"{value:.4g}" if isinstance(value, float) else str(value)
