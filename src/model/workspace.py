"""The activations of a forward pass, allocated once and used again by every layer and step."""

from typing import NamedTuple

import torch
from torch import Tensor

from model.config import LlamaConfig


class QueryKeyValue(NamedTuple):
    """Where projections write (one fused output, or three), and the same memory as heads [T, heads,
    head_dim]."""

    outputs: tuple[Tensor, ...]
    heads: tuple[Tensor, ...]


class Workspace(NamedTuple):
    """Buffers for T tokens and L wanted rows; D = width, F = ffn_width. fused and separate share their
    memory."""

    residual: Tensor  # f32 [T, D]
    normed: Tensor  # [T, D], what a norm hands to its projections
    branch: Tensor  # [T, D], what attention or MLP adds to the residual stream
    fused: QueryKeyValue
    separate: QueryKeyValue
    attended: Tensor  # [T, n_heads * head_dim]
    gated: Tensor  # [T, F]
    rows: Tensor  # [L, D], the wanted rows of normed
    logits: Tensor  # f32 [L, vocab_size]


class WorkspacePool:
    """Cuts workspaces from memory that is kept per power of two of tokens: a workspace of the same size is
    the same memory again, and none moves while a captured graph points to it."""

    def __init__(self, config: LlamaConfig, dtype: torch.dtype, device: torch.device) -> None:
        self._config = config
        self._dtype = dtype
        self._device = device
        self._memory: dict[tuple[str, int], Tensor] = {}

    def workspace(self, tokens: int, rows: int) -> Workspace:
        """Buffers for this many tokens and wanted rows, with arbitrary contents."""
        config = self._config
        q_width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        fused = self._buffer("qkv", tokens, q_width + 2 * kv_width)
        parts = fused.split([q_width, kv_width, kv_width], dim=1)
        flat = fused.view(-1).split([tokens * q_width, tokens * kv_width, tokens * kv_width])
        outputs = tuple(part.view(tokens, -1) for part in flat)
        return Workspace(
            residual=self._buffer("residual", tokens, config.width, torch.float32),
            normed=self._buffer("normed", tokens, config.width),
            branch=self._buffer("branch", tokens, config.width),
            fused=QueryKeyValue((fused,), self._heads(parts)),
            separate=QueryKeyValue(outputs, self._heads(outputs)),
            attended=self._buffer("attended", tokens, q_width),
            gated=self._buffer("gated", tokens, config.ffn_width),
            rows=self._buffer("rows", rows, config.width),
            logits=self._buffer("logits", rows, config.vocab_size, torch.float32),
        )

    def _heads(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(1, (-1, self._config.head_dim)) for part in parts)

    def _buffer(self, name: str, rows: int, width: int, dtype: torch.dtype | None = None) -> Tensor:
        capacity = 1 << max(rows - 1, 0).bit_length()
        if (name, capacity) not in self._memory:
            memory = torch.empty(capacity, width, dtype=dtype or self._dtype, device=self._device)
            self._memory[name, capacity] = memory
        return self._memory[name, capacity][:rows]
