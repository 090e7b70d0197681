"""Weights kept in memory as GGUF blocks.

A row of K weights is K / 32 blocks of 32; every block carries its own f16 scale d (and minimum m where it has
one). Byte j of the 16 quant bytes of a 4 or 5 bit block holds weight j in its low nibble and weight j + 16 in
its high one; 5 bit blocks keep the fifth bits in one little-endian 32 bit word.

    format  bytes of a block                        weight
    Q4_0    d, 16 quants                            d * (q - 8)
    Q4_1    d, m, 16 quants                         d * q + m
    Q5_0    d, 4 of fifth bits, 16 quants           d * (q - 16)
    Q5_1    d, m, 4 of fifth bits, 16 quants        d * q + m
    Q8_0    d, 32 signed bytes                      d * q

Source: the GGUF specification and the block definitions of ggml.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class BlockFormat(Enum):
    """A block layout. The value is the GGML type id of a GGUF file, so that `BlockFormat(3)` is Q4_1."""

    Q4_0 = 2, 32, 18
    Q4_1 = 3, 32, 20
    Q5_0 = 6, 32, 22
    Q5_1 = 7, 32, 24
    Q8_0 = 8, 32, 34

    block_size: int
    block_bytes: int

    def __new__(cls, ggml_type: int, block_size: int, block_bytes: int) -> "BlockFormat":
        member = object.__new__(cls)
        member._value_ = ggml_type
        member.block_size = block_size  # weights
        member.block_bytes = block_bytes
        return member


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """A matrix [N, K] as blocks: data uint8 [N, K / block_size * block_bytes], contiguous."""

    data: Tensor
    format: BlockFormat

    def __post_init__(self) -> None:
        if self.data.dtype != torch.uint8 or self.data.dim() != 2 or not self.data.is_contiguous():
            raise ValueError(f"data: must be a contiguous uint8 matrix, is {self.data.dtype} {tuple(self.data.shape)}")
        if self.data.shape[1] % self.format.block_bytes:
            raise ValueError(
                f"data: rows of {self.data.shape[1]} bytes are no whole number of {self.format.name} blocks"
                f" ({self.format.block_bytes} bytes)"
            )

    @cached_property
    def shape(self) -> torch.Size:
        """(N, K), in weights."""
        rows, row_bytes = self.data.shape
        return torch.Size((rows, row_bytes // self.format.block_bytes * self.format.block_size))

    @property
    def device(self) -> torch.device:
        return self.data.device

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


@dataclass(frozen=True, eq=False)
class PackedColumns:
    """A matrix [F, N] of 8-bit weights whose rows are inputs: quants int8 [F, N], scales f16 [F / 32, N].

    weight[f, n] = scales[f // 32, n] * quants[f, n], which is a Q8_0 matrix [N, F] turned: what one input
    meets lies in one row.
    """

    quants: Tensor
    scales: Tensor

    def __post_init__(self) -> None:
        if self.quants.dtype != torch.int8 or self.quants.dim() != 2 or not self.quants.is_contiguous():
            raise ValueError(
                f"quants: must be a contiguous int8 matrix, is {self.quants.dtype} {tuple(self.quants.shape)}"
            )
        inputs, columns = self.quants.shape
        expected = torch.Size((inputs // 32, columns))
        if inputs % 32 or self.scales.shape != expected or not self.scales.is_contiguous():
            raise ValueError(
                f"scales: must be contiguous {tuple(expected)} for whole blocks of 32 inputs of {inputs}, is"
                f" {tuple(self.scales.shape)}"
            )
        if self.scales.dtype != torch.float16 or self.scales.device != self.quants.device:
            raise ValueError(
                f"scales: must be float16 on {self.quants.device}, is {self.scales.dtype} on {self.scales.device}"
            )

    @property
    def shape(self) -> torch.Size:
        """(F, N)."""
        return self.quants.shape

    @property
    def device(self) -> torch.device:
        return self.quants.device

    @property
    def nbytes(self) -> int:
        return self.quants.nbytes + self.scales.nbytes


def columns_of(weight: PackedTensor) -> PackedColumns:
    """A Q8_0 matrix [N, F] turned to [F, N], without loss. Raises ValueError for other formats."""
    if weight.format != BlockFormat.Q8_0:
        raise ValueError(f"weight: must be Q8_0 to be turned, is {weight.format.name}")
    columns, inputs = weight.shape
    blocks = weight.data.view(columns, -1, weight.format.block_bytes)
    scales = blocks[..., 0:2].view(torch.float16).squeeze(-1).T.contiguous()
    quants = blocks[..., 2:].view(torch.int8).reshape(columns, inputs).T.contiguous()
    return PackedColumns(quants, scales)


Weight = Tensor | PackedTensor
WeightFormat = torch.dtype | BlockFormat


class LowRank(NamedTuple):
    """A matrix in two thin ones, for up @ activation(down @ x) + bias: down [R, D], up [D, R], bias f32 [D] or None."""

    down: Weight
    up: Weight
    bias: Tensor | None


def weight_bytes(rows: int, columns: int, weight_format: WeightFormat) -> int:
    """Bytes of a weight matrix [rows, columns]."""
    if isinstance(weight_format, BlockFormat):
        return rows * columns // weight_format.block_size * weight_format.block_bytes
    return rows * columns * weight_format.itemsize


def dequantize(weight: PackedTensor | PackedColumns, dtype: torch.dtype = torch.float32) -> Tensor:
    """The dense matrix of a packed one, of the same shape, computed in f32: the oracle of the decoders."""
    if isinstance(weight, PackedColumns):
        scales = weight.scales.float().repeat_interleave(32, dim=0)
        return (scales * weight.quants.float()).to(dtype)
    rows, columns = weight.shape
    blocks = weight.data.view(rows, -1, weight.format.block_bytes)
    scale = blocks[..., 0:2].view(torch.float16).float()
    match weight.format:
        case BlockFormat.Q4_0:
            dense = scale * (_nibbles(blocks[..., 2:]) - 8)
        case BlockFormat.Q4_1:
            dense = scale * _nibbles(blocks[..., 4:]) + blocks[..., 2:4].view(torch.float16).float()
        case BlockFormat.Q5_0:
            quants = _nibbles(blocks[..., 6:]) + 16 * _bits(blocks[..., 2:6])
            dense = scale * (quants - 16)
        case BlockFormat.Q5_1:
            quants = _nibbles(blocks[..., 8:]) + 16 * _bits(blocks[..., 4:8])
            dense = scale * quants + blocks[..., 2:4].view(torch.float16).float()
        case BlockFormat.Q8_0:
            dense = scale * blocks[..., 2:].view(torch.int8).float()
    return dense.reshape(rows, columns).to(dtype)


def _nibbles(quants: Tensor) -> Tensor:
    """uint8 [..., 16] -> f32 [..., 32]: low nibbles, then high ones."""
    return torch.cat((quants & 15, quants >> 4), dim=-1).float()


def _bits(quants: Tensor) -> Tensor:
    """uint8 [..., 4] -> f32 [..., 32]: the bits of a little-endian word, lowest first."""
    shifts = torch.arange(8, dtype=torch.uint8, device=quants.device)
    return ((quants.unsqueeze(-1) >> shifts) & 1).flatten(-2).float()
