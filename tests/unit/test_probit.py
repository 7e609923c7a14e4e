"""Φ⁻¹, its Taylor polynomial and remainder against exact rationals and mpmath."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from rsverify import probit as module
from rsverify.probit import MAX_ORDER, probit, taylor_coefficients, taylor_probit, taylor_remainder
from rsverify.reference import probit as reference


def test_first_coefficients_are_the_rational_recurrence() -> None:
    assert reference.recurrence(5) == (
        Fraction(1),
        Fraction(1),
        Fraction(7, 6),
        Fraction(127, 90),
        Fraction(4369, 2520),
    )


def test_coefficients_match_exact_recurrence() -> None:
    with mpmath.workdps(60):
        exact = reference.taylor_coefficients(120)
    for value, truth in zip(taylor_coefficients(120), exact, strict=True):
        assert abs(mpmath.mpf(float(value)) - truth) <= truth * mpmath.mpf(2) ** -52


def test_coefficients_match_mpmath_series() -> None:
    """Differentiating Φ⁻¹ itself, which shares nothing with the recurrence."""
    with mpmath.workdps(60):
        series = mpmath.taylor(lambda v: mpmath.sqrt(2) * mpmath.erfinv(2 * v), 0, 13)
        exact = reference.taylor_coefficients(6)
        assert all(abs(even) < mpmath.mpf(10) ** -20 for even in series[::2])
        for derived, truth in zip(series[1::2], exact, strict=True):
            assert abs(derived - truth) < mpmath.mpf(10) ** -20


def test_recurrence_is_positive_and_log_convex() -> None:
    """The lemma behind the remainder, exactly, for the orders that tests use."""
    e = reference.recurrence(150)
    assert all(value > 0 for value in e)
    assert all(e[k - 1] * e[k + 1] >= e[k] ** 2 for k in range(1, len(e) - 1))


def test_scaled_ratios_increase_and_stay_below_one() -> None:
    a = module._scaled_coefficients(MAX_ORDER + 1)
    ratios = a[1:] / a[:-1]
    assert (np.diff(ratios) > 0).all()
    assert ratios[-1] < 1


@pytest.mark.parametrize(("order", "value"), [(3, 1.806), (5, 1.942), (10, 2.108), (50, 2.312)])
def test_published_values(order: int, value: float) -> None:
    assert round(float(taylor_probit(0.99, order)), 3) == value


@pytest.mark.parametrize("order", [0, 1, 3, 10, 50, 120])
def test_polynomial_matches_mpmath_within_stated_error(order: int) -> None:
    grid = np.concatenate([np.linspace(0, 1, 41), 0.5 + 2.0 ** -np.arange(2, 53)])
    with mpmath.workdps(50):
        for p in grid[(grid >= 0.25) | (grid == 0)]:
            truth = reference.taylor_probit(float(p), order)
            error = abs(mpmath.mpf(float(taylor_probit(p, order))) - truth)
            assert error <= (2 * order + 4) * mpmath.mpf(2) ** -53 * abs(truth)


@pytest.mark.parametrize("order", [0, 3, 50, MAX_ORDER])
def test_endpoints_are_finite(order: int) -> None:
    low, middle, high = taylor_probit([0.0, 0.5, 1.0], order)
    assert middle == 0
    assert np.isfinite(high)
    assert low == -high


def test_remainder_is_infinite_only_at_the_ends() -> None:
    lower, upper = taylor_remainder([0.0, 0.5, 1.0], 5)
    assert (lower[0], upper[2]) == (-np.inf, np.inf)
    assert (lower[1], upper[1]) == (0.0, 0.0)
    assert upper[0] < 0 < lower[2] < np.inf


def test_remainder_is_tight_in_the_middle() -> None:
    """Not only valid: within a factor 1.3 of each other at 0.9 and order 5."""
    lower, upper = taylor_remainder(0.9, 5)
    assert upper < 1.3 * lower


def test_probit_ends_and_symmetry() -> None:
    assert probit(0.0) == -np.inf
    assert probit(1.0) == np.inf
    assert probit(0.5) == 0


@pytest.mark.parametrize("p", [1e-300, 1e-20, 0.001, 0.3, 0.5 + 2.0**-52, 0.99, 1 - 2.0**-53])
def test_probit_matches_mpmath(p: float) -> None:
    with mpmath.workdps(50):
        truth = reference.probit(p)
    assert abs(mpmath.mpf(float(probit(p))) - truth) <= 4e-15 * abs(truth)


@pytest.mark.parametrize(
    "function", [probit, lambda p: taylor_probit(p, 3), lambda p: taylor_remainder(p, 3)]
)
@pytest.mark.parametrize("p", [-0.1, 1.5, np.nan])
def test_bad_probability_raises(function, p: float) -> None:
    with pytest.raises(ValueError, match=r"^p[= ]"):
        function(p)


@pytest.mark.parametrize("order", [-1, 2.5, MAX_ORDER + 1, [1, 2]])
def test_bad_order_raises(order) -> None:
    with pytest.raises(ValueError, match="order="):
        taylor_probit(0.7, order)


def test_non_numeric_argument_raises() -> None:
    with pytest.raises(TypeError, match="p='a'"):
        probit("a")
    with pytest.raises(TypeError, match="order='3'"):
        taylor_coefficients("3")
