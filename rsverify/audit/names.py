"""The package's own bounds by name, as functions of an audit's data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify.bounds import anytime, as_printed, as_printed_soft, betting, margin, mean, proportion

Bound = Callable[[npt.NDArray[Any], float], Any]


def _on_proportion(bound: Callable[..., Any], data: npt.NDArray[Any], alpha: float) -> Any:
    return bound(data[:, 0], data.sum(axis=1), alpha)


def _on_margin(
    bound: Callable[..., Any], options: dict[str, Any], data: npt.NDArray[Any], alpha: float
) -> Any:
    # Column 1 is the runner-up: with the estimand ":first" this covers any number of classes,
    # as the bounds do not rise with k2 and the largest other count is at least the runner-up's.
    return bound(data[:, 0], data[:, 1], data.sum(axis=1), alpha, **options)


def _cohen(k1: Any, k2: Any, n: Any, alpha: float, *, estimand: str) -> Any:
    del k2
    return margin.cohen_margin_lower(k1, n, alpha, estimand=estimand)


BINARY_ONLY = ("kt_mixture_sequence", "clopper_pearson_sequence")
"""Bounds of 0/1 samples, which raise on other samples; audited with scenarios of their own."""


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


def _names() -> dict[str, tuple[str, str, Callable[..., Any]]]:
    """Return name -> (kind of data, side, function)."""
    table: dict[str, tuple[str, str, Callable[..., Any]]] = {
        "clopper_pearson_lower": ("proportion", "lower", proportion.clopper_pearson_lower),
        "clopper_pearson_upper": ("proportion", "upper", proportion.clopper_pearson_upper),
        "cohen_margin_lower": ("margin", "lower", _cohen),
        "bonferroni_margin_lower": ("margin", "lower", margin.bonferroni_margin_lower),
        "exact_margin_lower": ("margin", "lower", margin.exact_margin_lower),
        "printed_bonferroni_lower": ("margin", "lower", as_printed.printed_bonferroni_lower),
        "printed_margin_lower": ("margin", "lower", as_printed.printed_margin_lower),
        "printed_taylor_lower": ("margin", "lower", as_printed.printed_taylor_lower),
        "printed_two_step_lower": ("margin", "lower", as_printed.printed_two_step_lower),
    }
    for module in (mean, betting, anytime, as_printed_soft):
        for name, function in vars(module).items():
            if _takes_sample(function, module.__name__) and name not in BINARY_ONLY:
                table[name] = ("mean", _side_of(name), function)
    return table


def named_bound(name: str, estimand: str) -> tuple[Bound, str, str]:
    """Return the bound of that name, the estimand to audit it for, and its side."""
    table = _names()
    if name not in table:
        raise ValueError(f"bound={name!r} must be a callable or one of {', '.join(sorted(table))}")
    kind, side, function = table[name]
    base = estimand.split(":")[0]
    if kind == "proportion" and base == "proportion":
        return partial(_on_proportion, function), base, side
    if kind == "mean" and base == "mean":
        return function, base, side
    if kind == "margin" and base in ("difference", "probit"):
        options: dict[str, Any] = {}
        parameters = inspect.signature(function).parameters
        if "estimand" in parameters:
            options["estimand"] = base
        elif base != "probit":
            raise ValueError(f"estimand={estimand!r} must be 'probit' for {name}")
        if "order" in parameters:
            options["order"] = 10
        return partial(_on_margin, function, options), base + ":first", side
    wanted = {"margin": "'difference' or 'probit'"}.get(kind, repr(kind))
    raise ValueError(f"estimand={estimand!r} must be {wanted} for {name}")


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
