"""add_layer_norm: LayerNorm, fused with the residual addition before it.

    h = residual + x  (in place; h = x without a residual)
    out = (h - mean(h)) / sqrt(mean((h - mean(h))^2) + eps) * weight + bias

Source: Ba, Kiros and Hinton, Layer Normalization, arXiv 1607.06450. The residual stream and the sums are f32.
"""

# mypy: disable-error-code="no-untyped-def"

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor
from kernels.rms_norm import META
from kernels.targets import target_of


@triton.jit
def load_sum(p_x, p_residual, o_d, m_d):
    """residual + x, f32; zeros where the mask says."""
    b_h = tl.load(p_x + o_d, mask=m_d, other=0.0).to(tl.float32)
    if p_residual is not None:
        b_h += tl.load(p_residual + o_d, mask=m_d, other=0.0)
    return b_h


@triton.jit
def add_layer_norm_kernel(p_x, p_weight, p_bias, p_out, p_residual, eps, D, BLOCK_D: tl.constexpr):
    i_t = tl.program_id(0).to(tl.int64)
    p_xt = p_x + i_t * D
    p_rt = None if p_residual is None else p_residual + i_t * D
    b_sum = tl.zeros([BLOCK_D], dtype=tl.float32)
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        b_sum += load_sum(p_xt, p_rt, o_d, o_d < D)
    mean = tl.sum(b_sum, axis=0) / D
    # Squares of differences, not a difference of squares: a large mean must not swallow the variance.
    b_squares = tl.zeros([BLOCK_D], dtype=tl.float32)
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        b_h = tl.where(o_d < D, load_sum(p_xt, p_rt, o_d, o_d < D) - mean, 0.0)
        b_squares += b_h * b_h
    scale = 1.0 / tl.sqrt(tl.sum(b_squares, axis=0) / D + eps)
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        m_d = o_d < D
        b_h = load_sum(p_xt, p_rt, o_d, m_d)
        if p_residual is not None:
            tl.store(p_rt + o_d, b_h, mask=m_d)
        b_out = (b_h - mean) * scale * tl.load(p_weight + o_d, mask=m_d, other=0.0)
        b_out += tl.load(p_bias + o_d, mask=m_d, other=0.0)
        tl.store(p_out + i_t * D + o_d, b_out.to(p_out.dtype.element_ty), mask=m_d)


def add_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor, residual: Tensor | None) -> Tensor:
    """x act [T, D], weight and bias f32 [D], residual f32 [T, D] (changed in place) or None; out act [T, D].
    Returns out.

    x may itself be f32 where out is not. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), x.device)
    T, D = x.shape
    check_tensor("weight", weight, (torch.float32,), (D,), x.device)
    check_tensor("bias", bias, (torch.float32,), (D,), x.device)
    check_tensor("out", out, ACTIVATIONS, (T, D), x.device)
    if residual is not None:
        check_tensor("residual", residual, (torch.float32,), (T, D), x.device)
    meta = META[target_of(x.device)]
    add_layer_norm_kernel[(T,)](x, weight, bias, out, residual, eps, D, meta.block_d, num_warps=meta.num_warps)
    return out


def bytes_moved(tokens: int, width: int, act: torch.dtype, residual: bool) -> int:
    """x, the weight and the bias read, out written; the residual read and written."""
    row = 2 * width * act.itemsize + (8 * width if residual else 0)
    return tokens * row + 8 * width


def flops(tokens: int, width: int, residual: bool) -> int:
    return tokens * width * (8 if residual else 7)
