"""Lemma 2, the remainder and antisymmetry on random input, in high-precision arithmetic."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.probit import probit, taylor_probit, taylor_remainder
from rsverify.reference import probit as reference

# Coefficients and first calls are cached, so examples differ in time by far more than 200 ms.
untimed = settings(deadline=None)
orders = st.integers(0, 30)
# The remainder is about (2p − 1)^(2M+3): with |2p − 1| ≥ 1/1000 and M ≤ 31 it stands in the
# first 195 digits, so that comparing it at DIGITS is decided by the mathematics.
DIGITS = 240
# Multiples of 2⁻⁵³, for which p − ½ and 1 − p are exact floats; the ends are drawn often.
dyadic = st.one_of(
    st.integers(1, 2**53 - 1), st.integers(1, 1000), st.integers(2**53 - 1000, 2**53 - 1)
).map(lambda k: k * 2.0**-53)
away = dyadic.filter(lambda p: abs(2 * p - 1) >= 1e-3)
upper_half = away.map(lambda p: max(p, 1 - p))


@untimed
@given(p1=upper_half, share=st.fractions(0, 1), order=orders)
def test_lemma_2(p1: float, share: Fraction, order: int) -> None:
    """p_1 ≥ ½ and p_2 ≤ 1 − p_1: the Taylor margin is at most the probit margin."""
    with mpmath.workdps(DIGITS):
        top = mpmath.mpf(p1)
        other = (1 - top) * share.numerator / share.denominator
        taylor = reference.taylor_probit(top, order) - reference.taylor_probit(other, order)
        assert taylor <= reference.probit(top) - reference.probit(other)


@untimed
@given(p=upper_half, order=orders)
def test_partial_sums_increase_to_probit(p: float, order: int) -> None:
    with mpmath.workdps(DIGITS):
        low, high = (reference.taylor_probit(p, m) for m in (order, order + 1))
        assert low <= high <= reference.probit(p)


@untimed
@given(p1=st.fractions(Fraction(1, 100), Fraction(49, 100)), order=orders)
def test_lemma_2_needs_its_hypothesis(p1: Fraction, order: int) -> None:
    """Below ½ the inequality turns round: at p_2 = 0.5 every p_1 < ½ is a counterexample."""
    with mpmath.workdps(DIGITS):
        value = mpmath.mpf(p1.numerator) / p1.denominator
        assert reference.taylor_probit(value, order) > reference.probit(value)


@untimed
@given(p=away, order=orders)
def test_remainder_encloses(p: float, order: int) -> None:
    lower, upper = taylor_remainder(p, order)
    with mpmath.workdps(DIGITS):
        truth = reference.probit(p) - reference.taylor_probit(p, order)
        assert mpmath.mpf(float(lower)) <= truth <= mpmath.mpf(float(upper))


@untimed
@given(p=dyadic, order=st.integers(0, 500))
def test_exactly_antisymmetric(p: float, order: int) -> None:
    assert taylor_probit(p, order) == -taylor_probit(1 - p, order)


@untimed
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8), order=orders)
def test_rows_do_not_depend_on_each_other(p: list[float], order: int) -> None:
    together = taylor_probit(p, order)
    alone = [taylor_probit(value, order) for value in p]
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together).all()


@untimed
@given(p=st.floats(0, 1))
def test_probit_is_within_4e_15_of_mpmath(p: float) -> None:
    value = float(probit(p))
    with mpmath.workdps(50):
        truth = reference.probit(p)
        if mpmath.isinf(truth):
            assert value == truth
        else:
            assert abs(mpmath.mpf(value) - truth) <= mpmath.mpf("4e-15") * abs(truth)
