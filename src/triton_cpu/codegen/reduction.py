"""Reductions and scans: any combining region, over any axis, vectorised along whichever axis reads memory best."""

from __future__ import annotations

from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.evaluation import Buffer, Index
from triton_cpu.codegen.lanes import LLVM_TYPES, UNIFORM, VECTOR, Lane, Pointer, integer
from triton_cpu.codegen.nest import Nests
from triton_cpu.ttir import Block, Op

_UNROLL_CHUNKS = 8  # a reduction of so few vectors is written out as a tree
_ROWS_INSTRUCTIONS = 800  # of rows whose lanes are folded together
_ACCUMULATORS = 4  # longer ones run several accumulators to hide the latency of an add


def combine(g: Nests, region: Block, left: list[Lane], right: list[Lane]) -> list[Lane]:
    """The combining region applied to two lists of lanes, at the current width."""
    scope: dict[object, Lane] = dict(zip(region.args, [*left, *right], strict=True))
    for op in region.ops[:-1]:
        args: list[Lane | Pointer] = [scope[o] if o in scope else g.scalars[o] for o in op.operands]
        found = g.evaluate_constant(op) if op.name == "arith.constant" else g.compute(op, args)
        assert isinstance(found, Lane)
        scope[op.result] = found
    return [scope[o] for o in region.ops[-1].operands]


def emit_reduce(g: Nests, op: Op) -> None:
    shape, axis = op.operands[0].type.shape, int(op.attributes["axis"].split(":")[0])
    vector_axis = _reduction_axis(g, op, shape, axis)
    kept = shape[:axis] + shape[axis + 1 :]
    buffers = [g.allocate(result) for result in op.results] if kept else []
    rows = _rows_together(g, op, shape, axis) if vector_axis == axis else 0

    def body(index: Index) -> None:
        totals = _fold_rows(g, op, axis, index, rows) if rows else _totals(g, op, axis, index, horizontal=False)
        if not kept:
            for result, total in zip(op.results, totals, strict=True):
                g.scalars[result] = total._replace(level=0)
            return
        for buffer, total in zip(buffers, totals, strict=True):
            g.write(buffer, index, total)

    if rows:
        reads = rows * shape[axis] // min(shape[axis], g.lanes) if rows > 1 else 1
        g.nest(kept, max(len(kept) - 1, 0), list(op.operands), body, rows, reads)
    else:
        kept_axis = vector_axis - (vector_axis > axis)
        g.nest(kept, kept_axis, list(op.operands), body)
    if kept:
        g.buffers.update(zip(op.results, buffers, strict=True))


def _reduction_axis(g: Nests, op: Op, shape: tuple[int, ...], axis: int) -> int:
    best = g.best_axis(shape, list(op.operands))
    if best != axis and shape[best] < g.lanes <= shape[axis] and len(shape) > 1:
        costs = {a: sum(g.access_cost(v, a, min(shape[a], g.lanes), set()) for v in op.operands) for a in (best, axis)}
        return axis if costs[axis] <= costs[best] else best
    return best


def _rows_together(g: Nests, op: Op, shape: tuple[int, ...], axis: int) -> int:
    """How many neighbouring rows are folded at once, where lanes are what is reduced."""
    kept = shape[:axis] + shape[axis + 1 :]
    width = min(shape[axis], g.lanes)
    chunks = shape[axis] // width
    if not kept or chunks > _UNROLL_CHUNKS:
        return 1
    rows = min(kept[-1], width)
    while rows > 1 and rows * chunks * (1 + sum(g.planner.cost(v) for v in op.operands)) > _ROWS_INSTRUCTIONS:
        rows //= 2
    return rows


def _fold_rows(g: Nests, op: Op, axis: int, index: Index, rows: int) -> list[Lane]:
    """The totals of ``rows`` rows, as the lanes of one vector; ``index`` runs along them with the last kept axis."""
    if rows == 1:
        starts = [index]
    else:
        first = index[-1]._replace(kind=UNIFORM, stride=0)
        starts = [(*index[:-1], g.add(first, integer(r))) for r in range(rows)]
    g.width = min(op.operands[0].type.shape[axis], g.lanes)
    return _across_lanes(g, op.regions[0], [_totals(g, op, axis, start, horizontal=True) for start in starts])


def _totals(g: Nests, op: Op, axis: int, index: Index, horizontal: bool) -> list[Lane]:
    """The reduced axis added up vector by vector: its lanes are left (horizontal), or are those of a kept axis."""
    shape, region = op.operands[0].type.shape, op.regions[0]
    step = g.width if horizontal else 1
    chunks = shape[axis] // step

    def terms(at: Lane) -> list[Lane]:
        lane = g.lane_index(at) if horizontal else at
        found = [g.lane(o, (*index[:axis], lane, *index[axis:])) for o in op.operands]
        if g.width > 1:
            found = [Lane(f.type, VECTOR, g.vector(f), 0, f.level) for f in found]
        return found

    if chunks <= _UNROLL_CHUNKS:
        return _tree(g, region, [terms(integer(i * step)) for i in range(chunks)])
    return _accumulate(g, region, chunks, step, terms)


