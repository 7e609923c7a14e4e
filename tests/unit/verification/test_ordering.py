"""The sets of the checker lie around those of the kernels, of which they share nothing."""

import numpy as np
import pytest

from rsverify._core.types import MarginName
from rsverify.bounds.margin import _ordering_tables, find_ordering
from rsverify.kernels.margin.staircase import additive_steps, default_steps
from rsverify.verification.ordering import additive_sets, default_sets

CODES: dict[MarginName, int] = {"difference": 0, "probit": 1}


def whole(rows: np.ndarray, n: int) -> np.ndarray:
    """Return a step for each row, n + 1 where it is empty."""
    full = np.full(n + 1, n + 1)
    full[: len(rows)] = rows
    return np.where(full <= n - np.arange(n + 1), np.maximum(full, 0), n + 1)


@pytest.mark.parametrize("estimand", CODES)
@pytest.mark.parametrize("seed", range(120))
def test_the_default_set_lies_between_inner_and_outer(estimand: MarginName, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 5, 13, 20, 40, 100, 300, 3000]))
    x1 = int(rng.integers(1, n + 1))
    x2 = int(rng.integers(0, n - x1 + 1))
    alpha = float(rng.choice([0.5, 0.05, 0.001, 1e-9, 0.9]))
    steps = np.empty(n + 1, np.int64)
    default_steps(CODES[estimand], x1, x2, n, alpha, steps)
    outer, inner = default_sets(estimand, x1, x2, n, alpha)
    assert (whole(outer, n) <= whole(steps, n)).all()
    assert (whole(steps, n) <= whole(inner, n)).all()
    assert np.count_nonzero(whole(outer, n) != whole(inner, n)) <= 2


@pytest.mark.parametrize("estimand", CODES)
@pytest.mark.parametrize(
    "ordering", ["difference", "bonferroni", "taylor:0", "taylor:1", "taylor:5"]
)
@pytest.mark.parametrize(
    ("x1", "x2", "n"),
    [(5, 5, 10), (14, 3, 20), (60, 25, 100), (100, 0, 100), (0, 7, 40), (500, 1, 900)],
)
def test_the_other_sets_lie_between_inner_and_outer(
    x1: int, x2: int, n: int, ordering: str, estimand: MarginName
) -> None:
    tables = _ordering_tables(find_ordering(ordering), n, 0.05, CODES[estimand])
    steps = np.empty(n + 1, np.int64)
    additive_steps(*tables, x1, x2, n, steps)
    outer, inner = additive_sets(ordering, estimand, x1, x2, n, 0.05)
    assert (whole(outer, n) <= whole(steps, n)).all()
    assert (whole(steps, n) <= whole(inner, n)).all()
    assert whole(inner, n)[x2] <= x1
