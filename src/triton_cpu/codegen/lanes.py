"""Values over the lanes of a vector: uniform, affine or general, and the arithmetic that keeps them simple.

A tile expression is evaluated at an index whose vector axis spans W lanes. Most index arithmetic stays *uniform* (one
scalar) or *affine* (scalar base + constant stride · lane), which is what turns pointers into contiguous loads.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from triton_cpu.codegen.builder import Builder
from triton_cpu.codegen.target import Target

# bf16 is moved about as bits. Of LLVM's bfloat, even shuffles become calls of functions that nobody links where the
# processor has no such type.
LLVM_TYPES = {
    "i1": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "index": "i64",
    "f16": "half", "bf16": "i16", "bfloat": "bfloat", "f32": "float", "f64": "double", "ptr": "ptr",
}  # fmt: skip
BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "index": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "ptr": 8}
UNIFORM, AFFINE, VECTOR = "uniform", "affine", "vector"


class Lane(NamedTuple):
    """``ref`` is an SSA name or a literal; for AFFINE it is the base; ``level`` says in which loop it exists."""

    type: str
    kind: str
    ref: str
    stride: int = 0
    level: int = 0

    @property
    def literal(self) -> int | None:
        return int(self.ref) if self.kind == UNIFORM and self.ref.lstrip("-").isdigit() else None


class Pointer(NamedTuple):
    """An address: a uniform or per-lane base plus an element offset (i64)."""

    base: Lane
    offset: Lane
    pointee: str

    @property
    def level(self) -> int:
        return max(self.base.level, self.offset.level)


def integer(value: int, type: str = "i64") -> Lane:
    return Lane(type, UNIFORM, str(value))


def is_float(type: str) -> bool:
    return type in ("f16", "bf16", "f32", "f64")


def float_literal(value: float, type: str) -> str:
    """LLVM's exact hexadecimal spelling of a float constant."""
    if type == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
    if type == "bf16":
        return str(struct.unpack("<I", struct.pack("<f", value))[0] >> 16)
    if type == "f32" and value == value and abs(value) != float("inf"):
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


_FLOAT_BITS = {"f16": "<e", "f32": "<f", "f64": "<d"}


def parse_literal(text: str, type: str) -> str:
    """A TTIR scalar constant as LLVM text."""
    if text in ("true", "false"):
        return "1" if text == "true" else "0"
    if not is_float(type):
        return str(int(text, 0))
    if text.startswith("0x"):
        bits = int(text, 16)
        if type == "bf16":
            value = struct.unpack("<f", struct.pack("<I", bits << 16))[0]
        else:
            value = struct.unpack(_FLOAT_BITS[type], bits.to_bytes(BYTES[type], "little"))[0]
        return float_literal(value, type)
    return float_literal(float(text), type)


