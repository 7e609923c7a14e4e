"""Radii: values, shapes, what is refused."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from rsverify.certificates import radius as module
from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2, round_down_digits


def test_constants_are_the_floats_just_below_the_real_numbers() -> None:
    with mpmath.workdps(50):
        for value, exact in (
            (module._INV_SQRT_2, 1 / mpmath.sqrt(2)),
            (module._SQRT_HALF_PI, mpmath.sqrt(mpmath.pi / 2)),
        ):
            assert value < exact < math.nextafter(value, 2.0)


def test_values_of_the_formulas() -> None:
    assert certified_radius_r2(2.0, 0.5) == pytest.approx(0.5, rel=1e-15)
    assert certified_radius_r1(0.5, lipschitz=0.5) == pytest.approx(0.5 * math.sqrt(2))
    assert certified_radius_r1(0.5, sigma=0.5) == pytest.approx(0.25 * math.sqrt(math.pi / 2))


def test_r1_uses_the_smaller_constant() -> None:
    smoothing = certified_radius_r1(0.5, sigma=0.5)
    assert certified_radius_r1(0.5, sigma=0.5, lipschitz=100.0) == smoothing
    assert certified_radius_r1(0.5, sigma=0.5, lipschitz=0.1) == certified_radius_r1(
        0.5, lipschitz=0.1
    )


@pytest.mark.parametrize("margin", [0.0, -0.0, -0.3, -math.inf])
def test_a_margin_that_is_not_positive_has_radius_zero(margin: float) -> None:
    for radius in (certified_radius_r2(margin, 1.0), certified_radius_r1(margin, sigma=1.0)):
        assert radius == 0
        assert not np.signbit(radius)


def test_broadcasting_and_scalars() -> None:
    margin = np.array([[0.1], [0.2]])
    sigma = np.array([0.25, 0.5, 1.0])
    assert certified_radius_r2(margin, sigma).shape == (2, 3)
    r1 = certified_radius_r1(margin, sigma=sigma, lipschitz=2.0)
    assert r1.shape == (2, 3)
    assert r1[1, 2] == certified_radius_r1(0.2, sigma=1.0, lipschitz=2.0)
    assert isinstance(certified_radius_r2(1.0, 1.0), float)
    assert isinstance(certified_radius_r1(1.0, sigma=1.0), float)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_sigma_must_be_positive_and_finite(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        certified_radius_r2(1.0, sigma)
    with pytest.raises(ValueError, match="sigma"):
        certified_radius_r1(1.0, sigma=sigma)


def test_refused_margins_name_the_value() -> None:
    with pytest.raises(ValueError, match="margin=inf must be finite"):
        certified_radius_r2(math.inf, 1.0)
    with pytest.raises(ValueError, match="margin contains NaN"):
        certified_radius_r2([0.1, math.nan], 1.0)
    with pytest.raises(ValueError, match=r"margin=1\.5 must be at most 1"):
        certified_radius_r1([0.5, 1.5], sigma=1.0)
    with pytest.raises(TypeError, match="margin='x'"):
        certified_radius_r2("x", 1.0)
    with pytest.raises(ValueError, match=r"lipschitz=0\.0 must be positive"):
        certified_radius_r1(0.5, lipschitz=0.0)
    with pytest.raises(ValueError, match="broadcast"):
        certified_radius_r2([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="broadcast"):
        certified_radius_r1(0.5, sigma=[1.0, 2.0], lipschitz=[1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("radius", "digits", "printed"),
    [
        (0.0, 3, "0.000"),
        (-0.0, 1, "0.0"),
        (0.9999, 2, "0.99"),
        (0.1, 3, "0.100"),  # the float is just above 0.1
        (0.3, 3, "0.299"),  # the float is just below 0.3
        (2.5, 0, "2"),
    ],
)
def test_printed_digits(radius: float, digits: int, printed: str) -> None:
    assert round_down_digits(radius, digits) == printed


@pytest.mark.parametrize(("radius", "digits"), [(-0.1, 3), (math.inf, 3), (math.nan, 3), (1.0, -1)])
def test_printed_digits_refuse_bad_input(radius: float, digits: int) -> None:
    with pytest.raises(ValueError, match=r"radius|digits"):
        round_down_digits(radius, digits)
