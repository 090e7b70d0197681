"""Structured control flow: loops with carried scalars and tiles, conditionals, while."""

from __future__ import annotations

from collections.abc import Callable

from triton_cpu.codegen.lanes import LLVM_TYPES, UNIFORM, Lane, Pointer, integer
from triton_cpu.codegen.nest import Nests
from triton_cpu.codegen.prefetch import emit_prefetches
from triton_cpu.ttir import Block, Op, Value

RunBlock = Callable[[Block], None]


class Carried:
    """The variables that hold region arguments from one iteration to the next."""

    def __init__(self, g: Nests, arguments: list[Value]) -> None:
        self.g, self.arguments = g, arguments
        self.slots = {a: g.b.slot(LLVM_TYPES[a.type.elem]) for a in arguments if not a.type.is_tile}

    def initialise(self, values: list[Value]) -> None:
        g = self.g
        for arg, init in zip(self.arguments, values, strict=True):
            if arg in self.slots:
                self.put(arg, init)
            elif arg in g.plan.inductions:
                g.offsets[arg] = g.b.slot("i64")
                g.b.stmt(f"store i64 0, ptr {g.offsets[arg]}")
            else:
                g.buffers[arg] = g.materialise(init, g.allocate(arg))

    def put(self, arg: Value, value: Value) -> None:
        lane = _scalar_lane(self.g, value)
        self.g.b.stmt(f"store {LLVM_TYPES[arg.type.elem]} {lane.ref}, ptr {self.slots[arg]}")

    def load(self, arguments: list[Value] | None = None) -> None:
        """Makes the scalar arguments (or the loop's results, in their order) readable at the current point."""
        g = self.g
        for arg, name in zip(self.arguments, arguments or self.arguments, strict=True):
            if arg in self.slots:
                ref = g.b.emit(f"load {LLVM_TYPES[arg.type.elem]}, ptr {self.slots[arg]}")
                lane = Lane(arg.type.elem, UNIFORM, ref)
                g.scalars[name] = Pointer(lane, integer(0), arg.type.pointee) if arg.type.elem == "ptr" else lane

    def update(self, values: list[Value]) -> None:
        """One iteration's results, each read before anything that it depends on is overwritten."""
        g = self.g
        lanes = {arg: _scalar_lane(g, v) for arg, v in zip(self.arguments, values, strict=True) if arg in self.slots}
        for arg, lane in lanes.items():
            g.b.stmt(f"store {LLVM_TYPES[arg.type.elem]} {lane.ref}, ptr {self.slots[arg]}")
        pending: dict[Value, Value] = {}
        moves: list[tuple[Value, Lane]] = []
        for arg, value in zip(self.arguments, values, strict=True):
            if arg in self.slots:
                continue
            if arg in g.plan.inductions:
                step = g.evaluate(g.plan.inductions[arg].step, (integer(0),) * len(arg.type.shape))
                assert isinstance(step, Lane)
                moves.append((arg, g.widen_integer(step, "i64")))
            elif g.buffers.get(value) is not g.buffers[arg] and value is not arg:
                pending[arg] = value
        self._update_tiles(pending)
        for arg, step in moves:
            old = g.b.emit(f"load i64, ptr {g.offsets[arg]}")
            g.b.stmt(f"store i64 {g.b.emit(f'add i64 {old}, {step.ref}')}, ptr {g.offsets[arg]}")

    def _update_tiles(self, pending: dict[Value, Value]) -> None:
        """In place where no other pending result still reads the old tile; through a temporary otherwise."""
        g = self.g
        copies = []
        while pending:
            reads = {arg: _reads(g, value) for arg, value in pending.items()}
            ready = [
                arg
                for arg in pending
                if all(arg not in reads[other] for other in pending if other is not arg) and reads[arg].get(arg, True)
            ]
            arg = ready[0] if ready else next(iter(pending))
            value = pending.pop(arg)
            if ready:
                g.materialise(value, g.buffers[arg])
            else:
                copies.append((arg, g.materialise(value, g.allocate(arg))))
        for arg, buffer in copies:
            staged = Value("staged", arg.type)
            g.buffers[staged] = buffer
            g.materialise(staged, g.buffers[arg])


def _reads(g: Nests, value: Value) -> dict[Value, bool]:
    """Carried tiles that a result reads; a result that *is* another argument's tile reads it too."""
    found = dict(g.planner.reads(value))
    for arg, buffer in g.buffers.items():
        if g.buffers.get(value) is buffer and arg is not value:
            found.setdefault(arg, True)
    return found


