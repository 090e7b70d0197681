"""Tile expressions evaluated at an index, and the buffers that some of them are read from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from triton_cpu.codegen import elementwise
from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.lanes import AFFINE, BYTES, UNIFORM, VECTOR, Lane, Pointer, integer, parse_literal
from triton_cpu.codegen.memory import MemoryAccess
from triton_cpu.codegen.plan import LAZY, SHAPE_OPS, Plan, Planner
from triton_cpu.codegen.shapes import permutation, reshape_groups, row_major
from triton_cpu.codegen.target import Target
from triton_cpu.ttir import Op, Value

Index = tuple[Lane, ...]


@dataclass(frozen=True)
class Buffer:
    """A tile in stack memory, ``strides`` in elements; i1 is kept as bytes."""

    ref: str
    elem: str
    pointee: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Evaluation(MemoryAccess):
    """Knows the value of every scalar and lazily that of every tile."""

    def __init__(self, planner: Planner, target: Target) -> None:
        super().__init__(target)
        self.planner: Planner = planner
        self.plan: Plan = planner.plan
        self.lanes = target.lanes
        self.scalars: dict[Value, Lane | Pointer] = {}
        self.buffers: dict[Value, Buffer] = {}
        self.offsets: dict[Value, str] = {}  # induction argument -> stack slot of its i64 offset

    # --- evaluation

    def evaluate(self, value: Value, index: Index) -> Lane | Pointer:
        if not value.type.is_tile:
            return self.scalar(value)
        key = (value, index)
        if key not in self.memo:
            self.memo[key] = self._evaluate(value, index)
        return self.memo[key]

    def lane(self, value: Value, index: Index) -> Lane:
        found = self.evaluate(value, index)
        return self.addresses(found) if isinstance(found, Pointer) else found

    def scalar(self, value: Value) -> Lane | Pointer:
        return self.scalars[value]

    def _evaluate(self, value: Value, index: Index) -> Lane | Pointer:
        if value in self.buffers:
            return self.read(self.buffers[value], index)
        if value in self.offsets:
            return self._moved(value, index)
        op = value.op
        if op is None or op.name not in LAZY:
            raise UnsupportedOpError(op or "block argument", why="its value is needed where it does not exist")
        if op.name == "arith.constant":
            return self.evaluate_constant(op)
        if op.name == "ub.poison":
            return Lane(value.type.elem, UNIFORM, "poison")
        if op.name == "tt.make_range":
            start = int(op.attributes["start"].split(":")[0])
            return self.narrow_integer(self.add(index[0], integer(start)), value.type.elem)
        source = self.buffers.get(op.operands[0]) if op.name == "tt.reshape" else None
        if source is not None and source.strides == row_major(source.shape):
            return self.read(replace(source, shape=value.type.shape, strides=row_major(value.type.shape)), index)
        if op.name in SHAPE_OPS:
            return self.evaluate(op.operands[0], self._source_index(op, value, index))
        if op.name == "tt.gather":
            axis = int(op.attributes["axis"].split(":")[0])
            at = self.widen_integer(self.lane(op.operands[1], index), "i64")
            return self.read(self.buffers[op.operands[0]], (*index[:axis], at, *index[axis + 1 :]))
        return self.compute(op, [self.evaluate(operand, index) for operand in op.operands])

    def evaluate_constant(self, op: Op) -> Lane:
        literal, elem = op.attributes["value"], op.result.type.elem
        if literal.startswith("["):
            raise UnsupportedOpError(op, why="constants with different elements")
        return Lane(elem, UNIFORM, parse_literal(literal, elem))

    def compute(self, op: Op, args: list[Lane | Pointer]) -> Lane | Pointer:
        """One operation on evaluated operands: memory, pointers, or plain arithmetic."""
        if op.name == "tt.addptr":
            pointer, offset = args
            assert isinstance(pointer, Pointer) and isinstance(offset, Lane)
            wide = self.widen_integer(offset, "i64")
            return pointer._replace(offset=self.add(pointer.offset, wide))
        if op.name == "tt.load":
            return self.load(op, args)
        if op.name in ("tt.bitcast", "arith.bitcast") and isinstance(args[0], Pointer):
            return self.cast_pointer(args[0], op.result.type.pointee)
        if op.name == "tt.int_to_ptr":
            assert isinstance(args[0], Lane)
            base = self.instruction("inttoptr {t} {0} to {r}", "ptr", [args[0]])
            return Pointer(base, integer(0), op.result.type.pointee)
        if op.name == "tt.ptr_to_int":
            assert isinstance(args[0], Pointer)
            return self.instruction("ptrtoint {t} {0} to {r}", "i64", [self.addresses(args[0])])
        if op.name == "arith.select" and isinstance(args[1], Pointer):
            condition, a, b = args
            assert isinstance(condition, Lane) and isinstance(b, Pointer)
            chosen = self.select(condition, self.addresses(a), self.addresses(b))  # type: ignore[arg-type]
            return Pointer(chosen, integer(0), op.result.type.pointee)
        lanes = [self.addresses(a) if isinstance(a, Pointer) else a for a in args]
        return elementwise.apply(self, op, lanes, self.definitions.__setitem__)

    def _moved(self, value: Value, index: Index) -> Lane | Pointer:
        """A carried pointer or index: its initial value plus what the loop has added so far."""
        start = self.evaluate(self.plan.inductions[value].init, index)
        offset = Lane("i64", UNIFORM, self.b.emit(f"load i64, ptr {self.offsets[value]}", 0))
        if isinstance(start, Pointer):
            return start._replace(offset=self.add(start.offset, offset))
        return self.add(start, self.narrow_integer(offset, start.type) if start.type != "i64" else offset)

    def _source_index(self, op: Op, value: Value, index: Index) -> Index:
        source = op.operands[0].type.shape
        if op.name == "tt.splat":
            return ()
        if op.name == "tt.broadcast":
            return tuple(integer(0) if d == 1 else i for d, i in zip(source, index, strict=True))
        if op.name == "tt.expand_dims":
            axis = int(op.attributes["axis"].split(":")[0])
            return index[:axis] + index[axis + 1 :]
        if op.name == "tt.trans":
            found = [integer(0)] * len(source)
            for i, axis in enumerate(permutation(op)):
                found[axis] = index[i]
            return tuple(found)
        if op.name == "tt.split":
            return (*index, integer(value.index))
        if op.name == "tt.unsplat":
            return (integer(0),) * len(source)
        return self._reshaped(source, op.result.type.shape, index)

    def _reshaped(self, source: tuple[int, ...], target: tuple[int, ...], index: Index) -> Index:
        found: list[Lane] = [integer(0)] * len(source)
        for group, merged in reshape_groups(source, target):
            linear = integer(0)
            for axis in merged:
                linear = self.add(self.mul(linear, integer(target[axis])), index[axis])
            for axis in reversed(group[1:]):
                found[axis], linear = self.divide_index(linear, source[axis])
            if group:
                found[group[0]] = linear
        return tuple(found)

    def divide_index(self, linear: Lane, size: int) -> tuple[Lane, Lane]:
        """Remainder and quotient of an index by a power of two, affine where the lanes stay in one row."""
        shift = size.bit_length() - 1
        if linear.kind == VECTOR:
            mask, count = Lane("i64", UNIFORM, str(size - 1)), Lane("i64", UNIFORM, str(shift))
            return (
                self.instruction("and {t} {0}, {1}", "i64", [linear, mask]),
                self.instruction("lshr {t} {0}, {1}", "i64", [linear, count]),
            )
        base = linear._replace(kind=UNIFORM, stride=0)
        if linear.literal is not None or base.ref.isdigit():
            low, high = integer(int(base.ref) % size), integer(int(base.ref) // size)
        else:
            low = base._replace(ref=self.b.emit(f"and i64 {base.ref}, {size - 1}", base.level))
            high = base._replace(ref=self.b.emit(f"lshr i64 {base.ref}, {shift}", base.level))
        if linear.kind == UNIFORM:
            return low, high
        if linear.kind == AFFINE and linear.stride % size == 0:
            return low, high._replace(kind=AFFINE, stride=linear.stride // size)
        if linear.kind == AFFINE and linear.stride * self.width <= size:
            return low._replace(kind=AFFINE, stride=linear.stride), high
        return self.divide_index(Lane("i64", VECTOR, self.vector(linear), 0, linear.level), size)

    # --- buffers

    def allocate(self, value: Value) -> Buffer:
        """Row-major stack memory for a tile of ``value``'s type."""
        type = value.type
        ref = self.b.array(max(type.numel * BYTES[type.elem], 64))
        return Buffer(ref, type.elem, type.pointee, type.shape, row_major(type.shape))

    def at(self, buffer: Buffer, index: Index) -> Pointer:
        linear = integer(0)
        for i, stride in zip(index, buffer.strides, strict=True):
            linear = self.add(linear, self.mul(i, integer(stride)))
        stored = "i64" if buffer.elem == "ptr" else buffer.elem
        return Pointer(Lane("ptr", UNIFORM, buffer.ref), linear, stored)

    def read(self, buffer: Buffer, index: Index) -> Lane | Pointer:
        lane = self.load_lanes(self.at(buffer, index), None, None)
        if buffer.elem == "ptr":
            address = self.instruction("inttoptr {t} {0} to {r}", "ptr", [lane])
            return Pointer(address, integer(0), buffer.pointee)
        return lane

    def write(self, buffer: Buffer, index: Index, value: Lane | Pointer) -> None:
        if isinstance(value, Pointer):
            value = self.instruction("ptrtoint {t} {0} to {r}", "i64", [self.addresses(value)])
        self.store_lanes(self.at(buffer, index), value, None)
