"""The activations of a Llama's forward pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from kernels.paged_attention import scratch_size
from model.buffer_pool import BufferPool
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
    scratch: Tensor  # f32, for paged_attention
    attended: Tensor  # [T, n_heads * head_dim]
    gated: Tensor  # [T, F]
    rows: Tensor  # [L, D], the wanted rows of normed
    logits: Tensor  # f32 [L, vocab_size]


def cut_workspace(pool: BufferPool, config: LlamaConfig, tokens: int, rows: int) -> Workspace:
    """Buffers for this many tokens and wanted rows, with arbitrary contents."""
    q_width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    fused = pool.buffer("qkv", tokens, q_width + 2 * kv_width)
    parts = fused.split([q_width, kv_width, kv_width], dim=1)
    scratch = scratch_size(1, config.n_heads, config.head_dim, fused.device)
    flat = fused.view(-1).split([tokens * q_width, tokens * kv_width, tokens * kv_width])
    outputs = tuple(part.view(tokens, -1) for part in flat)
    return Workspace(
        residual=pool.buffer("residual", tokens, config.width, torch.float32),
        normed=pool.buffer("normed", tokens, config.width),
        branch=pool.buffer("branch", tokens, config.width),
        fused=QueryKeyValue((fused,), _heads(parts, config)),
        separate=QueryKeyValue(outputs, _heads(outputs, config)),
        scratch=pool.buffer("scratch", tokens, scratch, torch.float32).view(-1),
        attended=pool.buffer("attended", tokens, q_width),
        gated=pool.buffer("gated", tokens, config.ffn_width),
        rows=pool.buffer("rows", rows, config.width),
        logits=pool.buffer("logits", rows, config.vocab_size, torch.float32),
    )


def _heads(parts: tuple[Tensor, ...], config: LlamaConfig) -> tuple[Tensor, ...]:
    return tuple(part.unflatten(1, (-1, config.head_dim)) for part in parts)
