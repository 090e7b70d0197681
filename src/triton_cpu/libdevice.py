"""`triton.language.extra.libdevice` on a CPU.

Each function becomes a `tt.extern_elementwise` whose symbol is the function's name in `vecmath`; the code
generator picks the vector width and the float type from the operands.
"""

from typing import Any

from triton.language import core

FLOATS = (core.float32, core.float64)


def _elementwise(name: str, arity: int) -> Any:
    table = {(dtype,) * arity: (name, dtype) for dtype in FLOATS}

    def call(arguments: list[Any], semantic: Any) -> Any:
        return core.extern_elementwise("", "", arguments, table, is_pure=True, _semantic=semantic)

    if arity == 1:

        def function(arg0: Any, _semantic: Any = None) -> Any:
            return call([arg0], _semantic)

    else:

        def function(arg0: Any, arg1: Any, _semantic: Any = None) -> Any:  # type: ignore[misc]
            return call([arg0, arg1], _semantic)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Elementwise {name} of float32 or float64 tensors."
    return core.extern(function)


abs = _elementwise("abs", 1)
acos = _elementwise("acos", 1)
asin = _elementwise("asin", 1)
atan = _elementwise("atan", 1)
atan2 = _elementwise("atan2", 2)
ceil = _elementwise("ceil", 1)
copysign = _elementwise("copysign", 2)
cos = _elementwise("cos", 1)
cosh = _elementwise("cosh", 1)
erf = _elementwise("erf", 1)
exp = _elementwise("exp", 1)
exp2 = _elementwise("exp2", 1)
expm1 = _elementwise("expm1", 1)
floor = _elementwise("floor", 1)
fmod = _elementwise("fmod", 2)
log = _elementwise("log", 1)
log10 = _elementwise("log10", 1)
log1p = _elementwise("log1p", 1)
log2 = _elementwise("log2", 1)
pow = _elementwise("pow", 2)
rint = _elementwise("rint", 1)
round = _elementwise("round", 1)
rsqrt = _elementwise("rsqrt", 1)
sin = _elementwise("sin", 1)
sinh = _elementwise("sinh", 1)
sqrt = _elementwise("sqrt", 1)
tan = _elementwise("tan", 1)
tanh = _elementwise("tanh", 1)
trunc = _elementwise("trunc", 1)
