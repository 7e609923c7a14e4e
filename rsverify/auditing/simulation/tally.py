"""What a simulation counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rsverify.auditing.caller import Failure, merge_failures
from rsverify.auditing.verdict import Verdict


@dataclass
class Tally:
    """The failures to cover of one scenario so far."""

    misses: int = 0
    runs: int = 0
    slack: float = 0.0  # summed distance from the truth, over finite ones
    squares: float = 0.0  # its squares
    finite: int = 0
    failures: list[Failure] = field(default_factory=list)
    verdict: Verdict = "inconclusive"
    peak: tuple[int, int] = (0, 0)  # the block with most failures to cover, and how many

    def add(self, other: Tally) -> None:
        """Add a block's tally to this one."""
        self.misses += other.misses
        self.runs += other.runs
        self.slack += other.slack
        self.squares += other.squares
        self.finite += other.finite
        self.failures = merge_failures(self.failures + other.failures)

    @property
    def gap(self) -> tuple[float, float]:
        """The mean distance of the bound from the truth and its Monte Carlo error; NaN if none."""
        if self.finite == 0:
            return math.nan, math.nan
        mean = self.slack / self.finite
        spread = max(self.squares / self.finite - mean * mean, 0.0)
        return mean, math.sqrt(spread / self.finite)
