"""Staircases {T >= t} of the orderings, as the smallest x1 of each row x2.

``steps[x2]`` is the smallest x1 with T(x1, x2) >= t, and n + 1 where the row has none.
Rows are nondecreasing in x2, since every T rises with x1 and falls with x2.

The default ordering
--------------------
    T(x) = max{ likelihood-ratio limit, Cohen's limit, min(Bonferroni's limit, 0),
                lower limit of -p2 (difference only) }.

The maximum of monotone functions is monotone, so this is an ordering. Where T is itself a
valid limit, Buehler's bound is at least T; the likelihood-ratio limit is close to valid, and
the others, which are valid, pull the bound up where it would be below them: Cohen's at
x3 = 0, Bonferroni's at margins below zero, and that of -p2, which is Cohen's mirrored, at
x1 = 0, where the likelihood ratio says nothing.

Ties
----
The three limits are deterministic functions of (x1, x2, n, alpha), so equal outcomes have
bit-equal keys. The likelihood-ratio limit is not evaluated everywhere: a row is solved for a
real x1 with R_t = z, and only where that lies within ``TIE`` of an integer is the outcome's
own limit compared with t. Elsewhere the outcome's limit differs from t by at least
TIE times the effect of one vote, some 1e-9, far more than its rounding error of about
1e-13. So every decision equals the comparison of keys, and the staircases of all outcomes
are nested.
"""

from __future__ import annotations

import math

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_upper
from rsverify.kernels.margin.formulas import DIFFERENCE, bonferroni_limit, cohen_limit
from rsverify.kernels.margin.ordering import likelihood_ratio_limit, ordering_z, solve_row

TIE = 1e-3


@njit
def default_key(estimand: int, x1: int, x2: int, n: int, alpha: float) -> float:
    """Return T(x) of the default ordering."""
    key = likelihood_ratio_limit(estimand, x1, x2, n, ordering_z(alpha))
    key = max(key, cohen_limit(estimand, x1, n, alpha))
    if key < 0.0:
        half = 0.5 * alpha
        key = max(key, min(bonferroni_limit(estimand, x1, x2, n, half, half), 0.0))
        if estimand == DIFFERENCE:
            key = max(key, -clopper_pearson_upper(x2, n, alpha))
    return key


@njit
def first_with_cohen(estimand: int, n: int, alpha: float, limit: float) -> int:
    """Return the smallest x1 whose Cohen limit is at least `limit`, n + 1 where there is none."""
    low = 0
    high = n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if cohen_limit(estimand, middle, n, alpha) >= limit:
            high = middle
        else:
            low = middle
    return high


@njit
def last_with_runner_up(n: int, alpha: float, limit: float) -> int:
    """Return the largest x2 whose lower limit of -p2 is at least `limit`, -1 where none is."""
    low = -1
    high = n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if -clopper_pearson_upper(middle, n, alpha) >= limit:
            low = middle
        else:
            high = middle
    return low


@njit
def extend_by_bonferroni(
    estimand: int, n: int, alpha: float, limit: float, steps: IntArray
) -> None:
    """Lower the step of each row to the smallest x1 whose Bonferroni limit is at least `limit`.

    Most rows stay as they are. In a block of them every outcome below its step has at most
    the last row's x1 and at least the first row's x2, so that one limit settles the block.
    """
    half = 0.5 * alpha
    j = 0
    block = 1
    while j <= n:
        end = min(n, j + block - 1)
        x1 = min(steps[end] - 1, n - j)
        if x1 < 0 or bonferroni_limit(estimand, x1, j, n, half, half) < limit:
            j = end + 1
            block *= 2
        elif block > 1:
            block //= 2
        else:
            while x1 >= 0 and bonferroni_limit(estimand, x1, j, n, half, half) >= limit:
                steps[j] = x1
                x1 -= 1
            j += 1


@njit
def likelihood_ratio_steps(
    estimand: int, n: int, z: float, limit: float, guess: float, steps: IntArray
) -> None:
    """Fill `steps` with {likelihood-ratio limit >= limit}; `guess` starts the first row.

    The boundary is smooth, so each row starts from an extrapolation of the last three.
    """
    last = before = older = guess
    last_u = before_u = math.nan
    for j in range(n + 1):
        if j >= 3:
            guess = 3.0 * (last - before) + older
        elif j >= 1:
            guess = last
        start = 2.0 * last_u - before_u if j >= 2 else last_u
        real, u = solve_row(estimand, j, n, z, limit, guess, start)
        last, before, older = real, last, before
        last_u, before_u = u, last_u
        if real > n - j + TIE:
            steps[j:] = n + 1
            return
        nearest = int(math.floor(real + 0.5))
        if abs(real - nearest) > TIE:
            steps[j] = int(math.ceil(real))
        elif likelihood_ratio_limit(estimand, nearest, j, n, z) >= limit:
            steps[j] = nearest
        else:
            steps[j] = nearest + 1 if nearest < n - j else n + 1


@njit
def default_steps(estimand: int, x1: int, x2: int, n: int, alpha: float, steps: IntArray) -> float:
    """Fill `steps` with {T >= T(x)} of the default ordering and return T(x)."""
    limit = default_key(estimand, x1, x2, n, alpha)
    if limit <= (-1.0 if estimand == DIFFERENCE else -math.inf):
        steps[:] = 0  # the lowest value there is
        return limit
    likelihood_ratio_steps(estimand, n, ordering_z(alpha), limit, float(x1), steps)
    cohen = first_with_cohen(estimand, n, alpha, limit)
    if estimand == DIFFERENCE and limit <= 0.0:
        steps[: last_with_runner_up(n, alpha, limit) + 1] = 0
    for j in range(n + 1 - cohen):
        steps[j] = min(steps[j], cohen)
    if limit <= 0.0:
        extend_by_bonferroni(estimand, n, alpha, limit, steps)
    return limit


@njit
def additive_steps(
    first: FloatArray,
    second: FloatArray,
    floor: FloatArray,
    x1: int,
    x2: int,
    n: int,
    steps: IntArray,
) -> float:
    """Fill `steps` with {T >= T(x)} for T = max(first[x1] - second[x2], floor[x1]).

    `first` and `floor` rise, `second` rises. The same expression is evaluated everywhere, so
    equal outcomes have bit-equal keys. Returns T(x).
    """
    limit: float = max(first[x1] - second[x2], floor[x1])
    k = 0
    for j in range(n + 1):
        while k <= n and max(first[k] - second[j], floor[k]) < limit:
            k += 1
        steps[j] = k if k <= n - j else n + 1
    return limit
