"""Elementwise operations of the ``arith``, ``math`` and ``tt`` dialects on lanes."""

from __future__ import annotations

from collections.abc import Callable

from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.lanes import (
    BYTES,
    LLVM_TYPES,
    UNIFORM,
    VECTOR,
    Lane,
    LaneMath,
    integer,
    is_float,
)
from triton_cpu.ttir import Op
from triton_cpu.vecmath import math_function

# `contract` lets LLVM fuse a multiply and an add into one rounding, as Triton does on GPUs.
_BINARY = {
    "arith.addf": "fadd contract {t} {0}, {1}",
    "arith.subf": "fsub contract {t} {0}, {1}",
    "arith.mulf": "fmul contract {t} {0}, {1}",
    "arith.divf": "fdiv {t} {0}, {1}",
    "tt.precise_divf": "fdiv {t} {0}, {1}",
    "arith.remf": "frem {t} {0}, {1}",
    "arith.andi": "and {t} {0}, {1}",
    "arith.ori": "or {t} {0}, {1}",
    "arith.xori": "xor {t} {0}, {1}",
    "arith.shli": "shl {t} {0}, {1}",
    "arith.shrsi": "ashr {t} {0}, {1}",
    "arith.shrui": "lshr {t} {0}, {1}",
}
_DIVISION = {"arith.divsi": "sdiv", "arith.divui": "udiv", "arith.remsi": "srem", "arith.remui": "urem"}
_INTRINSIC = {
    "arith.maxnumf": "maxnum", "arith.minnumf": "minnum", "arith.maximumf": "maximum", "arith.minimumf": "minimum",
    "arith.maxsi": "smax", "arith.minsi": "smin", "arith.maxui": "umax", "arith.minui": "umin",
    "math.absf": "fabs", "math.ceil": "ceil", "math.floor": "floor", "math.trunc": "trunc", "math.round": "round",
    "math.roundeven": "roundeven", "math.sqrt": "sqrt", "tt.precise_sqrt": "sqrt", "math.fma": "fma",
    "math.ctpop": "ctpop", "math.copysign": "copysign",
}  # fmt: skip
_POLYNOMIAL = {"math.exp": "exp", "math.exp2": "exp2", "math.log": "log", "math.log2": "log2", "math.sin": "sin",
               "math.cos": "cos", "math.tanh": "tanh", "math.erf": "erf", "math.rsqrt": "rsqrt"}  # fmt: skip
_CAST = {"arith.sitofp": "sitofp", "arith.uitofp": "uitofp", "arith.fptosi": "fptosi", "arith.fptoui": "fptoui"}
_CLAMP = "tt.clampf"
_ARITHMETIC = {"arith.cmpf", "arith.negf", _CLAMP, *_BINARY, *_INTRINSIC, *_CAST}
_COMPARE_FLOAT = {"oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno"}

SUPPORTED = {
    *_BINARY, *_DIVISION, *_INTRINSIC, *_POLYNOMIAL, *_CAST, "arith.addi", "arith.subi", "arith.muli",
    "arith.cmpi", "arith.extf", "arith.truncf", "arith.cmpf", "arith.select", "arith.extsi", "arith.extui",
    "arith.trunci", "arith.index_cast", "arith.negf", "arith.bitcast", "math.absi", "tt.bitcast", "tt.mulhiui",
    _CLAMP, "tt.fp_to_fp", "tt.extern_elementwise",
}  # fmt: skip
EXPENSIVE = {*_POLYNOMIAL, "tt.extern_elementwise", "arith.remf"}
SLOW = {*_DIVISION, "arith.divf", "tt.precise_divf", "math.sqrt", "tt.precise_sqrt"}


