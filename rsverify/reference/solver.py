"""A rigorous Buehler bound for small n by branch and bound over the whole simplex region.

Given an outcome set S of the trinomial sample space and an estimand g, the bound is

    θ_L = inf{ L : sup_{g(q) ≤ L} P_q(S) > α }.

This solver decides ``sup ≤ α`` for one L by a global search over the two-dimensional region
{q in the simplex, g(q) ≤ L} and bisects on L. It uses none of the reduction to a curve: S may
be any set, the tail need not be monotone and the maximum may lie anywhere. It is the slow,
independent way against which the fast bounds are compared, n ≤ 30.

Method. In coordinates u (u = q for "difference", u = Φ⁻¹(q) for "probit") the region is a
polygon: u_1 − u_2 ≤ L with u_1 + u_2 ≤ 1, respectively u_1 + u_2 ≤ 0. P_q(S) is a posynomial
in (q_1, q_2, q_3). A box of u is discarded when one of two upper bounds is at most α:

* the natural interval extension, each q_i at its largest;
* the mean-value form P(c) + max_v G·(v − c), with G the interval gradient over the box. It is
  convex in v, so its maximum over the polygon (box ∩ region) is at a vertex. Its excess is
  second order in the box's size, which is what keeps the number of boxes small around a
  maximizer that is only 1e-12 below α.

A feasible center c with P(c) > α ends the search at once (the paper's Lemma 1).

Rounding. One limit takes up to some 100,000 boxes, each with two sums over S and six of partial
derivatives: compiled floats do that in a second, balls of arb in minutes, so that here, and only
here, errors are bounded by hand. Sums of products of non-negative floats have a relative error
below `_REL`, which every evaluation is multiplied by; polygons are enlarged by `_GAP`, and
gradients are taken over boxes enlarged by more than that. erfc of the C library is taken to be
within 16 units in the last place.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit

_REL = 1e-13  # n ≤ 30: 3·30 multiplications and 496 additions, at 2⁻⁵³ each, below 7e-14
_PHI_REL = 6e-14  # Φ(u), |u| ≤ 30: u/√2 is off by 2⁻⁵³, which erfc multiplies by up to u²/2
_GAP = 1e-14  # enlargement of polygons; their vertices are computed to 1e-15 for |u| ≤ 30
_FAR = 30.0  # |u| beyond this stands for infinity in probit coordinates
_MAX_BOXES = 400_000


@dataclass(frozen=True)
class Bracket:
    """An interval that contains θ_L."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """Return upper − lower, zero where both ends are the same infinity."""
        return 0.0 if self.lower == self.upper else self.upper - self.lower


def outcomes(n: int) -> npt.NDArray[np.int64]:
    """Return the trinomial sample space, shape ((n+1)(n+2)/2, 3), rows (x_1, x_2, x_3)."""
    return np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n - i + 1)])


def multinomials(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return n!/(x_1! x_2! x_3!) of each row; an exact float for n ≤ 30."""
    return np.array(
        [
            float(math.comb(int(a + b + c), int(a)) * math.comb(int(b + c), int(b)))
            for a, b, c in rows
        ]
    )


@njit
def _powers(q: float, table: npt.NDArray[np.float64]) -> None:
    table[0] = 1.0
    for i in range(1, table.size):
        table[i] = table[i - 1] * q


@njit
def _value(
    q1: float,
    q2: float,
    q3: float,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    work: npt.NDArray[np.float64],
) -> float:
    """Return the posynomial Σ w q^x at non-negative q, to relative accuracy `_REL`."""
    _powers(q1, work[0])
    _powers(q2, work[1])
    _powers(q3, work[2])
    total = 0.0
    for i in range(weights.size):
        total += weights[i] * work[0, rows[i, 0]] * work[1, rows[i, 1]] * work[2, rows[i, 2]]
    return total


