"""Exact coverage of bounds of a margin of two trinomial probabilities, by enumeration.

Outcomes are (x1, x2, n - x1 - x2), laws q = (q1, q2, 1 - q1 - q2), the margin g(q) is
q1 - q2 or probit(q1) - probit(q2). P_q(B > g(q)) is evaluated on the curves g(q) = B(x) - 0.

For an upper limit over all q, B is first raised to the least function B* >= B that does not
fall when a vote moves 3 -> 1, 2 -> 1 or 2 -> 3. The outcomes {B* >= v} are then closed under
these moves, their probability rises when probability moves alike, and the supremum over
{q : g(q) < v} is that on the curve g = v. On a piece of curves, v between v_lo and v_hi and
the nuisance between a and b, it is at most P({B* >= v_lo}) at (max q1, min q2): branch and
bound over such pieces gives the certified worst case.
"""

from __future__ import annotations

import heapq
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from mpmath import mp
from scipy.special import gammaln

from rsverify._check import FloatArray
from rsverify._jit import njit
from rsverify.audit.estimand import margin_value
from rsverify.audit.exact import ROUNDING, SUM_ERROR, WITNESS_SHARE, Witness, Worst, above

LARGEST_TRINOMIAL_N = 400
GAP = 0.05
"""Branch and bound stops when the certified worst case is within this share of the attained."""
BUDGET = 2e9
"""Outcomes summed before branch and bound gives up and reports where it got."""
FARTHEST = 37.0  # a probit margin beyond which float64 cannot tell q1 from 1 and q2 from 0
PLAIN_SHARE = 0.3  # of the worst miscoverage that a witness in whole hundredths must keep
COARSE_LEVELS, COARSE_POINTS = 160, 48


@njit
def _tail(first: npt.NDArray[np.int64], q1: float, q2: float, log_fact: FloatArray) -> float:
    """Return P(X1 >= first[X2]) for X trinomial with (q1, q2), n = first.size - 1."""
    n = first.size - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    one, two, rest = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    for x in range(n + 1):  # Poisson weights: their products neither overflow nor cancel
        for i in range(3):
            q = q1 if i == 0 else (q2 if i == 1 else q3)
            if q > 0.0:
                w = math.exp(x * math.log(n * q) - n * q - log_fact[x])
            else:
                w = 1.0 if x == 0 else 0.0
            if i == 0:
                one[x] = w
            elif i == 1:
                two[x] = w
            else:
                rest[x] = w
    total = 0.0
    for x2 in range(n + 1):
        row = 0.0
        for x1 in range(first[x2], n - x2 + 1):
            row += one[x1] * rest[n - x2 - x1]
        total += row * two[x2]
    size = q1 + q2 + q3
    norm = math.exp(n * math.log(n * size) - n * size - log_fact[n])
    return min(total / norm, 1.0)


@njit
def _firsts(rank: npt.NDArray[np.int64], level: int, first: npt.NDArray[np.int64]) -> None:
    """Fill first[x2] with the least x1 of rank at least `level`, n - x2 + 1 if there is none."""
    n = rank.shape[0] - 1
    for x2 in range(n + 1):
        low, high = 0, n - x2 + 1
        while low < high:
            middle = (low + high) // 2
            if rank[middle, x2] >= level:
                high = middle
            else:
                low = middle + 1
        first[x2] = low


@njit
def _q1(v: float, s: float, probit: bool) -> float:
    """Return q1 on the curve g = v at nuisance s; q2 is s**2 or, for probit, Phi(s)."""
    if probit:
        return 0.5 * math.erfc(-(v + s) / math.sqrt(2.0))
    return min(max(s * s + v, 0.0), 1.0)


@njit
def _q2(s: float, probit: bool) -> float:
    if probit:
        return 0.0 if s <= -FARTHEST else 0.5 * math.erfc(-s / math.sqrt(2.0))
    return s * s


@njit
def _first_end(v: float, probit: bool) -> float:
    return -FARTHEST if probit else math.sqrt(max(-v, 0.0))


