"""Bonferroni and Cohen lower limits of a margin from Clopper-Pearson limits, rounded down.

Each proportion limit comes with its complement, both rounded to the safe side, so that no
limit near 1 loses digits. The margin is evaluated from them and moved down by `MARGIN_ERROR`,
which covers the error of the quantile function and of one subtraction.
"""

from __future__ import annotations

import math

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_lower_pair, clopper_pearson_upper_pair
from rsverify.kernels.rounding import next_down
from rsverify.kernels.special import norm_isf, norm_ppf

DIFFERENCE = 0
PROBIT = 1
LAPLACE = 2
MARGIN_ERROR = 1e-13


@njit
def probit_pair(p: float, q: float) -> float:
    """Return probit(p) where q = 1 - p, from the smaller of the two."""
    return norm_ppf(p) if p < q else norm_isf(q)


@njit
def laplace_pair(p: float, q: float) -> float:
    """Return the Laplace quantile of p where q = 1 - p, from the smaller of the two."""
    smaller = min(p, q)
    size = -math.log(2.0 * smaller) if smaller > 0.0 else math.inf
    return -size if p < q else size


@njit
def quantile_pair(estimand: int, p: float, q: float) -> float:
    """Return the quantile of p where q = 1 - p, of the distribution that the margin is made of."""
    return laplace_pair(p, q) if estimand == LAPLACE else probit_pair(p, q)


@njit
def margin_of_limits(estimand: int, p: float, p_rest: float, u: float, u_rest: float) -> float:
    """Return g(p, u), rounded down; each probability comes with its complement."""
    if p <= 0.0:
        return -math.inf if estimand != DIFFERENCE else next_down(-u) if u < 1.0 else -1.0
    if estimand == DIFFERENCE:
        # Of two equal forms, the one without cancellation at the ends.
        margin = p - u if p < 0.5 else u_rest - p_rest
        return max(-1.0, next_down(margin))
    first = quantile_pair(estimand, p, p_rest)
    second = quantile_pair(estimand, u, u_rest)
    return first - second - MARGIN_ERROR * (abs(first) + abs(second))


@njit
def cohen_limit(estimand: int, k1: int, n: int, alpha: float) -> float:
    """Return Cohen's margin: the Clopper-Pearson limit against the rest in one class."""
    p, rest = clopper_pearson_lower_pair(k1, n, alpha)
    return margin_of_limits(estimand, p, rest, rest, p)


@njit
def bonferroni_limit(
    estimand: int, k1: int, k2: int, n: int, alpha1: float, alpha2: float
) -> float:
    """Return the margin of a lower limit at alpha1 and an upper limit at alpha2.

    The upper limit of the second proportion is at most what the first one leaves.
    """
    p, rest = clopper_pearson_lower_pair(k1, n, alpha1)
    u, u_rest = clopper_pearson_upper_pair(k2, n, alpha2)
    if u > rest:
        u, u_rest = rest, p
    return margin_of_limits(estimand, p, rest, u, u_rest)


@njit
def cohen_rows(
    k1: IntArray, n: IntArray, alpha: FloatArray, estimand: int, out: FloatArray
) -> None:
    """Fill `out` with `cohen_limit` of each row."""
    for i in range(out.size):
        out[i] = cohen_limit(estimand, k1[i], n[i], alpha[i])


@njit
def bonferroni_rows(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    split: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with `bonferroni_limit` of each row; `split` is the first side's share."""
    for i in range(out.size):
        first = split[i] * alpha[i]
        second = next_down((1.0 - split[i]) * alpha[i])
        out[i] = bonferroni_limit(estimand, k1[i], k2[i], n[i], first, second)


@njit
def limit_tables(n: int, alpha: float, estimand: int, tables: FloatArray) -> None:
    """Fill the 3 x (n + 1) tables a, b, c with max(a[x1] - b[x2], c[x1]) Bonferroni's margin.

    Both limits at alpha / 2; c is the margin where the upper limit is cut off.
    """
    half = 0.5 * alpha
    for k in range(n + 1):
        p, rest = clopper_pearson_lower_pair(k, n, half)
        u, u_rest = clopper_pearson_upper_pair(k, n, half)
        if estimand == DIFFERENCE:
            tables[0, k] = p
            tables[1, k] = u
            tables[2, k] = p - rest
        else:
            tables[0, k] = quantile_pair(estimand, p, rest)
            tables[1, k] = quantile_pair(estimand, u, u_rest)
            tables[2, k] = 2.0 * tables[0, k]
