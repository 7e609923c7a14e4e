"""The worst miscoverage over a model of counts, and a witness."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray
from rsverify.auditing.counts import CountModel, HypergeometricModel
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Estimand
from rsverify.auditing.exact.enclosure import (
    Enclosed,
    Payoff,
    enclosed,
    missed_in_words,
    proved,
)
from rsverify.auditing.exact.proportion import Place, Worst
from rsverify.auditing.exact.repeats import Table
from rsverify.auditing.two_counts import PairedModel, VotesModel
from rsverify.auditing.verdict import Witness

LARGEST_SUMS = 20_000_000  # probabilities of all numbers of successes
LARGEST_ONE, LARGEST_TWO, LARGEST_PAIRED = 100_001, 10_000, 40
"""Outcomes of models of one and two parameters, and pairs, up to which audits are exact."""


def too_large(model: CountModel) -> bool:
    """Return whether a model has too many outcomes to be enumerated."""
    if isinstance(model, PairedModel) and not isinstance(model, VotesModel):
        return model.n > LARGEST_PAIRED
    if isinstance(model, HypergeometricModel) and model.population * model.n > LARGEST_SUMS:
        return True
    return len(model.outcomes) > (LARGEST_ONE if len(model.names) == 1 else LARGEST_TWO)


def collapses(model: CountModel, table: Table) -> bool:
    """Return whether limits depend on what the model keeps of an outcome only."""
    if not isinstance(model, PairedModel):
        return True
    groups = model.groups
    sizes = np.diff(np.append(groups, len(table.outcomes)))
    return all(
        bool((np.repeat(limits[groups], sizes) == limits).all())
        for limits in (table.lower, table.upper)
    )


def model_worst(model: CountModel, table: Table, estimand: Estimand, design: Design) -> Worst:
    """Return the worst miscoverage of limits given for every outcome.

    Where the truth is one number everywhere, as for a test, so are the outcomes that fail.
    """
    kept = model.groups if isinstance(model, PairedModel) else slice(None)
    lower, upper = table.lower[kept], table.upper[kept]
    outcomes = table.outcomes[kept].astype(np.int64)
    truth = model.fixed
    if truth is None:
        jumps = np.unique(np.concatenate([lower, upper]))
        low_end, high_end = estimand.space
        jumps = jumps[np.isfinite(jumps) & (jumps >= low_end) & (jumps <= high_end)]
        monotone = 0
    else:
        fails = (lower > truth) | (upper < truth)
        jumps, monotone = np.zeros(0), way(fails.astype(np.float64))

    def payoff(least: FloatArray, largest: FloatArray) -> FloatArray:
        if truth is not None:
            return np.broadcast_to(fails.astype(np.float64), (len(least), len(fails)))
        return np.asarray((lower > least[:, None]) | (upper < largest[:, None]), dtype=np.float64)

    def exactly(value: Fraction) -> FloatArray:
        return failing(value).astype(np.float64)

    def failing(value: Fraction) -> npt.NDArray[np.bool_]:
        if truth is not None:
            return fails
        at = float(value)
        tie = Fraction(at) > value, Fraction(at) < value
        low = (lower > at) | ((lower == at) & tie[0])
        return np.asarray(low | (upper < at) | ((upper == at) & tie[1]))

    found = enclosed(model, payoff, jumps, monotone=monotone)
    # Of a test nothing is shown unless it is refuted.
    shown = truth is None or found.attained > design.alpha
    proof = proved(model, found, exactly, design.alpha) if shown else None
    if proof is None:
        witness = _unproved(model, found, outcomes, payoff)
    else:
        missed = np.flatnonzero(failing(proof.value))
        witness = Witness(
            {k: in_digits(v) for k, v in zip(model.names, proof.point, strict=True)},
            float(proof.value),
            missed_in_words(outcomes, missed),
            float(proof.expectation),
            rational=True,
        )
    attained = max(found.attained, witness.probability)
    place = Place(
        {k: repr(v) for k, v in zip(model.names, map(float, found.point), strict=True)},
        float(model.value(found.point[None])[0]),
    )
    points = found.points[:, 0]
    return Worst(
        attained, max(found.certified, attained), place, witness, True, points, found.values
    )


def in_digits(value: Fraction) -> str:
    """Return a fraction as text, in decimals where it is long."""
    text = str(value)
    return text if len(text) <= 12 else f"{float(value):.12g}"


def way(values: FloatArray) -> int:
    """Return 1 or -1 where values rise or fall from outcome to outcome, else 0."""
    with np.errstate(invalid="ignore"):  # of infinite e-values next to each other
        steps = np.diff(values)
    if (steps >= 0).all():
        return 1
    return -1 if (steps <= 0).all() else 0


def _unproved(
    model: CountModel,
    found: Enclosed,
    outcomes: IntArray,
    payoff: Payoff,
) -> Witness:
    """Return the distribution where the most was attained, with float sums."""
    value = model.value(found.point[None])
    missed = np.flatnonzero(payoff(value, value)[0])
    shown = {k: f"{float(v):.12g}" for k, v in zip(model.names, found.point, strict=True)}
    return Witness(
        shown, float(value[0]), missed_in_words(outcomes, missed), found.attained, rational=False
    )
