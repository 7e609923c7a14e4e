"""More votes for the class or fewer for the runner-up: falls of the exact bound, none at a fixed n.

`coverage_studies/margin_monotonicity.py` measures them on more outcomes.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rsverify import certify_counts, exact_margin_lower

ROUNDING = 2e-11  # the search stops 1e-10 below the limit, and here and there a little further


def load_study() -> ModuleType:
    path = Path(__file__).parents[2] / "coverage_studies" / "margin_monotonicity.py"
    spec = importlib.util.spec_from_file_location("margin_monotonicity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load_study()


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.05, 0.001, 0.4])
@pytest.mark.parametrize("n", [1, 2, 13, 40])
def test_no_fall_at_a_fixed_n(n: int, alpha: float, estimand: str) -> None:
    limits = study.table(n, alpha, estimand)
    assert study.fall_at_fixed_n(limits) <= ROUNDING
    # The other way the same comparison finds what it is there to find.
    assert study.fall_at_fixed_n(-limits) > 1e-4


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.48, 0.5, 0.8])
@pytest.mark.parametrize("n", [30, 999])
def test_falls_by_the_slack_of_the_search_next_to_the_edge(
    n: int, alpha: float, estimand: str
) -> None:
    """At large levels the limits there are Cohen's, which only x3 = 0 has to the last digit."""
    k1 = np.unique(np.linspace(n // 2, n - 4, 40).astype(int))
    rows = [exact_margin_lower(k1, n - k1 - k3, n, alpha, estimand=estimand) for k3 in range(4)]
    assert max((more - fewer).max() for more, fewer in pairwise(rows)) <= 1.2e-10


@pytest.mark.slow
@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", study.ALPHAS)
@pytest.mark.parametrize("n", [100, 150])
def test_no_fall_at_a_fixed_larger_n(n: int, alpha: float, estimand: str) -> None:
    assert study.fall_at_fixed_n(study.table(n, alpha, estimand)) <= ROUNDING


@pytest.mark.parametrize("estimand", study.ESTIMANDS)
@pytest.mark.parametrize("alpha", study.ALPHAS)
def test_no_fall_at_a_fixed_n_and_small_ones_to_the_next(alpha: float, estimand: str) -> None:
    """Random outcomes up to n = 10,000; the falls to n + 1 are those that the docs state."""
    found = study.random_falls(300, alpha, estimand, seed=1)
    assert found["fixed_n"] <= ROUNDING
    assert found["one_more_vote"] <= (0.027 if estimand == "difference" else ROUNDING)


def test_one_more_vote_where_a_rule_had_a_step() -> None:
    """At n = 1000 the votes moved in the ordering used to change, and the radius fell by 7e-4."""
    rest = [10] * 9 + [9]
    counts = np.array([[901, *rest], [902, *rest]])
    radii = [
        certify_counts(row, sigma=0.5, alpha=0.001, y=0, bound="exact").radius for row in counts
    ]
    assert radii[0] <= radii[1]
    for start in (900, 950, 990, 999, 1000, 1001):
        n = np.arange(start, start + 8)
        for x2 in (0, 1, 5, 10):
            x1 = n - x2 - 60  # the rest stays what it is, the class gains every new vote
            limits = exact_margin_lower(x1, np.full(8, x2), n, 0.001, estimand="probit")
            assert (np.diff(limits) > 0).all()


def test_the_largest_fall_that_the_documentation_states() -> None:
    here, more = exact_margin_lower([27, 28], [0, 0], [30, 31], 0.05, estimand="difference")
    assert here - more == pytest.approx(0.02677, abs=1e-5)
