"""Oracle of kernels.argmax."""

import torch
from torch import Tensor


def argmax(logits: Tensor, out: Tensor) -> Tensor:
    numbers = logits.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    best = numbers == numbers.amax(dim=-1, keepdim=True)
    return out.copy_(best.to(torch.uint8).argmax(dim=-1))  # torch gives the first of equal maxima
