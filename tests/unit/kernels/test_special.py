"""Edges, identities and independent comparisons; accuracy proper is in tests/accuracy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify._core.jit import njit
from rsverify.kernels import special

NORMAL_POINTS = [-37.0, -8.5, -1.0, -1e-300, 0.0, 0.3, 1.0, 5.0, 37.0]


def test_normal_edges() -> None:
    assert special.norm_cdf(0.0) == special.norm_sf(0.0) == 0.5
    assert special.norm_cdf(math.inf) == special.norm_sf(-math.inf) == 1.0
    assert special.norm_cdf(-math.inf) == special.norm_sf(math.inf) == 0.0
    assert special.norm_pdf(math.inf) == special.norm_pdf(1e300) == special.norm_cdf(-1e300) == 0.0
    assert special.norm_ppf(0.0) == special.norm_isf(1.0) == -math.inf
    assert special.norm_ppf(1.0) == special.norm_isf(0.0) == math.inf
    assert special.norm_ppf(0.5) == 0.0


def test_normal_subnormals_are_finite() -> None:
    assert 0.0 < special.norm_cdf(-38.4) < 1e-320
    assert 0.0 < special.norm_pdf(38.5) < 1e-320
    assert special.norm_isf(5e-324) == pytest.approx(38.46740561714434, rel=1e-15)


@pytest.mark.parametrize("z", NORMAL_POINTS)
def test_normal_agrees_with_scipy(z: float) -> None:
    assert special.norm_cdf(z) == pytest.approx(scipy.special.ndtr(z), rel=1e-12)
    assert special.norm_sf(z) == special.norm_cdf(-z)


@pytest.mark.parametrize("p", [1e-300, 1e-20, 0.001, 0.0749999, 0.075, 0.0750001, 0.3, 0.6, 0.95])
def test_normal_quantile_inverts_its_own_tail(p: float) -> None:
    assert special.norm_cdf(special.norm_ppf(p)) == pytest.approx(p, rel=1e-12)
    assert special.norm_sf(special.norm_isf(p)) == pytest.approx(p, rel=1e-12)
    assert special.norm_isf(p) == -special.norm_ppf(p)


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_two_product_is_exact(a: float, b: float) -> None:
    product, error = special.two_product(a, b)
    assert product == a * b
    if abs(product) > 1e-200 or a == 0 or b == 0:  # else the error underflows
        assert Fraction(product) + Fraction(error) == Fraction(a) * Fraction(b)


def test_stirling_error_is_continuous_across_its_regimes() -> None:
    for n in (1.0, 7.0, 15.0):
        near = special.stirling_error(math.nextafter(n, 0.0))
        assert special.stirling_error(n) == pytest.approx(near, abs=3e-15)
    assert math.log(math.factorial(20)) == pytest.approx(
        0.5 * math.log(40 * math.pi) + 20 * math.log(20) - 20 + special.stirling_error(20.0),
        rel=1e-15,
    )


def test_deviance_is_continuous_across_its_regimes_and_vanishes_at_the_mean() -> None:
    assert special.deviance_term(3.0, 3.0) == 0.0
    assert special.deviance_term(0.0, 3.0) == 3.0
    for v in (0.05, 0.25, -0.05, -0.25):
        mean = 100.0
        x = mean * (1 + v) / (1 - v)
        below, above = (special.deviance_term(x * (1 + s * 1e-15), mean) for s in (-2, 2))
        assert below == pytest.approx(above, rel=1e-13)


@pytest.mark.parametrize(
    ("a", "b"), [(1.0, 1.0), (1.0, 7.0), (3.0, 1.0), (2.5, 40.25), (500.0, 501.0)]
)
@pytest.mark.parametrize("x", [1e-10, 0.2, 0.4989, 0.5, 0.75, 0.999])
def test_beta_agrees_with_scipy_and_its_sides_add_to_one(a: float, b: float, x: float) -> None:
    y = 1 - x
    lower, upper = special.beta_lower(a, b, x, y), special.beta_upper(a, b, x, y)
    assert lower == pytest.approx(scipy.special.betainc(a, b, x), rel=1e-11, abs=1e-290)
    assert upper == pytest.approx(scipy.special.betaincc(a, b, x), rel=1e-11, abs=1e-290)
    assert lower + upper == pytest.approx(1.0, rel=5e-15)


def test_beta_edges() -> None:
    assert special.beta_lower(2.0, 3.0, 0.0, 1.0) == special.beta_upper(2.0, 3.0, 1.0, 0.0) == 0.0
    assert special.beta_lower(2.0, 3.0, 1.0, 0.0) == special.beta_upper(2.0, 3.0, 0.0, 1.0) == 1.0
    assert special.beta_lower(1e7, 1e7, 1e-300, 1.0) == 0.0


def test_only_the_smaller_of_x_and_y_counts() -> None:
    """Read as a number of its own, one float of y would be worth 14e6·1e-16 here."""
    for x, y in ((0.3, 0.7), (0.2999, 0.7001)):
        value = special.beta_lower(6e6, 14e6, x, y)
        other = special.beta_lower(6e6, 14e6, x, np.nextafter(y, 0.5))
        assert value == pytest.approx(other, rel=1e-14)


def test_beta_is_continuous_across_the_mean() -> None:
    """The two sides of the mean come from two fractions; both must give the same number."""
    for a, b in ((3.0, 5.0), (70_000.0, 30_000.0), (1.0, 1e6)):
        mean = a / (a + b)
        values = [
            special.beta_lower(a, b, x, 1 - x)
            for x in (mean * (1 - 4e-16), mean, mean * (1 + 4e-16))
        ]
        assert max(values) - min(values) < 1e-12


@settings(max_examples=500, deadline=None)
@given(
    st.floats(0, 7).map(lambda e: 10.0**e),
    st.floats(0, 7).map(lambda e: 10.0**e),
    st.one_of(st.floats(1e-12, 1 - 1e-12), st.floats(-300, -1).map(lambda e: 10.0**e)),
)
def test_beta_inverse_comes_back(a: float, b: float, p: float) -> None:
    for forward, inverse in (
        (special.beta_lower, special.beta_lower_inverse),
        (special.beta_upper, special.beta_upper_inverse),
    ):
        x, y = inverse(a, b, p)
        assert 0 < x <= 1 or p < 1e-290
        assert x + y == pytest.approx(1.0, rel=3e-16)
        # One float of the smaller of x and y moves log p by up to (a + b) of them.
        assert forward(a, b, x, y) == pytest.approx(p, rel=2e-12 + 1e-15 * (a + b))


def test_beta_inverse_edges() -> None:
    assert special.beta_lower_inverse(2.0, 3.0, 0.0) == (0.0, 1.0)
    assert special.beta_lower_inverse(2.0, 3.0, 1.0) == (1.0, 0.0)
    assert special.beta_upper_inverse(2.0, 3.0, 0.0) == (1.0, 0.0)
    assert special.beta_upper_inverse(2.0, 3.0, 1.0) == (0.0, 1.0)
    assert special.beta_lower_inverse(1.0, 9.0, 5e-324) == (0.0, 1.0)  # below 1e-307


@given(st.floats(1e-12, 1 - 1e-12), st.floats(-20, 20))
def test_logit_shift_moves_and_returns(x: float, step: float) -> None:
    moved = special.logit_shift(x, 1 - x, step)
    back = special.logit_shift(*moved, -step)
    assert math.log(moved[0] / moved[1]) == pytest.approx(
        math.log(x / (1 - x)) + step, abs=1e-13 * (30 + abs(step))
    )
    assert min(back) == pytest.approx(min(x, 1 - x), rel=1e-10)


def test_kernels_can_be_called_from_compiled_code() -> None:
    @njit
    def total(z: float) -> float:
        return special.norm_cdf(z) + special.norm_sf(z) + special.beta_lower(2.0, 3.0, 0.5, 0.5)

    assert total(0.3) == pytest.approx(1.0 + 11 / 16)