@njit
def _partials(
    q1: float,
    q2: float,
    q3: float,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    work: npt.NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return the three partial derivatives of the posynomial, q_1, q_2, q_3 independent."""
    _powers(q1, work[0])
    _powers(q2, work[1])
    _powers(q3, work[2])
    d1 = d2 = d3 = 0.0
    for i in range(weights.size):
        a, b, c = rows[i, 0], rows[i, 1], rows[i, 2]
        if a > 0:
            d1 += weights[i] * a * work[0, a - 1] * work[1, b] * work[2, c]
        if b > 0:
            d2 += weights[i] * b * work[0, a] * work[1, b - 1] * work[2, c]
        if c > 0:
            d3 += weights[i] * c * work[0, a] * work[1, b] * work[2, c - 1]
    return d1, d2, d3


@njit
def _cdf_interval(lo: float, hi: float, is_probit: bool) -> tuple[float, float]:
    """Enclose q over u in [lo, hi]."""
    if not is_probit:
        return max(lo, 0.0), min(hi, 1.0)
    low = 0.0 if lo <= -_FAR else 0.5 * math.erfc(-lo / math.sqrt(2.0)) * (1.0 - _PHI_REL)
    high = 1.0 if hi >= _FAR else 0.5 * math.erfc(-hi / math.sqrt(2.0)) * (1.0 + _PHI_REL)
    return low, min(high, 1.0)


@njit
def _density_interval(lo: float, hi: float, is_probit: bool) -> tuple[float, float]:
    """Enclose dq/du over u in [lo, hi]."""
    if not is_probit:
        return 1.0, 1.0
    near = 0.0 if lo <= 0.0 <= hi else min(abs(lo), abs(hi))
    far = max(abs(lo), abs(hi))
    scale = 1.0 / math.sqrt(2.0 * math.pi)
    # exp of −u²/2, off by u²/2 units of 2⁻⁵³ and a few more
    low = scale * math.exp(-0.5 * far * far) * (1.0 - 2 * _PHI_REL)
    return low, scale * math.exp(-0.5 * near * near) * (1.0 + 2 * _PHI_REL)


@njit
def _product(alo: float, ahi: float, blo: float, bhi: float) -> tuple[float, float]:
    """Enclose the product of [alo, ahi] with [blo, bhi], 0 ≤ blo."""
    low = alo * (bhi if alo < 0.0 else blo)
    high = ahi * (bhi if ahi > 0.0 else blo)
    return low - abs(low) * _REL, high + abs(high) * _REL


@njit
def _clip(
    polygon: npt.NDArray[np.float64],
    size: int,
    slope: float,
    level: float,
    out: npt.NDArray[np.float64],
) -> int:
    """Cut the convex polygon by u_1 + slope·u_2 ≤ level into `out`; return its vertex count."""
    count = 0
    for i in range(size):
        j = i + 1 if i + 1 < size else 0
        here = polygon[i, 0] + slope * polygon[i, 1] - level
        there = polygon[j, 0] + slope * polygon[j, 1] - level
        if here <= 0.0:
            out[count] = polygon[i]
            count += 1
        if (here < 0.0 < there) or (there < 0.0 < here):
            share = here / (here - there)
            out[count, 0] = polygon[i, 0] + share * (polygon[j, 0] - polygon[i, 0])
            out[count, 1] = polygon[i, 1] + share * (polygon[j, 1] - polygon[i, 1])
            count += 1
    return count


@njit
def _center(
    vertices: npt.NDArray[np.float64], size: int, level: float, total: float, is_probit: bool
) -> tuple[float, float]:
    """Return a feasible point: midway along the limit's edge if there is one, else the middle."""
    c1 = c2 = e1 = e2 = 0.0
    edge = 0
    for i in range(size):
        c1 += vertices[i, 0]
        c2 += vertices[i, 1]
        if vertices[i, 0] - vertices[i, 1] - level > -1e-13:
            e1 += vertices[i, 0]
            e2 += vertices[i, 1]
            edge += 1
    if edge >= 2:
        c1, c2, size = e1, e2, edge
    c1, c2 = c1 / size, c2 / size
    if c1 + c2 > total - 4 * _GAP:
        c1, c2 = c1 - 4 * _GAP, c2 - 4 * _GAP
    if not is_probit:
        c1, c2 = max(c1, 0.0), max(c2, 0.0)
    # Two floats below c2 + level is below its exact value: c1 − c2 ≤ level holds exactly.
    highest = np.nextafter(np.nextafter(c2 + level, -np.inf), -np.inf)
    if not is_probit and highest < 0.0:  # q_1 = 0 and level < 0: move q_2 instead
        return 0.0, np.nextafter(np.nextafter(-level, np.inf), np.inf)
    return min(c1, highest), c2


@njit
def _at_point(
    c1: float,
    c2: float,
    is_probit: bool,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    work: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Enclose P at one point of the region; a lower end below 0 where it is not surely inside."""
    a1, b1 = _cdf_interval(c1, c1, is_probit)
    a2, b2 = _cdf_interval(c2, c2, is_probit)
    a3 = max(1.0 - b1 - b2 - 4e-16, 0.0)
    b3 = 1.0 - a1 - a2 + 4e-16
    low = _value(a1, a2, a3, rows, weights, work) * (1.0 - _REL)
    high = _value(b1, b2, b3, rows, weights, work) * (1.0 + _REL)
    inside = c1 >= 0.0 and c2 >= 0.0 and 1.0 - c1 - c2 > 4e-16
    if is_probit:
        inside = c1 + c2 < 0.0
    return (low if inside else -1.0), high


@njit
def _bound_box(
    box: tuple[float, float, float, float],
    level: float,
    alpha: float,
    is_probit: bool,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    work: npt.NDArray[np.float64],
    polygon: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Return (upper bound of P over the feasible part of the box, lower bound at one point).

    (−1, −1) where no part of the box is feasible.
    """
    lo1, hi1, lo2, hi2 = box
    total = 0.0 if is_probit else 1.0
    if lo1 - hi2 > level + _GAP or lo1 + lo2 > total + _GAP:
        return -1.0, -1.0
    wide = 8 * _GAP
    a1, b1 = _cdf_interval(lo1 - wide, hi1 + wide, is_probit)
    a2, b2 = _cdf_interval(lo2 - wide, hi2 + wide, is_probit)
    a3 = max(1.0 - b1 - b2 - 4e-16, 0.0)
    b3 = min(1.0 - a1 - a2 + 4e-16, 1.0)
    upper = _value(b1, b2, b3, rows, weights, work) * (1.0 + _REL)
    if upper <= alpha:
        return upper, -1.0
    if is_probit and (min(lo1, lo2) <= -_FAR or max(hi1, hi2) >= _FAR):
        return upper, -1.0  # an unbounded box: no mean-value form

    corners = polygon[0]
    corners[0, 0], corners[0, 1] = lo1, lo2
    corners[1, 0], corners[1, 1] = hi1, lo2
    corners[2, 0], corners[2, 1] = hi1, hi2
    corners[3, 0], corners[3, 1] = lo1, hi2
    size = _clip(corners, 4, -1.0, level + _GAP, polygon[1])
    size = _clip(polygon[1], size, 1.0, total + _GAP, corners)
    if size == 0:
        return -1.0, -1.0
    c1, c2 = _center(corners, size, level, total, is_probit)
    low, high = _at_point(c1, c2, is_probit, rows, weights, work)

    p1, p2, p3 = _partials(a1, a2, a3, rows, weights, work)
    s1, s2, s3 = _partials(b1, b2, b3, rows, weights, work)
    p1, p2, p3 = p1 * (1 - _REL), p2 * (1 - _REL), p3 * (1 - _REL)
    s1, s2, s3 = s1 * (1 + _REL), s2 * (1 + _REL), s3 * (1 + _REL)
    f1, h1 = _density_interval(lo1 - wide, hi1 + wide, is_probit)
    f2, h2 = _density_interval(lo2 - wide, hi2 + wide, is_probit)
    g1lo, g1hi = _product(p1 - s3 - s3 * _REL, s1 - p3 + p3 * _REL, f1, h1)
    g2lo, g2hi = _product(p2 - s3 - s3 * _REL, s2 - p3 + p3 * _REL, f2, h2)
    rise = -np.inf
    for i in range(size):
        d1, d2 = corners[i, 0] - c1, corners[i, 1] - c2
        rise = max(rise, max(g1lo * d1, g1hi * d1) + max(g2lo * d2, g2hi * d2))
    steepest = max(abs(g1lo), abs(g1hi)) + max(abs(g2lo), abs(g2hi))
    mean_value = (high + rise) * (1.0 + 1e-15) + steepest * _GAP
    return min(upper, mean_value), low


@njit
def _exceeds(
    level: float,
    alpha: float,
    is_probit: bool,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    max_boxes: int,
) -> tuple[int, int]:
    """Decide whether the supremum of P over {g ≤ level} exceeds alpha.

    Return (1 exceeds, 0 does not, −1 undecided; number of boxes bounded). Largest bound first.
    """
    work = np.empty((3, rows[0].sum() + 1))
    polygon = np.empty((2, 10, 2))
    ends = (-_FAR, _FAR, -_FAR, _FAR) if is_probit else (0.0, 1.0, 0.0, 1.0)
    heap = [(-2.0, ends[0], ends[1], ends[2], ends[3])]
    boxes = 0
    while len(heap) > 0:
        _, lo1, hi1, lo2, hi2 = heapq.heappop(heap)
        for half in range(2):
            if hi1 - lo1 >= hi2 - lo2:
                middle = 0.5 * (lo1 + hi1)
                box = (lo1, middle, lo2, hi2) if half == 0 else (middle, hi1, lo2, hi2)
            else:
                middle = 0.5 * (lo2 + hi2)
                box = (lo1, hi1, lo2, middle) if half == 0 else (lo1, hi1, middle, hi2)
            upper, low = _bound_box(box, level, alpha, is_probit, rows, weights, work, polygon)
            boxes += 1
            if low > alpha:
                return 1, boxes
            if upper > alpha:
                heapq.heappush(heap, (-upper, box[0], box[1], box[2], box[3]))
        if boxes >= max_boxes:
            return -1, boxes
    return 0, boxes


def tail_exceeds(
    mask: npt.NDArray[np.bool_], n: int, level: float, alpha: float, *, estimand: str
) -> bool | None:
    """Decide rigorously whether ``sup_{g(q) ≤ level} P_q(S) > alpha``.

    Parameters
    ----------
    mask : ndarray of bool
        S, as a choice among the rows of ``outcomes(n)``.
    n : int
        Number of trials, 1 to 30.
    level, alpha : float
        L and the level of the test.
    estimand : {"difference", "probit"}
        g = q_1 − q_2 or Φ⁻¹(q_1) − Φ⁻¹(q_2).

    Returns
    -------
    bool or None
        None where the budget of boxes did not suffice.
    """
    if not 1 <= n <= 30:
        raise ValueError(f"n={n} must be between 1 and 30")
    chosen = outcomes(n)[mask]
    if chosen.size == 0:
        return False
    state, _ = _exceeds(
        level, alpha, estimand == "probit", chosen, multinomials(chosen), _MAX_BOXES
    )
    return None if state < 0 else state == 1


def _decide_near(
    mask: npt.NDArray[np.bool_], n: int, ends: tuple[float, float], alpha: float, estimand: str
) -> tuple[float, bool]:
    """Decide at a level inside `ends`, away from the middle if that is too close to θ_L."""
    lower, upper = ends
    for share in (0.5, 0.3, 0.7):
        level = lower + share * (upper - lower)
        verdict = tail_exceeds(mask, n, level, alpha, estimand=estimand)
        if verdict is not None:
            return level, verdict
    raise ArithmeticError(f"{_MAX_BOXES} boxes did not decide any level inside {ends}")


def buehler_bracket(
    mask: npt.NDArray[np.bool_], n: int, alpha: float, *, estimand: str, width: float = 1e-10
) -> Bracket:
    """Enclose the Buehler bound of the outcome set S in an interval.

    Parameters
    ----------
    mask : ndarray of bool
        S = {T ≥ t}, as a choice among the rows of ``outcomes(n)``; any set is accepted.
    n : int
        Number of trials, 1 to 30.
    alpha : float
        Failure probability of the bound, in (0, 1).
    estimand : {"difference", "probit"}
        g = q_1 − q_2 or Φ⁻¹(q_1) − Φ⁻¹(q_2).
    width : float
        Bisection stops at this width.

    Returns
    -------
    Bracket
        θ_L lies in it, within the stated accuracy of the C library's erfc. Its lower end is
        −inf ("probit") or both ends are −1 ("difference") where the bound is trivial.
    """
    rows = outcomes(n)
    is_probit = estimand == "probit"
    # The margin takes its smallest value at, or in every neighborhood of, one corner; an
    # outcome of S that is certain there makes the bound trivial.
    corner = (rows[:, 0] == 0) & ((rows[:, 1] == 0) | (rows[:, 1] == n))
    if is_probit and mask[corner].any():
        return Bracket(-math.inf, -math.inf)
    if not is_probit and mask[corner & (rows[:, 1] == n)].any():
        return Bracket(-1.0, -1.0)
    lower, upper = (-20.0, 20.0) if is_probit else (-1.0, 1.0)
    if is_probit and tail_exceeds(mask, n, lower, alpha, estimand=estimand) is not False:
        return Bracket(-math.inf, lower)
    if tail_exceeds(mask, n, upper, alpha, estimand=estimand) is not True:
        return Bracket(upper, math.inf if is_probit else upper)
    while upper - lower > width:
        level, verdict = _decide_near(mask, n, (lower, upper), alpha, estimand)
        lower, upper = (lower, level) if verdict else (level, upper)
    return Bracket(lower, upper)
