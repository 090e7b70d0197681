"""Tests run on all cores (`-n auto`), each worker's kernels on one."""

import ast
import os
import threading
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # torch reads it when it is imported, which is later
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MOST_WORKERS = 8  # each takes a gigabyte


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return min(os.cpu_count() or 1, MOST_WORKERS)


# Hypothesis runs Python in every garbage collection, where threads may change: one that collects within ast.parse and
# one that calls it meanwhile (two engines compile kernels, say) make CPython 3.11 raise SystemError.
_parsing = threading.RLock()
_parse = ast.parse


def _parse_alone(*args: Any, **kwargs: Any) -> ast.AST:
    with _parsing:
        return _parse(*args, **kwargs)


ast.parse = _parse_alone
