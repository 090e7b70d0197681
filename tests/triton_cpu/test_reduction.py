"""Reductions and scans over every axis, with built-in and custom combiners."""

import pytest
import torch
import triton
import triton.language as tl

SHAPES = [(1, 1), (1, 64), (64, 1), (4, 8), (16, 16), (2, 512), (512, 2), (32, 128)]


@triton.jit
def reduce_kernel(p_x, p_out, R: tl.constexpr, C: tl.constexpr, AXIS: tl.constexpr, KIND: tl.constexpr):
    x = tl.load(p_x + tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :])
    if KIND == "sum":
        y = tl.sum(x, AXIS)
    elif KIND == "max":
        y = tl.max(x, AXIS)
    elif KIND == "min":
        y = tl.min(x, AXIS)
    elif KIND == "argmax":
        y = tl.argmax(x, AXIS)
    else:
        y = tl.argmin(x, AXIS)
    tl.store(p_out + tl.arange(0, C if AXIS == 0 else R), y)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["sum", "max", "min", "argmax", "argmin"])
def test_reductions_along_each_axis(shape, axis, kind):
    x = torch.randint(-9, 9, shape).float()  # small integers: exact sums, many ties
    out = torch.full((shape[1 - axis],), -100.0 if not kind.startswith("arg") else 0).to(
        torch.int32 if kind.startswith("arg") else torch.float32
    )
    reduce_kernel[(1,)](x, out, R=shape[0], C=shape[1], AXIS=axis, KIND=kind)
    reduce = getattr(torch, {"max": "amax", "min": "amin"}.get(kind, kind))
    assert torch.equal(out, reduce(x, axis).to(out.dtype))


@pytest.mark.parametrize("shape", [(2, 32), (8, 16), (16, 4), (64, 64), (4, 256)])
def test_a_row_does_not_depend_on_those_beside_it(shape):
    x = torch.randn(shape)
    together, alone = torch.empty(shape[0]), torch.empty(shape[0])
    reduce_kernel[(1,)](x, together, R=shape[0], C=shape[1], AXIS=1, KIND="sum")
    for i in range(shape[0]):
        reduce_kernel[(1,)](x[i:], alone[i:], R=1, C=shape[1], AXIS=1, KIND="sum")
    assert torch.equal(together, alone)


@triton.jit
def welford(mean_a, m2_a, count_a, mean_b, m2_b, count_b):
    delta = mean_b - mean_a
    count = count_a + count_b
    share = tl.where(count == 0, 0.0, count_b / count)
    return mean_a + delta * share, m2_a + m2_b + delta * delta * count_a * share, count


@triton.jit
def welford_kernel(p_x, p_mean, p_m2, R: tl.constexpr, C: tl.constexpr):
    o_r = tl.arange(0, R)
    x = tl.load(p_x + o_r[:, None] * C + tl.arange(0, C)[None, :])
    mean, m2, _ = tl.reduce((x, tl.zeros_like(x), tl.full([R, C], 1.0, tl.float32)), 1, welford)
    tl.store(p_mean + o_r, mean)
    tl.store(p_m2 + o_r, m2)


def test_a_reduction_of_three_values_at_once():
    x = torch.randn(4, 256)
    mean, m2 = torch.empty(4), torch.empty(4)
    welford_kernel[(1,)](x, mean, m2, R=4, C=256)
    torch.testing.assert_close(mean, x.mean(1))
    torch.testing.assert_close(m2, x.var(1, unbiased=False) * 256)


@triton.jit
def first_order(a1, b1, a2, b2):
    return a1 * a2, a2 * b1 + b2


@triton.jit
def scan_kernel(p_x, p_sum, p_state, R: tl.constexpr, C: tl.constexpr, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    o = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    x = tl.load(p_x + o)
    tl.store(p_sum + o, tl.cumsum(x, AXIS, reverse=REVERSE))
    _, state = tl.associative_scan((tl.full([R, C], 0.5, tl.float32), x), AXIS, first_order)
    tl.store(p_state + o, state)


@pytest.mark.parametrize("shape", [(1, 1), (4, 32), (32, 4)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_scans(shape, axis, reverse):
    x = torch.randint(-9, 9, shape).float()
    total, state = torch.empty(shape), torch.empty(shape)
    scan_kernel[(1,)](x, total, state, R=shape[0], C=shape[1], AXIS=axis, REVERSE=reverse)
    expected = x.flip(axis).cumsum(axis).flip(axis) if reverse else x.cumsum(axis)
    assert torch.equal(total, expected)
    running, h = [], torch.zeros(shape[1 - axis])
    for term in x.unbind(axis):
        h = 0.5 * h + term
        running.append(h)
    torch.testing.assert_close(state, torch.stack(running, axis))
