"""The paper's formulas as `Bound` objects: what audits and tests are given, never by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rsverify._core.types import EstimandName, FloatArray
from rsverify.bounds.bound import Bound
from rsverify.paper import as_printed, as_printed_scores, two_step

ORDER = 10
"""The order of the Taylor polynomials."""


def _of_order(function: Callable[..., npt.ArrayLike]) -> Callable[..., npt.ArrayLike]:
    """Return the bound at `ORDER`, with one evaluation an outcome: they take up to a second."""

    @lru_cache(maxsize=100_000)
    def one(k1: int, k2: int, n: int, alpha: float) -> float:
        return float(np.asarray(function(k1, k2, n, alpha, order=ORDER)))

    def limits(
        k1: npt.ArrayLike, k2: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike
    ) -> FloatArray:
        rows = np.broadcast(k1, k2, n, alpha)
        values = [one(int(a), int(b), int(c), float(d)) for a, b, c, d in rows]
        return np.array(values).reshape(rows.shape)

    return limits


MARGINS: tuple[EstimandName, ...] = ("difference", "probit")
_BOUNDS = (
    Bound(
        "printed_bonferroni_lower", as_printed.printed_bonferroni_lower, ("difference", "probit")
    ),
    Bound("printed_margin_lower", as_printed.printed_margin_lower, ("difference", "probit")),
    Bound("printed_taylor_lower", _of_order(as_printed.printed_taylor_lower), "probit"),
    Bound("printed_two_step_lower", _of_order(as_printed.printed_two_step_lower), "probit"),
    Bound("two_step_taylor_lower", _of_order(two_step.two_step_taylor_lower), "probit"),
    Bound(
        "printed_empirical_bernstein_lower",
        as_printed_scores.printed_empirical_bernstein_lower,
        "mean",
        data="sample",
    ),
    Bound(
        "printed_plugin_bernstein_lower",
        as_printed_scores.printed_plugin_bernstein_lower,
        "mean",
        data="sample",
    ),
)
FORMULAS: dict[str, Bound] = {bound.name: bound for bound in _BOUNDS}
"""Name -> formula."""


def taylor_margin_of_scores(scores: FloatArray, alpha: float) -> npt.ArrayLike:
    """Return the printed Taylor margin of two columns of scores, shape (rows, n, 2 or more)."""
    return as_printed_scores.printed_taylor_margin_lower(
        scores[..., 0], scores[..., 1], alpha, order=ORDER
    )
