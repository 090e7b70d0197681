"""From a parsed Triton function to the text of an LLVM module."""

from __future__ import annotations

from triton_cpu.codegen.atomic import emit_atomic
from triton_cpu.codegen.builder import flatten
from triton_cpu.codegen.control import emit_for, emit_if, emit_while
from triton_cpu.codegen.dot import emit_dot
from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.evaluation import Index
from triton_cpu.codegen.lanes import LLVM_TYPES, UNIFORM, Lane, Pointer, integer
from triton_cpu.codegen.memory import ZEROS_DEFINITION
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.plan import LAZY, Planner
from triton_cpu.codegen.reduction import emit_reduce, emit_scan
from triton_cpu.codegen.target import Target
from triton_cpu.codegen.turn import turned
from triton_cpu.ttir import Block, Function, Op

MAX_FRAME_BYTES = 3 << 20  # worker threads of the pool have stacks of 8 MiB or so
_IGNORED = {"tt.return", "scf.yield", "scf.condition", "gpu.barrier", "ttg.barrier", "llvm.intr.assume",
            "tt.debug_barrier"}  # fmt: skip


class Generator(Nests):
    def __init__(self, function: Function, target: Target) -> None:
        planner = Planner(function, target.lanes)
        planner.run()
        super().__init__(planner, target)
        self.function = function

    def module(self) -> str:
        self._arguments()
        self.run(self.function.body)
        if self.b.frame_bytes > MAX_FRAME_BYTES:
            raise UnsupportedOpError(
                self.function.name, why=f"its tiles need {self.b.frame_bytes >> 10} KiB of stack; use smaller blocks"
            )
        lines = [ZEROS_DEFINITION, *self.definitions.values()]
        lines.append(
            f"define void @{self.function.name}(ptr %args, i32 %pid_x, i32 %pid_y, i32 %pid_z, "
            "i32 %grid_x, i32 %grid_y, i32 %grid_z) #0 {"
        )
        flatten(self.b.entry, lines)
        flatten(self.b.body, lines)
        lines += ["  ret void", "}", f'attributes #0 = {{ nounwind "prefer-vector-width"="{self.lanes * 32}" }}']
        lines += self.b.metadata
        text = "\n".join(lines) + "\n"
        return text if self.target.fp_fusion else text.replace(" contract ", " ")

    def _arguments(self) -> None:
        for i, arg in enumerate(self.function.args):
            type = LLVM_TYPES.get(arg.type.elem)
            if type is None or arg.type.is_tile:
                raise UnsupportedOpError(self.function.name, why=f"argument {arg.name} of type {arg.type.elem}")
            address = self.b.emit(f"getelementptr i8, ptr %args, i64 {8 * i}")
            if type == "i1":
                byte = self.b.emit(f"load i8, ptr {address}, align 8")
                ref = self.b.emit(f"icmp ne i8 {byte}, 0")
            else:
                ref = self.b.emit(f"load {type}, ptr {address}, align 8")
            lane = Lane(arg.type.elem, UNIFORM, ref)
            self.scalars[arg] = Pointer(lane, integer(0), arg.type.pointee) if type == "ptr" else lane

    def run(self, block: Block) -> None:
        for op in block.ops:
            self.operation(op)

    def operation(self, op: Op) -> None:
        name = op.name
        if name in _IGNORED:
            return
        if name == "tt.get_program_id":
            self.scalars[op.result] = Lane("i32", UNIFORM, f"%pid_{op.head}")
        elif name == "tt.get_num_programs":
            self.scalars[op.result] = Lane("i32", UNIFORM, f"%grid_{op.head}")
        elif name == "scf.for":
            emit_for(self, op, self.run)
        elif name == "scf.if":
            emit_if(self, op, self.run)
        elif name == "scf.while":
            emit_while(self, op, self.run)
        elif name == "tt.store":
            self.store(op)
        elif name == "tt.reduce":
            emit_reduce(self, op)
        elif name == "tt.scan":
            emit_scan(self, op)
        elif name == "tt.dot":
            emit_dot(self, op)
        elif name in ("tt.atomic_rmw", "tt.atomic_cas"):
            emit_atomic(self, op)
        elif name == "tt.join":
            self.join(op)
        elif name == "tt.cat":
            self.cat(op)
        elif name in LAZY:
            self.lazy(op)
        else:
            raise UnsupportedOpError(op)

    def lazy(self, op: Op) -> None:
        """Scalars are computed on the spot; tiles only when the plan keeps them."""
        for result in op.results:
            if result.type.is_tile:
                if result in self.plan.materialised:
                    self.buffers[result] = turned(self, result) or self.materialise(result)
            elif op.name == "arith.constant":
                self.scalars[result] = self.evaluate_constant(op)
            elif op.name == "tt.unsplat":
                source = op.operands[0]
                self.scalars[result] = self.evaluate(source, (integer(0),) * len(source.type.shape))
            else:
                self.scalars[result] = self.compute(op, [self.scalar(o) for o in op.operands])

    def store(self, op: Op) -> None:
        pointers, values = op.operands[:2]
        shape = pointers.type.shape

        def body(index: Index) -> None:
            pointer = self.evaluate(pointers, index)
            assert isinstance(pointer, Pointer)
            mask = self.lane(op.operands[2], index) if len(op.operands) > 2 else None
            value = self.lane(values, index)
            if value.type == "ptr":
                value = self.instruction("ptrtoint {t} {0} to {r}", "i64", [value])
                pointer = pointer._replace(pointee="i64")
            self.store_lanes(pointer, value, mask)

        axis = self.best_axis(shape, list(op.operands), stores=[pointers])
        self.nest(shape, axis, list(op.operands), body)

    def join(self, op: Op) -> None:
        buffer = self.allocate(op.result)
        for last, source in enumerate(op.operands):
            self._copy(source, lambda i, last=last: (*i, integer(last)), buffer)  # type: ignore[misc]
        self.buffers[op.result] = buffer

    def cat(self, op: Op) -> None:
        buffer, start = self.allocate(op.result), 0
        for source in op.operands:
            self._copy(source, lambda i, start=start: (self.add(i[0], integer(start)), *i[1:]), buffer)  # type: ignore[misc]
            start += source.type.shape[0]
        self.buffers[op.result] = buffer

    def _copy(self, source, place, buffer) -> None:  # type: ignore[no-untyped-def]
        shape = source.type.shape
        axis = self.best_axis(shape, [source])
        self.nest(shape, axis, [source], lambda i: self.write(buffer, place(i), self.evaluate(source, i)))
