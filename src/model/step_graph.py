"""Steps of a few tokens, captured once for each shape and replayed without Python."""

import time
from typing import Generic, NamedTuple

import torch
from torch import Tensor

from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops
from model.batch import Batch
from model.model import Memory, Model

FEW = 8  # tokens or rows: so many, and kernels take other forms, so that these are never padded with more
MOST_TOKENS = 128  # of a step in which a sequence has several: in larger ones, Python costs little


class StepShape(NamedTuple):
    """What a captured step has room for. rows: whose logits are computed."""

    sequences: int
    tokens: int
    rows: int
    max_query_len: int


def graph_shape(batch: Batch) -> StepShape | None:
    """The shape that a batch is padded to; None for batches that are launched kernel by kernel: those that want no
    logits, and large ones.

    Padding changes no result: as many rows of anything take the same forms of all kernels.
    """
    sequences, tokens, rows = (tensor.shape[0] for tensor in (batch.context_lens, batch.tokens, batch.logit_rows))
    if rows == 0 or (tokens != sequences and tokens > MOST_TOKENS):
        return None
    room = _room(tokens)
    padding = room > tokens  # its tokens belong to a sequence that is nobody's
    sequences = _power_of_two(sequences + padding)
    rows = room if rows == tokens else min(_room(rows), room - 1)  # else as many as tokens are those of all tokens
    return StepShape(sequences, room, rows, _power_of_two(batch.max_query_len))


def _room(count: int) -> int:
    """The count if it is small, or one of few above it, by 16 or at most a quarter."""
    if count <= FEW:
        return count
    unit = max(16, _power_of_two(count) // 8)
    return -(-count // unit) * unit


def _power_of_two(count: int) -> int:
    """The lowest that is not less."""
    return 1 << (count - 1).bit_length()


class StepGraph(Generic[Memory]):
    """The captured launches of a step of one shape, and the buffers they read and write.

    Sequences behind those of the batch have no tokens. Tokens behind those of the batch write nowhere (slot -1). Nobody
    looks at the logits behind those that are wanted.
    """

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops, shape: StepShape, table_width: int) -> None:
        sequences, tokens, rows, max_query_len = shape
        per_sequence = torch.zeros(sequences, dtype=torch.int32)
        per_token = torch.zeros(tokens, dtype=torch.int32)
        self.inputs = Batch(
            tokens=per_token, positions=per_token.clone(), slots=torch.full((tokens,), -1),
            cu_seqlens=torch.zeros(sequences + 1, dtype=torch.int32), context_lens=per_sequence,
            block_tables=per_sequence.new_zeros(sequences, table_width), state_slots=torch.full_like(per_sequence, -1),
            lookaheads=per_sequence.clone(), sequence_ids=per_token.clone(),
            logit_rows=torch.arange(rows, dtype=torch.int32), max_query_len=max_query_len,
        ).to(model.device)  # fmt: skip
        self._model, self._cache, self._ops = model, cache, ops
        self._graph: LaunchGraph | None = None
        self._logits = torch.empty(0)

    def capture(self, batch: Batch) -> Tensor:
        """Run the step for the first time, launch by launch, and keep the launches. Returns the wanted logits."""
        self._load(batch)
        self._graph = LaunchGraph(self._run, self._ops.backend, self._model.device)
        return self._logits[: len(batch.logit_rows)]

    def replay(self, batch: Batch) -> tuple[Tensor, float]:
        """Run the step again on another batch; return the wanted logits and the seconds spent in the launches."""
        assert self._graph is not None
        self._load(batch)
        started = time.perf_counter()
        self._graph.replay()
        return self._logits[: len(batch.logit_rows)], time.perf_counter() - started

    def _run(self) -> None:
        self._logits = self._model.forward(self.inputs, self._cache, self._ops)

    def _load(self, batch: Batch) -> None:
        sequences, tokens = batch.context_lens.shape[0], batch.tokens.shape[0]
        inputs = self.inputs
        inputs.tokens[:tokens].copy_(batch.tokens)
        inputs.positions[:tokens].copy_(batch.positions)
        inputs.slots[:tokens].copy_(batch.slots)
        inputs.sequence_ids[:tokens].copy_(batch.sequence_ids)
        inputs.cu_seqlens[: sequences + 1].copy_(batch.cu_seqlens)
        inputs.context_lens[:sequences].copy_(batch.context_lens)
        inputs.block_tables[:sequences, : batch.block_tables.shape[1]].copy_(batch.block_tables)
        inputs.state_slots[:sequences].copy_(batch.state_slots)
        if len(inputs.logit_rows) < len(inputs.tokens):  # else they are those of all tokens, always
            inputs.logit_rows[: len(batch.logit_rows)].copy_(batch.logit_rows)
        if sequences < inputs.context_lens.shape[0]:
            inputs.cu_seqlens[sequences + 1 :].fill_(tokens)
            inputs.state_slots[sequences:].fill_(-1)
        if tokens < inputs.tokens.shape[0]:
            inputs.slots[tokens:].fill_(-1)
            inputs.sequence_ids[tokens:].fill_(inputs.context_lens.shape[0] - 1)
