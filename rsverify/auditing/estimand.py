"""What a bound claims to bound: how data for it are drawn, and its true value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._core.check import check_choice, check_fraction, check_probability, check_size
from rsverify._core.types import MarginName, ScoreMarginName, TwoSampleName
from rsverify.auditing import draws
from rsverify.auditing.counts import (
    BinomialModel,
    CountModel,
    HypergeometricModel,
    PoissonModel,
)
from rsverify.auditing.two_counts import (
    PairedModel,
    PairedName,
    TwoBinomials,
    VotesModel,
    laplace_quantile,
)

__all__ = ["ESTIMANDS", "Estimand", "hypergeometric", "quantile", "two_proportions"]

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
    model : callable, optional
        ``model(n)`` returns a `rsverify.auditing.counts.CountModel`, by which claims about counts
        are audited exactly. The built-in estimands of counts have one.

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
    model: Callable[[int], CountModel] | None = None


def _draw_proportion(rng: Generator, replications: int, n: int, p: float) -> Data:
    hits = rng.binomial(n, p, replications)
    return np.column_stack([hits, n - hits])


def draw_votes(rng: Generator, replications: int, n: int, p: Sequence[float]) -> Data:
    return rng.multinomial(n, p, replications)


def draw_sample(rng: Generator, replications: int, n: int, law: Law) -> Data:
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


def draw_vote_paths(rng: Generator, replications: int, n: int, p: Sequence[float]) -> Data:
    """Draw the votes so far after each of n votes, shape (R, n, m)."""
    picks = np.searchsorted(np.cumsum(p)[:-1], rng.random((replications, n)), side="right")
    paths: Data = np.cumsum(picks[..., None] == np.arange(len(p)), axis=1)
    return paths


def draw_with_variance(rng: Generator, replications: int, n: int, law: Law) -> Data:
    """Draw observations, and as a last column the variance of the distribution."""
    sample = draw_sample(rng, replications, n, law)
    if law[0] == "beta":
        a, b = law[1], law[2]
        variance = a * b / ((a + b) ** 2 * (a + b + 1.0))
    else:
        mean = _sample_mean(law)
        variance = float(np.dot((np.asarray(law[1]) - mean) ** 2, law[2]))
    return np.column_stack([sample, np.full(replications, variance)])


def draw_scores(rng: Generator, replications: int, n: int, law: Law) -> Data:
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
    """Return p1 - p2 for "difference", else the difference of normal or Laplace quantiles."""
    if name == "difference":
        return p1 - p2
    if p1 <= 0.0 or p2 >= 1.0:
        return -np.inf
    quantile = laplace_quantile if name == "laplace" else ndtri
    return float(quantile(p1) - quantile(p2))


def _margin(name: MarginName, first: bool) -> Estimand:
    def truth(p: Sequence[float]) -> float:
        check_probability("p", p)
        return margin_value(name, p[0], p[1] if first else max(p[1:]))

    if not first:
        return Estimand(draw_votes, truth, {}, _SPACES[name], name, sequential=False)

    def model(n: int) -> VotesModel:
        return VotesModel(n, margin=name)

    return Estimand(draw_votes, truth, {}, _SPACES[name], f"{name}:first", False, model)


def _path_margin(name: MarginName) -> Estimand:
    votes = _margin(name, first=False)
    return Estimand(draw_vote_paths, votes.truth, space=votes.space, name=f"path-{name}")


def _score_margin(name: ScoreMarginName) -> Estimand:
    def truth(law: Law) -> float:
        means = _mean_scores(law)
        return margin_value(name, float(means[0]), float(means[1:].max()))

    return Estimand(draw_scores, truth, space=_SPACES[name], name=f"score-{name}")


def _proportion(p: float) -> float:
    return float(p)


def two_proportions(compared: TwoSampleName, second: int | None = None) -> Estimand:
    """Return the estimand that compares the proportions of two independent samples.

    Parameters
    ----------
    compared : {"difference", "ratio", "odds-ratio"}
        p1 - p2, p1/p2, or the ratio of p/(1 - p).
    second : int, optional
        Size of the second sample; that of the first is the `n` of the audit. Default: the same.

    Returns
    -------
    Estimand
        Data (R, 4): successes and failures of the first sample, then of the second.

    Examples
    --------
    >>> from rsverify.auditing.estimand import two_proportions
    >>> two_proportions("difference", second=20).truth(p1=0.5, p2=0.25)
    0.25
    """
    check_choice("compared", compared, ("difference", "ratio", "odds-ratio"))
    other = None if second is None else check_size("second", second)

    def model(n: int) -> TwoBinomials:
        return TwoBinomials(n, second=other or n, compared=compared)

    def draw(rng: Generator, replications: int, n: int, p1: float, p2: float) -> Data:
        return draws.two_binomials(rng, replications, (n, other or n), p1, p2)

    def truth(p1: float, p2: float) -> float:
        return float(model(1).value(np.array([[p1, p2]]))[0])

    space = (-1.0, 1.0) if compared == "difference" else (0.0, np.inf)
    return Estimand(draw, truth, {}, space, f"two-proportion-{compared}", False, model)


def hypergeometric(population: int | None = None) -> Estimand:
    """Return the estimand of a sample without replacement: successes in the population.

    Parameters
    ----------
    population : int, optional
        Its size. Default: twice the sample.

    Returns
    -------
    Estimand
        Data (R, 3): successes and failures in the sample, and the size of the population.

    Examples
    --------
    >>> from rsverify.auditing.estimand import hypergeometric
    >>> hypergeometric(50).truth(successes=7)
    7.0
    """
    size = None if population is None else check_size("population", population)

    def model(n: int) -> HypergeometricModel:
        if size is not None and size < n:
            raise ValueError(f"population={size} must be at least n={n}")
        return HypergeometricModel(n, population=size or 2 * n)

    def draw(rng: Generator, replications: int, n: int, successes: int) -> Data:
        return draws.without_replacement(rng, replications, n, successes, size or 2 * n)

    def truth(successes: int) -> float:
        return float(successes)

    return Estimand(draw, truth, {}, (0.0, np.inf), "hypergeometric", False, model)


def quantile(level: float, name: str = "") -> Estimand:
    """Return the estimand that is a quantile: the least x with P(X <= x) >= `level`.

    Parameters
    ----------
    level : float
        In (0, 1).
    name : str
        How reports call it.

    Returns
    -------
    Estimand
        Data (R, n), any real numbers.

    Examples
    --------
    >>> from rsverify.auditing.estimand import quantile
    >>> quantile(0.75).truth(law=("beta", 1.0, 1.0))
    0.75
    """
    q = float(check_fraction("level", level))
    return Estimand(
        draws.real_sample,
        lambda law: draws.quantile_of(law, q),
        name=name or f"quantile-{q:g}",
        sequential=True,
    )


def _paired(compared: PairedName) -> Estimand:
    def truth(both: float, first: float, second: float) -> float:
        del both
        q = first + second
        point = np.array([[q, first / q if q > 0.0 else 0.5]])
        return float(PairedModel(1, compared=compared).value(point)[0])

    space = (-1.0, 1.0) if compared == "difference" else (0.0, np.inf)
    name = f"paired-{compared}"
    return Estimand(
        draws.pairs, truth, {}, space, name, False, lambda n: PairedModel(n, compared=compared)
    )


def _rate(rate: float) -> float:
    return float(rate)


_NAMES: tuple[MarginName, ...] = get_args(MarginName)
_SPACES = {name: (-1.0, 1.0) if name == "difference" else (-np.inf, np.inf) for name in _NAMES}
ESTIMANDS = {
    e.name: e
    for e in (
        Estimand(_draw_proportion, _proportion, {}, (0, 1), "proportion", False, BinomialModel),
        Estimand(_draw_randomized, _proportion, {}, (0, 1), "randomized-proportion", False),
        *(_margin(m, first=f) for m in _NAMES for f in (False, True)),
        *(_path_margin(m) for m in _NAMES),
        *(_score_margin(m) for m in get_args(ScoreMarginName)),
        Estimand(draw_sample, _sample_mean, space=(0, 1), name="mean"),
        Estimand(draw_sample, _sample_mean, space=(0, 1), name="binary-mean"),
        Estimand(draw_with_variance, _sample_mean, {}, (0, 1), "mean-known-variance", False),
        Estimand(draw_sample, draws.variance_of, space=(0, 0.25), name="variance"),
        quantile(0.5, "median"),
        *(two_proportions(c) for c in ("difference", "ratio", "odds-ratio")),
        _paired("difference"),
        _paired("odds-ratio"),
        Estimand(draws.events, _rate, {}, (0, np.inf), "poisson-rate", False, PoissonModel),
        hypergeometric(),
    )
}
"""The built-in estimands, by the data that a bound gets.

Counts: "proportion", (R, 2) successes and failures; "randomized-proportion", (R, 3), with a uniform
number beside them. "difference", "probit" and "laplace", votes (R, m): column 0 is the class
certified, the margin that over the most probable other class; with ":first", over the class of
column 1, whatever the others. "path-difference", "path-probit", "path-laplace": the votes so far
after each of n, (R, n, m).

Samples: "mean", (R, n) in [0, 1]; "binary-mean", of zeros and ones; "mean-known-variance",
(R, n + 1), the variance in the last column. "score-difference", "score-probit": scores (R, n, m)
on the simplex, column 0 that of the class certified, the margin that of the mean scores.

More counts: "two-proportion-difference", "-ratio" and "-odds-ratio", (R, 4), successes and failures
of two samples of n each; "paired-difference" and "paired-odds-ratio", (R, 4), pairs with both,
only the first, only the second, and no success; "poisson-rate", (R, 2), a count of events and the
exposure n; "hypergeometric", (R, 3), successes and failures of n drawn without replacement, and
the population. More of samples: "variance" of numbers in [0, 1], "median" of any numbers.
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
