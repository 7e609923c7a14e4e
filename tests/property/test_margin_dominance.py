"""The default exact bound is never below Cohen's nor Bonferroni's at the same level.

Not a theorem: a sweep. The study `coverage_studies/margin_dominance.py` runs it on more outcomes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


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
