"""Oracle of kernels.sample: the same semantics by sorting, and the same uniforms."""

import numpy as np
import torch
from torch import Tensor

from kernels.filters import FILTERS
from kernels.reference.argmax import argmax


def philox(seed: int, position: int, count: int) -> np.ndarray:
    """First words, u32, of Philox4x32-10 with key `seed` at (token, position, 0, 0), for token < count."""
    low = np.uint64(0xFFFFFFFF)
    zeros = np.zeros(count, dtype=np.uint64)
    counter = [np.arange(count, dtype=np.uint64), zeros + np.uint64(position), zeros, zeros]
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32 & 0xFFFFFFFF)]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * counter[0], np.uint64(0xCD9E8D57) * counter[2]
        counter = [
            second >> np.uint64(32) ^ counter[1] ^ key[0],
            second & low,
            first >> np.uint64(32) ^ counter[3] ^ key[1],
            first & low,
        ]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return counter[0].astype(np.uint32)


def survivors(
    logits: Tensor, temperature: float, top_k: int, top_p: float, min_p: float, order: tuple[str, ...] = FILTERS
) -> Tensor:
    """Mask [V] of the tokens that the filters leave; logits f32 [V], temperature > 0."""
    top = logits.max()
    descending = logits.argsort(descending=True)
    pivot = torch.tensor(float("-inf"))
    heat = 1.0
    for name in order:
        kept = descending[logits[descending] >= pivot]
        if name == "temperature":
            heat = temperature
        elif name == "top_k" and 0 < top_k < len(kept):
            pivot = logits[kept[top_k - 1]]
        elif name == "top_p" and top_p < 1:
            mass = torch.exp((logits[kept] - top) * (1 / torch.tensor(heat))).double()
            before = mass.cumsum(0) - mass
            pivot = logits[kept[before < top_p * mass.sum()]].amin() if top_p > 0 else top
        elif name == "min_p" and min_p > 0:
            pivot = torch.maximum(pivot, top + heat * torch.tensor(min_p).log())
    return logits >= pivot


def sample(
    logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, seeds: Tensor,
    positions: Tensor, out: Tensor, order: tuple[str, ...] = FILTERS,
) -> Tensor:  # fmt: skip
    argmax(logits, out)
    for s, row in enumerate(logits.cpu()):
        heat = temperature[s].item()
        if heat > 0:
            kept = survivors(row, heat, int(top_k[s]), top_p[s].item(), min_p[s].item(), order)
            bits = torch.from_numpy(philox(int(seeds[s]), int(positions[s]), len(row)).astype(np.float64))
            times = -torch.log1p(-((bits + 0.5) / 2**32))
            keys = ((row - row.max()).double() / heat - times.log()).masked_fill(~kept, float("-inf"))
            out[s] = keys.argmax()
    return out
