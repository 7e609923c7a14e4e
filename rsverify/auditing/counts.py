"""Models of counts: what can be observed, with which probability, and how a box bounds it.

A model has one or two parameters. For a box of parameters `largest` gives the maximum of each
outcome's probability over the box, so that a sum of these bounds any expectation over it. Boxes
are halved in a scale in which the probabilities change about evenly.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import gammaln, pdtrc, xlog1py, xlogy

from rsverify._core.check import FloatArray, IntArray

Region = tuple[float, float]
Exact = tuple[Fraction, ...]
"""The parameters of a distribution, exactly."""

EVERYWHERE: Region = (-math.inf, math.inf)
LARGEST_MEAN = 500.0  # expected counts up to which Poisson rates are enclosed
UNSEEN = 1e-16  # probability of Poisson counts beyond those enumerated


def binomial_pmf(n: int, p: FloatArray) -> FloatArray:
    """Return P(X = k), k = 0..n last, for `p` of shape (C,) or (C, n + 1)."""
    k = np.arange(n + 1)
    ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    p = p if p.ndim == 2 else p[:, None]
    return np.asarray(np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p)))


def binomial_most(n: int, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the maximum of each P(X = k) over p in [low, high]."""
    return binomial_pmf(n, np.clip(np.arange(n + 1) / n, low[:, None], high[:, None]))


class Weights(NamedTuple):
    """Probabilities in rational arithmetic: integers over one denominator."""

    above: list[int]
    below: int


def rational_binomial(n: int, p: Fraction) -> Weights:
    """Return P(X = k), k = 0..n, exactly."""
    a, d = p.numerator, p.denominator
    ups, downs = [1], [1]
    for _ in range(n):
        ups.append(ups[-1] * a)
        downs.append(downs[-1] * (d - a))
    ways, choose = [], 1
    for k in range(n + 1):
        ways.append(choose * ups[k] * downs[n - k])
        choose = choose * (n - k) // (k + 1)
    return Weights(ways, d**n)


