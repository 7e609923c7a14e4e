"""Models of counts with two parameters: two binomials, pairs of binary data, votes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.types import MarginName, TwoSampleName
from rsverify.auditing.counts import (
    CountModel,
    Exact,
    Region,
    Weights,
    beside,
    binomial_most,
    binomial_pmf,
    rational_binomial,
)

PairedName = Literal["difference", "odds-ratio"]


@dataclass(frozen=True)
class TwoBinomials(CountModel):
    """Two independent binomials; the estimand compares p1 with p2 and rises with p1."""

    second: int = 0
    compared: TwoSampleName = "difference"
    names: ClassVar[tuple[str, ...]] = ("p1", "p2")

    @cached_property
    def outcomes(self) -> IntArray:
        """Successes and failures of the first sample, then of the second."""
        k1, k2 = np.divmod(np.arange((self.n + 1) * (self.second + 1)), self.second + 1)
        return np.column_stack([k1, self.n - k1, k2, self.second - k2])

    @property
    def scope(self) -> str:
        """Every pair of proportions."""
        return self._within("every p1 and p2")

    def value(self, points: FloatArray) -> FloatArray:
        """Return the difference, ratio or odds ratio; NaN where it is 0/0."""
        p1, p2 = points.T
        if self.compared == "difference":
            return np.asarray(p1 - p2)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.compared == "ratio":
                return np.asarray(p1 / p2)
            return np.asarray(p1 * (1.0 - p2) / ((1.0 - p1) * p2))

    def _corners(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        least = np.column_stack([low[:, 0], high[:, 1]])
        return least, np.column_stack([high[:, 0], low[:, 1]])

    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return products of binomial probabilities."""
        return _outer(binomial_pmf(self.n, points[:, 0]), binomial_pmf(self.second, points[:, 1]))

    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return products of their maxima over intervals."""
        return _outer(
            binomial_most(self.n, low[:, 0], high[:, 0]),
            binomial_most(self.second, low[:, 1], high[:, 1]),
        )

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return p1 and p2 of that difference or ratio, p2 by the share of its range."""
        if self.compared == "difference":
            p2 = np.clip(-value, 0.0, 1.0) + share * np.clip(1.0 - np.abs(value), 0.0, 1.0)
            p1 = p2 + value
        elif self.compared == "ratio":
            with np.errstate(divide="ignore"):
                p2 = share * np.minimum(1.0, 1.0 / value)
            p1 = np.where(np.isinf(value), share, p2 * np.where(np.isinf(value), 0.0, value))
        else:
            p2 = np.where(np.isinf(value), 0.0, share)
            v = np.where(np.isinf(value), 1.0, value)
            p1 = np.where(np.isinf(value), share, v * p2 / (1.0 - p2 + v * p2))
        return np.clip(np.column_stack([p1, p2]), 0.0, 1.0)

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield pairs on the ends of the region, with p2 of few digits, then others."""
        for v, p2 in itertools.product(set(targets), beside(float(point[1]), 10**digits)):
            if math.isfinite(v):
                value = Fraction(v)
                p1 = p2 + value if self.compared == "difference" else value * p2
                if self.compared == "odds-ratio":
                    p1 = value * p2 / (1 - p2 + value * p2)
                if 0 <= p1 <= 1:
                    yield p1, p2
        yield from super().near(point, digits, targets)

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return the estimand and products of binomial probabilities."""
        p1, p2 = point
        if self.compared == "difference":
            value = p1 - p2
        else:
            above, below = p1, p2
            if self.compared == "odds-ratio":
                above, below = p1 * (1 - p2), (1 - p1) * p2
            if below == 0:
                return None
            value = above / below
        one, two = rational_binomial(self.n, p1), rational_binomial(self.second, p2)
        both = [a * b for a in one.above for b in two.above]
        return value, Weights(both, one.below * two.below)


def _outer(one: FloatArray, two: FloatArray) -> FloatArray:
    return (one[:, :, None] * two[:, None, :]).reshape(len(one), -1)