def _scalar_lane(g: Nests, value: Value) -> Lane:
    found = g.scalar(value)
    return Lane("ptr", UNIFORM, g.address(found)) if isinstance(found, Pointer) else found


def emit_for(g: Nests, op: Op, run: RunBlock) -> None:
    low, high, step = (_scalar_lane(g, v) for v in op.operands[:3])
    body, type = op.regions[0], LLVM_TYPES[op.operands[0].type.elem]
    carried = Carried(g, body.args[1:])
    carried.initialise(op.operands[3:])
    counter = g.b.slot(type)
    less = "ult" if op.head == "unsigned" else "slt"
    head, exit_ = g.b.fresh("for"), g.b.fresh("endfor")
    g.b.stmt(f"store {type} {low.ref}, ptr {counter}")
    g.b.stmt(f"br i1 {g.b.emit(f'icmp {less} {type} {low.ref}, {high.ref}')}, label %{head}, label %{exit_}")
    g.b.label(head)
    with g.b.statements():
        at = g.b.emit(f"load {type}, ptr {counter}")
        g.scalars[body.args[0]] = Lane(op.operands[0].type.elem, UNIFORM, at)
        carried.load()
        emit_prefetches(g, op)
        run(body)
        carried.update(body.ops[-1].operands)
        following = g.b.emit(f"add {'nuw' if less == 'ult' else 'nsw'} {type} {at}, {step.ref}")
        g.b.stmt(f"store {type} {following}, ptr {counter}")
        again = g.b.emit(f"icmp {less} {type} {following}, {high.ref}")
        g.b.stmt(f"br i1 {again}, label %{head}, label %{exit_}")
    g.b.label(exit_)
    carried.load(op.results)
    for arg, result in zip(body.args[1:], op.results, strict=True):
        if arg in g.buffers:
            g.buffers[result] = g.buffers[arg]
        elif arg in g.offsets:
            g.plan.inductions[result], g.offsets[result] = g.plan.inductions[arg], g.offsets[arg]


def emit_if(g: Nests, op: Op, run: RunBlock) -> None:
    condition = _scalar_lane(g, op.operands[0])
    results = Carried(g, op.results)
    for result in op.results:
        if result.type.is_tile:
            g.buffers[result] = g.allocate(result)
    yes, no, after = g.b.fresh("if"), g.b.fresh("else"), g.b.fresh("endif")
    g.b.stmt(f"br i1 {condition.ref}, label %{yes}, label %{no}")
    for label, region in ((yes, op.regions[0]), (no, op.regions[1] if len(op.regions) > 1 else None)):
        g.b.label(label)
        with g.b.statements():
            if region is not None:
                run(region)
                for result, value in zip(op.results, region.ops[-1].operands, strict=False):
                    if result.type.is_tile:
                        g.materialise(value, g.buffers[result])
                    else:
                        results.put(result, value)
            g.b.stmt(f"br label %{after}")
    g.b.label(after)
    results.load()


def emit_while(g: Nests, op: Op, run: RunBlock) -> None:
    before, after = op.regions
    entering, going = Carried(g, before.args), Carried(g, after.args)
    entering.initialise(op.operands)
    for arg in after.args:
        if arg.type.is_tile:
            g.buffers[arg] = g.allocate(arg)
    head, body, exit_ = g.b.fresh("while"), g.b.fresh("do"), g.b.fresh("endwhile")
    g.b.stmt(f"br label %{head}")
    g.b.label(head)
    with g.b.statements():
        entering.load()
        run(before)
        condition, *values = before.ops[-1].operands
        lane = _scalar_lane(g, condition)
        for arg, value in zip(after.args, values, strict=True):
            if arg.type.is_tile:
                g.materialise(value, g.buffers[arg])
            else:
                going.put(arg, value)
        g.b.stmt(f"br i1 {lane.ref}, label %{body}, label %{exit_}")
    g.b.label(body)
    with g.b.statements():
        going.load()
        run(after)
        entering.update(after.ops[-1].operands)
        g.b.stmt(f"br label %{head}")
    g.b.label(exit_)
    going.load(op.results)
    for arg, result in zip(after.args, op.results, strict=True):
        if arg.type.is_tile:
            g.buffers[result] = g.buffers[arg]
