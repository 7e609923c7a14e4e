"""The two-step Taylor bound: exact coverage, and each branch against an independent value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from rsverify.bounds.margin import bonferroni_margin_lower
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.paper.two_step import two_step_taylor_lower
from rsverify.probit import taylor_probit
from rsverify.reference.solver import multinomials, outcomes


def simplex(size: int) -> np.ndarray:
    """The points of the simplex with multiples of 1/size and p_1, p_2 > 0."""
    grid = outcomes(size)
    return grid[(grid[:, 0] > 0) & (grid[:, 1] > 0)] / size


def tails(n: int, chosen: np.ndarray, q: np.ndarray) -> np.ndarray:
    """P_q(S) at each row of q, by its definition."""
    rows = outcomes(n)[chosen]
    return (multinomials(rows) * (q[:, None, :] ** rows).prod(axis=2)).sum(axis=1)


def miscoverage(bounds: np.ndarray, n: int, p: np.ndarray) -> float:
    """The largest P(bound > margin) over the rows of p, by summing the sample space."""
    rows = outcomes(n)
    truth = ndtri(p[:, 0]) - ndtri(p[:, 1])
    probability = multinomials(rows) * (p[:, None, :] ** rows).prod(axis=2)
    return float((probability * (bounds > truth[:, None])).sum(axis=1).max())


@pytest.mark.parametrize(("n", "order", "alpha"), [(5, 0, 0.3), (6, 3, 0.3), (7, 10, 0.1)])
def test_exact_coverage(n: int, order: int, alpha: float) -> None:
    """Both branches together never miss with more than alpha, p_1 below and above ½."""
    k1, k2, _ = outcomes(n).T
    bounds = two_step_taylor_lower(k1, k2, n, alpha, order=order)
    assert not np.isnan(bounds).any()
    passed = clopper_pearson_lower(k1, n, alpha / 2) >= 0.5
    assert passed.any()
    assert not passed.all()
    assert miscoverage(bounds, n, simplex(120)) <= alpha


@pytest.mark.parametrize("order", [0, 3, 10])
def test_first_step_is_the_buehler_bound_of_the_taylor_margin(order: int) -> None:
    """No point of a fine grid with a smaller Taylor margin has a tail above α/2; a point just
    above the bound does: both by the definition of the bound, without its code."""
    n, alpha = 8, 0.2
    q = simplex(400)
    margins = taylor_probit(q[:, 0], order) - taylor_probit(q[:, 1], order)
    rows = outcomes(n)
    estimate = np.round(
        taylor_probit(rows[:, 0] / n, order) - taylor_probit(rows[:, 1] / n, order), 9
    )
    for k1, k2 in [(8, 0), (7, 1)]:
        assert clopper_pearson_lower(k1, n, alpha / 2) >= 0.5
        bound = float(two_step_taylor_lower(k1, k2, n, alpha, order=order))
        observed = (rows[:, 0] == k1) & (rows[:, 1] == k2)
        tail = tails(n, estimate >= estimate[observed], q)
        assert tail[margins <= bound].max() <= alpha / 2
        assert tail[margins <= bound + 0.03].max() > alpha / 2


def test_fallback_is_bonferroni_at_alpha() -> None:
    k1, k2, n, alpha = np.array([5, 3, 0, 0]), np.array([3, 0, 0, 8]), 8, 0.2
    assert (clopper_pearson_lower(k1, n, alpha / 2) < 0.5).all()
    np.testing.assert_array_equal(
        two_step_taylor_lower(k1, k2, n, alpha, order=5),
        bonferroni_margin_lower(k1, k2, n, alpha, estimand="probit"),
    )


def test_rows_with_different_n_and_alpha() -> None:
    n, alpha = np.array([[5], [6]]), np.array([0.1, 0.2])
    together = two_step_taylor_lower(5, 0, n, alpha, order=3)
    assert together.shape == (2, 2)
    for i in range(2):
        for j in range(2):
            alone = two_step_taylor_lower(5, 0, int(n[i, 0]), float(alpha[j]), order=3)
            assert together[i, j] == alone


@pytest.mark.parametrize(
    ("arguments", "order", "message"),
    [
        ((9, 0, 8, 0.1), 3, "k1=9 must be at most n=8"),
        ((5, 4, 8, 0.1), 3, "k1 . k2=9 must be at most n=8"),
        ((5, 1, 8, 0.0), 3, r"alpha=0.0 must be in \(0, 1\)"),
        ((5, 1, 8, 0.1), -1, "order=-1 must be an integer between 0 and 500"),
    ],
)
def test_bad_arguments_raise(arguments, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_step_taylor_lower(*arguments, order=order)
