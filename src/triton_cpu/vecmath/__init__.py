"""Vector math as LLVM IR that is inlined into kernels.

float32 functions with vector code of our own, and their largest error, in units in the last place of the
result, found by the tests over dense samples of all magnitudes. Infinities, NaN, signed zeros and denormals
are handled as in IEEE 754.

    exp 1   exp2 1   expm1 1.5   log 1   log2 1.5   log1p 1.5   tanh 1.5   erf 1.5   sqrt 0.5   rsqrt 1.5

The float64 forms of expm1, log1p and erf are within 4 units. All other functions become LLVM intrinsics:
single instructions where the processor has them (floor, rint, ...), else calls of the C library for each lane
(sin, pow, ...), whose accuracy they have.
"""

from collections.abc import Callable

from triton_cpu.vecmath.code import VectorCode
from triton_cpu.vecmath.error_function import erf, erf_double
from triton_cpu.vecmath.exponential import exp, exp2, expm1, expm1_double, tanh
from triton_cpu.vecmath.logarithm import log, log1p, log2

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
_FLOAT64: dict[str, Callable[[VectorCode, str], str]] = {
    "erf": erf_double,
    "expm1": expm1_double,
    "log1p": log1p,
}

# Functions that LLVM knows by this name, and their number of operands.
_INTRINSICS = {
    **{name: 1 for name in ("sqrt", "floor", "ceil", "trunc", "rint", "round", "roundeven", "fabs")},
    **{name: 1 for name in ("exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan", "tanh")},
    **{name: 1 for name in ("asin", "acos", "atan", "sinh", "cosh")},
    **{name: 2 for name in ("pow", "atan2", "copysign")},
}


def _body(v: VectorCode, name: str) -> tuple[str, int]:
    """Writes the function; its result and number of operands (%x, %y)."""
    own = _FLOAT32 if v.elem == "float" else _FLOAT64
    if name in own:
        return own[name](v, "%x"), 1
    if name == "rsqrt":
        return v.div(1.0, v.intrinsic("sqrt", "%x")), 1
    if name == "abs":
        return v.intrinsic("fabs", "%x"), 1
    if name == "fmod":
        return v.emit(f"frem {v.type} %x, %y"), 2
    if name in _INTRINSICS:
        operands = ("%x", "%y")[: _INTRINSICS[name]]
        return v.intrinsic(name, *operands), len(operands)
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
