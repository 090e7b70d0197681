"""x @ weight.T inside kernels, on dense and packed weights; what `linear` and `swiglu` are made of.

Two forms of one product. `rows_product` is for a few rows of x: weights stream past once, straight into an
f32 accumulator as wide as a step, which is summed once after the loop. `tile_product` is for many rows: tiles
of weights are decoded to the type of x and go through `tl.dot`.

p_x: [T, K] contiguous. p_weight: [N, K], or the blocks of one; p_halves: the same memory as f16 (packed
weights). o_t, m_t: rows of x and which exist; o_n, m_n: rows of the weight and which exist (int64).
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import triton
import triton.language as tl

from kernels.blocks import decode_blocks
from kernels.targets import Target


class MatmulMeta(NamedTuple):
    """Tile sizes of both forms."""

    few_rows: int  # up to so many rows of x use rows_product
    row_t: int  # rows of x a program of rows_product holds, at most
    row_n: int  # rows of the weight it walks at once, at most
    row_k: int  # dense weights: columns a step (packed: 16 lanes, two weights a lane)
    row_tile: int  # f32 accumulators it may hold: bounds row_t * row_n * row_k
    tile_m: int
    tile_n: int
    tile_k: int
    num_warps: int
    num_stages: int


class RowTile(NamedTuple):
    block_t: int
    block_n: int
    block_k: int


def row_tile(meta: MatmulMeta, rows: int, packed: bool) -> RowTile:
    """The tile of rows_product for so many rows of x: the fewer, the more rows of the weight fit."""
    block_k = 16 if packed else meta.row_k
    block_t = min(triton.next_power_of_2(rows), meta.row_t)
    block_n = max(1, min(meta.row_n, meta.row_tile // (block_t * block_k)))
    return RowTile(block_t, block_n, block_k)


@triton.jit
def rows_product(
    p_x, p_weight, p_halves, o_t, m_t, o_n, m_n, K,
    FORMAT: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """x[o_t] @ weight[o_n].T, [BLOCK_T, BLOCK_N] f32."""
    p_xt = p_x + o_t[:, None, None] * K  # [BLOCK_T, 1, 1]
    m_xt = m_t[:, None, None]
    b_acc = tl.zeros([BLOCK_T, BLOCK_N, BLOCK_K], dtype=tl.float32)
    if FORMAT == "dense":
        p_wn = p_weight + o_n[:, None] * K  # [BLOCK_N, 1]
        for k in range(0, K, BLOCK_K):
            o_k = k + tl.arange(0, BLOCK_K)
            m_k = o_k < K
            b_x = tl.load(p_xt + o_k[None, None, :], mask=m_xt & m_k[None, None, :], other=0.0)
            b_w = tl.load(
                p_wn + o_k[None, :], mask=m_n[:, None] & m_k[None, :], other=0.0
            )  # [BLOCK_N, BLOCK_K]
            b_acc += b_x.to(tl.float32) * b_w.to(tl.float32)[None, :, :]
    else:
        o_k = tl.arange(0, 16)
        n_blocks = K // 32
        for block in range(0, n_blocks):
            b_first, b_last = decode_blocks(
                p_weight, p_halves, (o_n * n_blocks + block)[:, None], m_n[:, None], o_k[None, :], FORMAT
            )  # [BLOCK_N, 16] twice
            p_xk = p_xt + block * 32 + o_k[None, None, :]  # [BLOCK_T, 1, 16]
            b_acc += tl.load(p_xk, mask=m_xt, other=0.0).to(tl.float32) * b_first[None, :, :]
            b_acc += tl.load(p_xk + 16, mask=m_xt, other=0.0).to(tl.float32) * b_last[None, :, :]
    return tl.sum(b_acc, axis=2)


@triton.jit
def tile_product(
    p_x, p_weight, p_halves, o_t, m_t, o_n, m_n, K,
    FORMAT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """x[o_t] @ weight[o_n].T, [BLOCK_M, BLOCK_N] f32. f32 activations multiply in full f32."""
    b_acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    if FORMAT == "dense":
        for k in range(0, K, BLOCK_K):
            o_k = k + tl.arange(0, BLOCK_K)
            m_k = (o_k < K)[None, :]
            b_x = tl.load(p_x + o_t[:, None] * K + o_k[None, :], mask=m_t[:, None] & m_k, other=0.0)
            b_w = tl.load(p_weight + o_n[:, None] * K + o_k[None, :], mask=m_n[:, None] & m_k, other=0.0)
            b_acc = tl.dot(b_x, tl.trans(b_w.to(b_x.dtype)), b_acc, input_precision="ieee")
    else:
        BLOCK_B: tl.constexpr = BLOCK_K // 32
        o_k = tl.arange(0, 16)[None, None, :]
        n_blocks = K // 32
        for block in range(0, n_blocks, BLOCK_B):
            o_b = (block + tl.arange(0, BLOCK_B))[None, :, None]  # [1, BLOCK_B, 1]
            m_b = o_b < n_blocks
            b_first, b_last = decode_blocks(
                p_weight, p_halves, o_n[:, None, None] * n_blocks + o_b, m_n[:, None, None] & m_b, o_k, FORMAT
            )  # [BLOCK_N, BLOCK_B, 16] twice
            p_xk = p_x + o_t[:, None, None] * K + o_b * 32 + o_k  # [BLOCK_M, BLOCK_B, 16]
            m_x = m_t[:, None, None] & m_b
            b_x = tl.reshape(tl.load(p_xk, mask=m_x, other=0.0), [BLOCK_M, BLOCK_B * 16])
            b_w = tl.reshape(b_first, [BLOCK_N, BLOCK_B * 16]).to(b_x.dtype)
            b_acc = tl.dot(b_x, tl.trans(b_w), b_acc, input_precision="ieee")
            b_x = tl.reshape(tl.load(p_xk + 16, mask=m_x, other=0.0), [BLOCK_M, BLOCK_B * 16])
            b_w = tl.reshape(b_last, [BLOCK_N, BLOCK_B * 16]).to(b_x.dtype)
            b_acc = tl.dot(b_x, tl.trans(b_w), b_acc, input_precision="ieee")
    return b_acc


META: dict[Target, MatmulMeta] = {
    "cpu": MatmulMeta(8, 4, 8, 16, 256, 128, 64, 64, 1, 1),
    "sm_80": MatmulMeta(0, 1, 1, 16, 16, 64, 64, 64, 4, 3),
    "sm_90": MatmulMeta(0, 1, 1, 16, 16, 64, 64, 64, 4, 3),
    "sm_100": MatmulMeta(0, 1, 1, 16, 16, 64, 64, 64, 4, 3),
    "gfx942": MatmulMeta(0, 1, 1, 16, 16, 64, 64, 64, 4, 2),
}
