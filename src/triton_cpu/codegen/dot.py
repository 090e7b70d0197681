"""Matrix products: operands are packed into stack tiles, then a register-blocked micro-kernel runs over them.

f32 (and f16, f64) multiply-add one k at a time; bf16 goes two k at a time through AVX512-BF16 where the target has it,
and through f32 elsewhere; integers are widened to i32. The accumulator tile stays in memory between k tiles and is
updated in place when the plan found that nobody else reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from triton_cpu.codegen.elementwise import convert_float
from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.evaluation import Buffer, Index
from triton_cpu.codegen.lanes import BYTES, Lane, Pointer, integer, is_float
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.prefetch import NextTile
from triton_cpu.codegen.shapes import row_major
from triton_cpu.codegen.tiles import emit_tile_product, fits_tiles
from triton_cpu.codegen.turn import is_plain_load, transposed, turned_quarter
from triton_cpu.ttir import Op, Value

_SMALL_K_UNROLL = 4

Reader: TypeAlias = Callable[[Lane, Lane], Lane]  # row and k to an element


@dataclass(frozen=True)
class Product:
    """Sizes and element types of one dot: [m, k] · [k, n], ``pairs`` consecutive k packed together."""

    m: int
    n: int
    k: int
    elem: str
    total: str
    pairs: bool


def emit_dot(g: Nests, op: Op) -> None:
    a, b, c = op.operands
    if len(a.type.shape) != 2:
        raise UnsupportedOpError(op, why="batched products")
    (m, k), n = a.type.shape, b.type.shape[1]
    total = op.result.type.elem
    on_tiles = g.target.bf16_tiles and a.type.elem == b.type.elem == "bf16" and fits_tiles(n, k)
    pairs = on_tiles or _pairs(g, a.type.elem, b.type.elem, n, k)
    product = Product(m, n, k, *_element(op, a.type.elem, b.type.elem, pairs), pairs)
    into = _accumulator(g, op, c)
    left = _packed(g, a, (m, k), "bf16") if on_tiles else _left_reader(g, a, product)
    right = _packed_right(g, b, product)
    if total != product.total:
        raise UnsupportedOpError(op, why=f"{a.type.elem} operands with {total} results")
    following = NextTile(g, op, b if n >= m else a)
    if isinstance(left, Buffer):
        emit_tile_product(g, left, right, into, following)
    else:
        _micro_kernels(g, product, left, right, into, following)
    g.buffers[op.result] = into


def _pairs(g: Nests, a: str, b: str, n: int, k: int) -> bool:
    return a == b == "bf16" and g.target.bf16_dot and k >= 2 * g.lanes and n >= g.lanes


def _element(op: Op, a: str, b: str, pairs: bool) -> tuple[str, str]:
    """The type that products are computed in, and that of their sum."""
    if pairs:
        return "bf16", "f32"
    if is_float(a) and is_float(b):
        return ("f64", "f64") if "f64" in (a, b) else ("f32", "f32")
    if a in ("i8", "i16", "i32") and b in ("i8", "i16", "i32"):
        return "i32", "i32"
    raise UnsupportedOpError(op, why=f"{a} and {b} operands")


def _accumulator(g: Nests, op: Op, c: Value) -> Buffer:
    target = g.plan.in_place.get(op.result)
    if target is not None:
        buffer = g.buffers[target]
        if c is not target:
            g.materialise(c, buffer)
        return buffer
    return g.materialise(c, g.allocate(op.result))


def _left_reader(g: Nests, a: Value, p: Product) -> Reader:
    """How to read an element (or word of a pair) of the left operand, to be broadcast: k contiguous, from where it
    lies already if nothing has to be done to it."""
    if not p.pairs and a.type.elem == p.elem and is_plain_load(g, a) and g.best_axis(a.type.shape, [a]) == 1:
        return lambda row, k: _lane(g.evaluate(a, (row, k)))
    packed = _packed(g, a, (p.m, p.k), p.elem)
    words = Buffer(packed.ref, "i32", "", (p.m, p.k // 2), (packed.strides[0] // 2, 1)) if p.pairs else packed
    return lambda row, k: _lane(g.read(words, (row, k)))


def _packed_right(g: Nests, b: Value, p: Product) -> Buffer:
    """[k, n] with n contiguous; with ``pairs``, [k/2, n, 2]."""
    if not p.pairs:
        return _packed(g, b, (p.k, p.n), p.elem)
    axis = g.best_axis(b.type.shape, [b])
    words = Buffer(g.b.array(p.k * p.n * 2), "i32", "", (p.k // 2, p.n), (p.n, 1))
    if axis == 0:
        _transpose(g, b, words, pairs=True)
        return words

    def interleave(index: Index) -> None:
        row, column = index
        two = g.mul(row, integer(2))
        low = g.vector(g.lane(b, (two, column)))
        high = g.vector(g.lane(b, (g.add(two, integer(1)), column)))
        order = ", ".join(f"i32 {i}, i32 {g.width + i}" for i in range(g.width))
        full = f"<{g.width} x i16>"
        mixed = g.b.emit(f"shufflevector {full} {low}, {full} {high}, <{2 * g.width} x i32> <{order}>")
        word = g.b.emit(f"bitcast <{2 * g.width} x i16> {mixed} to <{g.width} x i32>")
        g.write(words, index, g.value("i32", word, g.b.depth))

    g.nest((p.k // 2, p.n), 1, [b, b], interleave)
    return words


def _packed(g: Nests, value: Value, shape: tuple[int, ...], elem: str) -> Buffer:
    """A row-major copy of an operand, or the tile it lies in already."""
    existing = _lies(g, value)
    if existing is not None and existing.elem == elem and existing.strides[1] == 1:
        return existing
    axis = g.best_axis(shape, [value])
    buffer = Buffer(g.b.array(max(shape[0] * shape[1] * BYTES[elem], 64)), elem, "", shape, (shape[1], 1))
    if axis == 1 or min(shape) < g.lanes:
        g.nest(shape, axis, [value], lambda i: g.write(buffer, i, convert(g, g.lane(value, i), elem)))
    else:
        _transpose(g, value, buffer, pairs=False)
    return buffer


def _lies(g: Nests, value: Value) -> Buffer | None:
    """Where a matrix lies that is in memory, perhaps as a tile of another shape."""
    shape = value.type.shape
    while value not in g.buffers and value.op is not None and value.op.name == "tt.reshape":
        value = value.op.operands[0]
    found = g.buffers.get(value)
    if found is None or found.shape == shape or found.strides != row_major(found.shape):
        return found
    return replace(found, shape=shape, strides=row_major(shape))


def convert(g: Nests, lane: Lane, elem: str) -> Lane:
    return convert_float(g, lane, elem) if is_float(elem) else g.widen_integer(lane, elem)


def _transpose(g: Nests, value: Value, buffer: Buffer, pairs: bool) -> None:
    """Fills a row-major ``buffer`` from vectors that run down a tile's columns, square by square of 32-bit words. A
    word is a number, or two bf16 that follow each other: those stay together in ``pairs``, and become two f32 else."""
    side = g.lanes
    depth, columns = value.type.shape
    plain = is_plain_load(g, value)
    halves = plain and value.type.elem == "bf16" and buffer.elem == "f32" and depth >= 2 * side
    per_word = 2 if pairs or halves else 1
    quarters = plain and BYTES[value.type.elem] * per_word == 4 and (value.type.elem == buffer.elem or per_word == 2)

    def square(at: Index) -> None:
        first_row, first_column = g.mul(at[0], integer(side * per_word)), g.mul(at[1], integer(side))
        if quarters:
            words = _turned_quarters(g, value, first_row, first_column, per_word)
        else:
            words = _turned_columns(g, value, first_row, first_column, buffer.elem, pairs)
        for j, word in enumerate(words):
            row = g.add(g.mul(at[0], integer(side)), integer(j))
            g.width = side
            for part, number in enumerate(_split_halves(g, word) if halves else [word]):
                at_row = g.add(g.mul(row, integer(2)), integer(part)) if halves else row
                g.write(buffer, (at_row, g.lane_index(first_column)), g.value(buffer.elem, number, g.b.depth))
        g.width = 1

    g.nest((depth // (side * per_word), columns // side), 0, [value] * side, square, width=1)


def _split_halves(g: Nests, words: str) -> list[str]:
    """The two bf16 of each word as f32."""
    full = f"<{g.width} x i32>"
    low, high = g.b.emit(f"shl {full} {words}, splat (i32 16)"), g.b.emit(f"and {full} {words}, splat (i32 -65536)")
    return [g.b.emit(f"bitcast {full} {bits} to {g.vector_type('f32')}") for bits in (low, high)]


def _turned_quarters(g: Nests, value: Value, first_row: Lane, first_column: Lane, per_word: int) -> list[str]:
    """The rows of a square of plain loads, four at a time."""
    side, found = g.lanes, []
    word = "i32" if per_word == 2 else "float"
    for quarter in range(side // 4):
        row, columns = g.add(first_row, integer(4 * per_word * quarter)), []
        g.width = 4 * per_word
        for j in range(side):
            column = g.vector(g.lane(value, (g.lane_index(row), g.add(first_column, integer(j)))))
            columns.append(g.b.emit(f"bitcast <8 x i16> {column} to <4 x i32>") if per_word == 2 else column)
        found += turned_quarter(g, columns, word)
    return found


def _turned_columns(g: Nests, value: Value, first_row: Lane, first_column: Lane, elem: str, pairs: bool) -> list[str]:
    """The rows of a square, from whole columns."""
    side, read = g.lanes, []
    g.width = side

    def vector_at(row: Lane, column: Lane) -> str:
        return g.vector(convert(g, g.lane(value, (g.lane_index(row), column)), "bf16" if pairs else elem))

    for j in range(side):
        column = g.add(first_column, integer(j))
        vector = vector_at(first_row, column)
        if pairs:
            following = vector_at(g.add(first_row, integer(side)), column)
            order, half = ", ".join(f"i32 {i}" for i in range(2 * side)), f"<{side} x i16>"
            both = g.b.emit(f"shufflevector {half} {vector}, {half} {following}, <{2 * side} x i32> <{order}>")
            vector = g.b.emit(f"bitcast <{2 * side} x i16> {both} to <{side} x i32>")
        read.append(vector)
    return transposed(g, read, g.vector_type(elem), side)


def _micro_kernels(g: Nests, p: Product, left: Reader, right: Buffer, into: Buffer, following: NextTile) -> None:
    """Walks blocks of the result that fit in registers, all of k for each."""
    width = min(p.n, g.lanes)
    columns = min(p.n // width, 4 if p.m >= 4 else 8)
    accumulators = g.target.vector_registers // 2  # hold a block of the result
    rows = min(p.m, max(1, accumulators // columns))
    outer_width, g.width, outer_memo, g.memo = g.width, width, g.memo, {}
    full = g.vector_type(p.total)
    with g.passes(p.n, columns * width) as j, g.passes(p.m, rows) as i:
        slots = [[g.b.slot(full) for _ in range(columns)] for _ in range(rows)]
        places = [
            [(g.add(i, integer(r)), g.lane_index(g.add(j, integer(c * width)))) for c in range(columns)]
            for r in range(rows)
        ]
        for r in range(rows):
            for c in range(columns):
                g.b.stmt(f"store {full} {g.vector(_lane(g.read(into, places[r][c])))}, ptr {slots[r][c]}")
        steps = p.k // 2 if p.pairs else p.k
        unroll = min(steps, _SMALL_K_UNROLL)
        turns = steps // unroll * (p.m // rows) * (p.n // (columns * width))
        with g.passes(steps, unroll) as k0:
            block = g.add(g.mul(g.shift_right(j, columns * width), integer(p.m // rows)), g.shift_right(i, rows))
            turn = g.add(g.mul(block, integer(steps // unroll)), g.shift_right(k0, unroll))
            following.prefetch(g, turn, turns)
            for u in range(unroll):
                k = g.add(k0, integer(u))
                _step(g, p, left, right, slots, k, i, j)
        for r in range(rows):
            for c in range(columns):
                total = g.value(p.total, g.b.emit(f"load {full}, ptr {slots[r][c]}"), g.b.depth)
                g.write(into, places[r][c], total)
    g.width, g.memo = outer_width, outer_memo


def _step(g: Nests, p: Product, left: Reader, right: Buffer, slots: list[list[str]], k: Lane, i: Lane, j: Lane) -> None:
    """One k (or pair of k): a few vectors of the right operand times one broadcast element of each left row."""
    full = g.vector_type(p.total)
    weights = [
        g.vector(_lane(g.read(right, (k, g.lane_index(g.add(j, integer(c * g.width))))))) for c in range(len(slots[0]))
    ]
    for r, row in enumerate(slots):
        element = g.vector(left(g.add(i, integer(r)), k))
        for weight, slot in zip(weights, row, strict=True):
            total = _multiply_add(g, p, element, weight, g.b.emit(f"load {full}, ptr {slot}"))
            g.b.stmt(f"store {full} {total}, ptr {slot}")


def _multiply_add(g: Nests, p: Product, element: str, weight: str, total: str) -> str:
    full = g.vector_type(p.total)
    if p.pairs:
        x, y = (g.b.emit(f"bitcast <{g.width} x i32> {v} to <{2 * g.width} x bfloat>") for v in (element, weight))
        g.definitions[_DPBF16] = f"declare <16 x float> @{_DPBF16}(<16 x float>, <32 x bfloat>, <32 x bfloat>)"
        return g.b.emit(f"call {full} @{_DPBF16}({full} {total}, <32 x bfloat> {x}, <32 x bfloat> {y})")
    if is_float(p.total):
        name = f"llvm.fma.{g.suffix(p.total)}"
        return g.b.emit(f"call {full} @{name}({full} {element}, {full} {weight}, {full} {total})")
    return g.b.emit(f"add {full} {g.b.emit(f'mul {full} {element}, {weight}')}, {total}")


_DPBF16 = "llvm.x86.avx512bf16.dpbf16ps.512"


def _lane(found: Lane | Pointer) -> Lane:
    assert isinstance(found, Lane)
    return found
