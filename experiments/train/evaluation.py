"""Bits per byte on documents that were never trained on: comparable between models whatever their vocabulary."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from experiments.train.recipes import CONTEXT
from experiments.train.tokens import CONTROL, TokenData


@torch.no_grad()
def bits_per_byte(model: nn.Module, data: TokenData) -> dict[str, float]:
    """Bits per byte of each corpus and, as `all`, of their bytes together.

    A document is read in windows of CONTEXT tokens that do not see each other; predictions of control tokens do not
    count, and neither do their names as bytes.
    """
    bits, size = {}, {}
    for name, documents in data.held_out.items():
        bits[name] = sum(_document_bits(model, ids) for ids, _ in documents)
        size[name] = sum(n_bytes for _, n_bytes in documents)
    return {name: bits[name] / size[name] for name in bits} | {"all": sum(bits.values()) / sum(size.values())}


def _document_bits(model: nn.Module, ids: torch.Tensor) -> float:
    total = 0.0
    for start in range(0, len(ids) - 1, CONTEXT):
        window = ids[start : start + CONTEXT + 1]
        targets = window[1:]
        losses = F.cross_entropy(model(window[None, :-1])[0], targets, reduction="none")
        total += losses[targets >= len(CONTROL)].sum().item()
    return total / math.log(2)