@dataclass(frozen=True)
class PairedModel(CountModel):
    """Pairs of binary data, by what differs: the share of discordant pairs and how they fall.

    `q` is the probability that a pair is discordant, `s` that then the first is the success. What
    concordant pairs are is left out: `collapsed` says for whom that is right.
    """

    compared: PairedName = "difference"
    names: ClassVar[tuple[str, ...]] = ("q", "s")

    @cached_property
    def outcomes(self) -> IntArray:
        """Pairs with both, the first, the second, and no success."""
        n = self.n
        return np.array(
            [
                (both, first, second, n - both - first - second)
                for first in range(n + 1)
                for second in range(n - first + 1)
                for both in range(n - first - second + 1)
            ]
        )

    @cached_property
    def groups(self) -> IntArray:
        """The place, among the outcomes, of the first of each pair of discordant counts."""
        sizes = [self.n - i - j + 1 for i in range(self.n + 1) for j in range(self.n - i + 1)]
        return np.concatenate([[0], np.cumsum(sizes)[:-1]])

    @cached_property
    def _discordant(self) -> tuple[IntArray, IntArray]:
        pairs = [(i, j) for i in range(self.n + 1) for j in range(self.n - i + 1)]
        first, second = np.array(pairs).T
        return first, second

    @property
    def scope(self) -> str:
        """Every distribution of pairs."""
        return self._within("all distributions of pairs")

    def value(self, points: FloatArray) -> FloatArray:
        """Return the difference of the proportions, or the odds of discordant pairs."""
        q, s = points.T
        if self.compared == "difference":
            return np.asarray(q * (2.0 * s - 1.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(s / (1.0 - s))

    def _corners(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        s_least, s_most = low[:, 1], high[:, 1]
        q_least = np.where(s_least < 0.5, high[:, 0], low[:, 0])
        q_most = np.where(s_most < 0.5, low[:, 0], high[:, 0])
        return np.column_stack([q_least, s_least]), np.column_stack([q_most, s_most])

    def probabilities(self, points: FloatArray) -> FloatArray:
        """Return the probabilities of the two numbers of discordant pairs."""
        first, second = self._discordant
        total = binomial_pmf(self.n, points[:, 0])
        out = total[:, first + second]
        for d in range(1, self.n + 1):
            here = first + second == d
            out[:, here] *= binomial_pmf(d, points[:, 1])[:, first[here]]
        return out

    def largest(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return their maxima over boxes."""
        first, second = self._discordant
        out = binomial_most(self.n, low[:, 0], high[:, 0])[:, first + second]
        for d in range(1, self.n + 1):
            here = first + second == d
            out[:, here] *= binomial_most(d, low[:, 1], high[:, 1])[:, first[here]]
        return out

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return q and s of that difference or odds; `share` chooses q."""
        if self.compared == "difference":
            q = np.abs(value) + share * np.clip(1.0 - np.abs(value), 0.0, 1.0)
            s = 0.5 + 0.5 * value / q
        else:
            q = share
            s = np.where(np.isinf(value), 1.0, value / (1.0 + np.where(np.isinf(value), 0, value)))
        return np.clip(np.column_stack([q, s]), 0.0, 1.0)

    def parameters(self, point: FloatArray) -> dict[str, object]:
        """Return the probabilities of the four kinds of pairs, half of the rest to each."""
        q, s = map(float, point)
        return {"both": (1.0 - q) / 2.0, "first": q * s, "second": q * (1.0 - s)}

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield q with few digits and s that gives an end of the region, then others."""
        for v, q in itertools.product(set(targets), beside(float(point[0]), 10**digits)):
            if math.isfinite(v) and q > 0:
                value = Fraction(v)
                difference = self.compared == "difference"
                s = (1 + value / q) / 2 if difference else value / (1 + value)
                if 0 <= s <= 1:
                    yield q, s
        yield from super().near(point, digits, targets)

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return the estimand and the probabilities of discordant pairs."""
        q, s = point
        if self.compared == "odds-ratio" and s == 1:
            return None
        value = q * (2 * s - 1) if self.compared == "difference" else s / (1 - s)
        total = rational_binomial(self.n, q)
        split = [rational_binomial(d, s) for d in range(self.n + 1)]
        first, second = self._discordant
        most = split[-1].below
        ways = [
            total.above[i + j] * split[i + j].above[i] * (most // split[i + j].below)
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
        return value, Weights(ways, total.below * most)


@dataclass(frozen=True)
class VotesModel(PairedModel):
    """Votes for a class, for another, and for the rest, whose margin is that of the first two.

    As in pairs, `q` is the probability of one of the two, and `s` that it is then the first.
    """

    margin: MarginName = "difference"

    @cached_property
    def outcomes(self) -> IntArray:
        """Votes of the first class, of the second, and of all others."""
        first, second = self._discordant
        return np.column_stack([first, second, self.n - first - second])

    @cached_property
    def groups(self) -> IntArray:
        """Every outcome is kept."""
        return np.arange(len(self.outcomes))

    @property
    def scope(self) -> str:
        """Every distribution of votes."""
        return self._within("all distributions of votes")

    def value(self, points: FloatArray) -> FloatArray:
        """Return p1 - p2, or the difference of their quantiles."""
        q, s = points.T
        if self.margin == "difference":
            return super().value(points)
        with np.errstate(invalid="ignore"):
            return np.asarray(self._quantile(q * s) - self._quantile(q * (1.0 - s)))

    def _quantile(self, p: FloatArray) -> FloatArray:
        return laplace_quantile(p) if self.margin == "laplace" else np.asarray(ndtri(p))

    def span(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return limits of the margin over boxes; those of quantiles may not be attained."""
        if self.margin == "difference":
            return super().span(low, high)
        (q_low, s_low), (q_high, s_high) = low.T, high.T
        with np.errstate(invalid="ignore"):
            least = self._quantile(q_low * s_low) - self._quantile(q_high * (1.0 - s_low))
            most = self._quantile(q_high * s_high) - self._quantile(q_low * (1.0 - s_high))
        return np.where(np.isnan(least), -np.inf, least), np.where(np.isnan(most), np.inf, most)

    def at(self, value: FloatArray, share: FloatArray) -> FloatArray:
        """Return q and s of that margin; `share` chooses q."""
        if self.margin == "difference":
            return super().at(value, share)
        low, high = np.zeros_like(value), np.ones_like(value)
        for _ in range(60):
            s = 0.5 * (low + high)
            above = self.value(np.column_stack([share, s])) > value
            low, high = np.where(above, low, s), np.where(above, s, high)
        return np.column_stack([share, low])

    def parameters(self, point: FloatArray) -> dict[str, object]:
        """Return the probabilities of the three."""
        q, s = map(float, point)
        return {"p": (q * s, q * (1.0 - s), max(1.0 - q, 0.0))}

    def near(self, point: FloatArray, digits: int, targets: Region) -> Iterator[Exact]:
        """Yield points with few digits; on the ends of a region for the difference only."""
        if self.margin == "difference":
            yield from super().near(point, digits, targets)
        else:
            yield from CountModel.near(self, point, digits, targets)

    def exactly(self, point: Exact) -> tuple[Fraction, Weights] | None:
        """Return margin and probabilities; those of quantiles are rational where p1 = p2 only."""
        if self.margin == "difference":
            return super().exactly(point)
        known = super().exactly((point[0], Fraction(1, 2)))
        return known if point[1] == Fraction(1, 2) else None


def laplace_quantile(p: npt.ArrayLike) -> FloatArray:
    """Return the quantile function of the Laplace distribution."""
    x = np.asarray(p, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.where(x < 0.5, np.log(2.0 * x), -np.log(2.0 * (1.0 - x)))
