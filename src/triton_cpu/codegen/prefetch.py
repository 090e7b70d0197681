"""Prefetches in loops, where the hardware's own prefetchers do not foresee what is needed next.

That is so for loads at an address that is loaded first (a walk along a list of rows), and for the tiles of a dot:
many short runs of memory, read in a burst between two long calculations. The addresses are computed a second time, for
an iteration ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triton_cpu.codegen.evaluation import Index
from triton_cpu.codegen.lanes import BYTES, LLVM_TYPES, UNIFORM, VECTOR, Lane, Pointer, integer
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.plan import LAZY
from triton_cpu.ttir import Op, Value

_MAX_AHEAD = 16  # iterations
_LINES_AHEAD = 128  # about as many as are on their way from memory in its latency
_MAX_LINES = 32  # of one iteration; longer runs are left to the hardware
_LINE_BYTES = 64
_FIRST_CACHE, _SECOND_CACHE = 3, 2  # LLVM's localities


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


class NextTile:
    """The lines that the next iteration of the loop around a dot reads for one operand, to be prefetched one by one
    while the dot is calculated."""

    def __init__(self, g: Nests, dot: Op, operand: Value) -> None:
        self.pointers: list[Value] = []
        loop = g.planner.owner[g.planner.block_of[dot]]
        if loop is None or loop.name != "scf.for":
            return
        for value in _sources(g, loop, operand):
            if value.op is not None and value.op.name == "tt.load" and value.type.is_tile:
                pointers = value.op.operands[0]
                if _is_foreseeable(g, loop, pointers) and _contiguous_axis(g, pointers) is not None:
                    self.pointers.append(pointers)
        if self.pointers:
            with _ahead(g, loop, self.pointers, 1):
                self.scalars = g.scalars

    def prefetch(self, g: Nests, turn: Lane, turns: int) -> None:
        """The part of the lines that falls to one of so many turns (a power of two)."""
        for pointers in self.pointers:
            lines = _lines(g, pointers)
            each = max(1, lines // turns)
            first = g.shift_right(turn, turns // lines) if turns > lines else g.mul(turn, integer(each))
            now = g.scalars, g.memo, g.width
            g.scalars, g.memo, g.width = self.scalars, {}, 1
            for i in range(each):
                _emit_prefetch(g, pointers, _index_of_line(g, pointers, g.add(first, integer(i))), _SECOND_CACHE)
            g.scalars, g.memo, g.width = now


def _index_of_line(g: Nests, pointers: Value, line: Lane) -> Index:
    axis, index = _contiguous_axis(g, pointers), []
    for a, size in reversed(list(enumerate(pointers.type.shape))):
        step = _width(g, pointers) if a == axis else 1
        at, line = g.divide_index(line, size // step)
        index.append(g.mul(at, integer(step)))
    return tuple(reversed(index))


def _is_indirect(g: Nests, loop: Op, pointers: Value) -> bool:
    """Whether a tile's addresses depend on the induction value through a scalar that is loaded."""
    if not pointers.type.is_tile or not _is_foreseeable(g, loop, pointers):
        return False
    return any(value.op is not None and value.op.name == "tt.load" for value in _sources(g, loop, pointers))


def _is_foreseeable(g: Nests, loop: Op, pointers: Value) -> bool:
    """Whether addresses depend on the induction value and on nothing else that an iteration only finds out itself."""
    induction, sources = loop.regions[0].args[0], _sources(g, loop, pointers)
    for value in sources - {induction}:
        if value.op is None or value.op.name not in LAZY or value in g.plan.materialised:
            return False
        if value.op.name == "tt.load" and value.type.is_tile:
            return False
    return induction in sources


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
    body, now = loop.regions[0], g.scalars
    at, high, step = (g.scalar(v) for v in (body.args[0], *loop.operands[1:3]))
    assert isinstance(at, Lane) and isinstance(high, Lane) and isinstance(step, Lane)
    type, less = LLVM_TYPES[at.type], "ult" if loop.head == "unsigned" else "slt"
    following = g.b.emit(f"add {type} {at.ref}, {g.b.emit(f'mul {type} {step.ref}, {iterations}')}")
    exists = g.b.emit(f"icmp {less} {type} {following}, {high.ref}")
    later = g.b.emit(f"select i1 {exists}, {type} {following}, {type} {at.ref}")
    g.scalars = {**now, body.args[0]: Lane(at.type, UNIFORM, later)}
    needed = set().union(*(_sources(g, loop, value) for value in values))
    for op in body.ops:
        if op.results and op.result in needed and not op.result.type.is_tile:
            constant = op.name == "arith.constant"
            arguments = [g.scalar(o) for o in op.operands]
            g.scalars[op.result] = g.evaluate_constant(op) if constant else g.compute(op, arguments)
    yield
    g.scalars = now


def _prefetch(g: Nests, pointers: Value) -> None:
    axis = _contiguous_axis(g, pointers)
    assert axis is not None

    def body(index: Index) -> None:
        _emit_prefetch(g, pointers, index, _FIRST_CACHE)

    g.nest(pointers.type.shape, axis, [pointers], body, width=_width(g, pointers))


def _emit_prefetch(g: Nests, pointers: Value, index: Index, cache: int) -> None:
    pointer = g.evaluate(pointers, index)
    if isinstance(pointer, Pointer) and VECTOR not in (pointer.base.kind, pointer.offset.kind):
        g.b.stmt(f"call void @llvm.prefetch.p0(ptr {g.address(pointer)}, i32 0, i32 {cache}, i32 1)")
