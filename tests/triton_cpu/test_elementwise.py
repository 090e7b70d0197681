"""Arithmetic, comparisons and casts on every element type."""

import pytest
import torch
import triton
import triton.language as tl
from other_target import compiled_for

from triton_cpu.codegen import Target

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]
COUNT = 200  # no multiple of a vector


@triton.jit
def cast_kernel(p_x, p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    tl.store(p_out + o, tl.load(p_x + o, mask=o < n).to(p_out.dtype.element_ty), mask=o < n)


@pytest.mark.parametrize("source", FLOATS + INTEGERS)
@pytest.mark.parametrize("target", FLOATS + INTEGERS)
def test_casts(source, target):
    x = (torch.rand(COUNT) * 100).to(source)
    out = torch.zeros(COUNT, dtype=target)
    cast_kernel[(1,)](x, out, COUNT, BLOCK=256)
    assert torch.equal(out, x.to(target))


@triton.jit
def float_kernel(p_x, p_y, p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    m = o < n
    x, y = tl.load(p_x + o, mask=m, other=1.0), tl.load(p_y + o, mask=m, other=1.0)
    tl.store(p_out + o, x + y, mask=m)
    tl.store(p_out + n + o, x - y, mask=m)
    tl.store(p_out + 2 * n + o, x * y, mask=m)
    tl.store(p_out + 3 * n + o, x / y, mask=m)
    tl.store(p_out + 4 * n + o, tl.maximum(x, y), mask=m)
    tl.store(p_out + 5 * n + o, tl.where(x < y, -x, tl.abs(y)), mask=m)
    tl.store(p_out + 6 * n + o, tl.clamp(x, -0.5, 0.5), mask=m)


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_arithmetic(dtype):
    x, y = torch.randn(COUNT).to(dtype), torch.randn(COUNT).to(dtype)
    out = torch.empty(7, COUNT, dtype=dtype)
    float_kernel[(1,)](x, y, out, COUNT, BLOCK=256)
    expected = [x + y, x - y, x * y, x / y, torch.maximum(x, y), torch.where(x < y, -x, y.abs()), x.clamp(-0.5, 0.5)]
    torch.testing.assert_close(out, torch.stack(expected), rtol=0, atol=0)


@pytest.mark.parametrize("bits", [128, 256, 512])
def test_bf16_needs_no_instruction_of_its_own(bits):
    """Most processors can only load and store it; LLVM would call functions that are nowhere."""
    target = Target(bits, has_masks=False, bf16_rounding=False)
    bit_patterns = torch.arange(1 << 16, dtype=torch.int32) << 16
    x = torch.cat([bit_patterns + i for i in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]).view(torch.float32)
    for part in x.split(1 << 12):
        out = torch.empty(len(part), dtype=torch.bfloat16)
        text = compiled_for(target, cast_kernel, part, out, len(part), BLOCK=len(part))
        assert "fptrunc" not in text
        assert torch.equal(out.isnan(), part.isnan())
        assert torch.equal(out[~out.isnan()], part[~part.isnan()].bfloat16())
    x, y = torch.randn(COUNT).bfloat16(), torch.randn(COUNT).bfloat16()
    out, expected = torch.empty(7, COUNT, dtype=torch.bfloat16), torch.empty(7, COUNT, dtype=torch.bfloat16)
    text = compiled_for(target, float_kernel, x, y, out, COUNT, BLOCK=256)
    assert "bfloat" not in text and "triton_cpu.load" in text and "triton_cpu.store" in text
    float_kernel[(1,)](x, y, expected, COUNT, BLOCK=256)
    assert torch.equal(out, expected)


@triton.jit
def integer_kernel(p_x, p_y, p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    m = o < n
    x, y = tl.load(p_x + o, mask=m, other=1), tl.load(p_y + o, mask=m)  # what is masked off divides too
    tl.store(p_out + o, x + y * 3, mask=m)
    tl.store(p_out + n + o, x // y, mask=m)
    tl.store(p_out + 2 * n + o, x % y, mask=m)
    tl.store(p_out + 3 * n + o, (x & y) ^ (x | 5), mask=m)
    tl.store(p_out + 4 * n + o, (x << 2) >> 1, mask=m)
    tl.store(p_out + 5 * n + o, tl.minimum(x, y), mask=m)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integer_arithmetic(dtype):
    x, y = torch.randint(-1000, 1000, (COUNT,), dtype=dtype), torch.randint(1, 50, (COUNT,), dtype=dtype)
    out = torch.empty(6, COUNT, dtype=dtype)
    integer_kernel[(1,)](x, y, out, COUNT, BLOCK=256)
    quotient = torch.div(x, y, rounding_mode="trunc")  # as in C
    expected = [x + y * 3, quotient, x - quotient * y, (x & y) ^ (x | 5), (x << 2) >> 1, torch.minimum(x, y)]
    assert torch.equal(out, torch.stack(expected))
