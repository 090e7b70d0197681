"""Masks of a step come back once, in the order of its rows, and so does what went wrong."""

import gc
import threading

import numpy as np
import pytest

from runtime.decoder.mask_thread import MaskThread
from runtime.request import Request
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence
from runtime.streaming import StreamingController


class Fixed:
    """A grammar whose masks are a number; fails if there is none."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def fill(self, drafts: list[int], out: np.ndarray) -> None:
        assert len(out) == 1 + len(drafts)
        if self.number is None:
            raise ArithmeticError("no mask")
        out.fill(self.number)


def entry(grammar: Fixed | None, drafts: int = 0) -> Scheduled:
    request = Request((1,), 9)
    sequence = Sequence(0, request, StreamingController(request, lambda token: b""), [1])
    sequence.grammar = grammar  # type: ignore[assignment]
    return Scheduled(sequence, [1] * (1 + drafts), drafts)


def test_masks_are_in_the_order_of_the_rows() -> None:
    thread = MaskThread(2)
    thread.begin([entry(Fixed(5), 1), entry(None, 2), entry(Fixed(6))])
    assert thread.take().tolist() == [[n, n] for n in (5, 5, -1, -1, -1, 6)]


def test_what_goes_wrong_is_raised_by_its_own_step_only() -> None:
    thread = MaskThread(1)
    thread.begin([entry(Fixed(None))])
    with pytest.raises(ArithmeticError, match="no mask"):
        thread.take()
    thread.begin([entry(Fixed(None))])  # and the model fails, so that nobody asks
    thread.begin([entry(Fixed(7))])
    assert thread.take().tolist() == [[7]]


def test_the_thread_ends_with_its_owner() -> None:
    before = set(threading.enumerate())
    owner = MaskThread(1)
    owner.begin([entry(Fixed(1))])
    (thread,) = set(threading.enumerate()) - before
    del owner
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()
