"""Pieces of a curve g(q) = L, and the tail of a staircase on them.

A piece is a range of the nuisance parameter u of `ordering.curve_point`. Both q1 and q2 rise
with u, so the part of the curve with q1 >= `least` and q2 <= `most` is a piece; `least` = 0 and
`most` = 1 leave the whole curve.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.quantiles import quantile_ppf
from rsverify.kernels.margin.trinomial import window_covers, window_tail

PAD = 1e-14  # relative to 1 + |u|: pieces are taken larger by more than the rounding of their ends


@njit
def curve_piece(
    estimand: int, limit: float, n: int, alpha: float, least: float, most: float
) -> tuple[float, float]:
    """Return the range of u with q1 >= `least` and q2 <= `most`; low > high where there is none.

    Probit and Laplace curves run to u = -infinity. They are cut where n q1 = alpha / 2: below, the
    tail of a staircase whose steps are at least 1 is at most P(X1 >= 1) <= n q1.
    """
    if estimand == DIFFERENCE:
        low = max(0.0, least - max(limit, 0.0) - PAD)
        high = most - max(-limit, 0.0) + PAD
        return low, min(high, 0.5 * (1.0 - abs(limit)))
    low = quantile_ppf(estimand, max(least, 0.5 * alpha / n)) - limit
    low -= PAD * (1.0 + abs(low) + abs(limit))
    high = -0.5 * limit
    if most < 1.0:
        end = quantile_ppf(estimand, most)
        high = min(high, end + PAD * (1.0 + abs(end)))
    return low, high


@njit
def fisher_length(estimand: int, limit: float, n: int, low: float, high: float) -> float:
    """Return the Fisher length of the chord between two points of the curve."""
    a1, a2, a3 = curve_point(estimand, limit, low)
    b1, b2, b3 = curve_point(estimand, limit, high)
    square = (
        (math.sqrt(a1) - math.sqrt(b1)) ** 2
        + (math.sqrt(a2) - math.sqrt(b2)) ** 2
        + (math.sqrt(a3) - math.sqrt(b3)) ** 2
    )
    return 2.0 * math.sqrt(n * square)


@njit
def tail_at(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    u: float,
    neglect: float,
) -> float:
    """Return the tail at the curve's point u, from the rows of a window."""
    q1, q2, q3 = curve_point(estimand, limit, u)
    return window_tail(steps, first, last, n, q1, q2, q3, neglect)


@njit
def corner_tail(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    neglect: float,
) -> float:
    """Return the tail at the largest q1 and the smallest q2 of a piece: none of it is higher."""
    q1, _, _ = curve_point(estimand, limit, high)
    p1, q2, p3 = curve_point(estimand, limit, low)
    rest = p1 + p3  # exact also where q2 is next to 1
    q1 = min(q1, rest)
    return window_tail(steps, first, last, n, q1, q2, rest - q1, neglect)


@njit
def rows_suffice(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    neglect: float,
) -> bool:
    """Return whether the window's rows hold all but `neglect` at every point of a piece."""
    ends = np.empty((2, 3))
    ends[0, 0], ends[0, 1], ends[0, 2] = curve_point(estimand, limit, low)
    ends[1, 0], ends[1, 1], ends[1, 2] = curve_point(estimand, limit, high)
    return window_covers(steps, first, last, n, ends[0], ends[1], neglect)


@njit
def advance(
    estimand: int, limit: float, n: int, low: float, high: float, reach: float, width: float
) -> float:
    """Return a point up to `high` some Fisher length `reach` beyond `low`; a guess is `width`."""
    end = min(high, low + width)
    for _ in range(8):
        length = fisher_length(estimand, limit, n, low, end)
        if length > 1.05 * reach:
            width = (end - low) * max(0.1, 0.97 * reach / length)
        elif length < 0.7 * reach and end < high:
            width = (end - low) * min(8.0, 0.9 * reach / max(length, 0.01 * reach))
        else:
            break
        end = min(high, low + width)
    return end
