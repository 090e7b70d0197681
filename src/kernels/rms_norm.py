"""add_rms_norm: RMSNorm, fused with the residual addition before it.

    h = residual + x  (in place; h = x without a residual)
    out = h / sqrt(mean(h^2) + eps) * weight

Source: Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv 1910.07467. The residual stream and
the sums are f32.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor
from kernels.targets import Target, target_of


class NormMeta(NamedTuple):
    block_d: int  # columns a step
    num_warps: int


META: dict[Target, NormMeta] = {
    "cpu": NormMeta(64, 1),
    "cpu_256": NormMeta(64, 1),
    "sm_80": NormMeta(1024, 4),
    "sm_90": NormMeta(1024, 4),
    "sm_100": NormMeta(1024, 4),
    "gfx942": NormMeta(1024, 4),
}


@triton.jit
def add_rms_norm_kernel(p_x, p_weight, p_out, p_residual, eps, D, BLOCK_D: tl.constexpr):
    i_t = tl.program_id(0).to(tl.int64)
    b_squares = tl.zeros([BLOCK_D], dtype=tl.float32)
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        m_d = o_d < D
        b_h = tl.load(p_x + i_t * D + o_d, mask=m_d, other=0.0).to(tl.float32)
        if p_residual is not None:
            b_h += tl.load(p_residual + i_t * D + o_d, mask=m_d, other=0.0)
        b_squares += b_h * b_h
    scale = 1.0 / tl.sqrt(tl.sum(b_squares, axis=0) / D + eps)
    # The sum is computed again, not read back: no thread has to see what another one stored.
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        m_d = o_d < D
        b_h = tl.load(p_x + i_t * D + o_d, mask=m_d, other=0.0).to(tl.float32)
        if p_residual is not None:
            b_h += tl.load(p_residual + i_t * D + o_d, mask=m_d, other=0.0)
            tl.store(p_residual + i_t * D + o_d, b_h, mask=m_d)
        b_out = b_h * scale * tl.load(p_weight + o_d, mask=m_d, other=0.0)
        tl.store(p_out + i_t * D + o_d, b_out.to(p_out.dtype.element_ty), mask=m_d)


def add_rms_norm(x: Tensor, weight: Tensor, eps: float, out: Tensor, residual: Tensor | None) -> Tensor:
    """x act [T, D], weight f32 [D], residual f32 [T, D] (changed in place) or None; out act [T, D]. Returns
    out.

    x may itself be f32 where out is not. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, D = x.shape
    check_tensor("weight", weight, (torch.float32,), (D,), x.device)
    check_tensor("out", out, ACTIVATIONS, (T, D), x.device)
    if residual is not None:
        check_tensor("residual", residual, (torch.float32,), (T, D), x.device)
    meta = META[target_of(x.device)]
    add_rms_norm_kernel[(T,)](x, weight, out, residual, eps, D, meta.block_d, num_warps=meta.num_warps)
    return out


def bytes_moved(tokens: int, width: int, act: torch.dtype, residual: bool) -> int:
    """x and the weight read, out written; the residual read and written."""
    row = 2 * width * act.itemsize + (8 * width if residual else 0)
    return tokens * row + 4 * width


def flops(tokens: int, width: int, residual: bool) -> int:
    return tokens * width * (5 if residual else 4)
