"""Oracle of kernels.mask_logits."""

import torch
from torch import Tensor


def mask_logits(logits: Tensor, bitmask: Tensor, rows: Tensor) -> None:
    bits = (bitmask.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32, device=bitmask.device)) & 1
    forbidden = bits.flatten(-2)[:, : logits.shape[1]] == 0
    logits[rows.long()] = logits[rows.long()].masked_fill(forbidden, float("-inf"))
