"""The memory of attention: keys and values of all layers, in blocks that block tables hand out."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.config import LlamaConfig
from model.memory import check_saved
from model.sequence_step import SequenceStep

CACHE_LINE = 64  # bytes; vectors that cross one are read twice


class KVCache:
    """k and v [n_layers, num_blocks, n_kv_heads, block_size, head_dim] of `dtype`; which block belongs to
    whom is not known here. The memory is taken from the system only as blocks are written. Saved keys and values are
    [n_layers, n_kv_heads, tokens, head_dim], whatever the block size."""

    layout = "kv:layer,head,token"
    truncates = True
    rollback = 1 << 30  # tokens: all
    mode = None

    def __init__(
        self, config: LlamaConfig, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.n_layers, num_blocks, config.n_kv_heads, block_size, config.head_dim)
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.k = lazy_zeros(shape, dtype, device)
        self.v = lazy_zeros(shape, dtype, device)
        self.layers = list(zip(self.k.unbind(), self.v.unbind(), strict=True))

    @staticmethod
    def block_bytes(config: LlamaConfig, block_size: int, dtype: torch.dtype) -> int:
        """Bytes of keys and values of one block in all layers."""
        return 2 * config.n_layers * config.n_kv_heads * config.head_dim * block_size * dtype.itemsize

    def prepare(self, steps: Sequence[SequenceStep]) -> None:
        """Nothing to do: steps name their blocks themselves."""

    def copy_block(self, source: int, target: int) -> None:
        """See SequenceMemory."""
        self.k[:, target] = self.k[:, source]
        self.v[:, target] = self.v[:, source]

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, Tensor]:
        """See SequenceMemory."""
        used = list(blocks[: -(-tokens // self.block_size)])
        pages = {"k": self.k[:, used], "v": self.v[:, used]}  # [n_layers, blocks, n_kv_heads, block_size, head_dim]
        return {name: page.transpose(1, 2).flatten(2, 3)[:, :, :tokens].cpu().clone() for name, page in pages.items()}

    def restore(self, tensors: dict[str, Tensor], blocks: Sequence[int], tokens: int) -> None:
        """See SequenceMemory."""
        layers, _, heads, _, width = self.k.shape
        expected = self.k.new_empty(1).expand(layers, heads, tokens, width)
        check_saved(tensors, {"k": expected, "v": expected})
        for cache, name in ((self.k, "k"), (self.v, "v")):
            for i, block in enumerate(blocks[: -(-tokens // self.block_size)]):
                part = tensors[name][:, :, i * self.block_size : (i + 1) * self.block_size]
                cache[:, block, :, : part.shape[2]] = part.to(cache.device)


def lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros; on a CPU from numpy, whose pages come from the system only when written (torch writes them all)."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)
