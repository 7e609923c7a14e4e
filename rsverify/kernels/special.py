"""Normal distribution and regularized incomplete beta, each tail its own function.

Complements are passed, never computed: x comes with y = 1 − x, and the smaller of the two is
the one that counts. The other is read as one minus it, exactly, so that the rounding of a
number near 1 does not enter; with a, b = 1e7 it would be worth 1e-9.

norm_pdf, norm_cdf      exp and erfc, the rounding error of their argument put back by a
                        Taylor term [1]_ (without it: 800 ulp at z = −37)
norm_ppf, norm_isf      Wichura's rational functions in three regimes, p from 0.075 to
                        0.925, to 1.4e-11, below [2]_
stirling_error, deviance_term, binomial_deviance
                        Loader's pieces [3]_; x − mean is carried in two floats, and beyond
                        |x − mean| = (x + mean)/4 the series gives way to the logarithm
beta_lower, beta_upper  a, b ≥ 1: the saddle point density times a continued fraction of
                        positive terms up to the mean [4]_, its complement above, where the
                        value is at least 1/3
their inverses          Halley's iteration on the concave log I against logit x

Measured against mpmath (`tests/accuracy`, and some 20,000 random points; one ulp is 2.2e-16, L is
the absolute logarithm of the value):

============================  =======================================  ==================
function                      range                                    worst error
============================  =======================================  ==================
norm_pdf                      |z| ≤ 37                                 1.3 ulp
norm_cdf, norm_sf             values above 1e-300                      1.8 ulp
norm_ppf, norm_isf            p from 1e-300 to 1 − 1e-15               2.5 ulp
stirling_error                n ≥ 0.5                                  7e-16, absolute
deviance_term                 x from 1e-2 to 1e7                       2.6 ulp
beta_lower, beta_upper        integer a, b to 1e7, values over 1e-300  4.6·(1 + L) ulp
the same                      real a, b to 1e3                         10·(1 + L) ulp
inverses, p above 1e-8        integer a, b to 1e7                      27 ulp = 6e-15
inverses, p to 1e-300         integer a, b to 1e7                      1.7e-13
============================  =======================================  ==================

The inverses' errors are relative, of x and of 1 − x; a root below 1e-307 is returned as 0.
The fraction takes most terms at the mean: 44, 210 and 950 for a + b of 1e3, 1e5 and 1e7.

.. [1] Komatsu's bound of the hazard of the normal distribution, 1955.
.. [2] M. J. Wichura, Algorithm AS 241, *Applied Statistics* 37 (1988) 477-484.
.. [3] C. Loader, *Fast and accurate computation of binomial probabilities*, 2000.
.. [4] A. R. DiDonato and A. H. Morris, Algorithm 708, *ACM Trans. Math. Software* 18 (1992)
   360-373.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.jit import njit

_SPLIT = 134217729.0  # 2**27 + 1
_SQRT_HALF = 0.7071067811865476
_SQRT_HALF_LOW = -4.833646656726457e-17  # 1/sqrt(2) - _SQRT_HALF
_INV_SQRT_2PI = 0.3989422804014327
_INV_2PI = 0.15915494309189535
_LEAST_LOGIT = -708.0  # below it exp() leaves the normal float64 numbers

# log(n!) minus Stirling's sqrt(2 pi n) (n/e)^n, n = 0 (never read), 1, ..., 15.
# fmt: off
_STIRLING_ERROR = np.array([
    math.inf, 0.08106146679532725822, 0.041340695955409294094,
    0.027677925684998339149, 0.020790672103765093112, 0.016644691189821192163,
    0.013876128823070747999, 0.011896709945891770095, 0.010411265261972096497,
    0.0092554621827127329177, 0.0083305634333628712565, 0.007573675487951840795,
    0.0069428401072095298657, 0.0064089941880042070684, 0.0059513701127588477356,
    0.005554733551962801371,
])
# fmt: on

# Wichura's AS 241: numerator and denominator, highest power first, of each of its regimes.
# fmt: off
_CENTRE_TOP = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
    4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
    1.3314166789178437745e2, 3.3871328727963666080e0,
)
_CENTRE_BOTTOM = (
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
    2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
    4.2313330701600911252e1, 1.0,
)
_TAIL_TOP = (
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
    1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
    4.63033784615654529590e0, 1.42343711074968357734e0,
)
_TAIL_BOTTOM = (
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
    1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
    2.05319162663775882187e0, 1.0,
)
_FAR_TOP = (
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
    2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
    5.46378491116411436990e0, 6.65790464350110377720e0,
)
_FAR_BOTTOM = (
    2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
    7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
    5.99832206555887937690e-1, 1.0,
)
# fmt: on


@njit
def two_product(a: float, b: float) -> tuple[float, float]:
    """Return a·b as a rounded product and its exact error (Dekker), |a|, |b| below 1e150."""
    product = a * b
    c = _SPLIT * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = _SPLIT * b
    b_high = c - (c - b)
    b_low = b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


# ---------------------------------------------------------------- normal distribution


@njit
def norm_pdf(z: float) -> float:
    """Return φ(z)."""
    if abs(z) > 39.0:  # below half the least subnormal
        return 0.0
    square, error = two_product(z, z)
    return _INV_SQRT_2PI * math.exp(-0.5 * square) * (1.0 - 0.5 * error)


@njit
def norm_cdf(z: float) -> float:
    """Return Φ(z), accurate in its own (left) tail."""
    if z > -1.0:
        return 0.5 * math.erfc(-z * _SQRT_HALF)
    if z < -39.0:
        return 0.0
    # The rounding error of z/sqrt(2) is multiplied by z² in erfc: it is put back by one
    # Taylor term, whose factor, the hazard of erfc, is needed to a few per cent (Komatsu's bound).
    x, error = two_product(-z, _SQRT_HALF)
    error -= z * _SQRT_HALF_LOW
    hazard = x + math.sqrt(x * x + 4.0 / math.pi)
    return 0.5 * math.erfc(x) * (1.0 - hazard * error)


@njit
def norm_sf(z: float) -> float:
    """Return 1 − Φ(z), accurate in its own (right) tail."""
    return norm_cdf(-z)


@njit
def _horner(x: float, coefficients: tuple[float, ...]) -> float:
    """Return the polynomial with `coefficients`, highest power first, at `x`."""
    value = 0.0
    for c in coefficients:
        value = value * x + c
    return value


@njit
def _upper_quantile(p: float) -> float:
    """Return the point with right tail `p`, p below 0.075 (AS 241)."""
    if p <= 0.0:
        return math.inf
    r = math.sqrt(-math.log(p))
    if r <= 5.0:
        return _horner(r - 1.6, _TAIL_TOP) / _horner(r - 1.6, _TAIL_BOTTOM)
    return _horner(r - 5.0, _FAR_TOP) / _horner(r - 5.0, _FAR_BOTTOM)


@njit
def norm_isf(p: float) -> float:
    """Return Φ⁻¹(1 − p), the point with right tail `p`; inf at 0, −inf at 1."""
    q = 0.5 - p
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _horner(r, _CENTRE_TOP) / _horner(r, _CENTRE_BOTTOM)
    if q > 0.0:
        return _upper_quantile(p)
    return -_upper_quantile(1.0 - p)  # the difference is exact: p is above 1/2


@njit
def norm_ppf(p: float) -> float:
    """Return Φ⁻¹(p), the point with left tail `p`; −inf at 0, inf at 1."""
    return -norm_isf(p)


# ---------------------------------------------------------- pieces of accurate binomials


@njit
def stirling_error(n: float) -> float:
    """Return log Γ(n+1) − log(√(2πn)(n/e)ⁿ) for n > 0."""
    if n <= 15.0 and n == math.floor(n):
        return float(_STIRLING_ERROR[int(n)])
    # Moved up to where the series has converged: δ(n) = δ(n+1) + (n+½)·log(1+1/n) − 1.
    moved = 0.0
    while n < 15.0:
        moved += (n + 0.5) * math.log1p(1.0 / n) - 1.0
        n += 1.0
    w = 1.0 / (n * n)
    series = 1.0 / 1188.0 - w * (691.0 / 360360.0 - w / 156.0)
    series = 1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w * (1.0 / 1680.0 - w * series)))
    return moved + series / n


@njit
def _deviance(x: float, mean: float, shift: float) -> float:
    """Return x·log(x/mean) + mean − x from `shift` = x − mean, which carries the accuracy.

    A relative error of `shift` costs twice that of the result, so the caller can pass a
    difference that is better known than those of the rounded `x` and `mean`.
    """
    if x <= 0.0:
        return mean
    v = shift / (x + mean)
    if abs(v) > 0.25:
        return x * math.log(x / mean) - shift
    # log(x/mean) = 2 artanh(v), and the first term of its series absorbs mean − x.
    w = v * v
    if w < 0.0025:  # |v| < 0.05
        tail = 1.0 / 3.0 + w * (1.0 / 5.0 + w * (1.0 / 7.0 + w * (1.0 / 9.0 + w / 11.0)))
    else:
        tail = 0.0
        for j in range(27, 1, -2):
            tail = tail * w + 1.0 / j
    return v * (shift + 2.0 * x * w * tail)


@njit
def deviance_term(x: float, mean: float) -> float:
    """Return Loader's bd0, x·log(x/mean) + mean − x, for x ≥ 0 and mean > 0."""
    return _deviance(x, mean, x - mean)


