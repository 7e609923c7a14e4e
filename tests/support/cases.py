"""The table of bounds on vote counts that most tests parametrise over.

A new bound is a new row: it then gets the comparison with its twin, the properties, the
exact coverage and the checks of its domain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rsverify.bounds.margin import (
    bonferroni_margin_lower,
    cohen_margin_lower,
    exact_margin_lower,
)
from rsverify.reference import margin as twin

ESTIMANDS = ("difference", "probit", "laplace")
ALPHAS = (0.05, 0.01, 0.001)


@dataclass(frozen=True)
class CountBound:
    """A lower bound of a margin from (k1, k2, n, alpha), and its 50-digit twin."""

    name: str
    estimand: str
    lower: Callable[..., Any]
    twin: Callable[..., Any]
    exact: bool  # searched for, not a formula
    default: bool  # what a user gets without asking for an ordering


def _cohen(k1: Any, k2: Any, n: Any, alpha: Any, *, estimand: str) -> Any:
    """Cohen's bound; k2 is only broadcast."""
    return cohen_margin_lower(k1 + 0 * np.asarray(k2), n, alpha, estimand=estimand)


def _cohen_twin(k1: int, k2: int, n: int, alpha: float, *, estimand: str) -> Any:
    del k2
    return twin.cohen_margin_lower(k1, n, alpha, estimand=estimand)


def _table() -> Iterator[CountBound]:
    for estimand in ESTIMANDS:
        bind = functools.partial
        yield CountBound(
            f"cohen-{estimand}",
            estimand,
            bind(_cohen, estimand=estimand),
            bind(_cohen_twin, estimand=estimand),
            exact=False,
            default=True,
        )
        for split in (0.5, 0.9):
            yield CountBound(
                f"bonferroni-{split}-{estimand}",
                estimand,
                bind(bonferroni_margin_lower, estimand=estimand, split=split),
                bind(twin.bonferroni_margin_lower, estimand=estimand, split=split),
                exact=False,
                default=split == 0.5,
            )
        for ordering in ("likelihood-ratio", "difference", "bonferroni", "taylor:3"):
            yield CountBound(
                f"exact-{ordering}-{estimand}",
                estimand,
                bind(exact_margin_lower, estimand=estimand, ordering=ordering),
                bind(twin.exact_margin_lower, estimand=estimand, ordering=ordering),
                exact=True,
                default=ordering == "likelihood-ratio",
            )


COUNT_BOUNDS = tuple(_table())
FORMULAS = tuple(bound for bound in COUNT_BOUNDS if not bound.exact)
EXACT = tuple(bound for bound in COUNT_BOUNDS if bound.exact)
DEFAULTS = tuple(bound for bound in COUNT_BOUNDS if bound.default)


def name(bound: CountBound) -> str:
    """Return the name under which pytest lists a bound."""
    return bound.name


@st.composite
def outcomes(draw: st.DrawFn, largest: int) -> tuple[int, int, int]:
    """(k1, k2, n): n even in its logarithm; k1, k2 and the rest anywhere or next to an end."""
    n = round(largest ** draw(st.floats(0, 1)))
    parts = [draw(st.one_of(st.integers(0, n), st.integers(0, min(n, 3))))]
    parts.append(draw(st.one_of(st.integers(0, n - parts[0]), st.just(0))))
    parts.append(n - sum(parts))
    k1, k2, _ = draw(st.permutations(parts))
    return k1, k2, n


LEVELS = st.one_of(
    st.sampled_from((0.1, 0.05, 0.01, 0.001, 1e-6)),
    st.floats(-12, -0.01).map(lambda e: 10.0**e),
    st.floats(1e-12, 1 - 1e-9),
    st.sampled_from((1e-12, 1 - 1e-9)),
)
"""Levels over the whole domain of the exact bounds."""
