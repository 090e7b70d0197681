"""What a run does once its settings are known: load, serve, show, and keep the record."""

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig
from rich.console import Console

from model.errors import ModelFileError
from runtime.assembly import Assembly, assemble
from runtime.chat import converse
from runtime.command_line import INTERRUPTED
from runtime.config import ChatWorkload, RunConfig, SamplingConfig, WandbTracking
from runtime.display import make_display
from runtime.engine import Engine
from runtime.errors import UserError
from runtime.interrupt import DeferredInterrupt
from runtime.observer import Observer
from runtime.report import print_report
from runtime.request import Request
from runtime.run_folder import RunFolder
from runtime.workload import make_request, read_prompts

PLAIN_WIDTH = 120  # of tables where the output is no terminal


class Job(NamedTuple):
    """What is served, and by what."""

    assembly: Assembly
    prompts: list[str]
    requests: list[Request]


def serve(config: RunConfig, composed: DictConfig, path: Path, group: str | None) -> None:
    """Serves the workload and leaves config, events and metrics in the folder `path`. group: the sweep's
    name.

    Ends the process with code 130 after Ctrl-C, with everything until then written.
    """
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    start = time.perf_counter()
    try:
        job = _prepare(config)
    except (UserError, ModelFileError):
        with suppress(OSError):  # Hydra has made the folder already; nothing ran, so nothing is kept
            path.rmdir()
        raise
    loaded = time.perf_counter()
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(path, composed))
        observers: list[Observer] = [folder]
        if isinstance(config.tracking, WandbTracking):
            from runtime.tracking import WandbTracker

            tracker = WandbTracker(config.tracking, composed, path, group, folder.metrics)
            observers.append(stack.enter_context(tracker))
        console.print(f"model ready in {loaded - start:.1f} s", highlight=False)
        if config.kernels.backend == "compiled":
            first = job.requests[: config.batching.max_sequences]
            seconds = job.assembly.warm_up(first or [make_request("Hello", config.workload, job.assembly.loaded, 0)])
            console.print(f"kernels ready in {seconds:.1f} s", highlight=False)
        engine = job.assembly.engine()
        if isinstance(config.workload, ChatWorkload):
            interrupted = converse(console, engine, job.assembly.loaded, config, observers)
        else:
            display = make_display(console, job.prompts)
            stack.enter_context(display)
            observers.append(display)
            interrupted = _run(engine, job.requests, observers)
    print_report(console, folder.metrics)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    if interrupted:
        sys.exit(INTERRUPTED)


def _prepare(config: RunConfig) -> Job:
    """Everything that can find a fault of the user's, before anything is generated or written."""
    workload = config.workload
    prompts = [] if isinstance(workload, ChatWorkload) else read_prompts(workload)
    assembly = assemble(config)
    seed = config.decoder.seed if isinstance(config.decoder, SamplingConfig) else 0
    requests = [make_request(text, workload, assembly.loaded, seed + i) for i, text in enumerate(prompts)]
    engine = assembly.engine()
    for request in requests:
        engine.check(request)
    return Job(assembly, prompts, requests)


def _run(engine: Engine, requests: list[Request], observers: list[Observer]) -> bool:
    """Serves all requests; True if Ctrl-C ended it before."""
    for request in requests:
        engine.submit(request)
    with DeferredInterrupt() as interrupt:
        while not engine.is_idle:
            for event in engine.cancel() if interrupt.requested else engine.step():
                for observer in observers:
                    observer.add(event)
    return interrupt.requested
