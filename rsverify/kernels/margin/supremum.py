"""Enclosed supremum of a staircase tail over the nuisance parameter of a curve g(q) = L.

Panels and segments
-------------------
The curve is cut into panels. Each panel is covered by a straight segment that no point of
the panel beats: the panel itself (difference), its tangent (probit, L >= 0, where q1 is
concave in q2) cut off at q1 + q2 = 1, or its chord (probit, L < 0, convex). The tail rises
with q1 at fixed q2, so its supremum over the segment is at least that over the panel.

Interpolation
-------------
On a segment q(x) = m + d x, x in [-1, 1], the tail is a polynomial in x and

    |P_{q(x)}(R)| <= (sum_i |q_i(x)|)^n

for complex x. With x on the Bernstein ellipse of parameter rho, A = (rho + 1/rho) / 2,
B = (rho - 1/rho) / 2 and Re x = A v, v in [-1, 1],

    |q_i|^2 = (d_i v + m_i A)^2 - (m_i^2 - d_i^2) B^2,

so |q_i| is concave in v (|d_i| <= m_i) and sum_i |q_i| is at most its tangent at v = 0:

    S(rho) = sum_i s_i + A |sum_i m_i d_i / s_i|,   s_i = sqrt(m_i^2 + d_i^2 B^2).

Interpolation in K Chebyshev points of the first kind is then off by at most
4 S^n rho^-(K-1) / (rho - 1) for every rho > 1, and by nothing where K > n.

Supremum
--------
`proves_at_most` shows "tail <= bound on the whole curve" panel by panel: a corner
argument where the tail is small, otherwise the interpolant's own maximum (bounded by its
derivatives on subintervals) plus the interpolation error plus the tails' rounding error;
panels that fail are halved. It answers with a witness where a point of the curve exceeds
the bound.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, PROBIT
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.trinomial import (
    WORK_ROWS,
    staircase_tail,
    staircase_tails,
    tail_relative_error,
)
from rsverify.kernels.special import norm_ppf

NODES = (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)
MOST_NODES = 32
PANEL = 4.5  # Fisher length of a panel that is interpolated
CORNER_PANEL = 80.0  # Fisher length up to which a corner argument is tried
DEPTH = 64
MOST_PANELS = 8000  # some 2000 at n = 10^6; more where the tail equals the bound over a stretch
ROUNDING = 4e-16
LEBESGUE = 3.3  # of interpolation in up to 32 Chebyshev points: 1 + (2/pi) log(33)


@njit
def tail_at(
    steps: IntArray, n: int, estimand: int, limit: float, u: float, neglect: float
) -> float:
    """Return the tail at the curve's point u."""
    q1, q2, q3 = curve_point(estimand, limit, u)
    return staircase_tail(steps, n, q1, q2, q3, neglect)


@njit
def curve_ends(estimand: int, limit: float, n: int, alpha: float) -> tuple[float, float]:
    """Return the range of u in which the tail can exceed alpha / 2.

    The probit curve runs to u = -infinity; there P(X1 >= 1) <= n q1 bounds the tail of a
    staircase whose steps are at least 1.
    """
    if estimand == DIFFERENCE:
        return 0.0, 0.5 * (1.0 - abs(limit))
    return norm_ppf(0.5 * alpha / n) - limit, -0.5 * limit


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
def covering_segment(
    estimand: int, limit: float, low: float, high: float, ends: FloatArray
) -> None:
    """Write the segment's ends, as rows (q1, q2, q3), to the 2 x 3 array `ends`."""
    a1, a2, a3 = curve_point(estimand, limit, low)
    b1, b2, b3 = curve_point(estimand, limit, high)
    if estimand == PROBIT and limit > 0.0:
        middle = 0.5 * (low + high)
        m1, m2, _ = curve_point(estimand, limit, middle)
        # phi(u + L) / phi(u), without the quotient of two underflows.
        slope = math.exp(-limit * (middle + 0.5 * limit))
        a1 = max(a1, m1 + slope * (a2 - m2))
        b1 = max(b1, m1 + slope * (b2 - m2))
        a1 *= 1.0 + ROUNDING
        b1 *= 1.0 + ROUNDING
        if a1 + a2 > 1.0:
            a1 = 1.0 - a2
        if b1 + b2 > 1.0:
            b2 = max(a2, (1.0 - m1 + slope * m2) / (1.0 + slope))
            b1 = 1.0 - b2
        a3 = max(0.0, 1.0 - a1 - a2)
        b3 = max(0.0, 1.0 - b1 - b2)
    ends[0, 0], ends[0, 1], ends[0, 2] = a1, a2, a3
    ends[1, 0], ends[1, 1], ends[1, 2] = b1, b2, b3


