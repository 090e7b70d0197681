"""What a model is to those who run it."""

from typing import Protocol, TypeVar

import torch
from torch import Tensor

from kernels.ops import Ops
from model.batch import Batch
from model.memory import SequenceMemory

Memory = TypeVar("Memory", bound=SequenceMemory)


class Model(Protocol[Memory]):  # type: ignore[misc]
    """A forward pass of either family. max_context: tokens of the longest sequence."""

    max_context: int
    device: torch.device

    def forward(self, batch: Batch, cache: Memory, ops: Ops) -> Tensor:
        """Run the batch, leave its traces in the cache, return logits f32 [L, vocab_size].

        The result is a buffer of the model, which the next call may write over. Nothing but launches of `ops` touches
        the contents of tensors, so that the call can be captured and replayed on the same buffers; which launches there
        are depends on the batch's shapes and the cache's `mode` only.
        """
        ...
