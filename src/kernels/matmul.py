"""x @ weight.T inside kernels, on dense and packed weights; what `linear` and `swiglu` are made of.

Two forms of one product. `rows_product` is for a few rows of x: weights stream past once, straight into an
f32 accumulator as wide as a step, which is summed once after the loop. `tile_product` is for many rows: tiles
of weights are decoded to the type of x and go through `tl.dot`; `thin_product` is the same for up to 16 rows of f32.

p_x: [T, K] contiguous. p_weight: [N, K], or the blocks of one. o_t: rows of x; o_n: rows of the weight
(int64). All of them exist: a caller repeats the last row where its tile is larger than the matrix, so that no
load needs a mask. EVEN_K: K is a multiple of the step, of two steps of rows_product.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from kernels.blocks import block_bytes, decode_blocks, decode_turned, load_or_zero
from kernels.targets import Target, has_bf16_tiles


class MatmulMeta(NamedTuple):
    """Tile sizes of both forms."""

    few_rows: int  # up to so many rows of x use rows_product
    row_m: int  # rows of x a program of rows_product holds, at most (packed: twice as many share the decoding)
    row_n: int  # rows of the weight it walks at once, at most
    row_k: int  # dense weights: columns a step (packed: 16 lanes, two weights a lane)
    row_tile: int  # f32 accumulators it may hold: bounds row_m * row_n * row_k
    packed_tile: int  # the same for packed weights and an x of 16 bits, which more of their rows share once it is f32
    turned: bool  # packed weights of tile_product are decoded as columns: where words may lie at any address
    tile_m: int
    tile_n: int
    thin_n: int  # tile_n for up to 32 rows of x: tiles take less time, and more of them spread better
    tile_k: int
    num_warps: int
    num_stages: int


class Tile(NamedTuple):
    """The constexpr arguments of one product."""

    form: str  # "rows", or "tiles", or "turned" tiles, or "widened" ones: turned, and multiplied in f32
    even_k: bool
    block_m: int
    block_n: int
    block_k: int

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Programs of an output [rows, columns]. Those on one tile of the weight are neighbours."""
        return triton.cdiv(rows, self.block_m), triton.cdiv(columns, self.block_n)


def is_even(form: str, depth: int, block_k: int) -> bool:
    """EVEN_K of a product over `depth` columns."""
    return depth % (2 * block_k if form == "rows" else block_k) == 0