@njit
def binomial_deviance(a: float, b: float, x: float, y: float) -> tuple[float, float]:
    """Return D and a − (a+b)x, D = a·log(a/((a+b)x)) + b·log(b/((a+b)y)), for y = 1 − x.

    The smaller of `x` and `y` is taken as exact and the other as one minus it, so that the
    rounding of the larger, which is worth (a+b)·1e-16 in D, does not matter.
    """
    n = a + b
    if x <= y:
        mean, error = two_product(n, x)
        shift = (a - mean) - error
        mean_x, mean_y = mean, n - mean
    else:
        mean, error = two_product(n, y)
        shift = -((b - mean) - error)
        mean_x, mean_y = n - mean, mean
    return _deviance(a, mean_x, shift) + _deviance(b, mean_y, -shift), shift


# ------------------------------------------------------- regularized incomplete beta


@njit
def _log_saddle_weight(a: float, b: float, deviance: float) -> float:
    """Return log(xᵃyᵇ/B(a, b)), the density of logit x, from its deviance D."""
    n = a + b
    correction = stirling_error(n) - stirling_error(a) - stirling_error(b)
    return 0.5 * math.log(a * (b / n) * _INV_2PI) + (correction - deviance)


@njit
def saddle_weight(a: float, b: float, deviance: float) -> float:
    """Return xᵃyᵇ/B(a, b), the density of logit x, from its deviance D."""
    n = a + b
    correction = stirling_error(n) - stirling_error(a) - stirling_error(b)
    return math.sqrt(a * (b / n) * _INV_2PI) * math.exp(correction - deviance)


