"""One function for prefill, chunked prefill, decode and verification: a batch in, logits out."""

import time
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops
from model.batch import Batch
from model.memory import SequenceMemory

Memory = TypeVar("Memory", bound=SequenceMemory)


class Model(Protocol[Memory]):  # type: ignore[misc]
    """A forward pass of either family. max_context: tokens of the longest sequence."""

    max_context: int
    device: torch.device

    def forward(self, batch: Batch, cache: Memory, ops: Ops) -> Tensor:
        """Run the batch, leave its traces in the cache, return logits f32 [L, vocab_size].

        The result is a buffer of the model, which the next call may write over. Nothing but launches of `ops` touches
        the contents of tensors, so that the call can be captured and replayed on the same buffers.
        """
        ...


@dataclass
class DecodeTiming:
    """Where the time of replayed decode steps went: `seconds` in all, `replay_seconds` of it in native
    launches; the rest is Python. The first step of each batch size, which captures its launches, is not
    counted."""

    steps: int = 0
    seconds: float = 0.0
    replay_seconds: float = 0.0


class ModelExecutor(Generic[Memory]):
    """Runs batches of one model on one cache.

    Batches of single tokens (decode) are padded to a power of two and replayed natively from launches
    captured at the first such batch; all others are launched as they come.
    """

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops) -> None:
        self.model = model
        self.cache = cache
        self.ops = ops
        self.decode_timing = DecodeTiming()
        self._table_width = min(-(-model.max_context // cache.block_size), cache.num_blocks)
        self._decoders: dict[int, _DecodeGraph[Memory]] = {}

    def step(self, batch: Batch) -> Tensor:
        """Run the batch (tensors on the CPU); return logits f32 [L, vocab_size] on the model's device.

        The result is a buffer that the next step may write over. Raises ValueError if a position is beyond
        the model's `max_context`, or a sequence's memory is not that of its cached tokens, before anything is launched.
        """
        started = time.perf_counter()
        last = int(batch.context_lens.max()) - 1
        if last >= self.model.max_context:
            raise ValueError(f"position {last} is beyond the context of {self.model.max_context} tokens")
        self.cache.prepare(batch)
        sequences = batch.context_lens.shape[0]
        if batch.tokens.shape[0] != sequences or batch.logit_rows.shape[0] != sequences:
            return self.model.forward(batch.to(self.model.device), self.cache, self.ops)
        capacity = 1 << (sequences - 1).bit_length()
        if capacity not in self._decoders:
            decoder = _DecodeGraph(self.model, self.cache, self.ops, capacity, self._table_width)
            self._decoders[capacity] = decoder
            return decoder.capture(batch)
        logits, replay_seconds = self._decoders[capacity].replay(batch)
        self.decode_timing.steps += 1
        self.decode_timing.replay_seconds += replay_seconds
        self.decode_timing.seconds += time.perf_counter() - started
        return logits


class _DecodeGraph(Generic[Memory]):
    """The captured launches of a decode step of `capacity` rows, and the buffers they read and write.

    Rows without a sequence write nowhere (slot -1) and read the first entry of block 0; nobody looks at
    their logits.
    """

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops, capacity: int, table_width: int) -> None:
        self.model = model
        self.cache = cache
        self.ops = ops
        steps = torch.arange(capacity + 1, dtype=torch.int32)
        rows = torch.zeros(capacity, dtype=torch.int32)
        self.inputs = Batch(
            tokens=rows, positions=rows.clone(), slots=torch.full((capacity,), -1), cu_seqlens=steps,
            context_lens=torch.ones_like(rows), block_tables=rows.new_zeros(capacity, table_width),
            state_slots=torch.full_like(rows, -1), lookaheads=rows.clone(), sequence_ids=steps[:capacity].clone(),
            logit_rows=steps[:capacity].clone(), max_query_len=1,
        ).to(model.device)  # fmt: skip
        self.graph: LaunchGraph | None = None
        self.logits = torch.empty(0)

    def capture(self, batch: Batch) -> Tensor:
        """Run the step for the first time, launch by launch, and keep the launches."""
        self._load(batch)
        self.graph = LaunchGraph(self._run, self.ops.backend, self.model.device)
        return self.logits[: batch.tokens.shape[0]]

    def replay(self, batch: Batch) -> tuple[Tensor, float]:
        """Run the step again on another batch; return logits and the seconds spent in the launches."""
        assert self.graph is not None
        self._load(batch)
        started = time.perf_counter()
        self.graph.replay()
        return self.logits[: batch.tokens.shape[0]], time.perf_counter() - started

    def _run(self) -> None:
        self.logits = self.model.forward(self.inputs, self.cache, self.ops)

    def _load(self, batch: Batch) -> None:
        used = batch.tokens.shape[0]
        inputs = self.inputs
        inputs.tokens[:used].copy_(batch.tokens)
        inputs.positions[:used].copy_(batch.positions)
        inputs.slots[:used].copy_(batch.slots)
        inputs.context_lens[:used].copy_(batch.context_lens)
        inputs.block_tables[:used, : batch.block_tables.shape[1]].copy_(batch.block_tables)
        inputs.state_slots[:used].copy_(batch.state_slots)
        if used < inputs.tokens.shape[0]:
            inputs.slots[used:].fill_(-1)
            inputs.context_lens[used:].fill_(1)
            inputs.block_tables[used:].zero_()
            inputs.state_slots[used:].fill_(-1)