@njit
def _last_end(v: float, probit: bool) -> float:
    """Return the nuisance at which q1 + q2 = 1 on the curve g = v."""
    return -v / 2.0 if probit else math.sqrt(max((1.0 - v) / 2.0, 0.0))


@njit
def _branch_and_bound(
    rank: npt.NDArray[np.int64],
    values: FloatArray,
    probit: bool,
    log_fact: FloatArray,
    gap: float,
    budget: float,
) -> tuple[float, float, float, float]:
    """Return the attained and the certified supremum, and the level and nuisance attaining it.

    `values` are the distinct claims, rising; `rank` gives each outcome's place in them.
    """
    n = rank.shape[0] - 1
    levels = values.size
    first = np.empty(n + 1, dtype=np.int64)
    best, best_v, best_s, work = 0.0, values[0], _first_end(values[0], probit), 0.0
    start, end = _first_end(values[levels - 1], probit), _last_end(values[0], probit)
    heap = [(-1.0, 0, levels - 1, min(start, _first_end(values[0], probit)), end)]
    while len(heap) > 0:
        negative, lo, hi, a, b = heapq.heappop(heap)
        if -negative <= best * (1.0 + gap) or work > budget:
            return best, max(-negative, best), best_v, best_s
        s = 0.5 * (a + b)
        s = min(max(s, _first_end(values[hi], probit)), _last_end(values[hi], probit))
        _firsts(rank, hi, first)
        here = _tail(first, _q1(values[hi], s, probit), _q2(s, probit), log_fact)
        if here > best:
            best, best_v, best_s = here, values[hi], s
        across = math.asin(math.sqrt(_q1(values[hi], b, probit)))
        along = across - math.asin(math.sqrt(_q1(values[hi], a, probit)))
        along += math.asin(math.sqrt(_q2(b, probit))) - math.asin(math.sqrt(_q2(a, probit)))
        across -= math.asin(math.sqrt(_q1(values[lo], b, probit)))
        by_level = lo < hi and 2.0 * across > along
        middle = (lo + hi) // 2
        for half in range(2):
            if by_level:
                la, ha = (lo, middle) if half == 0 else (middle + 1, hi)
                sa, sb = a, b
            else:
                la, ha = lo, hi
                sa, sb = (a, 0.5 * (a + b)) if half == 0 else (0.5 * (a + b), b)
            # Laws of the piece: a nuisance beyond the ends of every curve holds none.
            sa = max(sa, _first_end(values[ha], probit))
            sb = min(sb, _last_end(values[la], probit))
            if sa > sb:
                continue
            _firsts(rank, la, first)
            q2 = _q2(sa, probit) * (1.0 - 1e-14)
            q1 = min(_q1(values[ha], sb, probit) * (1.0 + 1e-14), 1.0 - q2)
            limit = min(_tail(first, q1, q2, log_fact), -negative)
            work += 0.5 * n * n + 60.0 * n
            if limit > best:
                heapq.heappush(heap, (-limit, la, ha, sa, sb))
    return best, best * (1.0 + gap), best_v, best_s


def raised(table: FloatArray) -> FloatArray:
    """Return the least B* >= B that does not fall when a vote moves 3->1, 2->1 or 2->3."""
    n = table.shape[0] - 1
    out = table.copy()
    for x2 in range(n, -1, -1):
        column = out[: n - x2 + 1, x2]
        if x2 < n:  # 2 -> 3 keeps x1, 2 -> 1 raises it
            below = out[: n - x2, x2 + 1]
            column[:-1] = np.maximum(column[:-1], below)
            column[1:] = np.maximum(column[1:], below)
        column[:] = np.maximum.accumulate(column)  # 3 -> 1
    return out