@njit
def _fraction(a: float, b: float, x: float, y: float, shift: float) -> float:
    """Return I_x(a, b)·B(a, b)/(xᵃyᵇ) for x up to the mean, `shift` = a − (a+b)x ≥ 0.

    The contracted continued fraction (DiDonato and Morris 1992, eq. 12). For integer b, and
    up to the b-th term for any, all its terms are positive: no cancellation, and the value
    lies between successive convergents, which is what the loop's end tests.
    """
    a1 = a + 1.0
    top_old, bottom_old = 0.0, 1.0  # the convergent before the first, scaled
    top, bottom = 1.0, a * (shift + 1.0) / a1
    m, next_s = 0.0, 1.0 / a1
    # m == b ends the fraction; the ceiling is never met for a, b up to 1e12.
    while abs(top * bottom_old - top_old * bottom) > 4e-16 * top * bottom_old and m < 1e7:
        for _ in range(4):
            m += 1.0
            s = next_s
            next_s = 1.0 / (a + 2.0 * m + 1.0)
            c = m * (b - m) * x * s
            alpha = (a + m - 1.0) * (a + b + m - 1.0) * x * s * c
            beta = m + c + (a + m) * (shift + 1.0 + m * (1.0 + y)) * next_s
            top_old, top = top, beta * top + alpha * top_old
            bottom_old, bottom = bottom, beta * bottom + alpha * bottom_old
            if m == b:
                return top / bottom
        scale = 1.0 / bottom
        top_old *= scale
        bottom_old *= scale
        top *= scale
        bottom = 1.0
    return top / bottom


