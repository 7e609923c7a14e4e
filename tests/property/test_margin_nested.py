"""The nested ordering: a smaller alpha never gives a larger bound; validity as the default's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower
from rsverify.auditing.exact.trinomial import margin_worst
from rsverify.kernels.margin.nested import LEVELS, level_below
from rsverify.reference import margin as twin
from rsverify.verification.ordering import nested_level

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ESTIMANDS = ("difference", "probit", "laplace")
ROUNDING = 1e-9


def outcomes(n: int) -> tuple[IntArray, IntArray]:
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    return x1, x2


def alphas(least: float, between: int, seed: int) -> FloatArray:
    """Levels at which the ordering changes, the floats just below, and some between."""
    levels = LEVELS[least <= LEVELS]
    some = np.exp(np.random.default_rng(seed).uniform(np.log(least), np.log(0.5), between))
    return np.unique(np.concatenate([levels, np.nextafter(levels[1:], 0.0), some]))


def largest_fall(limits: FloatArray) -> float:
    """Return by how much a limit is below one at a smaller alpha; alphas rise along the rows."""
    before = np.maximum.accumulate(limits, axis=0)
    with np.errstate(invalid="ignore"):
        return float(np.where(before == limits, 0.0, before - limits).max())


def bounds(
    k1: IntArray,
    k2: IntArray,
    n: IntArray | int,
    alpha: FloatArray | float,
    estimand: str,
    kind: str,
) -> FloatArray:
    return np.asarray(exact_margin_lower(k1, k2, n, alpha, estimand=estimand, ordering=kind))  # type: ignore[call-overload]


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("n", [1, 4, 9, 16])
def test_a_smaller_alpha_never_gives_a_larger_bound(n: int, estimand: str) -> None:
    """Every outcome, at every level and just below it; the default has falls to be found."""
    x1, x2 = outcomes(n)
    grid = alphas(0.02, 8, seed=n)[:, None]
    assert largest_fall(bounds(x1, x2, n, grid, estimand, "nested")) <= ROUNDING
    if n >= 9:
        assert largest_fall(bounds(x1, x2, n, grid, estimand, "likelihood-ratio")) > 0.01


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("largest", [60, 1000, 30_000])
def test_random_outcomes_and_alphas(largest: int, estimand: str) -> None:
    rng = np.random.default_rng(largest)
    n = np.round(np.exp(rng.uniform(np.log(largest / 10), np.log(largest), 8))).astype(np.int64)
    x1 = rng.integers(0, n + 1)
    x2 = np.where(rng.random(8) < 0.5, rng.integers(0, 4, 8), rng.integers(0, n + 1))
    x2 = np.minimum(x2, n - x1)
    start = np.exp(rng.uniform(np.log(1e-6), np.log(0.05)))
    grid = np.sort(start * np.exp(rng.uniform(0.0, 1.5, 6)))[:, None]
    assert largest_fall(bounds(x1, x2, n, grid, estimand, "nested")) <= ROUNDING


@pytest.mark.parametrize("estimand", ["difference", "probit"])
def test_never_above_the_default_at_a_level_and_never_below_cohen_nor_bonferroni(
    estimand: str,
) -> None:
    for n in (5, 11, 23):
        x1, x2 = outcomes(n)
        for alpha in (0.5, 0.05, 0.001):
            nested = bounds(x1, x2, n, alpha, estimand, "nested")
            assert (nested <= bounds(x1, x2, n, alpha, estimand, "likelihood-ratio")).all()
            assert (nested >= cohen_margin_lower(x1, n, alpha, estimand=estimand)).all()  # type: ignore[call-overload]
            assert (nested >= bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand)).all()  # type: ignore[call-overload]


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.05, 0.0333, np.nextafter(0.05, 0.0), 0.0011])
def test_covers_and_is_monotone_in_the_votes(alpha: float, estimand: str) -> None:
    """Miscoverage enclosed by the auditor, at a level, between two and just below one."""
    for n in (6, 17, 28):
        x1, x2 = outcomes(n)
        table = np.full((n + 1, n + 1), -np.inf)
        table[x1, x2] = bounds(x1, x2, n, alpha, estimand, "nested")
        assert margin_worst(table, estimand, False, alpha).attained <= alpha * (1.0 + 1e-9)
        for step in ((1, 0), (0, -1), (1, -1)):
            a, b = x1 + step[0], x2 + step[1]
            inside = (b >= 0) & (a + b <= n)
            here, there = table[x1[inside], x2[inside]], table[a[inside], b[inside]]
            assert (there >= here - 1e-10).all()


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize(("k1", "k2", "n"), [(3, 1, 4), (2, 0, 5), (4, 2, 7)])
def test_agrees_with_the_reference(k1: int, k2: int, n: int, estimand: str) -> None:
    for alpha in (0.4, 0.32):
        slow = twin.exact_margin_lower(k1, k2, n, alpha, estimand=estimand, ordering="nested")
        fast = float(bounds(np.array(k1), np.array(k2), n, alpha, estimand, "nested"))
        assert slow - 1e-9 <= fast <= slow


def test_levels() -> None:
    assert LEVELS[0] == 1e-12
    assert LEVELS[-1] == 0.5
    assert (np.diff(np.log(LEVELS)) < np.log(1.34)).all()
    for alpha in (0.05, 0.025, 0.01, 0.005, 0.001, 1e-4, 1e-6):
        assert LEVELS[level_below(alpha)] == alpha
        assert nested_level(alpha) == alpha
        assert nested_level(1.01 * alpha) == alpha
        assert LEVELS[level_below(np.nextafter(alpha, 0.0))] < alpha
    assert level_below(1e-12) == 0
    assert level_below(0.5) == LEVELS.size - 1


def test_alpha_above_one_half_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha=0\.6 must be at most 0\.5 for ordering='nested'"):
        exact_margin_lower(3, 1, 5, [0.1, 0.6], estimand="probit", ordering="nested")
