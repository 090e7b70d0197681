"""One step's work as flat tensors: any mix of prefill chunks, single decode tokens and drafts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import NamedTuple

import torch


@dataclass(frozen=True)
class Batch:
    """S sequences with T new tokens in all, and the L of them whose logits are wanted.

    A sequence's tokens follow each other. max_query_len: the most new tokens of a sequence.
    """

    tokens: torch.Tensor  # i32 [T]
    positions: torch.Tensor  # i32 [T], from 0 in each sequence
    slots: torch.Tensor  # i64 [T], where keys and values go: block * block_size + offset; negative: nowhere
    cu_seqlens: torch.Tensor  # i32 [S + 1], where each sequence's tokens begin
    context_lens: torch.Tensor  # i32 [S], tokens of the sequence, the new ones included
    block_tables: torch.Tensor  # i32 [S, max_blocks], the sequence's cache blocks in order
    state_slots: torch.Tensor  # i32 [S], its first block: where a recurrent model keeps its state; negative: nowhere
    lookaheads: torch.Tensor  # i32 [S], see SequenceStep
    sequence_ids: torch.Tensor  # i32 [T], the sequence of each token
    logit_rows: torch.Tensor  # i32 [L], indices into the T tokens, ascending
    max_query_len: int

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on `device`."""
        tensors = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name != "max_query_len"
        }
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return Batch(**moved, max_query_len=self.max_query_len)


class SequenceStep(NamedTuple):
    """One sequence's part of a step: `tokens` come after the `cached` ones; `blocks` are its cache blocks,
    enough for all of them; logits are wanted for the last `n_logits` tokens.

    lookahead: tokens of further steps that may be taken back, and all but the first of this one with them: a recurrent
    state writes none of them before.
    """

    tokens: Sequence[int]
    cached: int
    blocks: Sequence[int]
    n_logits: int
    lookahead: int = 0


def make_batch(steps: Sequence[SequenceStep], block_size: int) -> Batch:
    """Lay out the step of at least one sequence; tensors are on the CPU."""
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    sequence_ids: list[int] = []
    logit_rows: list[int] = []
    cu_seqlens = [0]
    for index, step in enumerate(steps):
        tokens += step.tokens
        end = step.cached + len(step.tokens)
        positions += range(step.cached, end)
        slots += [
            step.blocks[at // block_size] * block_size + at % block_size for at in range(step.cached, end)
        ]
        sequence_ids += [index] * len(step.tokens)
        logit_rows += range(len(tokens) - step.n_logits, len(tokens))
        cu_seqlens.append(len(tokens))
    width = max(len(step.blocks) for step in steps)
    tables = [[*step.blocks, *[0] * (width - len(step.blocks))] for step in steps]
    contexts = [step.cached + len(step.tokens) for step in steps]
    firsts = [step.blocks[0] for step in steps]
    aheads = [step.lookahead for step in steps]
    rows = [tokens, positions, sequence_ids, cu_seqlens, contexts, firsts, aheads, logit_rows, list(chain(*tables))]
    # One tensor cut into parts: making each of them would take most of a small step's Python.
    parts = torch.tensor(list(chain(*rows)), dtype=torch.int32).split([len(row) for row in rows])
    return Batch(
        tokens=parts[0],
        positions=parts[1],
        slots=torch.tensor(slots, dtype=torch.int64),
        cu_seqlens=parts[3],
        context_lens=parts[4],
        block_tables=parts[8].view(len(steps), width),
        state_slots=parts[5],
        lookaheads=parts[6],
        sequence_ids=parts[2],
        logit_rows=parts[7],
        max_query_len=max(len(step.tokens) for step in steps),
    )
