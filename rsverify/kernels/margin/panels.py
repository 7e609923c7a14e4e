"""The tail of a staircase along a panel of the curve, as a polynomial with an error bound.

Interpolation
-------------
On a panel u(x) = m + h x, x in [-1, 1], the tail is an analytic function of x, and

    |P_{q(x)}(R)| <= (sum_i |q_i(x)|)^n

for complex x. Interpolation in K Chebyshev points of the first kind is off by at most
4 S^n rho^-(K-1) / (rho - 1) for every rho > 1, with S the largest sum on the Bernstein ellipse
x = A cos(t) + i B sin(t), A = (rho + 1/rho) / 2, B = (rho - 1/rho) / 2.

Difference
----------
q(x) = m + d x is linear, |d_i| <= m_i. With Re x = A v, v in [-1, 1],

    |q_i|^2 = (d_i v + m_i A)^2 - (m_i^2 - d_i^2) B^2,

so |q_i| is concave in v and sum_i |q_i| is at most its tangent at v = 0:

    S <= sum_i s_i + A |sum_i m_i d_i / s_i|,   s_i = sqrt(m_i^2 + d_i^2 B^2).

The tail is a polynomial of degree n, so that interpolation is exact where K > n.

Probit
------
With phi(z + it) = phi(z) exp(t^2 / 2 - izt),

    Phi(z + iy) = Phi(z) + phi(z) int_0^y exp(t^2 / 2) (sin(zt) + i cos(zt)) dt,

so the imaginary part is at most |y| phi(z) exp(y^2 / 2) and the real part is off Phi(z) by at
most |z| phi(z) y^2 exp(y^2 / 2) / 2. As sum_i Re q_i = 1,

    sum_i |q_i| = 1 + sum_i (|q_i| - Re q_i),

a sum of terms that fall with Re q_i and rise with |Im q_i|. The upper half of the ellipse is cut
into `ARCS` arcs, and each of these parts is bounded on the box around an arc. The lower half
mirrors it.

Laplace
-------
On one side of its kink (`quantiles.curve_kink`) each of q1 and q2 is e = exp(u + c) / 2 or
1 - exp(-u - c) / 2, and for complex u these are the functions meant, also beyond the kink. With
u = z + it and d the modulus of the exponential, e.g. exp(z + c) / 2,

    |e| - Re e = d (1 - cos t) <= d min(t^2 / 2, 2),    Re(1 - e) >= 1 - d,    |Im e| <= d |t|,

and Re q3 is off its value at z by at most the sum of both d t^2 / 2. The same sum over the same
arcs then bounds sum |q_i|.
"""

from __future__ import annotations

import math

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.quantiles import curve_kink
from rsverify.kernels.margin.trinomial import WORK_ROWS, staircase_tails
from rsverify.kernels.special import norm_cdf, norm_pdf

MOST_NODES = 40
PANEL_ROWS = WORK_ROWS + 4  # of the working array: the nodes (3), their values (1), the tails' own
ARCS = 10
ELLIPSES = 8
ROUNDING = 4e-16
LEBESGUE = 3.4  # of interpolation in up to 40 Chebyshev points: 1 + (2/pi) log(41)


@njit
def linear_excess(
    estimand: int, limit: float, low: float, high: float, a: float, b: float
) -> float:
    """Return a bound of sum |q_i| - 1 on an ellipse around a panel of a difference curve."""
    a1, a2, a3 = curve_point(estimand, limit, low)
    b1, b2, b3 = curve_point(estimand, limit, high)
    total = -1.0  # gathered without cancellation
    tilt = 0.0
    for start, end in ((a1, b1), (a2, b2), (a3, b3)):
        m = 0.5 * (start + end)
        d = 0.5 * (end - start)
        s = math.sqrt(m * m + d * d * b * b)
        total += s
        if s > 0.0:
            tilt += m * d / s
    return max(total + a * abs(tilt), 0.0)


@njit
def real_part_loss(real: float, imaginary: float) -> float:
    """Return the largest |q| - Re q for Re q >= `real` and |Im q| <= `imaginary`."""
    size = math.sqrt(real * real + imaginary * imaginary)
    return imaginary * imaginary / (size + real) if real > 0.0 else size - real


@njit
def arc_excess(limit: float, low: float, high: float, y: float) -> float:
    """Return a bound of sum |q_i| - 1 for u = z + it, z in [low, high] and |t| <= y (probit)."""
    growth = math.exp(0.5 * y * y) * (1.0 + 1e-14)
    rest = max(0.0, norm_cdf(-high - limit) - norm_cdf(high))
    if high > -0.5 * limit:  # beyond the curve's end, where q3 is negative
        rest = norm_cdf(-high - limit) - norm_cdf(high)
    excess = 0.0
    slope = 0.0
    bend = 0.0
    for shift in (limit, 0.0):
        a, b = low + shift, high + shift
        density = norm_pdf(min(max(a, 0.0), b))  # the largest on [a, b]
        imaginary = y * density * growth
        bent = 0.5 * y * imaginary * max(abs(a), abs(b))
        excess += real_part_loss(norm_cdf(a) - bent, imaginary)
        slope += imaginary
        bend += bent
    return excess + real_part_loss(rest - bend, slope)


