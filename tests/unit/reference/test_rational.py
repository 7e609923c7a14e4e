"""The exact rational bound against the closed form and against brute force."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv

from rsverify.reference.rational import difference_bracket, witness_above

ALPHAS = [0.05, 0.01, 0.001]


def tail(n: int, t: int, q1: Fraction, q2: Fraction) -> Fraction:
    """P(X_1 − X_2 ≥ t) by its definition."""
    return sum(
        (
            comb(n, i) * comb(n - i, j) * q1**i * q2**j * (1 - q1 - q2) ** (n - i - j)
            for i in range(n + 1)
            for j in range(n - i + 1)
            if i - j >= t
        ),
        start=Fraction(0),
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [5, 8, 12, 30])
def test_closed_form_when_n_minus_t_is_even(n: int, alpha: float) -> None:
    for t in range(-n + 2, n + 1, 2 if n < 30 else 8):
        lower, upper = difference_bracket(n, t, Fraction(alpha))
        closed = 2 * betaincinv((n + t) / 2, (n - t) / 2 + 1, alpha) - 1
        assert upper - lower <= Fraction(1, 10**9)
        assert lower - Fraction(1, 10**13) <= Fraction(float(closed)) <= upper + Fraction(1, 10**13)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 7),
    share=st.integers(0, 14),
    level=st.fractions(-1, 1, max_denominator=1000),
    alpha=st.fractions(Fraction(1, 1000), Fraction(1, 2), max_denominator=1000),
)
def test_verdict_agrees_with_the_definition(
    n: int, share: int, level: Fraction, alpha: Fraction
) -> None:
    """A witness really exceeds alpha; without one no point of a grid on the curve does."""
    t = share % (2 * n + 1) - n
    s = witness_above(n, t, level, alpha)
    if s is not None:
        assert 0 <= s <= 1
        assert s + level >= 0
        assert 2 * s + level <= 1
        assert tail(n, t, s + level, s) > alpha
        return
    low, high = max(Fraction(0), -level), (1 - level) / 2
    for k in range(41):
        s = low + (high - low) * k / 40
        assert tail(n, t, s + level, s) <= alpha


def test_all_votes_for_class_one_is_the_clopper_pearson_limit() -> None:
    """t = n: the tail is q_1^n, largest at q_1 = (1 + L)/2."""
    lower, upper = difference_bracket(10, 10, Fraction(1, 1024))
    assert lower <= 0 <= upper
    assert witness_above(10, 10, Fraction(0), Fraction(1, 1024)) is None  # equality is not above
    assert witness_above(10, 10, Fraction(1, 10**12), Fraction(1, 1024)) is not None


def test_the_whole_sample_space_gives_the_trivial_bound() -> None:
    assert difference_bracket(6, -6, Fraction(0.05)) == (-1, -1)