@njit
def _miss(table: FloatArray, q1: float, q2: float, truth: float, log_fact: FloatArray) -> float:
    """Return P(B(X) > truth) for any table of claims."""
    n = table.shape[0] - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    logs = np.empty(3)
    for i in range(3):
        q = q1 if i == 0 else (q2 if i == 1 else q3)
        logs[i] = math.log(q) if q > 0.0 else -1e6  # exp(-1e6) is 0, and 0 * -1e6 is 0
    total = 0.0
    for x2 in range(n + 1):
        for x1 in range(n - x2 + 1):
            if table[x1, x2] > truth:
                x3 = n - x1 - x2
                fact = log_fact[n] - log_fact[x1] - log_fact[x2] - log_fact[x3]
                total += math.exp(fact + x1 * logs[0] + x2 * logs[1] + x3 * logs[2])
    return min(total, 1.0)


@njit
def _search(
    table: FloatArray,
    values: FloatArray,
    probit: bool,
    largest: bool,
    log_fact: FloatArray,
    laws: FloatArray,
) -> None:
    """Fill rows of `laws` with (miscoverage, level, nuisance) on a grid just below `values`.

    With `largest`, class 2 must be the more probable of the last two.
    """
    points = laws.shape[0] // values.size
    for i in range(values.size):
        v = values[i]
        start, end = _first_end(v, probit), _last_end(v, probit)
        if probit:
            start = max(start, -6.0)
        for j in range(points):
            s = start + (end - start) * j / (points - 1)
            row = laws[i * points + j]
            row[0], row[1], row[2] = -1.0, v, s
            q1, q2 = _q1(v, s, probit), _q2(s, probit)
            if end >= start and (not largest or 1.0 - q1 - q2 <= q2):
                row[0] = _miss(table, q1, q2, v - 1e-12 * max(1.0, abs(v)), log_fact)


def margin_worst(table: FloatArray, margin: str, largest: bool, level: float) -> Worst:
    """Return the worst miscoverage of lower bounds given for every outcome.

    Parameters
    ----------
    table : array of float, shape (n + 1, n + 1)
        The bound at (x1, x2); entries with x1 + x2 > n are not read. inf where it failed.
    margin : {"difference", "probit"}
    largest : bool
        Whether the truth is the margin over the larger of q2 and q3, not that over q2.
    level : float
        The witness is chosen to show a miscoverage above it if there is one.
    """
    probit = margin == "probit"
    n = table.shape[0] - 1
    x = np.arange(n + 1)
    valid = x[:, None] + x[None, :] <= n
    claims = np.where(valid, table, -np.inf)
    smallest = -FARTHEST if probit else -1.0
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
        monotone &= bool((envelope[valid] == each[valid]).all())
        attained, limit, start = _supremum(envelope, valid, probit, log_fact)
        certified = max(certified, limit)
        laws = _grid(each, valid, probit, largest, log_fact, start)
        points.append(laws)
        top = laws[np.argmax(laws[:, 0])]
        if top[0] > best[0]:
            best, chosen = (float(top[0]), float(top[1]), float(top[2])), each
    witness = _margin_witness(chosen, margin, largest, best, level, log_fact)
    every = np.concatenate(points)
    attained = max(best[0], witness.probability)
    certified = min(max(certified * (1 + SUM_ERROR), attained), 1.0)
    return Worst(attained, certified, witness, monotone, every[:, 1:], every[:, 0])


def _swapped(table: FloatArray) -> FloatArray:
    """Return the table with the last two classes exchanged: entry (x1, x3)."""
    n = table.shape[0] - 1
    out = np.full_like(table, -np.inf)
    for x1 in range(n + 1):
        out[x1, : n - x1 + 1] = table[x1, : n - x1 + 1][::-1]
    return out


def _supremum(
    envelope: FloatArray, valid: npt.NDArray[np.bool_], probit: bool, log_fact: FloatArray
) -> tuple[float, float, tuple[float, float] | None]:
    """Return the attained and certified supremum of the envelope, and where it is attained."""
    smallest, farthest = (-FARTHEST, FARTHEST) if probit else (-1.0, 1.0)
    if probit:  # a finite claim below what float64 resolves: raised, which only certifies less
        low = envelope > -np.inf
        envelope = np.where(low, np.maximum(envelope, np.nextafter(smallest, 0.0)), envelope)
    values = np.unique(envelope[valid & (envelope > smallest)])
    if values.size == 0:
        return 0.0, 0.0, None
    if values[-1] >= farthest:  # claims that no law reaches: some law makes them almost sure
        return 0.0, 1.0, None
    rank = np.searchsorted(values, np.where(valid, envelope, -np.inf), side="left")
    rank[envelope <= smallest] = -1
    attained, certified, v, s = _branch_and_bound(
        rank.astype(np.int64), values, probit, log_fact, GAP, BUDGET
    )
    return attained, certified, (v, s)


