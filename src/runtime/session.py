"""What every run does once its settings are known: load, do its job, report, and keep the record."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from model.errors import ModelFileError
from runtime.chat.job import Chat
from runtime.chat.terminal import converse
from runtime.command_line import INTERRUPTED
from runtime.comparison.preparation import prepare_comparison
from runtime.comparison.settings import ComparisonWorkload
from runtime.config import ChatWorkload, EvalWorkload, RunConfig, WandbTracking
from runtime.dag.workload.job import prepare_dag
from runtime.dag.workload.settings import DagWorkload
from runtime.errors import UserError
from runtime.evaluation.evaluation import prepare_evaluation
from runtime.generation import prepare_generation
from runtime.job import Job
from runtime.observer import Observer
from runtime.run_folder import RunFolder

PLAIN_WIDTH = 120  # of tables where the output is no terminal


def prepare_job(config: RunConfig) -> Job:
    """The job that the workload asks for."""
    if isinstance(config.workload, ChatWorkload):
        return Chat(config, converse)
    if isinstance(config.workload, EvalWorkload):
        return prepare_evaluation(config, config.workload)
    if isinstance(config.workload, ComparisonWorkload):
        return prepare_comparison(config, config.workload)
    if isinstance(config.workload, DagWorkload):
        return prepare_dag(config, config.workload)
    return prepare_generation(config, config.workload)


def serve(
    config: RunConfig,
    composed: DictConfig,
    path: Path,
    group: str | None,
    prepare: Callable[[RunConfig], Job] = prepare_job,
) -> None:
    """Does the workload and leaves config, events and metrics in the folder `path`. group: the sweep's name; prepare:
    finds all faults of the user's, before anything is done or written.

    Ends the process with code 130 after Ctrl-C, with everything until then written.
    """
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    start = time.perf_counter()
    try:
        job = prepare(config)
    except (UserError, ModelFileError):
        with suppress(OSError):  # Hydra has made the folder already; nothing ran, so nothing is kept
            path.rmdir()
        raise
    loaded = time.perf_counter()
    with ExitStack() as stack:
        observers: list[Observer] = [job.metrics, stack.enter_context(RunFolder(path, composed, job.metrics))]
        if isinstance(config.tracking, WandbTracking):
            from runtime.tracking import WandbTracker

            tracker = WandbTracker(config.tracking, composed, path, group, job.metrics)
            observers.append(stack.enter_context(tracker))
        console.print(f"model ready in {loaded - start:.1f} s", highlight=False)
        if config.kernels.backend == "compiled":
            console.print(f"kernels ready in {job.warm_up():.1f} s", highlight=False)
        interrupted = job.run(console, observers, path)
    job.report(console)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    if interrupted:
        sys.exit(INTERRUPTED)
