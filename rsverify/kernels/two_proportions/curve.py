"""Curves g(p1, p2) = limit, their pieces, and discs around their points.

g rises with p1 and falls with p2. `limit` is g itself for the difference and its logarithm for
the ratio and the odds ratio. A curve is described by one nuisance parameter u, with which both
p1 and p2 rise:

    difference:  u = min(p1, p2), p1 - p2 = limit
    ratio:       u = max(p1, p2), p1 = exp(limit) p2
    odds ratio:  u = logit(p2),   logit(p1) = limit + u

Discs
-----
P(S) is a polynomial in p1 and p2. For complex values with |p1 - c1| <= r1 and |p2 - c2| <= r2,

    |P(S)| <= s1^n1 s2^n2 P(S at the tilted probabilities),   s = |p| + |1 - p|,

the tilted one being |p| / s. Its odds |p| / |1 - p| are largest at c + r and smallest at c - r.
S is an upper set, so its probability there is at most that at (c1 + r1, c2 - r2). As for s,
on the disc around c with Re p = c + x,

    s <= sqrt(c^2 + r^2 + 2 c x) + sqrt(d^2 + r^2 - 2 d x),   d = 1 - c,

which is concave in x: its largest value is sqrt(1 + r^2 / (c d)), or, where that is beyond
x = -r or r, 1 + 2 (r - min(c, d)). On a disc of radius r < 2 around logit(c), with |p| / s = t and
y the imaginary part, 1 / s^2 = 1 - 4 t (1 - t) sin^2(y / 2) >= 1 - t (1 - t) r^2.
"""

from __future__ import annotations

import math

from rsverify._core.jit import njit
from rsverify.kernels.rounding import next_down, next_up

DIFFERENCE = 0
RATIO = 1
ODDS_RATIO = 2
PAD = 1e-14  # relative to 1 + |u|: pieces are taken larger by more than the rounding of their ends
LARGEST_LOG = 700.0  # of a ratio or an odds ratio
LARGEST_RADIUS = 1.0  # of a disc of logits


@njit
def expit(x: float) -> tuple[float, float]:
    """Return p with logit(p) = x, and 1 - p, each to relative accuracy."""
    e = math.exp(-abs(x))
    small, large = e / (1.0 + e), 1.0 / (1.0 + e)
    return (large, small) if x >= 0.0 else (small, large)


@njit
def curve_point(estimand: int, limit: float, u: float) -> tuple[float, float, float, float]:
    """Return p1, 1 - p1, p2, 1 - p2 at u."""
    if estimand == ODDS_RATIO:
        p1, q1 = expit(u + limit)
        p2, q2 = expit(u)
        return p1, q1, p2, q2
    if estimand == DIFFERENCE:
        large, rest = u + abs(limit), max(0.0, (1.0 - abs(limit)) - u)
        small, small_rest = u, 1.0 - u
    else:
        large, rest = u, 1.0 - u
        small = u * math.exp(-abs(limit))
        small_rest = 1.0 - small
    if limit >= 0.0:
        return large, rest, small, small_rest
    return small, small_rest, large, rest


@njit
def raise_first(p: float, q: float) -> tuple[float, float]:
    """Return p and q = 1 - p with p larger by more than the rounding of `curve_point`.

    A p up to 1/2 is off by a part of itself. A q below 1/2 may be a difference, off by 1e-16.
    """
    if p <= 0.5:
        p = min(0.5 + 1e-15, p * (1.0 + 4e-15))
        return p, 1.0 - p
    q = max(0.0, q * (1.0 - 4e-15) - 4e-16)
    return 1.0 - q, q


@njit
def lower_second(p: float, q: float) -> tuple[float, float]:
    """Return p and q = 1 - p with p smaller by more than the rounding of `curve_point`.

    No p above 0 becomes 0, where the derivatives would be lost.
    """
    if p <= 0.5:
        p *= 1.0 - 4e-15
        return p, 1.0 - p
    q = q * (1.0 + 4e-15) + 4e-16
    return 1.0 - q, q


