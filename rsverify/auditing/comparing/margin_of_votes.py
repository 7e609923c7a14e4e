"""The limit of any valid lower bound of a margin, from votes.

For any lower bound L that is valid at level alpha and any distribution q* of margin g*, {L > c}
is a test of "the margin is at most c" at level alpha, so that

    E[(g* - max(L, 0))+] >= integral from 0 to g* of 1 - beta(c) dc,

beta(c) the largest power of such a test against q*: at most that of Neyman and Pearson's test of a
single q of margin c, the least favorable one found on the curve. Every q is right, a better one is
sharper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, ndtr, ndtri, xlogy

from rsverify._core.types import FloatArray, IntArray

Pair = tuple[float, float]
"""The probabilities of the class certified and of the runner-up."""
Power = Callable[[Pair], float]
"""From a null to the power against q*."""
NODES = 24
LARGEST_N = 1000  # beyond, sorting all outcomes takes minutes


def margin(q: Pair, estimand: str) -> float:
    """Return the margin of (q1, q2)."""
    return q[0] - q[1] if estimand == "difference" else float(ndtri(q[0]) - ndtri(q[1]))


def curve(c: float, q2: float, estimand: str) -> float:
    """Return q1 of margin c at q2."""
    return q2 + c if estimand == "difference" else float(ndtr(c + ndtri(q2)))


def curve_end(c: float, estimand: str) -> float:
    """Return the q2 at which q1 + q2 = 1."""
    return (1 - c) / 2 if estimand == "difference" else float(ndtr(-c / 2))


def window(n: int, q: Pair, width: float = 7.5) -> tuple[IntArray, IntArray, FloatArray]:
    """Return outcomes (x1, x2) that hold all but 1e-12 or so of q, and their probabilities."""
    spans = []
    for p in q:
        reach = width * np.sqrt(n * p * (1 - p)) + width**2 / 3
        spans.append(np.arange(max(0, int(n * p - reach)), min(n, int(n * p + reach)) + 1))
    x1, x2 = (a.ravel() for a in np.meshgrid(*spans, indexing="ij"))
    keep = x1 + x2 <= n
    x1, x2 = x1[keep], x2[keep]
    return x1, x2, np.exp(log_mass(n, x1, x2, q))


def log_mass(n: int, x1: IntArray, x2: IntArray, q: Pair) -> FloatArray:
    """Return the logarithm of the trinomial probability."""
    x3, q3 = n - x1 - x2, max(1 - q[0] - q[1], 0.0)
    ways = gammaln(n + 1) - gammaln(x1 + 1) - gammaln(x2 + 1) - gammaln(x3 + 1)
    return np.asarray(ways + xlogy(x1, q[0]) + xlogy(x2, q[1]) + xlogy(x3, q3))


def power_by_sorting(n: int, alpha: float, q: Pair) -> Power:
    """Return the function from a null q0 to the power against q, by sorting all outcomes."""
    x1, x2, mass = window(n, q)
    lost = max(0.0, 1 - mass.sum())

    def power(q0: Pair) -> float:
        log_null = log_mass(n, x1, x2, q0)
        with np.errstate(divide="ignore", invalid="ignore"):
            order = np.argsort(log_null - np.log(mass), kind="stable")
        null, alternative = np.exp(log_null[order]).cumsum(), mass[order].cumsum()
        last = int(np.searchsorted(null, alpha))
        if last >= null.size:
            return 1.0
        before = (null[last - 1], alternative[last - 1]) if last else (0.0, 0.0)
        share = (alpha - before[0]) / (null[last] - before[0])
        return float(min(1.0, before[1] + share * (alternative[last] - before[1]) + lost))

    return power


def least_power(power: Power, c: float, q: Pair, n: int, estimand: str) -> float:
    """Return the least power over null points on the curve of margin c that were looked at."""
    end = curve_end(c, estimand)

    def at(share: float) -> float:
        q2 = end * np.sin(np.pi / 2 * share) ** 2
        return power((float(curve(c, q2, estimand)), float(q2)))

    def divergence(share: float) -> float:
        q2 = end * np.sin(np.pi / 2 * share) ** 2
        null = float(curve(c, q2, estimand)), float(q2)
        third = max(1 - sum(null), 1e-300)
        return float(
            -sum(xlogy(p, p0) for p, p0 in zip((*q, 1 - sum(q)), (*null, third), strict=True))
        )

    # Near the point that is hardest to tell from q, on the scale of the curve's natural unit.
    start = minimize_scalar(
        divergence, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-9}
    ).x
    reach = 3 / np.sqrt(n * end)
    ends = max(1e-9, start - reach), min(1 - 1e-9, start + reach)
    found = minimize_scalar(at, bounds=ends, method="bounded", options={"xatol": 0.02 * reach})
    return float(min(found.fun, at(start), at(1 - 1e-9)))


def nodes_below(
    n: int, alpha: float, q: Pair, estimand: str, nodes: int
) -> tuple[float, FloatArray, FloatArray]:
    """Return where the integral begins, the margins c it is taken at, and their weights."""
    top = margin(q, estimand)
    a, b = 1.0, 1.0
    if estimand != "difference":
        a, b = (float(np.sqrt(2 * np.pi) * np.exp(ndtri(p) ** 2 / 2)) for p in q)
    spread = a * a * q[0] + b * b * q[1] - (a * q[0] - b * q[1]) ** 2
    low = max(0.0, top - (float(-ndtri(alpha)) + 5) * float(np.sqrt(spread / n)))
    x, weights = np.polynomial.legendre.leggauss(nodes)
    return low, low + (top - low) * (x + 1) / 2, weights


def margin_limit(q: Pair, n: int, alpha: float, estimand: str, nodes: int = NODES) -> float:
    """Return the least mean gap to a positive margin of any lower bound, counted from zero."""
    top = margin(q, estimand)
    if top <= 0.0:
        return 0.0
    power = power_by_sorting(n, alpha, q)
    low, cs, weights = nodes_below(n, alpha, q, estimand, nodes)
    powers = [least_power(power, float(c), q, n, estimand) for c in cs]
    return float((top - low) / 2 * weights @ (1 - np.array(powers)))
