"""Coverage and gaps of several bounds on the same data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsverify._core.types import FloatArray, IntArray, Side
from rsverify.auditing.caller import Caller, Failure, Limits
from rsverify.auditing.comparing.outcomes import (
    floor_of,
    gaps,
    number_of_outcomes,
    outcomes_of,
    probabilities,
)
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Estimand
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import generator, missed
from rsverify.auditing.verdict import miscoverage_error

NUMBERS = 1 << 21  # drawn at once, at most
EXACT_LIMIT = 20_000  # outcomes, at most, that are all evaluated


@dataclass(frozen=True)
class Measured:
    """What bounds did under one distribution: an entry for each bound.

    `differences` are mean gaps less that of the first, over replications on which neither failed.
    """

    replications: int  # 0: every outcome was summed
    misses: list[int]
    miscoverage: list[float]
    gap: list[float]
    gap_error: list[float]
    difference: list[float]
    difference_error: list[float]
    failed: list[int]
    failures: list[list[Failure]]


def exact_outcomes(
    estimand: Estimand, suite: Sequence[Scenario], design: Design
) -> IntArray | None:
    """Return the outcomes that count under some scenario, None where simulating is less work."""
    if number_of_outcomes(estimand, design.n) > EXACT_LIMIT:
        return None
    outcomes = outcomes_of(estimand, design.n)
    if outcomes is None:
        return None
    seen = np.zeros(len(outcomes), dtype=bool)
    for scenario in suite:
        p = probabilities(estimand, design.n, outcomes, scenario.parameters)
        if p is None:
            return None
        seen |= p > 1e-18
    if int(seen.sum()) > max(design.replications * len(suite), design.n + 1):
        return None
    return outcomes[seen]


def sum_up(
    callers: Sequence[Caller],
    outcomes: IntArray,
    estimand: Estimand,
    suite: Sequence[Scenario],
    design: Design,
) -> list[Measured]:
    """Return expectations, summed over outcomes."""
    order = generator(design.seed, "outcomes", 0).permutation(len(outcomes))
    data = outcomes[order]
    limits = [caller.limits(data) for caller in callers]
    found = []
    for scenario in suite:
        p = probabilities(estimand, design.n, data, scenario.parameters)
        assert p is not None, "of these outcomes"
        truth = float(estimand.truth(**scenario.parameters))
        found.append(_measured(limits, truth, estimand, design.side, p / p.sum(), 0))
    return found


def simulate_all(
    callers: Sequence[Caller], estimand: Estimand, scenario: Scenario, design: Design
) -> Measured:
    """Return means over replications, the same for every bound."""
    rows = max(1, NUMBERS // max(design.n, 1))
    parts: list[list[Limits]] = [[] for _ in callers]
    for block, start in enumerate(range(0, design.replications, rows)):
        size = min(rows, design.replications - start)
        rng = generator(design.seed, scenario.stream or scenario.name, block)
        data = estimand.draw(rng, size, design.n, **scenario.parameters)
        for part, caller in zip(parts, callers, strict=True):
            part.append(caller.limits(data))
    limits = [_together(part) for part in parts]
    truth = float(estimand.truth(**scenario.parameters))
    count = design.replications
    weights = np.full(count, 1.0 / count)
    return _measured(limits, truth, estimand, design.side, weights, count)


def _together(parts: Sequence[Limits]) -> Limits:
    return Limits(
        np.concatenate([p.lower for p in parts]),
        np.concatenate([p.upper for p in parts]),
        np.concatenate([p.last for p in parts]),
        [f for p in parts for f in p.failures],
    )


def _measured(
    limits: Sequence[Limits],
    truth: float,
    estimand: Estimand,
    side: Side,
    weights: FloatArray,
    replications: int,
) -> Measured:
    ends = floor_of(estimand, side)
    own = [gaps(each.lower, each.upper, truth, side, ends) for each in limits]
    worked = [~_failed(each) for each in limits]
    wrong = [missed(each.lower, each.upper, truth) for each in limits]
    found = Measured(replications, [], [], [], [], [], [], [], [each.failures for each in limits])
    for i, (gap, valid, miss) in enumerate(zip(own, worked, wrong, strict=True)):
        count = int(miss.sum())
        found.misses.append(count)
        found.miscoverage.append(count / replications if replications else _sum(weights, miss))
        mean, error = _mean(gap, weights, valid, replications)
        found.gap.append(mean)
        found.gap_error.append(error)
        with np.errstate(invalid="ignore"):
            less = gap - own[0]
        mean, error = _mean(less, weights, valid & worked[0], replications)
        found.difference.append(0.0 if i == 0 and not math.isnan(mean) else mean)
        found.difference_error.append(error)
        found.failed.append(int((~valid).sum()))
    return found


def _failed(limits: Limits) -> npt.NDArray[np.bool_]:
    """Return where a bound raised, or returned NaN or nothing that the space has."""
    out: npt.NDArray[np.bool_] = (limits.lower == np.inf) | (limits.upper == -np.inf)
    return out


def _sum(weights: FloatArray, where: npt.NDArray[np.bool_]) -> float:
    return math.fsum(weights[where])


def _mean(
    values: FloatArray, weights: FloatArray, valid: npt.NDArray[np.bool_], replications: int
) -> tuple[float, float]:
    """Return mean and standard error over those that are valid; 0 as the error of a sum."""
    weights = np.where(valid & (weights > 0.0), weights, 0.0)
    total = weights.sum()
    if total <= 0.0:
        return math.nan, math.nan
    used = weights > 0.0
    with np.errstate(invalid="ignore"):
        mean = float(weights[used] @ values[used] / total)
        if not replications or not math.isfinite(mean):
            return mean, 0.0 if math.isfinite(mean) else math.nan
        spread = float(np.std(values[used], ddof=1)) if used.sum() > 1 else math.nan
    return mean, spread / math.sqrt(int(used.sum()))


def error_of(misses: int, replications: int) -> float:
    """Return the standard error of a miscoverage; 0 where nothing was drawn."""
    return miscoverage_error(misses, replications) if replications else 0.0
