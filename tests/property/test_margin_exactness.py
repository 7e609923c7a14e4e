"""The exact bound is exact: every outcome against an independent maximum over the curve.

`coverage_studies/margin_exactness.py` does the same for all outcomes of n = 100 and 150.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import mpmath as mp
import numpy as np
import pytest

from rsverify import Taylor, clopper_pearson_upper, exact_margin_lower
from rsverify.bounds.margin import _ordering_tables
from rsverify.kernels.margin.staircase import additive_steps, default_steps
from rsverify.reference import margin as twin
from rsverify.reference.curve_maximum import curve_maximum, curve_points, tails

ESTIMANDS = ("difference", "probit", "laplace")


def load_study() -> ModuleType:
    path = Path(__file__).parents[2] / "coverage_studies" / "margin_exactness.py"
    spec = importlib.util.spec_from_file_location("margin_exactness", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load_study()


def check(n: int, alpha: float, estimand: str, x1: np.ndarray, x2: np.ndarray) -> int:
    found = study.compare(n, alpha, estimand, x1, x2)
    assert found["above"] == []
    assert found["low"] == []
    return int(found["negative"])


def test_a_limit_whose_peak_is_the_low_end_of_the_curve() -> None:
    """Outcomes without a vote for the class decide there: P(X2 <= 2) at q = (0, -L, 1 + L)."""
    value = float(exact_margin_lower(0, 2, 150, 0.05, estimand="difference"))
    steps = np.empty(151, np.int64)
    default_steps(0, 0, 2, 150, 0.05, steps)
    assert curve_maximum(steps, value, "difference")[1] < 1e-6
    assert 0.0 <= -clopper_pearson_upper(2, 150, 0.05) - value <= 1e-9


def test_a_limit_that_the_low_end_has_kept_from_being_found() -> None:
    """The end is not the highest place at the limit, but it was on the way there."""
    value = exact_margin_lower(6, 6, 150, 0.05, estimand="difference")
    assert value == pytest.approx(-0.0418038223, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "alpha", "outcomes"),
    [
        (150, 0.05, [(6, 6), (0, 2), (0, 9), (3, 4), (3, 7), (4, 11)]),
        (100, 0.05, [(4, 11), (6, 7), (10, 12), (16, 13)]),
        (100, 0.001, [(4, 4), (9, 5), (10, 4), (13, 7)]),
        (60, 0.001, [(5, 15), (9, 14), (12, 9), (17, 22), (28, 29)]),
        (37, 0.2, [(0, 0), (0, 1), (1, 1), (9, 9), (36, 0)]),
    ],
)
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_limits_that_have_been_too_low(
    n: int, alpha: float, outcomes: list[tuple[int, int]], estimand: str
) -> None:
    x1, x2 = np.array(outcomes).T
    check(n, alpha, estimand, x1, x2)


@pytest.mark.parametrize("alpha", [0.55, 0.8, 0.97])
@pytest.mark.parametrize("n", [3, 5, 7])
def test_other_orderings_at_large_alpha(n: int, alpha: float) -> None:
    """The search leaves one peak behind for another: n = 5, (1, 2), alpha = 0.8, Taylor(3)."""
    x1, x2 = study.every_outcome(n)
    steps = np.empty(n + 1, np.int64)
    for ordering in (Taylor(0), Taylor(3), "bonferroni"):
        for code, estimand in enumerate(("difference", "probit")):
            limits = exact_margin_lower(x1, x2, n, alpha, estimand=estimand, ordering=ordering)
            tables = _ordering_tables(ordering, n, alpha, code)
            for i in np.flatnonzero(np.isfinite(limits) & (limits > -1.0)):
                additive_steps(*tables, x1[i], x2[i], n, steps)
                assert curve_maximum(steps, limits[i], estimand)[0] <= alpha * (1.0 + 1e-11)
                assert curve_maximum(steps, limits[i] + 1e-9, estimand)[0] > alpha


@pytest.mark.parametrize("alpha", [0.05, 0.001, 0.4])
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_every_outcome_of_small_n(n: int, estimand: str, alpha: float) -> None:
    negative = check(n, alpha, estimand, *study.every_outcome(n))
    assert negative > 0


@pytest.mark.slow
@pytest.mark.parametrize("alpha", study.ALPHAS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_every_outcome_of_60(estimand: str, alpha: float) -> None:
    assert check(60, alpha, estimand, *study.every_outcome(60)) > 500


@pytest.mark.slow
@pytest.mark.parametrize("alpha", study.ALPHAS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize(("n", "every"), [(100, 5), (150, 16)])
def test_outcomes_of_larger_n(n: int, every: int, estimand: str, alpha: float) -> None:
    x1, x2 = study.every_outcome(n)
    assert check(n, alpha, estimand, x1[::every], x2[::every]) > 100


def test_the_second_way_agrees_with_50_digits() -> None:
    """Its tails against the reference implementation's sum of the probability mass."""
    rng = np.random.default_rng(1)
    for estimand in ESTIMANDS:
        for limit in (-0.7, -0.1, 0.0, 0.3, 0.9):
            steps = np.minimum(np.sort(rng.integers(0, 14, 13)), 13)
            share = np.array([0.0, 0.02, 0.5, 0.97, 1.0])
            points = curve_points(limit, share, estimand)
            assert points.sum(axis=0) == pytest.approx(1.0, abs=1e-15)
            for q, value in zip(points.T, tails(steps, points), strict=True):
                exact = twin.trinomial_tail(steps.tolist(), tuple(mp.mpf(v) for v in q))
                assert value == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
