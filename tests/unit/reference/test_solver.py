"""The branch-and-bound solver against exact rationals, closed forms and dense grids."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv, ndtr, ndtri

from rsverify.reference import solver
from rsverify.reference.rational import difference_bracket
from rsverify.reference.solver import buehler_bracket, multinomials, outcomes, tail_exceeds

ALPHAS = [0.05, 0.01, 0.001]


def difference_set(n: int, t: int) -> np.ndarray:
    rows = outcomes(n)
    return rows[:, 0] - rows[:, 1] >= t


def tails(mask: np.ndarray, n: int, q: np.ndarray) -> np.ndarray:
    """P_q(S) at each row of q, by its definition."""
    chosen = outcomes(n)[mask]
    return (multinomials(chosen) * (q[:, None, :] ** chosen[None]).prod(axis=2)).sum(axis=1)


def region_grid(level: float, estimand: str, size: int) -> np.ndarray:
    """Points q of {g(q) ≤ level}, its boundary included."""
    second = np.linspace(0, 1, size)
    limit = second + level if estimand == "difference" else ndtr(ndtri(second) + level)
    second, limit = second[limit >= 0], limit[limit >= 0]
    first = np.minimum(limit[:, None] * np.linspace(0, 1, size), 1)
    q = np.stack([first, np.broadcast_to(second[:, None], first.shape)], axis=-1).reshape(-1, 2)
    q = q[q.sum(axis=1) <= 1]
    return np.column_stack([q, np.maximum(1 - q.sum(axis=1), 0)])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [5, 8, 12])
def test_agrees_with_rational_arithmetic(n: int, alpha: float) -> None:
    """Two certified intervals of one number overlap; each is at most 1e-9 wide."""
    for t in range(-n, n + 1):
        bracket = buehler_bracket(difference_set(n, t), n, alpha, estimand="difference")
        lower, upper = difference_bracket(n, t, Fraction(alpha))
        assert bracket.width <= 1e-10
        assert upper - lower <= Fraction(1, 10**9)
        assert Fraction(bracket.lower) <= upper
        assert lower <= Fraction(bracket.upper)


@pytest.mark.parametrize(("t", "alpha"), [(20, 0.001), (13, 0.01), (-4, 0.05)])
def test_agrees_with_rational_arithmetic_at_30(t: int, alpha: float) -> None:
    bracket = buehler_bracket(difference_set(30, t), 30, alpha, estimand="difference")
    lower, upper = difference_bracket(30, t, Fraction(alpha))
    assert Fraction(bracket.lower) <= upper
    assert lower <= Fraction(bracket.upper)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [1, 5, 12, 30])
def test_all_votes_for_class_one(n: int, alpha: float) -> None:
    """S = {(n, 0, 0)}: the tail is q_1^n, largest at q_1 + q_2 = 1; both bounds in closed form."""
    mask = difference_set(n, n)
    p = alpha ** (1 / n)
    for estimand, truth in (("difference", 2 * p - 1), ("probit", 2 * ndtri(p))):
        bracket = buehler_bracket(mask, n, alpha, estimand=estimand)
        assert bracket.lower - 1e-13 <= truth <= bracket.upper + 1e-13
        assert bracket.width <= 1e-10


@pytest.mark.parametrize("alpha", ALPHAS)
def test_cohen_in_closed_form(alpha: float) -> None:
    """S = {X_1 ≥ k}, which ignores class 2: q_1 = Clopper-Pearson limit, q_2 the rest."""
    n, rows = 9, outcomes(9)
    for k in range(1, n + 1):
        p = betaincinv(k, n - k + 1, alpha)
        for estimand, truth in (("difference", 2 * p - 1), ("probit", 2 * ndtri(p))):
            bracket = buehler_bracket(rows[:, 0] >= k, n, alpha, estimand=estimand)
            assert bracket.lower - 1e-13 <= truth <= bracket.upper + 1e-13
            assert bracket.width <= 1e-10


def random_set(n: int, seed: int) -> np.ndarray:
    """Any set of outcomes without the corners that make the bound trivial."""
    rows = outcomes(n)
    mask = np.random.default_rng(seed).random(len(rows)) < 0.3
    mask[(rows[:, 0] == 0) & (rows[:, 1] % n == 0)] = False
    return mask


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(2, 9),
    seed=st.integers(0, 10**6),
    alpha=st.sampled_from([0.3, *ALPHAS]),
    estimand=st.sampled_from(["difference", "probit"]),
    share=st.floats(0.05, 0.95),
)
def test_verdict_holds_on_a_grid_for_any_set(
    n: int, seed: int, alpha: float, estimand: str, share: float
) -> None:
    """No structure of S assumed: 'does not exceed' has no counterexample, both ways decided."""
    mask = random_set(n, seed)
    level = 2 * share - 1 if estimand == "difference" else 6 * share - 3
    verdict = tail_exceeds(mask, n, level, alpha, estimand=estimand)
    largest = tails(mask, n, region_grid(level, estimand, 60)).max()
    assert verdict is not None
    if largest > alpha * (1 + 1e-9):
        assert verdict
    elif not verdict:
        assert largest <= alpha * (1 + 1e-12)
    else:  # the maximum lies between grid points, so the grid must come close to alpha
        assert tails(mask, n, region_grid(level, estimand, 700)).max() > 0.98 * alpha


def test_a_set_whose_maximum_is_inside_the_region() -> None:
    """S = {(1, 1, 1)}: the tail 6 q_1 q_2 q_3 peaks at (⅓, ⅓, ⅓) with 2/9, not on the curve."""
    mask = (outcomes(3) == 1).all(axis=1)
    for estimand in ("difference", "probit"):
        assert tail_exceeds(mask, 3, 0.5, 2 / 9 - 1e-9, estimand=estimand) is True
        assert tail_exceeds(mask, 3, 0.5, 2 / 9 + 1e-9, estimand=estimand) is False


def test_trivial_sets() -> None:
    everything = np.ones(len(outcomes(4)), dtype=bool)
    assert buehler_bracket(everything, 4, 0.01, estimand="difference").upper == -1
    assert buehler_bracket(everything, 4, 0.01, estimand="probit").upper == -math.inf
    assert tail_exceeds(~everything, 4, 1.0, 0.01, estimand="difference") is False


def test_multinomials_are_exact_and_sum_to_three_to_the_n() -> None:
    assert multinomials(outcomes(30)).sum() == 3.0**30


def test_undecided_is_reported_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = difference_set(12, 5)
    level = buehler_bracket(mask, 12, 0.05, estimand="difference").lower
    monkeypatch.setattr(solver, "_MAX_BOXES", 3)
    assert tail_exceeds(mask, 12, level, 0.05, estimand="difference") is None
    with pytest.raises(ArithmeticError, match="did not decide"):
        buehler_bracket(mask, 12, 0.05, estimand="difference")


@pytest.mark.parametrize("n", [0, 31])
def test_n_outside_the_proven_range_raises(n: int) -> None:
    with pytest.raises(ValueError, match="n="):
        tail_exceeds(np.ones(len(outcomes(n)), dtype=bool), n, 0.0, 0.1, estimand="probit")
