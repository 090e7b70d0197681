"""The most likely token, always (the lowest id on ties)."""

import torch

from kernels.ops import Ops
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence


class Greedy:
    def __init__(self, ops: Ops) -> None:
        self._argmax = ops.argmax

    def propose(self, sequence: Sequence) -> list[int]:
        return []

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[list[int]]:
        tokens = torch.empty(logits.shape[0], dtype=torch.int32, device=logits.device)
        return [[token] for token in self._argmax(logits, tokens).tolist()]
