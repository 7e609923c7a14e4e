"""Tail of a trinomial over a staircase: P(X1 >= steps[X2]).

Method
------
Given X2 = j, X1 is binomial with n - j trials and probability pi = q1 / (q1 + q3), so the
tail is the sum over j of P(X2 = j) P(Bin(n - j, pi) >= steps[j]). Rows run from high j to
low j. In that direction both factors move by adding positive terms,

    P(Bin(N+1, pi) >= k) = P(Bin(N, pi) >= k) + pi P(Bin(N, pi) = k-1),
    P(Bin(N, pi) >= k-1) = P(Bin(N, pi) >= k) + P(Bin(N, pi) = k-1),

so nothing cancels and the relative error grows by a few units in the last place a row.

`staircase_tails` walks the rows once for several q close to each other. The divisions, which
depend on the row alone, are then shared, and the rest runs side by side.

Error
-----
The value has a relative error below ``tail_relative_error(n)`` (at most about
min(2 n, 44 sqrt(n)) moves of at most 3 roundings each, and starting values good to 1e-12),
and leaves out rows of a probability of at most ``neglect``, which makes it too small. An
upper bound is therefore ``value * (1 + tail_relative_error(n)) + neglect``. ``neglect`` must be at
least 1e-280: terms below ``FLUSH`` = 1e-290 are dropped, with all that would grow out of them.

A row j is empty where steps[j] > n - j; `steps` must be nondecreasing, which is what
makes {x1 >= steps[x2]} an upper set.

Windows of rows
---------------
The functions with `first` and `last` read those rows alone and take the others for empty.
``window_covers`` shows that this leaves out at most ``neglect``.
"""

from __future__ import annotations

import math

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import (
    binomial_lower_tail,
    binomial_pmf,
    binomial_upper_tail,
)

LANE_FLOOR = 1e-200  # a lane that starts below it is left to the single-point function
FLUSH = 1e-290  # a term below it is dropped before it becomes a slow subnormal
WORK_ROWS = 7


@njit
def tail_relative_error(n: int) -> float:
    """Return a bound on the relative rounding error of `staircase_tail`."""
    return 1e-12 + 1e-15 * min(float(n), 22.0 * math.sqrt(n))


@njit
def chernoff_exponent(k: int, n: int, p: float, q: float) -> float:
    """Return an e with P(Bin(n, p) >= k) <= exp(-e); 0 up to the mean."""
    if k <= n * p:
        return 0.0
    if k > n or p <= 0.0:
        return math.inf
    exponent = k * math.log(k / (n * p))
    if k < n:
        exponent += (n - k) * math.log((n - k) / (n * q))
    return max(0.0, exponent * (1.0 - 1e-12) - 1e-9)


@njit
def bernstein_reach(n: int, q2: float, q13: float, c: float) -> float:
    """Return an s with P(X2 <= n q2 - s) and P(X2 >= n q2 + s) at most exp(-c)."""
    return c / 3.0 + math.sqrt(c * c / 9.0 + 2.0 * c * n * q2 * q13)


@njit
def rows_above_exponent(
    step: int, j: int, n: int, q1: float, q2: float, q3: float, enough: float
) -> float:
    """Return an e with P(X2 >= j, X1 >= step) <= exp(-e), found only up to `enough`."""
    q13 = q1 + q3
    exponent = chernoff_exponent(max(step, 0), n - j, q1 / q13, q3 / q13)
    if exponent < enough:
        exponent += chernoff_exponent(j, n, q2, q13)
    return exponent


@njit
def row_range(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    q1: float,
    q2: float,
    q3: float,
    neglect: float,
) -> tuple[int, int]:
    """Return the rows (low, high) of the window that matter, high < low where there are none.

    Below `low`, Bernstein's inequality leaves at most neglect / 2. The rows from j up hold at
    most P(X2 >= j) P(Bin(n - j, pi) >= steps[j]), as the second factor falls with j; Chernoff's
    inequality bounds both, and a bisection finds the first j where that is neglect / 2.
    """
    c = math.log(2.0 / neglect)
    s = bernstein_reach(n, q2, q1 + q3, c)
    low = max(first, int(math.floor(n * q2 - s)))
    inside = low - 1
    outside = min(last, int(math.ceil(n * q2 + s))) + 1
    while outside - inside > 1:
        j = (inside + outside) // 2
        if rows_above_exponent(steps[j], j, n, q1, q2, q3, c) >= c:
            outside = j
        else:
            inside = j
    return low, inside


@njit
def window_covers(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    lowest: FloatArray,
    highest: FloatArray,
    neglect: float,
) -> bool:
    """Return whether the rows outside the window hold at most `neglect`, half on each side.

    For every q with q2 of at least `lowest`'s, and with q2 and q1 / (q1 + q3) of at most
    `highest`'s: X2 rises with q2, and X1 given X2 with the ratio.
    """
    if first > 0 and binomial_lower_tail(first - 1, n, lowest[1], lowest[0] + lowest[2]) > (
        0.4 * neglect
    ):
        return False
    if last >= n or steps[last] > n - last:
        return True
    c = math.log(2.0 / neglect)
    q1, q2, q3 = highest[0], highest[1], highest[2]
    # The rows beyond start no earlier than the last one.
    return q1 + q3 > 0.0 and rows_above_exponent(steps[last], last + 1, n, q1, q2, q3, c) >= c