@njit
def interpolation_error(ends: FloatArray, n: int, nodes: int) -> float:
    """Return a bound on the error of interpolating the tail on the segment in `nodes` points.

    The bound holds for every rho; a short scan around the best imaginary half-axis
    (about sqrt(nodes) Fisher units) picks a good one.
    """
    if nodes > n:
        return 0.0
    fisher = 0.0
    for i in range(3):
        m = 0.5 * (ends[0, i] + ends[1, i])
        d = 0.5 * (ends[1, i] - ends[0, i])
        if m > 0.0:
            fisher += n * d * d / m
    if fisher == 0.0:
        return 0.0
    best = math.inf
    for trial in range(7):
        half_axis = math.sqrt(nodes / fisher) * (0.4 + 0.2 * trial)
        rho = half_axis + math.sqrt(half_axis * half_axis + 1.0)
        a = 0.5 * (rho + 1.0 / rho)
        b = 0.5 * (rho - 1.0 / rho)
        total = -1.0  # sum of |q_i| less 1, gathered without cancellation
        tilt = 0.0
        for i in range(3):
            m = 0.5 * (ends[0, i] + ends[1, i])
            d = 0.5 * (ends[1, i] - ends[0, i])
            s = math.sqrt(m * m + d * d * b * b)
            total += s
            if s > 0.0:
                tilt += m * d / s
        log_bound = (
            n * math.log1p(max(total + a * abs(tilt), 0.0) + 1e-15)
            + math.log(4.0 / (rho - 1.0))
            - (nodes - 1) * math.log(rho)
        )
        best = min(best, log_bound)
    return math.exp(best) if best < 700.0 else math.inf


@njit
def chebyshev_coefficients(
    steps: IntArray,
    n: int,
    ends: FloatArray,
    nodes: int,
    neglect: float,
    work: FloatArray,
    c: FloatArray,
) -> float:
    """Interpolate the tail along the segment; fill `c` and return the largest node value.

    `work` holds the nodes (3 rows), their values (1) and the tail's own working rows.
    """
    points, values = work[:3], work[3]
    for i in range(nodes):
        x = math.cos(math.pi * (2 * i + 1) / (2 * nodes))
        high = 0.5 * (1.0 + x)
        low = 0.5 * (1.0 - x)
        for part in range(3):
            points[part, i] = low * ends[0, part] + high * ends[1, part]
    staircase_tails(steps, n, points, nodes, neglect, work[4:], values)
    largest = 0.0
    for k in range(nodes):
        c[k] = 0.0
    for i in range(nodes):
        x = math.cos(math.pi * (2 * i + 1) / (2 * nodes))
        value = values[i]
        largest = max(largest, value)
        before, now = 1.0, x
        c[0] += value / nodes
        for k in range(1, nodes):
            c[k] += 2.0 * value * now / nodes
            before, now = now, 2.0 * x * now - before
    return largest


@njit
def evaluate_series(c: FloatArray, nodes: int, x: float) -> tuple[float, float]:
    """Return a Chebyshev series and its derivative at x."""
    t_before, t_now = 1.0, x
    s_before, s_now = 0.0, 1.0  # derivatives of t_before and t_now
    value, slope = c[0], 0.0
    for k in range(1, nodes):
        value += c[k] * t_now
        slope += c[k] * s_now
        s_before, s_now = s_now, 2.0 * t_now + 2.0 * x * s_now - s_before
        t_before, t_now = t_now, 2.0 * x * t_now - t_before
    return value, slope