@dataclass(frozen=True)
class CountModel(ABC):
    """A family of distributions of counts.

    `region` restricts it to distributions whose estimand is in it: the null of a test. `fixed` is
    what limits are held against, where it is one number for all distributions.
    """

    n: int
    region: Region = EVERYWHERE
    fixed: float | None = None
    names: ClassVar[tuple[str, ...]] = ("p",)
    ordered: ClassVar[bool] = False
    """Whether larger parameters make larger counts more probable (one parameter)."""

    @property
    @abstractmethod
    def outcomes(self) -> IntArray:
        """Every outcome, one per row, as a bound gets it."""

    @property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """The least and the largest parameters."""
        size = len(self.names)
        return np.zeros(size), np.ones(size)

    @property
    def scope(self) -> str:
        """Which distributions the model holds."""
        return self._within("every p")

    def _within(self, text: str) -> str:
        low, high = self.region
        if self.region == EVERYWHERE:
            return text
        if low == high:
            return f"{text} with estimand {low:g}"
        if low == -math.inf:
            return f"{text} with estimand at most {high:g}"
        limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        return f"{text} with estimand {limits}"

    @abstractmethod
    def value(self, points: FloatArray) -> FloatArray:
        """Return the estimand at parameters (C, d)."""

    def span(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the least and the largest estimand over boxes."""
        least, most = self._corners(low, high)
        a, b = self.value(least), self.value(most)
        return np.where(np.isnan(a), -np.inf, a), np.where(np.isnan(b), np.inf, b)

    def _corners(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return where in each box the estimand is least and largest."""
        return low, high

    @abstractmethod
    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return the probability of each outcome at parameters (C, d): (C, outcomes)."""

    @abstractmethod
    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return the maximum of each outcome's probability over boxes: (C, outcomes)."""

    def stretched(self, points: FloatArray) -> FloatArray:
        """Return parameters in a scale in which probabilities change about evenly."""
        return np.asarray(np.arcsin(np.sqrt(points)))

    def narrowed(self, stretched: FloatArray) -> FloatArray:
        """Return parameters from that scale."""
        return np.asarray(np.sin(stretched) ** 2)

    def unseen(self, high: FloatArray) -> FloatArray:
        """Return the probability of what is not among the outcomes, at most, over boxes."""
        return np.zeros(len(high))

    @abstractmethod
    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return parameters of that estimand; `share` in (0, 1) chooses among several."""

    def parameters(self, point: FloatArray) -> dict[str, object]:
        """Return the parameters as the estimand's `draw` takes them."""
        return dict(zip(self.names, map(float, point), strict=True))

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield parameters with few digits next to `point`."""
        del targets
        scale = 10**digits
        yield from itertools.product(*(beside(float(each), scale) for each in point))

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return estimand and probabilities in rational arithmetic; None where they are not."""
        del point
        return None


def beside(value: float, scale: int) -> list[Fraction]:
    """Return the neighbors of a number in [0, 1] among multiples of 1/scale."""
    down = math.floor(Fraction(value) * scale)
    return [Fraction(min(k, scale), scale) for k in (down, down + 1)]


@dataclass(frozen=True)
class BinomialModel(CountModel):
    """Successes and failures in n trials."""

    ordered: ClassVar[bool] = True

    @cached_property
    def outcomes(self) -> IntArray:
        """Successes and failures."""
        k = np.arange(self.n + 1)
        return np.column_stack([k, self.n - k])

    def value(self, points: FloatArray) -> FloatArray:
        """Return p."""
        return points[:, 0]

    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return binomial probabilities."""
        return binomial_pmf(self.n, points[:, 0])

    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return their maxima over intervals."""
        return binomial_most(self.n, low[:, 0], high[:, 0])

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return p itself."""
        del share
        return np.clip(value, 0.0, 1.0)[:, None]

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield ends of the region that `point` is at, then p with few digits."""
        yield from ((Fraction(v),) for v in targets if v == point[0])
        yield from super().near(point, digits, targets)

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return p and binomial probabilities."""
        return point[0], rational_binomial(self.n, point[0])


@dataclass(frozen=True)
class PoissonModel(CountModel):
    """A count of events, Poisson with mean n times the rate; n is the exposure."""

    names: ClassVar[tuple[str, ...]] = ("rate",)
    ordered: ClassVar[bool] = True

    @property
    def largest_mean(self) -> float:
        """The mean up to which rates are enclosed."""
        low, high = self.region
        if high < math.inf:
            return self.n * high
        return max(LARGEST_MEAN, 2.0 * self.n * max(low, 0.0))

    @cached_property
    def outcomes(self) -> IntArray:
        """The count and the exposure, as far as counts have any probability."""
        from scipy.stats import poisson  # a third of a second, and seldom needed

        top = int(poisson.isf(UNSEEN, self.largest_mean)) + 1
        k = np.arange(top + 1)
        return np.column_stack([k, np.full_like(k, self.n)])

    @property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Rates from 0 on."""
        return np.zeros(1), np.array([self.largest_mean / self.n])

    @property
    def scope(self) -> str:
        """Rates up to the largest that are enclosed."""
        return self._within(f"every rate up to {self.largest_mean / self.n:g}")

    def value(self, points: FloatArray) -> FloatArray:
        """Return the rate."""
        return points[:, 0]

    def _pmf(self, means: FloatArray) -> FloatArray:
        k = np.arange(len(self.outcomes))
        return np.asarray(np.exp(xlogy(k, means) - means - gammaln(k + 1.0)))

    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return Poisson probabilities."""
        return self._pmf(self.n * points)

    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return their maxima over intervals."""
        return self._pmf(np.clip(np.arange(len(self.outcomes)), self.n * low, self.n * high))

    def stretched(self, points: FloatArray) -> FloatArray:
        """Return the square root of the rate."""
        return np.asarray(np.sqrt(points))

    def narrowed(self, stretched: FloatArray) -> FloatArray:
        """Return the square."""
        return stretched**2

    def unseen(self, high: FloatArray) -> FloatArray:
        """Return the tail beyond the counts enumerated."""
        return np.asarray(pdtrc(len(self.outcomes) - 1, self.n * high[:, 0]))

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return the rate itself."""
        del share
        return np.clip(value, 0.0, self.ends[1][0])[:, None]


@dataclass(frozen=True)
class HypergeometricModel(CountModel):
    """Successes among n drawn without replacement from a finite population."""

    population: int = 0
    names: ClassVar[tuple[str, ...]] = ("successes",)

    @cached_property
    def outcomes(self) -> IntArray:
        """Successes and failures in the sample, and the size of the population."""
        k = np.arange(self.n + 1)
        return np.column_stack([k, self.n - k, np.full_like(k, self.population)])

    @property
    def all_points(self) -> FloatArray:
        """Every number of successes in the population, within the region."""
        k = np.arange(self.population + 1.0)
        return k[(k >= self.region[0]) & (k <= self.region[1])][:, None]

    @property
    def scope(self) -> str:
        """Every number of successes."""
        return self._within(f"every population of {self.population}")

    def value(self, points: FloatArray) -> FloatArray:
        """Return the number of successes in the population."""
        return points[:, 0]

    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return hypergeometric probabilities."""
        k, n, rest = np.arange(self.n + 1.0), self.n, self.population - points
        inside = (k <= points) & (n - k <= rest)
        ways = _log_choose(points, np.minimum(k, points)) + _log_choose(
            rest, np.clip(n - k, 0, rest)
        )
        total = _log_choose(np.array(float(self.population)), np.array(float(n)))
        return np.where(inside, np.exp(ways - total), 0.0)

    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Not needed: every distribution is enumerated."""
        raise NotImplementedError

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return the next whole number."""
        del share
        return np.clip(np.rint(value), 0.0, self.population)[:, None]

    def parameters(self, point: FloatArray) -> dict[str, object]:
        """Return the number of successes, an integer."""
        return {"successes": int(point[0])}

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield the point itself: it is an integer."""
        del digits, targets
        yield (Fraction(int(point[0])),)

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return the number of successes and hypergeometric probabilities."""
        have = int(point[0])
        total = math.comb(self.population, self.n)
        rest = self.population - have
        ways = [math.comb(have, k) * math.comb(rest, self.n - k) for k in range(self.n + 1)]
        return point[0], Weights(ways, total)


def _log_choose(n: FloatArray, k: FloatArray) -> FloatArray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
