"""Tokens from logits: the filters and the draw, for requests of all kinds in one launch."""

from collections.abc import Sequence as Rows
from typing import NamedTuple

import torch
from torch import Tensor

from kernels.ops import Ops
from runtime.request import SamplingParams


class Row(NamedTuple):
    """How the token at `position` of a sequence is chosen from one row of logits."""

    params: SamplingParams
    seed: int
    position: int


class Sampler:
    """Draws are keyed by a request's seed and the token's position: the rest of the batch does not matter."""

    def __init__(self, ops: Ops, order: tuple[str, ...]) -> None:
        """order: of the filters, see kernels.sample."""
        self._ops = ops
        self._order = order

    def draw(self, logits: Tensor, rows: Rows[Row]) -> list[int]:
        """A token for each row of logits f32 [len(rows), V]: the most likely one (the lowest id on ties) at temperature
        0."""
        device = logits.device
        out = torch.empty(len(rows), dtype=torch.int32, device=device)
        if all(row.params.temperature == 0 for row in rows):
            return self._ops.argmax(logits, out).tolist()  # type: ignore[no-any-return]
        params = [row.params for row in rows]
        self._ops.sample(
            logits,
            torch.tensor([p.temperature for p in params], dtype=torch.float32, device=device),
            torch.tensor([p.top_k for p in params], dtype=torch.int32, device=device),
            torch.tensor([p.top_p for p in params], dtype=torch.float32, device=device),
            torch.tensor([p.min_p for p in params], dtype=torch.float32, device=device),
            torch.tensor([row.seed for row in rows], dtype=torch.int64, device=device),
            torch.tensor([row.position for row in rows], dtype=torch.int32, device=device),
            out,
            self._order,
        )
        return out.tolist()  # type: ignore[no-any-return]
