"""Axes and strides: where an element of a rearranged tile comes from."""

from __future__ import annotations

from triton_cpu.ttir import Op


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, size = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        strides[axis], size = size, size * shape[axis]
    return tuple(strides)


def source_axis(op: Op, axis: int) -> int | None:
    """Where a result axis comes from in the operand of a shape operation: its axis, -1 (repeated), None (mixed)."""
    source, target = op.operands[0].type.shape, op.result.type.shape
    if op.name in ("tt.splat", "tt.unsplat"):
        return -1
    if op.name == "tt.broadcast":
        return -1 if source[axis] == 1 and target[axis] > 1 else axis
    if op.name == "tt.expand_dims":
        new = int(op.attributes["axis"].split(":")[0])
        return -1 if axis == new else axis - (axis > new)
    if op.name == "tt.trans":
        return permutation(op)[axis]
    if op.name == "tt.split":
        return axis
    for group, merged in reshape_groups(source, target):
        if axis in merged:
            if len(group) == 1 and len(merged) == 1:
                return group[0]
            return group[-1] if group and axis == merged[-1] else None
    return None


def permutation(op: Op) -> list[int]:
    text = op.attributes["order"]
    return [int(i) for i in text[text.index(":") + 1 : text.index(">")].split(",")]


def lanes_stay(step: int, width: int, dims: list[int]) -> bool:
    """Whether ``width`` lanes ``step`` elements apart move along one axis only of a row-major box of ``dims``."""
    for size in reversed(dims[1:]):
        if step % size == 0:
            step //= size
        else:
            return step * width <= size
    return True


def reshape_groups(source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Matches runs of source axes with runs of target axes of the same size: ``(4,8)->(32)`` is ``[([0,1],[0])]``."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source) or j < len(target):
        group, merged, a, b = [], [], 1, 1
        if i < len(source):
            group, a, i = [i], source[i], i + 1
        if j < len(target):
            merged, b, j = [j], target[j], j + 1
        while a != b:
            if a < b:
                group, a, i = [*group, i], a * source[i], i + 1
            else:
                merged, b, j = [*merged, j], b * target[j], j + 1
        groups.append((group, merged))
    return groups
