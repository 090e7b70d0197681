"""The activations of an RWKV-7 forward pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from model.buffer_pool import BufferPool
from model.rwkv7_config import Rwkv7Config

MOST_MIXES = 7  # inputs that token shift makes of one


class Rwkv7Workspace(NamedTuple):
    """Buffers for T tokens and L wanted rows; D = width, F = ffn_width. Layers differ in how much of shifted and
    hidden they need."""

    residual: Tensor  # f32 [T, D]
    normed: Tensor  # [T, D], what a norm hands to its mix
    branch: Tensor  # [T, D], what a mix adds to the residual stream
    shifted: Tensor  # flat, MOST_MIXES * T * D
    r: Tensor  # [T, D], as are the next four
    k: Tensor
    v: Tensor
    v_first: Tensor  # the first layer's v
    g: Tensor
    log_w: Tensor  # f32 [T, D]
    alpha: Tensor  # [T, D], as are the next three
    nu: Tensor
    a: Tensor
    b: Tensor
    y: Tensor  # f32 [T, D], what the recurrence gives
    mixed: Tensor  # [T, D], what time mix gives to its output projection
    hidden: Tensor  # flat, T times the most ranks of a layer: inside of the low-rank branches
    squared: Tensor  # [T, F]
    scratch: Tensor  # i32 [F + 1], for sparse_linear
    rows: Tensor  # [L, D], what the last channel mix reads of the wanted rows
    residual_rows: Tensor  # f32 [L, D], the wanted rows of residual
    logits: Tensor  # f32 [L, vocab_size]


def cut_rwkv7_workspace(pool: BufferPool, config: Rwkv7Config, ranks: int, tokens: int, rows: int) -> Rwkv7Workspace:
    """Buffers for this many tokens and wanted rows, with arbitrary contents. ranks: of a layer's low-rank branches
    together, at most."""
    width = config.width
    plain = ("normed", "branch", "r", "k", "v", "v_first", "g", "alpha", "nu", "a", "b", "mixed")
    return Rwkv7Workspace(
        **{name: pool.buffer(name, tokens, width) for name in plain},
        **{name: pool.buffer(name, tokens, width, torch.float32) for name in ("residual", "log_w", "y")},
        shifted=pool.buffer("shifted", tokens, MOST_MIXES * width).view(-1),
        hidden=pool.buffer("hidden", tokens, ranks).view(-1),
        scratch=pool.buffer("scratch", 1, config.ffn_width + 1, torch.int32).view(-1),
        squared=pool.buffer("squared", tokens, config.ffn_width),
        rows=pool.buffer("rows", rows, width),
        residual_rows=pool.buffer("residual_rows", rows, width, torch.float32),
        logits=pool.buffer("logits", rows, config.vocab_size, torch.float32),
    )
