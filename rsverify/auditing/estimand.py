"""What a bound claims to bound: how data for it are drawn, and its true value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._core.check import check_choice, check_probability

__all__ = ["ESTIMANDS", "Estimand"]

Data: TypeAlias = npt.NDArray[np.number]
"""Of an estimand, one replication per row."""
Parameters = Mapping[str, object]
"""Of a distribution, as the estimand's `draw` takes them."""
Law = Sequence[Any]
"""Of observations: its kind, then what that kind has."""
Generator = np.random.Generator


@dataclass(frozen=True)
class Estimand:
    """A quantity to bound: its data, its true value, and the distributions to try.

    Attributes
    ----------
    draw : callable
        ``draw(rng, replications, n, **parameters)`` returns data with one replication per row,
        drawn with nothing but the `numpy.random.Generator` `rng`.
    truth : callable
        ``truth(**parameters)`` returns the true value, a float.
    scenarios : mapping of str to mapping
        Name to parameters of each distribution that an audit tries by default. The built-in
        estimands leave it empty: their suites depend on n and alpha (`rsverify.auditing.scenario`).
    space : (float, float)
        The ends of the parameter space. A lower bound above the upper end is a failure.
    name : str
        How reports call it.
    sequential : bool
        Whether the second axis of the data is time, so that a bound of shape (R, n) claims to
        hold time-uniformly.

    Notes
    -----
    *Guarantee.* None of its own: an audit claims what it does for the distributions given here.
    """

    draw: Callable[..., Data]
    truth: Callable[..., float]
    scenarios: Mapping[str, Parameters] = field(default_factory=dict)
    space: tuple[float, float] = (-np.inf, np.inf)
    name: str = "custom"
    sequential: bool = True


def _draw_proportion(rng: Generator, replications: int, n: int, p: float) -> Data:
    hits = rng.binomial(n, p, replications)
    return np.column_stack([hits, n - hits])


def _draw_votes(rng: Generator, replications: int, n: int, p: Sequence[float]) -> Data:
    return rng.multinomial(n, p, replications)


def _draw_sample(rng: Generator, replications: int, n: int, law: Law) -> Data:
    """Draw independent observations: ("beta", a, b) or ("points", values, probabilities)."""
    shape = (replications, n)
    if law[0] == "beta":
        a, b = law[1], law[2]
        # Drawing is half of an audit's time where the bound is compiled; uniform numbers cost
        # a thirtieth of beta ones.
        return rng.random(shape) if a == b == 1.0 else rng.beta(a, b, shape)
    values, edges = np.asarray(law[1], dtype=np.float64), np.cumsum(law[2])
    uniform = rng.random(shape)
    if values.size == 2:
        two: Data = np.where(uniform < edges[0], values[0], values[1])
        return two
    # Searching the edges costs a third of what Generator.choice does with probabilities.
    return values[np.searchsorted(edges[:-1], uniform, side="right")]


def _draw_randomized(rng: Generator, replications: int, n: int, p: float) -> Data:
    return np.column_stack([_draw_proportion(rng, replications, n, p), rng.random(replications)])


def _draw_vote_paths(rng: Generator, replications: int, n: int, p: Sequence[float]) -> Data:
    """Draw the votes so far after each of n votes, shape (R, n, m)."""
    picks = np.searchsorted(np.cumsum(p)[:-1], rng.random((replications, n)), side="right")
    paths: Data = np.cumsum(picks[..., None] == np.arange(len(p)), axis=1)
    return paths


def _draw_with_variance(rng: Generator, replications: int, n: int, law: Law) -> Data:
    """Draw observations, and as a last column the variance of the distribution."""
    sample = _draw_sample(rng, replications, n, law)
    if law[0] == "beta":
        a, b = law[1], law[2]
        variance = a * b / ((a + b) ** 2 * (a + b + 1.0))
    else:
        mean = _sample_mean(law)
        variance = float(np.dot((np.asarray(law[1]) - mean) ** 2, law[2]))
    return np.column_stack([sample, np.full(replications, variance)])


def _draw_scores(rng: Generator, replications: int, n: int, law: Law) -> Data:
    """Draw rows of scores, (R, n, m): ("dirichlet", a) or ("points", rows, probabilities)."""
    if law[0] == "dirichlet":
        return rng.dirichlet(law[1], (replications, n))
    picks = np.searchsorted(np.cumsum(law[2])[:-1], rng.random((replications, n)), side="right")
    return np.asarray(law[1], dtype=np.float64)[picks]