def _grid(
    table: FloatArray,
    valid: npt.NDArray[np.bool_],
    probit: bool,
    largest: bool,
    log_fact: FloatArray,
    start: tuple[float, float] | None,
) -> FloatArray:
    """Return (miscoverage, level, nuisance) of the claims themselves, refined at the largest."""
    ends = (-8.0, 8.0) if probit else (-1.0, 1.0)
    inside = np.unique(table[valid & (table > ends[0]) & (table < ends[1])])
    if (table[valid] >= ends[1]).any():  # such claims miss wherever the truth is smaller
        inside = np.append(inside, ends[1] - (0.5 if probit else 1e-3))
    if inside.size == 0:
        return np.array([[0.0, 0.0, _first_end(0.0, probit)]])
    picks = np.linspace(0, inside.size - 1, min(inside.size, COARSE_LEVELS)).astype(int)
    values = inside[np.unique(picks)]
    laws = np.empty((values.size * COARSE_POINTS, 3))
    _search(table, values, probit, largest, log_fact, laws)
    found = [laws]
    peaks = [tuple(laws[i, 1:]) for i in np.argsort(laws[:, 0])[-3:]]
    if start is not None:
        peaks.append(start)
    for v, s in peaks:
        found.append(_refined(table, inside, (v, s), probit, largest, log_fact))
    return np.concatenate(found)


