"""What the command line does with a document that is to run."""

import asyncio
import importlib
import inspect
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from runtime.assembly import assemble
from runtime.command_line import compose_settings
from runtime.dag.document.drawing import draw_svg
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import read_document
from runtime.dag.execution.dsl_engine import DSLEngine
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.json_value import JsonObject
from runtime.dag.tools.tool_registry import ToolRegistry
from runtime.dag.trace.record import TraceRecord
from runtime.dag.trace.trace_writer import TraceWriter
from runtime.dag.trace.viewer import write_view
from runtime.errors import ConfigError, UserError
from runtime.text_file import read_text


@dataclass(frozen=True)
class RunOptions:
    """ctx: JSON, or @ and a path; settings: overrides of Hydra's; tools: modules."""

    file: Path
    ctx: str | None
    trace: Path | None
    view: Path | None
    tools: tuple[str, ...]
    settings: tuple[str, ...]


def run(options: RunOptions) -> bool:
    """Runs a document; the context that it leaves goes to stdout, all else to stderr. Whether the run succeeded.

    Raises DocumentError and UserError before anything runs, and KeyboardInterrupt after Ctrl-C, when all that is known
    until then has been written."""
    console = Console(stderr=True)
    context = _read_context(options.ctx)
    modules = [_module(name) for name in options.tools]
    document = read_document(options.file)
    with ExitStack() as stack:
        writer = stack.enter_context(TraceWriter(options.trace)) if options.trace is not None else None
        progress = stack.enter_context(_progress(console))
        counter = _Counter(progress, writer)
        engine = DSLEngine(document, write=counter.add)
        for module in modules:
            _add_tools(engine.tools, module)
        if engine.needs_model():
            counter.says("loading the model")
            engine.use_model(InferenceDriver.of(assemble(compose_settings(options.settings))))
        began = time.perf_counter()
        try:
            result = asyncio.run(engine.run_async(context))
        finally:
            if options.view is not None and engine.get_last_traces():
                statuses = {record.node_path: record.status for record in engine.get_last_traces()}
                drawing = draw_svg(engine.document, shipped_library(), statuses)
                write_view(options.view, options.file.name, drawing, engine.get_last_traces(), engine.get_last_memory())
    console.print(_summary(result.traces, time.perf_counter() - began), highlight=False)
    if not result.success:
        console.print(f"failed: {result.message}", highlight=False, markup=False, soft_wrap=True)
    print(json.dumps(result.final_context, indent=2, ensure_ascii=False))
    return result.success


def _read_context(text: str | None) -> JsonObject:
    if text is None:
        return {}
    where = "--ctx"
    if text.startswith("@"):
        where, text = text[1:], read_text(Path(text[1:]))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: this is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f'{where}: a context is an object: {{"name": value}}')
    return value


def _module(name: str) -> object:
    sys.path.insert(0, "")  # where the user is
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"--tools {name}: {error}") from error


def _add_tools(registry: ToolRegistry, module: object) -> None:
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if not name.startswith("_") and function.__module__ == getattr(module, "__name__", None):
            registry.register(name, function)


class _Counter:
    """Writes records down, and shows how many there are."""

    def __init__(self, progress: Progress, writer: TraceWriter | None) -> None:
        self._progress = progress
        self._writer = writer
        self._task = progress.add_task("")
        self._count = 0

    def says(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def add(self, record: TraceRecord) -> None:
        self._count += 1
        self.says(f"{self._count} nodes, last {record.node_path}")
        if self._writer is not None:
            self._writer.write(record)


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _summary(records: Sequence[TraceRecord], seconds: float) -> str:
    inferences = [record.native_inference for record in records if record.native_inference is not None]
    text = f"{len(records)} nodes in {seconds:.2f} s"
    if not inferences:
        return text
    prompt = sum(each.prompt_tokens for each in inferences)
    reused = sum(each.reused_tokens for each in inferences)
    new = sum(each.completion_tokens for each in inferences)
    return f"{text}; {len(inferences)} inferences: {prompt} prompt tokens, {reused} of them reused, {new} new ones"
