"""How data of further estimands are drawn, and what their distributions have as truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray

Law = Sequence[Any]
Generator = np.random.Generator


def two_binomials(
    rng: Generator, replications: int, sizes: tuple[int, int], p1: float, p2: float
) -> IntArray:
    """Draw successes and failures of two samples."""
    one, two = rng.binomial(sizes[0], p1, replications), rng.binomial(sizes[1], p2, replications)
    return np.column_stack([one, sizes[0] - one, two, sizes[1] - two])


def without_replacement(
    rng: Generator, replications: int, n: int, successes: int, population: int
) -> IntArray:
    """Draw successes and failures without replacement, and the size of the population."""
    found = rng.hypergeometric(successes, population - successes, n, replications)
    return np.column_stack([found, n - found, np.full_like(found, population)])


def pairs(
    rng: Generator, replications: int, n: int, both: float, first: float, second: float
) -> IntArray:
    """Draw pairs with both, only the first, only the second, and no success."""
    none = max(1.0 - both - first - second, 0.0)
    return np.asarray(rng.multinomial(n, [both, first, second, none], replications))


def events(rng: Generator, replications: int, n: int, rate: float) -> IntArray:
    """Draw counts of events in an exposure of n, and the exposure."""
    return np.column_stack([rng.poisson(n * rate, replications), np.full(replications, n)])


def real_sample(rng: Generator, replications: int, n: int, law: Law) -> npt.NDArray[np.float64]:
    """Draw independent real numbers: points, or a continuous distribution shifted and scaled."""
    shape = (replications, n)
    if law[0] == "points":
        values, edges = np.asarray(law[1], dtype=np.float64), np.cumsum(law[2])
        return values[np.searchsorted(edges[:-1], rng.random(shape), side="right")]
    return np.asarray(_continuous(law).rvs(size=shape, random_state=rng), dtype=np.float64)


def _continuous(law: Law) -> Any:
    """Return the distribution of ("name", parameters ...), by scipy's names and parameters."""
    from scipy import stats  # a third of a second, and seldom needed

    return getattr(stats, str(law[0]))(*law[1:])


def quantile_of(law: Law, level: float) -> float:
    """Return the least x with P(X <= x) >= `level`."""
    if law[0] == "points":
        order = np.argsort(law[1], kind="stable")
        total = np.cumsum(np.asarray(law[2], dtype=np.float64)[order])
        # Sums of probabilities that are written in decimals are off by their rounding.
        first = int(np.argmax(total >= level - 1e-12))
        return float(np.asarray(law[1], dtype=np.float64)[order][first])
    return float(_continuous(law).ppf(level))


def variance_of(law: Law) -> float:
    """Return the variance of a distribution on [0, 1], beta or points."""
    if law[0] == "beta":
        a, b = law[1], law[2]
        return float(a * b / ((a + b) ** 2 * (a + b + 1.0)))
    values, weights = (np.asarray(part, dtype=np.float64) for part in law[1:3])
    mean = math.fsum(values * weights)
    return math.fsum((values - mean) ** 2 * weights)


def probability_within(law: Law, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return P(low <= X <= high) for each pair of ends."""
    if law[0] == "points":
        values, weights = (np.asarray(part, dtype=np.float64) for part in law[1:3])
        inside = (values >= low[:, None]) & (values <= high[:, None])
        return np.asarray((inside * weights).sum(axis=1))
    known = _continuous(law)
    return np.asarray(np.where(low > high, 0.0, known.cdf(high) - known.cdf(low)))
