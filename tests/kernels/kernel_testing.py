"""What the kernel tests share: inputs, guarded outputs, tolerances."""

import gguf
import numpy as np
import torch
import triton
from torch import Tensor

from kernels.packed import BlockFormat, PackedTensor

INTERPRETED = triton.knobs.runtime.interpret
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu")
# Triton's interpreter computes wrongly in bf16.
ACTIVATIONS = [torch.float32, torch.float16] + ([] if INTERPRETED else [torch.bfloat16])
FORMATS = list(BlockFormat)
GUARD_BYTES = 256
POISON = 0xFF  # bytes of NaN in every float type, -1 in every integer type


class Guarded:
    """Poisoned tensors between guard bands."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.buffers: list[Tensor] = []

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        size = int(np.prod(shape)) * dtype.itemsize
        buffer = torch.full((size + 2 * GUARD_BYTES,), POISON, dtype=torch.uint8, device=self.device)
        self.buffers.append(buffer)
        return buffer[GUARD_BYTES : GUARD_BYTES + size].view(dtype).view(shape)

    def check(self) -> None:
        for buffer in self.buffers:
            assert (buffer[:GUARD_BYTES] == POISON).all(), "something wrote before an output"
            assert (buffer[-GUARD_BYTES:] == POISON).all(), "something wrote behind an output"


def normal(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype).to(DEVICE)


def integers(values: list, dtype: torch.dtype = torch.int32) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=DEVICE)


def packed(shape: tuple[int, int], block_format: BlockFormat, seed: int = 0) -> PackedTensor:
    """Normal weights, quantised by gguf."""
    dense = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    blocks = gguf.quants.quantize(dense, gguf.GGMLQuantizationType[block_format.name])
    return PackedTensor(torch.from_numpy(blocks).to(DEVICE), block_format)


def assert_close(actual: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """The RMS of the error is within what rounding to `dtype`, a few times over, explains."""
    assert actual.shape == expected.shape
    actual, expected = actual.double(), expected.double()
    error = (actual - expected).square().mean().sqrt()
    scale = expected.square().mean().sqrt()
    tolerance = 2 * torch.finfo(dtype).eps if dtype != torch.float32 else 5e-6
    assert error <= tolerance * scale + 1e-30, f"relative error {float(error / scale):.2e} over {tolerance:.2e}"
