"""The package's own bounds by name, as functions of an audit's data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify.bounds import betting, margin, mean, proportion, score_margin
from rsverify.bounds import confidence_sequences as anytime
from rsverify.bounds import margin_sequence as anytime_counts
from rsverify.paper import as_printed
from rsverify.paper import as_printed_scores as as_printed_soft
from rsverify.paper import two_step as taylor

Bound = Callable[[npt.NDArray[Any], float], Any]
TAYLOR_ORDER = 10


class Named(NamedTuple):
    """A bound of the package: what it is a bound of, which side, and how audits call it."""

    estimands: dict[str, str]  # what a caller may ask for -> the estimand that is audited
    side: str
    function: Callable[..., Any]
    call: Callable[..., Any]  # call(function, target, data, alpha)


def _on_counts(function: Any, _target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data[:, 0], data.sum(axis=1), alpha)


def _on_randomised_counts(function: Any, _target: str, data: Any, alpha: float) -> Any:
    hits, misses, u = data.T
    return function(hits, hits + misses, alpha, u=u)


def _on_margin(function: Any, target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    # Column 1 is the runner-up: with the estimand ":first" this covers any number of classes,
    # as the bounds do not rise with k2 and the largest other count is at least the runner-up's.
    parameters = inspect.signature(function).parameters
    options: dict[str, Any] = {"estimand": target} if "estimand" in parameters else {}
    # These bounds take up to a second an outcome, and few outcomes make up most of a block.
    rows = np.column_stack([data[:, :2], data.sum(axis=1)])
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    if "order" in parameters:
        values = [_taylor_bound(function, *map(int, row), alpha) for row in distinct]
    else:
        values = function(*distinct.T, alpha, **options)
    return np.asarray(values)[place.ravel()]


@lru_cache(maxsize=100_000)
def _taylor_bound(function: Any, k1: int, k2: int, n: int, alpha: float) -> float:
    return float(function(k1, k2, n, alpha, order=TAYLOR_ORDER))


def _on_first_counts(function: Any, target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data[:, 0], data.sum(axis=1), alpha, estimand=target)


def _on_sample(function: Any, _target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data, alpha)


def _with_variance(function: Any, _target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data[:, :-1], alpha, variance=data[:, -1])


def _on_scores(function: Any, target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data, 0, alpha, estimand=target)


def _on_two_scores(function: Any, _target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data[..., 0], data[..., 1], alpha, order=TAYLOR_ORDER)


def _on_vote_paths(function: Any, target: str, data: npt.NDArray[Any], alpha: float) -> Any:
    return function(data, 0, alpha, estimand=target).lower


_PROPORTION = {"proportion": "proportion"}
_RANDOMISED = dict.fromkeys(("proportion", "randomised-proportion"), "randomised-proportion")
_MARGINS = {
    "difference": "difference:first",
    "difference:first": "difference:first",
    "probit": "probit:first",
    "probit:first": "probit:first",
}
_MEAN = {"mean": "mean"}
_BINARY = dict.fromkeys(("mean", "binary-mean"), "binary-mean")
_KNOWN = dict.fromkeys(("mean", "mean-known-variance"), "mean-known-variance")


def _margins(kind: str) -> dict[str, str]:
    targets = [(m, f"{kind}-{m}") for m in ("difference", "probit")]
    return {asked: full for m, full in targets for asked in (m, full)}


def _probit_only(estimands: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in estimands.items() if "probit" in k}


def _takes_sample(function: Any, module: str) -> bool:
    """Return whether `function` is a public bound (x, alpha) of that module."""
    if not inspect.isfunction(function) or function.__module__ != module:
        return False
    if function.__name__.startswith("_"):
        return False
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty] == ["x", "alpha"]


def _side_of(name: str) -> str:
    if "interval" in name:
        return "two-sided"
    return "upper" if name.endswith("_upper") else "lower"


def _names() -> dict[str, Named]:
    """Return the bounds of the package by name."""
    table: dict[str, Named] = {}
    for module in (mean, betting, anytime, as_printed_soft):
        for name, function in vars(module).items():
            if _takes_sample(function, module.__name__):
                table[name] = Named(_MEAN, _side_of(name), function, _on_sample)
    for function in (proportion.clopper_pearson_lower, proportion.clopper_pearson_upper):
        table[function.__name__] = Named(
            _PROPORTION, _side_of(function.__name__), function, _on_counts
        )
    for function in (
        proportion.randomized_clopper_pearson_lower,
        proportion.randomized_clopper_pearson_upper,
    ):
        side = _side_of(function.__name__)
        table[function.__name__] = Named(_RANDOMISED, side, function, _on_randomised_counts)
    for function in (
        margin.bonferroni_margin_lower,
        margin.exact_margin_lower,
        as_printed.printed_bonferroni_lower,
        as_printed.printed_margin_lower,
    ):
        table[function.__name__] = Named(_MARGINS, "lower", function, _on_margin)
    probit = _probit_only(_MARGINS)
    for function in (
        taylor.two_step_taylor_lower,
        as_printed.printed_taylor_lower,
        as_printed.printed_two_step_lower,
    ):
        table[function.__name__] = Named(probit, "lower", function, _on_margin)
    return table | {
        "cohen_margin_lower": Named(_MARGINS, "lower", margin.cohen_margin_lower, _on_first_counts),
        "bernstein_lower": Named(_KNOWN, "lower", mean.bernstein_lower, _with_variance),
        # These two raise on samples other than 0 and 1, so they have laws of their own.
        "kt_mixture_sequence": Named(_BINARY, "two-sided", anytime.kt_mixture_sequence, _on_sample),
        "clopper_pearson_sequence": Named(
            _BINARY, "lower", anytime.clopper_pearson_sequence, _on_sample
        ),
        "score_margin_lower": Named(
            _margins("score"), "lower", score_margin.score_margin_lower, _on_scores
        ),
        "printed_taylor_margin_lower": Named(
            _probit_only(_margins("score")),
            "lower",
            as_printed_soft.printed_taylor_margin_lower,
            _on_two_scores,
        ),
        "margin_sequence": Named(
            _margins("path"), "lower", anytime_counts.margin_sequence, _on_vote_paths
        ),
    }


NOT_BY_NAME = {
    "buehler_lower": "needs an ordering; audit a function of counts that calls it with yours",
    "decide_margin": "returns decisions; audit margin_sequence, on which they rest",
    "printed_selected_runner_up_lower": "needs a selection sample; rsverify audit-paper has it",
}


def named_bound(name: str, estimand: str) -> tuple[Bound, str, str]:
    """Return the bound of that name, the estimand to audit it for, and its side."""
    table = _names()
    if name in NOT_BY_NAME:
        raise ValueError(f"bound={name!r} {NOT_BY_NAME[name]}")
    if name not in table:
        raise ValueError(f"bound={name!r} must be a callable or one of {', '.join(sorted(table))}")
    estimands, side, function, call = table[name]
    if estimand not in estimands:
        wanted = " or ".join(map(repr, estimands))
        raise ValueError(f"estimand={estimand!r} must be {wanted} for {name}")
    full = estimands[estimand]
    target = "probit" if "probit" in full else full.split(":")[0].removeprefix("score-")
    return partial(call, function, target.removeprefix("path-")), full, side


def outcome_table(values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Return bounds of all outcomes, in the order of `all_outcomes`, as a table (x1, x2)."""
    table = np.full((n + 1, n + 1), -np.inf)
    x = all_outcomes(n)
    table[x[:, 0], x[:, 1]] = values
    return table


def all_outcomes(n: int) -> npt.NDArray[np.int64]:
    """Return every trinomial outcome (x1, x2, n - x1 - x2), one a row."""
    x1, x2 = np.divmod(np.arange((n + 1) ** 2, dtype=np.int64), n + 1)
    keep = x1 + x2 <= n
    x1, x2 = x1[keep], x2[keep]
    return np.column_stack([x1, x2, n - x1 - x2])
