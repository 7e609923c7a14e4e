"""Binomial probabilities, tails and Clopper-Pearson limits, for n up to 1e7.

Every function takes p together with q = 1 − p, and the smaller of the two is the one that
counts: the other is read as one minus it, so that its rounding does not enter.

Probability mass: Loader's saddle point form [1]_ from `special.binomial_deviance`.
Tails: incomplete beta functions. The one on the near side of the mean is a continued
fraction of positive terms; its complement is at least 1/3 and loses nothing.
Limits: the root of the tail in logit p, moved outward by the error of the logarithm of the
tail divided by its slope. That error was at most 2e-15 + 0.75e-15·|log tail| over 5,000 random
points; 1e-14 + 3.2e-15·|log tail| is used. (The exponent of the tail cannot be off by more
than 3.1e-15 of itself: 28 roundings, at the worst place of `special._deviance`.)

Measured against mpmath (`tests/accuracy`; E is 1 + |log of the value|; 2.2e-16 is one ulp):

==============================  ==============================  ==========================
function                        range                           worst relative error
==============================  ==============================  ==========================
binomial_pmf                    n ≤ 1e7, values above 1e-300    4.1 ulp · E
binomial_upper_tail, _lower_    n ≤ 1e7, values above 1e-300    5 ulp · E
limits, distance to the root    n ≤ 1e7, 1e-300 ≤ α ≤ 1−1e-12   1e-16 to 2.4e-12, always on
                                                                the safe side
==============================  ==============================  ==========================

For a value of 1e-3 that is 1e-14, for one of 1e-300 it is 6e-13. A limit below 1e-307 is
returned as 0, or its complement as 1.

.. [1] C. Loader, *Fast and accurate computation of binomial probabilities*, 2000.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit
from rsverify.kernels.rounding import next_down, next_up
from rsverify.kernels.special import (
    beta_lower,
    binomial_deviance,
    logit_shift,
    saddle_weight,
    solve_lower,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_DOWN, _UP = 1.0 - 7e-16, 1.0 + 7e-16  # five roundings


@njit
def binomial_pmf(k: int, n: int, p: float, q: float) -> float:
    """Return P(X = k) for X ~ Bin(n, p) and q = 1 − p."""
    if k < 0 or k > n:
        return 0.0
    if p <= 0.0:
        return 1.0 if k == 0 else 0.0
    if q <= 0.0:
        return 1.0 if k == n else 0.0
    if k == 0 or k == n:
        s, other = (q, p) if k == 0 else (p, q)
        return math.exp(n * (math.log1p(-other) if other < s else math.log(s)))
    a, b = float(k), float(n - k)
    deviance, _ = binomial_deviance(a, b, p, q)
    return saddle_weight(a, b, deviance) * (n / (a * b))


@njit
def binomial_upper_tail(k: int, n: int, p: float, q: float) -> float:
    """Return P(X ≥ k) for X ~ Bin(n, p) and q = 1 − p, accurate in its own tail."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return beta_lower(float(k), float(n - k + 1), p, q)


@njit
def binomial_lower_tail(k: int, n: int, p: float, q: float) -> float:
    """Return P(X ≤ k) for X ~ Bin(n, p) and q = 1 − p, accurate in its own tail."""
    return binomial_upper_tail(n - k, n, q, p)


@njit
def _move_down(x: float, y: float, step: float, slope: float, tail: float) -> tuple[float, float]:
    """Return x and y = 1 − x after `step` in logit x, moved outward: x down and y up.

    `slope` is that of log(tail) in logit x; 1.5e-15 and two neighbors cover the roundings of
    the move itself.
    """
    noise = 1.0e-14 - 3.2e-15 * math.log(tail)
    x, y = logit_shift(x, y, step - (noise / slope + 1.5e-15))
    return max(next_down(next_down(x)), 0.0), min(next_up(next_up(y)), 1.0)


@njit
def _limit_pair(k: int, n: int, alpha: float, rest: float) -> tuple[float, float]:
    """Return the p with P(X ≥ k) = `alpha` = 1 − `rest`, k ≥ 1, and 1 − p, moved outward."""
    a, b = float(k), float(n - k + 1)
    if alpha <= rest:
        x, y, slope = solve_lower(a, b, alpha)
    else:
        y, x, slope = solve_lower(b, a, rest)
    return _move_down(x, y, 0.0, slope, min(alpha, rest))


