"""erf of float32: an odd polynomial near 0, and 1 - exp(-g(|x|)) with a polynomial g = -log(erfc) beyond."""

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


def erf(v: VectorCode, x: str) -> str:
    magnitude = v.at_most(v.intrinsic("fabs", x), LARGEST)
    square = v.mul(magnitude, magnitude)
    small = v.fma(magnitude, v.polynomial(square, SMALL_TAIL), magnitude)
    large = v.sub(1.0, exp(v, v.neg(v.polynomial(magnitude, LOG_ERFC))))
    is_small = v.compare("olt", magnitude, SMALL)
    return v.intrinsic("copysign", v.select(is_small, small, large), x)
