"""The default exact bound is never below Cohen's nor Bonferroni's at the same level.

Not a theorem: a sweep. The study `coverage_studies/margin_dominance.py` runs it on more outcomes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower
from rsverify.auditing.exact.trinomial import margin_worst


def load_study() -> ModuleType:
    path = Path(__file__).parents[2] / "coverage_studies" / "margin_dominance.py"
    spec = importlib.util.spec_from_file_location("margin_dominance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load_study()


def check(rows: dict[str, np.ndarray]) -> None:
    for estimand in study.ESTIMANDS:
        result = study.shortfalls(rows, estimand)
        assert not np.isnan(result["exact"]).any()
        worst = int(np.argmax(result["relative"]))
        what = {key: value[worst].item() for key, value in (rows | result).items()}
        assert result["relative"][worst] <= study.TOLERANCE, (estimand, what)


@pytest.mark.parametrize("block", range(4))
def test_never_below_cohen_nor_bonferroni(block: int) -> None:
    check(study.draw_block(block, 450, 2000, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_never_below_cohen_nor_bonferroni_up_to_100000(block: int) -> None:
    check(study.draw_block(block, 300, 100_000, seed=2))


@pytest.mark.parametrize("n", [1000, 1001, 4000])
def test_never_below_cohen_where_all_votes_are_for_two_classes(n: int) -> None:
    """Cohen's bound is best there, and the tail has its spike at few votes for the second."""
    alpha, x1 = np.meshgrid([0.5, 0.35, 0.2, 0.1], np.round(n * np.linspace(0.87, 0.99, 7)))
    x1 = x1.astype(np.int64).ravel()
    check({"n": np.full(x1.size, n), "x1": x1, "x2": n - x1, "alpha": alpha.ravel()})


@pytest.mark.parametrize("alpha", study.ALPHAS)
def test_every_outcome_of_small_n(alpha: float) -> None:
    """Every (x1, x2) of n up to 12: all edges there are."""
    table = [(n, x1, x2) for n in range(1, 13) for x1 in range(n + 1) for x2 in range(n + 1 - x1)]
    n, x1, x2 = np.array(table).T
    check({"n": n, "x1": x1, "x2": x2, "alpha": np.full(n.size, alpha)})


def outcomes(n: int) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    return x1, x2


def larger_of_two(n: int, alpha: float, estimand: str) -> np.ndarray:
    x1, x2 = outcomes(n)
    return np.maximum(
        cohen_margin_lower(x1, n, alpha, estimand=estimand),
        bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand),
    )


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05, 0.001])
def test_never_below_their_floats(alpha: float, estimand: str) -> None:
    """Every outcome of n up to 30: no tolerance. It proves that the larger of the two is valid."""
    for n in range(1, 31):
        x1, x2 = outcomes(n)
        exact = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
        others = larger_of_two(n, alpha, estimand)
        # Within rounding of 0 the Laplace curve's kink and end are too close for the proof.
        slack = np.where(np.abs(others) < 1e-12, 3e-10 * (estimand == "laplace"), 0.0)
        with np.errstate(invalid="ignore"):
            assert ((exact == others) | (exact - others >= -slack)).all(), n


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_larger_of_the_two_is_valid_for_the_auditor(alpha: float, estimand: str) -> None:
    """The auditor's enumeration, for every n up to 30 and some beyond; enclosed within 6 %."""
    for n in (*range(1, 31), 47, 80):
        x1, x2 = outcomes(n)
        table = np.full((n + 1, n + 1), -np.inf)
        table[x1, x2] = larger_of_two(n, alpha, estimand)
        worst = margin_worst(table, estimand, False, alpha)
        assert worst.attained <= alpha * (1.0 + 1e-9), n
        assert worst.certified <= 1.06 * alpha, n


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize(
    ("x1", "n", "alpha"),
    [
        (60, 100, 0.028443966828278485),
        (55, 97, 0.1097),
        (2, 40, 1e-7),
        (5, 18, 2e-7),
        (50_800, 100_000, 1e-6),
    ],
)
def test_where_all_votes_are_for_two_classes_it_is_cohens(
    x1: int, n: int, alpha: float, estimand: str
) -> None:
    exact = exact_margin_lower(x1, n - x1, n, alpha, estimand=estimand)
    cohen = cohen_margin_lower(x1, n, alpha, estimand=estimand)
    if estimand == "laplace" and abs(cohen) < 1e-10:  # beside 0 the curve's kink is at its end
        assert cohen - 3e-10 < exact <= cohen
    else:
        assert exact == cohen


@pytest.mark.parametrize("alpha", [0.56, 0.8, 0.95])
@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("n", [19, 60])
def test_high_alpha_too(n: int, estimand: str, alpha: float) -> None:
    """Up to 1e-9; at (28, 19) of 60 and .95 the likelihood ratio's order gave .322, not .326."""
    x1, x2 = outcomes(n)
    exact = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    with np.errstate(invalid="ignore"):
        short = larger_of_two(n, alpha, estimand) - exact
    assert np.nanmax(short) <= 1e-9
