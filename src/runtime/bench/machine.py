"""One line on where figures come from: processor, cores, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def machine_line(threads: int) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "triton", "llvmlite"))
    python = platform.python_version()
    return f"{_processor()}, {os.cpu_count()} CPUs, {threads} threads; Python {python}, {packages}; commit {_commit()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The checkout's commit, with a + where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--dirty=+"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or "unknown"