@njit
def laplace_arc_excess(limit: float, low: float, high: float, y: float, above: bool) -> float:
    """Return `arc_excess` for the Laplace curve, as it is above or below its kink."""
    half_square = 0.5 * y * y
    excess, slope, bend = 0.0, 0.0, 0.0
    rest = 0.0 if above else 1.0
    for k in range(2):
        shift = limit if k == 0 else 0.0
        if above and (limit > 0.0) == (k == 0):  # 1 - exp(-u - shift) / 2
            d = 0.5 * math.exp(-low - shift) * (1.0 + 1e-14)
            excess += real_part_loss(1.0 - d, y * d)
            rest += 0.5 * math.exp(-high - shift)
        else:
            d = 0.5 * math.exp(high + shift) * (1.0 + 1e-14)
            excess += d * min(half_square, 2.0)
            rest -= d
        slope += y * d
        bend += half_square * d
    return excess + real_part_loss(rest - bend, slope)


@njit
def arcs_excess(estimand: int, limit: float, low: float, high: float, a: float, b: float) -> float:
    """Return a bound of sum |q_i| - 1 on an ellipse around a panel of a curve of quantiles."""
    above = 0.5 * (low + high) > curve_kink(estimand, limit)
    middle = 0.5 * (low + high)
    half = 0.5 * (high - low)
    largest = 0.0
    right = middle + half * a
    for k in range(ARCS):
        end = math.pi * (k + 1) / ARCS
        left = middle + half * a * math.cos(end)
        # The sine is largest at the arc's end that is closer to pi / 2.
        near = end if 2 * k + 2 <= ARCS else end - math.pi / ARCS
        y = half * b * (1.0 if 2 * k + 1 == ARCS else math.sin(near))
        pad = 1e-15 * (1.0 + abs(middle))
        y *= 1.0 + 1e-14
        if estimand == LAPLACE:
            excess = laplace_arc_excess(limit, left - pad, right + pad, y, above)
        else:
            excess = arc_excess(limit, left - pad, right + pad, y)
        largest = max(largest, excess)
        right = left
    return largest


@njit
def ellipse_bounds(
    estimand: int, limit: float, n: int, low: float, high: float, ellipses: FloatArray
) -> None:
    """Fill the rows of `ellipses` with log(rho) and log(4 S^n / (rho - 1)), S bounded.

    The best ellipse for K nodes is some sqrt(K) Fisher units high; a few heights serve all K.
    """
    half_length = 0.0
    a1, a2, a3 = curve_point(estimand, limit, low)
    b1, b2, b3 = curve_point(estimand, limit, high)
    for start, end in ((a1, b1), (a2, b2), (a3, b3)):
        if start + end > 0.0:
            half_length += 0.5 * n * (end - start) ** 2 / (start + end)
    lowest = 1.15 / max(math.sqrt(half_length), 1e-8)
    if estimand != DIFFERENCE:
        lowest = min(lowest, 0.8 / (high - low))  # Phi grows like exp(y^2 / 2)
    for k in range(ELLIPSES):
        b = lowest * 1.3**k
        rho = b + math.sqrt(b * b + 1.0)
        a = 0.5 * (rho + 1.0 / rho)
        b = 0.5 * (rho - 1.0 / rho)
        if estimand == DIFFERENCE:
            excess = linear_excess(estimand, limit, low, high, a, b)
        else:
            excess = arcs_excess(estimand, limit, low, high, a, b)
        ellipses[k, 0] = math.log(rho)
        ellipses[k, 1] = n * math.log1p(excess + 2e-15) + math.log(4.0 / (rho - 1.0))


@njit
def interpolation_error(ellipses: FloatArray, nodes: int) -> float:
    """Return a bound on the error of interpolation in `nodes` points, from `ellipse_bounds`."""
    best = math.inf
    for k in range(ELLIPSES):
        best = min(best, ellipses[k, 1] - (nodes - 1) * ellipses[k, 0])
    return math.exp(best) if best < 700.0 else math.inf


@njit
def chebyshev_coefficients(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    nodes: int,
    neglect: float,
    work: FloatArray,
    c: FloatArray,
) -> float:
    """Interpolate the tail on the panel [low, high]; fill `c`, return the largest node value.

    `work` has `PANEL_ROWS` rows of at least `nodes` columns.
    """
    points, values = work[:3], work[3]
    middle = 0.5 * (low + high)
    half = 0.5 * (high - low)
    for i in range(nodes):
        u = middle + half * math.cos(math.pi * (2 * i + 1) / (2 * nodes))
        points[0, i], points[1, i], points[2, i] = curve_point(estimand, limit, u)
    staircase_tails(steps, first, last, n, points, nodes, neglect, work[4:], values)
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
