"""log_probs: what a row of logits says of a given token.

    out[l] = logits[l, t] - log(sum over v of exp(logits[l, v])),    t = targets[l]
    is_best[l] = whether t is the lowest v with logits[l, v] = max over the row

One pass over the row. Each lane keeps the maximum m and the sum s of exp(logit - m) of the logits that it has seen;
with the next logit x, and e = exp(-|x - m|), the sum becomes s * e + 1 if x is a new maximum, else s + e.
Source: Milakov and Gimelshein, Online normalizer calculation for softmax, arXiv 1805.02867.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.argmax import lowest_best
from kernels.checks import check_tensor
from kernels.targets import Target, target_of


class LogProbsMeta(NamedTuple):
    block_v: int  # logits a step
    num_warps: int


META: dict[Target, LogProbsMeta] = {
    "cpu": LogProbsMeta(32, 1),
    "cpu_256": LogProbsMeta(32, 1),
    "sm_80": LogProbsMeta(2048, 8),
    "sm_90": LogProbsMeta(2048, 8),
    "sm_100": LogProbsMeta(2048, 8),
    "gfx942": LogProbsMeta(2048, 8),
}


LOWEST = tl.constexpr(-3.4028234663852886e38)  # not -inf, from which a logit of -inf would have no distance


@triton.jit
def add_exponentials(b_l, b_max, b_sum):
    """The maxima and sums of lanes that started with LOWEST and 0, after one more logit each."""
    m_better = b_l > b_max
    b_e = tl.exp(tl.where(m_better, b_max - b_l, b_l - b_max))
    return tl.where(m_better, b_l, b_max), tl.where(m_better, b_sum * b_e + 1.0, b_sum + b_e)


@triton.jit
def log_of_sum(b_max, b_sum):
    """Of the logits of all lanes the largest, and the log of the sum of exp(logit - largest)."""
    top = tl.max(b_max, axis=0)
    return top, tl.log(tl.sum(b_sum * tl.exp(b_max - top), axis=0))


@triton.jit
def log_probs_kernel(p_logits, p_targets, p_out, p_is_best, V, BLOCK_V: tl.constexpr):
    i_l = tl.program_id(0).to(tl.int64)
    p_row = p_logits + i_l * V
    b_index = tl.arange(0, BLOCK_V)
    b_max = tl.full([BLOCK_V], LOWEST, dtype=tl.float32)
    b_sum = tl.zeros([BLOCK_V], dtype=tl.float32)
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        b_index = tl.where(b_l > b_max, o_v, b_index)
        b_max, b_sum = add_exponentials(b_l, b_max, b_sum)
    top, log_total = log_of_sum(b_max, b_sum)
    target = tl.load(p_targets + i_l)
    tl.store(p_out + i_l, tl.load(p_row + target) - top - log_total)
    tl.store(p_is_best + i_l, (lowest_best(b_max, b_index) == target).to(tl.int32))


def log_probs(logits: Tensor, targets: Tensor, out: Tensor, is_best: Tensor) -> Tensor:
    """logits f32 [L, V], targets i32 [L], each in 0..V-1; out f32 [L], is_best i32 [L], 1 or 0. Returns out.

    A NaN among the logits makes the row's `out` NaN and is never best. Raises ValueError naming the argument
    that does not fit.
    """
    L, V = logits.shape
    check_tensor("logits", logits, (torch.float32,), (L, V), logits.device)
    check_tensor("targets", targets, (torch.int32,), (L,), logits.device)
    check_tensor("out", out, (torch.float32,), (L,), logits.device)
    check_tensor("is_best", is_best, (torch.int32,), (L,), logits.device)
    meta = META[target_of(logits.device)]
    if L:
        log_probs_kernel[(L,)](logits, targets, out, is_best, V, meta.block_v, num_warps=meta.num_warps)
    return out


def bytes_moved(rows: int, vocabulary: int) -> int:
    return rows * (4 * vocabulary + 16)


def flops(rows: int, vocabulary: int) -> int:
    """A logit's distance, its exponential counted as one, the sum, and three choices of a lane."""
    return 7 * rows * vocabulary
