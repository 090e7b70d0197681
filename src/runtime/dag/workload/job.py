"""A run of a document on the engine, beside its inferences served as requests that know nothing of each other."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from runtime.assembly import Assembly, assemble
from runtime.config import RunConfig
from runtime.dag.document.document import Document
from runtime.dag.document.drawing import draw_svg
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import read_document
from runtime.dag.errors import DocumentError
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.execution.result import RunResult
from runtime.dag.inference.driver import InferenceDriver, Log, Served
from runtime.dag.json_value import JsonObject
from runtime.dag.trace.trace_writer import write_trace
from runtime.dag.trace.viewer import write_view
from runtime.dag.workload.events import VariantBegan
from runtime.dag.workload.figures import Figures, Sharing, distinct_tokens, figures
from runtime.dag.workload.metrics import DOCUMENT, DagMetrics, Result, print_figures
from runtime.dag.workload.settings import DagWorkload
from runtime.errors import AnswersDiffer, UserError
from runtime.events import Event, Finished
from runtime.observer import Observer
from runtime.text_file import read_text


class Variant(NamedTuple):
    """A way to serve the document's inferences as requests that know nothing of each other. indexed: on a cache that
    shares what requests begin with; else on one that does not."""

    name: str
    together: bool
    indexed: bool


INDEPENDENT = (
    Variant("independent, together", True, False),
    Variant("independent, one by one", False, False),
    Variant("prefix index, together", True, True),
    Variant("prefix index, one by one", False, True),
)


class Measured(NamedTuple):
    figures: Figures
    events: list[Event]
    texts: list[str]


class DagJob:
    """A Job. shared: the model on a cache that shares what requests begin with; apart: on one that does not."""

    def __init__(
        self, workload: DagWorkload, document: Document, context: JsonObject, shared: Assembly, apart: Assembly
    ) -> None:
        self.metrics = DagMetrics()
        self._workload = workload
        self._document = document
        self._context = context
        self._shared = shared
        self._apart = apart
        self._result: RunResult | None = None
        self._served: list[Served] = []

    def warm_up(self) -> float:
        """Runs it, and its inferences as requests, so that all kernels are compiled and all steps captured."""
        start = time.perf_counter()
        self._measure_document()
        for variant in INDEPENDENT:
            self._measure_requests(variant)
        return time.perf_counter() - start

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        """Writes the trace of the document, and a page that shows it. Raises UserError if the document fails, and
        AnswersDiffer if requests get other answers."""
        variants: dict[str, Callable[[], Measured]] = {DOCUMENT: self._measure_document}
        variants |= {variant.name: partial(self._measure_requests, variant) for variant in INDEPENDENT}
        best: dict[str, Figures] = {}
        try:
            for number in range(self._workload.repeats):
                for variant, measure in variants.items():
                    measured = measure()
                    self._compare(variant, measured.texts)
                    for event in [VariantBegan(0.0, variant, number), *measured.events]:
                        for observer in observers:
                            observer.add(event)
                    known = best.get(variant)
                    if known is None or measured.figures.seconds < known.seconds:
                        best[variant] = measured.figures
        except KeyboardInterrupt:
            return True
        finally:
            self._write(folder)
        self.metrics.results = [Result(variant, found) for variant, found in best.items()]
        self.metrics.sharing = self._sharing(best[DOCUMENT])
        return False

    def report(self, console: Console) -> None:
        if not self.metrics.results:
            console.print("interrupted before everything had been measured", highlight=False)
            return
        print_figures(console, self.metrics)
        console.print(f"{len(self._served)} inferences, the same answers in all variants", highlight=False)

    def _measure_document(self) -> Measured:
        driver = InferenceDriver.of(self._shared)
        driver.log = log = Log()
        engine = DSLEngine(self._document, driver)
        start = time.perf_counter()
        result = engine.run(self._context)
        seconds = time.perf_counter() - start
        self._result = result
        if not result.success:
            raise UserError(f"{self._document.file}: the run failed: {result.message}")
        self._served = sorted(log.served, key=lambda served: served.order)
        blocks = self._shared.executor.cache.num_blocks
        texts = [served.text for served in self._served]
        return Measured(figures(seconds, log.events, blocks), log.events, texts)

    def _measure_requests(self, variant: Variant) -> Measured:
        requests = [served.request for served in self._served]
        batches = [requests] if variant.together else [[request] for request in requests]
        engine = (self._shared if variant.indexed else self._apart).engine()
        events: list[Event] = []
        start = time.perf_counter()
        for batch in batches:
            events += engine.serve(batch)
        seconds = time.perf_counter() - start
        return Measured(figures(seconds, events, engine.store.allocator.total), events, _texts(events))

    def _compare(self, variant: str, texts: Sequence[str]) -> None:
        for served, text in zip(self._served, texts, strict=True):
            if served.text != text:
                path = served.order[1]
                raise AnswersDiffer(f"{path}, {variant}: {text[:80]!r} instead of {served.text[:80]!r}")

    def _sharing(self, found: Figures) -> Sharing:
        encoder, memory = self._shared.loaded.encoder, self._shared.executor.cache
        prompts = [served.request.prompt for served in self._served]
        whole = [(*served.request.prompt, *encoder.encode(served.text)) for served in self._served]
        tokens = found.held_blocks * memory.block_size if memory.truncates else None
        return Sharing(distinct_tokens(prompts), distinct_tokens(whole), tokens)

    def _write(self, folder: Path) -> None:
        result = self._result
        if result is None:
            return
        statuses = {record.node_path: record.status for record in result.traces}
        drawing = draw_svg(self._document, shipped_library(), statuses)
        write_trace(folder / "trace.jsonl", result.traces)
        write_view(folder / "view.html", Path(self._document.file).name, drawing, result.traces, result.memory)


def prepare_dag(config: RunConfig, workload: DagWorkload) -> DagJob:
    """Everything that can find a fault of the user's, before anything is generated or written."""
    document = read_document(Path(workload.document))
    context = _context(workload)
    assembly = assemble(config)
    if workload.passage_tokens:
        tokens = assembly.loaded.encoder.encode(read_text(Path(workload.text)))[: workload.passage_tokens]
        context = {"passage": assembly.loaded.encoder.decode(tokens)} | context
    problems = DSLEngine(document, InferenceDriver.of(assembly)).problems()
    if any(problem.is_error for problem in problems):
        raise DocumentError([problem for problem in problems if problem.is_error])
    apart = assemble(replace(config, cache=replace(config.cache, prefix="none")), assembly)
    return DagJob(workload, document, context, assembly, apart)


def _context(workload: DagWorkload) -> JsonObject:
    if workload.context is None:
        return {}
    try:
        context = json.loads(read_text(Path(workload.context)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"workload.context: {workload.context}: this is no JSON: {error}") from error
    if not isinstance(context, dict):
        raise UserError(f"workload.context: {workload.context}: a context is an object")
    return context


def _texts(events: Sequence[Event]) -> list[str]:
    """Of the requests, in order."""
    finished = [event for event in events if isinstance(event, Finished)]
    return [event.text for event in sorted(finished, key=lambda event: event.request)]
