"""Oracle of kernels.log_probs."""

import torch
from torch import Tensor

from kernels.reference.argmax import argmax


def log_probs(logits: Tensor, targets: Tensor, out: Tensor, is_best: Tensor) -> Tensor:
    is_best.copy_(argmax(logits, torch.empty_like(targets)) == targets)
    return out.copy_(logits.log_softmax(dim=-1).gather(1, targets.long()[:, None])[:, 0])