class LaneMath:
    """Emits arithmetic on lanes; ``width`` is the number of lanes of the nest being written."""

    def __init__(self, builder: Builder, target: Target) -> None:
        self.b, self.target = builder, target
        self.width = 1
        self.memo: dict[object, Lane | Pointer] = {}

    def vector_type(self, type: str) -> str:
        scalar = LLVM_TYPES[type]
        return scalar if self.width == 1 else f"<{self.width} x {scalar}>"

    def suffix(self, type: str) -> str:
        """The type part of an overloaded intrinsic's name."""
        short = {"f16": "f16", "bf16": "i16", "f32": "f32", "f64": "f64", "index": "i64", "ptr": "p0"}.get(type, type)
        return short if self.width == 1 else f"v{self.width}{short}"

    def value(self, type: str, ref: str, level: int) -> Lane:
        """A computed full-width value."""
        return Lane(type, UNIFORM if self.width == 1 else VECTOR, ref, 0, level)

    def vector(self, lane: Lane) -> str:
        """The full-width SSA value of a lane."""
        if lane.kind == VECTOR or self.width == 1:
            return lane.ref
        key = ("vector", lane, self.width)
        if key not in self.memo:
            self.memo[key] = Lane(lane.type, VECTOR, self._widen(lane), 0, lane.level)
        cached = self.memo[key]
        assert isinstance(cached, Lane)
        return cached.ref

    def _widen(self, lane: Lane) -> str:
        scalar, full, at = LLVM_TYPES[lane.type], self.vector_type(lane.type), lane.level
        if lane.kind == UNIFORM and not lane.ref.startswith("%"):
            return f"splat ({scalar} {lane.ref})"
        steps = ", ".join(f"{scalar} {i * lane.stride}" for i in range(self.width))
        if lane.ref == "0":
            return f"<{steps}>"
        first = self.b.emit(f"insertelement {full} poison, {scalar} {lane.ref}, i64 0", at)
        splat = self.b.emit(
            f"shufflevector {full} {first}, {full} poison, <{self.width} x i32> zeroinitializer", at
        )
        return splat if lane.kind == UNIFORM else self.b.emit(f"add {full} {splat}, <{steps}>", at)

    def instruction(self, text: str, type: str, operands: list[Lane]) -> Lane:
        """``text`` with ``{0}``, ``{1}``... for the operands, ``{t}`` for their type; scalar if all are uniform."""
        level = max((o.level for o in operands), default=0)
        if all(o.kind == UNIFORM for o in operands):
            refs, operand_type, width = [o.ref for o in operands], LLVM_TYPES[operands[0].type], self.width
            self.width = 1
            ref = self.b.emit(self._format(text, refs, operand_type, operands[0].type, type), level)
            self.width = width
            return Lane(type, UNIFORM, ref, 0, level)
        refs = [self.vector(o) for o in operands]
        full = self.vector_type(operands[0].type)
        return Lane(type, VECTOR, self.b.emit(self._format(text, refs, full, operands[0].type, type), level), 0, level)

    def _format(self, text: str, refs: list[str], operand_llvm: str, operand_type: str, type: str) -> str:
        return text.format(*refs, t=operand_llvm, r=self.vector_type(type), s=self.suffix(operand_type))

    def add(self, a: Lane, b: Lane) -> Lane:
        if a.kind == VECTOR or b.kind == VECTOR:
            if a.literal == 0 or b.literal == 0:
                return a if b.literal == 0 else b
            return self.instruction("add {t} {0}, {1}", a.type, [a, b])
        base = self._scalar("add", a, b)
        kind = AFFINE if a.stride + b.stride else UNIFORM
        return Lane(a.type, kind, base, a.stride + b.stride, max(a.level, b.level))

    def sub(self, a: Lane, b: Lane) -> Lane:
        if a.kind == VECTOR or b.kind == VECTOR:
            return self.instruction("sub {t} {0}, {1}", a.type, [a, b])
        kind = AFFINE if a.stride - b.stride else UNIFORM
        return Lane(a.type, kind, self._scalar("sub", a, b), a.stride - b.stride, max(a.level, b.level))

    def mul(self, a: Lane, b: Lane) -> Lane:
        if a.literal is not None:
            a, b = b, a
        factor = b.literal
        if a.kind == AFFINE and factor is not None:
            kind = AFFINE if a.stride * factor else UNIFORM
            return Lane(a.type, kind, self._scalar("mul", a, b), a.stride * factor, a.level)
        if a.kind == UNIFORM and b.kind == UNIFORM:
            return Lane(a.type, UNIFORM, self._scalar("mul", a, b), 0, max(a.level, b.level))
        return self.instruction("mul {t} {0}, {1}", a.type, [a, b])

    def shift_right(self, a: Lane, divisor: int) -> Lane:
        """A uniform, non-negative lane divided by a power of two."""
        if a.literal is not None:
            return a._replace(ref=str(a.literal // divisor))
        ref = self.b.emit(f"lshr {LLVM_TYPES[a.type]} {a.ref}, {divisor.bit_length() - 1}", a.level)
        return a._replace(ref=ref)

    def _scalar(self, op: str, a: Lane, b: Lane) -> str:
        """The base of ``a op b``, folded where both are literals."""
        x, y = (int(v.ref) if v.ref.lstrip("-").isdigit() else None for v in (a, b))
        if x is not None and y is not None and a.type in ("i64", "index"):
            return str({"add": x + y, "sub": x - y, "mul": x * y}[op])
        if y == 0 and op in ("add", "sub"):
            return a.ref
        if x == 0 and op == "add":
            return b.ref
        if op == "mul" and 0 in (x, y):
            return "0"
        if op == "mul" and (x == 1 or y == 1):
            return b.ref if x == 1 else a.ref
        return self.b.emit(f"{op} {LLVM_TYPES[a.type]} {a.ref}, {b.ref}", max(a.level, b.level))

    def widen_integer(self, a: Lane, type: str, signed: bool = True) -> Lane:
        """Extends an integer; small strides are taken not to wrap inside a vector, as Triton's own analysis does."""
        if LLVM_TYPES[a.type] == LLVM_TYPES[type]:
            return a._replace(type=type)
        op = "sext" if signed else "zext"
        if a.type == "i1" or a.kind == VECTOR or abs(a.stride) >= 1 << 20:
            return self.instruction(f"{op} {{t}} {{0}} to {{r}}", type, [a])
        if a.ref.lstrip("-").isdigit() and (signed or not a.ref.startswith("-")):
            return a._replace(type=type)
        ref = self.b.emit(f"{op} {LLVM_TYPES[a.type]} {a.ref} to {LLVM_TYPES[type]}", a.level)
        return a._replace(type=type, ref=ref)

    def narrow_integer(self, a: Lane, type: str) -> Lane:
        if a.kind == VECTOR:
            return self.instruction("trunc {t} {0} to {r}", type, [a])
        if a.ref.lstrip("-").isdigit():
            bits = 8 * BYTES[type] if type != "i1" else 1
            folded = int(a.ref) & ((1 << bits) - 1)
            signed = folded - (1 << bits) if bits > 1 and folded >> (bits - 1) else folded
            return a._replace(type=type, ref=str(signed))
        ref = self.b.emit(f"trunc {LLVM_TYPES[a.type]} {a.ref} to {LLVM_TYPES[type]}", a.level)
        return a._replace(type=type, ref=ref)

    def select(self, condition: Lane, a: Lane, b: Lane) -> Lane:
        if a == b:
            return a
        level = max(condition.level, a.level, b.level)
        if condition.kind == UNIFORM and a.kind == UNIFORM and b.kind == UNIFORM:
            scalar = LLVM_TYPES[a.type]
            ref = self.b.emit(f"select i1 {condition.ref}, {scalar} {a.ref}, {scalar} {b.ref}", level)
            return Lane(a.type, UNIFORM, ref, 0, level)
        full = self.vector_type(a.type)
        mask = f"i1 {condition.ref}" if condition.kind == UNIFORM else f"{self.vector_type('i1')} {condition.ref}"
        ref = self.b.emit(f"select {mask}, {full} {self.vector(a)}, {full} {self.vector(b)}", level)
        return Lane(a.type, VECTOR, ref, 0, level)

    def address(self, pointer: Pointer) -> str:
        """The address of lane 0 of a pointer with uniform base and uniform or affine offset."""
        if pointer.offset.ref == "0":
            return pointer.base.ref
        elem = LLVM_TYPES[pointer.pointee] if pointer.pointee != "i1" else "i8"
        return self.b.emit(f"getelementptr {elem}, ptr {pointer.base.ref}, i64 {pointer.offset.ref}", pointer.level)

    def addresses(self, pointer: Pointer) -> Lane:
        """Per-lane addresses (or one, when all lanes share it)."""
        elem = LLVM_TYPES[pointer.pointee] if pointer.pointee != "i1" else "i8"
        if pointer.base.kind == UNIFORM and pointer.offset.kind == UNIFORM:
            return Lane("ptr", UNIFORM, self.address(pointer), 0, pointer.level)
        offsets = self.vector(pointer.offset)
        base = (
            f"ptr {pointer.base.ref}"
            if pointer.base.kind == UNIFORM
            else f"{self.vector_type('ptr')} {pointer.base.ref}"
        )
        ref = self.b.emit(f"getelementptr {elem}, {base}, {self.vector_type('i64')} {offsets}", pointer.level)
        return Lane("ptr", VECTOR, ref, 0, pointer.level)