def choose_tile(meta: MatmulMeta, x: Tensor, packed: bool, invariant: bool) -> Tile:
    """The form and the tile for x [T, K]. invariant: the form for few rows, however many there are. (In no form does a
    row's result depend on the tile, but "widened" is for up to 32 rows.)"""
    rows, depth = x.shape
    if rows > meta.few_rows and not invariant:
        block_m = max(16, min(triton.next_power_of_2(rows), meta.tile_m))
        form = "turned" if meta.turned else "tiles"
        if meta.turned and x.itemsize == 2 and block_m <= 32 and not has_bf16_tiles():
            # To decode weights is a large part of a product of few rows, and rounding them to x's type another, which
            # pays where the type's products are much faster.
            form = "widened"
        block_n = meta.thin_n if block_m <= 32 else meta.tile_n
        return Tile(form, is_even(form, depth, meta.tile_k), block_m, block_n, meta.tile_k)
    block_k = 16 if packed else meta.row_k
    block_m = min(triton.next_power_of_2(rows), meta.row_m * (2 if packed else 1))
    accumulators = meta.packed_tile if packed and x.itemsize == 2 else meta.row_tile
    block_n = max(1, min(meta.row_n, accumulators // (block_m * block_k)))
    return Tile("rows", is_even("rows", depth, block_k), block_m, block_n, block_k)


@triton.jit
def weight_rows(FORM: tl.constexpr, BLOCK_N: tl.constexpr):
    """Rows of the weight of this program, int64.

    Few rows of x: rows far apart, so that programs that run one after the other read BLOCK_N long streams.
    (Short streams, side by side, defeat the prefetchers of CPUs.)
    """
    i_n = tl.program_id(1).to(tl.int64)
    if FORM == "rows":
        return i_n + tl.arange(0, BLOCK_N) * tl.num_programs(1)
    else:
        return i_n * BLOCK_N + tl.arange(0, BLOCK_N)


@triton.jit
def rows_product(
    p_x, p_weight, o_t, o_n, K,
    FORMAT: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """x[o_t] @ weight[o_n].T, [BLOCK_M, BLOCK_N] f32."""
    p_xt = p_x + o_t[:, None, None] * K  # [BLOCK_M, 1, 1]
    LANES: tl.constexpr = BLOCK_K if FORMAT == "dense" else 16  # in swiglu, one weight may be dense and one packed
    b_acc = tl.zeros([BLOCK_M, BLOCK_N, LANES], dtype=tl.float32)
    BF16: tl.constexpr = p_x.dtype.element_ty == tl.bfloat16 and p_weight.dtype.element_ty == tl.bfloat16
    if FORMAT == "dense" and BF16 and EVEN_K:
        # Read in pairs, as words: to make two f32 of one takes an operation each. Sums may take them in any order.
        o_k = tl.arange(0, BLOCK_K)
        p_xw = p_xt.to(tl.pointer_type(tl.int32), bitcast=True)
        p_ww = (p_weight + o_n * K).to(tl.pointer_type(tl.int32), bitcast=True)[:, None]
        for k in range(0, K // 2, BLOCK_K):
            b_x = tl.load(p_xw + k + o_k[None, None, :])
            b_w = tl.load(p_ww + k + o_k[None, :])[None, :, :]
            b_acc += (b_x << 16).to(tl.float32, bitcast=True) * (b_w << 16).to(tl.float32, bitcast=True)
            b_acc += (b_x & -65536).to(tl.float32, bitcast=True) * (b_w & -65536).to(tl.float32, bitcast=True)
    elif FORMAT == "dense":
        o_k = tl.arange(0, BLOCK_K)
        for k in range(0, K, BLOCK_K):
            m_k = k + o_k < K
            b_x = load_or_zero(p_xt + k + o_k[None, None, :], None if EVEN_K else m_k[None, None, :])
            p_w = p_weight + (o_n * K + k)[:, None] + o_k[None, :]  # [BLOCK_N, BLOCK_K]
            b_w = load_or_zero(p_w, None if EVEN_K else m_k[None, :])
            b_acc += b_x.to(tl.float32) * b_w.to(tl.float32)[None, :, :]
    else:
        o_k = tl.arange(0, LANES)
        BLOCK_BYTES: tl.constexpr = block_bytes(FORMAT)
        p_row = (p_weight + o_n * (K // 32 * BLOCK_BYTES))[:, None]  # [BLOCK_N, 1]
        for block in range(0, K // 32):
            for half in tl.static_range(2):
                b_x = tl.load(p_xt + (block * 32 + half * 16) + o_k[None, None, :])  # [BLOCK_M, 1, 16]
                b_w = decode_blocks(p_row + block * BLOCK_BYTES, None, half, o_k[None, :], FORMAT)
                b_acc += b_x.to(tl.float32) * b_w[None, :, :]
    return tl.sum(b_acc, axis=2)


@triton.jit
def tile_product(
    p_x, p_weight, o_t, o_n, K,
    FORMAT: tl.constexpr, FORM: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """x[o_t] @ weight[o_n].T, [BLOCK_M, BLOCK_N] f32. f32 activations multiply in full f32.

    FORM "turned": packed weights are decoded to [BLOCK_K, BLOCK_N] at once; "widened": and multiply in f32.
    """
    b_acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    o_k = tl.arange(0, BLOCK_K)
    for k in range(0, K, BLOCK_K):
        m_k = None if EVEN_K else (k + o_k < K)[None, :]
        b_x = load_or_zero(p_x + o_t[:, None] * K + k + o_k[None, :], m_k)  # [BLOCK_M, BLOCK_K]
        if FORMAT == "dense":
            b_w = load_or_zero(p_weight + o_n[:, None] * K + k + o_k[None, :], m_k)  # [BLOCK_N, BLOCK_K]
            b_w = tl.trans(b_w.to(b_x.dtype))
        elif FORM != "tiles":
            # Behind the last block x is zero.
            o_b = tl.minimum(k // 32 + tl.arange(0, BLOCK_K // 32), K // 32 - 1)[:, None]
            p_block = p_weight + (o_n[None, :] * (K // 32) + o_b) * block_bytes(FORMAT)
            b_w = decode_turned(p_block, FORMAT, BLOCK_K // 32)
            if FORM == "widened":
                b_x = b_x.to(tl.float32)
            b_w = b_w.to(b_x.dtype)
        else:
            o_b = k // 32 + tl.arange(0, BLOCK_K // 32)[None, :, None, None]
            o_half = tl.arange(0, 2)[None, None, :, None]
            o_lane = tl.arange(0, 16)[None, None, None, :]
            p_block = p_weight + (o_n[:, None, None, None] * (K // 32) + o_b) * block_bytes(FORMAT)
            b_w = decode_blocks(p_block, None if EVEN_K else o_b < K // 32, o_half, o_lane, FORMAT)
            b_w = tl.trans(tl.reshape(b_w, [BLOCK_N, BLOCK_K]).to(b_x.dtype))
        b_acc = tl.dot(b_x, b_w, b_acc, input_precision="ieee")
    return b_acc


@triton.jit
def thin_product(
    p_x, p_weight, o_t, o_n, K, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """tile_product of dense weights, bit for bit, as weight[o_n] @ x[o_t].T: where the lanes of a vector are the few
    rows of x, it is x that is turned, and weights are read as they lie."""
    b_acc = tl.zeros([BLOCK_N, BLOCK_M], dtype=tl.float32)
    o_k = tl.arange(0, BLOCK_K)
    for k in range(0, K, BLOCK_K):
        m_k = None if EVEN_K else (k + o_k < K)[None, :]
        b_x = load_or_zero(p_x + o_t[:, None] * K + k + o_k[None, :], m_k)  # [BLOCK_M, BLOCK_K]
        b_w = load_or_zero(p_weight + o_n[:, None] * K + k + o_k[None, :], m_k)  # [BLOCK_N, BLOCK_K]
        b_acc = tl.dot(b_w.to(b_x.dtype), tl.trans(b_x), b_acc, input_precision="ieee")
    return tl.trans(b_acc)


@triton.jit
def product(
    p_x, p_weight, o_t, o_n, K, FORMAT: tl.constexpr, FORM: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """x[o_t] @ weight[o_n].T, [BLOCK_M, BLOCK_N] f32, in the form that was chosen."""
    if FORM == "rows":
        return rows_product(p_x, p_weight, o_t, o_n, K, FORMAT, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K)
    elif FORM == "turned" and FORMAT == "dense" and BLOCK_M == 16 and p_x.dtype.element_ty == tl.float32:
        return thin_product(p_x, p_weight, o_t, o_n, K, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K)
    else:
        return tile_product(p_x, p_weight, o_t, o_n, K, FORMAT, FORM, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K)


# The CPUs' are measured (two cores of Zen 5, of Emerald Rapids; cpu_256 of Zen 3). Those of GPUs compile, but have
# never run on one.
META: dict[Target, MatmulMeta] = {
    "cpu": MatmulMeta(8, 4, 8, 16, 256, 512, True, 256, 64, 32, 64, 1, 1),
    "cpu_256": MatmulMeta(8, 4, 4, 8, 64, 128, True, 256, 64, 32, 64, 1, 1),
    "sm_80": MatmulMeta(0, 1, 1, 16, 16, 16, False, 64, 64, 64, 64, 4, 3),
    "sm_90": MatmulMeta(0, 1, 1, 16, 16, 16, False, 64, 64, 64, 64, 4, 3),
    "sm_100": MatmulMeta(0, 1, 1, 16, 16, 16, False, 64, 64, 64, 64, 4, 3),
    "gfx942": MatmulMeta(0, 1, 1, 16, 16, 16, False, 64, 64, 64, 64, 4, 2),
}
