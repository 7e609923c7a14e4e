"""Margin bounds: known figures, edges, shapes, and errors that name their argument."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from support.cases import COUNT_BOUNDS, CountBound, name

from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower
from rsverify.bounds.margin import LARGEST_EXACT_TRIALS
from rsverify.bounds.proportion import LARGEST_TRIALS


@pytest.mark.parametrize(
    ("k1", "k2", "n", "alpha", "estimand", "floor"),
    [
        (600, 50, 1000, 0.001, "difference", 0.4902),
        (600, 50, 1000, 0.001, "probit", 1.629),
        (60, 5, 100, 0.001, "difference", 0.345),
        (60, 25, 100, 0.05, "difference", 0.2024),
        (24, 4, 30, 0.001, "difference", 0.1434),
        (900, 50, 1000, 0.001, "difference", 0.79802),
        (900, 50, 1000, 0.001, "probit", 2.5813),
        (990, 10, 1000, 0.001, "probit", 3.9560),
        (400, 50, 1000, 0.001, "difference", 0.2932),
        (400, 50, 1000, 0.001, "probit", 1.1301),
        (60000, 5000, 100_000, 0.001, "difference", 0.54421),
        (60000, 5000, 100_000, 0.001, "probit", 1.8712),
    ],
)
def test_tightness(k1: int, k2: int, n: int, alpha: float, estimand: str, floor: float) -> None:
    """No looser than what is known to be reachable (other software, and earlier prototypes)."""
    assert exact_margin_lower(k1, k2, n, alpha, estimand=estimand) >= floor


@pytest.mark.parametrize(
    ("k1", "k2", "difference", "bonferroni", "probit"),
    [
        (600, 50, 0.46383, 0.47118, 1.54781),
        (900, 50, 0.79167, 0.78850, 2.53152),
        (400, 50, 0.25532, 0.27271, 1.04058),
    ],
)
def test_published_figures(
    k1: int, k2: int, difference: float, bonferroni: float, probit: float
) -> None:
    """n = 1000, alpha = 0.001: ordered by k1 - k2, and Bonferroni for both margins."""
    given = (k1, k2, 1000, 0.001)
    ordered = exact_margin_lower(*given, estimand="difference", ordering="difference")
    assert ordered == pytest.approx(difference, abs=6e-6)
    assert bonferroni_margin_lower(*given, estimand="difference") == pytest.approx(
        bonferroni, abs=6e-6
    )
    assert bonferroni_margin_lower(*given, estimand="probit") == pytest.approx(probit, abs=6e-6)


@pytest.mark.parametrize(
    ("k1", "value"), [(600, 0.25676), (900, 2.22897), (990, 3.95602), (400, -0.75753)]
)
def test_published_figures_of_cohen(k1: int, value: float) -> None:
    assert cohen_margin_lower(k1, 1000, 0.001, estimand="probit") == pytest.approx(value, abs=6e-6)


@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
@pytest.mark.parametrize("n", [1, 7, 50, 333])
def test_bonferroni_ordering_is_never_below_its_limit(n: int, estimand: str) -> None:
    k1 = np.arange(n + 1)
    for k2 in ((n - k1), (n - k1) // 2, 0 * k1):
        limit = bonferroni_margin_lower(k1, k2, n, 0.01, estimand=estimand)
        exact = exact_margin_lower(k1, k2, n, 0.01, estimand=estimand, ordering="bonferroni")
        assert (exact >= limit - 1e-9).all()


def test_edges() -> None:
    for ordering in ("likelihood-ratio", "difference", "bonferroni", "taylor:0"):
        bounds = exact_margin_lower(
            [0, 0, 5], [5, 0, 0], 5, 0.05, estimand="difference", ordering=ordering
        )
        assert bounds[0] == -1
        assert bounds[1] < 0
        assert bounds[2] == pytest.approx(2 * 0.05 ** (1 / 5) - 1, abs=1e-9)
        probit = exact_margin_lower(0, 0, 5, 0.05, estimand="probit", ordering=ordering)
        assert probit == -math.inf


@pytest.mark.parametrize("bound", COUNT_BOUNDS, ids=name)
def test_scalars_arrays_and_broadcasting(bound: CountBound) -> None:
    k1, k2 = np.array([[3], [9]]), np.array([0, 1, 2])
    table = bound.lower(k1, k2, 12, 0.05)
    assert table.shape == (2, 3)
    assert table.dtype == np.float64
    for i in range(2):
        for j in range(3):
            alone = bound.lower(int(k1[i, 0]), int(k2[j]), 12, 0.05)
            assert np.ndim(alone) == 0
            assert alone == table[i, j]
    several = bound.lower(5, 2, np.array([10, 12]), np.array([0.05, 0.01]))
    assert several[1] == bound.lower(5, 2, 12, 0.01)
    assert bound.lower(np.zeros(0, int), np.zeros(0, int), 12, 0.05).shape == (0,)


BAD_COUNTS = [
    ({"k1": -1}, ValueError, "k1=-1 must be at least 0"),
    ({"k1": 11}, ValueError, "k1=11 must be at most n=10"),
    ({"k2": -2}, ValueError, "k2=-2 must be at least 0"),
    ({"k2": 7}, ValueError, "k1 + k2=12 must be at most n=10"),
    ({"k1": 2.5}, ValueError, "k1=2.5 must be an integer"),
    ({"k1": math.nan}, ValueError, "k1=nan must be an integer"),
    ({"k2": math.inf}, ValueError, "k2=inf must be an integer"),
    ({"k1": "5"}, TypeError, "k1='5' must be an integer or an array of integers"),
    ({"k1": None}, TypeError, "k1=None must be an integer or an array of integers"),
    ({"k1": True}, TypeError, "k1=True must be an integer or an array of integers"),
    ({"n": 0}, ValueError, "n=0 must be between 1 and"),
    ({"n": 10.5}, ValueError, "n=10.5 must be an integer"),
    ({"n": LARGEST_TRIALS + 1}, ValueError, f"n={LARGEST_TRIALS + 1} must be between 1 and"),
    ({"alpha": 0.0}, ValueError, "alpha=0.0 must be in (0, 1)"),
    ({"alpha": 1}, ValueError, "alpha=1.0 must be in (0, 1)"),
    ({"alpha": 1.2}, ValueError, "alpha=1.2 must be in (0, 1)"),
    ({"alpha": math.nan}, ValueError, "alpha contains NaN; it must hold real numbers only"),
    ({"alpha": "0.1"}, TypeError, "alpha='0.1' must be a real number or an array of them"),
    ({"k1": [1, 2], "k2": [1, 2, 3]}, ValueError, "arguments must broadcast to one shape"),
    (
        {"estimand": "ratio"},
        ValueError,
        "estimand='ratio' must be one of 'difference', 'probit', 'laplace'",
    ),
    ({"estimand": 3}, TypeError, "estimand=3 must be one of 'difference', 'probit', 'laplace'"),
]
GOOD = {"k1": 5, "k2": 2, "n": 10, "alpha": 0.05, "estimand": "probit"}


@pytest.mark.parametrize("function", [bonferroni_margin_lower, exact_margin_lower])
@pytest.mark.parametrize(("change", "error", "message"), BAD_COUNTS)
def test_bad_arguments_raise(function, change, error, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        function(**(GOOD | change))


@pytest.mark.parametrize("alpha", [5e-324, 1e-323, 3e-308])
def test_an_alpha_too_small_to_be_shared_is_refused(alpha) -> None:
    with pytest.raises(ValueError, match=f"alpha={alpha} is too small: 0.5 of it must be at"):
        bonferroni_margin_lower(90, 5, 100, alpha, estimand="probit")
    with pytest.raises(ValueError, match=r"alpha=0.1 is too small: 1e-310 of it"):
        bonferroni_margin_lower(90, 5, 100, [0.5, 0.1], estimand="probit", split=[0.5, 1e-310])


@pytest.mark.parametrize(
    ("change", "error", "message"), [case for case in BAD_COUNTS if "k2" not in case[0]]
)
def test_bad_arguments_of_cohen_raise(change, error, message: str) -> None:
    arguments = GOOD | change
    del arguments["k2"]
    with pytest.raises(error, match=re.escape(message)):
        cohen_margin_lower(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ordering": "size"}, ValueError, "ordering='size' must be one of 'likelihood-ratio'"),
        ({"ordering": "taylor:501"}, ValueError, "order 0 to 500"),
        ({"ordering": "taylor:-1"}, ValueError, "order 0 to 500"),
        ({"ordering": max}, TypeError, "buehler_lower takes a function"),
        ({"alpha": 1e-13}, ValueError, "alpha=1e-13 must be at least 1e-12 for an exact bound"),
        (
            {"n": LARGEST_EXACT_TRIALS + 1},
            ValueError,
            f"n={LARGEST_EXACT_TRIALS + 1} must be between 1 and {LARGEST_EXACT_TRIALS}",
        ),
    ],
)
def test_bad_arguments_of_the_exact_bound_raise(change, error, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        exact_margin_lower(**(GOOD | change))


def test_split_is_checked_and_spends_alpha() -> None:
    with pytest.raises(ValueError, match=re.escape("split=1.0 must be in (0, 1)")):
        bonferroni_margin_lower(**GOOD, split=1.0)
    # All of alpha on p1, nearly: Cohen's limit of p1 against the rest.
    given = (990, 10, 1000, 0.001)
    almost = bonferroni_margin_lower(*given, estimand="probit", split=1 - 1e-9)
    assert almost == pytest.approx(cohen_margin_lower(990, 1000, 0.001, estimand="probit"))