def _mean_scores(law: Law) -> npt.NDArray[np.float64]:
    means: npt.NDArray[np.float64]
    if law[0] == "dirichlet":
        means = np.asarray(law[1], dtype=np.float64) / np.sum(law[1])
    else:
        means = np.asarray(law[2], dtype=np.float64) @ np.asarray(law[1], dtype=np.float64)
    return means


def _sample_mean(law: Law) -> float:
    if law[0] == "beta":
        return float(law[1] / (law[1] + law[2]))
    return float(np.dot(law[1], law[2]))


def margin_value(name: str, p1: float, p2: float) -> float:
    """Return p1 - p2 for "difference" and probit(p1) - probit(p2) for "probit"."""
    if name == "difference":
        return p1 - p2
    if p1 <= 0.0 or p2 >= 1.0:
        return -np.inf
    return float(ndtri(p1) - ndtri(p2))


def _margin(name: str, first: bool) -> Estimand:
    def truth(p: Sequence[float]) -> float:
        check_probability("p", p)
        return margin_value(name, p[0], p[1] if first else max(p[1:]))

    full = name + (":first" if first else "")
    return Estimand(_draw_votes, truth, {}, _SPACES[name], full, sequential=False)


def _path_margin(name: str) -> Estimand:
    votes = _margin(name, first=False)
    return Estimand(_draw_vote_paths, votes.truth, space=votes.space, name=f"path-{name}")


def _score_margin(name: str) -> Estimand:
    def truth(law: Law) -> float:
        means = _mean_scores(law)
        return margin_value(name, float(means[0]), float(means[1:].max()))

    return Estimand(_draw_scores, truth, space=_SPACES[name], name=f"score-{name}")


def _proportion(p: float) -> float:
    return float(p)


_SPACES = {"difference": (-1.0, 1.0), "probit": (-np.inf, np.inf)}
ESTIMANDS = {
    e.name: e
    for e in (
        Estimand(_draw_proportion, _proportion, {}, (0, 1), "proportion", False),
        Estimand(_draw_randomized, _proportion, {}, (0, 1), "randomized-proportion", False),
        *(_margin(m, first=f) for m in ("difference", "probit") for f in (False, True)),
        *(_path_margin(m) for m in ("difference", "probit")),
        *(_score_margin(m) for m in ("difference", "probit")),
        Estimand(_draw_sample, _sample_mean, space=(0, 1), name="mean"),
        Estimand(_draw_sample, _sample_mean, space=(0, 1), name="binary-mean"),
        Estimand(_draw_with_variance, _sample_mean, {}, (0, 1), "mean-known-variance", False),
    )
}
"""The built-in estimands, by the data that a bound gets.

Counts: "proportion", (R, 2) successes and failures; "randomized-proportion", (R, 3), with a uniform
number beside them. "difference" and "probit", votes (R, m): column 0 is the class certified,
the margin that over the most probable other class; with ":first", over the class of column 1,
whatever the others. "path-difference", "path-probit": the votes so far after each of n, (R, n, m).

Samples: "mean", (R, n) in [0, 1]; "binary-mean", of zeros and ones; "mean-known-variance",
(R, n + 1), the variance in the last column. "score-difference", "score-probit": scores (R, n, m)
on the simplex, column 0 that of the class certified, the margin that of the mean scores.
"""


_OLD_NAME, _NEW_NAME = "randomised-proportion", "randomized-proportion"


def find_estimand(estimand: str | Estimand) -> Estimand:
    """Return the built-in estimand of that name, or the caller's own."""
    if isinstance(estimand, Estimand):
        return estimand
    return ESTIMANDS[check_choice("estimand", renamed(estimand), ESTIMANDS)]


def renamed(estimand: str) -> str:
    """Return the name of a built-in estimand, with a warning where it is an old one."""
    if not isinstance(estimand, str) or estimand != _OLD_NAME:  # an array is unequal by parts
        return estimand
    warnings.warn(
        f"estimand={_OLD_NAME!r} is now {_NEW_NAME!r}; the old name goes in the next version",
        DeprecationWarning,
        stacklevel=4,
    )
    return _NEW_NAME
