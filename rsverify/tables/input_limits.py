"""Limits over inputs: of all rows of a table, or of as many as a run needed.

A run that stops over inputs when it knows enough has a number of rows that depends on what was
found. Limits for a fixed number do not hold then; time-uniform ones do, at any stopping time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, IntArray
from rsverify.bounds.confidence_sequences import betting_sequence, kt_mixture_sequence
from rsverify.bounds.finite_population import population_share_interval
from rsverify.bounds.proportion import clopper_pearson_interval, clopper_pearson_lower
from rsverify.tables.limits import mean_interval, mean_lower

__all__ = ["Estimate", "Sampled"]

Hits = npt.NDArray[np.bool_]
# More than covers the rounding of the operations that it is applied to.
_DOWN, _UP = 1.0 - 1e-14, 1.0 + 1e-14


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure of a table, with its confidence limits."""

    value: float
    """What the table shows."""
    lower: float | None = None
    """With `upper`: limits of what the figure is over all inputs of that kind, certified in
    the same way. None where there are none."""
    upper: float | None = None
    robust: float | None = None
    """Lower limit of the same figure of the smoothed classifier itself, wrong certificates
    allowed for. None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """How far a run came that stopped over inputs, and what it says of all of them.

    *Guarantee*: each pair of limits in `certified` holds the share of all inputs of the data set
    that would be certified correct at that radius, with probability at least 1 − alpha, whenever
    the run stopped: for a random order that was fixed without looking at the data. Nothing else is
    assumed; the inputs need not be drawn from a distribution.
    """

    inputs: int
    """Certified."""
    population: int
    """In the data set."""
    certified: tuple[tuple[float, float], ...]
    """Limits of the certified accuracy of the data set, at each radius."""


class InputLimits(Protocol):
    """Limits of what a table shows, over all inputs of that kind."""

    def share(self, hit: Hits, alpha: float) -> Estimate:
        """Return the share of inputs with two-sided limits."""

    def share_lower(self, hit: Hits, alpha: float) -> float:
        """Return the one-sided lower limit."""

    def mean(self, x: FloatArray, alpha: float, largest: float) -> tuple[float, float]:
        """Return limits of the mean of values in [0, largest]."""

    def mean_lower(self, x: FloatArray, alpha: float, largest: float) -> float:
        """Return the one-sided lower limit."""


class FixedInputs:
    """Of a number of rows that was fixed beforehand."""

    def share(self, hit: Hits, alpha: float) -> Estimate:
        """Return Clopper and Pearson's limits."""
        lower, upper = clopper_pearson_interval(int(hit.sum()), hit.size, alpha)
        return Estimate(value=float(hit.mean()), lower=float(lower), upper=float(upper))

    def share_lower(self, hit: Hits, alpha: float) -> float:
        """Return Clopper and Pearson's lower limit."""
        return float(clopper_pearson_lower(int(hit.sum()), hit.size, alpha))

    def mean(self, x: FloatArray, alpha: float, largest: float) -> tuple[float, float]:
        """Return limits by betting."""
        lower, upper = mean_interval(x, alpha, low=0.0, high=largest)
        return float(lower), float(upper)

    def mean_lower(self, x: FloatArray, alpha: float, largest: float) -> float:
        """Return the lower limit by betting."""
        return mean_lower(x, alpha, low=0.0, high=largest)


@dataclass(frozen=True)
class StoppedInputs:
    """Of as many rows as were needed: in the order in which they were certified."""

    order: IntArray

    def share(self, hit: Hits, alpha: float) -> Estimate:
        """Return the time-uniform limits of a mixture over shares."""
        lower, upper = kt_mixture_sequence(hit[self.order].astype(np.float64), alpha)
        ends = float(np.asarray(lower)[-1]), float(np.asarray(upper)[-1])
        return Estimate(value=float(hit.mean()), lower=ends[0], upper=ends[1])

    def share_lower(self, hit: Hits, alpha: float) -> float:
        """Return the time-uniform lower limit by betting."""
        path = betting_sequence(hit[self.order].astype(np.float64), alpha, strategy="kt")
        return float(path[-1])

    def mean(self, x: FloatArray, alpha: float, largest: float) -> tuple[float, float]:
        """Return time-uniform limits by betting, half of alpha on each side."""
        share = np.minimum(x[self.order] / largest, 1.0)
        lower, less = (float(betting_sequence(u, alpha / 2)[-1]) for u in (share, 1.0 - share))
        return lower * largest * _DOWN, (1.0 - less) * largest * _UP

    def mean_lower(self, x: FloatArray, alpha: float, largest: float) -> float:
        """Return the time-uniform lower limit by betting."""
        share = np.minimum(x[self.order] / largest, 1.0)
        return float(betting_sequence(share, alpha)[-1]) * largest * _DOWN


def stopped(rows: pd.DataFrame) -> bool:
    """Return whether a table is of a run that may have stopped over inputs."""
    return {"position", "population"} <= set(rows)


def limits_of(rows: pd.DataFrame) -> InputLimits:
    """Return the limits that hold for a table.

    Raises
    ------
    ValueError
        If rows of a random order are missing.
    """
    if not stopped(rows):
        return FixedInputs()
    position = rows["position"].to_numpy()
    order = np.argsort(position, kind="stable")
    if (position[order] != np.arange(1, len(rows) + 1)).any():
        raise ValueError(
            "position must count the rows from 1 without a gap: those of a random order that are "
            "left out may be of another kind"
        )
    return StoppedInputs(order)


def population_of(rows: pd.DataFrame) -> int:
    """Return how many inputs could have been certified: more than were, of a run that stopped."""
    return int(rows["population"].max()) if stopped(rows) else len(rows)


def sampled_inputs(rows: pd.DataFrame, radii: FloatArray, alpha: float) -> Sampled | None:
    """Return what a run that stopped says of the whole data set; None of other tables."""
    if not stopped(rows):
        return None
    population = population_of(rows)
    right, radius = rows["correct"].to_numpy() == 1, rows["radius"].to_numpy()
    hits = [int((right & (radius >= r)).sum()) for r in radii]
    found = [population_share_interval(k, len(rows), population, alpha) for k in hits]
    return Sampled(
        inputs=len(rows),
        population=population,
        certified=tuple((float(lower), float(upper)) for lower, upper in found),
    )
