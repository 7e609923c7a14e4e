"""P(X1 >= steps[X2]) of two independent binomials, and its derivatives in p1 and p2.

The sum over rows j = X2 of P(X2 = j) P(X1 >= steps[j]) runs from high j to low j. Going down,
both factors move by multiplying and adding positive terms, so nothing cancels and the relative
error stays below `relative_error`. The derivatives are sums of one sign each,

    d/dp1 = sum_j P(X2 = j) steps[j] P(X1 = steps[j]) / p1,
    d/dp2 = -sum_j P(X2 = j) (n2 - j) / (1 - p2) P(steps[j] <= X1 < steps[j + 1]).

`steps` must be nondecreasing; a row is empty where it is above n1.

Windows
-------
Only the rows from `first` to `last` are added, and of them those with steps[j] up to `most`.
`window` chooses them so that the others hold at most 2 `neglect`, by Bernstein's inequality, for
all p2 between two values and all p1 up to one.
"""

from __future__ import annotations

import math

from rsverify._core.check import IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import binomial_pmf, binomial_upper_tail
from rsverify.kernels.margin.trinomial import bernstein_reach

LEAST_PMF = 1e-290  # a term that starts below it would not recover from underflow


@njit
def relative_error(n1: int, n2: int) -> float:
    """Return a bound on the relative rounding error of `staircase_tail`."""
    n = float(max(n1, n2))
    return 2e-12 + 2e-15 * min(n, 40.0 * math.sqrt(n))


@njit
def window(
    n1: int, n2: int, p1: float, q1: float, low: float, low_rest: float, high: float,
    high_rest: float, neglect: float,
) -> tuple[int, int, int]:  # fmt: skip
    """Return the first and last row and the largest step that matter.

    For all p2 from `low` to `high` and all probabilities of the first sample up to `p1`.
    """
    c = math.log(2.0 / neglect)
    first = max(0, int(math.floor(n2 * low - bernstein_reach(n2, low, low_rest, c))))
    last = min(n2, int(math.ceil(n2 * high + bernstein_reach(n2, high, high_rest, c))))
    most = min(n1, int(math.ceil(n1 * p1 + bernstein_reach(n1, p1, q1, c))))
    return first, last, most


@njit
def staircase_tail(
    steps: IntArray, first: int, last: int, most: int, n1: int, n2: int,
    p1: float, q1: float, p2: float, q2: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Return the probability, its derivative in p1 and minus that in p2, from a window's rows."""
    j = last
    while j >= first and steps[j] > most:
        j -= 1
    if j < first:
        return 0.0, 0.0, 0.0
    if p2 <= 0.0 or q2 <= 0.0:
        return end_tail(steps, first, j, n1, n2, p1, q1, p2)
    row = binomial_pmf(j, n2, p2, q2)
    while row < LEAST_PMF and j > first and j > n2 * p2:  # far out: start closer in
        j -= 1
        row = binomial_pmf(j, n2, p2, q2)
    k = max(steps[j], 0)
    mass = binomial_pmf(k, n1, p1, q1)
    if mass < LEAST_PMF and k > n1 * p1:
        while mass < LEAST_PMF and k > max(steps[first], 0) and k > n1 * p1:
            k -= 1
            mass = binomial_pmf(k, n1, p1, q1)
        while j >= first and steps[j] > k:
            j -= 1
        if j < first:
            return 0.0, 0.0, 0.0
        row = binomial_pmf(j, n2, p2, q2)
    tail = binomial_upper_tail(k, n1, p1, q1)
    odds1 = q1 / p1 if p1 > 0.0 else 0.0
    odds2 = q2 / p2
    step = max(steps[j], 0)
    while k > step:
        mass *= k * odds1 / (n1 - k + 1)
        k -= 1
        tail += mass
    total = row * tail
    along1 = row * k * mass
    along2 = row * (n2 - j) * tail
    while j > first:
        row *= j * odds2 / (n2 - j + 1)
        j -= 1
        step = max(steps[j], 0)
        gained = 0.0
        while k > step:
            mass *= k * odds1 / (n1 - k + 1)
            k -= 1
            gained += mass
        tail += gained
        total += row * tail
        along1 += row * k * mass
        along2 += row * (n2 - j) * gained
    return total, along1 / p1 if p1 > 0.0 else 0.0, along2 / q2


@njit
def end_tail(
    steps: IntArray, first: int, last: int, n1: int, n2: int, p1: float, q1: float, p2: float
) -> tuple[float, float, float]:
    """Return `staircase_tail` where p2 is 0 or 1; its derivatives are not needed there."""
    j = 0 if p2 <= 0.0 else n2
    if j < first or j > last:
        return 0.0, 0.0, 0.0
    return binomial_upper_tail(max(steps[j], 0), n1, p1, q1), 0.0, 0.0


@njit
def point_tail(
    steps: IntArray, n1: int, n2: int, p1: float, q1: float, p2: float, q2: float, neglect: float
) -> float:
    """Return the probability from the rows that matter at one point."""
    first, last, most = window(n1, n2, p1, q1, p2, q2, p2, q2, neglect)
    return staircase_tail(steps, first, last, most, n1, n2, p1, q1, p2, q2)[0]