def _tree(g: Nests, region: Block, parts: list[list[Lane]]) -> list[Lane]:
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [combine(g, region, parts[i], parts[i + half]) for i in range(half)]
    return parts[0]


def _accumulate(g: Nests, region: Block, chunks: int, step: int, terms) -> list[Lane]:  # type: ignore[no-untyped-def]
    count = _ACCUMULATORS
    firsts = [terms(integer(i * step)) for i in range(count)]
    slots: list[list[str]] = []
    for first in firsts:
        slots.append([g.b.slot(g.vector_type(lane.type)) for lane in first])
        for slot, lane in zip(slots[-1], first, strict=True):
            g.b.stmt(f"store {g.vector_type(lane.type)} {g.vector(lane)}, ptr {slot}")

    def current(which: list[str], level: int) -> list[Lane]:
        return [
            g.value(lane.type, g.b.emit(f"load {g.vector_type(lane.type)}, ptr {slot}"), level)
            for slot, lane in zip(which, firsts[0], strict=True)
        ]

    with g.counted_loop((chunks - count) * step, count * step) as i:
        for j in range(count):
            following = terms(g.add(i, integer((count + j) * step)))
            totals = combine(g, region, current(slots[j], g.b.depth), following)
            for slot, lane in zip(slots[j], totals, strict=True):
                g.b.stmt(f"store {g.vector_type(lane.type)} {g.vector(lane)}, ptr {slot}")
    return _tree(g, region, [current(which, g.b.depth) for which in slots])


def _across_lanes(g: Nests, region: Block, rows: list[list[Lane]]) -> list[Lane]:
    """Folds the lower half of each row's lanes with the upper one until one lane a row is left, in the rows' order.

    Two vectors are folded into one of the same width as long as there are two; then one into one of half its width.
    """
    segment = g.width  # lanes that a row has left
    while segment > 1:
        step = min(2, len(rows))
        pairs = [rows[i : i + step] for i in range(0, len(rows), step)]
        halves = [
            [_half(g, list(parts), segment, h) for parts in zip(*pair, strict=True)] for pair in pairs for h in (0, 1)
        ]
        g.width = g.width * step // 2
        rows = [combine(g, region, low, high) for low, high in zip(halves[0::2], halves[1::2], strict=True)]
        segment //= 2
    return rows[0]


def _half(g: Nests, vectors: list[Lane], segment: int, which: int) -> Lane:
    """The lower (0) or upper (1) halves of all segments of one or two vectors, in a row."""
    width, size, scalar = g.width, segment // 2, LLVM_TYPES[vectors[0].type]
    lanes = [s + which * size + i for s in range(0, width * len(vectors), segment) for i in range(size)]
    full, level = f"<{width} x {scalar}>", max(v.level for v in vectors)
    if len(lanes) == 1:
        ref = g.b.emit(f"extractelement {full} {vectors[0].ref}, i64 {lanes[0]}", level)
        return Lane(vectors[0].type, UNIFORM, ref, 0, level)
    mask = ", ".join(f"i32 {lane}" for lane in lanes)
    second = vectors[1].ref if len(vectors) > 1 else "poison"
    ref = g.b.emit(f"shufflevector {full} {vectors[0].ref}, {full} {second}, <{len(lanes)} x i32> <{mask}>", level)
    return Lane(vectors[0].type, VECTOR, ref, 0, level)


def emit_scan(g: Nests, op: Op) -> None:
    """A running combination along one axis, element by element; lanes run along the last axis if that is another."""
    shape, axis = op.operands[0].type.shape, int(op.attributes["axis"].split(":")[0])
    reverse = op.attributes.get("reverse", "false").startswith("true")
    buffers = [g.materialise(o, g.allocate(r)) for o, r in zip(op.operands, op.results, strict=True)]
    others = shape[:axis] + shape[axis + 1 :]

    def at(index: Index, position: Lane) -> Index:
        return (*index[:axis], position, *index[axis:])

    def body(index: Index) -> None:
        with g.counted_loop(shape[axis] - 1) as i:
            # The element before (or after) has its running total already.
            done = g.sub(integer(shape[axis] - 1), i) if reverse else i
            following = g.sub(done, integer(1)) if reverse else g.add(i, integer(1))
            totals = [_element(g, buffer, at(index, done)) for buffer in buffers]
            terms = [_element(g, buffer, at(index, following)) for buffer in buffers]
            for buffer, lane in zip(buffers, combine(g, op.regions[0], totals, terms), strict=True):
                g.write(buffer, at(index, following), lane)

    if shape[axis] > 1:
        width = 1 if axis == len(shape) - 1 else min(shape[-1], g.lanes)
        g.nest(others, max(len(others) - 1, 0), [], body, width)
    g.buffers.update(zip(op.results, buffers, strict=True))


def _element(g: Nests, buffer: Buffer, index: Index) -> Lane:
    found = g.read(buffer, index)
    if isinstance(found, Pointer):
        raise UnsupportedOpError("tt.scan", why="pointers")
    return found
