"""Steps of a few tokens, captured once for each shape and replayed without Python."""

import time
from typing import Generic, NamedTuple

import torch
from torch import Tensor

from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops
from model.batch import Batch
from model.model import Memory, Model

FEW_TOKENS = 8  # so many, and kernels take other forms: such steps are never padded with tokens
MOST_TOKENS = 128  # of a step in which a sequence has several: in larger ones, Python costs little


class StepShape(NamedTuple):
    """What a captured step has room for."""

    sequences: int
    tokens: int
    max_query_len: int


def graph_shape(batch: Batch) -> StepShape | None:
    """The shape that a batch is padded to; None for batches that are launched kernel by kernel.

    Those are prompts, and steps of more than a few tokens that do not want the logits of all, which a captured step
    computes. Padding changes no result: as many rows of anything take the same forms of all kernels.
    """
    sequences, tokens, rows = (tensor.shape[0] for tensor in (batch.context_lens, batch.tokens, batch.logit_rows))
    if rows != tokens and (rows == 0 or tokens > FEW_TOKENS):
        return None
    if tokens != sequences and tokens > MOST_TOKENS:
        return None
    room = tokens if tokens <= FEW_TOKENS else _power_of_two(tokens)
    padding = room > tokens  # its tokens belong to a sequence that is nobody's
    return StepShape(_power_of_two(sequences + padding), room, _power_of_two(batch.max_query_len))


def _power_of_two(count: int) -> int:
    """The lowest that is not less."""
    return 1 << (count - 1).bit_length()


class StepGraph(Generic[Memory]):
    """The captured launches of a step of one shape, and the buffers they read and write.

    Sequences behind those of the batch have no tokens. Tokens behind those of the batch write nowhere (slot -1), and
    nobody looks at their logits.
    """

    def __init__(self, model: Model[Memory], cache: Memory, ops: Ops, shape: StepShape, table_width: int) -> None:
        sequences, tokens, max_query_len = shape
        per_sequence = torch.zeros(sequences, dtype=torch.int32)
        per_token = torch.zeros(tokens, dtype=torch.int32)
        self.inputs = Batch(
            tokens=per_token, positions=per_token.clone(), slots=torch.full((tokens,), -1),
            cu_seqlens=torch.zeros(sequences + 1, dtype=torch.int32), context_lens=per_sequence,
            block_tables=per_sequence.new_zeros(sequences, table_width), state_slots=torch.full_like(per_sequence, -1),
            lookaheads=per_sequence.clone(), sequence_ids=per_token.clone(),
            logit_rows=torch.arange(tokens, dtype=torch.int32), max_query_len=max_query_len,
        ).to(model.device)  # fmt: skip
        self._model, self._cache, self._ops = model, cache, ops
        self._graph: LaunchGraph | None = None
        self._logits = self._picked = torch.empty(0)

    def capture(self, batch: Batch) -> Tensor:
        """Run the step for the first time, launch by launch, and keep the launches. Returns the wanted logits."""
        self._load(batch)
        self._graph = LaunchGraph(self._run, self._ops.backend, self._model.device)
        return self._wanted(batch)

    def replay(self, batch: Batch) -> tuple[Tensor, float]:
        """Run the step again on another batch; return the wanted logits and the seconds spent in the launches."""
        assert self._graph is not None
        self._load(batch)
        started = time.perf_counter()
        self._graph.replay()
        return self._wanted(batch), time.perf_counter() - started

    def _run(self) -> None:
        self._logits = self._model.forward(self.inputs, self._cache, self._ops)

    def _wanted(self, batch: Batch) -> Tensor:
        tokens = batch.tokens.shape[0]
        if batch.logit_rows.shape[0] == tokens:
            return self._logits[:tokens]
        if not len(self._picked):
            self._picked = torch.empty_like(self._logits)
        rows = batch.logit_rows.to(self._logits.device)
        return torch.index_select(self._logits, 0, rows, out=self._picked[: len(rows)])

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
        if sequences < inputs.context_lens.shape[0]:
            inputs.cu_seqlens[sequences + 1 :].fill_(tokens)
            inputs.state_slots[sequences:].fill_(-1)
        if tokens < inputs.tokens.shape[0]:
            inputs.slots[tokens:].fill_(-1)
            inputs.sequence_ids[tokens:].fill_(inputs.context_lens.shape[0] - 1)
