"""Two outcomes, at a probability just past a discontinuity of the bound at hand.

Miscoverage is a sawtooth where the data are few and discrete: at the values that the bound
takes it jumps from its largest to its smallest. A suite that is the same for all bounds stands
beside the jump of any one by chance only. So the bound is asked for its limits at every number
of ones in n, in random order, and the probability at which it then seems to fail to cover most
joins the suite. What is claimed comes from fresh randomness, as for every other scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr, xlog1py, xlogy

from rsverify._core.check import FloatArray
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import ESTIMANDS, Data, Estimand, Parameters
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import generator

STREAM = "beside a discontinuity"  # the random numbers of the draw of orders
LARGEST_N = 2000  # beyond it teeth are narrow, and the suite stands near enough
ROWS = 1000  # samples, unless that is less than two orders for each number of ones
ROWS_ORDERED = 8000  # where the limits depend on the order: what is seen then is noisy
CANDIDATES = 1000
BESIDE = 1e-9


class Line(NamedTuple):
    """Distributions of two outcomes, by the probability p of the first."""

    data: Callable[[npt.NDArray[np.bool_], np.random.Generator], Data]
    """From the outcomes (R, n), true for the first, to data of the estimand."""
    parameters: Callable[[float], Parameters]
    chance: Callable[[FloatArray], FloatArray]
    """From the truth to p."""


def _votes(ones: npt.NDArray[np.bool_], _rng: np.random.Generator) -> Data:
    hits = ones.sum(axis=1)
    return np.column_stack([hits, ones.shape[1] - hits, np.zeros_like(hits)])


def _vote_paths(ones: npt.NDArray[np.bool_], _rng: np.random.Generator) -> Data:
    votes = np.stack([ones, ~ones, np.zeros_like(ones)], axis=-1)
    return np.cumsum(votes, axis=1)


def _scores(ones: npt.NDArray[np.bool_], _rng: np.random.Generator) -> Data:
    return np.stack([ones, ~ones, np.zeros_like(ones)], axis=-1).astype(np.float64)


def _sample(ones: npt.NDArray[np.bool_], _rng: np.random.Generator) -> Data:
    return ones.astype(np.float64)


def _randomized(ones: npt.NDArray[np.bool_], rng: np.random.Generator) -> Data:
    hits = ones.sum(axis=1)
    return np.column_stack([hits, ones.shape[1] - hits, rng.random(len(ones))])


def _two_values(p: float) -> Parameters:
    return {"law": ("points", (0.0, 1.0), (1.0 - p, p))}


def _two_rows(p: float) -> Parameters:
    return {"law": ("points", ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (p, 1.0 - p))}


def _two_classes(p: float) -> Parameters:
    return {"p": (p, 1.0 - p, 0.0)}


def _itself(v: FloatArray) -> FloatArray:
    return v


def _half(v: FloatArray) -> FloatArray:
    return 0.5 + 0.5 * v


def _probit(v: FloatArray) -> FloatArray:
    p: FloatArray = ndtr(0.5 * v)
    return p


def _laplace(v: FloatArray) -> FloatArray:
    # Half of the margin is the quantile of both.
    tail = 0.5 * np.exp(-0.5 * np.abs(v))
    p: FloatArray = np.where(v < 0.0, tail, 1.0 - tail)
    return p


_CHANCES = {"difference": _half, "probit": _probit, "laplace": _laplace}
LINES = {
    "mean": Line(_sample, _two_values, _itself),
    "binary-mean": Line(_sample, _two_values, _itself),
    "randomized-proportion": Line(_randomized, lambda p: {"p": p}, _itself),
    **{m: Line(_votes, _two_classes, c) for m, c in _CHANCES.items()},
    **{f"{m}:first": Line(_votes, _two_classes, c) for m, c in _CHANCES.items()},
    **{f"path-{m}": Line(_vote_paths, _two_classes, c) for m, c in _CHANCES.items()},
    **{f"score-{m}": Line(_scores, _two_rows, c) for m, c in _CHANCES.items()},
}


def beside_a_jump(caller: Caller, estimand: Estimand, design: Design) -> list[Scenario]:
    """Return the two outcomes at which the bound seems to fail to cover most, if any.

    None for a bound that is random, for large n, or for an estimand of the caller's own.
    """
    line = LINES.get(estimand.name)
    if line is None or design.n > LARGEST_N or estimand is not ESTIMANDS.get(estimand.name):
        return []
    rng = generator(design.seed, STREAM, 0)
    lower, upper = _limits(caller, line, (design.n, ROWS), rng)
    again = _limits(caller, line, (design.n, 0), generator(design.seed, STREAM, 0))
    if not all(map(np.array_equal, (lower[0], upper[0]), (again[0][0], again[1][0]))):
        return []
    if (lower[0] != lower[1]).any() or (upper[0] != upper[1]).any():
        lower, upper = _limits(caller, line, (design.n, ROWS_ORDERED), rng)
    p = _worst_chance(line.chance(lower), line.chance(upper))
    if p is None:
        return []
    found = f"two outcomes, {p:.4g}: "
    # The random numbers keep the name that they were first drawn under.
    stream = found + "beside a jump of the bound"
    name = found + "just past a discontinuity of the bound"
    return [Scenario(name, line.parameters(p), stream)]


def _limits(
    caller: Caller, line: Line, size: tuple[int, int], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper limits, (orders, n + 1), of each number of ones in random order."""
    n, rows = size
    ones = np.arange(n)[None, :] < np.arange(n + 1)[:, None]
    lower, upper = [], []
    for _ in range(max(2, rows // (n + 1))):
        data = line.data(rng.permuted(ones, axis=1), rng)
        limits = caller.limits(data, recheck=not caller.costly)
        lower.append(limits.lower)
        upper.append(limits.upper)
    return np.array(lower), np.array(upper)


def _worst_chance(lower: FloatArray, upper: FloatArray) -> float | None:
    """Return the p that limits (orders, n + 1) of each number of ones fail to cover most often."""
    n = lower.shape[1] - 1
    beside = np.unique(np.concatenate([lower.ravel() - BESIDE, upper.ravel() + BESIDE]))
    beside = beside[(beside > 0.0) & (beside < 1.0)]
    if beside.size == 0:
        return None
    beside = beside[:: 1 + beside.size // CANDIDATES]
    k = np.arange(n + 1)
    ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    chances = np.exp(ways + xlogy(k, beside[:, None]) + xlog1py(n - k, -beside[:, None]))
    missed = np.zeros_like(chances)
    for low, high in zip(lower, upper, strict=True):
        missed += (low > beside[:, None]) | (high < beside[:, None])
    return float(beside[np.argmax((missed * chances).sum(axis=1))])
