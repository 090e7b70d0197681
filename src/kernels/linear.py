"""linear: out = x @ weight.T + bias, on dense weights and directly on GGUF blocks.

    out[t, n] = sum over k of x[t, k] * weight[n, k] + bias[n]

Sums are f32. Few rows of x (decode) stream the weights once through `rows_product`; many rows (prefill) use
tiles.
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
def store_rows(p_out, p_bias, b_acc, o_t, m_t, o_n, m_n, N):
    """out[o_t, o_n] = b_acc + bias[o_n]."""
    if p_bias is not None:
        b_acc += tl.load(p_bias + o_n, mask=m_n, other=0.0).to(tl.float32)[None, :]
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_acc.to(p_out.dtype.element_ty), mask=m_t[:, None] & m_n[None, :])


@triton.jit(do_not_specialize=["T"])
def linear_rows_kernel(
    p_x, p_weight, p_halves, p_bias, p_out, T, N, K,
    FORMAT: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    o_n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_t = o_t < T
    m_n = o_n < N
    b_acc = rows_product(
        p_x, p_weight, p_halves, o_t, m_t, o_n, m_n, K, FORMAT, BLOCK_T, BLOCK_N, BLOCK_K
    )  # [BLOCK_T, BLOCK_N]
    store_rows(p_out, p_bias, b_acc, o_t, m_t, o_n, m_n, N)


@triton.jit(do_not_specialize=["T"])
def linear_tiles_kernel(
    p_x, p_weight, p_halves, p_bias, p_out, T, N, K,
    FORMAT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_t = o_t < T
    m_n = o_n < N
    b_acc = tile_product(
        p_x, p_weight, p_halves, o_t, m_t, o_n, m_n, K, FORMAT, BLOCK_M, BLOCK_N, BLOCK_K
    )  # [BLOCK_M, BLOCK_N]
    store_rows(p_out, p_bias, b_acc, o_t, m_t, o_n, m_n, N)


def linear(x: Tensor, weight: Weight, out: Tensor, bias: Tensor | None = None) -> Tensor:
    """x act [T, K], weight [N, K] dense or packed, bias [N] or None; out [T, N], f32 or act. Returns out.

    Many rows multiply in the type of x: weights are rounded to it (f32 activations keep everything f32).
    Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, K = x.shape
    data, halves, weight_format = check_weight("weight", weight, (None, K), x.device)
    N = weight.shape[0]
    check_tensor("out", out, (torch.float32, x.dtype), (T, N), x.device)
    if bias is not None:
        check_tensor("bias", bias, ACTIVATIONS, (N,), x.device)
    meta = META[target_of(x.device)]
    if meta.few_rows >= T:
        tile = row_tile(meta, T, packed=weight_format != "dense")
        grid = (triton.cdiv(T, tile.block_t), triton.cdiv(N, tile.block_n))
        linear_rows_kernel[grid](
            x, data, halves, bias, out, T, N, K, weight_format, *tile, num_warps=meta.num_warps
        )  # fmt: skip
    else:
        grid = (triton.cdiv(T, meta.tile_m), triton.cdiv(N, meta.tile_n))
        linear_tiles_kernel[grid](
            x, data, halves, bias, out, T, N, K, weight_format, meta.tile_m, meta.tile_n, meta.tile_k,
            num_warps=meta.num_warps, num_stages=meta.num_stages,
        )  # fmt: skip
    return out


def bytes_moved(
    tokens: int, columns: int, rows: int, weight_format: WeightFormat, act: torch.dtype, out: torch.dtype
) -> int:
    """x [tokens, columns] and the weight [rows, columns] read once, out [tokens, rows] written once."""
    activations = tokens * columns * act.itemsize + tokens * rows * out.itemsize
    return activations + weight_bytes(rows, columns, weight_format)


def flops(tokens: int, columns: int, rows: int) -> int:
    return 2 * tokens * columns * rows
