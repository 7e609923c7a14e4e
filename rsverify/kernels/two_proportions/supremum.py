"""Enclosed supremum of a staircase's probability over a piece of a curve.

On a cell of half-width h around u, f(u + t) = P(S) is within

    f(u) + |f'(u)| h + M (h / r)^2 / (1 - h / r)

for every r > h with |f| <= M on the disc of radius r around u: f is analytic, and the terms of
its Taylor series are at most M (h / r)^k (Cauchy). M is the bound of `curve.disc`: the probability
at a corner of the disc, times a factor of about exp(rho^2 / 2), rho the disc's Fisher radius. So M
is a small multiple of f however small f is, and a few cells per Fisher unit settle a piece.
"""

from __future__ import annotations

import math

from rsverify._core.check import IntArray
from rsverify._core.jit import njit
from rsverify.kernels.two_proportions.curve import (
    LARGEST_RADIUS,
    ODDS_RATIO,
    curve_piece,
    curve_point,
    disc,
    slopes,
    worst_point,
)
from rsverify.kernels.two_proportions.tail import (
    point_tail,
    relative_error,
    staircase_tail,
    window,
)

SLOPE_ERROR = 1e-9
"""Of a derivative, as a share of M / r: its sums are off by up to 3e-11 at n = 100,000, and it is
taken at `worst_point`, up to 6e-10 r away (4e-16, r at least about 1 / (n1 + n2))."""
MOST_CELLS = 2_000_000
SMALLEST_CELL = 1e-13  # share of a disc


@njit
def fisher_scale(estimand: int, limit: float, n1: int, n2: int, u: float) -> float:
    """Return the length of u that is worth a Fisher unit, finite also at the curve's ends."""
    point = curve_point(estimand, limit, u)
    p1, q1, p2, q2 = point
    d1, d2 = slopes(estimand, limit, point)
    if estimand == ODDS_RATIO:
        return min(LARGEST_RADIUS, 1.0 / math.sqrt(n1 * d1 + n2 * d2 + 1e-300))
    return 1.0 / math.sqrt(
        n1 * d1 * d1 / (p1 * q1 + 1.0 / n1) + n2 * d2 * d2 / (p2 * q2 + 1.0 / n2)
    )


@njit
def value_and_slope(
    steps: IntArray, n1: int, n2: int, estimand: int, limit: float, u: float, neglect: float
) -> tuple[float, float]:
    """Return P(S) and its derivative along the curve, neither rounded outward."""
    point = curve_point(estimand, limit, u)
    p1, q1, p2, q2 = point
    first, last, most = window(n1, n2, p1, q1, p2, q2, p2, q2, neglect)
    value, along1, along2 = staircase_tail(steps, first, last, most, n1, n2, p1, q1, p2, q2)
    d1, d2 = slopes(estimand, limit, point)
    return value, d1 * along1 - d2 * along2


@njit
def cell_bound(
    steps: IntArray, n1: int, n2: int, estimand: int, limit: float, u: float, h: float, r: float,
    neglect: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Return an upper bound of P(S) within `h` of u, P(S) at u, and M of the disc of radius r."""
    growth, p1, q1, p2, q2, top, top_rest = disc(estimand, limit, n1, n2, u, r)
    factor = math.exp(growth) * (1.0 + 1e-9)
    largest = factor * (point_tail(steps, n1, n2, p1, q1, p2, q2, neglect) + 2.0 * neglect)
    first, last, most = window(n1, n2, p1, q1, p2, q2, top, top_rest, neglect)
    a, b, c, d = worst_point(estimand, limit, u)
    value, along1, along2 = staircase_tail(steps, first, last, most, n1, n2, a, b, c, d)
    d1, d2 = slopes(estimand, limit, curve_point(estimand, limit, u))
    share = h / r
    slope = abs(d1 * along1 - d2 * along2) * h + SLOPE_ERROR * largest * share
    rest = largest * share * share / (1.0 - share)
    return value + slope + rest + 2.0 * factor * neglect, value, largest


@njit
def proves_at_most(
    steps: IntArray, n1: int, n2: int, estimand: int, limit: float, bound: float, least: float,
    most: float, radius: float, neglect: float,
) -> tuple[bool, float]:  # fmt: skip
    """Try to show that P(S) is at most `bound` on the piece p1 >= least, p2 <= most of a curve.

    Discs have `radius` Fisher units. Returns (True, nan); (False, u) with P(S) above the bound at
    u; or (False, nan) where smaller and smaller cells did not settle it.
    """
    low, high = curve_piece(estimand, limit, n1, n2, bound, least, most)
    if low > high:
        return True, math.nan  # no probabilities of this g are in question
    target = bound * (1.0 - 2.0 * relative_error(n1, n2)) - neglect
    a = low
    share = 0.2
    for _ in range(MOST_CELLS):
        r = radius * fisher_scale(estimand, limit, n1, n2, a)
        h = min(share * r, 0.5 * (high - a))
        u = a + h
        top, value, largest = cell_bound(
            steps, n1, n2, estimand, limit, u, 1.001 * h, r, neglect
        )  # fmt: skip
        if top <= target:
            if u + h >= high or h >= 0.5 * (high - a):
                return True, math.nan
            a = u + h
            # Of the next cell about this much is left for the last term.
            left = max(target - value, 0.0) / largest
            share = min(0.7, max(1.2 * share, 0.8 * math.sqrt(left)))
            continue
        if value > bound:
            return False, u
        share = 0.5 * (h / r)
        if share < SMALLEST_CELL:
            return False, math.nan
    return False, math.nan
