"""Radii are at most the real numbers they stand for, at any input that floats can express."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2, round_down_digits

LARGEST = 1.7976931348623157e308
SMALLEST_NORMAL = 2.2250738585072014e-308

positive = st.floats(min_value=5e-324, max_value=LARGEST, allow_subnormal=True)
any_margin = st.floats(max_value=LARGEST, allow_nan=False)
shares = st.floats(min_value=-1e3, max_value=1.0) | st.sampled_from([5e-324, 1e-310, 1.0])


def is_close_below(radius: float, exact: mpmath.mpf, tolerance: float) -> bool:
    """Tell whether `radius` is within a relative `tolerance` below `exact`, where normal."""
    if exact > LARGEST / 2:  # a product before its halving may have overflowed
        return radius >= LARGEST / 2 * (1 - tolerance)
    if exact < 4 * SMALLEST_NORMAL:
        return True
    return bool(mpmath.mpf(radius) >= exact * (1 - mpmath.mpf(tolerance)))


@settings(max_examples=2000, deadline=None)
@given(margin=any_margin, sigma=positive)
def test_r2_is_rounded_down_from_the_exact_rational(margin: float, sigma: float) -> None:
    radius = float(certified_radius_r2(margin, sigma))
    if margin <= 0:
        assert radius == 0
        return
    exact = Fraction(sigma) * Fraction(margin) / 2
    assert 0 <= Fraction(radius) <= exact
    with mpmath.workdps(60):
        assert is_close_below(radius, mpmath.mpf(sigma) * margin / 2, 1e-15)


@settings(max_examples=2000, deadline=None)
@given(margin=shares, lipschitz=st.none() | positive, sigma=st.none() | positive)
def test_r1_is_rounded_down_from_the_exact_quotient(
    margin: float, lipschitz: float | None, sigma: float | None
) -> None:
    if lipschitz is None and sigma is None:
        with pytest.raises(ValueError, match="at least one must be given"):
            certified_radius_r1(margin)
        return
    radius = float(certified_radius_r1(margin, lipschitz=lipschitz, sigma=sigma))
    if margin <= 0:
        assert radius == 0
        return
    with mpmath.workdps(60):
        constants = []
        if lipschitz is not None:
            constants.append(mpmath.sqrt(2) * lipschitz)
        if sigma is not None:
            constants.append(mpmath.sqrt(2 / mpmath.pi) / sigma)
        exact = mpmath.mpf(margin) / min(constants)
        assert 0 <= radius <= exact
        # Two roundings and two steps; the intermediate product may be subnormal.
        if margin > 4 * SMALLEST_NORMAL:
            assert is_close_below(radius, exact, 1e-15)


@settings(max_examples=500, deadline=None)
@given(
    p1=st.floats(min_value=1e-12, max_value=1 - 1e-12),
    share=st.floats(min_value=1e-9, max_value=1.0),
    sigma=st.floats(min_value=1e-3, max_value=1e3),
)
def test_r2_is_never_below_r1_with_the_smoothing_constant(
    p1: float, share: float, sigma: float
) -> None:
    # Φ⁻¹ has slope at least √(2π), so σ/2 (Φ⁻¹(p_1) - Φ⁻¹(p_2)) >= σ √(π/2) (p_1 - p_2).
    p2 = min(p1, 1 - p1) * share
    with mpmath.workdps(40):
        probit = [mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1) for p in (p1, p2)]
        r2 = float(certified_radius_r2(float(probit[0] - probit[1]), sigma))
    r1 = float(certified_radius_r1(p1 - p2, sigma=sigma))
    assert r1 <= r2 * (1 + 4e-15)


@settings(max_examples=1000, deadline=None)
@given(
    radius=st.floats(min_value=0, max_value=LARGEST) | st.floats(min_value=0, max_value=4),
    digits=st.integers(min_value=0, max_value=20),
)
def test_printed_digits_are_never_above_the_radius(radius: float, digits: int) -> None:
    printed = Fraction(Decimal(round_down_digits(radius, digits)))
    assert 0 <= Fraction(radius) - printed < Fraction(1, 10**digits)
