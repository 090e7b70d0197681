"""Writes an RWKV-7 of random weights as an official `.pth`, by default of the official 0.1B shape.

For measuring speed where no trained model is to be had: python experiments/random_rwkv7.py rwkv7-0.1b.pth
Nothing in it is zero and its scales keep activations near 1, so no engine can skip what a trained model would not.
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

RANKS = {"w": 64, "a": 64, "v": 32, "g": 128}


def random_rwkv7(layers: int, width: int, vocabulary: int, head_size: int, seed: int) -> dict[str, Tensor]:
    """All tensors under their official names, bf16."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float, mean: float = 0.0) -> Tensor:
        return mean + std * torch.randn(shape, generator=generator)

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": normal(width, std=0.02, mean=1.0), f"{name}.bias": normal(width, std=0.02)}

    def square(std: float = 1.0) -> Tensor:
        return normal(width, width, std=std / math.sqrt(width))

    def layer(index: int) -> dict[str, Tensor]:
        into_residual = 1 / math.sqrt(2 * layers)  # what a layer adds, so that the stream grows to about 1
        time_mix = {f"x_{name}": torch.rand(1, 1, width, generator=generator) for name in "rwkvag"}
        for name, rank in RANKS.items():
            time_mix[f"{name}1"] = normal(width, rank, std=0.5 / math.sqrt(width))
            time_mix[f"{name}2"] = normal(rank, width, std=(1.0 if name == "g" else 0.5) / math.sqrt(rank))
        speeds = torch.linspace(0, 1, width) ** (0.9 + index / layers)
        time_mix |= {
            "w0": (-6.5 + 5 * speeds).view(1, 1, width),  # decays from nearly none to fast
            "a0": normal(1, 1, width, std=0.3),
            "v0": normal(1, 1, width, std=0.3, mean=1.0),
            "k_k": normal(1, 1, width, std=0.05, mean=0.85),
            "k_a": normal(1, 1, width, std=0.05, mean=1.0),
            "r_k": normal(width // head_size, head_size, std=0.1),
            "receptance.weight": square(),
            "key.weight": square(),
            "value.weight": square(),
            "output.weight": square(into_residual),
            **norm("ln_x"),
        }
        channel_mix = {
            "x_k": torch.rand(1, 1, width, generator=generator),
            "key.weight": normal(4 * width, width, std=1 / math.sqrt(width)),
            "value.weight": normal(width, 4 * width, std=into_residual / math.sqrt(4 * width)),
        }
        tensors = norm("ln1") | norm("ln2") | (norm("ln0") if index == 0 else {})
        tensors |= {f"att.{name}": tensor for name, tensor in time_mix.items()}
        tensors |= {f"ffn.{name}": tensor for name, tensor in channel_mix.items()}
        return {f"blocks.{index}.{name}": tensor for name, tensor in tensors.items()}

    tensors = {"emb.weight": normal(vocabulary, width, std=0.02)}
    for index in range(layers):
        tensors |= layer(index)
    tensors |= norm("ln_out") | {"head.weight": normal(vocabulary, width, std=2 / math.sqrt(width))}
    return {name: tensor.bfloat16().contiguous() for name, tensor in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=65536)
    parser.add_argument("--head-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tensors = random_rwkv7(options.layers, options.width, options.vocabulary, options.head_size, options.seed)
    torch.save(tensors, options.path)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    print(f"{options.path}: {parameters / 1e6:.1f}M parameters in bf16")


if __name__ == "__main__":
    main()
