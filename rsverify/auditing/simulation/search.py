"""Worst-case search: find where a bound fails to cover most, then audit it there afresh.

A grid over a family of distributions is compared on few replications; the better quarter survives,
is joined by neighbors, nearer in every round, and compared on four times as many. The
miscoverage seen on the way is biased upwards, as a maximum is; the verdict comes from an audit
of the last candidates with randomness that the search has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import joblib
import numpy as np

from rsverify._core.check import FloatArray
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design, Progress
from rsverify.auditing.estimand import Estimand, Parameters
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import block_span, generator, run_block

Family = tuple[Callable[[FloatArray], Parameters], int]
"""From the unit cube to the parameters of a draw, and the dimension of the cube."""

STREAM = "search"  # the random numbers of a search; no scenario has them
CANDIDATES = 64
ROUNDS = 4
FIRST_REPLICATIONS = 200
FINALISTS = 3


def two_point_laws(u: FloatArray) -> Parameters:
    """Return the sample distribution that takes one of two values, for `u` in the unit cube.

    The low value is u[0]^2, the high one between it and 1 by u[1]; the probability of the high one
    has log-odds from -9 to 9 by u[2].
    """
    low = float(u[0]) ** 2
    high = 1.0 - (1.0 - low) * float(u[1]) ** 2
    share = float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[2])))
    return {"law": ("points", (low, high), (1.0 - share, share))}


def three_class_laws(u: FloatArray) -> Parameters:
    """Return class probabilities for `u` in the unit square: q3 = u[0]^2, the rest split."""
    rest = 1.0 - float(u[0]) ** 2
    share = float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[1])))
    return {"p": (rest * share, rest * (1.0 - share), 1.0 - rest)}


def score_laws(u: FloatArray) -> Parameters:
    """Return a distribution of two rows of three scores for `u` in the unit cube.

    In the first row class 0 has 1 - u[0]^2 and class 1 the rest; in the second class 0 has
    u[1]^2 and class 1 the share u[2] of the rest; u[3] is the probability of the second.
    """
    high, low = 1.0 - float(u[0]) ** 2, float(u[1]) ** 2
    other = (1.0 - low) * float(u[2])
    rows = ((high, 1.0 - high, 0.0), (low, other, 1.0 - low - other))
    return {"law": ("points", rows, (1.0 - float(u[3]), float(u[3])))}


def binary_laws(u: FloatArray) -> Parameters:
    """Return a distribution of zeros and ones for `u` in the unit interval."""
    p = _proportion(u)
    return {"law": ("points", (0.0, 1.0), (1.0 - p, p))}


def bernoulli_laws(u: FloatArray) -> Parameters:
    """Return a proportion for `u` in the unit interval, of log-odds from -9 to 9."""
    return {"p": _proportion(u)}


def _proportion(u: FloatArray) -> float:
    return float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[0])))


FAMILIES: dict[str, Family] = {
    "mean": (two_point_laws, 3),
    "mean-known-variance": (two_point_laws, 3),
    "binary-mean": (binary_laws, 1),
    "variance": (two_point_laws, 3),
    "proportion": (bernoulli_laws, 1),
    "randomized-proportion": (bernoulli_laws, 1),
    "difference": (three_class_laws, 2),
    "probit": (three_class_laws, 2),
    "laplace": (three_class_laws, 2),
    "path-difference": (three_class_laws, 2),
    "path-probit": (three_class_laws, 2),
    "path-laplace": (three_class_laws, 2),
    "score-difference": (score_laws, 4),
    "score-probit": (score_laws, 4),
}


def find_family(family: Family | None, estimand: Estimand) -> Family:
    """Return the caller's family of distributions, or that of a built-in estimand."""
    if family is not None:
        return family
    name = estimand.name.split(":")[0]
    if name not in FAMILIES:
        raise ValueError(f"family=None must be given for estimand={estimand.name!r}")
    return FAMILIES[name]


def grid(dimensions: int) -> FloatArray:
    """Return about `CANDIDATES` points of the unit cube, its corners among them."""
    side = max(round(CANDIDATES ** (1.0 / dimensions)), 2)
    axis = np.linspace(0.0, 1.0, side)
    return np.array(list(itertools.product(axis, repeat=dimensions)))


def worst_laws(
    caller: Caller,
    estimand: Estimand,
    design: Design,
    family: Family,
    *,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Parameters]:
    """Return by name the distributions of a family at which the bound failed to cover most."""
    laws, dimensions = family
    rng = generator(design.seed, STREAM, 0)
    points = grid(dimensions)
    best = points
    with joblib.Parallel(n_jobs=n_jobs) as parallel:
        for turn in range(ROUNDS):
            rows = FIRST_REPLICATIONS * 4**turn
            rates = parallel(
                joblib.delayed(_misses)(
                    caller, estimand, laws(u), design, f"{STREAM} {turn}.{i}", rows
                )
                for i, u in enumerate(points)
            )
            order = np.argsort(np.array(rates), kind="stable")[::-1]
            best = points[order[: max(len(points) // 4, FINALISTS)]]
            # A neighbor of each survivor, nearer in every round.
            steps = rng.normal(0.0, 0.15 / 2**turn, best.shape)
            points = np.concatenate([best, np.clip(best + steps, 0.0, 1.0)])
            if progress is not None:
                progress(turn + 1, ROUNDS)
    return {f"found {i + 1}: {_shown(laws(u))}": laws(u) for i, u in enumerate(best[:FINALISTS])}


def _misses(
    caller: Caller,
    estimand: Estimand,
    parameters: Parameters,
    design: Design,
    stream: str,
    rows: int,
) -> int:
    """Return the failures to cover in `rows` replications of a distribution."""
    budget = replace(design, replications=rows)
    misses, block = 0, 0
    while block_span(budget.n, rows, block)[1] > 0:
        tally = run_block(caller, estimand, Scenario(stream, parameters), budget, block)
        misses += tally.misses
        block += 1
    return misses


def _shown(parameters: object) -> str:
    """Return parameters as short text: numbers with four digits."""
    if isinstance(parameters, Mapping):
        return ", ".join(f"{k} = {_shown(v)}" for k, v in parameters.items())
    if isinstance(parameters, tuple):
        return "(" + ", ".join(map(_shown, parameters)) + ")"
    return f"{parameters:.4g}" if isinstance(parameters, float) else str(parameters)
