"""What is computed where: which tile values get memory of their own, and which are recomputed inside their consumer.

A *lazy* operation produces nothing by itself: the loop nest of the operation that needs its value evaluates it, index
by index. A *root* (store, reduction, dot, loop carry...) owns a nest. A lazy value is materialised into a buffer where
recomputing it would cost more than remembering it, or would be wrong because memory changes in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from triton_cpu.codegen.elementwise import EXPENSIVE, SLOW, SUPPORTED, affine_stride
from triton_cpu.codegen.lanes import is_float
from triton_cpu.codegen.shapes import lanes_stay, reshape_groups, source_axis
from triton_cpu.ttir import Block, Function, Op, Value

SHAPE_OPS = {"tt.splat", "tt.broadcast", "tt.expand_dims", "tt.trans", "tt.reshape", "tt.split", "tt.unsplat"}
LEAVES = {"arith.constant", "tt.make_range", "ub.poison"}
LAZY = SUPPORTED | SHAPE_OPS | LEAVES | {"tt.addptr", "tt.load", "tt.gather", "tt.int_to_ptr", "tt.ptr_to_int"}
SIDE_EFFECTS = {"tt.store", "tt.atomic_rmw", "tt.atomic_cas"}
_REUSE_COST = 6.0  # a load is read again rather than kept; a load and some arithmetic is kept
_CARRY_COST = 3.0  # what a loop would read again in each iteration
_COST_CAP = 1000.0

Root = tuple[Op, int]  # the consuming operation, and which of its nests


@dataclass
class Induction:
    """A loop-carried tile that only moves by a uniform step: ``init + offset``, the offset a scalar variable."""

    init: Value
    step: Value


@dataclass
class Plan:
    materialised: set[Value] = field(default_factory=set)
    inductions: dict[Value, Induction] = field(default_factory=dict)  # by the loop's region argument
    in_place: dict[Value, Value] = field(default_factory=dict)  # dot result -> loop argument whose buffer it updates


class Planner:
    def __init__(self, function: Function, lanes: int) -> None:
        self.function, self.lanes = function, lanes
        self.plan = Plan()
        self.users: dict[Value, list[Root]] = {}
        self.block_of: dict[Op, Block] = {}
        self.position: dict[Op, int] = {}
        self.owner: dict[Block, Op | None] = {function.body: None}
        self.argument_of: dict[Value, tuple[Op, int]] = {}  # region argument of scf.for -> (loop, iter index)
        self.roots: dict[Value, set[Root]] = {}
        self._strides: dict[tuple[Value, int], int | None] = {}
        self._costs: dict[Value, float] = {}
        self._index(function.body)

    def run(self) -> Plan:
        self._find_inductions(self.function.body)
        self._visit(self.function.body)
        self._find_in_place(self.function.body)
        return self.plan

    # --- structure

    def _index(self, block: Block) -> None:
        for position, op in enumerate(block.ops):
            self.block_of[op], self.position[op] = block, position
            for i, operand in enumerate(op.operands):
                self.users.setdefault(operand, []).append((op, i))
            for region in op.regions:
                self.owner[region] = op
                if op.name == "scf.for":
                    for i, arg in enumerate(region.args[1:]):
                        self.argument_of[arg] = (op, i)
                self._index(region)

    def _ancestor_in(self, op: Op, block: Block) -> Op | None:
        """The operation of ``block`` that is or contains ``op``."""
        at: Op | None = op
        while at is not None and self.block_of[at] is not block:
            at = self.owner[self.block_of[at]]
        return at

    def _crosses_loop(self, root: Op, block: Block) -> bool:
        at: Block = self.block_of[root]
        while at is not block:
            owner = self.owner[at]
            if owner is None:
                return False
            if owner.name in ("scf.for", "scf.while"):
                return True
            at = self.block_of[owner]
        return False

    # --- axis analysis

    def stride(self, value: Value, axis: int) -> int | None:
        """The constant step of an integer or pointer value (in elements) along ``axis``; None when it is not affine."""
        key = (value, axis)
        if key not in self._strides:
            self._strides[key] = self._stride(value, axis)
        return self._strides[key]

    def _stride(self, value: Value, axis: int) -> int | None:
        if not value.type.is_tile or value.type.shape[axis] == 1:
            return 0
        if value in self.plan.inductions:
            return self.stride(self.plan.inductions[value].init, axis)
        op = value.op
        if op is None:
            return None
        if op.name == "tt.make_range":
            return 1
        if op.name in ("arith.constant", "tt.splat", "ub.poison"):
            return 0
        if op.name == "scf.for":
            arg = op.regions[0].args[1 + value.index]
            return self.stride(arg, axis) if arg in self.plan.inductions else None
        if op.name in SHAPE_OPS:
            source = source_axis(op, axis)
            return None if source is None else self.stride(op.operands[0], source) if source >= 0 else 0
        if op.name in SUPPORTED or op.name in ("tt.addptr", "tt.load"):
            return affine_stride(op, [self.stride(o, axis) for o in op.operands])
        return None

    def cost(self, value: Value) -> float:
        """About how many instructions an element of ``value`` costs when it is recomputed."""
        if value not in self._costs:
            self._costs[value] = min(_COST_CAP, self._cost(value))
        return self._costs[value]

    def _cost(self, value: Value) -> float:
        if not value.type.is_tile:
            return 0.0
        if value in self.plan.materialised:
            return 1.0
        op = value.op
        if op is None or op.name not in LAZY:
            return 1.0 if value not in self.plan.inductions else self.cost(self.plan.inductions[value].init)
        inputs = sum(self.cost(o) for o in op.operands)
        if op.name in LEAVES or op.name in SHAPE_OPS or op.name == "tt.addptr":
            return inputs
        if op.name in ("tt.load", "tt.gather"):
            return inputs + 4.0
        if all(self.stride(value, axis) is not None for axis in range(len(value.type.shape))):
            return inputs
        return inputs + (10.0 if op.name in EXPENSIVE else 5.0 if op.name in SLOW else 1.0)

    # --- loop-carried pointers and indices

    def _find_inductions(self, block: Block) -> None:
        for op in block.ops:
            if op.name == "scf.for":
                body = op.regions[0]
                yielded = body.ops[-1].operands
                for arg, init, value in zip(body.args[1:], op.operands[3:], yielded, strict=True):
                    step = self._uniform_step(arg, value)
                    if step is not None:
                        self.plan.inductions[arg] = Induction(init, step)
            for region in op.regions:
                self._find_inductions(region)

    def _uniform_step(self, arg: Value, yielded: Value) -> Value | None:
        if not arg.type.is_tile or yielded.op is None or yielded.op.name not in ("tt.addptr", "arith.addi"):
            return None
        a, b = yielded.op.operands
        if arg is b and yielded.op.name == "arith.addi":
            a, b = b, a
        uniform = all(self.stride(b, axis) == 0 for axis in range(len(b.type.shape)))
        return b if a is arg and uniform and _splat_source(b) else None

    # --- materialisation

    def _visit(self, block: Block) -> None:
        for op in reversed(block.ops):
            for region in op.regions:
                self._visit(region)
            for result in op.results:
                if result.type.is_tile:
                    self._decide(op, result)

    def _decide(self, op: Op, value: Value) -> None:
        roots: set[Root] = set()
        for user, i in self.users.get(value, ()):
            roots |= self._consumers(user, i)
        self.roots[value] = roots
        if op.name not in LAZY or not roots:
            return
        block = self.block_of[op]
        loop = any(self._crosses_loop(root, block) for root, _ in roots)
        cost = 0.0 if self._serves_addresses(op, value) else self.cost(value)
        if (
            (len(roots) > 1 and cost > _REUSE_COST)
            or (loop and cost > _CARRY_COST)
            or (op.name == "tt.load" and self._memory_changes(op, roots))
            or self._needs_buffer(op, value)
        ):
            self.plan.materialised.add(value)
            self._costs.clear()

    def _serves_addresses(self, op: Op, value: Value) -> bool:
        """Whether memory would hide an index or address from the loads it serves: it is affine along some axis, or
        it only repeats another one, which may be kept instead."""
        if is_float(value.type.elem):
            return False
        return op.name in SHAPE_OPS or any(self.stride(value, axis) for axis in range(len(value.type.shape)))

    def _consumers(self, user: Op, operand: int) -> set[Root]:
        if user.name in LAZY:
            found: set[Root] = set()
            for result in user.results:
                if result in self.plan.materialised:
                    found.add((user, -1))
                elif result.type.is_tile:
                    found |= self.roots.get(result, set())
            return found
        if user.name in ("scf.yield", "scf.for", "scf.while", "tt.dot", "tt.reduce.return", "scf.condition"):
            arg = None
            if user.name == "scf.for" and operand >= 3:
                arg = user.regions[0].args[operand - 2]
            elif user.name == "scf.yield":
                loop = self.owner[self.block_of[user]]
                arg = loop.regions[0].args[1 + operand] if loop is not None and loop.name == "scf.for" else None
            if arg is not None and arg in self.plan.inductions:
                # Evaluated by whoever reads the carried pointer, inside the loop.
                found = {(user.regions[0].ops[-1], operand)} if user.name == "scf.for" else set()
                return found
            return {(user, operand)}
        return {(user, 0)}

    def _memory_changes(self, load: Op, roots: set[Root]) -> bool:
        """Whether memory may be written between the load and one of the nests that would perform it."""
        block, start = self.block_of[load], self.position[load]
        for root, _ in roots:
            ancestor = self._ancestor_in(root, block)
            if ancestor is None:
                return True
            end = self.position[ancestor]
            if any(_has_side_effects(op) for op in block.ops[start + 1 : end]):
                return True
            if ancestor is not root and _has_side_effects(ancestor):
                return True
            stored, loaded = root.operands[0] if root.operands else None, load.operands[0]
            if (
                root.name in SIDE_EFFECTS
                and stored is not None
                and stored is not loaded
                and pointer_base(stored) is pointer_base(loaded)
            ):
                return True
        return False

    def _needs_buffer(self, op: Op, value: Value) -> bool:
        for user, i in self.users.get(value, ()):
            if user.name == "tt.gather" and i == 0:
                return True
            if user.name == "tt.reshape" and self.cost(value) > 0 and not self._reshape_is_lazy(user):
                return True
            if user.name == "tt.broadcast" and self.cost(value) >= 8.0 and _amplifies(user):
                return True
        return False

    def _reshape_is_lazy(self, op: Op) -> bool:
        """Whether lanes along any result axis stay along one axis of the source."""
        source, target = op.operands[0].type.shape, op.result.type.shape
        for group, merged in reshape_groups(source, target):
            step = 1
            for axis in reversed(merged):
                if not lanes_stay(step, min(target[axis], self.lanes), [source[i] for i in group]):
                    return False
                step *= target[axis]
        return True

    # --- accumulators of dots

    def _find_in_place(self, block: Block) -> None:
        for op in block.ops:
            for region in op.regions:
                self._find_in_place(region)
            if op.name != "scf.for":
                continue
            body = op.regions[0]
            for arg, value in zip(body.args[1:], body.ops[-1].operands, strict=True):
                dot = value.op
                if dot is None or dot.name != "tt.dot" or self.block_of[dot] is not body:
                    continue
                readers: set[Root] = set()
                for user, i in self.users.get(arg, ()):
                    readers |= self._consumers(user, i)
                if readers == {(dot, 2)} and self.reads(dot.operands[2]).get(arg, False):
                    self.plan.in_place[value] = arg

    def reads(self, value: Value) -> dict[Value, bool]:
        """The loop-carried tiles that evaluating ``value`` reads, and whether only at the very index evaluated."""
        found: dict[Value, bool] = {}
        seen: set[tuple[Value, bool]] = set()

        def walk(v: Value, same: bool) -> None:
            if (v, same) in seen or not v.type.is_tile:
                return
            seen.add((v, same))
            if v in self.argument_of and v not in self.plan.inductions:
                found[v] = found.get(v, True) and same
            elif v in self.plan.inductions:
                walk(self.plan.inductions[v].init, same)
            elif v.op is not None and v.op.name in LAZY and v not in self.plan.materialised:
                for operand in v.op.operands:
                    walk(operand, same and v.op.name not in SHAPE_OPS)

        walk(value, True)
        return found


def _has_side_effects(op: Op) -> bool:
    return op.name in SIDE_EFFECTS or any(_has_side_effects(inner) for region in op.regions for inner in region.ops)


def _splat_source(value: Value) -> bool:
    return value.op is not None and value.op.name in ("arith.constant", "tt.splat")


def _amplifies(op: Op) -> bool:
    """Whether a broadcast repeats its source over an axis outside one along which the source varies."""
    source, target = op.operands[0].type.shape, op.result.type.shape
    repeated = [i for i, (a, b) in enumerate(zip(source, target, strict=True)) if a == 1 and b > 1]
    varies = [i for i, a in enumerate(source) if a > 1]
    return bool(repeated and varies and min(repeated) < max(varies))


def pointer_base(value: Value) -> Value:
    """The scalar pointer that a pointer value was made from."""
    while value.op is not None and value.op.name in ("tt.addptr", "tt.splat", "tt.broadcast", "tt.expand_dims"):
        value = value.op.operands[0]
    return value
