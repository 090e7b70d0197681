"""Atomic read-modify-write and compare-and-swap, element by element."""

from __future__ import annotations

from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.evaluation import Index
from triton_cpu.codegen.lanes import BYTES, LLVM_TYPES, UNIFORM, Lane, Pointer
from triton_cpu.codegen.nest import Nests
from triton_cpu.ttir import Op

_OPCODES = {"fadd": "fadd", "add": "add", "max": "max", "min": "min", "umax": "umax", "umin": "umin", "and": "and",
            "or": "or", "xor": "xor", "exch": "xchg"}  # fmt: skip
_ORDERINGS = {"relaxed": "monotonic", "acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}


def emit_atomic(g: Nests, op: Op) -> None:
    words = [word.strip() for word in op.head.split(",")]
    swap = op.name == "tt.atomic_cas"
    if not swap and words[0] not in _OPCODES:
        raise UnsupportedOpError(op, why=words[0])
    ordering = _ORDERINGS[words[0 if swap else 1]]
    shape, result = op.operands[0].type.shape, op.result
    type, size = LLVM_TYPES[result.type.elem], BYTES[result.type.elem]
    buffer = g.allocate(result) if shape else None
    slot = g.b.slot(type)

    def body(index: Index) -> None:
        pointer = g.evaluate(op.operands[0], index)
        assert isinstance(pointer, Pointer)
        address = g.addresses(pointer).ref
        values = [g.lane(o, index) for o in op.operands[1:]]
        g.b.stmt(f"store {type} zeroinitializer, ptr {slot}")
        mask = values[1].ref if not swap and len(values) > 1 else "true"
        with g.branch(mask):
            if swap:
                pair = g.b.emit(
                    f"cmpxchg ptr {address}, {type} {values[0].ref}, {type} {values[1].ref} {ordering} monotonic"
                )
                old = g.b.emit(f"extractvalue {{ {type}, i1 }} {pair}, 0")
            else:
                opcode = _OPCODES[words[0]]
                old = g.b.emit(f"atomicrmw {opcode} ptr {address}, {type} {values[0].ref} {ordering}, align {size}")
            g.b.stmt(f"store {type} {old}, ptr {slot}")
        previous = Lane(result.type.elem, UNIFORM, g.b.emit(f"load {type}, ptr {slot}"), 0, g.b.depth)
        if buffer is None:
            g.scalars[result] = previous._replace(level=0)
        else:
            g.write(buffer, index, previous)

    g.nest(shape, max(len(shape) - 1, 0), list(op.operands), body, width=1)
    if buffer is not None:
        g.buffers[result] = buffer