@njit
def beta_lower(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b) for a, b ≥ 1 and y = 1 − x."""
    if x <= 0.0:
        return 0.0
    if y <= 0.0:
        return 1.0
    deviance, shift = binomial_deviance(a, b, x, y)
    weight = saddle_weight(a, b, deviance)
    if shift >= 0.0:
        return weight * _fraction(a, b, x, y, shift)
    # Above the mean the value exceeds 1/3, so that its complement loses nothing.
    return 1.0 - weight * _fraction(b, a, y, x, -shift)


@njit
def beta_upper(a: float, b: float, x: float, y: float) -> float:
    """Return 1 − I_x(a, b) for a, b ≥ 1 and y = 1 − x, accurate in its own tail."""
    return beta_lower(b, a, y, x)


# ------------------------------------------------------------------------- its inverse


@njit
def _shift_small(x: float, y: float, step: float) -> tuple[float, float]:
    """Return `logit_shift` for x ≤ y; what ends larger is one minus what ends smaller."""
    scale = 1.0 + x * math.expm1(step)
    x, y = x * math.exp(step) / scale, y / scale
    if x <= y:
        return x, 1.0 - x
    return 1.0 - y, y


@njit
def logit_shift(x: float, y: float, step: float) -> tuple[float, float]:
    """Return x and y = 1 − x after log(x/y) moved by `step`, each to relative accuracy."""
    if x > y:
        y, x = _shift_small(y, x, -step)
        return x, y
    return _shift_small(x, y, step)


@njit
def _log_lower(a: float, b: float, x: float, y: float) -> tuple[float, float, float]:
    """Return log I_x(a, b), its slope in logit x, and a − (a+b)x."""
    deviance, shift = binomial_deviance(a, b, x, y)
    if shift >= 0.0:
        fraction = _fraction(a, b, x, y, shift)
        return _log_saddle_weight(a, b, deviance) + math.log(fraction), 1.0 / fraction, shift
    weight = saddle_weight(a, b, deviance)
    upper = weight * _fraction(b, a, y, x, -shift)
    return math.log1p(-upper), weight / (1.0 - upper), shift


@njit
def _start(a: float, b: float, p: float) -> tuple[float, float]:
    """Return a first guess of logit x with I_x(a, b) = p ≤ ½, and a lower limit of it."""
    # I_x(a, b) ≤ xᵃ/(a·B(a, b)) ≤ (x/y)ᵃ/(a·B(a, b)), so this is at or below the root.
    n = a + b
    log_beta = (
        -0.5 * math.log(a * (b / n) * _INV_2PI)
        + stirling_error(a)
        + stirling_error(b)
        - stirling_error(n)
        - a * math.log1p(b / a)
        - b * math.log1p(a / b)
    )
    least = (math.log(p) + math.log(a) + log_beta) / a
    # Cornish-Fisher for logit x (Applied Statistics algorithm AS 109).
    z = norm_isf(p)
    s = 1.0 / (2.0 * a - 1.0)
    t = 1.0 / (2.0 * b - 1.0)
    h = 2.0 / (s + t)
    r = (z * z - 3.0) / 6.0
    w = z * math.sqrt(max(h + r, 0.0)) / h - (s - t) * (r + 5.0 / 6.0 - 2.0 / (3.0 * h))
    return max(math.log(a / b) - 2.0 * w, least), least


@njit
def solve_lower(a: float, b: float, p: float) -> tuple[float, float, float]:
    """Return x, 1 − x and d log I/d logit x where I_x(a, b) = p, for 0 < p ≤ ½.

    log I is concave in logit x, so Newton's step from anywhere lands at or below the root
    and then rises to it; Halley's correction, whose second derivative comes free, makes
    the convergence cubic. A root below 1e-307 is returned as 0.
    """
    t, least = _start(a, b, p)
    t = max(t, _LEAST_LOGIT)
    log_p = math.log(p)
    x, y = 1.0 / (1.0 + math.exp(-t)), 1.0 / (1.0 + math.exp(t))
    slope = 1.0
    for _ in range(60):
        value, slope, shift = _log_lower(a, b, x, y)
        excess = value - log_p
        newton = -excess / slope
        curvature = 0.5 * newton * (shift - slope)
        step = newton / max(1.0 + curvature, 0.5)
        if t + step < least:
            step = least - t
        t += step
        if t < _LEAST_LOGIT:
            return 0.0, 1.0, a
        x, y = logit_shift(x, y, step)
        if abs(excess) < 1e-6:
            break
    return x, y, slope


@njit
def beta_lower_inverse(a: float, b: float, p: float) -> tuple[float, float]:
    """Return (x, 1 − x) with I_x(a, b) = p, for a, b ≥ 1."""
    if p <= 0.0:
        return 0.0, 1.0
    if p >= 1.0:
        return 1.0, 0.0
    if p <= 0.5:
        x, y, _ = solve_lower(a, b, p)
    else:
        y, x, _ = solve_lower(b, a, 1.0 - p)  # the difference is exact
    return x, y


@njit
def beta_upper_inverse(a: float, b: float, p: float) -> tuple[float, float]:
    """Return (x, 1 − x) with 1 − I_x(a, b) = p, for a, b ≥ 1, to relative accuracy in p."""
    y, x = beta_lower_inverse(b, a, p)
    return x, y