@njit
def clopper_pearson_lower_pair(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the p with P(X ≥ k) = `alpha`, rounded down, and 1 − p, rounded up."""
    if k <= 0:
        return 0.0, 1.0
    return _limit_pair(k, n, alpha, 1.0 - alpha)  # the difference is exact where it is used


@njit
def clopper_pearson_upper_pair(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the p with P(X ≤ k) = `alpha`, rounded up, and 1 − p, rounded down."""
    q, p = clopper_pearson_lower_pair(n - k, n, alpha)
    return p, q


@njit
def clopper_pearson_lower(k: int, n: int, alpha: float) -> float:
    """Return the Clopper-Pearson lower limit at level `alpha`, rounded down."""
    return clopper_pearson_lower_pair(k, n, alpha)[0]


@njit
def clopper_pearson_upper(k: int, n: int, alpha: float) -> float:
    """Return the Clopper-Pearson upper limit at level `alpha`, rounded up."""
    return clopper_pearson_upper_pair(k, n, alpha)[0]


@njit
def _randomized_newton(
    k: int, n: int, x: float, y: float, alpha: float, weight: float, rest: float
) -> tuple[float, float]:
    """Return Newton's step in logit x toward the randomized limit, and the slope it used.

    The tail is P(X > k) + weight·P(X = k), or its complement where `alpha` is above ½.
    Where it underflows, the step is infinite and only says which way.
    """
    mass = binomial_pmf(k, n, x, y)
    density = mass * (weight * k * y + rest * (n - k) * x)
    if alpha <= 0.5:
        tail = binomial_upper_tail(k + 1, n, x, y) + weight * mass
        if tail <= 0.0:
            return math.inf, 1.0
        slope = density / tail
        return math.log(alpha / tail) / slope, slope
    tail = binomial_lower_tail(k - 1, n, x, y) + rest * mass
    slope = density / tail
    return math.log(tail / (1.0 - alpha)) / slope, slope


@njit
def randomized_lower_pair(
    k: int, n: int, alpha: float, weight: float, rest: float
) -> tuple[float, float]:
    """Return the p with P(X > k) + weight·P(X = k) = `alpha`, and 1 − p, moved outward.

    `rest` is 1 − weight; the smaller of the two must be the more exact. Where the tail
    exceeds `alpha` at p = 0 the limit is 0, and where it stays below at p = 1, it is 1.
    """
    if rest <= 0.0:
        return clopper_pearson_lower_pair(k, n, alpha)
    # weight − alpha by whichever of the two differences is exact up to one rounding.
    excess = (1.0 - alpha) - rest if alpha > 0.5 else weight - alpha
    # Both ends reduce to a plain limit, its level and the rest of it rounded outward.
    if k == n:  # weight·pⁿ = alpha
        if excess <= 0.0:
            return 1.0, 0.0
        x, y = _limit_pair(n, n, alpha / weight * _DOWN, excess / weight * _UP)
        low_x, low_y = clopper_pearson_lower_pair(n, n, alpha)  # larger where weight is near 1
        return max(x, low_x), min(y, low_y)
    if k == 0:  # 1 − (1 − weight)·qⁿ = alpha
        if excess >= 0.0:
            return 0.0, 1.0
        return _limit_pair(1, n, -excess / rest * _DOWN, (1.0 - alpha) / rest * _UP)
    low_x, low_y = clopper_pearson_lower_pair(k, n, alpha)
    x, y = low_x, low_y
    if x == 0.0:
        return x, y
    high_x, high_y = clopper_pearson_lower_pair(k + 1, n, alpha)
    # The root lies between the plain limits for k and k + 1 successes; Newton's method is
    # held to that interval, which is halved wherever a step would leave it.
    width = (math.log(high_x) - math.log(low_x)) - (math.log(high_y) - math.log(low_y)) + 1e-9
    least, most, at = 0.0, width, 0.0
    for _ in range(200):
        step, slope = _randomized_newton(k, n, x, y, alpha, weight, rest)
        if abs(step) * slope < 1e-8:
            x, y = _move_down(x, y, step, slope, min(alpha, 1.0 - alpha))
            return max(x, low_x), min(y, low_y)
        if step > 0.0:
            least = max(least, at)
        else:
            most = min(most, at)
        target = at + step
        if not least <= target <= most:
            target = 0.5 * (least + most)
        x, y = logit_shift(x, y, target - at)
        at = target
    return low_x, low_y  # a valid limit, should the search ever not end


@njit
def clopper_pearson_lower_rows(
    k: IntArray, n: IntArray, alpha: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with lower limits."""
    for i in range(out.size):
        out[i] = clopper_pearson_lower_pair(k[i], n[i], alpha[i])[0]


@njit
def clopper_pearson_upper_rows(
    k: IntArray, n: IntArray, alpha: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with upper limits."""
    for i in range(out.size):
        out[i] = clopper_pearson_upper_pair(k[i], n[i], alpha[i])[0]


@njit
def randomized_lower_rows(
    k: IntArray, n: IntArray, alpha: FloatArray, u: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with randomized lower limits; a tie counts 1 − u."""
    for i in range(out.size):
        out[i] = randomized_lower_pair(k[i], n[i], alpha[i], 1.0 - u[i], u[i])[0]


@njit
def randomized_upper_rows(
    k: IntArray, n: IntArray, alpha: FloatArray, u: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with randomized upper limits: a tie counts u, and failures are counted."""
    for i in range(out.size):
        out[i] = randomized_lower_pair(n[i] - k[i], n[i], alpha[i], u[i], 1.0 - u[i])[1]