def apply(math: LaneMath, op: Op, args: list[Lane], require: Callable[[str, str], None]) -> Lane:
    """The lanes of ``op`` from those of its operands; ``require(symbol, definition)`` links a math function."""
    name, type = op.name, op.result.type.elem
    if name == "arith.addi":
        return math.add(*args)
    if name == "arith.subi":
        return math.sub(*args)
    if name == "arith.muli":
        return math.mul(*args)
    if name in _ARITHMETIC and "bf16" in (type, args[0].type):  # no processor has it: in f32, each result rounded
        wide = [convert_float(math, a, "f32") if a.type == "bf16" else a for a in args]
        result = _arithmetic(math, op, "f32" if type == "bf16" else type, wide)
        return convert_float(math, result, type) if type == "bf16" else result
    if name in _ARITHMETIC:
        return _arithmetic(math, op, type, args)
    if name in _DIVISION:
        return _divide(math, _DIVISION[name], type, args)
    if name in _POLYNOMIAL:
        return math_call(math, op, _POLYNOMIAL[name], args, require)
    if name in ("arith.extf", "arith.truncf"):
        return convert_float(math, args[0], type)
    if name == "arith.cmpi":
        return math.instruction(f"icmp {op.head.split(',')[0]} {{t}} {{0}}, {{1}}", "i1", args)
    if name == "arith.select":
        return math.select(*args)
    if name in ("arith.extsi", "arith.extui"):
        return math.widen_integer(args[0], type, signed=name == "arith.extsi")
    if name == "arith.trunci":
        return math.narrow_integer(args[0], type)
    if name == "arith.index_cast":
        wider = BYTES[type] >= BYTES[args[0].type]
        return math.widen_integer(args[0], type) if wider else math.narrow_integer(args[0], type)
    if name in ("tt.bitcast", "arith.bitcast"):
        same = LLVM_TYPES.get(args[0].type) == LLVM_TYPES.get(type)
        return args[0]._replace(type=type) if same else math.instruction("bitcast {t} {0} to {r}", type, args)
    if name == "math.absi":
        return math.instruction("call {t} @llvm.abs.{s}({t} {0}, i1 false)", type, args)
    if name == "tt.mulhiui":
        return _mulhiui(math, type, args)
    if name == "tt.fp_to_fp":
        return _convert_float(math, op, args[0], type)
    if name == "tt.extern_elementwise":
        return math_call(math, op, op.attributes["symbol"].strip('"'), args, require)
    raise UnsupportedOpError(op)


def _arithmetic(math: LaneMath, op: Op, type: str, args: list[Lane]) -> Lane:
    if op.name in _BINARY:
        return _bitwise_shortcut(op.name, args) or math.instruction(_BINARY[op.name], type, args)
    if op.name in _INTRINSIC:
        return _intrinsic(math, _INTRINSIC[op.name], type, args)
    if op.name in _CAST:
        return math.instruction(f"{_CAST[op.name]} {{t}} {{0}} to {{r}}", type, args)
    if op.name == "arith.negf":
        return math.instruction("fneg {t} {0}", type, args)
    if op.name == "arith.cmpf":
        predicate = op.head.split(",")[0]
        if predicate not in _COMPARE_FLOAT:
            raise UnsupportedOpError(op, why=f"predicate {predicate}")
        return math.instruction(f"fcmp {predicate} {{t}} {{0}}, {{1}}", "i1", args)
    low, high = ("maximum", "minimum") if "propagateNan = all" in op.head else ("maxnum", "minnum")
    return _intrinsic(math, high, type, [_intrinsic(math, low, type, args[:2]), args[2]])


def _bitwise_shortcut(name: str, args: list[Lane]) -> Lane | None:
    """``mask & true`` and ``mask | false`` keep a mask recognisable."""
    if args[0].type == "i1" and name in ("arith.andi", "arith.ori"):
        neutral = 1 if name == "arith.andi" else 0
        for a, b in (args, args[::-1]):
            if a.literal == neutral:
                return b
    return None


def _divide(math: LaneMath, opcode: str, type: str, args: list[Lane]) -> Lane:
    """A zero divisor (a lane that is masked off, say) must not trap: it divides by one."""
    divisor = args[1]
    if divisor.literal is None:
        zero = math.instruction("icmp eq {t} {0}, {1}", "i1", [divisor, Lane(type, UNIFORM, "0")])
        divisor = math.select(zero, Lane(type, UNIFORM, "1"), divisor)
    return math.instruction(f"{opcode} {{t}} {{0}}, {{1}}", type, [args[0], divisor])


def _intrinsic(math: LaneMath, name: str, type: str, args: list[Lane]) -> Lane:
    operands = ", ".join(f"{{t}} {{{i}}}" for i in range(len(args)))
    return math.instruction(f"call {{t}} @llvm.{name}.{{s}}({operands})", type, args)


def _mulhiui(math: LaneMath, type: str, args: list[Lane]) -> Lane:
    bits = 8 * BYTES[type]
    uniform = all(a.kind == UNIFORM for a in args)
    width, math.width = math.width, 1 if uniform else math.width
    wide = f"i{2 * bits}" if math.width == 1 else f"<{math.width} x i{2 * bits}>"
    narrow, level = math.vector_type(type), max(a.level for a in args)
    x, y = (math.b.emit(f"zext {narrow} {math.vector(a)} to {wide}", level) for a in args)
    product = math.b.emit(f"mul nuw {wide} {x}, {y}", level)
    shift = str(bits) if math.width == 1 else f"splat (i{2 * bits} {bits})"
    high = math.b.emit(f"lshr {wide} {product}, {shift}", level)
    ref = math.b.emit(f"trunc {wide} {high} to {narrow}", level)
    math.width = width
    return Lane(type, UNIFORM if uniform else VECTOR, ref, 0, level)


