"""The same tests under Triton's interpreter, on small shapes, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_testing import INTERPRETED


@pytest.mark.skipif(INTERPRETED, reason="this is that process")
def test_kernels_interpreted() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", str(Path(__file__).parent)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-3000:]
