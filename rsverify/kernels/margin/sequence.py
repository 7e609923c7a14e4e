"""The e-value of vote counts against a margin of at most L, and its inversion in L.

With x = (x1, x2, x3) the counts of the class certified, of one other class and of the rest after n
votes, and q in the simplex,

    E_L(x) = integral of prod q_i^x_i dDirichlet(1/2, 1/2, 1/2)  /  max over g(q) <= L of it.

The numerator over the likelihood of the true q is a martingale with mean 1, so E_L is at
most one while g(q) <= L. Written as logarithms, with p = x / n,

    log E_L = R(x) + D_L(x),    R = log(mixture) - sum x_i log p_i,  the price of the mixture,
    D_L = min over g(q) <= L of sum x_i log(x_i / (n q_i)).

Votes s of an earlier, independent sample may update the mixture's weights, which lowers the
price: the numerator is then the mean likelihood of s + x over that of s.

R is a sum of h(k) = log Gamma(k + 1/2) - k log k + k, taken from its series for k > 15, so
that no large numbers cancel:

    R = h(x1) + h(x2) + h(x3) - h(n) - log(n + 1/2) - log(2 pi).

D_L is 0 where g(p) <= L. Else the minimum is on the curve g(q) = L: the segment from any
q with g(q) < L to p crosses the curve, and the likelihood rises along it. There the
log-likelihood is concave in the nuisance u (`ordering.fit_nuisance`), so a point u in a
bracket [a, b] of the maximum with slope s is below it by at most |s| max(b - u, u - a).

The value returned is below the exact one: less that gap, and less (1e-11 + 4e-15 n) scaled
by the squared quantiles involved, which covers the rounding of R, of the curve's point and of
the deviances. Seen against 50 digits, for n to 1e6: below by 3e-15 n at least, 3e-14 n at most.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE, PROBIT
from rsverify.kernels.margin.ordering import (
    curve_point,
    fit_nuisance,
    laplace_score,
    plugin_margin,
    probit_score,
)
from rsverify.kernels.special import deviance_term

LARGEST_PROBIT_MARGIN = 20.0  # beyond it the limits are infinite; 1e7 votes reach 11
LARGEST_LAPLACE_MARGIN = 60.0  # likewise; they reach 30
WIDTH = 1e-12  # relative above 1, of the bracket in which a limit is given
STEPS = 200  # of a search, at most; every third halves the bracket
LOG_2PI = 1.8378770664093453
HALF_LOG_2PI = 0.9189385332046727


@njit
def largest_margin(estimand: int) -> float:
    """Return the margin beyond which limits are infinite; 1 for the difference."""
    if estimand == DIFFERENCE:
        return 1.0
    return LARGEST_LAPLACE_MARGIN if estimand == LAPLACE else LARGEST_PROBIT_MARGIN


@njit
def mixture_term(k: int) -> float:
    """Return h(k) = log Gamma(k + 1/2) - k log k + k."""
    if k == 0:
        return math.lgamma(0.5)
    if k <= 15:
        return math.lgamma(k + 0.5) - k * math.log(k) + k
    s = 1.0 / (k * k)
    series = -1.0 / 24.0 + s * (7.0 / 2880.0 + s * (-31.0 / 40320.0 + s * (127.0 / 215040.0)))
    return HALF_LOG_2PI + series / k


@njit
def half_price(x1: int, x2: int, x3: int) -> float:
    """Return R, the log of the mixture's over the largest likelihood; not positive."""
    n = x1 + x2 + x3
    total = mixture_term(x1) + mixture_term(x2) + mixture_term(x3)
    return total - mixture_term(n) - math.log(n + 0.5) - LOG_2PI


@njit
def prior_part(x: int, s: int, n: int, size: int) -> tuple[float, float]:
    """Return s log p - x log(x / (n p)) + x - n p and s log(s / n0), p the pooled share."""
    expected = n * ((x + s) / (n + size))
    change = -expected if x == 0 else -deviance_term(float(x), expected)
    if s == 0:
        return change, 0.0
    return change + s * math.log((x + s) / (n + size)), s * math.log(s / size)