def _convert_float(math: LaneMath, op: Op, a: Lane, type: str) -> Lane:
    if not (is_float(a.type) and is_float(type)):
        raise UnsupportedOpError(op, why=f"{op.operands[0].type.elem} to {op.result.type.elem}")
    if "rtz" in op.head and BYTES[type] < BYTES[a.type]:
        raise UnsupportedOpError(op, why="rounding towards zero")
    return convert_float(math, a, type)


def convert_float(math: LaneMath, a: Lane, type: str) -> Lane:
    """Rounds to nearest; the half precisions meet each other and f64 in f32, as in torch."""
    if a.type == type:
        return a
    if "f32" not in (a.type, type):
        a = convert_float(math, a, "f32")
    if a.type == "bf16":
        bits = math.instruction("zext {t} {0} to {r}", "i32", [a])
        return math.instruction("bitcast {t} {0} to {r}", type, [_shifted(math, "shl", bits)])
    if type == "bf16":
        return _round_to_bf16(math, a)
    opcode = "fpext" if BYTES[type] > BYTES[a.type] else "fptrunc"
    return math.instruction(f"{opcode} {{t}} {{0}} to {{r}}", type, [a])


def _round_to_bf16(math: LaneMath, a: Lane) -> Lane:
    """An f32 to nearest, ties to even; a NaN stays one."""
    if math.target.bf16_rounding:
        rounded = math.instruction("fptrunc {t} {0} to {r}", "bfloat", [a])
        return math.instruction("bitcast {t} {0} to {r}", "bf16", [rounded])
    bits = math.instruction("bitcast {t} {0} to {r}", "i32", [a])
    half = _shifted(math, "lshr", bits)
    odd = math.instruction("and {t} {0}, {1}", "i32", [half, integer(1, "i32")])
    up = math.instruction("add {t} {0}, {1}", "i32", [odd, integer(0x7FFF, "i32")])
    rounded = _shifted(math, "lshr", math.instruction("add {t} {0}, {1}", "i32", [bits, up]))
    quiet = math.instruction("or {t} {0}, {1}", "i32", [half, integer(0x40, "i32")])
    is_nan = math.instruction("fcmp uno {t} {0}, {0}", "i1", [a])
    return math.instruction("trunc {t} {0} to {r}", "bf16", [math.select(is_nan, quiet, rounded)])


def _shifted(math: LaneMath, direction: str, bits: Lane) -> Lane:
    return math.instruction(f"{direction} {{t}} {{0}}, {{1}}", "i32", [bits, integer(16, "i32")])


def math_call(math: LaneMath, op: Op, name: str, args: list[Lane], require: Callable[[str, str], None]) -> Lane:
    """Calls a vector function; half precisions go through f32."""
    type = args[0].type
    if type in ("f16", "bf16"):
        wide = [convert_float(math, a, "f32") for a in args]
        return convert_float(math, math_call(math, op, name, wide, require), type)
    uniform = all(a.kind == UNIFORM for a in args)
    try:
        symbol, definition = math_function(name, 1 if uniform else math.width, LLVM_TYPES[type])
    except KeyError as error:
        raise UnsupportedOpError(op, why=f"no function {name} for {type}") from error
    require(symbol, definition)
    operands = ", ".join(f"{{t}} {{{i}}}" for i in range(len(args)))
    return math.instruction(f"call {{t}} @{symbol}({operands})", op.result.type.elem, args)


def affine_stride(op: Op, strides: list[int | None]) -> int | None:
    """The constant stride of an integer result along one axis, from its operands' (None: not affine)."""
    if all(s == 0 for s in strides):
        return 0
    if None in strides:
        return None
    known = [s for s in strides if s is not None]
    if op.name in ("arith.addi", "tt.addptr"):
        return known[0] + known[1]
    if op.name == "arith.subi":
        return known[0] - known[1]
    if op.name in ("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "tt.bitcast", "tt.splat"):
        return known[0]
    if op.name == "arith.muli":
        for i in (0, 1):
            factor = op.operands[i].op
            if factor is not None and factor.name == "arith.constant" and known[i] == 0:
                return known[1 - i] * int(factor.attributes["value"], 0)
    return None

