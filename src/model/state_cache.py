"""The memory of a recurrent model: a state for each sequence, and a short log of what has not been written into it.

A slot holds, for each layer, the wkv state of its first tokens (the base), a log of the rank-1 updates of up to
`log_size` tokens after them, and the rows that token shift looks back to: row 0 those after the base, row i those
after log entry i. A step whose tokens may be taken back appends to the log and reads the base; taking them back, which
speculation does, shortens the log, down to the base. All others are written into the base, and so is the log before.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kernels.wkv7_arguments import DIRECT, FRESH
from model.errors import ModelFileError
from model.kv_cache import lazy_zeros
from model.memory import check_saved
from model.rwkv7_config import Rwkv7Config
from model.sequence_step import SequenceStep


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


class _SlotStep(NamedTuple):
    """What a step does with one slot: its column of the StepPlan, and what the slot holds afterwards."""

    log_len: int
    fold_len: int
    read_row: int
    first_row: int
    held: int
    logged: int
    ahead: int

    @property
    def column(self) -> tuple[int, ...]:
        return self[: len(StepPlan._fields)]


class StateCache:
    """States of `num_blocks` sequences. Which slot belongs to whom is not known here, but how many tokens it has seen
    is, so that a step can be checked, and rolled back, by what it calls cached.

    What goes into the log: steps of several tokens, of a token with others ahead, and of those that were ahead of the
    steps before; all as long as their tokens, with those that are ahead, are at most log_size. They can be taken back,
    also when they are a sequence's first. Any other step is written into the state at once and is final: so plain
    decoding costs nothing for the log. log_size 0: all are, and nothing can be taken back.

    mode: whether a slot of the step that was prepared last adds to its log or has to empty it.
    """

    block_size = 1 << 30  # tokens: a state is never full
    layout = "rwkv7:state vk, log wkvab"
    truncates = False

    def __init__(self, config: Rwkv7Config, num_slots: int, log_size: int, device: torch.device) -> None:
        layers, width, size = config.n_layers, config.width, config.head_size
        heads = width // size
        self.num_blocks = num_slots
        self.log_size = log_size
        self.rollback = max(0, log_size - 1)
        self._wkv = lazy_zeros((layers, num_slots, heads, size, size), torch.float32, device)
        self._log = lazy_zeros((layers, num_slots, log_size, 5, heads, size), torch.float32, device)
        self._shift = lazy_zeros((2, layers, num_slots, log_size + 1, width), torch.float32, device)
        parts = (self._wkv.unbind(), self._log.unbind(), self._shift[0].unbind(), self._shift[1].unbind())
        self.layers = [LayerState(*tensors) for tensors in zip(*parts, strict=True)]
        self._held = [0] * num_slots  # tokens that base and log together stand for
        self._logged = [0] * num_slots  # of which in the log
        self._ahead = [0] * num_slots  # tokens to come that the slot's last steps looked ahead to
        self.mode = False
        self._host_plan = torch.zeros(len(StepPlan._fields), num_slots, dtype=torch.int32)
        self._columns = self._host_plan.numpy()
        self._written: tuple[list[int], list[tuple[int, ...]]] = [], []  # slots of the last step, and their columns
        self._device_plan = self._host_plan.to(device)  # on a CPU: the same memory
        self.plan = StepPlan(*self._device_plan.unbind())

    @staticmethod
    def slot_bytes(config: Rwkv7Config, log_size: int) -> int:
        """Bytes of one sequence's state, log and shift rows in all layers."""
        numbers = config.width * (config.head_size + 5 * log_size + 2 * (log_size + 1))
        return 4 * config.n_layers * numbers

    def prepare(self, steps: Sequence[SequenceStep]) -> None:
        """See SequenceMemory. Fills `plan`."""
        slots = [step.blocks[0] for step in steps]
        # All of them, before any is noted: a step that is refused changes nothing.
        planned = [self._plan_slot(slot, step) for slot, step in zip(slots, steps, strict=True)]
        for slot, after in zip(slots, planned, strict=True):
            self._held[slot], self._logged[slot], self._ahead[slot] = after.held, after.logged, after.ahead
        written = slots, [after.column for after in planned]
        if written != self._written:  # where tokens are decoded one by one, each step's is the last one's
            self._written = written
            self._columns[:, slots] = np.array(written[1]).T
            self.mode = any(after.log_len >= 0 or after.fold_len for after in planned)
            if self._device_plan is not self._host_plan:
                self._device_plan.copy_(self._host_plan)
        if self.mode:
            self._settle_bases(slots, planned)

    def _plan_slot(self, slot: int, step: SequenceStep) -> _SlotStep:
        """For new tokens, and more ahead of them to come before anything may be folded."""
        cached, new, ahead = step.cached, len(step.tokens), step.lookahead
        if ahead > self.log_size:
            raise ValueError(f"slot {slot} looks ahead to {ahead} tokens, its log has room for {self.log_size}")
        length = cached + new
        read = self._left(slot, cached) if cached else 0
        promised = self._ahead[slot] if cached == self._held[slot] else 0  # taking back ends what was ahead
        ahead = max(ahead, promised - new)
        is_final = new + ahead > self.log_size or (new == 1 and not ahead and not promised)
        if is_final and cached:
            return _SlotStep(DIRECT, read, read, 1 - new, length, 0, ahead)
        if is_final:
            return _SlotStep(FRESH, 0, -1, 1 - new, length, 0, ahead)
        if read + new + ahead > self.log_size:
            return _SlotStep(0, read, 0, 1, length, new, ahead)
        return _SlotStep(read, 0, read, read + 1, length, read + new, ahead)

    def _settle_bases(self, slots: list[int], steps: list[_SlotStep]) -> None:
        """Makes the base what a log can begin anew behind: after a fold its row, after nothing all of it."""
        begun = [(slot, step) for slot, step in zip(slots, steps, strict=True) if step.log_len == 0]
        fresh = [slot for slot, step in begun if step.held == step.logged]
        if fresh:
            self._wkv[:, fresh] = 0
            self._shift[:, :, fresh, 0] = 0
        folded = [slot for slot, step in begun if step.fold_len]
        if folded:
            last = [step.fold_len for _, step in begun if step.fold_len]
            self._shift[:, :, folded, 0] = self._shift[:, :, folded, last]

    def _left(self, slot: int, cached: int) -> int:
        """How many entries of the slot's log a step uses that continues after `cached` tokens."""
        held, logged = self._held[slot], self._logged[slot]
        if not 0 <= held - cached <= logged:
            raise ValueError(
                f"the state in slot {slot} is that of {held} tokens, of which the last {logged} can be taken back: "
                f"it cannot continue after {cached}"
            )
        return logged - (held - cached)

    def copy_block(self, source: int, target: int) -> None:
        """See SequenceMemory."""
        logged = self._logged[source]
        parts = self._parts(source, logged)
        for name, part in self._parts(target, logged).items():
            part.copy_(parts[name])
        for numbers in (self._held, self._logged, self._ahead):
            numbers[target] = numbers[source]

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, Tensor]:
        """See SequenceMemory."""
        slot = blocks[0]
        parts = self._parts(slot, self._left(slot, tokens))
        return {name: tensor.cpu().clone() for name, tensor in parts.items()}

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
        self._held[slot], self._logged[slot], self._ahead[slot] = tokens, logged, 0

    def _parts(self, slot: int, logged: int) -> dict[str, Tensor]:
        """The memory of a sequence in all layers, with so many entries in its log."""
        return {
            "wkv": self._wkv[:, slot],
            "log": self._log[:, slot, :logged],
            "shift": self._shift[:, :, slot, : logged + 1],
        }