@njit
def mixture_price(x1: int, x2: int, x3: int, s1: int, s2: int, s3: int) -> float:
    """Return the log of the mixture's over the largest likelihood after votes s, rounded down.

    The mixture's weights are those that the earlier votes s leave: the likelihood of s + x
    over that of s. Written with largest likelihoods, so that no large numbers cancel.
    """
    size = s1 + s2 + s3
    if size == 0:
        return half_price(x1, x2, x3) - 1e-12
    n = x1 + x2 + x3
    gain1, past1 = prior_part(x1, s1, n, size)
    gain2, past2 = prior_part(x2, s2, n, size)
    gain3, past3 = prior_part(x3, s3, n, size)
    gain = (gain1 + gain2 + gain3) - (past1 + past2 + past3)
    price = half_price(x1 + s1, x2 + s2, x3 + s3) - half_price(s1, s2, s3) + gain
    return price - (1e-11 + 4e-15 * (n + 40.0 * size))


@njit
def curve_slope(estimand: int, x1: int, x2: int, x3: int, limit: float, u: float) -> float:
    """Return the derivative in u of the log-likelihood on the curve g = limit."""
    if estimand == PROBIT:
        return probit_score(float(x1), float(x2), float(x3), limit, u)[0]
    if estimand == LAPLACE:
        return laplace_score(float(x1), float(x2), float(x3), limit, u)[0]
    q1, q2, q3 = curve_point(estimand, limit, u)
    slope = 0.0
    if x1 > 0:
        slope += x1 / q1 if q1 > 0.0 else math.inf
    if x2 > 0:
        slope += x2 / q2 if q2 > 0.0 else math.inf
    if x3 > 0:
        slope -= 2.0 * x3 / q3 if q3 > 0.0 else math.inf
    return slope


@njit
def curve_ends(estimand: int, limit: float) -> tuple[float, float]:
    """Return the range of the nuisance parameter."""
    if estimand == DIFFERENCE:
        return 0.0, 0.5 * (1.0 - abs(limit))
    return -math.inf, -0.5 * limit


@njit
def fit_gap(estimand: int, x1: int, x2: int, x3: int, limit: float, u: float) -> float:
    """Return what the log-likelihood at u on the curve may lack of its maximum there."""
    bottom, top = curve_ends(estimand, limit)
    slope = curve_slope(estimand, x1, x2, x3, limit, u)
    if slope == 0.0 or (slope > 0.0 and u >= top) or (slope < 0.0 and u <= bottom):
        return 0.0
    if not math.isfinite(slope):
        return math.inf
    step = 1e-9 * max(1e-12 if estimand == DIFFERENCE else 1e-3, abs(u))
    for _ in range(64):
        other = min(top, max(bottom, u + math.copysign(step, slope)))
        # The maximum lies between u and where the slope has turned, or the end of the range.
        if other in (bottom, top) or (
            curve_slope(estimand, x1, x2, x3, limit, other) * slope <= 0.0
        ):
            return abs(slope) * abs(other - u)
        step *= 4.0
    return math.inf


@njit
def curve_deviance(estimand: int, x1: int, x2: int, x3: int, limit: float) -> float:
    """Return the least deviance on the curve g = limit, rounded down."""
    if limit < 0.0:
        # The same curve with the classes exchanged: its point is accurate for a limit >= 0.
        x1, x2, limit = x2, x1, -limit
    n = x1 + x2 + x3
    u = fit_nuisance(estimand, float(x1), float(x2), float(x3), limit, math.nan)
    q1, q2, q3 = curve_point(estimand, limit, u)
    if (x1 > 0 and q1 <= 0.0) or (x2 > 0 and q2 <= 0.0) or (x3 > 0 and q3 <= 0.0):
        return 0.0  # the fit ran into an end where the likelihood is 0: claim nothing
    value = n * q1 if x1 == 0 else deviance_term(float(x1), n * q1)
    value += n * q2 if x2 == 0 else deviance_term(float(x2), n * q2)
    value += n * q3 if x3 == 0 else deviance_term(float(x3), n * q3)
    scale = 1.0
    if estimand != DIFFERENCE:
        # The rounding of u + limit moves a tail by the square of its quantile, or less.
        scale += (u + limit) * (u + limit) if x1 > 0 else 0.0
        scale += u * u if x2 > 0 else 0.0
    error = (1e-11 + 4e-15 * n) * scale + fit_gap(estimand, x1, x2, x3, limit, u)
    return max(0.0, value - error)


