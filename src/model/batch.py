"""One step's work as flat tensors: any mix of prefill chunks, single decode tokens and drafts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.sequence_step import SequenceStep

_ALIGNMENT = 16  # numbers: kernels are compiled for addresses that are as even as those of tensors of their own


class StepShape(NamedTuple):
    """How large a step is, or what a batch has room for. rows: whose logits are computed."""

    sequences: int
    tokens: int
    rows: int
    max_query_len: int


def step_shape(steps: Sequence[SequenceStep]) -> StepShape:
    """The size of a step of at least one sequence."""
    counts = [len(step.tokens) for step in steps]
    return StepShape(len(counts), sum(counts), sum([step.n_logits for step in steps]), max(counts))


@dataclass(frozen=True)
class Batch:
    """S sequences with T new tokens in all, and the L of them whose logits are wanted.

    A sequence's tokens follow each other. max_query_len: the most new tokens of a sequence.
    """

    tokens: Tensor  # i32 [T]
    positions: Tensor  # i32 [T], from 0 in each sequence
    slots: Tensor  # i64 [T], where keys and values go: block * block_size + offset; negative: nowhere
    cu_seqlens: Tensor  # i32 [S + 1], where each sequence's tokens begin
    context_lens: Tensor  # i32 [S], tokens of the sequence, the new ones included
    block_tables: Tensor  # i32 [S, max_blocks], the sequence's cache blocks in order
    state_slots: Tensor  # i32 [S], its first block: where a recurrent model keeps its state; negative: nowhere
    sequence_ids: Tensor  # i32 [T], the sequence of each token
    logit_rows: Tensor  # i32 [L], indices into the T tokens, ascending
    max_query_len: int


class _Arrays(NamedTuple):
    """The tensors of a batch as the host writes them."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    slots: NDArray[np.int64]
    cu_seqlens: NDArray[np.int32]
    context_lens: NDArray[np.int32]
    block_tables: NDArray[np.int32]
    state_slots: NDArray[np.int32]
    sequence_ids: NDArray[np.int32]
    logit_rows: NDArray[np.int32]


class BatchBuffer:
    """Memory for batches of one shape, filled in place again and again.

    A shape may have more room than a batch needs. Sequences behind those of the batch have no tokens. Tokens behind
    those of the batch write nowhere (slot -1) and belong to the last sequence, which must be nobody's then. Rows behind
    those that are wanted are those of any tokens.
    """

    def __init__(self, shape: StepShape, table_width: int, block_size: int, device: torch.device) -> None:
        """table_width: the most blocks of a sequence."""
        self._block_size = block_size
        self._host = _allocate(shape, table_width, torch.device("cpu"))
        self._device = self._host if device.type == "cpu" else _allocate(shape, table_width, device)
        self.batch = _cut(self._device, shape, table_width)
        written = _cut(self._host, shape, table_width)
        self._arrays = _Arrays(*(getattr(written, name).numpy() for name in _Arrays._fields))
        self._pattern: tuple[list[int], list[int]] = [], []
        self._counts = self._offsets = np.empty(0, np.int32)  # tokens of each sequence; each token's place among them
        self._blocks: list[Sequence[int] | None] = []  # of each sequence, as they are in the tables

    def fill(self, steps: Sequence[SequenceStep]) -> None:
        """Lay out a step of at least one sequence. Most are like the one before but for tokens and lengths, so that no
        more is written."""
        pattern = [len(step.tokens) for step in steps], [step.n_logits for step in steps]
        if pattern != self._pattern:
            self._lay_out(*pattern)
        arrays, count = self._arrays, len(self._offsets)
        for index, step in enumerate(steps):
            if step.blocks != self._blocks[index]:
                arrays.block_tables[index, : len(step.blocks)] = step.blocks
                arrays.state_slots[index] = step.blocks[0]
                self._blocks[index] = list(step.blocks)
        cached = np.array([step.cached for step in steps], np.int32)
        ids = arrays.sequence_ids[:count]
        arrays.tokens[:count] = list(chain.from_iterable([step.tokens for step in steps]))
        np.add(cached, self._counts, out=arrays.context_lens[: len(steps)])
        positions = np.add(cached[ids], self._offsets, out=arrays.positions[:count])
        nth, places = np.divmod(positions, self._block_size)
        slots = np.multiply(arrays.block_tables[ids, nth], np.int64(self._block_size), out=arrays.slots[:count])
        slots += places
        if self._device is not self._host:
            self._device.copy_(self._host)

    def _lay_out(self, counts: list[int], wanted: list[int]) -> None:
        """Write all that the numbers of tokens and of wanted rows decide."""
        arrays, sequences, count = self._arrays, len(counts), sum(counts)
        self._pattern = counts, wanted
        self._counts = np.array(counts, np.int32)
        ends = self._counts.cumsum(dtype=np.int32)
        self._offsets = np.arange(count, dtype=np.int32) - np.repeat(ends - self._counts, counts)
        self._blocks = [None] * sequences
        arrays.cu_seqlens[1 : sequences + 1] = ends
        arrays.cu_seqlens[sequences + 1 :] = count
        arrays.state_slots[sequences:] = -1
        arrays.slots[count:] = -1
        arrays.sequence_ids[:count] = np.repeat(np.arange(sequences), counts)
        arrays.sequence_ids[count:] = len(arrays.context_lens) - 1
        rows = [row for end, some in zip(ends.tolist(), wanted, strict=True) for row in range(end - some, end)]
        arrays.logit_rows[:] = np.arange(len(arrays.logit_rows))
        arrays.logit_rows[: len(rows)] = rows


def make_batch(steps: Sequence[SequenceStep], block_size: int, device: torch.device) -> Batch:
    """A batch with no more room than it needs."""
    buffer = BatchBuffer(step_shape(steps), max(len(step.blocks) for step in steps), block_size, device)
    buffer.fill(steps)
    return buffer.batch


def _sizes(shape: StepShape, table_width: int) -> list[int]:
    """Numbers of 32 bits in each field of a Batch, in order."""
    sequences, tokens, rows, _ = shape
    return [tokens, tokens, 2 * tokens, sequences + 1, sequences, sequences * table_width, sequences, tokens, rows]


def _allocate(shape: StepShape, table_width: int, device: torch.device) -> Tensor:
    """All of a batch's numbers in one tensor, which takes one copy to a GPU."""
    size = sum(map(_aligned, _sizes(shape, table_width)))
    return torch.zeros(size, dtype=torch.int32, device=device)


def _cut(numbers: Tensor, shape: StepShape, table_width: int) -> Batch:
    sizes = _sizes(shape, table_width)
    parts = numbers.split([_aligned(size) for size in sizes])
    tokens, positions, slots, starts, lens, tables, state_slots, ids, rows = (
        part[:size] for part, size in zip(parts, sizes, strict=True)
    )
    tables, slots = tables.view(shape.sequences, table_width), slots.view(torch.int64)
    return Batch(tokens, positions, slots, starts, lens, tables, state_slots, ids, rows, shape.max_query_len)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
