"""The set {T >= T(x)} of outcomes at or above an observed one, for each documented ordering.

Written anew from `docs/theory.md`, "The likelihood-ratio ordering"; in float64, so that an outcome
whose T equals the observed one within rounding is *doubtful*. Each set comes twice: `outer` holds
the doubtful outcomes, which is what a proof needs, and `inner` none, which is what a refutation
needs. Nearly always they are the same.

Rows of the likelihood-ratio set. At a limit t, a curve point u and a row x2 = j, the w1 that makes
u the most likely point of the curve follows from the score equation w1 h1 + w2 h2 = w3 h3 with
h = (dq1, dq2, -dq3) / q; it rises with u, and so does the signed root of the deviance. So a row's
first outcome is found by bisecting u, without any inner search.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, log_ndtr, ndtr, ndtri

from rsverify._core.types import MarginName

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DOUBT = 1e-6
"""Of a vote: closer to an integer, a row's first outcome is doubtful."""
DOUBT_LIMIT = 1e-12
"""Of a limit, relative to 1 + |t|: what an outcome so close is decided by, where it suffices. The
limit's own error is some 1e-14 (a deviance of n votes is off by n / 1e16, its root by less)."""
DOUBT_KEY = 1e-9
"""Of a probability's logarithm or a limit, likewise."""
SMALLEST_Z = 0.1
LARGEST_ALPHA = 0.5
"""The likelihood-ratio limit is one below the estimate up to here; above, T goes without it."""


