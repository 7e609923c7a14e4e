"""Exact coverage of bounds of a margin of two trinomial probabilities, by enumeration.

Outcomes are (x1, x2, n - x1 - x2), distributions q = (q1, q2, 1 - q1 - q2), the margin g(q) is
q1 - q2, or the difference of their quantiles. P_q(B > g(q)) is evaluated on the curves
g(q) = B(x) - 0.

For an upper limit over all q, B is first raised to the least function B* >= B that does not
fall when a vote moves 3 -> 1, 2 -> 1 or 2 -> 3. The outcomes {B* >= v} are then closed under
these moves, their probability rises when probability moves alike, and the supremum over
{q : g(q) < v} is that on the curve g = v. On a piece of curves, v between v_lo and v_hi and
the nuisance between a and b, it is at most P({B* >= v_lo}) at (max q1, min q2): branch and
bound over such pieces gives the certified worst case.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from rsverify._core.check import FloatArray
from rsverify._core.jit import njit
from rsverify._core.margin import Margin
from rsverify.auditing.exact.curves import (
    curve_q1,
    curve_q2,
    farthest,
    first_end,
    last_end,
    missed_probability,
    set_probability,
)
from rsverify.auditing.exact.proportion import SUM_ERROR, Place, Worst
from rsverify.auditing.exact.supremum import raised, supremum
from rsverify.auditing.exact.witness import Claims, attained_at, margin_witness
from rsverify.kernels.margin.formulas import PROBIT

LARGEST_TRINOMIAL_N = 400
COARSE_LEVELS, COARSE_POINTS = 160, 48
SEARCH_ROUNDING = 1e-9  # a fall that a root search leaves; the raised table certifies without it


@njit
def _staircase(table: FloatArray, truth: float, steps: npt.NDArray[np.int64]) -> bool:
    """Fill steps[x2] with the least x1 that claims more than `truth`, n + 1 where none does.

    Returns whether all larger x1 claim so too and the steps rise.
    """
    n = table.shape[0] - 1
    for x2 in range(n + 1):
        x1 = n - x2
        while x1 >= 0 and table[x1, x2] > truth:
            x1 -= 1
        steps[x2] = x1 + 1 if x1 < n - x2 else n + 1
        while x1 >= 0:
            if table[x1, x2] > truth:
                return False
            x1 -= 1
        if x2 > 0 and steps[x2] < steps[x2 - 1]:
            return False
    return True


@njit
def _search(
    table: FloatArray,
    values: FloatArray,
    code: int,
    largest: bool,
    log_fact: FloatArray,
    laws: FloatArray,
) -> None:
    """Fill rows of `laws` with (miscoverage, level, nuisance) on a grid just below `values`.

    With `largest`, class 2 must be the more probable of the last two.
    """
    n, points = table.shape[0] - 1, laws.shape[0] // values.size
    steps = np.empty(n + 1, dtype=np.int64)
    for i in range(values.size):
        v = values[i]
        start, end = first_end(v, code), last_end(v, code)
        if code:
            start = max(start, -6.0 if code == PROBIT else -20.0)
        truth = v - 1e-12 * max(1.0, abs(v))
        simple = _staircase(table, truth, steps)  # its sum has n terms, that of others n ** 2 / 2
        for j in range(points):
            s = start + (end - start) * j / (points - 1)
            row = laws[i * points + j]
            row[0], row[1], row[2] = -1.0, v, s
            q1, q2 = curve_q1(v, s, code), curve_q2(s, code)
            if end >= start and (not largest or 1.0 - q1 - q2 <= q2):
                if simple:
                    row[0] = set_probability(steps, q1, q2, log_fact)
                else:
                    row[0] = missed_probability(table, q1, q2, truth, log_fact)


def margin_worst(table: FloatArray, margin: str, largest: bool, level: float) -> Worst:
    """Return the worst miscoverage of lower bounds given for every outcome.

    Parameters
    ----------
    table : array of float, shape (n + 1, n + 1)
        The bound at (x1, x2); entries with x1 + x2 > n are not read. inf where it failed.
    margin : {"difference", "probit", "laplace"}
    largest : bool
        Whether the truth is the margin over the larger of q2 and q3, not that over q2.
    level : float
        The witness is chosen to show a miscoverage above it if there is one.
    """
    code = int(Margin.named(margin))
    n = table.shape[0] - 1
    x = np.arange(n + 1)
    valid = x[:, None] + x[None, :] <= n
    claims = np.where(valid, table, -np.inf)
    smallest = -farthest(code) if code else -1.0
    best, certified = (0.0, smallest, 0.0), 0.0
    monotone = True
    log_fact = gammaln(x + 1.0)
    points = []
    # The larger of the last two classes is one of them: both ways of naming it.
    tables = [claims, _swapped(claims)] if largest else [claims]
    if largest and (np.nan_to_num(tables[0]) == np.nan_to_num(tables[1])).all():
        tables = tables[:1]
    chosen = tables[0]
    for each in tables:
        envelope = raised(each)
        monotone &= _rises(envelope[valid], each[valid])
        # What the claims themselves miss somewhere, raised ones do too.
        inside, laws = _grid(each, valid, code, largest, log_fact)
        known = max(float(laws[:, 0].max()), 0.0)
        _, limit, start = supremum(envelope, valid, code, log_fact, known)
        certified = max(certified, limit)
        if start is not None and inside.size:
            further = _refined(each, inside, start, code, largest, log_fact)
            laws = np.concatenate([laws, further])
        points.append(laws)
        top = laws[np.argmax(laws[:, 0])]
        if top[0] > best[0]:
            best, chosen = (float(top[0]), float(top[1]), float(top[2])), each
    seen = Claims(chosen, margin, largest, log_fact, chosen is not tables[0])
    attained, place = attained_at(seen, best)
    witness = margin_witness(seen, best, level)
    if witness.probability > attained:
        attained, place = witness.probability, Place(witness.parameters, witness.truth)
    every = np.concatenate(points)
    certified = min(max(certified * (1 + SUM_ERROR), attained), 1.0)
    laws, values = every[:, 1:], every[:, 0]
    return Worst(
        attained, certified, place, witness, monotone, laws, values, exchanged=seen.exchanged
    )


def _rises(envelope: FloatArray, table: FloatArray) -> bool:
    """Return whether no claim is below its raised one by more than a search's rounding."""
    with np.errstate(invalid="ignore"):
        falls = np.where(envelope == table, 0.0, envelope - table)
    return bool((falls <= SEARCH_ROUNDING * np.maximum(1.0, np.abs(envelope))).all())


