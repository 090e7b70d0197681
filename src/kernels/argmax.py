"""argmax: the greedy token, out[s] = the lowest i with logits[s, i] = max over the row. NaN never wins."""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import check_tensor
from kernels.targets import Target, target_of


class ArgmaxMeta(NamedTuple):
    block_v: int  # logits a step
    num_warps: int


META: dict[Target, ArgmaxMeta] = {
    "cpu": ArgmaxMeta(128, 1),
    "cpu_256": ArgmaxMeta(128, 1),
    "sm_80": ArgmaxMeta(2048, 8),
    "sm_90": ArgmaxMeta(2048, 8),
    "sm_100": ArgmaxMeta(2048, 8),
    "gfx942": ArgmaxMeta(2048, 8),
}


@triton.jit
def lowest_best(b_best, b_index):
    """The lowest index among the lanes that hold the maximum."""
    return tl.min(tl.where(b_best == tl.max(b_best, axis=0), b_index, 0x7FFFFFFF), axis=0)


@triton.jit
def row_argmax(p_row, V, BLOCK_V: tl.constexpr):
    b_best = tl.full([BLOCK_V], float("-inf"), dtype=tl.float32)
    b_index = tl.arange(0, BLOCK_V)
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        m_better = b_l > b_best
        b_best = tl.where(m_better, b_l, b_best)
        b_index = tl.where(m_better, o_v, b_index)
    return lowest_best(b_best, b_index)


@triton.jit
def argmax_kernel(p_logits, p_out, V, BLOCK_V: tl.constexpr):
    i_s = tl.program_id(0).to(tl.int64)
    tl.store(p_out + i_s, row_argmax(p_logits + i_s * V, V, BLOCK_V))


def argmax(logits: Tensor, out: Tensor) -> Tensor:
    """logits f32 [S, V]; out i32 [S]. Returns out. A row without any number above -inf gives 0.

    Raises ValueError naming the argument that does not fit.
    """
    S, V = logits.shape
    check_tensor("logits", logits, (torch.float32,), (S, V), logits.device)
    check_tensor("out", out, (torch.int32,), (S,), logits.device)
    meta = META[target_of(logits.device)]
    argmax_kernel[(S,)](logits, out, V, meta.block_v, num_warps=meta.num_warps)
    return out


def bytes_moved(rows: int, vocabulary: int) -> int:
    return rows * (4 * vocabulary + 4)


def flops(rows: int, vocabulary: int) -> int:
    """One comparison a logit."""
    return rows * vocabulary
