"""The bound for a caller's own margin and ordering."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.special import ndtri

from rsverify import buehler_lower, exact_margin_lower
from rsverify.bounds.buehler import RESOLUTION
from rsverify.reference.solver import multinomials, outcomes

GOOD = {"alpha": 0.05, "estimand": "difference", "ordering": lambda x1, x2: x1 - x2}


def test_named_margins_equal_the_named_orderings() -> None:
    counts = [[6, 1, 3], [10, 0, 0], [0, 4, 6], [3, 3, 4]]
    k1, k2, _ = np.array(counts).T
    for estimand in ("difference", "probit"):
        own = buehler_lower(counts, 0.01, estimand=estimand, ordering=lambda a, b: a - b)
        named = exact_margin_lower(k1, k2, 10, 0.01, estimand=estimand, ordering="difference")
        np.testing.assert_allclose(own, named, atol=1e-9)


def test_a_callable_difference_is_just_below_the_named_one() -> None:
    """Its enclosure is to 1e-3 of alpha: never above, and within what that is worth."""
    ordering = GOOD["ordering"]
    for counts in ([6, 1, 3], [9, 1, 0], [3, 3, 4]):
        named = buehler_lower(counts, 0.05, estimand="difference", ordering=ordering)
        own = buehler_lower(counts, 0.05, estimand=lambda a, b: a - b, ordering=ordering)
        looser = buehler_lower(
            counts, 0.05 * (1 - 2 * RESOLUTION), estimand="difference", ordering=ordering
        )
        assert looser - 1e-9 <= own <= named + 1e-9


def test_log_ratio_margin_against_a_grid_of_the_simplex() -> None:
    """g = log(p1 / p2), by definition: no q of margin at most the bound has a tail above alpha."""
    n, alpha = 12, 0.05
    rows = outcomes(n)

    def ratio(p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        return np.log(p1) - np.log(p2)

    def ordering(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        return (x1 + 0.5) / (x2 + 0.5)

    q = outcomes(150) / 150
    q = q[(q[:, 0] > 0) & (q[:, 1] > 0)]
    margins = ratio(q[:, 0], q[:, 1])
    for counts in ([9, 1, 2], [6, 0, 6], [7, 3, 2]):
        bound = float(buehler_lower(counts, alpha, estimand=ratio, ordering=ordering))
        chosen = rows[ordering(rows[:, 0], rows[:, 1]) >= ordering(counts[0], counts[1])]
        tail = (multinomials(chosen) * (q[:, None, :] ** chosen).prod(axis=2)).sum(axis=1)
        assert tail[margins <= bound].max() <= alpha
        assert tail[margins <= bound + 0.15].max() > alpha


def test_a_valid_limit_as_ordering_is_never_lowered() -> None:
    from rsverify import bonferroni_margin_lower

    n = 40
    for estimand in ("difference", "probit"):

        def limit(x1: np.ndarray, x2: np.ndarray, estimand: str = estimand) -> np.ndarray:
            return np.asarray(bonferroni_margin_lower(x1, x2, n, 0.05, estimand=estimand))

        counts = np.array([[30, 5, 5], [20, 0, 20], [10, 20, 10], [39, 1, 0]])
        bound = buehler_lower(counts, 0.05, estimand=estimand, ordering=limit)
        assert (bound >= limit(counts[:, 0], counts[:, 1]) - 1e-9).all()


def test_shapes() -> None:
    counts = np.array([[[6, 1, 3]], [[2, 2, 6]]])
    assert buehler_lower(counts, [0.05, 0.01], **_without_alpha()).shape == (2, 2)
    assert np.ndim(buehler_lower([6, 1, 3], **GOOD)) == 0
    assert buehler_lower([0, 10, 0], **GOOD) == -1
    trivial = buehler_lower(
        [0, 0, 10], 0.05, estimand=lambda a, b: ndtri(a) - ndtri(b), ordering=GOOD["ordering"]
    )
    assert trivial == -np.inf


def max_shape(x1: np.ndarray, x2: np.ndarray) -> float:
    return float(x1.max() + x2.max())


def _without_alpha() -> dict[str, object]:
    return {key: value for key, value in GOOD.items() if key != "alpha"}


@pytest.mark.parametrize(
    ("counts", "change", "error", "message"),
    [
        ([6, 4], {}, ValueError, "counts of shape (2,) must have three columns on its last axis"),
        (5, {}, ValueError, "counts of shape () must have three columns"),
        ([6, -1, 3], {}, ValueError, "counts=-1 must be at least 0"),
        ([6, 1.5, 3], {}, ValueError, "counts=1.5 must be an integer"),
        ([6, np.nan, 3], {}, ValueError, "counts=nan must be an integer"),
        ([0, 0, 0], {}, ValueError, "n=0 must be between 1 and"),
        (["a", "b", "c"], {}, TypeError, "must be an integer or an array of integers"),
        ([6, 1, 3], {"alpha": 0.0}, ValueError, "alpha=0.0 must be in (0, 1)"),
        ([6, 1, 3], {"alpha": 1e-13}, ValueError, "alpha=1e-13 must be at least 1e-12"),
        ([6, 1, 3], {"estimand": "ratio"}, ValueError, "estimand='ratio' must be one of"),
        ([6, 1, 3], {"ordering": "difference"}, TypeError, "must be a function of x1 and x2"),
        (
            [6, 1, 3],
            {"ordering": lambda x1, x2: x2 - x1},
            ValueError,
            "ordering must not fall with x1 nor rise with x2",
        ),
        (
            [6, 1, 3],
            {"ordering": lambda x1, x2: np.where(x1 == 4, np.nan, x1 - x2)},
            ValueError,
            "ordering returned NaN at x1=4",
        ),
        ([6, 1, 3], {"ordering": max_shape}, ValueError, "ordering returned shape ()"),
        ([[6, 1, 3]] * 2, {"alpha": [0.1] * 3}, ValueError, "must broadcast to one shape"),
    ],
)
def test_bad_arguments_raise(counts, change, error, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        buehler_lower(counts, **(GOOD | change))
