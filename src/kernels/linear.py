"""linear: out = activation(x @ weight.T + bias), on dense weights and directly on GGUF blocks.

    out[t, n] = activation(sum over k of x[t, k] * weight[n, k] + bias[n])
    relu_squared(z) = max(z, 0)^2

Sums and the activation are f32. Few rows of x (decode) stream the weights once through `rows_product`; many
rows (prefill) use tiles.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor, check_weight
from kernels.matmul import META, choose_tile, product, weight_rows
from kernels.packed import Weight, WeightFormat, weight_bytes
from kernels.targets import target_of


@triton.jit(do_not_specialize=["T"])
def linear_kernel(
    p_x, p_weight, p_bias, p_out, T, N, K,
    FORMAT: tl.constexpr, ACTIVATION: tl.constexpr, FORM: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = weight_rows(FORM, BLOCK_N)
    m_n = o_n < N
    b_out = product(
        p_x, p_weight, tl.minimum(o_t, T - 1), tl.minimum(o_n, N - 1), K,
        FORMAT, FORM, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # [BLOCK_M, BLOCK_N]  # fmt: skip
    if p_bias is not None:
        b_out += tl.load(p_bias + o_n, mask=m_n, other=0.0).to(tl.float32)[None, :]
    if ACTIVATION == "relu_squared":
        b_out = tl.maximum(b_out, 0.0)
        b_out *= b_out
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=(o_t < T)[:, None] & m_n[None, :])


def linear(
    x: Tensor, weight: Weight, out: Tensor, bias: Tensor | None = None,
    activation: Literal["none", "relu_squared"] = "none", invariant: bool = False,
) -> Tensor:  # fmt: skip
    """x act [T, K], weight [N, K] dense or packed, bias [N] or None; out [T, N], f32 or act. Returns out.

    Many rows multiply in the type of x: weights are rounded to it (f32 activations keep everything f32; so do packed
    weights for up to 32 rows, where they are decoded as columns). invariant: see `kernels.ops.load_ops`.
    Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, K = x.shape
    data, weight_format = check_weight("weight", weight, (None, K), x.device)
    N = weight.shape[0]
    check_tensor("out", out, (torch.float32, x.dtype), (T, N), x.device)
    if bias is not None:
        check_tensor("bias", bias, ACTIVATIONS, (N,), x.device)
    if activation not in ("none", "relu_squared"):
        raise ValueError(f"activation: must be none or relu_squared, is {activation}")
    meta = META[target_of(x.device)]
    tile = choose_tile(meta, x, packed=weight_format != "dense", invariant=invariant)
    linear_kernel[tile.grid(T, N)](
        x, data, bias, out, T, N, K, weight_format, activation, *tile,
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
    """The product; bias and activation, a handful of operations an element, are left out."""
    return 2 * tokens * columns * rows
