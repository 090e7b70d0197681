"""Tokens chosen from logits at one place, by launches captured once and replayed without Python."""

from collections.abc import Sequence as Rows
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops
from runtime.request import SamplingParams


class Row(NamedTuple):
    """How the token at `position` of a sequence is chosen from one row of logits."""

    params: SamplingParams
    seed: int
    position: int


class DrawGraph:
    """The captured launches that mask some logits f32 [S, V], which stay where they are, and choose a token of each
    row; and the buffers that these launches read and write."""

    def __init__(self, ops: Ops, order: tuple[str, ...], logits: Tensor, masked: bool, greedy: bool) -> None:
        """order: of the filters, see kernels.sample. masked: whether each draw brings a mask. greedy: whether every row
        has temperature 0."""
        self._ops, self._order, self._logits, self._masked, self._greedy = ops, order, logits, masked, greedy
        rows, vocabulary = logits.shape
        words = -(-vocabulary // 32)
        device = logits.device
        self._host_bits = torch.empty(rows if masked else 0, words, dtype=torch.int32)
        self._bits, self._words = self._host_bits.to(device), self._host_bits.numpy()
        self._rows = torch.arange(len(self._bits), dtype=torch.int32, device=device)
        host = torch.zeros(7 * rows, dtype=torch.int32)  # all parameters in one buffer, which takes one copy
        self._host_parameters, self._parameters = host, host.to(device)
        self._fields = [tensor.numpy() for tensor in _fields(host, rows)]
        self._out = torch.empty(rows, dtype=torch.int32, device=device)
        self._graph: LaunchGraph | None = None

    def draw(self, rows: Rows[Row], bits: np.ndarray | None) -> list[int]:
        """A token of each row. bits: int32 [S, ceil(V / 32)], as mask_logits has them, if it was made to mask."""
        if bits is not None:
            np.copyto(self._words, bits)
            self._to_device(self._host_bits, self._bits)
        if not self._greedy:
            self._load(rows)
        if self._graph is None:
            self._graph = LaunchGraph(self._run, self._ops.backend, self._logits.device)
        else:
            self._graph.replay()
        return self._out.tolist()  # type: ignore[no-any-return]

    def _load(self, rows: Rows[Row]) -> None:
        seeds, temperature, top_k, top_p, min_p, positions = self._fields
        seeds[:] = [row.seed for row in rows]
        temperature[:] = [row.params.temperature for row in rows]
        top_k[:] = [row.params.top_k for row in rows]
        top_p[:] = [row.params.top_p for row in rows]
        min_p[:] = [row.params.min_p for row in rows]
        positions[:] = [row.position for row in rows]
        self._to_device(self._host_parameters, self._parameters)

    def _to_device(self, host: Tensor, device: Tensor) -> None:
        if device is not host:  # as on a CPU
            device.copy_(host)

    def _run(self) -> None:
        if self._masked:
            self._ops.mask_logits(self._logits, self._bits, self._rows)
        if self._greedy:
            self._ops.argmax(self._logits, self._out)
        else:
            seeds, temperature, top_k, top_p, min_p, positions = _fields(self._parameters, len(self._out))
            self._ops.sample(self._logits, temperature, top_k, top_p, min_p, seeds, positions, self._out, self._order)


def _fields(parameters: Tensor, rows: int) -> tuple[Tensor, ...]:
    """Seeds i64, temperature f32, top_k i32, top_p f32, min_p f32, positions i32, [rows] each, of i32 [7 * rows]."""
    types = (torch.float32, torch.int32, torch.float32, torch.float32, torch.int32)
    others = (part.view(type) for part, type in zip(parameters[2 * rows :].split(rows), types, strict=True))
    return parameters[: 2 * rows].view(torch.int64), *others