@njit
def series_at_most(c: FloatArray, nodes: int, bound: float) -> tuple[bool, float]:
    """Try to show that a Chebyshev series is at most `bound` on [-1, 1].

    On a subinterval of half-width h around x it is at most
    p(x) + |p'(x)| h + h^2/2 sum_k |c_k| max|T_k''|, with max|T_k''| = k^2 (k^2 - 1) / 3.
    Returns the answer and the point where it failed.
    """
    curvature = 0.0
    size = 0.0
    for k in range(nodes):
        size += abs(c[k])
        curvature += abs(c[k]) * k * k * (k * k - 1.0) / 3.0
    slack = bound - 4.0 * ROUNDING * nodes * nodes * size
    # Subintervals from the left; each is as wide as the current step allows.
    x = -1.0
    half = 0.25
    while True:
        last = half >= 0.5 * (1.0 - x)
        if last:
            half = 0.5 * (1.0 - x)
        middle = x + half
        value, slope = evaluate_series(c, nodes, middle)
        if value + abs(slope) * half + 0.5 * curvature * half * half <= slack:
            if last:
                return True, 0.0
            x = middle + half
            half *= 2.0
        else:
            half *= 0.5
            if half < 1e-12 or value > slack:
                return False, middle


@njit
def proves_at_most(
    steps: IntArray,
    n: int,
    estimand: int,
    limit: float,
    bound: float,
    resolution: float,
    neglect: float,
) -> tuple[bool, float]:
    """Try to show that the tail is at most `bound` along the whole curve g(q) = limit.

    `resolution` is the error that a panel near the maximum should be brought below.
    Returns (True, nan), or False with a nuisance parameter at which the tail exceeds the
    bound, or False with nan where halving did not settle it.
    """
    rounding = tail_relative_error(n) + 2.0 * ROUNDING * n
    target = (bound - neglect) / (1.0 + rounding)
    low, high = curve_ends(estimand, limit, n, bound)
    if not low < high:
        return curve_is_a_point(steps, n, estimand, limit, target, high, neglect)
    stack = np.empty((2 * DEPTH, 2))
    ends = np.empty((2, 3))
    c = np.empty(MOST_NODES)
    work = np.empty((4 + WORK_ROWS, MOST_NODES))
    stack[0, 0], stack[0, 1] = low, high
    size = 1
    panels = 0
    while size > 0:
        size -= 1
        panels += 1
        if panels > MOST_PANELS:
            return False, math.nan
        a, b = stack[size, 0], stack[size, 1]
        middle = 0.5 * (a + b)
        length = fisher_length(estimand, limit, n, a, b)
        if (length <= CORNER_PANEL and length > PANEL) or length < 1e-9:
            b1, _, _ = curve_point(estimand, limit, b)
            _, a2, _ = curve_point(estimand, limit, a)
            b1 = min(b1, 1.0 - a2)
            if staircase_tail(steps, n, b1, a2, max(0.0, 1.0 - b1 - a2), neglect) <= target:
                continue
        if length <= PANEL:
            value = tail_at(steps, n, estimand, limit, middle, neglect)
            if value > target:
                return False, middle
            covering_segment(estimand, limit, a, b, ends)
            wanted = max(0.1 * (target - value), resolution)
            for nodes in NODES:
                error = interpolation_error(ends, n, nodes)
                if error <= wanted:
                    break
            if error <= wanted:
                largest = chebyshev_coefficients(steps, n, ends, nodes, neglect, work, c)
                error += LEBESGUE * rounding * largest
                proved, x = series_at_most(c, nodes, target - error)
                if proved:
                    continue
                u = middle + 0.5 * x * (b - a)
                if tail_at(steps, n, estimand, limit, u, neglect) > target:
                    return False, u
        if size + 2 > 2 * DEPTH or not a < middle < b or length < 1e-9:
            return False, math.nan
        stack[size, 0], stack[size, 1] = middle, b
        stack[size + 1, 0], stack[size + 1, 1] = a, middle
        size += 2
    return True, math.nan


@njit
def curve_is_a_point(
    steps: IntArray,
    n: int,
    estimand: int,
    limit: float,
    target: float,
    u: float,
    neglect: float,
) -> tuple[bool, float]:
    """Return whether the tail at the curve's only point, or at its end u, is at most target."""
    if tail_at(steps, n, estimand, limit, u, neglect) > target:
        return False, u
    return True, math.nan
