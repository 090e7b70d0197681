"""exp, exp2, expm1 and tanh of float32, and expm1 of float64 from exp and log.

exp(x) = 2**n * exp(r) with n the integer nearest to x / log(2), so |r| <= log(2) / 2. The polynomials are
minimax fits in relative error, their coefficients rounded to float32 one after the other.

Scaling to a denormal result traps on many processors, some twenty times as slow. Masked logits and attention scores are
-inf, so lanes whose result is 0 are computed as if of 0, and replaced.
"""

from triton_cpu.native import host_machine
from triton_cpu.vecmath.code import VectorCode

LOG2_E = 1.4426950408889634
# log(2) as the sum of a number of few bits, whose products with n are exact, and the rest.
LN2_HIGH = 0.693359375
LN2_LOW = -2.12194440e-4
# Adding this to a small number rounds it to an integer, found in the low bits of the sum.
ROUNDING = 12582912.0  # 1.5 * 2**23
ROUNDING_BITS = 0x4B400000

# (exp(r) - 1 - r) / r**2 on |r| <= log(2) / 2; 3.1e-9 of exp(r)
EXP_TAIL = (
    0.4999999403953552,
    0.1666652113199234,
    0.041668277233839035,
    0.008368686772882938,
    0.001381979789584875,
)
# (2**r - 1) / r on |r| <= 1/2; 3.0e-9 of 2**r
EXP2_TAIL = (
    0.6931471824645996,
    0.24022647738456726,
    0.05550359562039375,
    0.009618503041565418,
    0.0013390997191891074,
    0.00015327802975662053,
)
# (tanh(x) / x - 1) / x**2 in x**2 for |x| <= 0.625; 4.5e-9 of tanh(x)
TANH_TAIL = (
    -0.3333328068256378,
    0.1333141028881073,
    -0.05373726785182953,
    0.02063172310590744,
    -0.005697345826774836,
)
TANH_SMALL = 0.625


def _round_to_integer(v: VectorCode, x: str, factor: float | None) -> tuple[str, str]:
    """The integer nearest to x * factor, as a float and as an integer (any integer for NaN)."""
    shifted = v.add(x, ROUNDING) if factor is None else v.fma(x, factor, ROUNDING)
    return v.sub(shifted, ROUNDING), v.integer("sub", v.bitcast_to_int(shifted), ROUNDING_BITS)


def _power_of_two(v: VectorCode, n: str) -> str:
    """2.0**n for n within the exponents of normal numbers."""
    return v.bitcast_to_float(v.integer("shl", v.integer("add", n, 127), 23))


def _scale(v: VectorCode, x: str, n: str) -> str:
    """x * 2**n for |n| <= 252, rounded once where the result is denormal."""
    host = host_machine()
    if host.has("avx512f") and host.has("avx512vl"):  # one instruction
        ints = v.suffix.replace("f", "i")
        return v.emit(f"call {v.type} @llvm.ldexp.{v.suffix}.{ints}({v.type} {x}, {v.int_type} {n})")
    half = v.integer("ashr", n, 1)
    rest = v.integer("sub", n, half)
    return v.mul(v.mul(x, _power_of_two(v, half)), _power_of_two(v, rest))


def _reduce(v: VectorCode, x: str) -> tuple[str, str]:
    """(exp(r) - 1, n) with exp(x) = 2**n * exp(r)."""
    n, int_n = _round_to_integer(v, x, LOG2_E)
    r = v.fma(n, -LN2_LOW, v.fma(n, -LN2_HIGH, x))
    return v.fma(v.mul(r, r), v.polynomial(r, EXP_TAIL), r), int_n


def exp(v: VectorCode, x: str) -> str:
    # Below, the result is 0; above, infinity; between them n stays in range.
    vanishes = v.compare("olt", x, -104.0)
    fraction, n = _reduce(v, v.select(vanishes, 0.0, v.at_most(x, 89.0)))
    return v.select(vanishes, 0.0, _scale(v, v.add(fraction, 1.0), n))


def exp2(v: VectorCode, x: str) -> str:
    vanishes = v.compare("olt", x, -151.0)
    bounded = v.select(vanishes, 0.0, v.at_most(x, 129.0))
    n, int_n = _round_to_integer(v, bounded, None)
    r = v.sub(bounded, n)
    return v.select(vanishes, 0.0, _scale(v, v.fma(r, v.polynomial(r, EXP2_TAIL), 1.0), int_n))


def expm1(v: VectorCode, x: str) -> str:
    bounded = v.at_most(v.at_least(x, -18.0), 89.0)
    fraction, n = _reduce(v, bounded)
    # 2**n * (fraction + 1) - 1, with 2**(n - 1) because 2**128 is no float
    half_power = _power_of_two(v, v.integer("sub", n, 1))
    half = v.fma(half_power, fraction, v.sub(half_power, 0.5))
    tiny = v.compare("olt", v.intrinsic("fabs", x), 2.0**-26)
    return v.select(tiny, x, v.mul(half, 2.0))


def expm1_double(v: VectorCode, x: str) -> str:
    """(u - 1) * x / log(u) with u = exp(x): the errors of u - 1 and log(u) cancel (Kahan)."""
    u = v.intrinsic("exp", x)
    minus_1 = v.sub(u, 1.0)
    corrected = v.div(v.mul(minus_1, x), v.intrinsic("log", u))
    # Where u is 0, 1 or infinite there is nothing to cancel, and the quotient is NaN.
    far = v.compare("ogt", v.intrinsic("fabs", x), 38.0)
    return v.select(v.compare("oeq", u, 1.0), x, v.select(far, minus_1, corrected))


def tanh(v: VectorCode, x: str) -> str:
    magnitude = v.at_most(v.intrinsic("fabs", x), 10.0)
    square = v.mul(magnitude, magnitude)
    small = v.fma(v.mul(square, magnitude), v.polynomial(square, TANH_TAIL), magnitude)
    # 1 - 2 / (exp(2 a) + 1)
    large = v.sub(1.0, v.div(2.0, v.add(exp(v, v.add(magnitude, magnitude)), 1.0)))
    is_small = v.compare("olt", magnitude, TANH_SMALL)
    return v.intrinsic("copysign", v.select(is_small, small, large), x)