def _swapped(table: FloatArray) -> FloatArray:
    """Return the table with the last two classes exchanged: entry (x1, x3)."""
    n = table.shape[0] - 1
    out = np.full_like(table, -np.inf)
    for x1 in range(n + 1):
        out[x1, : n - x1 + 1] = table[x1, : n - x1 + 1][::-1]
    return out


def _grid(
    table: FloatArray,
    valid: npt.NDArray[np.bool_],
    code: int,
    largest: bool,
    log_fact: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the claims, and (miscoverage, level, nuisance) of them, refined at the largest."""
    reach = (8.0 if code == PROBIT else 60.0) if code else 1.0
    ends = (-reach, reach)
    inside = np.unique(table[valid & (table > ends[0]) & (table < ends[1])])
    if (table[valid] >= ends[1]).any():  # such claims fail to cover wherever the truth is smaller
        inside = np.append(inside, ends[1] - (0.5 if code else 1e-3))
    if inside.size == 0:
        return inside, np.array([[0.0, 0.0, first_end(0.0, code)]])
    picks = np.linspace(0, inside.size - 1, min(inside.size, COARSE_LEVELS)).astype(int)
    values = inside[np.unique(picks)]
    laws = np.empty((values.size * COARSE_POINTS, 3))
    _search(table, values, code, largest, log_fact, laws)
    found = [laws]
    for i in np.argsort(laws[:, 0])[-3:]:
        place = float(laws[i, 1]), float(laws[i, 2])
        found.append(_refined(table, inside, place, code, largest, log_fact))
    return inside, np.concatenate(found)


def _refined(
    table: FloatArray,
    values: FloatArray,
    peak: tuple[float, float],
    code: int,
    largest: bool,
    log_fact: FloatArray,
) -> FloatArray:
    """Return evaluations around `peak`: neighboring levels, nuisance on finer and finer grids."""
    (v, s), width = peak, 0.5 if code else 0.1
    reach, rows = max(values.size // COARSE_LEVELS, 2), []
    for _ in range(5):
        center = int(np.searchsorted(values, v))
        near = values[
            np.unique(
                np.linspace(max(center - reach, 0), min(center + reach, values.size - 1), 9).astype(
                    int
                )
            )
        ]
        for level in near:
            ends = first_end(float(level), code), last_end(float(level), code)
            for t in np.clip(np.linspace(s - width, s + width, 9), *ends):
                q1, q2 = curve_q1(float(level), float(t), code), curve_q2(float(t), code)
                if largest and 1.0 - q1 - q2 > q2:
                    continue
                truth = float(level) - 1e-12 * max(1.0, abs(float(level)))
                rows.append(
                    (missed_probability(table, q1, q2, truth, log_fact), float(level), float(t))
                )
        if rows:
            _, v, s = max(rows)
        width, reach = width / 3.0, max(reach // 3, 2)
    return np.array(rows).reshape(-1, 3)
