"""mask_logits: logits[rows[r], i] = -inf where bit i & 31 of bitmask[r, i >> 5] is 0.

The logits are never read: only the forbidden ones are written.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import check_tensor
from kernels.targets import Target, target_of


class MaskMeta(NamedTuple):
    block_w: int  # 32 bit words a program unpacks
    by_word: bool  # one after the other, as most forbid all their tokens or none, instead of all at once
    num_warps: int


META: dict[Target, MaskMeta] = {
    "cpu": MaskMeta(64, True, 1),
    "cpu_256": MaskMeta(64, True, 1),
    "sm_80": MaskMeta(128, False, 4),
    "sm_90": MaskMeta(128, False, 4),
    "sm_100": MaskMeta(128, False, 4),
    "gfx942": MaskMeta(128, False, 4),
}


@triton.jit
def mask_logits_kernel(p_logits, p_bitmask, p_rows, V, W, BLOCK_W: tl.constexpr, BY_WORD: tl.constexpr):
    i_r = tl.program_id(0).to(tl.int64)
    first_w = tl.program_id(1) * BLOCK_W
    p_words = p_bitmask + i_r * W
    p_row = p_logits + tl.load(p_rows + i_r).to(tl.int64) * V
    o_bit = tl.arange(0, 32)
    if BY_WORD:
        for w in range(first_w, tl.minimum(first_w + BLOCK_W, W)):
            word = tl.load(p_words + w)
            o_v = w * 32 + o_bit  # [32]
            if (word == 0) & (w * 32 + 32 <= V):
                tl.store(p_row + o_v, tl.full([32], float("-inf"), tl.float32))
            elif word != -1:
                tl.store(p_row + o_v, float("-inf"), mask=((word >> o_bit) & 1 == 0) & (o_v < V))
    else:
        o_w = first_w + tl.arange(0, BLOCK_W)
        b_words = tl.load(p_words + o_w, mask=o_w < W, other=0)  # [BLOCK_W]
        b_allowed = (b_words[:, None] >> o_bit[None, :]) & 1  # [BLOCK_W, 32]
        o_v = o_w[:, None] * 32 + o_bit[None, :]
        tl.store(p_row + o_v, float("-inf"), mask=(b_allowed == 0) & (o_v < V))


def mask_logits(logits: Tensor, bitmask: Tensor, rows: Tensor) -> None:
    """logits f32 [S, V] in place; bitmask i32 [R, ceil(V / 32)], a set bit allows; rows i32 [R], each in
    0..S-1.

    Raises ValueError naming the argument that does not fit.
    """
    S, V = logits.shape
    R, W = rows.shape[0], triton.cdiv(V, 32)
    check_tensor("logits", logits, (torch.float32,), (S, V), logits.device)
    check_tensor("bitmask", bitmask, (torch.int32,), (R, W), logits.device)
    check_tensor("rows", rows, (torch.int32,), (R,), logits.device)
    meta = META[target_of(logits.device)]
    grid = (R, triton.cdiv(W, meta.block_w))
    mask_logits_kernel[grid](logits, bitmask, rows, V, W, meta.block_w, meta.by_word, num_warps=meta.num_warps)


def bytes_moved(rows: int, vocabulary: int, forbidden: int) -> int:
    """The masks of `rows` rows read, `forbidden` logits in all written."""
    return rows * (4 * -(-vocabulary // 32) + 4) + 4 * forbidden


def flops(rows: int, vocabulary: int) -> int:
    """Stores only: none."""
    return 0