class Likelihood:
    """The signed root of the deviance on the curve of margin t, for n votes."""

    def __init__(self, estimand: MarginName, n: int, t: float) -> None:
        self.estimand, self.probit, self.n, self.t = estimand, estimand == "probit", n, t
        self.moved = 0.5 + 0.2 * n / (n + 1000) if self.probit else 0.3
        self.total = n - 0.5 + self.moved
        # u = top - v^2; below u = -8 no curve point is likely for as few as half a vote.
        self.top = -t / 2 if self.probit else (1 - abs(t)) / 2
        self.v_max = math.sqrt(self.top + 8 + max(t, 0) if self.probit else self.top)

    def curve(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log q and h, three rows each, at u = top - v^2."""
        u = self.top - v * v
        if self.probit:
            q3 = np.maximum(ndtr(-u - self.t) - ndtr(u), 1e-300)
            logs = np.stack([log_ndtr(u + self.t), log_ndtr(u), np.log(q3)])
            log_pdf = -0.5 * math.log(2 * math.pi) - 0.5 * np.stack([u + self.t, u]) ** 2
            h1, h2 = np.exp(log_pdf - logs[:2])
            h3 = np.exp(log_pdf - logs[2]).sum(axis=0)
        else:
            u = np.maximum(u, 1e-300)
            q = np.stack([u + max(self.t, 0), u + max(-self.t, 0), np.maximum(2 * v * v, 1e-300)])
            logs = np.log(q)
            h1, h2, h3 = 1 / q[0], 1 / q[1], 2 / q[2]
        return logs, np.stack([h1, h2, h3])

    def fitted(self, x2: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the x1 that makes v the fit in its row, and the signed root there."""
        logs, (h1, h2, h3) = self.curve(v)
        w2 = x2 + self.moved
        w13 = self.total - w2
        w1 = (w13 * h3 - w2 * h2) / (h1 + h3)
        w3 = w13 - w1
        return w1 + 0.5, self.root(w1, w2, w3, logs)

    def root(self, w1: FloatArray, w2: FloatArray, w3: FloatArray, logs: FloatArray) -> FloatArray:
        """Return the signed root of the deviance of w from the point with logarithms `logs`."""
        w = np.stack([w1, w2, w3])
        safe = np.where(w > 0, w, 1.0)
        with np.errstate(invalid="ignore"):
            parts = np.where(w > 0, w * (np.log(safe / self.total) - logs), 0.0)
        size = np.sqrt(2 * np.maximum(parts.sum(axis=0), 0))
        # Above the curve w1 / q1 >= w2 / q2.
        up = (w1 > 0) & (np.log(safe[0]) - logs[0] >= np.log(safe[1]) - logs[1])
        return np.where(up, size, np.where(w1 > 0, -size, -np.inf))

    def at(self, x1: int, x2: int) -> float:
        """Return the signed root of one outcome, its nuisance parameter fitted."""
        row = np.array([float(x2)])
        if x1 + x2 == self.n:
            return float(self.ends(row)[0])
        low, high = 1e-12, self.v_max  # x1 falls with v

        def gap(v: float) -> float:
            return float(self.fitted(row, np.array([v]))[0][0]) - x1

        v = brentq(gap, low, high, xtol=1e-14, rtol=1e-14) if gap(low) > 0 > gap(high) else low
        logs, _ = self.curve(np.array([v]))
        w1, w2 = np.array([x1 - 0.5]), row + self.moved
        return float(self.root(w1, w2, self.total - w1 - w2, logs)[0])

    def ends(self, x2: FloatArray) -> FloatArray:
        """Return the signed root of each row's last outcome, which has no vote left."""
        logs, _ = self.curve(np.zeros(1))
        w2 = x2 + self.moved
        w1 = self.total - w2
        return self.root(w1, w2, np.zeros_like(w1), np.repeat(logs, x2.size, axis=1))

    def first(self, x2: FloatArray, z: float) -> FloatArray:
        """Return the real x1 of each row at which the signed root is z."""
        low, high = np.full(x2.size, 1e-12), np.full(x2.size, self.v_max)
        for _ in range(60):
            v = (low + high) / 2
            above = self.fitted(x2, v)[1] >= z
            low, high = np.where(above, v, low), np.where(above, high, v)
        return self.fitted(x2, low)[0]


def likelihood_ratio_limit(estimand: MarginName, x1: int, x2: int, n: int, z: float) -> float:
    """Return the t at which the signed root of an outcome is z."""
    low, high = (-1 + 1e-15, 1 - 1e-15) if estimand == "difference" else (-12.0, 12.0)

    def excess(t: float) -> float:
        return Likelihood(estimand, n, t).at(x1, x2) - z

    if x1 == 0 or excess(low) <= 0:
        return -1.0 if estimand == "difference" else -math.inf
    return float(brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def cp_lower(k: npt.ArrayLike, n: int, alpha: float) -> FloatArray:
    """Return the Clopper-Pearson lower limits of k successes of n."""
    k = np.asarray(k, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)


def margin(estimand: MarginName, p: FloatArray, u: FloatArray) -> FloatArray:
    """Return the margin of p over u."""
    return p - u if estimand == "difference" else ndtri(p) - ndtri(u)


def nested_level(alpha: float) -> float:
    """Return the level whose ordering the nested one has at alpha: the largest such up to it."""
    digits = ("1", "1.25", "1.5", "2", "2.5", "3", "4", "5", "6", "8")
    levels = (float(f"{d}e{power}") for power in range(-12, 0) for d in digits)
    return max(level for level in levels if level <= alpha)


Sets = tuple[IntArray, IntArray]
"""The smallest x1 of each row from x2 = 0 on, of the outer and of the inner set."""


def default_sets(estimand: MarginName, x1: int, x2: int, n: int, alpha: float) -> Sets:
    """Return {T >= T(x)} of the default ordering.

    T is the maximum of the likelihood-ratio limit, of Cohen's limit, of min(Bonferroni's, 0) and,
    for the difference, of the lower limit of -p2. Above alpha = 1/2 it is the larger of Cohen's
    and Bonferroni's limits; where both are below 0, that of -p2 counts as well.
    """
    if alpha > LARGEST_ALPHA:
        return _sets_of_valid_limits(estimand, x1, x2, n, alpha)
    z = max(SMALLEST_Z, float(-ndtri(alpha)))
    ratio = likelihood_ratio_limit(estimand, x1, x2, n, z)
    p = cp_lower(x1, n, alpha)
    cohen = float(margin(estimand, p, 1 - p)) if x1 else ratio
    t = max(ratio, cohen)
    if t < 0:
        t = max(
            t,
            min(
                float(bonferroni_limits(estimand, n, alpha, np.array([x1]), np.array([x2]))[0]), 0.0
            ),
        )
        if estimand == "difference":
            t = max(t, -float(1 - cp_lower(n - x2, n, alpha)))
    rows = np.arange(n + 1)
    outer, inner = _first_with_cohen(estimand, n, alpha, t)
    if cohen == t:  # then all outcomes with as many votes are tied, exactly
        inner = min(inner, x1)
    parts: list[Sets] = [
        _likelihood_rows(Likelihood(estimand, n, t), z, n),
        (np.full(n + 1, outer), np.full(n + 1, inner)),
    ]
    if t <= 0:
        parts += _parts_below_zero(estimand, n, alpha, t, rows)
    first, second = (np.minimum.reduce([part[i] for part in parts]) for i in (0, 1))
    return _finished(first, x1, x2, n), _finished(second, x1, x2, n)


def _sets_of_valid_limits(estimand: MarginName, x1: int, x2: int, n: int, alpha: float) -> Sets:
    """Return {T >= T(x)} of the default ordering above alpha = 1/2."""
    rows = np.arange(n + 1)
    tables = bonferroni_tables(estimand, n, alpha)
    a, b, c = tables
    p = cp_lower(x1, n, alpha)
    cohen = float(margin(estimand, p, 1 - p)) if x1 else -math.inf
    t = max(float(max(a[x1] - b[x2], c[x1])), cohen)
    if t < 0 and estimand == "difference":
        t = max(t, -float(1 - cp_lower(n - x2, n, alpha)))
    outer, inner = _first_with_cohen(estimand, n, alpha, t)
    if cohen == t:  # then all outcomes with as many votes are tied, exactly
        inner = min(inner, x1)
    parts: list[Sets] = [
        (np.full(n + 1, outer), np.full(n + 1, inner)),
        _table_rows(tables, t),
    ]
    if t <= 0 and estimand == "difference":
        parts.append(_rows_of_runner_up(n, alpha, t, rows))
    first, second = (np.minimum.reduce([part[i] for part in parts]) for i in (0, 1))
    return _finished(first, x1, x2, n), _finished(second, x1, x2, n)


def _likelihood_rows(curve: Likelihood, z: float, n: int) -> Sets:
    """Return the rows of {limit >= t}; n + 1 where one is empty."""
    outer = np.full(n + 1, n + 1)
    inner = outer.copy()
    ends = curve.ends(np.arange(n + 1, dtype=np.float64))
    rows = np.flatnonzero(ends > z - DOUBT_KEY)
    if rows.size:
        x2 = rows.astype(np.float64)
        real = np.minimum(curve.first(x2, z), n - x2)
        outer[rows] = np.maximum(1, np.ceil(real - DOUBT))
        inner[rows] = np.maximum(1, np.ceil(real + DOUBT))
        sure = ends[rows] > z + DOUBT_KEY
        inner[rows] = np.where(sure, np.minimum(inner[rows], n - rows), n + 1)
    for j in np.flatnonzero(outer < inner):
        x1 = int(outer[j])
        gap = likelihood_ratio_limit(curve.estimand, x1, int(j), n, z) - curve.t
        if gap < -DOUBT_LIMIT * (1 + abs(curve.t)):
            outer[j] = x1 + 1 if x1 < n - j else n + 1
        elif gap > DOUBT_LIMIT * (1 + abs(curve.t)):
            inner[j] = x1
    return outer, inner


def _first_with_cohen(estimand: MarginName, n: int, alpha: float, t: float) -> tuple[int, int]:
    """Return the smallest x1 of Cohen limit at least t: doubtful ones counted, and not."""
    p = (1 + t) / 2 if estimand == "difference" else float(ndtr(t / 2))
    k = np.arange(1, n + 1)
    tails = betainc(k, n - k + 1, p)  # P(Bin(n, p) >= k)
    return tuple(  # type: ignore[return-value]
        1 + int(np.count_nonzero(tails > alpha * (1 + s * DOUBT_KEY))) for s in (1, -1)
    )


def bonferroni_limits(
    estimand: MarginName, n: int, alpha: float, x1: IntArray, x2: IntArray
) -> FloatArray:
    """Return Bonferroni's limit of outcomes."""
    p = cp_lower(x1, n, alpha / 2)
    u = 1 - cp_lower(n - x2, n, alpha / 2)
    return margin(estimand, p, np.minimum(u, 1 - p))


def _parts_below_zero(
    estimand: MarginName, n: int, alpha: float, t: float, rows: IntArray
) -> list[Sets]:
    """Return the parts of the default's set that matter for limits below 0 only."""
    parts: list[Sets] = [_table_rows(bonferroni_tables(estimand, n, alpha), t)]
    if estimand == "difference":
        parts.append(_rows_of_runner_up(n, alpha, t, rows))
    return parts


def _rows_of_runner_up(n: int, alpha: float, t: float, rows: IntArray) -> Sets:
    """Return the rows in which the lower limit of -p2 is at least t."""
    gap = -(1 - cp_lower(n - rows, n, alpha)) - t
    outer, inner = (np.where(gap >= sign * DOUBT_KEY, 0, n + 1) for sign in (-1, 1))
    return outer, inner


def bonferroni_tables(estimand: MarginName, n: int, alpha: float) -> tuple[FloatArray, ...]:
    """Return a, b, c with max(a[x1] - b[x2], c[x1]) Bonferroni's limit."""
    k = np.arange(n + 1)
    p = cp_lower(k, n, alpha / 2)
    u = 1 - p[::-1]
    if estimand == "difference":
        return p, u, p - (1 - p)
    return ndtri(p), ndtri(u), 2 * ndtri(p)


def _table_rows(tables: tuple[FloatArray, ...], t: float) -> Sets:
    """Return the rows of {max(a[x1] - b[x2], c[x1]) >= t}, doubtful ones in and out.

    Equal values have equal floats, so that only values near t but not t are doubtful.
    """
    a, b, c = tables
    with np.errstate(invalid="ignore"):
        first = np.searchsorted(a, b + t - DOUBT_KEY)
        sure = np.searchsorted(a, b + t + DOUBT_KEY)
        below = np.maximum(sure - 1, 0)
        sure = np.where((sure > 0) & (a[below] - b == t), below, sure)
    floor, sure_floor = (int(np.searchsorted(c, t + s * DOUBT_KEY)) for s in (-1, 1))
    if np.any(c == t):
        sure_floor = min(sure_floor, int(np.argmax(c == t)))
    return np.minimum(first, floor), np.minimum(sure, sure_floor)


def additive_sets(
    ordering: str, estimand: MarginName, x1: int, x2: int, n: int, alpha: float
) -> Sets:
    """Return {T >= T(x)} of the orderings that are sums of functions of x1 and of x2."""
    if ordering in ("difference", "taylor:0"):
        steps = np.arange(n + 1) + (x1 - x2)
        return (_finished(steps, x1, x2, n),) * 2
    if ordering == "bonferroni":
        tables = bonferroni_tables(estimand, n, alpha)
    else:
        value = taylor_values(n, int(ordering.removeprefix("taylor:")))
        tables = value, value, np.full(n + 1, -np.inf)
    t = max(tables[0][x1] - tables[1][x2], tables[2][x1])
    outer, inner = _table_rows(tables, float(t))
    return _finished(outer, x1, x2, n), _finished(inner, x1, x2, n)


def taylor_values(n: int, order: int) -> FloatArray:
    """Return the Taylor polynomial of probit at k / n, k = 0 to n, up to a factor."""
    e = [1.0]
    for k in range(1, order + 1):
        e.append(sum(e[j] * e[k - 1 - j] / ((j + 1) * (2 * j + 1)) for j in range(k)))
    x = (2 * np.arange(n + 1) - n) / n * math.sqrt(math.pi) / 2
    return np.asarray(sum(c * x ** (2 * k + 1) / (2 * k + 1) for k, c in enumerate(e)))


def _finished(steps: IntArray, x1: int, x2: int, n: int) -> IntArray:
    """Return nonempty rows of an upper set that holds the outcome."""
    steps = np.maximum(np.asarray(steps, dtype=np.int64), 0)
    steps[: x2 + 1] = np.minimum(steps[: x2 + 1], x1)  # the outcome, and what is above it
    # What an upper set must hold besides: a step is at most each of those after it.
    steps = np.minimum.accumulate(steps[::-1])[::-1]
    empty = np.flatnonzero(steps > n - np.arange(n + 1))
    return steps[: empty[0]] if empty.size else steps
