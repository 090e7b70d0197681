"""Kernel tests run compiled where Triton has a driver; test_interpreted.py runs them interpreted."""

from collections.abc import Iterator

import pytest
import torch
import triton
from kernel_testing import DEVICE, INTERPRETED, Guarded


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def triton_driver() -> None:
    if INTERPRETED:
        return
    try:
        triton.runtime.driver.active.get_current_target()
    except RuntimeError as error:
        pytest.skip(f"Triton has no driver here: {error}")


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    """Makes outputs filled with NaN, between guard bands that must be untouched at the end of the test."""
    outputs = Guarded(DEVICE)
    yield outputs
    outputs.check()
