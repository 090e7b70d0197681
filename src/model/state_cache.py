"""The memory of a recurrent model: a state for each sequence, and a short log of what has not been written into it.

A slot holds, for each layer, the wkv state of its first tokens (the base), a log of the rank-1 updates of up to
`log_size` tokens after them, and the rows that token shift looks back to: row 0 those after the base, row i those
after log entry i. A decode step appends to the log and reads the base; the base is written only when the log is full.
Taking back the last tokens, which speculation does, shortens the log.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kernels.wkv7_arguments import DIRECT, FRESH
from model.batch import Batch
from model.errors import ModelFileError
from model.kv_cache import lazy_zeros
from model.memory import check_saved
from model.rwkv7_config import Rwkv7Config


class LayerState(NamedTuple):
    """One layer's part of the cache, for P slots of H heads of N and a log of M tokens. D = H * N."""

    wkv: Tensor  # f32 [P, H, N, N], rows: value index, columns: key index
    log: Tensor  # f32 [P, M, 5, H, N]: log_w, k, v, a, b of a token
    time_shift: Tensor  # f32 [P, M + 1, D], what time mix sees of the token before
    channel_shift: Tensor  # f32 [P, M + 1, D], the same of channel mix


class StepPlan(NamedTuple):
    """What the kernels of a step do with each slot, i32 [P] each (kernels/wkv7.py, kernels/token_shift.py)."""

    log_lens: Tensor  # entries in the log before the step, or DIRECT, or FRESH
    fold_lens: Tensor  # entries that go into the base before anything else
    read_rows: Tensor  # where the row before the step's first token lies; -1: there is none
    first_rows: Tensor  # where the row of the step's first token would go; negative: not stored


class StateCache:
    """States of `num_blocks` sequences. Which slot belongs to whom is not known here, but how many tokens it has seen
    is, so that a step can be checked, and rolled back, by what its batch calls cached.

    log_size 0: every token is written into its state at once, and nothing can be taken back.
    """

    block_size = 1 << 30  # tokens: a state is never full
    layout = "rwkv7:state vk, log wkvab"
    truncates = False

    def __init__(self, config: Rwkv7Config, num_slots: int, log_size: int, device: torch.device) -> None:
        layers, width, size = config.n_layers, config.width, config.head_size
        heads = width // size
        self.num_blocks = num_slots
        self.log_size = log_size
        self._wkv = lazy_zeros((layers, num_slots, heads, size, size), torch.float32, device)
        self._log = lazy_zeros((layers, num_slots, log_size, 5, heads, size), torch.float32, device)
        self._shift = lazy_zeros((2, layers, num_slots, log_size + 1, width), torch.float32, device)
        parts = (self._wkv.unbind(), self._log.unbind(), self._shift[0].unbind(), self._shift[1].unbind())
        self.layers = [LayerState(*tensors) for tensors in zip(*parts, strict=True)]
        self._held = np.zeros(num_slots, np.int64)  # tokens that base and log together stand for
        self._logged = np.zeros(num_slots, np.int64)  # of which in the log
        self._host_plan = torch.zeros(len(StepPlan._fields), num_slots, dtype=torch.int32)
        self._columns = self._host_plan.numpy()
        self._device_plan = self._host_plan.to(device)  # on a CPU: the same memory
        self.plan = StepPlan(*self._device_plan.unbind())

    @staticmethod
    def slot_bytes(config: Rwkv7Config, log_size: int) -> int:
        """Bytes of one sequence's state, log and shift rows in all layers."""
        numbers = config.width * (config.head_size + 5 * log_size + 2 * (log_size + 1))
        return 4 * config.n_layers * numbers

    def prepare(self, batch: Batch) -> None:
        """See SequenceMemory. Fills `plan`."""
        starts = batch.cu_seqlens.tolist()
        for i, (slot, length) in enumerate(zip(batch.state_slots.tolist(), batch.context_lens.tolist(), strict=True)):
            new = starts[i + 1] - starts[i]
            self._columns[:, slot] = self._plan_slot(slot, length - new, new)
        if self._device_plan is not self._host_plan:
            self._device_plan.copy_(self._host_plan)

    def _plan_slot(self, slot: int, cached: int, new: int) -> tuple[int, int, int, int]:
        """The slot's column of the plan, for `new` tokens behind `cached` ones; takes note of both."""
        if cached == 0:
            log_len, fold, read = FRESH, 0, -1
        else:
            read = int(self._logged[slot]) - self._taken_back(slot, cached)
            if new > self.log_size:
                log_len, fold = DIRECT, read
            elif read + new > self.log_size:
                log_len, fold = 0, read
            else:
                log_len, fold = read, 0
        self._held[slot] = cached + new
        self._logged[slot] = log_len + new if log_len >= 0 else 0
        return log_len, fold, read, log_len + 1 if log_len >= 0 else 1 - new

    def _taken_back(self, slot: int, cached: int) -> int:
        """How many of the slot's tokens the batch does without."""
        extra = int(self._held[slot]) - cached
        if extra and not 0 < extra < self._logged[slot]:  # the first entry's row before it may be gone
            raise ValueError(
                f"the state in slot {slot} is that of {self._held[slot]} tokens, of which the last "
                f"{max(0, self._logged[slot] - 1)} can be taken back: it cannot continue after {cached}"
            )
        return extra

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, Tensor]:
        """See SequenceMemory."""
        slot = blocks[0]
        logged = int(self._logged[slot]) - self._taken_back(slot, tokens)
        return {name: tensor.cpu().clone() for name, tensor in self._parts(slot, logged).items()}

    def restore(self, tensors: dict[str, Tensor], blocks: Sequence[int], tokens: int) -> None:
        """See SequenceMemory."""
        slot = blocks[0]
        logged = tensors["log"].shape[1] if "log" in tensors and tensors["log"].dim() > 1 else 0
        if logged > min(self.log_size, tokens):
            raise ModelFileError(f"a saved state has a log of {logged} tokens, this cache has room for {self.log_size}")
        parts = self._parts(slot, logged)
        check_saved(tensors, parts)
        for name, part in parts.items():
            part.copy_(tensors[name])
        self._held[slot] = tokens
        self._logged[slot] = logged

    def _parts(self, slot: int, logged: int) -> dict[str, Tensor]:
        """The memory of a sequence in all layers, with so many entries in its log."""
        return {
            "wkv": self._wkv[:, slot],
            "log": self._log[:, slot, :logged],
            "shift": self._shift[:, :, slot, : logged + 1],
        }
