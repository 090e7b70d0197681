"""The memory of attention: keys and values of all layers, in blocks that block tables hand out."""

import math

import numpy as np
import torch

from model.config import LlamaConfig

CACHE_LINE = 64  # bytes; vectors that cross one are read twice


class KVCache:
    """k and v [n_layers, num_blocks, n_kv_heads, block_size, head_dim] of `dtype`; which block belongs to
    whom is not known here. The memory is taken from the system only as blocks are written."""

    def __init__(
        self, config: LlamaConfig, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.n_layers, num_blocks, config.n_kv_heads, block_size, config.head_dim)
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.k = _zeros(shape, dtype, device)
        self.v = _zeros(shape, dtype, device)
        self.layers = list(zip(self.k.unbind(), self.v.unbind(), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values when all blocks are in use."""
        return self.k.nbytes + self.v.nbytes


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros; on a CPU from numpy, whose pages come from the system only when written (torch writes them all)."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)
