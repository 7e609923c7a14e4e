"""The fast exact bound against the two independent ways, for every outcome of small n."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.bounds.buehler import buehler_lower
from rsverify.bounds.margin import exact_margin_lower
from rsverify.reference.rational import difference_bracket
from rsverify.reference.solver import Bracket, buehler_bracket, outcomes, tail_exceeds

ALPHAS = [0.05, 0.01, 0.001]
ESTIMANDS = ["difference", "probit"]
SMALL = [5, 8, 12]
LARGE = [20, 30]


def check(value: float, bracket: Bracket, what: object) -> None:
    """The value is never above the certified upper end, and within 1e-9 of the bracket."""
    assert value <= bracket.upper, what
    if math.isfinite(bracket.lower):
        assert value >= bracket.lower - 1e-9, what


def check_difference_ordering(n: int, alpha: float, estimand: str) -> None:
    k1, k2, _ = outcomes(n).T
    values = exact_margin_lower(k1, k2, n, alpha, estimand=estimand, ordering="difference")
    for t in range(-n, n + 1):
        bracket = buehler_bracket(k1 - k2 >= t, n, alpha, estimand=estimand)
        for value in values[k1 - k2 == t]:
            check(float(value), bracket, (n, t, alpha, estimand))


def check_rational(n: int, alpha: float) -> None:
    k1, k2, _ = outcomes(n).T
    values = exact_margin_lower(k1, k2, n, alpha, estimand="difference", ordering="difference")
    for t in range(-n, n + 1):
        lower, upper = difference_bracket(n, t, Fraction(alpha))
        for value in values[k1 - k2 == t]:
            assert Fraction(float(value)) <= upper, (n, t, alpha)
            assert Fraction(float(value)) >= lower - Fraction(1, 10**9), (n, t, alpha)


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", SMALL)
def test_difference_ordering_agrees_with_solver(n: int, alpha: float, estimand: str) -> None:
    check_difference_ordering(n, alpha, estimand)


@pytest.mark.slow
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", LARGE)
def test_difference_ordering_agrees_with_solver_large(n: int, alpha: float, estimand: str) -> None:
    check_difference_ordering(n, alpha, estimand)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", SMALL)
def test_difference_ordering_agrees_with_rationals(n: int, alpha: float) -> None:
    check_rational(n, alpha)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", LARGE)
def test_difference_ordering_agrees_with_rationals_large(n: int, alpha: float) -> None:
    check_rational(n, alpha)


def check_as_its_own_ordering(n: int, alpha: float, estimand: str, ordering: str) -> None:
    """B is a nondecreasing function of its ordering T, so B(x) is also the Buehler bound of
    the set {B ≥ B(x)}. This needs neither T nor the staircase that the fast way made of it.

    The default bound is not one of T alone, and may be larger than a Buehler bound: of it
    only the validity is seen here."""
    k1, k2, _ = outcomes(n).T
    values = exact_margin_lower(k1, k2, n, alpha, estimand=estimand, ordering=ordering)
    largest = 1.0 if estimand == "difference" else math.inf
    for value in np.unique(values[np.isfinite(values) & (values > -largest)]):
        # Equal bounds differ by the slack of the search, so the set is taken 1e-9 wider.
        chosen = values >= value - 1e-9
        what = (n, alpha, estimand, ordering, value)
        assert tail_exceeds(chosen, n, value - 1.1e-9, alpha, estimand=estimand) is False, what
        if ordering != "likelihood-ratio":
            assert tail_exceeds(chosen, n, value + 1.1e-9, alpha, estimand=estimand) is True, what


ORDERINGS = ["likelihood-ratio", "bonferroni", "taylor:3"]


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize(("n", "alpha"), [(5, 0.05), (8, 0.001), (12, 0.01)])
def test_every_ordering_agrees_with_solver(
    n: int, alpha: float, estimand: str, ordering: str
) -> None:
    check_as_its_own_ordering(n, alpha, estimand, ordering)


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_every_ordering_agrees_with_solver_at_30(
    alpha: float, estimand: str, ordering: str
) -> None:
    check_as_its_own_ordering(30, alpha, estimand, ordering)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    estimand=st.sampled_from(ESTIMANDS),
    alpha=st.sampled_from(ALPHAS),
)
def test_a_random_ordering_agrees_with_solver(
    n: int, seed: int, estimand: str, alpha: float
) -> None:
    """Random steps up in x_1 and down in x_2: staircases of every shape, ties included."""
    rng = np.random.default_rng(seed)
    rise = np.cumsum(rng.integers(0, 4, n + 1))
    fall = np.cumsum(rng.integers(0, 4, n + 1))

    def ordering(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        return (rise[x1] - fall[x2]).astype(float)

    rows = outcomes(n)
    observed = rows[rng.integers(len(rows))]
    value = float(buehler_lower(observed, alpha, estimand=estimand, ordering=ordering))
    statistic = ordering(rows[:, 0], rows[:, 1])
    chosen = statistic >= ordering(observed[0], observed[1])
    check(value, buehler_bracket(chosen, n, alpha, estimand=estimand), observed.tolist())