@njit
def worst_point(estimand: int, limit: float, u: float) -> tuple[float, float, float, float]:
    """Return `curve_point` with p1 rounded up and p2 down: P(S) is no less than on the curve."""
    p1, q1, p2, q2 = curve_point(estimand, limit, u)
    if estimand == ODDS_RATIO:  # the arguments of expit are off by 1e-16 of |u| + |limit|
        grown = 4e-16 * (2.0 + abs(u) + abs(limit))
        p1, q1 = expit(u + limit + grown)
        p2, q2 = expit(u - grown)
        return p1, q1, p2, q2
    p1, q1 = raise_first(p1, q1)
    p2, q2 = lower_second(p2, q2)
    return p1, q1, p2, q2


@njit
def curve_piece(
    estimand: int, limit: float, n1: int, n2: int, alpha: float, least: float, most: float
) -> tuple[float, float]:
    """Return the range of u with p1 >= `least` and p2 <= `most`; low > high where there is none.

    Curves of ratios run to p1 = p2 = 0, and those of odds ratios to 1 as well. They are cut where
    n1 p1 or n2 (1 - p2) is alpha / 2: S has no outcome with x1 = 0, nor, for the odds ratio, one
    with x2 = n2, so beyond the cuts its probability is at most alpha / 2.
    """
    if estimand == DIFFERENCE:
        low = max(0.0, least - max(limit, 0.0) - PAD)
        return low, min(most - max(-limit, 0.0) + PAD, 1.0 - abs(limit))
    least = max(least, 0.5 * alpha / n1)
    if estimand == RATIO:
        low = least * (1.0 - PAD) * math.exp(max(-limit, 0.0))
        return low, min(most * (1.0 + PAD) * math.exp(max(limit, 0.0)), 1.0)
    rest = max(1.0 - most, 0.5 * alpha / n2)
    low = math.log(least / (1.0 - least)) - limit
    high = math.log((1.0 - rest) / rest)
    pad = PAD * (10.0 + abs(low) + abs(high) + abs(limit))
    return low - pad, high + pad


@njit
def slopes(
    estimand: int, limit: float, point: tuple[float, float, float, float]
) -> tuple[float, float]:
    """Return dp1/du and dp2/du."""
    p1, q1, p2, q2 = point
    if estimand == DIFFERENCE:
        return 1.0, 1.0
    if estimand == RATIO:
        small = math.exp(-abs(limit))
        return (1.0, small) if limit >= 0.0 else (small, 1.0)
    return p1 * q1, p2 * q2


@njit
def growth(n: int, p: float, q: float, r: float) -> float:
    """Return a bound of n log(|p| + |1 - p|) on a disc of radius r around p = 1 - q."""
    if r * abs(q - p) > 2.0 * p * q:
        return n * math.log1p(2.0 * max(0.0, r - min(p, q)))
    return 0.5 * n * math.log1p(r * r / (p * q))


@njit
def logit_growth(n: int, x: float, r: float) -> float:
    """Return the same on a disc of radius r < 2 around logit(p) = x."""
    p, q = expit(max(abs(x) - r, 0.0))
    return -0.5 * n * math.log1p(-p * q * r * r)


@njit
def disc(
    estimand: int, limit: float, n1: int, n2: int, u: float, r: float
) -> tuple[float, float, float, float, float, float, float]:
    """Return a bound of n1 log s1 + n2 log s2 on a disc, and what the probabilities are within.

    In order: the bound; p1 and 1 - p1 at most; p2 and 1 - p2 at least; p2 and 1 - p2 at most.
    """
    if estimand == ODDS_RATIO:
        bound = logit_growth(n1, u + limit, r) + logit_growth(n2, u, r)
        p1, q1 = expit(u + limit + r)
        p2, q2 = expit(u - r)
        top, top_rest = expit(u + r)
        return bound, p1, q1, p2, q2, top, top_rest
    point = curve_point(estimand, limit, u)
    p1, q1, p2, q2 = point
    d1, d2 = slopes(estimand, limit, point)
    r1, r2 = next_up(d1 * r), next_up(d2 * r)
    bound = growth(n1, p1, q1, r1) + growth(n2, p2, q2, r2)
    p1, q1 = min(1.0, p1 + r1), max(0.0, q1 - r1)
    top, top_rest = min(1.0, p2 + r2), max(0.0, q2 - r2)
    return bound, p1, q1, max(0.0, p2 - r2), min(1.0, q2 + r2), top, top_rest


@njit
def value_of_limit(estimand: int, limit: float) -> float:
    """Return g of a curve, rounded down."""
    if estimand == DIFFERENCE:
        return limit
    return next_down(next_down(math.exp(limit)))
