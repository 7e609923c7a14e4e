"""Enclosed supremum of a staircase tail over a piece of a curve g(q) = L.

`proves_at_most` shows "tail <= bound on the whole piece" from its low to its high end. Where the
tail is small a stretch is settled by the tail at its corner, the largest q1 and the smallest q2.
Elsewhere a panel is settled by the maximum of its interpolant (bounded by its derivatives on
subintervals) plus the interpolation error plus the rounding error of the tails; one that fails is
halved. It answers with a witness where a point of the piece exceeds the bound.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.curve import (
    advance,
    corner_tail,
    curve_piece,
    rows_suffice,
    tail_at,
)
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.panels import (
    ELLIPSES,
    LEBESGUE,
    MOST_NODES,
    PANEL_ROWS,
    ROUNDING,
    chebyshev_coefficients,
    ellipse_bounds,
    interpolation_error,
    series_at_most,
)
from rsverify.kernels.margin.quantiles import curve_kink
from rsverify.kernels.margin.trinomial import staircase_tails, tail_relative_error

PANEL = 5.0  # Fisher length of a panel that is interpolated
LONGEST = 80.0  # Fisher length up to which a corner settles a stretch
SHORTEST = 1e-9  # Fisher length of a panel that is not halved again
FAR_BELOW = 0.05  # share of the bound below which longer stretches are tried
MOST_PANELS = 8000  # some 2000 at n = 10^6; more where the tail equals the bound over a stretch
ROWS_MISSING = math.inf


@njit
def largest_of_three(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    neglect: float,
    work: FloatArray,
) -> tuple[float, float]:
    """Return the largest tail at a panel's ends and middle, and its place."""
    points, values = work[:3], work[3]
    for i in range(3):
        u = low + 0.5 * i * (high - low)
        points[0, i], points[1, i], points[2, i] = curve_point(estimand, limit, u)
    staircase_tails(steps, first, last, n, points, 3, neglect, work[4:], values)
    at = 0
    for i in range(1, 3):
        if values[i] > values[at]:
            at = i
    return values[at], low + 0.5 * at * (high - low)


@njit
def panel_at_most(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    target: float,
    wanted: float,
    rounding: float,
    neglect: float,
    work: FloatArray,
    c: FloatArray,
    ellipses: FloatArray,
) -> tuple[bool, float]:
    """Try to show that the tail is at most `target` on a panel; else return where it may not be.

    Interpolates in as few points as make the error at most `wanted`. The place is NaN where no
    number of points does.
    """
    nodes = 4
    error = math.inf
    if estimand == DIFFERENCE and n < MOST_NODES - 1:
        nodes, error = n + 1, 0.0  # a polynomial of degree n
    else:
        ellipse_bounds(estimand, limit, n, low, high, ellipses)
        while nodes <= MOST_NODES:
            error = interpolation_error(ellipses, nodes)
            if error <= wanted:
                break
            nodes += 2
    if error > wanted:
        return False, math.nan
    largest = chebyshev_coefficients(
        steps, first, last, n, estimand, limit, low, high, nodes, neglect, work, c
    )
    proved, x = series_at_most(c, nodes, target - error - LEBESGUE * rounding * largest)
    return proved, 0.5 * (low + high) + 0.5 * x * (high - low)


@njit
def proves_at_most(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    bound: float,
    least: float,
    most: float,
    resolution: float,
    peak: float,
    neglect: float,
    stop: float,
) -> tuple[bool, float]:
    """Try to show that the tail is at most `bound` on the piece q1 >= least, q2 <= most, u <= stop.

    Only the rows `first` to `last` of `steps` are read. Near the supposed maximum `peak` (NaN if
    unknown) panels are resolved to `resolution`. Returns (True, nan); or False with a nuisance
    parameter at which the tail exceeds the bound; or False with infinity where the rows given
    leave out more than `neglect`; or False with NaN where halving did not settle it.
    """
    rounding = tail_relative_error(n) + 2.0 * ROUNDING * n
    target = (bound - neglect) / (1.0 + rounding)
    low, high = curve_piece(estimand, limit, n, bound, least, most)
    high = min(high, stop)
    if low > high:
        return True, math.nan  # no q of this margin is in question
    if not rows_suffice(steps, first, last, n, estimand, limit, low, high, neglect):
        return False, ROWS_MISSING
    if not low < high:
        if tail_at(steps, first, last, n, estimand, limit, high, neglect) > target:
            return False, high
        return True, math.nan
    kink = curve_kink(estimand, limit)
    c = np.empty(MOST_NODES)
    ellipses = np.empty((ELLIPSES, 2))
    work = np.empty((PANEL_ROWS, MOST_NODES))
    a = low
    width = high - low
    reach = PANEL
    for _ in range(MOST_PANELS):
        b = advance(estimand, limit, n, a, high, reach, width)
        if a < kink < b:
            b = kink  # no panel holds it inside: the tail is analytic on either side only
        width = b - a
        if not width > 0.0:
            return False, math.nan
        if reach > PANEL:
            if corner_tail(steps, first, last, n, estimand, limit, a, b, neglect) <= target:
                reach = min(LONGEST, 2.0 * reach)
            else:
                reach = max(PANEL, 0.25 * reach)
                continue
        else:
            value, u = largest_of_three(steps, first, last, n, estimand, limit, a, b, neglect, work)
            if value > target:
                return False, u
            wanted = max(0.1 * (target - value), resolution)
            if a <= peak <= b or reach < PANEL:
                wanted = resolution
            proved, u = panel_at_most(
                steps, first, last, n, estimand, limit, a, b,
                target, wanted, rounding, neglect, work, c, ellipses,
            )  # fmt: skip
            if not proved:
                if not math.isnan(u) and (
                    tail_at(steps, first, last, n, estimand, limit, u, neglect) > target
                ):
                    return False, u
                if corner_tail(steps, first, last, n, estimand, limit, a, b, neglect) > target:
                    reach *= 0.5
                    if reach < SHORTEST:
                        return False, math.nan
                    continue
            reach = 4.0 * PANEL if value < FAR_BELOW * target else min(PANEL, 2.0 * reach)
        if b >= high:
            return True, math.nan
        a = b
    return False, math.nan
