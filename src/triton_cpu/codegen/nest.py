"""Loop nests over tiles, and the axis that their vectors run along."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from triton_cpu.codegen.evaluation import Buffer, Evaluation, Index
from triton_cpu.codegen.lanes import AFFINE, Lane, integer
from triton_cpu.codegen.plan import LAZY, SHAPE_OPS
from triton_cpu.codegen.shapes import source_axis
from triton_cpu.ttir import Value

_UNROLL_VECTORS = 32  # a nest of so few vectors is written out, so that its buffers can live in registers
_UNROLL_INSTRUCTIONS = 1500
_INNER_COPIES = 4  # steps of an innermost loop written out side by side, where they are
_INNER_INSTRUCTIONS = 30  # so short


class Nests(Evaluation):
    """Runs code at every vector index of a tile; the base of the code generator."""

    def materialise(self, value: Value, into: Buffer | None = None) -> Buffer:
        """Computes a tile into memory."""
        buffer = into or self.allocate(value)
        axis = self.best_axis(value.type.shape, [value], into=buffer)
        self.nest(value.type.shape, axis, [value], lambda i: self.write(buffer, i, self.evaluate(value, i)))
        return buffer

    def best_axis(
        self,
        shape: tuple[int, ...],
        values: list[Value],
        stores: list[Value] | None = None,
        into: Buffer | None = None,
    ) -> int:
        """The axis to vectorise: the one that makes the memory accesses of ``values`` cheapest.

        What is written counts too: through the pointers ``stores``, or into a buffer.
        """
        best, best_cost = max(len(shape) - 1, 0), float("inf")
        for axis in reversed(range(len(shape))):
            width = min(shape[axis], self.lanes)
            cost = sum(self.access_cost(v, axis, width, set()) for v in values)
            for pointer in stores or ():
                cost += 1.0 / width if self.planner.stride(pointer, axis) == 1 else 1.5
            if into is not None:
                cost += 1.0 / width if into.strides[axis] == 1 else 1.5
            cost += 4.0 / width
            if cost < best_cost - 1e-9:
                best, best_cost = axis, cost
        return best

    def access_cost(self, value: Value, axis: int | None, width: int, seen: set[tuple[Value, int | None]]) -> float:
        if not value.type.is_tile or (value, axis) in seen:
            return 0.0
        seen.add((value, axis))
        if value in self.buffers:
            stride = self.buffers[value].strides[axis] if axis is not None else 0
            single = axis is not None and value.type.shape[axis] == 1
            return 0.3 / width if axis is None or single else 1.0 / width if stride == 1 else 1.0
        if value in self.plan.inductions:
            return self.access_cost(self.plan.inductions[value].init, axis, width, seen)
        op = value.op
        if op is None or op.name not in LAZY:
            return 0.0
        if op.name == "tt.load":
            step = 0 if axis is None else self.planner.stride(op.operands[0], axis)
            own = 0.3 / width if step == 0 else 1.0 / width if step == 1 else 1.5
        else:
            own = 0.0 if op.name in SHAPE_OPS else 0.5 / width
        if op.name in SHAPE_OPS and axis is not None:
            source = source_axis(op, axis)
            axis = None if source is None or source < 0 else source
        return own + sum(self.access_cost(o, axis, width, seen) for o in op.operands)

    def nest(
        self,
        shape: tuple[int, ...],
        axis: int,
        values: list[Value],
        body: Callable[[Index], None],
        width: int | None = None,
        reads: int = 1,
    ) -> None:
        """Runs ``body`` at every vector index of a tile of ``shape`` whose lanes run along ``axis``.

        At each it evaluates ``values`` at ``reads`` places.
        """
        lanes = width or (min(shape[axis], self.lanes) if shape else 1)
        outer_width, self.width = self.width, lanes
        outer_memo, self.memo = self.memo, {}
        order = [a for a in range(len(shape)) if a != axis] + ([axis] if shape else [])
        vectors = 1
        for size in shape:
            vectors *= size
        vectors //= lanes
        work = vectors * (1 + reads * sum(self.planner.cost(v) for v in values))
        if vectors * reads <= _UNROLL_VECTORS and work <= _UNROLL_INSTRUCTIONS:
            self._unrolled(shape, axis, order, [integer(0)] * len(shape), body)
        else:
            copies = _INNER_COPIES if work // vectors <= _INNER_INSTRUCTIONS else 1
            self._looped(shape, axis, order, [integer(0)] * len(shape), body, copies)
        self.width, self.memo = outer_width, outer_memo

    def lane_index(self, base: Lane) -> Lane:
        return base if self.width == 1 else base._replace(kind=AFFINE, stride=1)

    def _unrolled(
        self, shape: tuple[int, ...], axis: int, order: list[int], at: list[Lane], body: Callable[[Index], None]
    ) -> None:
        if not order:
            body(tuple(at))
            return
        current = order[0]
        for i in range(0, shape[current], self.width if current == axis else 1):
            at[current] = self.lane_index(integer(i)) if current == axis else integer(i)
            self._unrolled(shape, axis, order[1:], at, body)

    def _looped(
        self,
        shape: tuple[int, ...],
        axis: int,
        order: list[int],
        at: list[Lane],
        body: Callable[[Index], None],
        copies: int,
    ) -> None:
        """Loops in ``order``; the innermost one that turns more than once does up to ``copies`` steps a turn."""
        if not order:
            body(tuple(at))
            return
        current, rest = order[0], order[1:]
        step = self.width if current == axis else 1
        turns = shape[current] // step
        inner = all(shape[a] == (self.width if a == axis else 1) for a in rest)
        unroll = min(copies, turns) if inner else 1
        with self.counted_loop(shape[current], step * unroll) if turns > unroll else nullcontext(integer(0)) as start:
            for j in range(unroll):
                i = self.add(start, integer(j * step))
                at[current] = self.lane_index(i) if current == axis else i
                self._looped(shape, axis, rest, at, body, copies)
