"""log and log2 of float32, log1p of both.

x = 2**e * (1 + f) with 1 + f between sqrt(1/2) and sqrt(2). The polynomial is a minimax fit in relative
error, its coefficients rounded to float32 one after the other.
"""

import math

from triton_cpu.vecmath.code import VectorCode
from triton_cpu.vecmath.exponential import LN2_HIGH, LN2_LOW, LOG2_E

SMALLEST_NORMAL = 2.0**-126
SQRT_HALF_BITS = 0x3F3504F3
MANTISSA_BITS = 23

# (log(1 + f) - f + f**2 / 2) / f**3 on sqrt(1/2) - 1 <= f <= sqrt(2) - 1; 7.7e-10 of log(1 + f)
LOG_TAIL = (
    0.3333331346511841,
    -0.25000008940696716,
    0.20002073049545288,
    -0.16667994856834412,
    0.1422031670808792,
    -0.12406045943498611,
    0.11883731186389923,
    -0.11671566963195801,
    0.06750711053609848,
)


def _split(v: VectorCode, x: str) -> tuple[str, str]:
    """(f, e) of a positive number."""
    is_denormal = v.compare("olt", x, SMALLEST_NORMAL)
    normal = v.select(is_denormal, v.mul(x, 2.0**MANTISSA_BITS), x)
    offset = v.integer("sub", v.bitcast_to_int(normal), SQRT_HALF_BITS)
    exponent = v.int_to_float(v.integer("ashr", offset, MANTISSA_BITS))
    mantissa = v.integer("add", v.integer("and", offset, (1 << MANTISSA_BITS) - 1), SQRT_HALF_BITS)
    f = v.sub(v.bitcast_to_float(mantissa), 1.0)
    return f, v.sub(exponent, v.select(is_denormal, float(MANTISSA_BITS), 0.0))


def _special_cases(v: VectorCode, x: str, result: str) -> str:
    result = v.select(v.compare("oeq", x, math.inf), math.inf, result)
    result = v.select(v.compare("oeq", x, 0.0), -math.inf, result)
    return v.select(v.compare("ult", x, 0.0), math.nan, result)


def _cubic_and_up(v: VectorCode, f: str, square: str) -> str:
    return v.mul(v.mul(square, f), v.polynomial(f, LOG_TAIL))


def log(v: VectorCode, x: str) -> str:
    f, e = _split(v, x)
    square = v.mul(f, f)
    tail = v.fma(e, LN2_LOW, _cubic_and_up(v, f, square))
    tail = v.fma(square, -0.5, tail)
    return _special_cases(v, x, v.fma(e, LN2_HIGH, v.add(f, tail)))


def log2(v: VectorCode, x: str) -> str:
    f, e = _split(v, x)
    square = v.mul(f, f)
    tail = v.fma(square, -0.5, _cubic_and_up(v, f, square))
    # (f + tail) * log2(e) with log2(e) = 1 + 0.44...: small terms first
    small = v.fma(f, LOG2_E - 1.0, v.mul(tail, LOG2_E - 1.0))
    return _special_cases(v, x, v.add(e, v.add(f, v.add(small, tail))))


def log1p(v: VectorCode, x: str) -> str:
    """log(u) + (x - (u - 1)) / u with u = 1 + x: the second term is what rounding u took away."""
    u = v.add(x, 1.0)
    lost = v.div(v.sub(x, v.sub(u, 1.0)), u)
    log_u = log(v, u) if v.elem == "float" else v.intrinsic("log", u)
    # At 0 and infinity (and for NaN) log(u) alone is right, and the correction is NaN.
    is_ordinary = v.compare("olt", v.intrinsic("fabs", log_u), math.inf)
    corrected = v.select(is_ordinary, v.add(log_u, lost), log_u)
    return v.select(v.compare("oeq", u, 1.0), x, corrected)
