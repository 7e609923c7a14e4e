"""Proofs at Cohen's and Bonferroni's limits themselves, where the search ended just below them.

A limit that the search returns is some 1e-10 below the one that could be proved. Where the
simpler limits come that close to it, the default limit is one of them if it can be proved there.

All votes for two classes
-------------------------
At x1 + x2 = n the highest place of the piece is its end q3 = 0, where the tail is the binomial
one P(X1 >= x1): at Cohen's limit it is alpha, and no rounding error is allowed to matter. The tail
is shown to rise, over the last panel, by more than what leaving q out costs there (docs/theory.md,
"Dominance"), so that the end is the highest place; and there the tail is at most alpha, as
Cohen's limit is rounded down.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.curve import curve_piece, rows_suffice
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.panels import (
    ELLIPSES,
    LEBESGUE,
    PANEL_ROWS,
    ROUNDING,
    chebyshev_coefficients,
    ellipse_bounds,
    series_at_most,
)
from rsverify.kernels.margin.quantiles import curve_kink
from rsverify.kernels.margin.trinomial import tail_relative_error

LARGEST_REST = 0.5  # n q3 at the start of the last panel
END_NODES = 24
LEAST_LOG_RHO = math.log(2.0)


@njit
def slope_error(ellipses: FloatArray, nodes: int) -> float:
    """Return a bound on the error of the interpolant's derivative, from `ellipse_bounds`.

    With |a_k| <= 2 M rho^-k it is at most 4 M sum_{k >= K} k^2 rho^-k, which for rho >= 2 is
    at most 6 K^2 times the bound of the value's error.
    """
    best = math.inf
    for k in range(ELLIPSES):
        if ellipses[k, 0] >= LEAST_LOG_RHO:
            best = min(best, ellipses[k, 1] - (nodes - 1) * ellipses[k, 0])
    return 6.0 * nodes * nodes * math.exp(best) if best < 700.0 else math.inf


@njit
def negated_derivative(c: FloatArray, nodes: int, out: FloatArray) -> None:
    """Fill `out` with the Chebyshev coefficients of minus the derivative of a series."""
    out[nodes - 1] = 0.0
    out[nodes - 2] = -2.0 * (nodes - 1) * c[nodes - 1]
    for k in range(nodes - 3, -1, -1):
        out[k] = out[k + 2] - 2.0 * (k + 1) * c[k + 1]
    out[0] *= 0.5


@njit
def rises_to_the_end(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    alpha: float,
    least: float,
    most: float,
    share: float,
    neglect: float,
) -> float:
    """Return the start of a last panel on which the tail rises to q3 = 0; NaN if not shown.

    It rises, per unit of u, by more than 2 `share` n (-dq3/du) / (1 - q2).
    """
    low, high = curve_piece(estimand, limit, n, alpha, least, most)
    top = 0.5 * (1.0 - abs(limit)) if estimand == DIFFERENCE else -0.5 * limit
    if not low < high or high < top:
        return math.nan
    q1, q2, _ = curve_point(estimand, limit, high)
    wide = min(LARGEST_REST / n, 0.3 * min(q1, q2))
    kink = curve_kink(estimand, limit)
    start = low
    for _ in range(100):
        _, _, q3 = curve_point(estimand, limit, start)
        if q3 <= wide and not start < kink < high:
            break
        start = 0.5 * (start + high)
    if not rows_suffice(steps, first, last, n, estimand, limit, start, high, neglect):
        return math.nan
    ellipses = np.empty((ELLIPSES, 2))
    work = np.empty((PANEL_ROWS, END_NODES))
    c = np.empty(END_NODES)
    slopes = np.empty(END_NODES)
    ellipse_bounds(estimand, limit, n, start, high, ellipses)
    largest = chebyshev_coefficients(
        steps, first, last, n, estimand, limit, start, high, END_NODES, neglect, work, c
    )
    negated_derivative(c, END_NODES, slopes)
    rounding = tail_relative_error(n) + 2.0 * ROUNDING * n
    error = slope_error(ellipses, END_NODES)
    error += END_NODES * END_NODES * LEBESGUE * (rounding * largest + neglect)
    # -dq3/du is 2, or the sum of two densities of at most 1/2; x runs over half the panel's length.
    least_slope = 2.0 * share * n * 2.0 / (1.0 - q2) * 0.5 * (high - start)
    proved, _ = series_at_most(slopes, END_NODES, -(least_slope + error))
    return start if proved else math.nan
