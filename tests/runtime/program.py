"""This project's programs, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path


def started(folder: Path, module: str, *arguments: str) -> "subprocess.Popen[str]":
    """`python -m <module> <arguments>` in a folder, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
