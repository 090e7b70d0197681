"""Prefetches of what a loop will load at an address that it loads first: a walk along a list of rows, say.

The hardware's own prefetchers do not foresee such loads, and the processor looks ahead only as far as its window of
instructions reaches. So each iteration also computes the addresses of one that is some way ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triton_cpu.codegen.evaluation import Index
from triton_cpu.codegen.lanes import BYTES, LLVM_TYPES, UNIFORM, VECTOR, Lane, Pointer
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.plan import LAZY
from triton_cpu.ttir import Op, Value

_MAX_AHEAD = 16  # iterations
_LINES_AHEAD = 128  # about as many as are on their way from memory in its latency
_MAX_LINES = 32  # of one iteration; longer runs are left to the hardware
_LINE_BYTES = 64


def emit_prefetches(g: Nests, loop: Op) -> None:
    """At the top of the body of an scf.for: prefetches for an iteration ahead."""
    body = loop.regions[0]
    pointers = [op.operands[0] for op in body.ops if op.name == "tt.load" and _is_indirect(g, loop, op.operands[0])]
    pointers = [p for p in pointers if _contiguous_axis(g, p) is not None]
    lines = sum(_lines(g, p) for p in pointers)
    if not pointers or lines > _MAX_LINES:
        return
    with _ahead(g, loop, pointers, min(_MAX_AHEAD, _LINES_AHEAD // lines)):
        for p in pointers:
            _prefetch(g, p)


def _is_indirect(g: Nests, loop: Op, pointers: Value) -> bool:
    """Whether a tile's addresses depend on the induction value, through a scalar load, and on nothing that only the
    iteration itself could know."""
    if not pointers.type.is_tile:
        return False
    induction, loaded = loop.regions[0].args[0], False
    sources = _sources(g, loop, pointers)
    for value in sources - {induction}:
        if value.op is None or value.op.name not in LAZY or value in g.plan.materialised:
            return False
        if value.op.name == "tt.load":
            if value.type.is_tile:
                return False
            loaded = True
    return loaded and induction in sources


def _sources(g: Nests, loop: Op, value: Value, found: set[Value] | None = None) -> set[Value]:
    """Everything inside the loop that a value is computed from, itself included."""
    body, found = loop.regions[0], set() if found is None else found
    inside = value in body.args if value.op is None else g.planner.block_of[value.op] is body
    if inside and value not in found:
        found.add(value)
        for operand in value.op.operands if value.op is not None else ():
            _sources(g, loop, operand, found)
    return found


def _contiguous_axis(g: Nests, pointers: Value) -> int | None:
    axes = [axis for axis in range(len(pointers.type.shape)) if g.planner.stride(pointers, axis) == 1]
    return axes[0] if axes and pointers.type.pointee in BYTES else None


def _width(g: Nests, pointers: Value) -> int:
    """Elements of the tile that share a cache line."""
    axis = _contiguous_axis(g, pointers)
    assert axis is not None
    return min(pointers.type.shape[axis], _LINE_BYTES // BYTES[pointers.type.pointee])


def _lines(g: Nests, pointers: Value) -> int:
    return pointers.type.numel // _width(g, pointers)


@contextmanager
def _ahead(g: Nests, loop: Op, values: list[Value], iterations: int) -> Iterator[None]:
    """In this block, scalars of the loop have the values of a later iteration, or of this one where there is none:
    what is loaded to compute an address is loaded only where the loop itself will."""
    body, now = loop.regions[0], dict(g.scalars)
    at, high, step = (g.scalar(v) for v in (body.args[0], *loop.operands[1:3]))
    assert isinstance(at, Lane) and isinstance(high, Lane) and isinstance(step, Lane)
    type, less = LLVM_TYPES[at.type], "ult" if loop.head == "unsigned" else "slt"
    following = g.b.emit(f"add {type} {at.ref}, {g.b.emit(f'mul {type} {step.ref}, {iterations}')}")
    exists = g.b.emit(f"icmp {less} {type} {following}, {high.ref}")
    later = g.b.emit(f"select i1 {exists}, {type} {following}, {type} {at.ref}")
    g.scalars[body.args[0]] = Lane(at.type, UNIFORM, later)
    needed = set().union(*(_sources(g, loop, value) for value in values))
    for op in body.ops:
        if op.results and op.result in needed and not op.result.type.is_tile and op.name != "arith.constant":
            g.scalars[op.result] = g.compute(op, [g.scalar(o) for o in op.operands])
    yield
    g.scalars = now


def _prefetch(g: Nests, pointers: Value) -> None:
    axis = _contiguous_axis(g, pointers)
    assert axis is not None

    def body(index: Index) -> None:
        pointer = g.evaluate(pointers, index)
        if isinstance(pointer, Pointer) and VECTOR not in (pointer.base.kind, pointer.offset.kind):
            g.b.stmt(f"call void @llvm.prefetch.p0(ptr {g.address(pointer)}, i32 0, i32 3, i32 1)")

    g.nest(pointers.type.shape, axis, [pointers], body, width=_width(g, pointers))