@njit
def counts_margin(estimand: int, x1: int, x2: int, x3: int) -> float:
    """Return g at the proportions of the counts, infinite at the ends of the quantiles' range."""
    if estimand != DIFFERENCE:
        if x1 == 0:
            return -math.inf
        if x2 == 0:
            return math.inf
    return plugin_margin(estimand, float(x1), float(x2), float(x3))


@njit
def log_e_value(
    estimand: int, x1: int, x2: int, n: int, limit: float, s1: int, s2: int, s3: int
) -> float:
    """Return log E_L of the counts against g(q) <= limit, rounded down; s are earlier votes."""
    x3 = n - x1 - x2
    price = mixture_price(x1, x2, x3, s1, s2, s3)
    if estimand == DIFFERENCE:
        if limit >= 1.0:
            return price
        if limit <= -1.0:
            # Only q = (0, 1, 0) is left.
            return math.inf if x2 < n else price
    if counts_margin(estimand, x1, x2, x3) <= limit:
        return price
    if estimand != DIFFERENCE and abs(limit) > largest_margin(estimand):
        if limit > 0.0:
            return price
        limit = -largest_margin(estimand)
    return price + curve_deviance(estimand, x1, x2, x3, limit)


@njit
def root_excess(log_e: float, price: float, threshold: float) -> float:
    """Return how far the root of the deviance, almost linear in L, is above what is needed."""
    return math.sqrt(max(0.0, log_e - price)) - math.sqrt(threshold - price)


@njit
def next_limit(safe: float, other: float, at_safe: float, at_other: float, step: int) -> float:
    """Return where to look between a limit that is rejected and one that is not.

    The secant point, half a width off the ends so that both of them close in.
    """
    middle = 0.5 * (safe + other)
    if step % 3 == 2 or not 0.0 < at_safe - at_other < math.inf:
        return middle
    share = at_safe / (at_safe - at_other)
    off = 0.5 * WIDTH * max(1.0, abs(safe)) / abs(other - safe)
    if not off < 0.5:
        return middle
    return safe + (other - safe) * min(max(share, off), 1.0 - off)


@njit
def mixture_limit(
    estimand: int, x1: int, x2: int, n: int, threshold: float, s1: int, s2: int, s3: int
) -> float:
    """Return an L with log E_L >= threshold, within 1e-12 of the largest; else the least margin.

    The width is relative above 1.
    """
    least = -largest_margin(estimand)
    low = least
    high = min(counts_margin(estimand, x1, x2, n - x1 - x2), -least)
    log_e = log_e_value(estimand, x1, x2, n, low, s1, s2, s3) if low < high else -math.inf
    if log_e < threshold:
        return -1.0 if estimand == DIFFERENCE else -math.inf
    price = mixture_price(x1, x2, n - x1 - x2, s1, s2, s3)
    at_low = root_excess(log_e, price, threshold)
    at_high = -math.sqrt(threshold - price)
    for step in range(STEPS):
        if high - low <= WIDTH * max(1.0, abs(low)):
            break
        limit = next_limit(low, high, at_low, at_high, step)
        log_e = log_e_value(estimand, x1, x2, n, limit, s1, s2, s3)
        if log_e >= threshold:
            low, at_low = limit, root_excess(log_e, price, threshold)
        else:
            high, at_high = limit, root_excess(log_e, price, threshold)
    return low


