"""Seeded simulation: blocks that replay alone, the same bits for any number of workers."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np

from rsverify.audit.estimand import Estimand
from rsverify.audit.evaluate import Caller, Failure, merge_failures
from rsverify.audit.scenario import Scenario
from rsverify.audit.verdict import Verdict, decide

ROUNDING = 1e-12
BLOCK_NUMBERS = 1 << 21  # numbers drawn in a block, at most
LARGEST_BLOCK, SMALLEST_BLOCK = 1 << 15, 64


@dataclass(frozen=True)
class Design:
    """What determines the result of a simulation, bit for bit."""

    alpha: float
    n: int
    seed: int
    replications: int
    tolerance: float
    false_alarm: float
    block: int


@dataclass
class Tally:
    """The misses of one scenario so far."""

    misses: int = 0
    runs: int = 0
    slack: float = 0.0  # summed distance from the truth, over finite ones
    finite: int = 0
    failures: list[Failure] = field(default_factory=list)
    verdict: Verdict = "inconclusive"

    def add(self, other: Tally) -> None:
        """Add a block's tally to this one."""
        self.misses += other.misses
        self.runs += other.runs
        self.slack += other.slack
        self.finite += other.finite
        self.failures = merge_failures(self.failures + other.failures)


def block_size(n: int, replications: int) -> int:
    """Return how many replications a block holds; depends on nothing but the design."""
    fits = BLOCK_NUMBERS // max(n, 1)
    # At least eight looks at the evidence, so that a hopeless bound is refuted early.
    looks = math.ceil(replications / 8)
    return max(min(fits, LARGEST_BLOCK, looks), SMALLEST_BLOCK)


def generator(seed: int, scenario: int, block: int) -> np.random.Generator:
    """Return the generator of one block: a function of these three numbers alone."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(scenario, block)))


def run_block(
    caller: Caller, estimand: Estimand, scenario: Scenario, design: Design, index: int, block: int
) -> Tally:
    """Draw and judge block number `block` of scenario number `index`."""
    rng = generator(design.seed, index, block)
    rows = min(design.block, design.replications - block * design.block)
    data = estimand.draw(rng, rows, design.n, **scenario.parameters)
    truth = float(estimand.truth(**scenario.parameters))
    limits = caller.limits(data)
    # A bound of equal observations may come out above the truth by the rounding of their mean.
    slack = ROUNDING * max(1.0, abs(truth))
    missed = (limits.lower > truth + slack) | (limits.upper < truth - slack)
    distance = np.abs(limits.last - truth)
    finite = np.isfinite(distance)
    return Tally(
        int(missed.sum()),
        rows,
        float(distance[finite].sum()),
        int(finite.sum()),
        limits.failures,
    )


def simulate(
    caller: Caller,
    estimand: Estimand,
    scenarios: list[Scenario],
    design: Design,
    n_jobs: int = 1,
) -> list[Tally]:
    """Return the tally of every scenario.

    A scenario stops after the first block, in their order, at which its verdict is settled.
    Workers may run further blocks meanwhile; those are not looked at, so that the result does
    not depend on how many workers there are.
    """
    tallies = [Tally() for _ in scenarios]
    blocks = math.ceil(design.replications / design.block)
    # One block of every open scenario a round; more while few are open and workers idle.
    done = 0
    with joblib.Parallel(n_jobs=n_jobs) as parallel:
        while done < blocks:
            still = [i for i, t in enumerate(tallies) if t.verdict == "inconclusive"]
            if not still:
                break
            ahead = min(
                blocks - done, max(1, math.ceil(joblib.effective_n_jobs(n_jobs) / len(still)))
            )
            jobs = list(itertools.product(still, range(done, done + ahead)))
            results = parallel(
                joblib.delayed(run_block)(caller, estimand, scenarios[i], design, i, b)
                for i, b in jobs
            )
            for (i, _), result in zip(jobs, results, strict=True):
                _take(tallies[i], result, design, len(scenarios))
            done += ahead
    return tallies


def _take(tally: Tally, result: Any, design: Design, scenarios: int) -> None:
    """Add a block unless the verdict was already settled before it."""
    if tally.verdict != "inconclusive":
        return
    tally.add(result)
    tally.verdict = decide(
        tally.misses, tally.runs, design.alpha, design.tolerance, design.false_alarm, scenarios
    )
