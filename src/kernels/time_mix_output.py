"""time_mix_output: from the recurrence's output to what the output projection of time mixing takes.

    z = (y - mean(y)) / sqrt(var(y) + eps) * weight + bias, mean and variance over a head
    out = (z + (sum over a head of r * k * r_k) * v) * g

Source: the group norm, bonus and gate of Peng et al., RWKV-7 "Goose", arXiv 2503.14456. Computed in f32.
"""

# mypy: disable-error-code="no-untyped-def"

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor
from kernels.targets import target_of
from kernels.wkv7_inputs import HEAD_SIZES, META


@triton.jit
def time_mix_output_kernel(
    p_y, p_r, p_k, p_v, p_g, p_weight, p_bias, p_r_k, p_out, eps, H, N: tl.constexpr, HEADS: tl.constexpr
):
    first = tl.program_id(1) * HEADS
    for i_h in range(first, tl.minimum(first + HEADS, H)):
        o_d = i_h * N + tl.arange(0, N)
        o = tl.program_id(0).to(tl.int64) * (H * N) + o_d  # [N], as every tile here
        b_y = tl.load(p_y + o)
        b_y -= tl.sum(b_y, axis=0) / N
        b_z = b_y / tl.sqrt(tl.sum(b_y * b_y, axis=0) / N + eps) * tl.load(p_weight + o_d) + tl.load(p_bias + o_d)
        b_rk = tl.load(p_r + o).to(tl.float32) * tl.load(p_k + o).to(tl.float32)
        bonus = tl.sum(b_rk * tl.load(p_r_k + o_d), axis=0)
        b_out = (b_z + bonus * tl.load(p_v + o).to(tl.float32)) * tl.load(p_g + o).to(tl.float32)
        tl.store(p_out + o, b_out.to(p_out.dtype.element_ty))


def time_mix_output(
    y: Tensor, r: Tensor, k: Tensor, v: Tensor, g: Tensor, weight: Tensor, bias: Tensor, r_k: Tensor, eps: float,
    out: Tensor,
) -> Tensor:  # fmt: skip
    """y f32 [T, H, N], r, k, v and g act [T, H * N], weight and bias f32 [H * N], r_k f32 [H, N]; out act
    [T, H * N]. Returns out.

    N is a power of two from 16 to 128. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("y", y, (torch.float32,), (y.shape[0], y.shape[1], y.shape[-1]), y.device)
    T, H, N = y.shape
    if N not in HEAD_SIZES:
        raise ValueError(f"y: the head size must be one of {HEAD_SIZES}, is {N}")
    check_tensor("r", r, ACTIVATIONS, (T, H * N), y.device)
    for name, tensor in {"k": k, "v": v, "g": g, "out": out}.items():
        check_tensor(name, tensor, (r.dtype,), (T, H * N), y.device)
    check_tensor("weight", weight, (torch.float32,), (H * N,), y.device)
    check_tensor("bias", bias, (torch.float32,), (H * N,), y.device)
    check_tensor("r_k", r_k, (torch.float32,), (H, N), y.device)
    meta = META[target_of(y.device)]
    time_mix_output_kernel[(T, triton.cdiv(H, meta.heads))](
        y, r, k, v, g, weight, bias, r_k, out, eps, H, N, meta.heads, num_warps=meta.num_warps
    )
    return out


def bytes_moved(tokens: int, width: int, act: torch.dtype) -> int:
    """y, r, k, v and g read, out written; weight, bias and r_k read."""
    return tokens * width * (4 + 5 * act.itemsize) + 12 * width


def flops(tokens: int, width: int) -> int:
    """Thirteen an element: seven for the norm, three each for the bonus' sum and its use under the gate."""
    return 13 * tokens * width
