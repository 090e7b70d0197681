"""What is prefetched in loops, and what is not."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def sum_listed_rows_kernel(p_table, p_list, p_out, COUNT, N: tl.constexpr):
    o_n = tl.arange(0, N)
    total = tl.zeros([N], dtype=tl.float32)
    for i in range(COUNT):
        row = tl.load(p_list + i).to(tl.int64)
        total += tl.load(p_table + row * N + o_n)
    tl.store(p_out + o_n, total)


@triton.jit
def sum_rows_kernel(p_table, p_out, COUNT, N: tl.constexpr):
    o_n = tl.arange(0, N)
    total = tl.zeros([N], dtype=tl.float32)
    for i in range(COUNT):
        total += tl.load(p_table + i * N + o_n)
    tl.store(p_out + o_n, total)


def test_the_list_is_not_read_behind_its_end():
    """Behind it stand rows that do not exist: to load them would end the process."""
    table = torch.randn(64, 32)
    for count in (0, 2, 15, 40):
        rows = torch.full((128,), 2**31 - 1, dtype=torch.int32)
        rows[:count] = torch.randint(0, 64, (count,))
        out = torch.empty(32)
        compiled = sum_listed_rows_kernel[(1,)](table, rows, out, count, N=32)
        torch.testing.assert_close(out, table[rows[:count].long()].sum(0), rtol=1e-5, atol=1e-5)
        assert "llvm.prefetch" in compiled.asm["llir"]


def test_rows_in_their_order_are_left_to_the_hardware():
    table, out = torch.randn(9, 32), torch.empty(32)
    compiled = sum_rows_kernel[(1,)](table, out, 9, N=32)
    torch.testing.assert_close(out, table.sum(0), rtol=1e-5, atol=1e-5)
    assert "llvm.prefetch" not in compiled.asm["llir"]


@triton.jit
def product_kernel(p_x, p_weight, p_out, K, M: tl.constexpr, N: tl.constexpr, BLOCK_K: tl.constexpr):
    o_m, o_n, o_k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, BLOCK_K)
    total = tl.zeros([M, N], dtype=tl.float32)
    for k in range(0, K, BLOCK_K):
        x = tl.load(p_x + o_m[:, None] * K + k + o_k[None, :])
        weight = tl.load(p_weight + o_n[:, None] * K + k + o_k[None, :])
        total = tl.dot(x, tl.trans(weight), total, input_precision="ieee")
    tl.store(p_out + o_m[:, None] * N + o_n[None, :], total)


@pytest.mark.parametrize(("m", "n", "block_k"), [(4, 16, 16), (32, 64, 64), (256, 16, 32), (8, 32, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_dot_in_a_loop_prefetches_the_next_tile(m: int, n: int, block_k: int, dtype: torch.dtype):
    x, weight, out = torch.randn(m, 128).to(dtype), torch.randn(n, 128).to(dtype), torch.empty(m, n)
    compiled = product_kernel[(1,)](x, weight, out, 128, M=m, N=n, BLOCK_K=block_k)
    torch.testing.assert_close(out, x.float() @ weight.float().T, rtol=1e-4, atol=1e-4)
    assert "llvm.prefetch" in compiled.asm["llir"]
