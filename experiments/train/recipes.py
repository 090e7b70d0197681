"""The four models: their shapes, and how long and how fast each learns."""

from dataclasses import dataclass

import torch
from torch import nn

from experiments.train.llama import Llama, LlamaShape
from experiments.train.rwkv7 import RWKV7, RWKV7Shape
from experiments.train.tokens import VOCAB_SIZE

SEED = 7
BATCH = 2  # windows in a step: with so few tokens to learn from, many small steps beat few large ones
CONTEXT = 512  # tokens in a window


@dataclass(frozen=True)
class Recipe:
    """A shape, the highest learning rate, and the number of steps of BATCH windows."""

    shape: RWKV7Shape | LlamaShape
    learning_rate: float
    steps: int


RECIPES = {
    "rwkv7-1m": Recipe(RWKV7Shape(VOCAB_SIZE, width=128, n_layers=3, ffn_width=384), 3e-3, 1800),
    "rwkv7-4m": Recipe(RWKV7Shape(VOCAB_SIZE, width=256, n_layers=4, ffn_width=768), 2e-3, 1600),
    "llama-1m": Recipe(
        LlamaShape(VOCAB_SIZE, width=128, n_layers=4, n_heads=2, n_kv_heads=1, ffn_width=352), 3e-3, 3000
    ),
    "llama-4m": Recipe(
        LlamaShape(VOCAB_SIZE, width=256, n_layers=4, n_heads=4, n_kv_heads=2, ffn_width=704), 2e-3, 2700
    ),
}


def build_model(shape: RWKV7Shape | LlamaShape) -> nn.Module:
    """A model with its initial weights, the same at every call."""
    torch.manual_seed(SEED)
    return RWKV7(shape) if isinstance(shape, RWKV7Shape) else Llama(shape)
