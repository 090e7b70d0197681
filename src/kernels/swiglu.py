"""swiglu: gate and up projections, activation and product of a gated MLP in one kernel.

    out = silu(x @ gate.T) * (x @ up.T),    silu(z) = z / (1 + exp(-z))

Source: Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202. Sums and activation are f32; both
projections stay on chip. The forms for few and for many rows are those of `linear`.
"""

# mypy: disable-error-code="no-untyped-def"

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor, check_weight
from kernels.matmul import META, row_tile, rows_product, tile_product
from kernels.packed import Weight, WeightFormat, weight_bytes
from kernels.targets import target_of


@triton.jit
def store_gated(p_out, b_gate, b_up, o_t, m_t, o_n, m_n, N):
    """out[o_t, o_n] = silu(b_gate) * b_up."""
    b_out = b_gate * tl.sigmoid(b_gate) * b_up
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=m_t[:, None] & m_n[None, :])


@triton.jit(do_not_specialize=["T"])
def swiglu_rows_kernel(
    p_x, p_gate, p_gate_halves, p_up, p_up_halves, p_out, T, N, K,
    GATE_FORMAT: tl.constexpr, UP_FORMAT: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    o_n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_t = o_t < T
    m_n = o_n < N
    b_gate = rows_product(
        p_x, p_gate, p_gate_halves, o_t, m_t, o_n, m_n, K, GATE_FORMAT, BLOCK_T, BLOCK_N, BLOCK_K
    )  # [BLOCK_T, BLOCK_N]
    b_up = rows_product(
        p_x, p_up, p_up_halves, o_t, m_t, o_n, m_n, K, UP_FORMAT, BLOCK_T, BLOCK_N, BLOCK_K
    )  # [BLOCK_T, BLOCK_N]
    store_gated(p_out, b_gate, b_up, o_t, m_t, o_n, m_n, N)


@triton.jit(do_not_specialize=["T"])
def swiglu_tiles_kernel(
    p_x, p_gate, p_gate_halves, p_up, p_up_halves, p_out, T, N, K,
    GATE_FORMAT: tl.constexpr, UP_FORMAT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_t = o_t < T
    m_n = o_n < N
    b_gate = tile_product(
        p_x, p_gate, p_gate_halves, o_t, m_t, o_n, m_n, K, GATE_FORMAT, BLOCK_M, BLOCK_N, BLOCK_K
    )  # [BLOCK_M, BLOCK_N]
    b_up = tile_product(
        p_x, p_up, p_up_halves, o_t, m_t, o_n, m_n, K, UP_FORMAT, BLOCK_M, BLOCK_N, BLOCK_K
    )  # [BLOCK_M, BLOCK_N]
    store_gated(p_out, b_gate, b_up, o_t, m_t, o_n, m_n, N)


def swiglu(x: Tensor, gate: Weight, up: Weight, out: Tensor) -> Tensor:
    """x act [T, D], gate and up [F, D] dense or packed; out act [T, F]. Returns out.

    Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, D = x.shape
    F = gate.shape[0]
    gate_data, gate_halves, gate_format = check_weight("gate", gate, (None, D), x.device)
    up_data, up_halves, up_format = check_weight("up", up, (F, D), x.device)
    check_tensor("out", out, (x.dtype,), (T, F), x.device)
    meta = META[target_of(x.device)]
    if meta.few_rows >= T:
        tile = row_tile(meta, T, packed="dense" not in (gate_format, up_format))
        grid = (triton.cdiv(T, tile.block_t), triton.cdiv(F, tile.block_n))
        swiglu_rows_kernel[grid](
            x, gate_data, gate_halves, up_data, up_halves, out, T, F, D, gate_format, up_format, *tile,
            num_warps=meta.num_warps,
        )  # fmt: skip
    else:
        grid = (triton.cdiv(T, meta.tile_m), triton.cdiv(F, meta.tile_n))
        swiglu_tiles_kernel[grid](
            x, gate_data, gate_halves, up_data, up_halves, out, T, F, D, gate_format, up_format,
            meta.tile_m, meta.tile_n, meta.tile_k, num_warps=meta.num_warps, num_stages=meta.num_stages,
        )  # fmt: skip
    return out


def bytes_moved(tokens: int, columns: int, rows: int, weight_format: WeightFormat, act: torch.dtype) -> int:
    """x [tokens, columns] and both weights [rows, columns] read once, out [tokens, rows] written once."""
    return tokens * (columns + rows) * act.itemsize + 2 * weight_bytes(rows, columns, weight_format)


def flops(tokens: int, columns: int, rows: int) -> int:
    """Two products; the activation's handful of operations an element is left out."""
    return 4 * tokens * columns * rows
