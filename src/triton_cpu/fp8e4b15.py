"""Conversions of fp8e4b15, the one 8-bit float that Triton's IR has no type for and leaves to each backend.

1 sign, 4 exponent and 3 mantissa bits, exponent bias 15, no infinities and no NaN: the top of an IEEE half
that lies below 2, shifted. So the conversion is bit shifting.
"""

from typing import Any

from triton.language import core

LARGEST_AS_HALF = 0x3F80  # 1.875 as an IEEE half


def _to_half(value: Any, semantic: Any) -> Any:
    bits = value.to(core.int8, bitcast=True, _semantic=semantic).to(core.int16, _semantic=semantic)
    sign = bits.__and__(0x80, _semantic=semantic).__lshift__(8, _semantic=semantic)
    magnitude = bits.__and__(0x7F, _semantic=semantic).__lshift__(7, _semantic=semantic)
    return sign.__or__(magnitude, _semantic=semantic).to(core.float16, bitcast=True, _semantic=semantic)


def _from_half(value: Any, semantic: Any) -> Any:
    bits = value.to(core.int16, bitcast=True, _semantic=semantic)
    sign = bits.__rshift__(8, _semantic=semantic).__and__(0x80, _semantic=semantic)
    magnitude = bits.__and__(0x7FFF, _semantic=semantic)
    magnitude = core.minimum(magnitude, LARGEST_AS_HALF, _semantic=semantic)
    odd = magnitude.__rshift__(7, _semantic=semantic).__and__(1, _semantic=semantic)
    rounded = magnitude.__add__(0x3F, _semantic=semantic).__add__(odd, _semantic=semantic)
    shifted = rounded.__rshift__(7, _semantic=semantic)
    packed = shifted.__or__(sign, _semantic=semantic).to(core.int8, _semantic=semantic)
    return packed.to(core.float8e4b15, bitcast=True, _semantic=semantic)


@core.builtin
def convert_fp8e4b15(value: Any, dtype: Any, fp_downcast_rounding: Any = None, _semantic: Any = None) -> Any:
    """Casts a tensor from or to fp8e4b15: to nearest, ties to even, saturating."""
    if value.type.scalar.is_fp8e4b15():
        return _to_half(value, _semantic).to(dtype, _semantic=_semantic)
    half = value.to(core.float16, _semantic=_semantic)
    return _from_half(half, _semantic)
