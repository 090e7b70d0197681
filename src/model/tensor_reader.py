"""Tensors of a model file of any kind, checked against the expected shape and brought to the wanted type and device."""

import math
from typing import Any, Literal

import torch
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from kernels.packed import BlockFormat, PackedTensor, Weight
from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.pth_file import PthFile
from model.safetensors_file import SafetensorsFile

TensorFile = GGUFFile | SafetensorsFile | PthFile
WeightDtype = Literal["packed", "f32", "bf16", "f16", "q8_0"]
DENSE = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
_PACKED = {block_format.value: block_format for block_format in BlockFormat}
_STORED = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
    GGMLQuantizationType.BF16: torch.bfloat16,
}


class TensorReader:
    """Reads tensors of one file by name. dtype says what becomes of matrices: "packed" keeps them as the file has
    them where a kernel can read them (on a CPU: without a copy); "f32", "bf16" and "f16" open them; "q8_0" packs them
    into blocks of 8 bits, but for those whose rows are no whole number of blocks.

    Methods raise ModelFileError if the tensor is missing, has another shape, or cannot be read.
    """

    def __init__(self, file: TensorFile, dtype: WeightDtype, device: torch.device) -> None:
        self.file = file
        self.dtype = dtype
        self.device = device
        self.seen: set[str] = set()  # names that were asked for

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape that the tensor has in the file."""
        self.seen.add(name)
        if name not in self.file.tensors:
            raise ModelFileError(f"{self.file.path}: there is no tensor {name}")
        return tensor_shape(self.file, name)

    def is_f32(self, name: str) -> bool:
        """Whether the file has the tensor in f32."""
        if isinstance(self.file, GGUFFile):
            return self.file.tensors[name].type == GGMLQuantizationType.F32
        return self.file.tensor(name).dtype == torch.float32

    def matrix(self, name: str, rows: int, columns: int, turned: bool = False) -> Weight:
        """The matrix [rows, columns]; turned: the file has it as [columns, rows]."""
        expected = (columns, rows) if turned else (rows, columns)
        self._check(name, self.shape(name) == expected, expected)
        if isinstance(self.file, GGUFFile):
            return self._gguf_matrix(self.file, name)
        stored = self.file.tensor(name)
        return self._converted(stored.t() if turned else stored)

    def values(self, name: str, *shape: int) -> torch.Tensor:
        """The tensor as f32 of this shape; the file may have it flat, or with further dimensions of 1."""
        stored = tuple(size for size in self.shape(name) if size != 1)
        self._check(name, stored in (shape, (math.prod(shape),)), shape)
        if isinstance(self.file, GGUFFile):
            dense = self.file.dense(self.file.tensors[name], torch.float32)
        else:
            dense = self.file.tensor(name)
        return dense.to(self.device, torch.float32).reshape(shape).contiguous()

    def _gguf_matrix(self, file: GGUFFile, name: str) -> Weight:
        info = file.tensors[name]
        kept = self.dtype == "packed" or (self.dtype == "q8_0" and info.type == GGMLQuantizationType.Q8_0)
        if kept and info.type in _PACKED:
            return PackedTensor(file.raw(info).to(self.device), _PACKED[info.type])
        # Blocks that no kernel reads are opened in bf16, whose rounding is far below theirs.
        opened = torch.float32 if self.dtype == "q8_0" else torch.bfloat16
        return self._converted(file.dense(info, DENSE.get(self.dtype) or _STORED.get(info.type, opened)))

    def _converted(self, dense: torch.Tensor) -> Weight:
        if self.dtype == "q8_0" and dense.shape[1] % BlockFormat.Q8_0.block_size == 0:
            blocks = quantize(dense.float().contiguous().numpy(), GGMLQuantizationType.Q8_0)
            return PackedTensor(torch.from_numpy(blocks).to(self.device), BlockFormat.Q8_0)
        return dense.to(self.device, DENSE.get(self.dtype)).contiguous()

    def _check(self, name: str, fits: bool, expected: tuple[int, ...]) -> None:
        if not fits:
            found = tensor_shape(self.file, name)
            raise ModelFileError(f"{self.file.path}: tensor {name} is {found}, expected {expected}")


def tensor_shape(file: TensorFile, name: str) -> tuple[int, ...]:
    """The shape of a tensor that the file has."""
    return file.tensors[name].shape if isinstance(file, GGUFFile) else file.tensors[name]


def memory_bytes(weights: Any) -> int:
    """Bytes of all tensors in nested tuples, those that occur twice counted once."""
    sizes: dict[int, int] = {}

    def visit(node: Any) -> None:
        if isinstance(node, tuple):
            for part in node:
                visit(part)
        elif node is not None:
            sizes[id(node)] = node.nbytes

    visit(weights)
    return sum(sizes.values())
