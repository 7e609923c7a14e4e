"""What a bound claims to bound: how data for it are drawn, and its true value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._check import check_choice, check_probability

Data = npt.NDArray[Any]
Generator = np.random.Generator


@dataclass(frozen=True)
class Estimand:
    """A quantity to bound: its data, its true value, and the laws to try.

    Attributes
    ----------
    draw : callable
        ``draw(rng, replications, n, **parameters)`` returns data with one replication a row,
        drawn with nothing but the `numpy.random.Generator` `rng`.
    truth : callable
        ``truth(**parameters)`` returns the true value, a float.
    scenarios : mapping of str to mapping
        Name to parameters of each law that an audit tries by default. The built-in estimands
        leave it empty: their suites depend on n and alpha (`rsverify.audit.scenario`).
    space : (float, float)
        The ends of the parameter space. A lower bound above the upper end is a failure.
    name : str
        How reports call it.

    Notes
    -----
    *Guarantee.* None of its own: an audit claims what it does for the laws given here.
    """

    draw: Callable[..., Data]
    truth: Callable[..., float]
    scenarios: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    space: tuple[float, float] = (-np.inf, np.inf)
    name: str = "custom"


def _draw_proportion(rng: Generator, replications: int, n: int, p: float) -> Data:
    hits = rng.binomial(n, p, replications)
    return np.column_stack([hits, n - hits])


def _draw_votes(rng: Generator, replications: int, n: int, p: Sequence[float]) -> Data:
    return rng.multinomial(n, p, replications)


def _draw_sample(rng: Generator, replications: int, n: int, law: Sequence[Any]) -> Data:
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
        return np.where(uniform < edges[0], values[0], values[1])
    # Searching the edges costs a third of what Generator.choice does with probabilities.
    return values[np.searchsorted(edges[:-1], uniform, side="right")]


def _sample_mean(law: Sequence[Any]) -> float:
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

    space = (-1.0, 1.0) if name == "difference" else (-np.inf, np.inf)
    return Estimand(_draw_votes, truth, space=space, name=name + (":first" if first else ""))


ESTIMANDS = {
    "proportion": Estimand(_draw_proportion, lambda p: float(p), space=(0, 1), name="proportion"),
    "difference": _margin("difference", first=False),
    "difference:first": _margin("difference", first=True),
    "probit": _margin("probit", first=False),
    "probit:first": _margin("probit", first=True),
    "mean": Estimand(_draw_sample, _sample_mean, space=(0, 1), name="mean"),
}
"""The built-in estimands.

"proportion": data are counts (R, 2) of hits and misses. "difference" and "probit": counts
(R, m), column 0 the class certified, the margin that over the most probable other class; with
":first", the margin over the class of column 1, whatever the others. "mean": samples (R, n) in
[0, 1].
"""


def find_estimand(estimand: str | Estimand) -> Estimand:
    """Return the built-in estimand of that name, or the caller's own."""
    if isinstance(estimand, Estimand):
        return estimand
    return ESTIMANDS[check_choice("estimand", estimand, ESTIMANDS)]
