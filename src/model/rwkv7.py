"""RWKV-7 as a class of its own, with the interface of the reference implementation: a state goes in and comes out.

model = RWKV_x070(SimpleNamespace(MODEL_NAME="path/without/.pth", n_layer=12, n_embd=768, vocab_size=65536,
                                  head_size=64))
logits, state = model.forward([1, 2, 3], None)
logits, state = model.forward(4, state)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from kernels.ops import load_ops
from model.errors import ModelFileError
from model.executor import ModelExecutor
from model.pth_file import PthFile
from model.rwkv7_config import rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import OFFICIAL
from model.rwkv7_weights import read_rwkv7_weights
from model.sequence_step import SequenceStep
from model.state_cache import StateCache
from model.tensor_reader import WeightDtype

_TENSORS = 3  # of a layer's state
_SOME = 1  # tokens that a given state stands for: any number but none


class Rwkv7Args(Protocol):
    """MODEL_NAME: the path of the `.pth` file, without that ending. The rest must be what the file holds."""

    MODEL_NAME: str
    n_layer: int
    n_embd: int
    vocab_size: int
    head_size: int


class RWKV_x070:
    """An RWKV-7 model of an official `.pth` file.

    A state is a list of 3 tensors a layer, f32: what time mix remembers of the last token [n_embd], the wkv state
    [H, N, N] (rows: value index), what channel mix remembers [n_embd]. It may be copied, saved, swapped and edited;
    `forward` replaces its items and never writes into a tensor that it was given.

    weights: how matrices lie in memory ("packed": as in the file); activations: the type of everything between them.
    Raises ModelFileError if the file cannot be read or is of another shape than `args` say.
    """

    def __init__(
        self,
        args: Rwkv7Args,
        *,
        weights: WeightDtype = "packed",
        activations: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.args = args
        path = Path(f"{args.MODEL_NAME}.pth")
        device = torch.device(device)
        file = PthFile(path)
        config = rwkv7_config(file, OFFICIAL)
        read = read_rwkv7_weights(file, OFFICIAL, config, weights, device)
        self.config = config
        self.n_layer, self.n_embd, self.head_size = config.n_layers, config.width, config.head_size
        found = {"n_layer": config.n_layers, "n_embd": config.width, "vocab_size": config.vocab_size,
                 "head_size": config.head_size}  # fmt: skip
        for name, size in found.items():
            if getattr(args, name, size) != size:
                raise ModelFileError(f"{path}: {name} is {size}, not {getattr(args, name)} as args say")
        self._cache = StateCache(config, 1, 0, device)
        self._executor = ModelExecutor(Rwkv7(config, read, activations, device), self._cache, load_ops("compiled"))

    def generate_zero_state(self) -> list[Tensor]:
        """The state before the first token."""
        return [torch.zeros_like(tensor) for tensor in self._read()]

    def forward(
        self, idx: int | Sequence[int], state: list[Tensor] | None, full_output: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Feed a token, or several. Returns logits f32 [vocab_size] after the last one (with full_output and several
        tokens: after each, [T, vocab_size]) and the state, in the list that was given.

        state None: the one before the first token. Raises ValueError for an empty sequence, a token that the
        vocabulary lacks, and a state of other shapes.
        """
        if not isinstance(idx, Sequence):
            return self.forward_one(int(idx), state)  # also a number of numpy or torch
        if len(idx) == 1:
            return self.forward_one(idx[0], state)
        return self.forward_seq(idx, state, full_output)

    def forward_one(self, idx: int, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """`forward` of one token."""
        logits, state = self._step([idx], state, 1)
        return logits[0], state

    def forward_seq(
        self, idx: Sequence[int], state: list[Tensor] | None, full_output: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """`forward` of a sequence."""
        logits, state = self._step(idx, state, len(idx) if full_output else 1)
        return (logits if full_output else logits[0]), state

    def _step(self, idx: Sequence[int], state: list[Tensor] | None, n_logits: int) -> tuple[Tensor, list[Tensor]]:
        if not idx:
            raise ValueError("idx: there is no token to feed")
        for token in idx:
            if not 0 <= token < self.config.vocab_size:
                raise ValueError(f"idx: token {token} is not in the vocabulary of {self.config.vocab_size}")
        if state is not None:
            self._load(state)
        cached = 0 if state is None else _SOME
        logits = self._executor.step([SequenceStep(idx, cached, [0], n_logits)]).clone()
        state = [] if state is None else state
        state[:] = self._read()
        return logits, state

    def _load(self, state: list[Tensor]) -> None:
        shapes = [(self.n_embd,), tuple(self._cache.layers[0].wkv.shape[1:]), (self.n_embd,)]
        if [tuple(tensor.shape) for tensor in state] != shapes * self.n_layer:
            raise ValueError(f"state: must be {self.n_layer} times three tensors of the shapes {shapes}")
        shifts = torch.stack([torch.stack(state[part::_TENSORS]) for part in (0, 2)]).float()  # [2, L, D]
        log = torch.empty(self.n_layer, 0, 5, self.n_embd // self.head_size, self.head_size)
        tensors = {"wkv": torch.stack(state[1::_TENSORS]).float(), "log": log, "shift": shifts[:, :, None]}
        self._cache.restore(tensors, [0], _SOME)

    def _read(self) -> list[Tensor]:
        return [
            tensor.clone()
            for layer in self._cache.layers
            for tensor in (layer.time_shift[0, 0], layer.wkv[0], layer.channel_shift[0, 0])
        ]
