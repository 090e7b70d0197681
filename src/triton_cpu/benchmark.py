"""The clock and the device interface that Triton's own benchmark functions and autotuner ask a driver for."""

import time

import torch


class Event:
    """A point in time, as `torch.cuda.Event`: kernels on the CPU have ended when their launch returns."""

    def __init__(self, enable_timing: bool = True) -> None:
        self._seconds = 0.0

    def record(self) -> None:
        self._seconds = time.perf_counter()

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds from this event to `end`."""
        return (end._seconds - self._seconds) * 1e3


class CPUInterface:
    """The part of the `torch.cuda` module that has a meaning for one CPU."""

    Event = Event

    @staticmethod
    def synchronize() -> None:
        """Returns at once: launches are not asynchronous."""

    @staticmethod
    def current_device() -> int:
        return 0


# About the last-level cache of a server part's core complex. Writing it takes a few milliseconds; the 256 MiB
# that GPUs use would leave time for three runs of a kernel.
CACHE_BYTES = 32 * 2**20


def empty_cache() -> torch.Tensor:
    """A buffer to write between runs, so that each one finds its inputs in memory and not in a cache."""
    return torch.empty(CACHE_BYTES, dtype=torch.uint8)
