"""top_log_probs: the most likely tokens of each row of logits, k of them, and their log-probabilities.

    tokens[l, j] = the t with the (j + 1)-th largest logits[l, t]; of equal ones the lowest t comes first
    out[l, j] = logits[l, t] - log(sum over v of exp(logits[l, v]))

One pass over the row, with the sum of log_probs. The best k so far lie in the lanes of one vector. A step of which no
logit exceeds the worst of them costs a comparison; else its logits above take the worst one's place, largest first. In
a row in random order that happens about k (1 + log(V / k)) times.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.argmax import lowest_best
from kernels.checks import check_tensor
from kernels.log_probs import LOWEST, add_exponentials, log_of_sum
from kernels.targets import Target, target_of

LANES = 32  # the largest k


class TopLogProbsMeta(NamedTuple):
    block_v: int  # logits a step
    num_warps: int


META: dict[Target, TopLogProbsMeta] = {
    "cpu": TopLogProbsMeta(64, 1),
    "cpu_256": TopLogProbsMeta(64, 1),
    "sm_80": TopLogProbsMeta(2048, 8),
    "sm_90": TopLogProbsMeta(2048, 8),
    "sm_100": TopLogProbsMeta(2048, 8),
    "gfx942": TopLogProbsMeta(2048, 8),
}


@triton.jit
def top_log_probs_kernel(p_logits, p_tokens, p_out, V, k, LANES: tl.constexpr, BLOCK_V: tl.constexpr):
    i_l = tl.program_id(0).to(tl.int64)
    p_row = p_logits + i_l * V
    b_max = tl.full([BLOCK_V], LOWEST, dtype=tl.float32)
    b_sum = tl.zeros([BLOCK_V], dtype=tl.float32)
    o_k = tl.arange(0, LANES)
    m_k = o_k < k
    b_top = tl.where(m_k, float("-inf"), float("inf"))
    b_token = V + o_k  # a lane without a token
    worst = float("-inf")
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        b_max, b_sum = add_exponentials(b_l, b_max, b_sum)
        b_left = tl.where(b_l > worst, b_l, float("-inf"))
        best = tl.max(b_left, axis=0)
        while best > worst:
            token = lowest_best(b_left, o_v)
            # Of the worst the one with the highest token: steps go upwards, so it came last.
            m_worst = b_top == worst
            m_worst &= b_token == tl.max(tl.where(m_worst, b_token, -1), axis=0)
            b_top = tl.where(m_worst, best, b_top)
            b_token = tl.where(m_worst, token, b_token)
            worst = tl.min(b_top, axis=0)
            b_left = tl.where(o_v == token, float("-inf"), b_left)
            best = tl.max(b_left, axis=0)
    b_top = tl.where(m_k, b_top, float("-inf"))
    m_before = (b_top[None, :] > b_top[:, None]) | (
        (b_top[None, :] == b_top[:, None]) & (b_token[None, :] < b_token[:, None])
    )
    top, log_total = log_of_sum(b_max, b_sum)
    o_place = i_l * k + tl.sum(m_before.to(tl.int32), axis=1)
    tl.store(p_tokens + o_place, tl.where(b_token < V, b_token, -1), mask=m_k)
    tl.store(p_out + o_place, b_top - top - log_total, mask=m_k)


def top_log_probs(logits: Tensor, tokens: Tensor, out: Tensor) -> Tensor:
    """logits f32 [L, V]; tokens i32 [L, k], out f32 [L, k], k at most 32. Returns out.

    Where a row has fewer than k logits above -inf the rest of its tokens are -1, at -inf. A NaN among the logits
    makes the row's `out` NaN and is never among the tokens. Raises ValueError naming the argument that does not fit.
    """
    L, V = logits.shape
    k = tokens.shape[1]
    check_tensor("logits", logits, (torch.float32,), (L, V), logits.device)
    check_tensor("tokens", tokens, (torch.int32,), (L, k), logits.device)
    check_tensor("out", out, (torch.float32,), (L, k), logits.device)
    if not 1 <= k <= LANES:
        raise ValueError(f"tokens: must have 1 to {LANES} columns, has {k}")
    meta = META[target_of(logits.device)]
    if L:
        top_log_probs_kernel[(L,)](logits, tokens, out, V, k, LANES, meta.block_v, num_warps=meta.num_warps)
    return out


def bytes_moved(rows: int, vocabulary: int, k: int) -> int:
    return rows * (4 * vocabulary + 8 * k)


def flops(rows: int, vocabulary: int) -> int:
    """What log_probs does with a logit, and a comparison; the few that enter the best are not counted."""
    return 8 * rows * vocabulary
