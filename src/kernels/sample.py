"""sample: temperature, top-k, top-p, min-p in any order, and the draw, without a sort.

    z = (logit - max logit) / heat,    w = exp(z),    heat = 1 before "temperature" in the order, then temperature
    top-k: logits not below the k-th largest
    top-p: the most likely, up to the one with which they hold top_p of the weight
    min-p: w >= min_p  (min_p times the largest weight)
    draw:  the survivor with the largest z - log(e),  e = -log(1 - u) exponential, u uniform
           (so that P is prop. to w)

Each filter sees what the former have left. It keeps the logits from a pivot up (`pivots.py`). Those equal to it are all
kept: no token is favoured by its index. The uniforms are Philox4x32-10 with the request's seed as key and (token,
position, 0, 0) as counter, so that a draw depends on nothing but its own row. Temperature 0 is `argmax`. Sources:
Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011); Holtzman et al., arXiv 1904.09751 (top-p); Nguyen
et al., arXiv 2407.01082 (min-p).
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.argmax import lowest_best, row_argmax
from kernels.checks import check_tensor
from kernels.filters import FILTERS, check_order
from kernels.log_probs import LOWEST
from kernels.pivots import count_from, top_k_pivot, top_p_pivot
from kernels.targets import Target, target_of


class SampleMeta(NamedTuple):
    block_v: int  # logits a step
    num_warps: int


META: dict[Target, SampleMeta] = {
    "cpu": SampleMeta(64, 1),
    "cpu_256": SampleMeta(64, 1),
    "sm_80": SampleMeta(2048, 8),
    "sm_90": SampleMeta(2048, 8),
    "sm_100": SampleMeta(2048, 8),
    "gfx942": SampleMeta(2048, 8),
}


@triton.jit
def race(p_row, V, pivot, top, inverse_temperature, seed, position, BLOCK_V: tl.constexpr):
    """The token from the pivot up whose exponential clock, running at rate w, rings first.

    No clock rings before u, as e > u, and none before 2**-33, the least u. So a step whose tokens are all too
    unlikely to win costs no uniforms, and one whose uniforms are too large no logarithms.
    """
    b_best = tl.full([BLOCK_V], float("-inf"), dtype=tl.float32)
    b_index = tl.arange(0, BLOCK_V)
    best = LOWEST  # not -inf, from which a logit of -inf would have no distance
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        most = tl.max(b_l, axis=0)
        if (most >= pivot) & ((most - top) * inverse_temperature + 23.0 > best):  # 23 > -log(2**-33)
            b_bits, _, _, _ = tl.philox(seed, o_v, position, 0, 0)
            b_u = tl.minimum((b_bits.to(tl.float32) + 0.5) * (1.0 / 4294967296.0), 1.0 - 1.0 / 16777216.0)
            b_z = (b_l - top) * inverse_temperature
            # z - log(u) > best, with a thousandth for rounding, and no denormals.
            b_latest = 1.001 * tl.exp(tl.clamp(b_z - best, -80.0, 0.0))
            if tl.max(b_latest - b_u, axis=0) >= 0.0:
                # Near 0 a logarithm of 1 - u would leave few bits of the winner's time: a series keeps all of them.
                b_series = b_u * (1.0 + b_u * (0.5 + b_u * (1.0 / 3.0 + b_u * 0.25)))
                b_time = tl.where(b_u < 0.0078125, b_series, -tl.log(1.0 - b_u))
                b_key = b_z - tl.log(b_time)
                m_better = (b_l >= pivot) & (b_key > b_best)
                b_best = tl.where(m_better, b_key, b_best)
                b_index = tl.where(m_better, o_v, b_index)
                best = tl.max(b_best, axis=0)
    return lowest_best(b_best, b_index)


@triton.jit
def sample_kernel(
    p_logits, p_temperature, p_top_k, p_top_p, p_min_p, p_seeds, p_positions, p_out, V,
    ORDER: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    i_s = tl.program_id(0).to(tl.int64)
    p_row = p_logits + i_s * V
    token = row_argmax(p_row, V, BLOCK_V)
    temperature = tl.load(p_temperature + i_s)
    if temperature > 0.0:
        top = tl.load(p_row + token)
        pivot = LOWEST
        heat = 1.0
        for i in tl.static_range(len(ORDER)):
            if ORDER[i] == "temperature":
                heat = temperature
            elif ORDER[i] == "top_k":
                top_k = tl.load(p_top_k + i_s)
                if (top_k > 0) & (top_k < count_from(p_row, V, pivot, BLOCK_V)):
                    pivot = top_k_pivot(p_row, V, pivot, top, top_k, BLOCK_V)
            elif ORDER[i] == "top_p":
                top_p = tl.load(p_top_p + i_s)
                if top_p < 1.0:
                    pivot = top_p_pivot(p_row, V, pivot, top, 1.0 / heat, top_p, BLOCK_V)
            else:
                min_p = tl.load(p_min_p + i_s)
                if min_p > 0.0:
                    pivot = tl.maximum(pivot, top + heat * tl.log(min_p))
        seed = tl.load(p_seeds + i_s)
        position = tl.load(p_positions + i_s)
        token = race(p_row, V, pivot, top, 1.0 / temperature, seed, position, BLOCK_V)
    tl.store(p_out + i_s, token)


def sample(
    logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, seeds: Tensor,
    positions: Tensor, out: Tensor, order: tuple[str, ...] = FILTERS,
) -> Tensor:  # fmt: skip
    """Draw a token a row. logits f32 [S, V] with a finite maximum; out i32 [S]. Returns out.

    temperature f32 [S], 0 = argmax; top_k i32 [S], 0 = off; top_p f32 [S], 1 = off; min_p f32 [S], 0 = off,
    at most 1; seeds i64 [S]; positions i32 [S], the place of the drawn token in its sequence. order: the filters
    in the order in which they are applied. Raises ValueError naming the argument that does not fit.
    """
    S, V = logits.shape
    device = logits.device
    check_tensor("logits", logits, (torch.float32,), (S, V), device)
    check_tensor("temperature", temperature, (torch.float32,), (S,), device)
    check_tensor("top_k", top_k, (torch.int32,), (S,), device)
    check_tensor("top_p", top_p, (torch.float32,), (S,), device)
    check_tensor("min_p", min_p, (torch.float32,), (S,), device)
    check_tensor("seeds", seeds, (torch.int64,), (S,), device)
    check_tensor("positions", positions, (torch.int32,), (S,), device)
    check_tensor("out", out, (torch.int32,), (S,), device)
    check_order(order)
    meta = META[target_of(device)]
    sample_kernel[(S,)](
        logits, temperature, top_k, top_p, min_p, seeds, positions, out, V, order, meta.block_v,
        num_warps=meta.num_warps,
    )  # fmt: skip
    return out


def bytes_moved(rows: int, vocabulary: int) -> int:
    """The logits read once; the further passes of the bisections hit the cache."""
    return rows * (4 * vocabulary + 36)


def flops(rows: int, vocabulary: int) -> int:
    """The draw alone, with every token allowed: ten Philox rounds of some ten integer operations, and some ten for the
    comparison with the best; few tokens need the rest of the key."""
    return 110 * rows * vocabulary
