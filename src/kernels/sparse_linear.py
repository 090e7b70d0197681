"""sparse_linear: out = x @ weight, for an x that is mostly zero and a weight whose rows are inputs.

    out[t, n] = sum over f of x[t, f] * weight[f, n]

A squared ReLU leaves most of x zero. Few rows of x (decode) walk only the rows of the weight that some row of x
needs: one launch lists the inputs that are not zero everywhere, the next one reads the weight's rows on that list,
and no others. Many rows (prefill) need nearly all of the weight, and use tiles. Sums are f32.

Source: the second half of RWKV-7's channel mix, arXiv 2503.14456.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.blocks import load_or_zero
from kernels.checks import ACTIVATIONS, check_tensor
from kernels.packed import BlockFormat, PackedColumns, WeightFormat
from kernels.targets import Target, target_of


class SparseMeta(NamedTuple):
    few_rows: int  # up to so many rows of x walk a list
    block_f: int  # inputs looked at in a step, when they are listed
    row_m: int  # rows of x a program of the walk holds, at most
    row_n: int  # columns it owns, at most
    row_tile: int  # f32 accumulators it may hold: bounds row_m * row_n
    rows_at_once: int  # rows of the weight it loads before it needs the first
    tile_m: int
    tile_n: int
    tile_k: int
    num_warps: int
    num_stages: int


# The CPU's are measured (docs/kernels.md). Those of GPUs compile, but have never run on one.
META: dict[Target, SparseMeta] = {
    "cpu": SparseMeta(8, 256, 8, 128, 256, 1, 256, 64, 64, 1, 1),
    "cpu_256": SparseMeta(8, 256, 8, 128, 256, 1, 256, 64, 64, 1, 1),
    "sm_80": SparseMeta(4, 1024, 4, 64, 256, 8, 64, 64, 64, 4, 3),
    "sm_90": SparseMeta(4, 1024, 4, 64, 256, 8, 64, 64, 64, 4, 3),
    "sm_100": SparseMeta(4, 1024, 4, 64, 256, 8, 64, 64, 64, 4, 3),
    "gfx942": SparseMeta(4, 1024, 4, 64, 256, 8, 64, 64, 64, 4, 2),
}


@triton.jit(do_not_specialize=["T"])
def nonzero_kernel(p_x, p_scratch, T, F, BLOCK_F: tl.constexpr):
    """scratch[0] = number of inputs that are not zero in every row of x; behind it those inputs, ascending."""
    count = 0
    for f in range(0, F, BLOCK_F):
        o_f = f + tl.arange(0, BLOCK_F)
        b_used = tl.zeros([BLOCK_F], dtype=tl.int32)
        for t in range(T):
            b_x = tl.load(p_x + t * F + o_f, mask=o_f < F, other=0.0)
            b_used |= (b_x != 0).to(tl.int32)
        b_place = count + tl.cumsum(b_used, axis=0)
        tl.store(p_scratch + b_place, o_f, mask=b_used > 0)
        count += tl.sum(b_used, axis=0)
    tl.store(p_scratch, count)


@triton.jit
def load_weight(p_weight, p_scales, o_f, o_n, m, N):
    """weight[o_f, o_n] in f32."""
    b_w = load_or_zero(p_weight + o_f * N + o_n, m).to(tl.float32)
    if p_scales is not None:
        b_w *= load_or_zero(p_scales + (o_f // 32) * N + o_n, m).to(tl.float32)
    return b_w


@triton.jit(do_not_specialize=["T"])
def walk_kernel(
    p_x, p_weight, p_scales, p_scratch, p_out, T, F, N,
    EVEN_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_n = None if EVEN_N else o_n < N
    p_xt = p_x + tl.minimum(o_t, T - 1) * F  # [BLOCK_M]
    count = tl.load(p_scratch)
    b_acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for first in range(0, count, AT_ONCE):
        for i in tl.static_range(AT_ONCE):
            if AT_ONCE == 1:
                i_f = tl.load(p_scratch + 1 + first).to(tl.int64)
                b_x = tl.load(p_xt + i_f).to(tl.float32)
            else:  # behind the end of the list its last row is read again, and multiplied by zero
                i_f = tl.load(p_scratch + 1 + tl.minimum(first + i, count - 1)).to(tl.int64)
                b_x = tl.where(first + i < count, tl.load(p_xt + i_f).to(tl.float32), 0.0)
            b_acc += b_x[:, None] * load_weight(p_weight, p_scales, i_f, o_n, m_n, N)[None, :]
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_acc.to(p_out.dtype.element_ty), mask=(o_t < T)[:, None] & (o_n < N)[None, :])


@triton.jit(do_not_specialize=["T"])
def tile_kernel(
    p_x, p_weight, p_scales, p_out, T, F, N,
    EVEN_F: tl.constexpr, EVEN_N: tl.constexpr, FULL: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    o_k = tl.arange(0, BLOCK_K)
    p_xt = p_x + (tl.minimum(o_t, T - 1) * F)[:, None]
    b_acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for f in range(0, F, BLOCK_K):
        o_f = f + o_k
        m_x = None if EVEN_F else (o_f < F)[None, :]
        m_w = None if EVEN_F and EVEN_N else (o_f < F)[:, None] & (o_n < N)[None, :]
        b_x = load_or_zero(p_xt + o_f[None, :], m_x)  # [BLOCK_M, BLOCK_K]
        b_w = load_weight(p_weight, p_scales, o_f[:, None].to(tl.int64), o_n[None, :], m_w, N)  # [BLOCK_K, BLOCK_N]
        if FULL:
            b_acc = tl.dot(b_x.to(tl.float32), b_w, b_acc, input_precision="ieee")
        else:
            b_acc = tl.dot(b_x, b_w.to(b_x.dtype), b_acc, input_precision="ieee")
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_acc.to(p_out.dtype.element_ty), mask=(o_t < T)[:, None] & (o_n < N)[None, :])


def sparse_linear(
    x: Tensor, weight: Tensor | PackedColumns, scratch: Tensor, out: Tensor, invariant: bool = False
) -> Tensor:
    """x act [T, F], weight act [F, N] or packed columns, scratch i32 [F + 1] (overwritten); out [T, N], f32 or
    act. Returns out.

    Where few rows of x are all zero in an input, that row of the weight is not read, not even if it holds NaN.
    Many rows multiply in the type of x, as in `linear`. invariant: in f32, which on a CPU adds up a row as the walk
    does (see `kernels.ops.load_ops`). Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    check_tensor("scratch", scratch, (torch.int32,), (x.shape[1] + 1,), x.device)
    meta = META[target_of(x.device)]
    if x.shape[0] > meta.few_rows:
        return multiply_tiles(x, weight, out, meta, invariant)
    return walk_nonzero(x, weight, scratch, out, meta)


