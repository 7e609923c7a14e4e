"""What there is to audit: the bounds and the estimands, each in a line."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from rsverify._core.types import AuditEstimandName, Side
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.exact.proportion import LARGEST_PROPORTION_N
from rsverify.auditing.exact.staircase import LARGEST_STAIRCASE_N
from rsverify.auditing.exact.trinomial import LARGEST_TRINOMIAL_N
from rsverify.auditing.registry import estimands_of
from rsverify.bounds.registry import BOUNDS

__all__ = ["BoundLine", "EstimandLine", "bound_lines", "estimand_lines"]


class BoundLine(NamedTuple):
    """A bound of this package: how it is called by name, and what it is."""

    name: str
    estimands: tuple[str, ...]
    """What ``estimand=`` may be; a margin by its short name."""
    side: Side
    data: str
    time_uniform: bool
    summary: str
    """The first sentence of its documentation."""


class EstimandLine(NamedTuple):
    """An estimand: what a bound of it gets, and what it is held against."""

    name: str
    data: str
    """Shape and meaning of the data of R replications."""
    truth: str
    audited: str
    """How the coverage of a bound is found out."""


_VOTES = "(R, m) votes of m classes, column 0 the class certified"
_MARGIN = "margin over the most probable other class"
_FIRST = "margin over the class of column 1"
_PATHS = "(R, n, m) the votes so far after each of n"
_SCORES = "(R, n, m) scores on the simplex"
_TWO = "(R, 4) successes and failures of two samples"
_PAIRS = "(R, 4) pairs: both, only the first, only the second, neither"
_EXACT_VOTES = f"lower bounds exact to n = {LARGEST_TRINOMIAL_N}, else simulated"
_EXACT_FIRST = f"lower bounds exact to n = {LARGEST_STAIRCASE_N:,}, above 400 if monotone"
_SIMULATED = "simulated"
_EXACT = "exact"

_LINES: dict[AuditEstimandName, tuple[str, str, str]] = {
    "proportion": (
        "(R, 2) successes and failures",
        "p",
        f"exact to n = {LARGEST_PROPORTION_N:,}",
    ),
    "randomized-proportion": ("(R, 3) the same and a uniform number", "p", _SIMULATED),
    "difference": (_VOTES, f"{_MARGIN}, p1 - p2", _EXACT_VOTES),
    "difference:first": (_VOTES, f"{_FIRST}, p1 - p2", _EXACT_FIRST),
    "probit": (_VOTES, f"{_MARGIN}, in probits", _EXACT_VOTES),
    "probit:first": (_VOTES, f"{_FIRST}, in probits", _EXACT_FIRST),
    "laplace": (_VOTES, f"{_MARGIN}, in Laplace quantiles", _EXACT_VOTES),
    "laplace:first": (_VOTES, f"{_FIRST}, in Laplace quantiles", _EXACT_FIRST),
    "path-difference": (_PATHS, f"{_MARGIN}, time-uniform", _SIMULATED),
    "path-probit": (_PATHS, f"{_MARGIN} in probits, time-uniform", _SIMULATED),
    "path-laplace": (_PATHS, f"{_MARGIN} in Laplace quantiles, time-uniform", _SIMULATED),
    "score-difference": (_SCORES, "margin of the mean scores", _SIMULATED),
    "score-probit": (_SCORES, "margin of the mean scores, in probits", _SIMULATED),
    "mean": ("(R, n) numbers in [0, 1]", "mean", _SIMULATED),
    "binary-mean": ("(R, n) zeros and ones", "mean", _SIMULATED),
    "mean-known-variance": (
        "(R, n + 1) numbers in [0, 1], then their variance",
        "mean",
        _SIMULATED,
    ),
    "variance": ("(R, n) numbers in [0, 1]", "variance", _SIMULATED),
    "median": ("(R, n) numbers", "least x with P(X <= x) >= 1/2", _SIMULATED),
    "two-proportion-difference": (_TWO, "p1 - p2", "exact to 10,000 outcomes"),
    "two-proportion-ratio": (_TWO, "p1 / p2", "exact to 10,000 outcomes"),
    "two-proportion-odds-ratio": (_TWO, "odds ratio", "exact to 10,000 outcomes"),
    "paired-difference": (_PAIRS, "p10 - p01", "exact to 40 pairs"),
    "paired-odds-ratio": (_PAIRS, "p10 / p01", "exact to 40 pairs"),
    "poisson-rate": (
        "(R, 2) a count of events, and the exposure n",
        "events per unit",
        "exact to 500 events expected",
    ),
    "hypergeometric": (
        "(R, 3) successes and failures drawn, and the population",
        "successes in the population",
        _EXACT,
    ),
}


def estimand_lines() -> list[EstimandLine]:
    """Return the built-in estimands."""
    return [EstimandLine(name, *_LINES[name]) for name in _LINES if name in ESTIMANDS]


def bound_lines() -> list[BoundLine]:
    """Return the bounds of this package that can be audited and compared by name."""
    return [
        BoundLine(
            bound.name,
            tuple(dict.fromkeys(e for e in bound.estimands if e in estimands_of(bound))),
            "lower" if bound.data == "vote path" else bound.side,
            bound.data,
            bound.time_uniform,
            _summary(bound.function),
        )
        for bound in BOUNDS.values()
    ]


def _summary(function: object) -> str:
    """Return the first sentence of the documentation of a bound."""
    inner = getattr(function, "func", function)  # of a partial
    text = inspect.getdoc(inner) or ""
    return " ".join(text.split("\n\n")[0].split())
