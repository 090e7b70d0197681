"""One function for prefill, chunked prefill, decode and verification: sequences' steps in, logits out."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic

from torch import Tensor

from kernels.ops import Ops
from model.batch import StepShape, make_batch, step_shape
from model.model import Memory, Model
from model.sequence_step import SequenceStep
from model.step_graph import StepGraph, graph_shape

MOST_GRAPHS = 512  # of a tenth to a third of a MiB each


@dataclass
class ReplayTiming:
    """Where the time of replayed steps went: `seconds` in all, `replay_seconds` of it in native launches; the rest is
    Python. The first step of each shape and mode, which captures its launches, is not counted."""

    steps: int = 0
    seconds: float = 0.0
    replay_seconds: float = 0.0


class ModelExecutor(Generic[Memory]):
    """Runs steps of one model on one cache.

    Steps are padded to a few shapes and replayed natively from launches captured at the first such step, for each mode
    of the cache; very large ones are launched as they come.
    """

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops) -> None:
        self.model = model
        self.cache = cache
        self.ops = ops
        self.replay_timing = ReplayTiming()
        self._table_width = min(-(-model.max_context // cache.block_size), cache.num_blocks)
        self._graphs: dict[tuple[StepShape, Hashable], StepGraph[Memory]] = {}

    def step(self, steps: Sequence[SequenceStep]) -> Tensor:
        """Run a step of at least one sequence; return the wanted logits f32 [L, vocab_size], sequence by sequence, on
        the model's device.

        The result is a buffer that the next step may write over; there are few of them, so that launches that read it
        are worth capturing. Raises ValueError if a position is beyond the model's `max_context`, or a sequence's memory
        is not that of its cached tokens, before anything is launched.
        """
        started = time.perf_counter()
        last = max([step.cached + len(step.tokens) for step in steps]) - 1
        if last >= self.model.max_context:
            raise ValueError(f"position {last} is beyond the context of {self.model.max_context} tokens")
        self.cache.prepare(steps)
        shape = step_shape(steps)
        room = graph_shape(shape)
        if room is None:
            batch = make_batch(steps, self.cache.block_size, self.model.device)
            return self.model.forward(batch, self.cache, self.ops)
        key = room, self.cache.mode
        graph = self._graphs.pop(key, None)
        if graph is None:
            graph = StepGraph(self.model, self.cache, self.ops, room, self._table_width)
            logits = graph.capture(steps)
            if len(self._graphs) == MOST_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
        else:
            logits, replay_seconds = graph.replay(steps)
            self.replay_timing.steps += 1
            self.replay_timing.replay_seconds += replay_seconds
            self.replay_timing.seconds += time.perf_counter() - started
        self._graphs[key] = graph  # behind those that were used before
        return logits[: shape.rows]