def walk_nonzero(x: Tensor, weight: Tensor | PackedColumns, scratch: Tensor, out: Tensor, meta: SparseMeta) -> Tensor:
    """The form for few rows."""
    T, F = x.shape
    data, scales, N = _check(x, weight, out)
    nonzero_kernel[(1,)](x, scratch, T, F, meta.block_f, num_warps=meta.num_warps)
    block_m = min(triton.next_power_of_2(T), meta.row_m)
    block_n = min(meta.row_n, meta.row_tile // block_m)
    grid = triton.cdiv(T, block_m), triton.cdiv(N, block_n)
    walk_kernel[grid](
        x, data, scales, scratch, out, T, F, N, N % block_n == 0, block_m, block_n, meta.rows_at_once,
        num_warps=meta.num_warps,
    )  # fmt: skip
    return out


def multiply_tiles(
    x: Tensor, weight: Tensor | PackedColumns, out: Tensor, meta: SparseMeta, full: bool = False
) -> Tensor:
    """The form for many rows. full: multiplies in f32 whatever the types are."""
    T, F = x.shape
    data, scales, N = _check(x, weight, out)
    block_m = max(16, min(triton.next_power_of_2(T), meta.tile_m))
    grid = triton.cdiv(T, block_m), triton.cdiv(N, meta.tile_n)
    tile_kernel[grid](
        x, data, scales, out, T, F, N, F % meta.tile_k == 0, N % meta.tile_n == 0, full, block_m, meta.tile_n,
        meta.tile_k,
        num_warps=meta.num_warps, num_stages=meta.num_stages,
    )  # fmt: skip
    return out


def _check(x: Tensor, weight: Tensor | PackedColumns, out: Tensor) -> tuple[Tensor, Tensor | None, int]:
    """The weight as the kernels take it, and its width."""
    T, F = x.shape
    N = weight.shape[1]
    check_tensor("out", out, (torch.float32, x.dtype), (T, N), x.device)
    if isinstance(weight, Tensor):
        check_tensor("weight", weight, ACTIVATIONS, (F, N), x.device)
        return weight, None, N
    check_tensor("weight", weight.quants, (torch.int8,), (F, N), x.device)
    return weight.quants, weight.scales, N


def bytes_moved(
    tokens: int, inputs: int, columns: int, used: int, weight_format: WeightFormat, act: torch.dtype, out: torch.dtype
) -> int:
    """x [tokens, inputs] read, `used` rows of the weight [inputs, columns] read, out written. Q8_0 (packed columns)
    reads a scale for each column once in every 32 inputs, or once for each row where rows are further apart."""
    activations = tokens * (inputs * act.itemsize + columns * out.itemsize)
    if isinstance(weight_format, BlockFormat):
        return activations + used * columns + min(used, inputs // 32) * columns * 2
    return activations + used * columns * weight_format.itemsize


def flops(tokens: int, columns: int, used: int) -> int:
    """A multiply and an add for each of the `used` inputs."""
    return 2 * tokens * columns * used
