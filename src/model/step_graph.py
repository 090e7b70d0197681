"""Steps captured once for each shape and replayed without Python."""

import time
from collections.abc import Sequence
from typing import Generic

import torch
from torch import Tensor

from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops
from model.batch import BatchBuffer, StepShape
from model.model import Memory, Model
from model.sequence_step import SequenceStep

FEW = 8  # tokens or rows: so many, and kernels take other forms, so that these are never padded with more
MOST_TOKENS = 2048  # of a step in which a sequence has several: in larger ones, Python costs little


def graph_shape(shape: StepShape) -> StepShape | None:
    """The shape that steps of this one are padded to; None for large ones, which are launched kernel by kernel.

    Padding changes no result: as many rows of anything take the same forms of all kernels.
    """
    sequences, tokens, rows, max_query_len = shape
    if tokens != sequences and tokens > MOST_TOKENS:
        return None
    room = _room(tokens)
    padding = room > tokens  # its tokens belong to a sequence that is nobody's
    rows = room if rows == tokens else min(_room(rows), room - 1)  # else as many as tokens are those of all tokens
    return StepShape(_power_of_two(sequences + padding), room, rows, _power_of_two(max_query_len))


def _room(count: int) -> int:
    """The count if it is small, or one of few above it: the next multiple of 16, or one by at most a sixteenth."""
    if count <= FEW:
        return count
    unit = max(16, _power_of_two(count) // 32)
    return -(-count // unit) * unit


def _power_of_two(count: int) -> int:
    """The lowest that is not less."""
    return 1 << (count - 1).bit_length()


class StepGraph(Generic[Memory]):
    """The captured launches of a step of one shape, and the buffers they read and write. Results are logits of all rows
    there is room for, those that are wanted first."""

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops, shape: StepShape, table_width: int) -> None:
        self._buffer = BatchBuffer(shape, table_width, cache.block_size, model.device)
        self._model, self._cache, self._ops = model, cache, ops
        self._graph: LaunchGraph | None = None
        self._logits = torch.empty(0)

    def capture(self, steps: Sequence[SequenceStep]) -> Tensor:
        """Run the step for the first time, launch by launch, and keep the launches."""
        self._buffer.fill(steps)
        self._graph = LaunchGraph(self._run, self._ops.backend, self._model.device)
        return self._logits

    def replay(self, steps: Sequence[SequenceStep]) -> tuple[Tensor, float]:
        """Run the step again on other tokens; return the logits and the seconds spent in the launches."""
        assert self._graph is not None
        self._buffer.fill(steps)
        started = time.perf_counter()
        self._graph.replay()
        return self._logits, time.perf_counter() - started

    def _run(self) -> None:
        self._logits = self._model.forward(self._buffer.batch, self._cache, self._ops)
