"""Loads and stores of lanes: contiguous vectors, single elements, gathers and scatters, masked or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from triton_cpu.codegen.builder import Builder
from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.lanes import (
    AFFINE,
    BYTES,
    LLVM_TYPES,
    UNIFORM,
    VECTOR,
    Lane,
    LaneMath,
    Pointer,
    integer,
)
from triton_cpu.codegen.target import Target
from triton_cpu.ttir import Op

# A load that is masked off as a whole reads from here, which costs no branch.
ZEROS = "@triton_cpu.zeros"
ZEROS_DEFINITION = f"{ZEROS} = private unnamed_addr constant [512 x i8] zeroinitializer, align 64"
_AS_INTEGER = {"f16": "i16"}  # masked accesses of half floats go through integers, which x86 has


class MemoryAccess(LaneMath):
    def __init__(self, target: Target) -> None:
        super().__init__(Builder(), target)
        self.definitions: dict[str, str] = {}  # of the module: functions by name

    @contextmanager
    def counted_loop(self, count: int, step: int = 1) -> Iterator[Lane]:
        """A loop level; what was remembered inside it is forgotten after it."""
        with self.b.loop(count, step) as counter:
            depth = self.b.depth
            yield Lane("i64", UNIFORM, counter, 0, depth)
        self.memo = {key: lane for key, lane in self.memo.items() if lane.level < depth}

    def passes(self, count: int, step: int) -> AbstractContextManager[Lane]:
        """A counted loop, or a single pass at zero."""
        return nullcontext(integer(0)) if count == step else self.counted_loop(count, step)

    def load(self, op: Op, args: list[Lane | Pointer]) -> Lane | Pointer:
        pointer = args[0]
        mask, other = (args[1] if len(args) > 1 else None), (args[2] if len(args) > 2 else None)
        assert isinstance(pointer, Pointer)
        assert mask is None or isinstance(mask, Lane)
        if pointer.pointee not in LLVM_TYPES and not pointer.pointee.startswith("!tt.ptr"):
            raise UnsupportedOpError(op, why=f"element type {pointer.pointee}")
        if pointer.pointee.startswith("!tt.ptr"):
            lane = self.load_lanes(pointer._replace(pointee="i64"), mask, None)
            address = self.instruction("inttoptr {t} {0} to {r}", "ptr", [lane])
            return Pointer(address, integer(0), op.result.type.pointee)
        assert other is None or isinstance(other, Lane)
        return self.load_lanes(pointer, mask, other)

    def load_lanes(self, pointer: Pointer, mask: Lane | None, other: Lane | None) -> Lane:
        """The pointed-to elements; lanes that ``mask`` leaves out get ``other`` (zero when not given)."""
        if pointer.pointee == "i1":
            bytes_ = self.load_lanes(pointer._replace(pointee="i8"), mask, None)
            return self.instruction("icmp ne {t} {0}, {1}", "i1", [bytes_, Lane("i8", UNIFORM, "0")])
        if mask is not None and mask.literal == 1:
            mask = None
        type = pointer.pointee
        if pointer.base.kind == UNIFORM and pointer.offset.kind == UNIFORM:
            return self._load_one(pointer, mask, other)
        if pointer.base.kind == UNIFORM and pointer.offset.kind == AFFINE and pointer.offset.stride == 1:
            return self._load_contiguous(pointer, mask, other)
        level = max(pointer.level, mask.level if mask else 0, other.level if other else 0)
        addresses, full = self.vector(self.addresses(pointer)), self.vector_type(type)
        bits = self._mask(mask)
        through = self.vector(other) if other is not None else self._zero(type)
        ref = self.b.emit(
            f"call {full} @llvm.masked.gather.{self.suffix(type)}.v{self.width}p0"
            f"(<{self.width} x ptr> align {BYTES[type]} {addresses}, <{self.width} x i1> {bits}, {full} {through})",
            level,
        )
        return Lane(type, VECTOR, ref, 0, level)

    def _zero(self, type: str) -> str:
        return "zeroinitializer" if self.width > 1 else "null" if type == "ptr" else "0"

    def _mask(self, mask: Lane | None) -> str:
        return "splat (i1 true)" if mask is None else self.vector(mask)

    def _guard(self, address: str, mask: Lane | None, level: int) -> str:
        """``address``, or that of zeros when a uniform mask is off."""
        if mask is None:
            return address
        return self.b.emit(f"select i1 {mask.ref}, ptr {address}, ptr {ZEROS}", level)

    def _load_one(self, pointer: Pointer, mask: Lane | None, other: Lane | None) -> Lane:
        type, guard = pointer.pointee, mask
        if mask is not None and mask.kind == VECTOR:
            any_lane = self.b.emit(
                f"call i1 @llvm.vector.reduce.or.v{self.width}i1(<{self.width} x i1> {mask.ref})", mask.level
            )
            guard = Lane("i1", UNIFORM, any_lane, 0, mask.level)
        level = max(pointer.level, mask.level if mask else 0)
        address = self._guard(self.address(pointer), guard, level)
        ref = self.b.emit(f"load {LLVM_TYPES[type]}, ptr {address}, align {BYTES[type]}", level)
        return self._or_other(Lane(type, UNIFORM, ref, 0, level), mask, other)

    def _load_contiguous(self, pointer: Pointer, mask: Lane | None, other: Lane | None) -> Lane:
        type, full = pointer.pointee, self.vector_type(pointer.pointee)
        if mask is None or mask.kind == UNIFORM:
            level = max(pointer.level, mask.level if mask else 0)
            address = self._guard(self.address(pointer), mask, level)
            ref = self.b.emit(f"load {full}, ptr {address}, align {BYTES[type]}", level)
            return self._or_other(Lane(type, VECTOR, ref, 0, level), mask, other)
        level = max(pointer.level, mask.level, other.level if other else 0)
        as_integer = _AS_INTEGER.get(type, type)
        stored = self.vector_type(as_integer)
        through = "zeroinitializer"
        if other is not None:
            through = self.vector(other)
            if as_integer != type:
                through = self.b.emit(f"bitcast {full} {through} to {stored}", level)
        ref = self.b.emit(
            f"call {stored} {self._masked_load(as_integer)}"
            f"(ptr align {BYTES[type]} {self.address(pointer)}, <{self.width} x i1> {mask.ref}, {stored} {through})",
            level,
        )
        if as_integer != type:
            ref = self.b.emit(f"bitcast {stored} {ref} to {full}", level)
        return Lane(type, VECTOR, ref, 0, level)

    def _masked_load(self, type: str) -> str:
        """The function for contiguous elements of a type: LLVM's own, or one that tries all lanes first where LLVM
        would branch for each."""
        intrinsic = f"@llvm.masked.load.{self.suffix(type)}.p0"
        if self.target.has_masks or BYTES[type] >= 4:
            return intrinsic
        full, align = self.vector_type(type), BYTES[type]
        return self._whole_or_part(
            f"@triton_cpu.load.{self.suffix(type)}",
            f"{full} {{}}(ptr align {align} %p, <{self.width} x i1> %mask, {full} %other)",
            f"  %a = load {full}, ptr %p, align {align}\n  ret {full} %a\n",
            f"  %b = call {full} {intrinsic}(ptr align {align} %p, <{self.width} x i1> %mask, {full} %other)\n"
            f"  ret {full} %b\n",
        )

    def _masked_store(self, type: str) -> str:
        """As `_masked_load`, and for elements of all sizes: AVX2 has such stores, but AMD's take twenty cycles."""
        intrinsic = f"@llvm.masked.store.{self.suffix(type)}.p0"
        if self.target.has_masks:
            return intrinsic
        full, align = self.vector_type(type), BYTES[type]
        arguments = f"({full} %a, ptr align {align} %p, <{self.width} x i1> %mask)"
        return self._whole_or_part(
            f"@triton_cpu.store.{self.suffix(type)}",
            f"void {{}}{arguments}",
            f"  store {full} %a, ptr %p, align {align}\n  ret void\n",
            f"  call void {intrinsic}{arguments}\n  ret void\n",
        )

    def _whole_or_part(self, name: str, signature: str, whole: str, part: str) -> str:
        """Defines a function that runs ``whole`` if its %mask is all on, and ``part`` otherwise; returns its name."""
        self.definitions[name] = (
            f"define internal {signature.format(name)} alwaysinline {{\n"
            f"  %all = call i1 @llvm.vector.reduce.and.v{self.width}i1(<{self.width} x i1> %mask)\n"
            f"  br i1 %all, label %whole, label %part\nwhole:\n{whole}part:\n{part}}}"
        )
        return name

    def _or_other(self, loaded: Lane, mask: Lane | None, other: Lane | None) -> Lane:
        zero = other is None or other.ref in ("0", "0x0000000000000000", "0xH0000", "poison")
        if mask is None or (zero and mask.kind == UNIFORM):
            return loaded
        if zero:
            other = Lane(loaded.type, VECTOR, self._zero(loaded.type))
        assert other is not None
        return self.select(mask, loaded, other)

    def store_lanes(self, pointer: Pointer, value: Lane, mask: Lane | None) -> None:
        """Stores at the innermost level, where the index is complete."""
        if value.type == "i1":
            value = self.widen_integer(value, "i8", signed=False)
            pointer = pointer._replace(pointee="i8")
        if mask is not None and mask.literal == 1:
            mask = None
        type, full = value.type, self.vector_type(value.type)
        if self.width == 1:
            self._store_one(pointer, value, mask)
        elif pointer.base.kind == UNIFORM and pointer.offset.kind == AFFINE and pointer.offset.stride == 1:
            data, address = self.vector(value), self.address(pointer)
            if mask is None:
                self.b.stmt(f"store {full} {data}, ptr {address}, align {BYTES[type]}")
                return
            as_integer = _AS_INTEGER.get(type, type)
            stored = self.vector_type(as_integer)
            if as_integer != type:
                data = self.b.emit(f"bitcast {full} {data} to {stored}")
            self.b.stmt(
                f"call void {self._masked_store(as_integer)}({stored} {data}, "
                f"ptr align {BYTES[type]} {address}, <{self.width} x i1> {self.vector(mask)})"
            )
        else:
            self.b.stmt(
                f"call void @llvm.masked.scatter.{self.suffix(type)}.v{self.width}p0({full} {self.vector(value)}, "
                f"<{self.width} x ptr> align {BYTES[type]} {self.vector(self.addresses(pointer))}, "
                f"<{self.width} x i1> {self._mask(mask)})"
            )

    def _store_one(self, pointer: Pointer, value: Lane, mask: Lane | None) -> None:
        text = f"store {LLVM_TYPES[value.type]} {value.ref}, ptr {{}}, align {BYTES[value.type]}"
        address = self.addresses(pointer).ref
        if mask is None:
            self.b.stmt(text.format(address))
            return
        with self.branch(mask.ref):
            self.b.stmt(text.format(address))

    @contextmanager
    def branch(self, condition: str) -> Iterator[None]:
        """Code that runs only where an i1 holds."""
        yes, after = self.b.fresh("then"), self.b.fresh("after")
        self.b.stmt(f"br i1 {condition}, label %{yes}, label %{after}")
        self.b.label(yes)
        yield
        self.b.stmt(f"br label %{after}")
        self.b.label(after)

    def cast_pointer(self, pointer: Pointer, pointee: str) -> Pointer:
        old, new = BYTES[pointer.pointee], BYTES[pointee]
        if old % new == 0:
            return Pointer(pointer.base, self.mul(pointer.offset, integer(old // new)), pointee)
        return Pointer(self.addresses(pointer), integer(0), pointee)
