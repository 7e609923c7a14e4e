"""The package's own bounds, and a caller's `Bound`, as functions of an audit's data."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from rsverify._core.types import DataKind, EstimandName, MarginName, Side
from rsverify.bounds.bound import Bound, Limits
from rsverify.bounds.interval import Interval
from rsverify.bounds.registry import BOUNDS

Data = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Function = Callable[..., Limits]


class Audited(NamedTuple):
    """What an audit is made of: a function of (data, alpha), and what it claims to bound."""

    function: Callable[[Data, float], Limits]
    estimand: str
    side: Side


def _on_counts(limits: Function, data: Data, alpha: float) -> Limits:
    return limits(data[:, 0], data.sum(axis=1), alpha)


def _on_randomized_counts(limits: Function, data: Data, alpha: float) -> Limits:
    successes, failures, u = data.T
    return limits(successes, successes + failures, alpha, u=u)


def _on_two_counts(limits: Function, data: Data, alpha: float) -> Limits:
    x1, failures1, x2, failures2 = data.T
    return limits(x1, x1 + failures1, x2, x2 + failures2, alpha)


def _on_votes(limits: Function, data: Data, alpha: float) -> Limits:
    # Column 1 is the runner-up: with the estimand ":first" this covers any number of classes,
    # as the bounds do not rise with k2 and the largest other count is at least the runner-up's.
    # These bounds take up to a second an outcome, and few outcomes make up most of a block.
    rows = np.column_stack([data[:, :2], data.sum(axis=1)])
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    return np.asarray(limits(*distinct.T, alpha))[place.ravel()]


def _on_sample(limits: Function, data: Data, alpha: float) -> Limits:
    return limits(data, alpha)


def _on_sample_and_variance(limits: Function, data: Data, alpha: float) -> Limits:
    return limits(data[:, :-1], alpha, variance=data[:, -1])


def _on_scores(limits: Function, data: Data, alpha: float) -> Limits:
    return limits(data, 0, alpha)


def _on_vote_path(limits: Function, data: Data, alpha: float) -> Limits:
    interval = limits(data, 0, alpha, split=1.0)
    return interval.lower if isinstance(interval, Interval) else interval


_CALLS: dict[DataKind, Callable[[Function, Data, float], Limits]] = {
    "counts": _on_counts,
    "randomized counts": _on_randomized_counts,
    "two counts": _on_two_counts,
    "votes": _on_votes,
    "sample": _on_sample,
    "binary sample": _on_sample,
    "sample and variance": _on_sample_and_variance,
    "scores": _on_scores,
    "vote path": _on_vote_path,
}
# The estimand that an audit draws data for, by the kind of data; {} is what is bounded.
_DRAWN: dict[DataKind, str] = {
    "randomized counts": "randomized-{}",
    "two counts": "two-proportion-{}",
    "binary sample": "binary-{}",
    "sample and variance": "{}-known-variance",
    "scores": "score-{}",
    "vote path": "path-{}",
}

NOT_BY_NAME = {
    "buehler_lower": "needs an ordering; audit a function of counts that calls it with yours",
    "decide_margin": "returns decisions; audit margin_sequence, on which they rest",
    "population_share_interval": "needs how many are in all; audit a function that calls it",
    "two_step_taylor_lower": "is a formula of the paper: audit rsverify.paper.FORMULAS",
}


def _drawn(bound: Bound, estimand: EstimandName) -> str:
    if estimand in get_args(MarginName) and bound.data in ("votes", "counts"):
        return f"{estimand}:first"
    return _DRAWN.get(bound.data, "{}").format(estimand)


def estimands_of(bound: Bound) -> dict[str, EstimandName]:
    """Return what a caller may ask for -> what is bounded: short names, and those of audits."""
    return {
        asked: estimand
        for estimand in bound.estimands
        for asked in (estimand, _drawn(bound, estimand))
    }


def find_bound(name: str) -> Bound:
    """Return the bound of that name, or raise."""
    if name in NOT_BY_NAME:
        raise ValueError(f"bound={name!r} {NOT_BY_NAME[name]}")
    if name.startswith("printed_"):
        raise ValueError(
            f"bound={name!r} is a formula of the paper: see rsverify audit-paper, or audit "
            f"rsverify.paper.FORMULAS"
        )
    if name not in BOUNDS:
        near = difflib.get_close_matches(name, BOUNDS, n=1)
        meant = f"; is {near[0]} meant?" if near else ""
        raise ValueError(
            f"bound={name!r} must be a callable or one of {', '.join(sorted(BOUNDS))}{meant}"
        )
    return BOUNDS[name]


def audited(bound: Bound, estimand: str) -> Audited:
    """Return how a bound is audited for what the caller asks for, or raise."""
    known = estimands_of(bound)
    if estimand not in known:
        wanted = " or ".join(map(repr, known))
        raise ValueError(f"estimand={estimand!r} must be {wanted} for {bound.name}")
    limits = bound.limits_of(known[estimand])
    # Of a confidence sequence for votes an audit looks at the lower limits.
    side: Side = "lower" if bound.data == "vote path" else bound.side
    call = _CALLS[bound.data]
    return Audited(partial(call, limits), _drawn(bound, known[estimand]), side)


def named_bound(name: str, estimand: str) -> Audited:
    """Return how the bound of that name is audited."""
    return audited(find_bound(name), estimand)


def outcome_table(values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Return bounds of all outcomes, in the order of `all_outcomes`, as a table (x1, x2)."""
    table = np.full((n + 1, n + 1), -np.inf)
    x = all_outcomes(n)
    table[x[:, 0], x[:, 1]] = values
    return table


def all_outcomes(n: int) -> npt.NDArray[np.int64]:
    """Return every trinomial outcome (x1, x2, n - x1 - x2), one per row."""
    x1, x2 = np.divmod(np.arange((n + 1) ** 2, dtype=np.int64), n + 1)
    keep = x1 + x2 <= n
    x1, x2 = x1[keep], x2[keep]
    return np.column_stack([x1, x2, n - x1 - x2])
