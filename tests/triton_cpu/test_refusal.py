"""What the backend does not compile is refused with the operation's name and the kernel's line."""

import re

import pytest
import torch
import triton
import triton.language as tl

from triton_cpu.codegen import UnsupportedOpError
from triton_cpu.ttir import TTIRSyntaxError


@triton.jit
def histogram_kernel(p_x, p_out, N: tl.constexpr):
    x = tl.load(p_x + tl.arange(0, N))
    counts = tl.histogram(x, 16)
    tl.store(p_out + tl.arange(0, 16), counts)


@triton.jit
def huge_tile_kernel(p_x, p_out):
    o = tl.arange(0, 1024)[:, None] * 1024 + tl.arange(0, 1024)[None, :]
    x = tl.load(p_x + o)
    tl.store(p_out + o, tl.dot(x, x))


def test_an_unknown_operation_names_itself_and_its_line():
    line = histogram_kernel.starting_line_number + 3
    x, out = torch.zeros(64, dtype=torch.int32), torch.zeros(16, dtype=torch.int32)
    with pytest.raises(UnsupportedOpError, match=rf"{re.escape(__file__)}:{line}: tt\.histogram is not supported"):
        histogram_kernel[(1,)](x, out, N=64)


def test_tiles_that_no_stack_holds_are_refused_before_they_run():
    x = torch.zeros(1024, 1024)
    with pytest.raises(UnsupportedOpError, match="KiB of stack; use smaller blocks"):
        huge_tile_kernel[(1,)](x, torch.empty_like(x))


@triton.jit
def meeting_branches_kernel(p_x, n):
    i = tl.program_id(0)
    y = 1.0
    if i > 0:
        y = tl.load(p_x + i)
        if i >= n:
            return
    tl.store(p_x + i, y)


def test_branches_that_meet_again_after_an_early_return_name_their_line():
    line = meeting_branches_kernel.starting_line_number + 4
    with pytest.raises(TTIRSyntaxError, match=rf"{re.escape(__file__)}:{line}: cf\.cond_br is not supported"):
        meeting_branches_kernel[(2,)](torch.zeros(8), 1)
