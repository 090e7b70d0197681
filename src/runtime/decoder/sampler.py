"""Tokens from logits: the masks, the filters and the draw, for requests of all kinds in one launch."""

from collections.abc import Sequence as Rows

import numpy as np
from torch import Tensor

from kernels.ops import Ops
from runtime.decoder.draw_graph import DrawGraph, Row

MOST_GRAPHS = 64  # a model's logits lie at few places; whoever has them elsewhere each time must not fill the memory


class Sampler:
    """Draws are keyed by a request's seed and the token's position: the rest of the batch does not matter."""

    def __init__(self, ops: Ops, order: tuple[str, ...]) -> None:
        """order: of the filters, see kernels.sample."""
        self._ops = ops
        self._order = order
        self._graphs: dict[tuple[int, int, bool, bool], DrawGraph] = {}

    def draw(self, logits: Tensor, rows: Rows[Row], bits: np.ndarray | None = None) -> list[int]:
        """A token for each row of logits f32 [len(rows), V]: the most likely one (the lowest id on ties) at temperature
        0. bits: int32 [len(rows), ceil(V / 32)], which tokens are allowed, as mask_logits has it; the logits of others
        are written over."""
        greedy = all(row.params.temperature == 0 for row in rows)
        key = logits.data_ptr(), len(rows), bits is not None, greedy
        if key not in self._graphs:
            if len(self._graphs) == MOST_GRAPHS:
                self._graphs.clear()
            self._graphs[key] = DrawGraph(self._ops, self._order, logits, masked=bits is not None, greedy=greedy)
        return self._graphs[key].draw(rows, bits)
