"""The inductive ordering of few votes: outcomes are added so that the limit stays largest.

Beginning with all votes for the class, outcomes are added one by one to an upper set, each time
the one that leaves Buehler's limit of the grown set largest (Wang 2010). An outcome's bound is the
limit of the set when it joins. The sets are nested and hold, with an outcome, all that have more
votes for the class or fewer for the runner-up, so that the bound is Buehler's for this ordering and
is monotone in the votes.

The greedy choice can leave an outcome with less than Cohen's or Bonferroni's bound. So one outcome
is looked ahead: where another one would fall below the two if the greedy choice came first, it goes
first. Any order gives a valid bound; `coverage_studies/small_n.py` compares this one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify.kernels.margin.buehler import whole_limit
from rsverify.kernels.margin.formulas import DIFFERENCE, bonferroni_limit, cohen_limit

LARGEST_INDUCTIVE_TRIALS = 50
"""The largest number of votes: a table takes .7 s there, and grows with the third power."""

NEAR = 0.05  # an outcome this far above the two is in no danger of the next one
SLACK = 1e-9
TABLES = 64  # that are kept

Outcome = tuple[int, int]


@lru_cache(maxsize=TABLES)
def inductive_table(n: int, alpha: float, estimand: int) -> FloatArray:
    """Return the bound of every outcome, at (k1, k2); the lowest margin where k1 + k2 > n."""
    lowest = -1.0 if estimand == DIFFERENCE else -math.inf
    table = np.full((n + 1, n + 1), lowest)
    growth = _Growth(n, alpha, estimand)
    limit = math.inf
    while True:
        found = growth.next_outcome()
        if found is None or found[1] <= lowest:
            break
        outcome, value = found
        limit = min(limit, value)
        growth.add(outcome)
        table[outcome] = limit
    table.flags.writeable = False
    return table


class _Growth:
    """An upper set that grows, as the smallest k1 of each row k2."""

    def __init__(self, n: int, alpha: float, estimand: int) -> None:
        self.n, self.alpha, self.estimand = n, alpha, estimand
        self.steps: IntArray = np.full(n + 1, n + 1)
        self.size = 0
        self.known: dict[Outcome, tuple[float, int]] = {}
        """Limits of the set grown by an outcome, and the size of the set that was grown."""

    def candidates(self) -> list[Outcome]:
        """Return the outcomes that leave the set an upper set."""
        found = []
        for k2 in range(self.n + 1):
            k1 = min(int(self.steps[k2]), self.n - k2 + 1) - 1
            if k1 >= 0 and (k2 == 0 or self.steps[k2 - 1] <= k1):
                found.append((k1, k2))
        return found

    def add(self, outcome: Outcome) -> None:
        """Add an outcome."""
        self.steps[outcome[1]] = outcome[0]
        self.size += 1

    def limit(self, *outcomes: Outcome) -> float:
        """Return Buehler's limit of the set grown by outcomes."""
        grown = self.steps.copy()
        for k1, k2 in outcomes:
            grown[k2] = k1
        start = self.known.get(outcomes[-1], (0.0, -1))[0]
        return float(whole_limit(grown, self.n, self.estimand, self.alpha, start))

    def next_outcome(self) -> tuple[Outcome, float] | None:
        """Return the outcome to add and the limit with it, None where there is none."""
        candidates = self.candidates()
        if not candidates:
            return None
        best = self._greedy(candidates)
        worst, chosen = 0.0, best
        for other in candidates:
            above = self.known.get(other, (math.inf, -1))[0]
            floor = self._floor(other)
            if other == best or floor <= above - NEAR or not math.isfinite(floor):
                continue
            short = floor - self.limit(best, other)
            if short > max(worst, SLACK) and self._now(other) >= floor - SLACK:
                worst, chosen = short, other
        return chosen, self._now(chosen)

    def _greedy(self, candidates: list[Outcome]) -> Outcome:
        """Return the candidate of the largest limit.

        A limit falls as the set grows, so those of smaller sets say which ones need a look.
        """
        while True:
            best = max(candidates, key=lambda each: self.known.get(each, (math.inf, -1))[0])
            if self.known.get(best, (math.inf, -1))[1] == self.size:
                return best
            self._now(best)

    def _now(self, outcome: Outcome) -> float:
        """Return the limit of the set grown by an outcome."""
        if self.known.get(outcome, (math.inf, -1))[1] != self.size:
            self.known[outcome] = self.limit(outcome), self.size
        return self.known[outcome][0]

    def _floor(self, outcome: Outcome) -> float:
        """Return the larger of Cohen's and Bonferroni's limits of an outcome."""
        half = 0.5 * self.alpha
        k1, k2 = outcome
        return max(
            cohen_limit(self.estimand, k1, self.n, self.alpha),
            bonferroni_limit(self.estimand, k1, k2, self.n, half, half),
        )
