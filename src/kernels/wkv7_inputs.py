"""wkv7_inputs: from a layer's projections to the vectors that its recurrence takes.

    kappa_hat = k * k_k / max(|k * k_k|, 1e-12), the norm over a head
    a = -kappa_hat,  b = kappa_hat * alpha
    k_out = k * (1 + (alpha - 1) * k_a)
    v_out = v + (v_first - v) * nu;  in the first layer, which has no nu, v_out = v_first = v

Source: the removal key, the in-context learning rate and the value residual of Peng et al., RWKV-7 "Goose",
arXiv 2503.14456. Computed in f32.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor
from kernels.targets import Target, target_of

HEAD_SIZES = (16, 32, 64, 128)


class HeadsMeta(NamedTuple):
    heads: int  # of a token, one after the other in a program
    num_warps: int


META: dict[Target, HeadsMeta] = {
    "cpu": HeadsMeta(256, 1),  # all: on one token, threads cost more than they save
    "cpu_256": HeadsMeta(256, 1),
    "sm_80": HeadsMeta(1, 1),
    "sm_90": HeadsMeta(1, 1),
    "sm_100": HeadsMeta(1, 1),
    "gfx942": HeadsMeta(1, 1),
}


@triton.jit
def wkv7_inputs_kernel(
    p_k, p_v, p_alpha, p_nu, p_v_first, p_k_k, p_k_a, p_k_out, p_v_out, p_a, p_b, H,
    N: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    ACT: tl.constexpr = p_k.dtype.element_ty
    first = tl.program_id(1) * HEADS
    for i_h in range(first, tl.minimum(first + HEADS, H)):
        o_d = i_h * N + tl.arange(0, N)
        o = tl.program_id(0).to(tl.int64) * (H * N) + o_d  # [N], as every tile here
        b_k = tl.load(p_k + o).to(tl.float32)
        b_alpha = tl.load(p_alpha + o).to(tl.float32)
        b_kappa = b_k * tl.load(p_k_k + o_d)
        b_kappa *= 1.0 / tl.maximum(tl.sqrt(tl.sum(b_kappa * b_kappa, axis=0)), 1e-12)
        b_v = tl.load(p_v + o).to(tl.float32)
        if p_nu is None:
            tl.store(p_v_first + o, b_v.to(ACT))
        else:
            b_v += (tl.load(p_v_first + o).to(tl.float32) - b_v) * tl.load(p_nu + o).to(tl.float32)
        tl.store(p_a + o, (-b_kappa).to(ACT))
        tl.store(p_b + o, (b_kappa * b_alpha).to(ACT))
        tl.store(p_k_out + o, (b_k * (1.0 + (b_alpha - 1.0) * tl.load(p_k_a + o_d))).to(ACT))
        tl.store(p_v_out + o, b_v.to(ACT))


def wkv7_inputs(
    k: Tensor, v: Tensor, alpha: Tensor, nu: Tensor | None, v_first: Tensor, k_k: Tensor, k_a: Tensor,
    head_size: int, k_out: Tensor, v_out: Tensor, a: Tensor, b: Tensor,
) -> Tensor:  # fmt: skip
    """k, v, alpha, nu and v_first act [T, D], k_k and k_a f32 [D]; k_out, v_out, a and b act [T, D]. Returns
    k_out.

    Without nu, v_first is an output. k_out may be k, and v_out may be v. head_size divides D and is a power of
    two from 16 to 128. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("k", k, ACTIVATIONS, (k.shape[0], k.shape[-1]), k.device)
    T, D = k.shape
    if head_size not in HEAD_SIZES or D % head_size:
        raise ValueError(f"head_size: must be one of {HEAD_SIZES} and divide {D}, is {head_size}")
    tokens = {"v": v, "alpha": alpha, "v_first": v_first, "k_out": k_out, "v_out": v_out, "a": a, "b": b}
    for name, tensor in tokens.items() if nu is None else (tokens | {"nu": nu}).items():
        check_tensor(name, tensor, (k.dtype,), (T, D), k.device)
    check_tensor("k_k", k_k, (torch.float32,), (D,), k.device)
    check_tensor("k_a", k_a, (torch.float32,), (D,), k.device)
    meta = META[target_of(k.device)]
    heads = D // head_size
    wkv7_inputs_kernel[(T, triton.cdiv(heads, meta.heads))](
        k, v, alpha, nu, v_first, k_k, k_a, k_out, v_out, a, b, heads,
        head_size, meta.heads, num_warps=meta.num_warps,
    )  # fmt: skip
    return k_out


def bytes_moved(tokens: int, width: int, act: torch.dtype) -> int:
    """Five rows a token read and four written (in the first layer three and five); k_k and k_a read."""
    return 9 * tokens * width * act.itemsize + 8 * width


def flops(tokens: int, width: int) -> int:
    """Thirteen an element: four for kappa_hat, one each for a and b, four for k_out, three for v_out."""
    return 13 * tokens * width
