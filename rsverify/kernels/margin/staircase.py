"""Staircases {T >= t} of the orderings, as the smallest x1 of each row x2.

``steps[x2]`` is the smallest x1 with T(x1, x2) >= t, and n + 1 where the row has none.
Rows are nondecreasing in x2, since every T rises with x1 and falls with x2.

The default ordering
--------------------
    T(x) = max{ likelihood-ratio limit, Cohen's limit, min(Bonferroni's limit, 0),
                lower limit of -p2 (difference only) }.

Above alpha = 1/2, where the likelihood-ratio limit would be one above the estimate, T is the
larger of Cohen's and Bonferroni's limits. The maximum of monotone functions is monotone, so this
is an ordering. Where T is itself a valid limit, Buehler's bound is at least T; the
likelihood-ratio limit is close to valid, and the others, which are valid, pull the bound up where
it would be below them: Cohen's at x3 = 0, Bonferroni's at margins below zero, and that of -p2,
which is Cohen's mirrored, at x1 = 0, where the likelihood ratio says nothing.

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

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_upper
from rsverify.kernels.margin.formulas import DIFFERENCE, bonferroni_limit, cohen_limit
from rsverify.kernels.margin.ordering import (
    curve_point,
    likelihood_ratio_limit,
    ordering_z,
    solve_row,
)
from rsverify.kernels.margin.trinomial import bernstein_reach, rows_above_exponent

LARGEST_ALPHA = 0.5
TIE = 1e-3
STOP_EVERY = 16  # rows between looks whether those beyond matter


@njit
def default_key(estimand: int, x1: int, x2: int, n: int, alpha: float) -> float:
    """Return T(x) of the default ordering."""
    half = 0.5 * alpha
    key = cohen_limit(estimand, x1, n, alpha)
    if alpha > LARGEST_ALPHA:
        key = max(key, bonferroni_limit(estimand, x1, x2, n, half, half))
    else:
        key = max(key, likelihood_ratio_limit(estimand, x1, x2, n, ordering_z(alpha)))
    if key < 0.0:
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
    estimand: int, first: int, last: int, n: int, alpha: float, limit: float, steps: IntArray
) -> None:
    """Lower the step of each row to the smallest x1 whose Bonferroni limit is at least `limit`.

    Most rows stay as they are. In a block of them every outcome below its step has at most
    the last row's x1 and at least the first row's x2, so that one limit settles the block.
    """
    half = 0.5 * alpha
    j = first
    block = 1
    while j <= last:
        end = min(last, j + block - 1)
        x1 = min(steps[end] - 1, n - j)
        if x1 < 0 or bonferroni_limit(estimand, x1, j, n, half, half) < limit:
            j = end + 1
            block *= 2
        elif block > 1:
            block //= 2
        else:
            # One step away as a rule; by bisection where there is no other part (high alpha).
            below = x1 - 1
            while below >= 0 and bonferroni_limit(estimand, below, j, n, half, half) >= limit:
                x1 = below
                below = max(-1, below - 2 * (steps[j] - x1)) if below > 0 else -1
            while x1 - below > 1:
                middle = (x1 + below) // 2
                if bonferroni_limit(estimand, middle, j, n, half, half) >= limit:
                    x1 = middle
                else:
                    below = middle
            steps[j] = x1
            j += 1


@njit
def row_step(estimand: int, j: int, n: int, z: float, limit: float, real: float) -> int:
    """Return the smallest x1 of row j with a likelihood-ratio limit of at least `limit`.

    `real` is the real x1 of `solve_row`; the row has none where the result is n + 1.
    """
    if real > n - j + TIE:
        return n + 1
    nearest = int(math.floor(real + 0.5))
    if abs(real - nearest) > TIE:
        return int(math.ceil(real))
    if likelihood_ratio_limit(estimand, nearest, j, n, z) >= limit:
        return nearest
    return nearest + 1 if nearest < n - j else n + 1


@njit
def likelihood_ratio_steps(
    estimand: int,
    start: int,
    end: int,
    n: int,
    z: float,
    limit: float,
    guess: float,
    stop: FloatArray,
    enough: float,
    steps: IntArray,
) -> int:
    """Fill rows `start` to `end`, up or down, with {likelihood-ratio limit >= limit}.

    The boundary is smooth, so each row starts from an extrapolation of the last three; `guess`
    starts the first. On the way up the rows end where those beyond hold at most exp(-`enough`)
    at `stop` (`trinomial.rows_above_exponent`), and the last row filled is returned.
    """
    step = 1 if end >= start else -1
    before = older = last = guess
    last_u = before_u = math.nan
    j = start
    for done in range(abs(end - start) + 1):
        if done >= 3:
            guess = 3.0 * (last - before) + older
        elif done >= 1:
            guess = last
        u = 2.0 * last_u - before_u if done >= 2 else last_u
        real, u = solve_row(estimand, j, n, z, limit, guess, u)
        last, before, older = real, last, before
        last_u, before_u = u, last_u
        steps[j] = row_step(estimand, j, n, z, limit, real)
        if step > 0 and real > n - j + TIE:
            steps[j : end + 1] = n + 1
            return end
        if step > 0 and done % STOP_EVERY == STOP_EVERY - 1 and j < end and stop[2] >= 0.0:
            beyond = rows_above_exponent(steps[j], j + 1, n, stop[0], stop[1], stop[2], enough)
            if beyond >= enough:
                return j
        j += step
    return end


@njit
def add_valid_limits(
    estimand: int, first: int, last: int, n: int, alpha: float, limit: float, steps: IntArray
) -> None:
    """Lower the steps of rows `first` to `last` to where a valid limit reaches `limit`."""
    cohen = first_with_cohen(estimand, n, alpha, limit)
    if estimand == DIFFERENCE and limit <= 0.0:
        steps[first : min(last, last_with_runner_up(n, alpha, limit)) + 1] = 0
    for j in range(first, min(last, n - cohen) + 1):
        steps[j] = min(steps[j], cohen)
    if limit <= 0.0 or alpha > LARGEST_ALPHA:
        extend_by_bonferroni(estimand, first, last, n, alpha, limit, steps)


@njit
def default_steps(estimand: int, x1: int, x2: int, n: int, alpha: float, steps: IntArray) -> float:
    """Fill `steps` with {T >= T(x)} of the default ordering and return T(x)."""
    limit = default_key(estimand, x1, x2, n, alpha)
    if limit <= (-1.0 if estimand == DIFFERENCE else -math.inf):
        steps[:] = 0  # the lowest value there is
        return limit
    if alpha > LARGEST_ALPHA:
        steps[:] = n + 1
    else:
        nowhere = np.full(3, -1.0)
        z = ordering_z(alpha)
        likelihood_ratio_steps(estimand, 0, n, n, z, limit, float(x1), nowhere, math.inf, steps)
    add_valid_limits(estimand, 0, n, n, alpha, limit, steps)
    return limit


@njit
def window_steps(
    estimand: int,
    x1: int,
    x2: int,
    n: int,
    alpha: float,
    limit: float,
    margin: float,
    low: float,
    high: float,
    enough: float,
    steps: IntArray,
) -> tuple[int, int]:
    """Fill those rows of {T >= limit} that matter on a piece [low, high] of the curve g = margin.

    `limit` is T(x1, x2), `enough` the exponent of what the others may hold. Returns the first
    and the last row filled. That these suffice is proved later, at another margin.
    """
    ends = np.empty((2, 3))
    ends[0, 0], ends[0, 1], ends[0, 2] = curve_point(estimand, margin, min(low, high))
    ends[1, 0], ends[1, 1], ends[1, 2] = curve_point(estimand, margin, high)
    reach = bernstein_reach(n, ends[0, 1], ends[0, 0] + ends[0, 2], enough)
    first = min(x2, max(0, int(math.floor(n * ends[0, 1] - reach))))
    reach = bernstein_reach(n, ends[1, 1], ends[1, 0] + ends[1, 2], enough)
    last = max(x2, min(n, int(math.ceil(n * ends[1, 1] + reach))))
    if limit <= 0.0 or ends[1, 0] + ends[1, 2] <= 0.0:
        ends[1, 2] = -1.0  # the valid limits may reach further than the likelihood ratio's rows
    z = ordering_z(alpha)
    last = likelihood_ratio_steps(
        estimand, x2, last, n, z, limit, float(x1), ends[1], enough, steps
    )
    if first < x2:
        likelihood_ratio_steps(estimand, x2, first, n, z, limit, float(x1), ends[1], enough, steps)
    add_valid_limits(estimand, first, last, n, alpha, limit, steps)
    return first, last


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
