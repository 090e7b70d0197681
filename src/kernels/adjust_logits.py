"""adjust_logits: penalties and biases of single logits, for e < E:

    l = logits[rows[e], tokens[e]]
    logits[rows[e], tokens[e]] = (l / factors[e] if l > 0 else l * factors[e]) + offsets[e]

A factor above 1 makes a token less likely whatever the sign of its logit: the repetition penalty of Keskar et al.,
CTRL, arXiv 1909.05858. Presence and frequency penalties and a caller's bias are offsets. A logit of -inf stays one.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import check_tensor
from kernels.targets import Target, target_of


class AdjustMeta(NamedTuple):
    block_e: int  # logits a program adjusts
    num_warps: int


META: dict[Target, AdjustMeta] = {
    "cpu": AdjustMeta(256, 1),
    "cpu_256": AdjustMeta(256, 1),
    "sm_80": AdjustMeta(256, 4),
    "sm_90": AdjustMeta(256, 4),
    "sm_100": AdjustMeta(256, 4),
    "gfx942": AdjustMeta(256, 4),
}


@triton.jit
def adjust_logits_kernel(p_logits, p_rows, p_tokens, p_factors, p_offsets, V, E, BLOCK_E: tl.constexpr):
    o_e = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E)
    m_e = o_e < E
    b_row = tl.load(p_rows + o_e, mask=m_e, other=0).to(tl.int64)
    p_l = p_logits + b_row * V + tl.load(p_tokens + o_e, mask=m_e, other=0)
    b_factor = tl.load(p_factors + o_e, mask=m_e, other=1.0)
    b_offset = tl.load(p_offsets + o_e, mask=m_e, other=0.0)
    b_l = tl.load(p_l, mask=m_e, other=0.0)
    tl.store(p_l, tl.where(b_l > 0.0, b_l / b_factor, b_l * b_factor) + b_offset, mask=m_e)


def adjust_logits(logits: Tensor, rows: Tensor, tokens: Tensor, factors: Tensor, offsets: Tensor) -> None:
    """logits f32 [S, V] in place; rows i32 [E], each in 0..S-1; tokens i32 [E], each in 0..V-1; factors f32 [E],
    above 0; offsets f32 [E], below inf. No (row, token) twice.

    Raises ValueError naming the argument that does not fit.
    """
    S, V = logits.shape
    E = rows.shape[0]
    check_tensor("logits", logits, (torch.float32,), (S, V), logits.device)
    check_tensor("rows", rows, (torch.int32,), (E,), logits.device)
    check_tensor("tokens", tokens, (torch.int32,), (E,), logits.device)
    check_tensor("factors", factors, (torch.float32,), (E,), logits.device)
    check_tensor("offsets", offsets, (torch.float32,), (E,), logits.device)
    meta = META[target_of(logits.device)]
    if E:
        adjust_logits_kernel[(triton.cdiv(E, meta.block_e),)](
            logits, rows, tokens, factors, offsets, V, E, meta.block_e, num_warps=meta.num_warps
        )


def bytes_moved(entries: int) -> int:
    """Of each logit its four bytes, read and written; what a cache line has beside them is not counted."""
    return entries * (16 + 8)


def flops(entries: int) -> int:
    """Division, product and sum."""
    return 3 * entries
