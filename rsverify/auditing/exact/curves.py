"""The curves g(q) = v of a margin, and probabilities of trinomial outcomes on them.

The nuisance s describes a curve: q2 is s**2 (difference), or s is the quantile of q2, of the normal
distribution (probit) or of Laplace's. Margins are known by their codes, `Margin`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from mpmath import mp

from rsverify._core.check import FloatArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import LAPLACE

FARTHEST = 37.0  # a probit margin beyond which float64 cannot tell q1 from 1 and q2 from 0
FARTHEST_LAPLACE = 700.0


@njit
def farthest(code: int) -> float:
    """Return a margin of quantiles beyond which float64 cannot tell q1 from 1 and q2 from 0."""
    return FARTHEST_LAPLACE if code == LAPLACE else FARTHEST


@njit
def _cdf(z: float, code: int) -> float:
    if code == LAPLACE:
        return 0.5 * math.exp(z) if z <= 0.0 else 1.0 - 0.5 * math.exp(-z)
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@njit
def curve_q1(v: float, s: float, code: int) -> float:
    """Return q1 on the curve g = v at nuisance s."""
    if code:
        return _cdf(v + s, code)
    return min(max(s * s + v, 0.0), 1.0)


@njit
def curve_q2(s: float, code: int) -> float:
    """Return q2 at nuisance s."""
    if code:
        return 0.0 if s <= -farthest(code) else _cdf(s, code)
    return s * s


@njit
def first_end(v: float, code: int) -> float:
    """Return the nuisance at which the curve g = v begins: q2 = 0, or q1 = 0."""
    return -farthest(code) if code else math.sqrt(max(-v, 0.0))


@njit
def last_end(v: float, code: int) -> float:
    """Return the nuisance at which q1 + q2 = 1 on the curve g = v."""
    return -v / 2.0 if code else math.sqrt(max((1.0 - v) / 2.0, 0.0))


@njit
def _log(q: float) -> float:
    return math.log(q) if q > 0.0 else -1e6  # exp(-1e6) is 0, and 0 * -1e6 is 0


@njit
def _mass(k: int, m: int, log_p: float, log_rest: float, log_fact: FloatArray) -> float:
    """Return P(Bin(m, p) = k) for 0 <= k <= m."""
    ways = log_fact[m] - log_fact[k] - log_fact[m - k]
    return math.exp(ways + k * log_p + (m - k) * log_rest)


@njit
def set_probability(
    steps: npt.NDArray[np.int64], q1: float, q2: float, log_fact: FloatArray
) -> float:
    """Return P(X1 >= steps[X2]) for X trinomial with (q1, q2); the steps rise, n + 1 is none.

    Given X2, X1 is binomial. From x2 = n down to 0 it gets one trial more and the step falls, and
    its tail gains one term for each: 2 n of them for all rows. It shares no code with the walk of
    the bounds that are audited.
    """
    n = steps.size - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    q13 = q1 + q3
    if q13 <= 0.0:
        return 1.0 if steps[n] <= 0 else 0.0
    log_p, log_rest, log_2, log_13 = _log(q1 / q13), _log(q3 / q13), _log(q2), _log(q13)
    total, tail, step = 0.0, 0.0, n + 1
    for x2 in range(n, -1, -1):
        trials = n - x2
        if 1 <= step <= trials:
            tail += q1 / q13 * _mass(step - 1, trials - 1, log_p, log_rest, log_fact)
        for k in range(min(step - 1, trials), max(steps[x2], 0) - 1, -1):
            tail += _mass(k, trials, log_p, log_rest, log_fact)
        step = min(step, max(steps[x2], 0))
        total += tail * _mass(x2, n, log_2, log_13, log_fact)
    return min(total, 1.0)


@njit
def _weights(n: int, q: float, log_fact: FloatArray) -> FloatArray:
    """Return the Poisson probabilities of 0 to n at the mean n q."""
    weights = np.zeros(n + 1)
    if q <= 0.0:
        weights[0] = 1.0
        return weights
    log_mean, mean = math.log(n * q), n * q
    for x in range(n + 1):
        weights[x] = math.exp(x * log_mean - mean - log_fact[x])
    return weights


@njit
def missed_probability(
    table: FloatArray, q1: float, q2: float, truth: float, log_fact: FloatArray
) -> float:
    """Return P(B(X) > truth) for any table of claims."""
    n = table.shape[0] - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    # Three Poisson counts, given their sum: products of their weights do not overflow.
    one, two = _weights(n, q1, log_fact), _weights(n, q2, log_fact)
    rest = _weights(n, q3, log_fact)
    total = 0.0
    for x1 in range(n + 1):
        row = 0.0
        for x2 in range(n - x1 + 1):
            if table[x1, x2] > truth:
                row += two[x2] * rest[n - x1 - x2]
        total += row * one[x1]
    size = q1 + q2 + q3
    return min(total / math.exp(n * math.log(n * size) - n * size - log_fact[n]), 1.0)


def rational_probability(missed: npt.NDArray[np.bool_], a: Fraction, b: Fraction) -> Fraction:
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


def rational_margin(margin: str, q1: Fraction, q2: Fraction) -> Fraction:
    """Return the margin of rational probabilities: the difference exactly, others to 45 digits."""
    if margin == "difference":
        return q1 - q2
    with mp.workdps(50):
        value = mp.mpf(0)
        for q, sign in ((q1, 1), (q2, -1)):
            p = mp.mpf(q.numerator) / q.denominator
            if margin == "laplace":
                value += sign * (mp.log(2 * p) if 2 * p < 1 else -mp.log(2 * (1 - p)))
            else:
                value += sign * mp.sqrt(2) * mp.erfinv(2 * p - 1)
        return Fraction(str(mp.nstr(value, 45)))
