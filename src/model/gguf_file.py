"""Reading GGUF files (format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) by memory map.

The header is read in one pass without building an object per value, which matters for vocabularies; tensors
are views of the map and cost nothing until they are touched. The file is not trusted: every count and length
is compared with what is left of the file before it is used.
"""

import math
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from model.errors import ModelFileError

_T = TypeVar("_T")
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MIN_BYTES = {_STRING: 8, _ARRAY: 12} | {code: struct.calcsize(f"<{form}") for code, form in _SCALARS.items()}
_DENSE = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
    GGMLQuantizationType.BF16: torch.bfloat16,
}
_MAX_DIMENSIONS = 4
_MAX_ARRAY_DEPTH = 4
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class TensorInfo(NamedTuple):
    """One tensor of the file: shape outermost first, `offset` in bytes from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    offset: int
    nbytes: int


class GGUFFile:
    """A GGUF file: `metadata` (str, int, float, bool and lists of them) and `tensors` by name.

    Raises ModelFileError if the file is not GGUF (versions 2 and 3, little-endian), is truncated or damaged,
    or has a tensor of a type unknown to the `gguf` package.
    """

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                # A private writable map: torch takes read-only memory only under protest. Nobody writes to
                # it.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise ModelFileError(f"{path} cannot be read: {error}") from error
        self.metadata, self.tensors = _Header(path, self._map).read()

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """The metadata value of `key`, which must be a `kind` (int is taken for float).

        Raises ModelFileError if it is of another type, or missing while there is no default.
        """
        value = self.metadata.get(key, default)
        if value is None:
            raise ModelFileError(f"{self.path}: metadata has no {key}")
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ModelFileError(f"{self.path}: {key} is a {type(value).__name__}, expected {kind.__name__}")
        return value

    def raw(self, info: TensorInfo) -> torch.Tensor:
        """The stored bytes, uint8 [rows, row bytes] (row = innermost dimension), sharing the map's memory."""
        rows = math.prod(info.shape[:-1])
        flat = torch.frombuffer(self._map, dtype=torch.uint8, count=info.nbytes, offset=info.offset)
        return flat.view(rows, info.nbytes // rows)

    def dense(self, info: TensorInfo, dtype: torch.dtype) -> torch.Tensor:
        """The tensor as `dtype`, in its own shape; a view of the map where it is stored as `dtype`."""
        raw = self.raw(info)
        if info.type in _DENSE:
            return raw.view(_DENSE[info.type]).view(info.shape).to(dtype)
        try:
            return torch.from_numpy(dequantize(raw.numpy(), info.type)).view(info.shape).to(dtype)
        except NotImplementedError:
            raise ModelFileError(
                f"{self.path}: tensor {info.name} is {info.type.name}, which has no reader"
            ) from None


class _Header:
    """A cursor over the header; `read` is called once."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.at = 0

    def read(self) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
        if self.data[:4] != b"GGUF":
            raise ModelFileError(f"{self.path} is not a GGUF file (it starts with {self.data[:4]!r})")
        self.at = 4
        version = self.u32()
        if version not in (2, 3):
            raise ModelFileError(
                f"{self.path}: GGUF version {version} is not supported (only 2 and 3, little-endian)"
            )
        n_tensors = self.count(minimum_bytes=24)
        n_values = self.count(minimum_bytes=13)
        metadata = {}
        for _ in range(n_values):
            key = self.string()
            metadata[key] = self.value(self.u32(), depth=0)
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment % 8:
            raise ModelFileError(
                f"{self.path}: general.alignment {alignment!r} is not a positive multiple of 8"
            )
        infos = [self.tensor() for _ in range(n_tensors)]
        start = -(-self.at // alignment) * alignment
        tensors = {info.name: info._replace(offset=start + info.offset) for info in infos}
        for info in tensors.values():
            if info.offset % alignment:
                raise ModelFileError(f"{self.path}: tensor {info.name} is not aligned to {alignment} bytes")
            if info.offset + info.nbytes > self.size:
                raise self.truncated(f"tensor {info.name} ends at byte {info.offset + info.nbytes}")
        return metadata, tensors

    def tensor(self) -> TensorInfo:
        name = self.string()
        n_dimensions = self.u32()
        if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
            raise ModelFileError(f"{self.path}: tensor {name!r} has {n_dimensions} dimensions")
        shape = tuple(reversed([self.u64() for _ in range(n_dimensions)]))
        code, offset = self.u32(), self.u64()
        try:
            type = GGMLQuantizationType(code)
        except ValueError:
            raise ModelFileError(f"{self.path}: tensor {name!r} is of unknown type {code}") from None
        block_weights, block_bytes = GGML_QUANT_SIZES[type]
        if 0 in shape or shape[-1] % block_weights:
            raise ModelFileError(f"{self.path}: tensor {name!r} of shape {shape} cannot be {type.name}")
        return TensorInfo(name, shape, type, offset, math.prod(shape) // block_weights * block_bytes)

    def value(self, code: int, depth: int) -> Any:
        if code == _STRING:
            return self.string()
        if code == _ARRAY:
            return self.array(depth)
        if code not in _SCALARS:
            raise ModelFileError(f"{self.path}: metadata value of unknown type {code} at byte {self.at}")
        return self.scalars(code, 1)[0]

    def array(self, depth: int) -> list[Any]:
        code = self.u32()
        if code not in _MIN_BYTES or depth >= _MAX_ARRAY_DEPTH:
            raise ModelFileError(f"{self.path}: metadata array of unknown type {code} at byte {self.at}")
        n = self.count(minimum_bytes=_MIN_BYTES[code])
        if code in _SCALARS:
            return list(self.scalars(code, n))
        if code == _STRING:
            return [self.string() for _ in range(n)]
        return [self.array(depth + 1) for _ in range(n)]

    def scalars(self, code: int, n: int) -> tuple[Any, ...]:
        form = struct.Struct(f"<{n}{_SCALARS[code]}")
        return form.unpack_from(self.data, self.take(form.size))

    def string(self) -> str:
        n = self.count(minimum_bytes=1)
        start = self.take(n)
        try:
            return self.data[start : start + n].decode()
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{self.path}: text at byte {start} is not UTF-8") from error

    def count(self, minimum_bytes: int) -> int:
        """A 64-bit count of things that take at least `minimum_bytes` each: they must fit into the rest."""
        n = self.u64()
        if n * minimum_bytes > self.size - self.at:
            raise self.truncated(f"{n} items are announced at byte {self.at}")
        return n

    def u32(self) -> int:
        return _U32.unpack_from(self.data, self.take(4))[0]

    def u64(self) -> int:
        return _U64.unpack_from(self.data, self.take(8))[0]

    def take(self, n: int) -> int:
        start = self.at
        if n > self.size - start:
            raise self.truncated(f"{n} bytes are expected at byte {start}")
        self.at = start + n
        return start

    def truncated(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path} is truncated or damaged: {what}, the file has {self.size}")
