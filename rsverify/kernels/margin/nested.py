"""Limits that are nested in the level: a smaller alpha never gives a larger one.

The default ordering depends on alpha, so its limits L(alpha) need not be nested. Here it changes at
the fixed `LEVELS` alone. With A the largest of them up to alpha,

    N(alpha) = min{ L_A(alpha), L(A') for all levels A' > A up to 1/2 },

L_A(alpha) the limit at level alpha of the ordering of level A. It rises with alpha between two
levels, where the sets of outcomes are the same, and no value is above one at a larger level
(docs/theory.md, "Nested in alpha").

That L(A') is at least the limit at hand is proved at that limit, which takes no search; only where
it cannot be is L(A') computed.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.buehler import NEGLECT, default_limit, limit_by_level, local_region
from rsverify.kernels.margin.curve import curve_piece
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.staircase import default_key, window_steps
from rsverify.kernels.margin.supremum import proves_at_most

_FIRST_DIGITS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
LEVELS = np.array(
    [
        level
        for power in range(-12, 0)
        for level in (float(f"{digits}e{power}") for digits in _FIRST_DIGITS)
        if level <= 0.5
    ]
)
"""The levels at which the ordering changes, from the smallest alpha of the exact bounds to 1/2."""

RESOLUTION = 0.01  # of a level, to which tails below it are resolved


@njit
def level_below(alpha: float) -> int:
    """Return the place in `LEVELS` of the largest one up to alpha, which is at least the first."""
    return int(np.searchsorted(LEVELS, alpha, side="right")) - 1


@njit
def reaches(
    estimand: int, x1: int, x2: int, n: int, alpha: float, margin: float, steps: IntArray
) -> bool:
    """Try to prove that the default limit at level alpha is at least `margin`."""
    key = default_key(estimand, x1, x2, n, alpha)
    if key <= (-1.0 if estimand == DIFFERENCE else -math.inf):
        return False
    least, most, level = local_region(x1, x2, n, alpha)
    low, high = curve_piece(estimand, margin, n, alpha, least, most)
    enough = 4.0 - math.log(0.5 * NEGLECT * alpha)
    first, last = window_steps(estimand, x1, x2, n, alpha, key, margin, low, high, enough, steps)
    proved, _ = proves_at_most(
        steps, first, last, n, estimand, margin, level, least, most,
        RESOLUTION * alpha, math.nan, NEGLECT * alpha, math.inf,
    )  # fmt: skip
    return proved


@njit
def nested_limit(estimand: int, x1: int, x2: int, n: int, alpha: float, steps: IntArray) -> float:
    """Return the nested limit of an outcome, alpha up to 1/2; `steps` as in `default_limit`."""
    place = level_below(alpha)
    limit = limit_by_level(estimand, x1, x2, n, alpha, LEVELS[place], steps)
    for i in range(place + 1, LEVELS.size):
        if limit <= (-1.0 if estimand == DIFFERENCE else -math.inf):
            break
        if not reaches(estimand, x1, x2, n, LEVELS[i], limit, steps):
            limit = min(limit, default_limit(estimand, x1, x2, n, LEVELS[i], steps))
    return limit


@njit
def nested_rows(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with the nested limits."""
    steps = np.empty(1, np.int64)
    for i in range(out.size):
        if steps.size <= n[i]:
            steps = np.empty(n[i] + 1, np.int64)
        out[i] = nested_limit(estimand, k1[i], k2[i], n[i], alpha[i], steps[: n[i] + 1])
