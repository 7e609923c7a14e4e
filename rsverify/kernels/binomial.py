"""Binomial probabilities, tails and Clopper-Pearson limits.

Header filled in below.
"""

from __future__ import annotations

import math

from rsverify._jit import njit
from rsverify.kernels.rounding import next_down, next_up
from rsverify.kernels.special import (
    _INV_2PI,
    beta_lower,
    binomial_deviance,
    logit_shift,
    solve_lower,
    stirling_error,
)


@njit
def binomial_pmf(k: int, n: int, p: float, q: float) -> float:
    """Return P(X = k) for X ~ Bin(n, p) and q = 1 − p (Loader 2000)."""
    if k < 0 or k > n:
        return 0.0
    if p <= 0.0:
        return 1.0 if k == 0 else 0.0
    if q <= 0.0:
        return 1.0 if k == n else 0.0
    if k == 0 or k == n:
        s, other = (q, p) if k == 0 else (p, q)
        return math.exp(n * (math.log1p(-other) if other < s else math.log(s)))
    a, b, c = float(k), float(n - k), float(n)
    deviance, _ = binomial_deviance(a, b, p, q)
    correction = stirling_error(c) - stirling_error(a) - stirling_error(b)
    return math.sqrt(c / (a * b) * _INV_2PI) * math.exp(correction - deviance)


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
def _lower_pair(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return p at or below the root of P(X ≥ k) = alpha, 0 < k, and q at or above 1 − p."""
    a, b = float(k), float(n - k + 1)
    tail = min(alpha, 1.0 - alpha)
    if alpha <= 0.5:
        x, y, slope = solve_lower(a, b, alpha)
    else:
        y, x, slope = solve_lower(b, a, 1.0 - alpha)
    # log of the tail is known to `noise`; the slope turns it into a distance in logit.
    noise = 8.0e-15 - 1.6e-15 * math.log(tail)
    x, y = logit_shift(x, y, -(noise / slope + 1.0e-15))
    return max(next_down(next_down(x)), 0.0), min(next_up(next_up(y)), 1.0)


@njit
def clopper_pearson_lower_pair(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the lower limit rounded down, and one minus it rounded up."""
    if k <= 0:
        return 0.0, 1.0
    return _lower_pair(k, n, alpha)


@njit
def clopper_pearson_upper_pair(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the upper limit rounded up, and one minus it rounded down."""
    if k >= n:
        return 1.0, 0.0
    q, p = _lower_pair(n - k, n, alpha)
    return p, q


@njit
def clopper_pearson_lower(k: int, n: int, alpha: float) -> float:
    """Return the Clopper-Pearson lower limit at level `alpha`, rounded down."""
    return clopper_pearson_lower_pair(k, n, alpha)[0]


@njit
def clopper_pearson_upper(k: int, n: int, alpha: float) -> float:
    """Return the Clopper-Pearson upper limit at level `alpha`, rounded up."""
    return clopper_pearson_upper_pair(k, n, alpha)[0]
