"""Tests run on all cores (`-n auto`), each worker's kernels on one."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # torch reads it when it is imported, which is later
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MOST_WORKERS = 8  # each takes a gigabyte


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return min(os.cpu_count() or 1, MOST_WORKERS)
