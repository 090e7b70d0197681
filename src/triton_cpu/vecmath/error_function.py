"""erf: an odd polynomial near 0, and 1 - erfc beyond.

erfc(x) is exp(-g(x)) with a polynomial g in float32, and exp(-x**2) times a polynomial in 1 / (x + 2) in
float64.
"""

from triton_cpu.vecmath.code import VectorCode
from triton_cpu.vecmath.exponential import exp

SMALL = 0.92
# erf is 1 in float32 from here on.
LARGEST = 4.0

# erf(x) / x - 1 in x**2 for |x| <= 0.95; 9.1e-10 of erf(x)
SMALL_TAIL = (
    0.12837916612625122,
    -0.3761262893676758,
    0.11283625662326813,
    -0.026855740696191788,
    0.0051924604922533035,
    -0.0008050804026424885,
    8.002774848137051e-05,
)
# -log(erfc(x)) on 0.9 <= x <= 4; 1.6e-9 of erf(x)
LOG_ERFC = (
    0.0001774872507667169,
    1.1277495622634888,
    0.6370598077774048,
    0.10403726249933243,
    -0.022277016192674637,
    0.0030555836856365204,
    -0.00019717865507118404,
)

LARGEST_DOUBLE = 6.0

# erf(x) / x - 1 in x**2 for |x| <= 1; 1.6e-17
DOUBLE_TAIL = (
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954879,
    -0.026866170645076792,
    0.0052239776248180145,
    -0.000854832698083379,
    0.0001205533111164271,
    -1.4925595266831182e-05,
    1.6461000484121368e-06,
    -1.6350312701054695e-07,
    1.4659775274047436e-08,
    -1.1372848856791674e-09,
    5.957176147748911e-11,
)
# exp(x**2) * erfc(x) in 1 / (x + 2) for 0.99 <= x <= 6; 1.2e-17 of erf(x)
DOUBLE_ERFCX = (
    1.625749952863297e-07,
    0.5641771362696565,
    1.12882084215466,
    1.965033318218642,
    2.9651174236378557,
    1.112481387566676,
    12.471882119998758,
    -86.03456505471343,
    356.0583217492767,
    -1304.9369573026477,
    3393.7825092971293,
    -5751.713360660067,
    6141.056593351222,
    -3802.087125092118,
    1051.3721190315916,
)


def _select_by_size(v: VectorCode, x: str, magnitude: str, limit: float, small: str, large: str) -> str:
    return v.intrinsic("copysign", v.select(v.compare("olt", magnitude, limit), small, large), x)


def erf_double(v: VectorCode, x: str) -> str:
    magnitude = v.at_most(v.intrinsic("fabs", x), LARGEST_DOUBLE)
    square = v.mul(magnitude, magnitude)
    small = v.fma(magnitude, v.polynomial(square, DOUBLE_TAIL), magnitude)
    scaled = v.polynomial(v.div(1.0, v.add(magnitude, 2.0)), DOUBLE_ERFCX)
    large = v.sub(1.0, v.mul(v.intrinsic("exp", v.neg(square)), scaled))
    return _select_by_size(v, x, magnitude, 1.0, small, large)


def erf(v: VectorCode, x: str) -> str:
    magnitude = v.at_most(v.intrinsic("fabs", x), LARGEST)
    square = v.mul(magnitude, magnitude)
    small = v.fma(magnitude, v.polynomial(square, SMALL_TAIL), magnitude)
    large = v.sub(1.0, exp(v, v.neg(v.polynomial(magnitude, LOG_ERFC))))
    return _select_by_size(v, x, magnitude, SMALL, small, large)
