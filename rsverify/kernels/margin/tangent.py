"""The smallest probit margin above a line: from a bound on E[X - a Y] to one on the margin.

Given p >= l + a q with a > 0 and 0 <= q <= T, the margin probit(p) - probit(q) is at least c
exactly if the line lies above the curve p = Phi(c + probit(q)) for all q in [0, T]. With
r = 1 - l and z = probit(q) that is

    r <= min over z <= probit(T) of f(z),    f(z) = Phi(-(c + z)) + a Phi(z).        (1)

For c > 0 f falls and then rises in z, because its derivative a phi(z) - phi(c + z) has the
sign of log(a) + c z + c^2/2: the minimum is at z = -log(a)/c - c/2, or at probit(T) where
that is smaller. For c <= 0 f is concave in q, so the minimum is at an end: f = 1 at q = 0 or
f at T. Both terms of f are positive, so it is evaluated to relative accuracy; at the free
minimum an error of z counts squared.

A margin c is returned only if (1) holds with f rounded down, so every value returned is
certified by itself, wherever the search ended. Seen against 50 digits: below the exact
minimum by at most 1e-12 for margins up to 12.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, margin_of_limits
from rsverify.kernels.rounding import next_down, next_up, round_down_relative
from rsverify.kernels.special import norm_cdf, norm_ppf

LARGEST_MARGIN = 80.0  # what is returned where the minimum is larger, or infinite
SMALLEST_CHANCE = 1e-300
HALVINGS = 64
UNIT = 2.0**-53


@njit
def line_gap(c: float, slope: float, top: float) -> float:
    """Return the minimum of f over z <= `top` at the margin c, rounded down."""
    z = top
    if c > 0.0:
        z = min(top, -math.log(slope) / c - 0.5 * c)
    value = norm_cdf(-(c + z)) + slope * norm_cdf(z)
    # Rounding of c + z costs a relative |c + z| times the hazard, that is about its square.
    w = min(abs(c + z), 40.0)
    value = round_down_relative(value, UNIT * (16.0 + 2.0 * w * w))
    return value if c > 0.0 else min(value, 1.0)


@njit
def tangent_margin(mean: float, slope: float, largest: float) -> float:
    """Return a lower bound of probit(p) - probit(q), -inf where there is none.

    The line is (p + a (1 - q)) / (1 + a) >= `mean`, a = `slope`; and q <= `largest` and
    p + q <= 1, which with the line implies q <= 1 - `mean`.
    """
    room = 1.0 - mean
    short = next_up(next_up((1.0 + slope) * next_up(room)) * (1.0 + 2.0 * UNIT))
    if short >= 1.0:
        return -math.inf
    z = norm_ppf(max(SMALLEST_CHANCE, min(largest, next_up(room))))
    top = z + (1e-15 * abs(z) + 1e-15)
    low, high = -LARGEST_MARGIN, LARGEST_MARGIN
    if line_gap(low, slope, top) < short:
        return -math.inf
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if line_gap(middle, slope, top) >= short:
            low = middle
        else:
            high = middle
    return low


@njit
def line_margin(estimand: int, mean: float, slope: float, largest: float) -> float:
    """Return the margin above a line; `slope` must be 1 for the difference."""
    if estimand == DIFFERENCE:
        return max(-1.0, next_down(2.0 * mean - 1.0))
    return tangent_margin(mean, slope, largest)


@njit
def line_rows(
    mean: FloatArray, slope: FloatArray, largest: FloatArray, estimand: int, out: FloatArray
) -> None:
    """Fill `out` with `line_margin` of each row."""
    for i in range(out.size):
        out[i] = line_margin(estimand, mean[i], slope[i], largest[i])


@njit
def limit_rows(p: FloatArray, u: FloatArray, estimand: int, out: FloatArray) -> None:
    """Fill `out` with the margin of a lower limit p and an upper limit u, or 1 - p if less."""
    for i in range(out.size):
        rest = next_up(1.0 - p[i])
        second = min(u[i], rest)
        out[i] = margin_of_limits(estimand, p[i], rest, second, next_down(1.0 - second))


@njit
def score_line(first: FloatArray, other: FloatArray, slope: FloatArray, out: FloatArray) -> None:
    """Fill the rows of `out` with (x + a (1 - y)) / (1 + a), off by five roundings."""
    for k in range(out.shape[0]):
        a = slope[k]
        for i in range(out.shape[1]):
            value = (first[k, i] + a * (1.0 - other[k, i])) / (1.0 + a)
            out[k, i] = min(1.0, max(0.0, value))


@njit
def best_slope(p: float, q: float, smallest: float, largest: float) -> float:
    """Return phi(probit(p)) / phi(probit(q)), the tangent at (p, q), kept in its limits."""
    w, z = norm_ppf(p), norm_ppf(q)
    exponent = 0.5 * (z - w) * (z + w)
    limit = math.log(largest)
    return float(np.exp(min(max(exponent, math.log(smallest)), limit)))
