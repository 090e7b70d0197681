"""Runs the cases on one engine, in a process of its own. Standard library only: peers import it too."""

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from runtime.bench.spec import Case, Result, Spec, dump_result, load_spec

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
QUIET_LOAD, QUIET_WAIT_SECONDS = 0.05, 10.0


class Runner(Protocol):
    """An engine with a model, as the cases drive it."""

    version: str

    def prefill(self, prompts: list[list[int]]) -> None:
        """Forgets everything, feeds the prompts together and picks each one's next token.

        Raises NotImplementedError if the engine cannot serve so many sequences at once.
        """

    def decode(self, steps: int) -> None:
        """Feeds the tokens picked last and picks the next ones, `steps` times."""

    def predictions(self, tokens: list[int]) -> list[int]:
        """The most likely next token after each of these."""

    def notes(self) -> list[str]:
        """Whatever else this engine has to say after the cases."""


class Trial(NamedTuple):
    seconds: float
    outside_load: float


def main(make: Callable[[Spec], Runner]) -> None:
    """The child process: reads the spec from the command line, writes the result to the file that it
    names."""
    spec = load_spec(sys.argv[1])
    runner = make(spec)
    result = Result(runner.version)
    result.predictions = runner.predictions(spec.text)
    for case in spec.cases:
        try:
            run_case(runner, case, spec.prompts)  # warms up
        except NotImplementedError:
            continue
        trials = [run_case(runner, case, spec.prompts) for _ in range(spec.runs)]
        result.rates[case.name] = case.tokens / statistics.median(trial.seconds for trial in trials)
        result.outside_load = max(result.outside_load, *(trial.outside_load for trial in trials))
    result.peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result.notes = runner.notes()
    dump_result(result, spec.output)


def run_case(runner: Runner, case: Case, prompts: list[list[int]]) -> Trial:
    """One timed run, begun when the machine is quiet, or has not become so for a while."""
    fed = [prompt[: case.context] for prompt in prompts[: case.batch]]
    if case.steps:
        runner.prefill(fed)
    _wait_until_quiet()
    start, busy = time.perf_counter(), _outside_seconds()
    if case.steps:
        runner.decode(case.steps)
    else:
        runner.prefill(fed)
    seconds = time.perf_counter() - start
    outside = max(0.0, _outside_seconds() - busy) / (seconds * (os.cpu_count() or 1))
    return Trial(seconds, outside)


def _outside_seconds() -> float:
    """CPU seconds since boot that others than this process have taken; 0 where the system does not tell."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(value) for value in file.readline().split()[1:9]]
    except OSError:
        return 0.0
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / CLOCK_TICKS - sum(os.times()[:2])


def _wait_until_quiet() -> None:
    deadline = time.monotonic() + QUIET_WAIT_SECONDS
    while time.monotonic() < deadline:
        start, busy = time.monotonic(), _outside_seconds()
        time.sleep(0.25)
        if (_outside_seconds() - busy) / ((time.monotonic() - start) * (os.cpu_count() or 1)) < QUIET_LOAD:
            return
