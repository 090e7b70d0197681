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
from kernels.matmul import META, choose_tile, product, weight_rows
from kernels.packed import Weight, WeightFormat, weight_bytes
from kernels.targets import target_of


@triton.jit(do_not_specialize=["T"])
def swiglu_kernel(
    p_x, p_gate, p_up, p_out, T, N, K,
    GATE_FORMAT: tl.constexpr, UP_FORMAT: tl.constexpr, FORM: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = weight_rows(FORM, BLOCK_N)
    o_x = tl.minimum(o_t, T - 1)
    o_w = tl.minimum(o_n, N - 1)
    b_gate = product(
        p_x, p_gate, o_x, o_w, K, GATE_FORMAT, FORM, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K
    )  # [BLOCK_M, BLOCK_N]
    b_up = product(p_x, p_up, o_x, o_w, K, UP_FORMAT, FORM, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K)  # [BLOCK_M, BLOCK_N]
    b_out = b_gate * tl.sigmoid(b_gate) * b_up
    p_tile = p_out + o_t[:, None] * N + o_n[None, :]
    tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=(o_t < T)[:, None] & (o_n < N)[None, :])


def swiglu(x: Tensor, gate: Weight, up: Weight, out: Tensor, invariant: bool = False) -> Tensor:
    """x act [T, D], gate and up [F, D] dense or packed; out act [T, F]. Returns out.

    invariant: see `kernels.ops.load_ops`. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, D = x.shape
    F = gate.shape[0]
    gate_data, gate_format = check_weight("gate", gate, (None, D), x.device)
    up_data, up_format = check_weight("up", up, (F, D), x.device)
    check_tensor("out", out, (x.dtype,), (T, F), x.device)
    meta = META[target_of(x.device)]
    tile = choose_tile(meta, x, packed="dense" not in (gate_format, up_format), invariant=invariant)
    swiglu_kernel[tile.grid(T, F)](
        x, gate_data, up_data, out, T, F, D, gate_format, up_format, *tile,
        num_warps=meta.num_warps, num_stages=meta.num_stages,
    )  # fmt: skip
    return out


def bytes_moved(tokens: int, columns: int, rows: int, weight_format: WeightFormat, act: torch.dtype) -> int:
    """x [tokens, columns] and both weights [rows, columns] read once, out [tokens, rows] written once."""
    return tokens * (columns + rows) * act.itemsize + 2 * weight_bytes(rows, columns, weight_format)


def flops(tokens: int, columns: int, rows: int) -> int:
    """Two products; the activation's handful of operations an element is left out."""
    return 4 * tokens * columns * rows
