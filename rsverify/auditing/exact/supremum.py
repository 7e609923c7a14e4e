"""The certified supremum of a miscoverage over distributions, by branch and bound over curves.

A set of outcomes that is closed under moving a vote 3 -> 1, 2 -> 1 or 2 -> 3 becomes more
probable when probability moves alike. On a piece of curves, v between v_lo and v_hi and the
nuisance between a and b, P({B* >= v}) is at most P({B* >= v_lo}) at (max q1, min q2).
"""

from __future__ import annotations

import heapq
import math

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify._core.jit import njit
from rsverify.auditing.exact.curves import (
    curve_q1,
    curve_q2,
    farthest,
    first_end,
    last_end,
    set_probability,
)

GAP = 0.05
"""Branch and bound stops when the certified worst case is within this share of the attained."""
BUDGET = 3e9
"""Work before branch and bound gives up and reports where it got: some six seconds."""
GRID = 2.0**53  # of its inverse all sums and differences in [0, 1] are exact


@njit
def _steps(rank: npt.NDArray[np.int64], level: int, steps: npt.NDArray[np.int64]) -> None:
    """Fill steps[x2] with the least x1 of rank at least `level`, n + 1 where there is none.

    Ranks do not fall when a vote moves 3 -> 1 or 2 -> 3: the steps rise, and one walk finds them.
    """
    n = rank.shape[0] - 1
    x1 = 0
    for x2 in range(n + 1):
        while x1 <= n - x2 and rank[x1, x2] < level:
            x1 += 1
        steps[x2] = x1 if x1 <= n - x2 else n + 1


@njit
def _corner(q1: float, q2: float) -> tuple[float, float]:
    """Return a q1 at or above and a q2 at or below, at which 1 - q1 - q2 is exact."""
    low = math.floor(q2 * (1.0 - 1e-14) * GRID) / GRID
    return min(math.ceil(q1 * (1.0 + 1e-14) * GRID) / GRID, 1.0 - low), low


@njit
def _branch_and_bound(
    rank: npt.NDArray[np.int64],
    values: FloatArray,
    code: int,
    log_fact: FloatArray,
    gap: float,
    budget: float,
    known: float,
) -> tuple[float, float, float, float]:
    """Return the attained and the certified supremum, and the level and nuisance attaining it.

    `values` are the distinct claims, rising; `rank` gives each outcome's place in them. Of a
    supremum that is `known` to be reached nothing is looked for but what is larger.
    """
    n = rank.shape[0] - 1
    levels = values.size
    steps = np.empty(n + 1, dtype=np.int64)
    best, best_v, best_s, work = known, values[0], first_end(values[0], code), 0.0
    start, end = first_end(values[levels - 1], code), last_end(values[0], code)
    heap = [(-1.0, 0, levels - 1, min(start, first_end(values[0], code)), end)]
    while len(heap) > 0:
        negative, lo, hi, a, b = heapq.heappop(heap)
        if -negative <= best * (1.0 + gap) or work > budget:
            return best, max(-negative, best), best_v, best_s
        s = 0.5 * (a + b)
        s = min(max(s, first_end(values[hi], code)), last_end(values[hi], code))
        _steps(rank, hi, steps)
        q1, q2 = curve_q1(values[hi], s, code), curve_q2(s, code)
        here = set_probability(steps, q1, q2, log_fact)
        if here > best:
            best, best_v, best_s = here, values[hi], s
        across = math.asin(math.sqrt(curve_q1(values[hi], b, code)))
        along = across - math.asin(math.sqrt(curve_q1(values[hi], a, code)))
        along += math.asin(math.sqrt(curve_q2(b, code))) - math.asin(math.sqrt(curve_q2(a, code)))
        across -= math.asin(math.sqrt(curve_q1(values[lo], b, code)))
        by_level = lo < hi and 2.0 * across > along
        middle = (lo + hi) // 2
        for half in range(2):
            if by_level:
                la, ha = (lo, middle) if half == 0 else (middle + 1, hi)
                sa, sb = a, b
            else:
                la, ha = lo, hi
                sa, sb = (a, 0.5 * (a + b)) if half == 0 else (0.5 * (a + b), b)
            # Distributions of the piece: a nuisance beyond the ends of every curve holds none.
            sa = max(sa, first_end(values[ha], code))
            sb = min(sb, last_end(values[la], code))
            if sa > sb:
                continue
            _steps(rank, la, steps)
            q1, q2 = _corner(curve_q1(values[ha], sb, code), curve_q2(sa, code))
            limit = min(set_probability(steps, q1, q2, log_fact), -negative)
            work += 600.0 + 8.0 * n
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


def supremum(
    envelope: FloatArray,
    valid: npt.NDArray[np.bool_],
    code: int,
    log_fact: FloatArray,
    known: float = 0.0,
) -> tuple[float, float, tuple[float, float] | None]:
    """Return the attained and certified supremum of the envelope, and where it is attained.

    That is None where nothing above `known` was found, which is attained elsewhere.
    """
    largest = farthest(code) if code else 1.0
    smallest = -largest
    if code:  # a finite claim below what float64 resolves: raised, which only certifies less
        low = envelope > -np.inf
        envelope = np.where(low, np.maximum(envelope, np.nextafter(smallest, 0.0)), envelope)
    values = np.unique(envelope[valid & (envelope > smallest)])
    if values.size == 0:
        return known, known, None
    if values[-1] >= largest:  # no distribution reaches them: some makes them almost sure
        return known, 1.0, None
    rank = np.searchsorted(values, np.where(valid, envelope, -np.inf), side="left")
    rank[envelope <= smallest] = -1
    attained, certified, v, s = _branch_and_bound(
        rank.astype(np.int64), values, code, log_fact, GAP, BUDGET, known
    )
    return attained, certified, (v, s) if attained > known else None
