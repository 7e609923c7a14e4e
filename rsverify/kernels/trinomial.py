"""Tail of a trinomial over a staircase: P(X1 >= steps[X2]).

Method
------
Given X2 = j, X1 is binomial with n - j trials and probability pi = q1 / (q1 + q3), so the
tail is the sum over j of P(X2 = j) P(Bin(n - j, pi) >= steps[j]). Rows run from high j to
low j. In that direction both factors move by adding positive terms,

    P(Bin(N+1, pi) >= k) = P(Bin(N, pi) >= k) + pi P(Bin(N, pi) = k-1),
    P(Bin(N, pi) >= k-1) = P(Bin(N, pi) >= k) + P(Bin(N, pi) = k-1),

so nothing cancels and the relative error grows by a few units in the last place a row.

Error
-----
``staircase_tail`` returns a value with relative error below ``tail_relative_error(n)``
(a window has at most about min(2 n, 44 sqrt(n)) moves of at most 3 roundings each, and the
starting values are good to 1e-12), plus what the window leaves out, which is at most
``neglect`` and always makes the value too small. An upper bound is therefore
``value * (1 + tail_relative_error(n)) + neglect``.

A row j is empty where steps[j] > n - j; `steps` must be nondecreasing, which is what
makes {x1 >= steps[x2]} an upper set.
"""

from __future__ import annotations

import math

from rsverify._check import IntArray
from rsverify._jit import njit
from rsverify.kernels.binomial import binomial_pmf, binomial_upper_tail

# Below this a probability no longer takes part in the recurrences, which would carry a
# denormal or a zero on; the rows left out add less than 1e-270 together.
SMALLEST_PMF = 1e-280


@njit
def tail_relative_error(n: int) -> float:
    """Return a bound on the relative rounding error of `staircase_tail`."""
    return 1e-12 + 1e-15 * min(float(n), 22.0 * math.sqrt(n))


@njit
def window(n: int, q2: float, neglect: float) -> tuple[int, int]:
    """Return the range of X2 outside of which its probability is at most `neglect`.

    Bernstein's inequality for each side at neglect / 2: P(|X2 - n q2| > s) is at most
    2 exp(-s^2 / (2 (n q2 (1 - q2) + s / 3))).
    """
    c = math.log(2.0 / neglect)
    variance = n * q2 * (1.0 - q2)
    s = c / 3.0 + math.sqrt(c * c / 9.0 + 2.0 * c * variance)
    low = max(0, int(math.floor(n * q2 - s)))
    high = min(n, int(math.ceil(n * q2 + s)))
    return low, high


@njit
def first_row(
    steps: IntArray, n: int, q2: float, q13: float, pi: float, rho: float, low: int, high: int
) -> int:
    """Return the highest row worth starting from, low - 1 where there is none.

    Rows above it are empty, or P(X2 = j) or P(X1 = steps[j] | X2 = j) is below
    `SMALLEST_PMF` beyond its mean. Both grow as j falls there (the step falls and the
    trials grow), so a bisection finds the row.
    """
    bottom = low - 1
    top = high
    # Invariant: every row above `top` is useless; `bottom` is useful or low - 1.
    while top > bottom:
        middle = (top + bottom + 1) // 2
        k = max(steps[middle], 0)
        trials = n - middle
        useful = (
            k <= trials
            and (middle <= n * q2 or binomial_pmf(middle, n, q2, q13) >= SMALLEST_PMF)
            and (k <= trials * pi or binomial_pmf(k, trials, pi, rho) >= SMALLEST_PMF)
        )
        if useful:
            bottom = middle
        else:
            top = middle - 1
    return top


@njit
def staircase_tail(
    steps: IntArray, n: int, q1: float, q2: float, q3: float, neglect: float
) -> float:
    """Return P(X1 >= steps[X2]) for (X1, X2, X3) ~ Trinomial(n; q1, q2, q3)."""
    q13 = q1 + q3
    if q13 <= 0.0:
        return 1.0 if steps[n] <= 0 else 0.0
    pi = q1 / q13
    rho = q3 / q13
    low, high = window(n, q2, neglect)
    j = first_row(steps, n, q2, q13, pi, rho, low, high)
    if j < low:
        return 0.0
    trials = n - j
    k = max(steps[j], 0)
    row = binomial_pmf(j, n, q2, q13)
    pmf = binomial_pmf(k, trials, pi, rho)
    tail = binomial_upper_tail(k, trials, pi, rho)
    total = row * tail
    odds = rho / pi if pi > 0.0 else math.inf
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
        total += row * tail
    return total