@njit
def staircase_tail(
    steps: IntArray, n: int, q1: float, q2: float, q3: float, neglect: float
) -> float:
    """Return P(X1 >= steps[X2]) for (X1, X2, X3) ~ Trinomial(n; q1, q2, q3)."""
    return window_tail(steps, 0, n, n, q1, q2, q3, neglect)


@njit
def window_tail(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    q1: float,
    q2: float,
    q3: float,
    neglect: float,
) -> float:
    """Return the part of `staircase_tail` from the rows of a window."""
    q13 = q1 + q3
    if q13 <= 0.0:
        return 1.0 if last == n and steps[n] <= 0 else 0.0
    low, j = row_range(steps, first, last, n, q1, q2, q3, neglect)
    if j < low:
        return 0.0
    pi = q1 / q13
    rho = q3 / q13
    trials = n - j
    k = max(steps[j], 0)
    row = binomial_pmf(j, n, q2, q13)
    pmf = binomial_pmf(k, trials, pi, rho)
    tail = binomial_upper_tail(k, trials, pi, rho)
    total = row * tail
    odds = rho / pi if pi > 0.0 else 0.0
    row_ratio = q13 / q2 if q2 > 0.0 else 0.0
    while j > low:
        row *= j * row_ratio / (trials + 1)
        j -= 1
        scale = rho / (trials + 1 - k)
        tail += pmf * k * scale
        trials += 1
        pmf *= trials * scale
        step = max(steps[j], 0)
        while k > step:
            pmf *= k * odds / (trials - k + 1)
            k -= 1
            tail += pmf
        if pmf < FLUSH:
            pmf = 0.0
        total += row * tail
    return total


@njit
def start_lanes(
    steps: IntArray, n: int, q: FloatArray, j: int, lanes: int, work: FloatArray
) -> None:
    """Fill the rows of `work` for the walk from row j; lanes that underflow are zeroed."""
    trials = n - j
    k = max(steps[j], 0)
    for i in range(lanes):
        q13 = q[0, i] + q[2, i]
        pi = q[0, i] / q13
        rho = q[2, i] / q13
        row = binomial_pmf(j, n, q[1, i], q13)
        pmf = binomial_pmf(k, trials, pi, rho) if k <= trials else 0.0
        alive = row >= LANE_FLOOR and (pmf >= LANE_FLOOR or k <= trials * pi)
        work[0, i] = row if alive else 0.0
        work[1, i] = pmf if alive else 0.0
        work[2, i] = binomial_upper_tail(k, trials, pi, rho) if alive else 0.0
        work[3, i] = work[0, i] * work[2, i]
        work[4, i] = rho
        work[5, i] = rho / pi if alive and pi > 0.0 else 0.0
        ratio = q13 / q[1, i] if q[1, i] > 0.0 else math.inf  # infinite only at the last row
        work[6, i] = ratio if alive else 0.0


@njit
def staircase_tails(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    q: FloatArray,
    lanes: int,
    neglect: float,
    work: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` with `window_tail` at the columns q[:, :lanes], which lie close together.

    `work` has `WORK_ROWS` rows of at least `lanes` columns.
    """
    low, high = n, -1
    for i in range(lanes):
        if q[0, i] + q[2, i] > 0.0:
            a, b = row_range(steps, first, last, n, q[0, i], q[1, i], q[2, i], neglect)
            if b >= a:
                low = min(low, a)
                high = max(high, b)
    if high >= low:
        start_lanes(steps, n, q, high, lanes, work)
        walk_lanes(steps, n, low, high, lanes, work)
    for i in range(lanes):
        if high >= low and work[6, i] > 0.0:
            out[i] = work[3, i]
        else:
            out[i] = window_tail(steps, first, last, n, q[0, i], q[1, i], q[2, i], neglect)


@njit
def walk_lanes(steps: IntArray, n: int, low: int, high: int, lanes: int, work: FloatArray) -> None:
    """Walk the rows from `high` to `low`, adding each row's part to the totals work[3]."""
    row, pmf, tail, total = work[0], work[1], work[2], work[3]
    rho, odds, row_ratio = work[4], work[5], work[6]
    j = high
    trials = n - j
    k = max(steps[j], 0)
    while j > low:
        row_scale = j / (trials + 1)
        j -= 1
        scale = 1.0 / (trials + 1 - k)
        gain = k * scale
        trials += 1
        keep = trials * scale
        step = max(steps[j], 0)
        if k == step:
            for i in range(lanes):
                row[i] *= row_scale * row_ratio[i]
                thinned = pmf[i] * rho[i]
                tail[i] += thinned * gain
                pmf[i] = thinned * keep
                total[i] += row[i] * tail[i]
            continue
        for i in range(lanes):
            row[i] *= row_scale * row_ratio[i]
            thinned = pmf[i] * rho[i]
            tail[i] += thinned * gain
            pmf[i] = thinned * keep
        while k > step:
            fall = k / (trials - k + 1)
            for i in range(lanes):
                moved = pmf[i] * (fall * odds[i])
                pmf[i] = moved if moved >= FLUSH else 0.0
                tail[i] += moved
            k -= 1
        for i in range(lanes):
            total[i] += row[i] * tail[i]
