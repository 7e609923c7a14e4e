"""Outward rounding covers what it says, by exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsverify.kernels import rounding

FINITE = st.floats(-1e300, 1e300)


@given(st.floats(allow_nan=False))
def test_neighbors_are_those_of_the_standard_library(x: float) -> None:
    assert rounding.next_up(x) == math.nextafter(x, math.inf)
    assert rounding.next_down(x) == math.nextafter(x, -math.inf)


@given(FINITE, st.one_of(st.just(0.0), st.floats(1e-18, 1e-4)), st.floats(-1, 1))
def test_relative_rounding_covers_the_error_either_way_it_is_meant(
    true: float, relative: float, part: float
) -> None:
    """A computed value off by `relative` of the true one, or of itself, is covered."""
    exact = Fraction(true)
    x = float(exact * (1 + Fraction(relative) * Fraction(part)))
    assert (
        rounding.round_down_relative(x, relative)
        <= exact
        <= rounding.round_up_relative(x, relative)
    )
    spread = abs(Fraction(x)) * Fraction(relative)
    assert rounding.round_down_relative(x, relative) <= Fraction(x) - spread
    assert rounding.round_up_relative(x, relative) >= Fraction(x) + spread


@pytest.mark.parametrize("x", [0.0, 5e-324, 1e-310, 1.0, -1.0, 0.3])
def test_relative_rounding_moves_little(x: float) -> None:
    for rounded in (rounding.round_down_relative(x, 1e-12), rounding.round_up_relative(x, 1e-12)):
        assert 0 < abs(rounded - x) <= 1.001e-12 * abs(x) + 1e-323