def _refined(
    table: FloatArray,
    values: FloatArray,
    peak: tuple[float, float],
    probit: bool,
    largest: bool,
    log_fact: FloatArray,
) -> FloatArray:
    """Return evaluations around `peak`: neighbouring levels, nuisance on finer and finer grids."""
    (v, s), width = peak, 0.5 if probit else 0.1
    reach, rows = max(values.size // COARSE_LEVELS, 2), []
    for _ in range(5):
        centre = int(np.searchsorted(values, v))
        near = values[
            np.unique(
                np.linspace(max(centre - reach, 0), min(centre + reach, values.size - 1), 9).astype(
                    int
                )
            )
        ]
        for level in near:
            ends = _first_end(float(level), probit), _last_end(float(level), probit)
            for t in np.clip(np.linspace(s - width, s + width, 9), *ends):
                q1, q2 = _q1(float(level), float(t), probit), _q2(float(t), probit)
                if largest and 1.0 - q1 - q2 > q2:
                    continue
                truth = float(level) - 1e-12 * max(1.0, abs(float(level)))
                rows.append((_miss(table, q1, q2, truth, log_fact), float(level), float(t)))
        if rows:
            _, v, s = max(rows)
        width, reach = width / 3.0, max(reach // 3, 2)
    return np.array(rows).reshape(-1, 3)


def exact_margin(margin: str, q1: Fraction, q2: Fraction) -> Fraction:
    """Return the margin of rational probabilities: exactly, or to 50 digits for the probit."""
    if margin == "difference":
        return q1 - q2
    with mp.workdps(50):
        value = mp.mpf(0)
        for q, sign in ((q1, 1), (q2, -1)):
            p = mp.mpf(q.numerator) / q.denominator
            value += sign * mp.sqrt(2) * mp.erfinv(2 * p - 1)
        return Fraction(str(mp.nstr(value, 45)))


def _margin_witness(
    table: FloatArray,
    margin: str,
    largest: bool,
    best: tuple[float, float, float],
    level: float,
    log_fact: FloatArray,
) -> Witness:
    """Return a witness near the worst law, with as few decimals as keep its miscoverage."""
    value, v, s = best
    probit = margin == "probit"
    q1, q2 = _q1(v, s, probit), _q2(s, probit)
    excess = value > level * (1.0 + ROUNDING)
    wanted = max(WITNESS_SHARE * value, level * (1.0 + ROUNDING) if excess else 0.0)
    if excess:
        plain = _plain_witness(table, margin, largest, level * (1.0 + ROUNDING), log_fact)
        if plain is not None and plain.probability > PLAIN_SHARE * value:
            return plain
    for digits, more in itertools.product(range(2, 15), (0, 1)):
        scale = 10**digits
        # Towards the smaller margin, so that the truth stays below the claim.
        a, b = Fraction(int(q1 * scale), scale), Fraction(math.ceil(q2 * scale) + more, scale)
        a = min(a, 1 - b)
        inside = (a > 0 and 0 < b < 1) or not probit
        if not (inside and a >= 0) or (largest and 1 - a - b > b):
            continue
        truth = exact_margin(margin, a, b)
        missed = above(table, truth)
        if _miss(table, float(a), float(b), float(truth), log_fact) > wanted:
            probability = _rational(missed, a, b)
            if probability > Fraction(wanted):
                return _named(a, b, truth, missed, float(probability), rational=True)
    truth = Fraction(v)
    return _named(Fraction(q1), Fraction(q2), truth, above(table, truth) | (table == v), value)


def _plain_witness(
    table: FloatArray, margin: str, largest: bool, wanted: float, log_fact: FloatArray
) -> Witness | None:
    """Return the worst law whose probabilities are whole hundredths (twentieths for large n)."""
    parts = 100 if table.shape[0] <= 101 else 20
    best, law = wanted, None
    for i, j in itertools.product(range(parts + 1), repeat=2):
        if i + j > parts or (largest and parts - i - j > j) or (margin == "probit" and 0 in (i, j)):
            continue
        truth = margin_value(margin, i / parts, j / parts)
        value = _miss(table, i / parts, j / parts, truth, log_fact) if truth < np.inf else 0.0
        if value > best:
            best, law = value, (Fraction(i, parts), Fraction(j, parts))
    if law is None:
        return None
    truth_exact = exact_margin(margin, *law)
    missed = above(table, truth_exact)
    probability = _rational(missed, *law)
    if probability <= Fraction(wanted):
        return None
    return _named(*law, truth_exact, missed, float(probability), rational=True)


def _named(
    a: Fraction,
    b: Fraction,
    truth: Fraction,
    missed: Any,
    probability: float,
    rational: bool = False,
) -> Witness:
    n = missed.shape[0] - 1
    pairs = [(int(i), int(j)) for i, j in np.argwhere(missed) if i + j <= n]
    # Near the most probable outcomes first.
    pairs.sort(key=lambda p: abs(p[0] - n * float(a)) + abs(p[1] - n * float(b)))
    shown = ", ".join(map(str, pairs[:6])) + (", ..." if len(pairs) > 6 else "")
    law = {"q1": f"{float(a):.14g}", "q2": f"{float(b):.14g}"}
    text = f"{len(pairs)} of the (x1, x2) with n = {n}: {shown}"
    return Witness(law, float(truth), text, probability, rational)


def _rational(missed: Any, a: Fraction, b: Fraction) -> Fraction:
    """Return the probability of the outcomes `missed`, exactly."""
    n = missed.shape[0] - 1
    d = math.lcm(a.denominator, b.denominator)
    base = [int(a * d), int(b * d), int((1 - a - b) * d)]
    powers = [[1], [1], [1]]
    for row, q in zip(powers, base, strict=True):
        for _ in range(n):
            row.append(row[-1] * q)
    total = 0
    for x2 in range(n + 1):
        choose, row_sum = 1, 0
        for x1 in range(n - x2 + 1):
            if missed[x1, x2]:
                row_sum += choose * powers[0][x1] * powers[2][n - x2 - x1]
            choose = choose * (n - x2 - x1) // (x1 + 1)
        total += math.comb(n, x2) * powers[1][x2] * row_sum
    return Fraction(total, d**n)
