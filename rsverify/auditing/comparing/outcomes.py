"""Expected gaps without simulation: every outcome of counts, and how probable it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from scipy.special import gammaln, xlogy

from rsverify._core.types import FloatArray, IntArray, Side
from rsverify.auditing.counts import (
    BinomialModel,
    CountModel,
    HypergeometricModel,
    PoissonModel,
)
from rsverify.auditing.estimand import Estimand, Parameters
from rsverify.auditing.registry import all_outcomes
from rsverify.auditing.two_counts import PairedModel, TwoBinomials

MARGIN_NAMES = ("difference", "probit", "laplace")
CLASSES = 3


def outcomes_of(estimand: Estimand, n: int) -> IntArray | None:
    """Return every outcome, one per row, None where there is no list of them."""
    if estimand.model is not None:
        return estimand.model(n).outcomes
    return all_outcomes(n) if estimand.name in MARGIN_NAMES else None


def number_of_outcomes(estimand: Estimand, n: int) -> float:
    """Return about how many outcomes there are, infinity where there is no list of them."""
    name = estimand.name.partition(":")[0]
    if name in MARGIN_NAMES:
        return (n + 1.0) * (n + 2.0) / 2.0
    if estimand.model is None:
        return np.inf
    if name.startswith("two-proportion"):
        return (n + 1.0) ** 2
    if name.startswith("paired"):
        return (n + 1.0) * (n + 2.0) * (n + 3.0) / 6.0
    return n + 1.0


def probabilities(
    estimand: Estimand, n: int, outcomes: IntArray, parameters: Parameters
) -> FloatArray | None:
    """Return the probability of each outcome, None where these do not have this distribution."""
    model = None if estimand.model is None else estimand.model(n)
    if "p" in parameters and not isinstance(model, BinomialModel):
        p = np.asarray(cast(Sequence[float], parameters["p"]), dtype=np.float64)
        return _multinomial(outcomes, p) if p.size == CLASSES else None
    return None if model is None else _of_model(model, outcomes, parameters)


def _of_model(model: CountModel, outcomes: IntArray, parameters: Parameters) -> FloatArray | None:
    given = {name: cast(float, value) for name, value in parameters.items()}
    n = model.n
    if isinstance(model, BinomialModel):
        return _multinomial(outcomes, np.array([given["p"], 1.0 - given["p"]]))
    if isinstance(model, PoissonModel):
        k, mean = outcomes[:, 0], n * given["rate"]
        return np.asarray(np.exp(xlogy(k, mean) - mean - gammaln(k + 1.0)))
    if isinstance(model, HypergeometricModel):
        found, size, successes = outcomes[:, 0], model.population, given["successes"]
        logs = _log_choose(successes, found) + _log_choose(size - successes, n - found)
        return np.asarray(np.exp(logs - _log_choose(size, n)))
    if isinstance(model, TwoBinomials):
        first = _multinomial(outcomes[:, :2], np.array([given["p1"], 1.0 - given["p1"]]))
        return first * _multinomial(outcomes[:, 2:], np.array([given["p2"], 1.0 - given["p2"]]))
    if isinstance(model, PairedModel):
        known = np.array([given["both"], given["first"], given["second"]])
        return _multinomial(outcomes, np.append(known, max(1.0 - known.sum(), 0.0)))
    return None


def _log_choose(n: float, k: IntArray | int) -> FloatArray:
    """Return the logarithm of the binomial coefficients, minus infinity where there are none."""
    k = np.asarray(k, dtype=np.float64)
    inside = (k >= 0.0) & (k <= n)
    logs = gammaln(n + 1.0) - gammaln(np.where(inside, k, 0.0) + 1.0)
    return np.where(inside, logs - gammaln(n - np.where(inside, k, 0.0) + 1.0), -np.inf)


def _multinomial(outcomes: IntArray, p: FloatArray) -> FloatArray:
    n = outcomes.sum(axis=1)
    logs = gammaln(n + 1.0) - gammaln(outcomes + 1.0).sum(axis=1) + xlogy(outcomes, p).sum(axis=1)
    return np.asarray(np.exp(logs))


def floor_of(estimand: Estimand, side: Side) -> tuple[float, float]:
    """Return the ends that limits are cut to: a negative margin certifies nothing."""
    low, high = estimand.space
    name = estimand.name.partition(":")[0].removeprefix("path-").removeprefix("score-")
    if name in MARGIN_NAMES and side == "lower":
        low = 0.0
    return low, high


def gaps(
    lower: FloatArray, upper: FloatArray, truth: float, side: Side, ends: tuple[float, float]
) -> FloatArray:
    """Return how far limits are from the truth; of two sides, how far from each other.

    A limit on the wrong side of the truth has no gap: that it fails to cover is counted apart.
    """
    with np.errstate(invalid="ignore"):
        low, high = np.maximum(lower, ends[0]), np.minimum(upper, ends[1])
        if side == "lower":
            return np.maximum(truth - low, 0.0)
        return np.maximum(high - (truth if side == "upper" else low), 0.0)