@njit
def log_e_rows(
    x1: IntArray,
    x2: IntArray,
    n: IntArray,
    limit: FloatArray,
    s1: IntArray,
    s2: IntArray,
    s3: IntArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with `log_e_value` of each row."""
    for i in range(out.size):
        out[i] = log_e_value(estimand, x1[i], x2[i], n[i], limit[i], s1[i], s2[i], s3[i])


@njit
def is_repeated(others: IntArray, prior: IntArray, j: int) -> bool:
    """Return whether an earlier class has the votes of class j at all looks."""
    for i in range(j):
        if prior[1 + i] == prior[1 + j] and np.array_equal(others[:, i], others[:, j]):
            return True
    return False


@njit
def lower_paths(
    first: IntArray,
    others: IntArray,
    n: IntArray,
    prior: IntArray,
    threshold: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with the least of the other classes' running limits.

    `others` is rows x looks x other classes.

    A limit is only searched for where the counts reject the best one so far, and once for
    other classes with equal votes: of many classes most have none.
    """
    worst = -1.0 if estimand == DIFFERENCE else -math.inf
    out[:] = math.inf
    for r in range(out.shape[0]):
        size = np.sum(prior[r])
        for j in range(others.shape[2]):
            if is_repeated(others[r], prior[r], j):
                continue
            best = worst
            s1, s2 = prior[r, 0], prior[r, 1 + j]
            s3 = size - s1 - s2
            for t in range(out.shape[1]):
                x1, x2, votes = first[r, t], others[r, t, j], n[r, t]
                if votes > 0 and (
                    best == worst
                    or log_e_value(estimand, x1, x2, votes, best, s1, s2, s3) > threshold[r]
                ):
                    found = mixture_limit(estimand, x1, x2, votes, threshold[r], s1, s2, s3)
                    best = max(best, found)
                out[r, t] = min(out[r, t], best)


@njit
def log_mean_exp(values: FloatArray, weights: FloatArray) -> float:
    """Return log(sum of weights * exp(values)), rounded down."""
    top = np.max(values)
    if not math.isfinite(top):
        return float(top)
    total = 0.0
    for i in range(values.size):
        total += weights[i] * math.exp(values[i] - top)
    if total <= 0.0:
        return -math.inf
    return float(top + math.log(total) - 1e-14 * (values.size + abs(top)))


@njit
def log_e_below(
    estimand: int,
    first: int,
    others: IntArray,
    prior: IntArray,
    weights: FloatArray,
    n: int,
    limit: float,
) -> float:
    """Return the log of the weighted mean of the other classes' e-values against g >= limit.

    `prior` holds the earlier votes of the class certified, then of each other class.
    """
    size = np.sum(prior)
    logs = np.empty(others.size)
    for j in range(others.size):
        # g >= limit with the two classes exchanged is g' <= -limit.
        s1, s2 = prior[1 + j], prior[0]
        if j > 0 and others[j] == others[j - 1] and s1 == prior[j]:
            logs[j] = logs[j - 1]
            continue
        logs[j] = log_e_value(estimand, others[j], first, n, -limit, s1, s2, size - s1 - s2)
    return log_mean_exp(logs, weights)


@njit
def upper_limit(
    estimand: int,
    first: int,
    others: IntArray,
    prior: IntArray,
    weights: FloatArray,
    n: int,
    threshold: float,
    best: float,
) -> float:
    """Return an L below `best` with log e against g >= L at least `threshold`, or `best`."""
    largest = largest_margin(estimand)
    high = min(best, largest)
    log_e = log_e_below(estimand, first, others, prior, weights, n, high)
    if log_e < threshold:
        return best
    low = -largest
    price = log_e_below(estimand, first, others, prior, weights, n, low)
    at_low = -math.sqrt(threshold - price)
    at_high = root_excess(log_e, price, threshold)
    for step in range(STEPS):
        if high - low <= WIDTH * max(1.0, abs(high)):
            break
        limit = next_limit(high, low, at_high, at_low, step)
        log_e = log_e_below(estimand, first, others, prior, weights, n, limit)
        if log_e >= threshold:
            high, at_high = limit, root_excess(log_e, price, threshold)
        else:
            low, at_low = limit, root_excess(log_e, price, threshold)
    return high


@njit
def upper_paths(
    first: IntArray,
    others: IntArray,
    n: IntArray,
    prior: IntArray,
    weights: FloatArray,
    threshold: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill each row of `out` with the running upper limit; `others`: rows x times x classes."""
    for r in range(out.shape[0]):
        best = 1.0 if estimand == DIFFERENCE else math.inf
        for t in range(out.shape[1]):
            if n[r, t] > 0:
                best = upper_limit(
                    estimand,
                    first[r, t],
                    others[r, t],
                    prior[r],
                    weights[r],
                    n[r, t],
                    threshold[r],
                    best,
                )
            out[r, t] = best
