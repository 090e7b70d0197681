"""Tiles whose memory runs along another axis than the vectors that are wanted: turned in registers."""

from __future__ import annotations

from triton_cpu.codegen.evaluation import Buffer, Index
from triton_cpu.codegen.lanes import BYTES, LLVM_TYPES, integer
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.shapes import source_axis
from triton_cpu.ttir import Value


def is_plain_load(g: Nests, value: Value) -> bool:
    """Whether a tile is just loaded, or loaded and transposed, without a mask."""
    while value not in g.buffers and value.op is not None and value.op.name == "tt.trans":
        value = value.op.operands[0]
    op = value.op
    return value not in g.buffers and op is not None and op.name == "tt.load" and len(op.operands) == 1


def transposed(g: Nests, rows: list[str], type: str, width: int) -> list[str]:
    """Squares of lanes, side by side in as many vectors as a square has rows, each transposed in rounds of two-input
    shuffles."""
    step = 1
    while step < len(rows):
        swapped = list(rows)
        for i in range(len(rows)):
            if i & step:
                continue
            low = ", ".join(f"i32 {j if not j & step else width + j - step}" for j in range(width))
            high = ", ".join(f"i32 {j + step if not j & step else width + j}" for j in range(width))
            pair = f"{type} {rows[i]}, {type} {rows[i + step]}"
            swapped[i] = g.b.emit(f"shufflevector {pair}, <{width} x i32> <{low}>")
            swapped[i + step] = g.b.emit(f"shufflevector {pair}, <{width} x i32> <{high}>")
        rows = swapped
        step *= 2
    return rows


def turned_quarter(g: Nests, columns: list[str], word: str) -> list[str]:
    """Four rows, from as many columns of four words as there are lanes. Columns 0, 4, 8... are put side by side, and
    1, 5, 9...: a load into a quarter of a register each. Only squares of four words are left to be turned."""
    mixed = []
    for i in range(4):
        parts, size = columns[i::4], 4
        while len(parts) > 1:
            order, half = ", ".join(f"i32 {j}" for j in range(2 * size)), f"<{size} x {word}>"
            parts = [
                g.b.emit(f"shufflevector {half} {low}, {half} {high}, <{2 * size} x i32> <{order}>")
                for low, high in zip(parts[0::2], parts[1::2], strict=True)
            ]
            size *= 2
        mixed += parts
    return transposed(g, mixed, f"<{len(columns)} x {word}>", len(columns))


def turned(g: Nests, value: Value) -> Buffer | None:
    """Memory for a tile of words that is loaded from where they run along another axis than the last one. None for all
    other tiles."""
    axis = _axis_to_turn(g, value)
    if axis is None:
        return None
    buffer = g.allocate(value)
    last, side = len(buffer.shape) - 1, g.lanes
    steps = [4 if a == axis else side if a == last else 1 for a in range(last + 1)]

    def block(at: Index) -> None:
        first = [g.mul(i, integer(step)) for i, step in zip(at, steps, strict=True)]
        g.width, column, columns = 4, list(first), []
        column[axis] = g.lane_index(first[axis])
        for j in range(side):
            column[last] = g.add(first[last], integer(j))
            columns.append(g.vector(g.lane(value, tuple(column))))
        g.width, row = side, list(first)
        row[last] = g.lane_index(first[last])
        for j, words in enumerate(turned_quarter(g, columns, LLVM_TYPES[buffer.elem])):
            row[axis] = g.add(first[axis], integer(j))
            g.write(buffer, tuple(row), g.value(buffer.elem, words, g.b.depth))
        g.width = 1

    sizes = tuple(size // step for size, step in zip(buffer.shape, steps, strict=True))
    g.nest(sizes, 0, [value] * side, block, width=1)
    return buffer


def _axis_to_turn(g: Nests, value: Value) -> int | None:
    """The axis of a tile of words along which memory runs, where four of them fit and it is not the last one."""
    shape = value.type.shape
    axes: list[int] = list(range(len(shape)))
    while value.op is not None and value.op.name in ("tt.trans", "tt.expand_dims"):
        axes = [-1 if axis < 0 else _known(source_axis(value.op, axis)) for axis in axes]
        value = value.op.operands[0]
    if len(shape) < 2 or shape[-1] % g.lanes or BYTES[value.type.elem] != 4 or not is_plain_load(g, value):
        return None
    assert value.op is not None
    strides = [g.planner.stride(value.op.operands[0], axis) if axis >= 0 else 0 for axis in axes]
    if strides[-1] == 1:
        return None
    return next((axis for axis, stride in enumerate(strides) if stride == 1 and shape[axis] % 4 == 0), None)


def _known(axis: int | None) -> int:
    assert axis is not None  # no axis is mixed with others
    return axis
