"""A token drawn from the model's distribution after temperature, top-k, top-p and min-p, in this order."""

import torch

from kernels.ops import Ops
from runtime.config import SamplingConfig
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence


class Sampling:
    """Draws are keyed by the request's seed and the token's position: the rest of the batch does not
    matter."""

    def __init__(self, ops: Ops, config: SamplingConfig) -> None:
        self._sample = ops.sample
        self._config = config

    def propose(self, sequence: Sequence) -> list[int]:
        return []

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[list[int]]:
        rows, device, config = len(entries), logits.device, self._config
        sequences = [entry.sequence for entry in entries]
        tokens = self._sample(
            logits,
            torch.full((rows,), config.temperature, device=device),
            torch.full((rows,), config.top_k, dtype=torch.int32, device=device),
            torch.full((rows,), config.top_p, device=device),
            torch.full((rows,), config.min_p, device=device),
            torch.tensor([sequence.request.seed for sequence in sequences], device=device),
            torch.tensor([len(sequence.tokens) for sequence in sequences], dtype=torch.int32, device=device),
            torch.empty(rows, dtype=torch.int32, device=device),
        )
        return [[token] for token in tokens.tolist()]
