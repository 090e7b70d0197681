"""Vector math as LLVM IR that is inlined into kernels.

float32 functions with vector code of our own, and their largest error, in units in the last place of the
result, found by the tests over dense samples of all magnitudes. Infinities, NaN, signed zeros and denormals
are handled as in IEEE 754.

    exp 1   exp2 1   expm1 1.5   log 1   log2 1.5   log1p 1.5   tanh 1.5   erf 1.5   sqrt 0.5   rsqrt 1.5

All other functions, and those of float64, become LLVM intrinsics: single instructions where the processor has
them (floor, rint, ...), else calls of the C library for each lane (sin, pow, ...), whose accuracy they have.
"""

from collections.abc import Callable

from triton_cpu.vecmath.code import VectorCode
from triton_cpu.vecmath.error_function import erf
from triton_cpu.vecmath.exponential import exp, exp2, expm1, tanh
from triton_cpu.vecmath.logarithm import log, log1p, log2

# Declarations that a module needs once if it contains a function from here.
declarations = """\
declare double @erf(double)
declare double @expm1(double)
declare double @log1p(double)
"""

_FLOAT32: dict[str, Callable[[VectorCode, str], str]] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log2": log2,
    "log1p": log1p,
    "tanh": tanh,
    "erf": erf,
}

# Functions that LLVM knows by this name, and their number of operands.
_INTRINSICS = {
    **{name: 1 for name in ("sqrt", "floor", "ceil", "trunc", "rint", "round", "roundeven", "fabs")},
    **{name: 1 for name in ("exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan", "tanh")},
    **{name: 1 for name in ("asin", "acos", "atan", "sinh", "cosh")},
    **{name: 2 for name in ("pow", "atan2", "copysign")},
}
_LIBRARY = ("erf", "expm1", "log1p")  # of float64, where LLVM has no intrinsic


def _library_call(v: VectorCode, name: str, x: str) -> str:
    if v.lanes == 1:
        return v.emit(f"call double @{name}(double {x})")
    result = "poison"
    for lane in range(v.lanes):
        element = v.emit(f"extractelement {v.type} {x}, i64 {lane}")
        value = v.emit(f"call double @{name}(double {element})")
        result = v.emit(f"insertelement {v.type} {result}, double {value}, i64 {lane}")
    return result


def _body(v: VectorCode, name: str) -> tuple[str, int]:
    """Writes the function; its result and number of operands (%x, %y)."""
    if v.elem == "float" and name in _FLOAT32:
        return _FLOAT32[name](v, "%x"), 1
    if name == "rsqrt":
        return v.div(1.0, v.intrinsic("sqrt", "%x")), 1
    if name == "abs":
        return v.intrinsic("fabs", "%x"), 1
    if name == "fmod":
        return v.emit(f"frem {v.type} %x, %y"), 2
    if name in _INTRINSICS:
        operands = ("%x", "%y")[: _INTRINSICS[name]]
        return v.intrinsic(name, *operands), len(operands)
    if name in _LIBRARY:
        return _library_call(v, name, "%x"), 1
    raise KeyError(name)


def math_function(name: str, lanes: int, elem: str) -> tuple[str, str]:
    """Symbol and definition of an elementwise function on vectors of `lanes` (a power of two; 1: a scalar).

    `elem` is "float" or "double". The definition is an internal function of LLVM IR that is always inlined;
    its module also needs `declarations`. Raises KeyError for an unknown function.
    """
    v = VectorCode(lanes, elem)
    result, operands = _body(v, name)
    symbol = f"{name}_{v.suffix}"
    parameters = ", ".join(f"{v.type} {x}" for x in ("%x", "%y")[:operands])
    body = "\n".join([*v.lines, f"  ret {v.type} {result}"])
    return symbol, f"define internal {v.type} @{symbol}({parameters}) alwaysinline {{\n{body}\n}}\n"
