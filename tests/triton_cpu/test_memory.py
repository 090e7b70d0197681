"""Loads and stores: every shape of address and mask, and the order of memory effects."""

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32,
          torch.int64, torch.uint8, torch.bool]  # fmt: skip


@triton.jit
def copy_tile_kernel(
    p_in, p_out, rows, cols, in_row, in_col, out_row, out_col, other,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    o_r, o_c = tl.arange(0, R), tl.arange(0, C)
    m = (o_r[:, None] < rows) & (o_c[None, :] < cols)
    x = tl.load(p_in + o_r[:, None] * in_row + o_c[None, :] * in_col, mask=m, other=other)
    tl.store(p_out + o_r[:, None] * out_row + o_c[None, :] * out_col, x)


def random_tensor(shape, dtype):
    if dtype.is_floating_point:
        return torch.randn(shape).to(dtype)
    return torch.randint(0, 2 if dtype == torch.bool else 100, shape).to(dtype)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(0, 8), cols=st.integers(0, 32), dtype=st.sampled_from(DTYPES),
    in_order=st.sampled_from(["rows", "columns", "spaced"]), out_order=st.sampled_from(["rows", "columns", "spaced"]),
)  # fmt: skip
def test_tiles_of_any_layout(rows, cols, dtype, in_order, out_order):
    r, c = 8, 32

    def laid_out(order):
        if order == "rows":
            return random_tensor((r, c), dtype)
        if order == "columns":
            return random_tensor((c, r), dtype).t()
        return random_tensor((2 * r, 3 * c), dtype)[::2, ::3]

    x, out = laid_out(in_order), laid_out(out_order)
    guard = out._base.clone() if out._base is not None else None
    copy_tile_kernel[(1,)](x, out, rows, cols, *x.stride(), *out.stride(), 1, R=r, C=c)
    expected = torch.ones_like(x)
    expected[:rows, :cols] = x[:rows, :cols]
    assert torch.equal(out, expected)
    if out_order == "spaced":
        guard[::2, ::3] = expected
        assert torch.equal(out._base, guard)


@triton.jit
def masked_store_kernel(p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    tl.store(p_out + o, o + 1, mask=o < n)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_stores_touch_nothing_else(n, dtype):
    out = torch.zeros(64, dtype=dtype)
    masked_store_kernel[(1,)](out, n, BLOCK=64)
    expected = torch.zeros(64, dtype=dtype)
    expected[:n] = torch.arange(1, n + 1).to(dtype)
    assert torch.equal(out, expected)


@triton.jit
def gather_kernel(p_table, p_index, p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    index = tl.load(p_index + o, mask=o < n, other=0)
    tl.store(p_out + index, tl.load(p_table + index, mask=o < n, other=0), mask=o < n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_and_scatter(dtype):
    table, index = random_tensor((100,), dtype), torch.randperm(100)[:50]
    out = torch.zeros(100, dtype=dtype)
    gather_kernel[(1,)](table, index, out, 50, BLOCK=64)
    expected = torch.zeros(100, dtype=dtype)
    expected[index] = table[index]
    assert torch.equal(out, expected)


@triton.jit
def shift_in_place_kernel(p_x, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    tl.store(p_x + 1 + o, tl.load(p_x + o))


@triton.jit
def reverse_in_place_kernel(p_x, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    tl.store(p_x + BLOCK - 1 - o, tl.load(p_x + o))


def test_a_tile_is_loaded_whole_before_an_overlapping_store():
    x = torch.arange(65.0)
    shift_in_place_kernel[(1,)](x, BLOCK=64)
    assert torch.equal(x, torch.cat([torch.zeros(1), torch.arange(64.0)]))
    x = torch.arange(1024.0)
    reverse_in_place_kernel[(1,)](x, BLOCK=1024)
    assert torch.equal(x, torch.arange(1024.0).flip(0))


@triton.jit
def load_store_load_kernel(p_x, p_y, p_out, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    before = tl.load(p_x + o)
    tl.store(p_y + o, before + 1)
    after = tl.load(p_x + o)
    tl.store(p_out + o, before * 100 + after)


@pytest.mark.parametrize("alias", [False, True])
def test_loads_see_memory_as_of_their_place_in_the_program(alias):
    x = torch.arange(256.0)
    y = x if alias else torch.empty(256)
    out = torch.empty(256)
    load_store_load_kernel[(1,)](x, y, out, BLOCK=256)
    old = torch.arange(256.0)
    assert torch.equal(out, old * 100 + (old + 1 if alias else old))


@triton.jit
def prefix_loop_kernel(p_x, p_out, n, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    first = tl.load(p_x + o)
    for i in range(n):
        tl.store(p_x + o, first + i)
    tl.store(p_out + o, first + tl.load(p_x + o))


def test_a_value_loaded_before_a_loop_survives_stores_in_it():
    x = torch.arange(64.0)
    out = torch.empty(64)
    prefix_loop_kernel[(1,)](x, out, 4, BLOCK=64)
    assert torch.equal(out, torch.arange(64.0) * 2 + 3)


@triton.jit
def scalar_kernel(p_x, p_out, n):
    total = 0.0
    for i in range(n):
        total += tl.load(p_x + i)
    tl.store(p_out, total, mask=n > 2)


def test_scalar_loads_and_masked_scalar_stores():
    x, out = torch.arange(10.0), torch.full((1,), -1.0)
    scalar_kernel[(1,)](x, out, 2)
    assert out.item() == -1
    scalar_kernel[(1,)](x, out, 10)
    assert out.item() == 45


@triton.jit
def pointer_table_kernel(p_table, p_out, BLOCK: tl.constexpr):
    p_x = tl.load(p_table + tl.program_id(0)).to(tl.pointer_type(tl.float32))
    o = tl.arange(0, BLOCK)
    tl.store(p_out + tl.program_id(0) * BLOCK + o, tl.load(p_x + o))


def test_pointers_read_from_memory():
    tensors = [torch.randn(32) for _ in range(3)]
    table = torch.tensor([t.data_ptr() for t in tensors])
    out = torch.empty(3, 32)
    pointer_table_kernel[(3,)](table, out, BLOCK=32)
    assert torch.equal(out, torch.stack(tensors))


@triton.jit
def atomic_kernel(p_total, p_count, p_x, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(p_total + o % 3, tl.load(p_x + o, mask=o < n, other=0.0), mask=o < n)
    tl.atomic_max(p_count, tl.program_id(0))


def test_atomics():
    x = torch.randint(0, 50, (1000,)).float()
    totals, highest = torch.zeros(3), torch.zeros(1, dtype=torch.int32)
    atomic_kernel[(16,)](totals, highest, x, 1000, BLOCK=64)
    assert torch.equal(totals, torch.stack([x[i::3].sum() for i in range(3)]))
    assert highest.item() == 15
