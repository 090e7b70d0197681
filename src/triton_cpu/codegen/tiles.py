"""Products of bf16 on the tile registers of AMX: 16 rows of 64 bytes each, eight of them.

    C [16, 16] f32  +=  A [16, 32] bf16 · B [16, 16, 2] bf16, pairs of k that follow each other

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18 (tiles), and TDPBF16PS in
volume 2. LLVM allocates the registers and writes their configuration into each function.
"""

from __future__ import annotations

from triton_cpu.codegen.evaluation import Buffer
from triton_cpu.codegen.lanes import BYTES, Lane, integer
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.prefetch import NextTile

SIDE, DEPTH = 16, 32  # rows and columns of a result, and the k of one instruction
_MAX_STEPS = 8  # instructions on one tile of the result between its load and its store
_LOAD, _STORE = "llvm.x86.tileloadd64.internal", "llvm.x86.tilestored64.internal"
_MULTIPLY = "llvm.x86.tdpbf16ps.internal"
_SHAPE = "i16 16, i16 64"  # rows, and bytes of each


def fits_tiles(n: int, k: int) -> bool:
    """Whatever the rows are, or a row's result would depend on how many there are."""
    return n >= SIDE and k >= DEPTH  # powers of two


def emit_tile_product(g: Nests, left: Buffer, right: Buffer, into: Buffer, following: NextTile) -> None:
    """into [m, n] f32 += left [m, k] bf16 · right [k / 2, n], words of two bf16.

    Fewer than 16 rows are computed as 16, of which nobody looks at the last: LLVM runs out of registers where tiles
    have several shapes.
    """
    if into.shape[0] < SIDE:
        left_padded, into_padded = _padded(g, left), _padded(g, into)
        _copy(g, left, left_padded, left.shape)
        _copy(g, into, into_padded, into.shape)
        emit_tile_product(g, left_padded, right, into_padded, following)
        _copy(g, into_padded, into, into.shape)
        return
    (m, k), n = left.shape, right.shape[1]
    g.definitions[_LOAD] = f"declare x86_amx @{_LOAD}(i16, i16, ptr, i64)"
    g.definitions[_STORE] = f"declare void @{_STORE}(i16, i16, ptr, i64, x86_amx)"
    g.definitions[_MULTIPLY] = f"declare x86_amx @{_MULTIPLY}(i16, i16, i16, x86_amx, x86_amx, x86_amx)"
    rows = min(m // SIDE, 2)
    columns = min(n // SIDE, 4 // rows)  # four results, and what goes into them: no more than eight registers
    depth = min(k, _MAX_STEPS * DEPTH)
    turns = n // (columns * SIDE) * (m // (rows * SIDE)) * (k // DEPTH)
    with g.passes(n, columns * SIDE) as j, g.passes(m, rows * SIDE) as i, g.passes(k, depth) as k0:
        at_rows = [g.add(i, integer(r * SIDE)) for r in range(rows)]
        at_columns = [g.add(j, integer(c * SIDE)) for c in range(columns)]
        blocks = g.mul(g.shift_right(j, columns * SIDE), integer(m // (rows * SIDE)))
        blocks = g.mul(g.add(blocks, g.shift_right(i, rows * SIDE)), integer(k // DEPTH))
        sums = [[_load(g, into, row, column) for column in at_columns] for row in at_rows]
        for step in range(0, depth, DEPTH):
            at_k = g.add(k0, integer(step))
            at_word = g.shift_right(at_k, 2)
            following.prefetch(g, g.add(blocks, g.shift_right(at_k, DEPTH)), turns)
            lefts = [_load(g, left, row, at_k) for row in at_rows]
            for c, column in enumerate(at_columns):
                b = _load(g, right, at_word, column)
                for r, a in enumerate(lefts):
                    sums[r][c] = _multiply_add(g, sums[r][c], a, b)
        for row, line in zip(at_rows, sums, strict=True):
            for column, total in zip(at_columns, line, strict=True):
                g.b.stmt(f"call void @{_STORE}({_SHAPE}, {_place(g, into, row, column)}, x86_amx {total})")


def _padded(g: Nests, buffer: Buffer) -> Buffer:
    """Room for 16 rows instead."""
    columns = buffer.shape[1]
    memory = g.b.array(SIDE * columns * BYTES[buffer.elem])
    return Buffer(memory, buffer.elem, "", (SIDE, columns), (columns, 1))


def _copy(g: Nests, source: Buffer, target: Buffer, shape: tuple[int, ...]) -> None:
    g.nest(shape, 1, [], lambda index: g.write(target, index, g.read(source, index)))


def _place(g: Nests, buffer: Buffer, row: Lane, column: Lane) -> str:
    """Address of a tile's first element, and the bytes from row to row."""
    return f"ptr {g.address(g.at(buffer, (row, column)))}, i64 {buffer.strides[0] * BYTES[buffer.elem]}"


def _load(g: Nests, buffer: Buffer, row: Lane, column: Lane) -> str:
    return g.b.emit(f"call x86_amx @{_LOAD}({_SHAPE}, {_place(g, buffer, row, column)})")


def _multiply_add(g: Nests, total: str, a: str, b: str) -> str:
    return g.b.emit(f"call x86_amx @{_MULTIPLY}({_SHAPE}, i16 64, x86_amx {total}, x86_amx {a}, x86_amx {b})")
