"""Binomial and trinomial tails in ball arithmetic: each result is a ball that holds the true one.

All sums are of nonnegative terms, each of which follows from the one before by a product of
balls; what is left out at either end is bounded by a geometric series and added to the ball.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb
from scipy.special import betainc

Ball = Any  # flint.arb, which has no type hints

NEGLIGIBLE = 1e-12
"""Share of alpha below which the ends of a sum are bounded and not summed."""


def between(low: Ball, high: Ball) -> Ball:
    """Return a ball that holds all from `low` to `high`."""
    return low.union(high)


def log_binomial(n: int, k: int) -> Ball:
    """Return log(n choose k)."""
    return arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()


def power(base: Ball, exponent: int) -> Ball:
    """Return the logarithm of a power, that of 0 ** 0 being 0."""
    return arb(0) if exponent == 0 else exponent * base.log()


def binomial_term(k: int, n: int, p: Ball, rest: Ball) -> Ball:
    """Return P(Bin(n, p) = k) where rest = 1 - p."""
    return (log_binomial(n, k) + power(p, k) + power(rest, n - k)).exp()


def binomial_tail(
    k: int, n: int, p: Ball, rest: Ball, alpha: float, negligible: float = NEGLIGIBLE
) -> Ball:
    """Return P(Bin(n, p) >= k) where rest = 1 - p; exact to a negligible part of `alpha`."""
    if k <= 0:
        return arb(1)
    if k > n:
        return arb(0)
    term = total = binomial_term(k, n, p, rest)
    odds = p / rest
    for x in range(k, n):
        ratio = odds * (n - x) / (x + 1)
        term = term * ratio
        total = total + term
        # Ratios fall, so that what follows is at most a geometric series.
        if (x - k) % 16 == 15 and ratio < 1:
            tail = term * ratio / (1 - ratio)
            if tail < negligible * alpha:
                return total + between(arb(0), tail)
    return total


@dataclass(frozen=True)
class Staircase:
    """An upper set of outcomes {(x1, x2): x1 >= steps[x2]} of n votes, row by row.

    ``steps`` holds the rows that are not empty, from x2 = 0 on; it does not fall, which is what
    makes the set an upper one: a vote moved 3->1, 2->1 or 2->3 leaves no outcome outside.
    """

    n: int
    steps: Sequence[int]

    def __post_init__(self) -> None:
        rows = list(self.steps)
        if not rows or any(a > b for a, b in itertools.pairwise(rows)):
            raise ValueError(f"steps of {len(rows)} rows must be nonempty and must not fall")
        if rows[0] < 0 or any(s > self.n - x2 for x2, s in enumerate(rows)):
            raise ValueError("steps must lie from 0 to n - x2")

    def holds(self, x1: int, x2: int) -> bool:
        """Return whether an outcome belongs to the set."""
        return x2 < len(self.steps) and x1 >= self.steps[x2]

    def tail(self, q1: Ball, q2: Ball, q3: Ball, alpha: float) -> Ball:
        """Return P(X1 >= steps[X2]) for trinomial X.

        With G_j = P(X1 >= steps[j] | X2 = j) and b_j = P(X2 = j) the sum of b_j G_j, from the
        highest row that counts down to the lowest. One row down, X1 has one trial more and the
        step may be lower; either adds terms of the binomial distribution to G_j.
        """
        n, steps = self.n, self.steps
        others = q1 + q3
        p, rest = q1 / others, q3 / others
        high, low = self._rows(float(p.mid()), float(q2.mid()), alpha)
        lower_odds, row_odds = rest / p, q2 / others
        j, s = high, steps[high]
        f = binomial_term(s, n - j, p, rest)
        given = binomial_tail(s, n - j, p, rest, alpha)
        total = given  # the sum so far, over b_j
        above = given
        for j in range(high - 1, low - 1, -1):
            trials = n - j
            grown = f * rest
            more = grown * s / (trials - s)
            given = given + more
            f = grown + more
            while s > steps[j]:
                f = f * lower_odds * s / (trials - s + 1)
                s -= 1
                given = given + f
            total = total * row_odds * (n - j) / (j + 1) + given
        total = total * binomial_term(low, n, q2, others)
        return total + between(arb(0), self._beyond(high, low, q2, others, above))

    def _rows(self, p: float, q2: float, alpha: float) -> tuple[int, int]:
        """Return the highest and the lowest row that are summed; any choice is right."""
        n, least = self.n, NEGLIGIBLE * alpha / 1e3
        spread = math.sqrt(-2 * math.log(least))
        mean, deviation = n * q2, math.sqrt(n * q2 * (1 - q2))
        low = max(0, math.floor(mean - spread * deviation))
        high = math.ceil(mean + spread * (deviation + spread / 3))
        high = min(len(self.steps) - 1, high)
        low = min(low, high)
        # Far up P(X1 >= step | X2) is so small that those rows do not count either.
        rows = np.unique(np.linspace(low, high, 24).astype(np.int64))
        steps = np.array([self.steps[j] for j in rows])
        counting = rows[betainc(steps, n - rows - steps + 1, p) > least]
        after = int(np.searchsorted(rows, counting[-1])) + 1 if counting.size else 0
        return int(rows[min(after, rows.size - 1)]), low

    def _beyond(self, high: int, low: int, q2: Ball, others: Ball, above: Ball) -> Ball:
        """Return an upper limit of what the rows that are not summed can hold."""
        n, found = self.n, arb(0)
        if high < len(self.steps) - 1:
            ratio = q2 / others * (n - high) / (high + 1)  # of b_{j+1} to b_j; it falls
            rows = arb(1)
            if ratio < 1:
                rows = (binomial_term(high, n, q2, others) * ratio / (1 - ratio)).min(rows)
            found = found + above * rows
        if low > 0:
            ratio = others / q2 * low / (n - low + 1)  # of b_{j-1} to b_j; it falls downward
            if not ratio < 1:
                return arb(1)
            found = found + binomial_term(low, n, q2, others) * ratio / (1 - ratio)
        return found
