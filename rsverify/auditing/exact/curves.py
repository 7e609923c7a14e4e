"""The curves g(q) = v of a margin, and probabilities of trinomial outcomes on them.

The nuisance s describes a curve: q2 is s**2 (difference) or Phi(s) (probit).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from mpmath import mp

from rsverify._core.check import FloatArray
from rsverify._core.jit import njit

FARTHEST = 37.0  # a probit margin beyond which float64 cannot tell q1 from 1 and q2 from 0


@njit
def curve_q1(v: float, s: float, probit: bool) -> float:
    """Return q1 on the curve g = v at nuisance s; q2 is s**2 or, for probit, Phi(s)."""
    if probit:
        return 0.5 * math.erfc(-(v + s) / math.sqrt(2.0))
    return min(max(s * s + v, 0.0), 1.0)


@njit
def curve_q2(s: float, probit: bool) -> float:
    """Return q2 at nuisance s."""
    if probit:
        return 0.0 if s <= -FARTHEST else 0.5 * math.erfc(-s / math.sqrt(2.0))
    return s * s


@njit
def first_end(v: float, probit: bool) -> float:
    """Return the nuisance at which the curve g = v begins: q2 = 0, or q1 = 0."""
    return -FARTHEST if probit else math.sqrt(max(-v, 0.0))


@njit
def last_end(v: float, probit: bool) -> float:
    """Return the nuisance at which q1 + q2 = 1 on the curve g = v."""
    return -v / 2.0 if probit else math.sqrt(max((1.0 - v) / 2.0, 0.0))


@njit
def set_probability(
    first: npt.NDArray[np.int64], q1: float, q2: float, log_fact: FloatArray
) -> float:
    """Return P(X1 >= first[X2]) for X trinomial with (q1, q2), n = first.size - 1."""
    n = first.size - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    one, two, rest = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    for x in range(n + 1):  # Poisson weights: their products neither overflow nor cancel
        for i in range(3):
            q = q1 if i == 0 else (q2 if i == 1 else q3)
            if q > 0.0:
                w = math.exp(x * math.log(n * q) - n * q - log_fact[x])
            else:
                w = 1.0 if x == 0 else 0.0
            if i == 0:
                one[x] = w
            elif i == 1:
                two[x] = w
            else:
                rest[x] = w
    total = 0.0
    for x2 in range(n + 1):
        row = 0.0
        for x1 in range(first[x2], n - x2 + 1):
            row += one[x1] * rest[n - x2 - x1]
        total += row * two[x2]
    size = q1 + q2 + q3
    norm = math.exp(n * math.log(n * size) - n * size - log_fact[n])
    return min(total / norm, 1.0)


@njit
def missed_probability(
    table: FloatArray, q1: float, q2: float, truth: float, log_fact: FloatArray
) -> float:
    """Return P(B(X) > truth) for any table of claims."""
    n = table.shape[0] - 1
    q3 = max(1.0 - q1 - q2, 0.0)
    logs = np.empty(3)
    for i in range(3):
        q = q1 if i == 0 else (q2 if i == 1 else q3)
        logs[i] = math.log(q) if q > 0.0 else -1e6  # exp(-1e6) is 0, and 0 * -1e6 is 0
    total = 0.0
    for x2 in range(n + 1):
        for x1 in range(n - x2 + 1):
            if table[x1, x2] > truth:
                x3 = n - x1 - x2
                fact = log_fact[n] - log_fact[x1] - log_fact[x2] - log_fact[x3]
                total += math.exp(fact + x1 * logs[0] + x2 * logs[1] + x3 * logs[2])
    return min(total, 1.0)


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
    """Return the margin of rational probabilities: exactly, or to 50 digits for the probit."""
    if margin == "difference":
        return q1 - q2
    with mp.workdps(50):
        value = mp.mpf(0)
        for q, sign in ((q1, 1), (q2, -1)):
            p = mp.mpf(q.numerator) / q.denominator
            value += sign * mp.sqrt(2) * mp.erfinv(2 * p - 1)
        return Fraction(str(mp.nstr(value, 45)))
