"""One engine measured in a process of its own: its memory is its own, and its crash is not ours."""

import os
import re
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from runtime.bench.spec import Result, Spec, dump_spec, load_result

SOURCE_ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 3600


class Engine(NamedTuple):
    """One row of the table: a module of this package that a child process runs, and its variant."""

    name: str
    module: str
    variant: str


class Outcome(NamedTuple):
    """An engine's result, or why there is none."""

    engine: Engine
    result: Result | None
    failure: str = ""
    crashed: bool = False


def run_engine(engine: Engine, spec: Spec, python: str) -> Outcome:
    """Runs the cases under the interpreter `python`, which needs the engine's packages but not this
    project."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        spec = replace(spec, variant=engine.variant, output=str(output))
        environment = os.environ | {
            "PYTHONPATH": str(SOURCE_ROOT),
            "OMP_NUM_THREADS": str(spec.threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        try:
            done = subprocess.run(
                [python, "-m", f"runtime.bench.{engine.module}", dump_spec(spec)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
        except FileNotFoundError:
            return Outcome(engine, None, f"skipped: there is no interpreter {python}")
        except subprocess.TimeoutExpired:
            return Outcome(engine, None, f"stopped after {TIMEOUT_SECONDS} s")
        if done.returncode == 0:
            return Outcome(engine, load_result(output))
    last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if missing := re.match(r"(?:ModuleNotFound|Import)Error: (.*)", last_line):
        return Outcome(engine, None, f"skipped: {missing[1]} in {python}")
    if done.returncode < 0:
        return Outcome(engine, None, f"crashed: {signal.Signals(-done.returncode).name}", crashed=True)
    return Outcome(engine, None, f"failed: {last_line}")
