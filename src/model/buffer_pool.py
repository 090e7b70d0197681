"""Memory for the activations of forward passes, taken once and used again by every layer and step."""

import torch
from torch import Tensor


class BufferPool:
    """Hands out buffers by name and size, each cut from memory that is kept per power of two of rows: a buffer of the
    same size is the same memory again, and none moves while a captured graph points to it. dtype: the default."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._device = device
        self._memory: dict[tuple[str, int], Tensor] = {}

    def buffer(self, name: str, rows: int, width: int, dtype: torch.dtype | None = None) -> Tensor:
        """A contiguous [rows, width] with arbitrary contents. A name always comes with the same width and dtype."""
        capacity = 1 << max(rows - 1, 0).bit_length()
        if (name, capacity) not in self._memory:
            memory = torch.empty(capacity, width, dtype=dtype or self._dtype, device=self._device)
            self._memory[name, capacity] = memory
        return self._memory[name, capacity][:rows]
