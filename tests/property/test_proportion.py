"""Clopper-Pearson limits, plain and randomized, against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import comb, nextafter

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rsverify.bounds.proportion import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    randomized_clopper_pearson_lower,
    randomized_clopper_pearson_upper,
)
from rsverify.kernels.binomial import clopper_pearson_lower_pair, clopper_pearson_upper_pair
from rsverify.reference import proportion as twin
from rsverify.reference.special import beta_lower_inverse, binomial_upper_tail

FEW = settings(max_examples=300, deadline=None)
MANY = settings(max_examples=1500, deadline=None)


@st.composite
def counts(draw: st.DrawFn, largest: int) -> tuple[int, int]:
    """(k, n): n spread evenly in its logarithm, k anywhere or next to an end."""
    n = round(largest ** draw(st.floats(0, 1)))
    k = draw(st.one_of(st.integers(0, n), st.integers(0, min(n, 3))))
    return draw(st.sampled_from((k, n - k))), n


LEVELS = st.one_of(
    st.floats(1e-6, 0.5),
    st.floats(0.5, 1, exclude_max=True),
    st.floats(-300, -0.3).map(lambda e: 10.0**e),
    st.floats(-12, -0.3).map(lambda e: 1 - 10.0**e),
)


@MANY
@given(counts(3000), LEVELS)
@example((1, 1), 5e-324)
@example((1, 10), 1e-300)
@example((74971, 74975), 3.0558977700854236e-280)  # the smaller of p and 1 − p is 1 − p
def test_limits_are_on_the_safe_side_of_their_twins(count: tuple[int, int], alpha: float) -> None:
    k, n = count
    low, high = clopper_pearson_lower(k, n, alpha), clopper_pearson_upper(k, n, alpha)
    with mp.workdps(70):
        low_twin = twin.clopper_pearson_lower(k, n, alpha)
        high_twin = twin.clopper_pearson_upper(k, n, alpha)
        assert mp.mpf(float(low)) <= low_twin
        assert mp.mpf(float(high)) >= high_twin
        assert low_twin - mp.mpf(float(low)) <= low_twin * mp.mpf("3e-12") + mp.mpf("1e-307")
        assert mp.mpf(float(high)) - high_twin <= high_twin * mp.mpf("3e-12")


@MANY
@given(counts(10**6), LEVELS)
@example((10**7, 10**7), 1e-300)
@example((5 * 10**6, 10**7), 0.001)
@example((1, 10**7), 1 - 1e-12)
def test_the_tail_at_the_limit_is_alpha(count: tuple[int, int], alpha: float) -> None:
    """No inversion: the tail, summed in mpmath, is at most alpha there, above it a step on.

    The pair (limit, one minus it) is checked too: both of its numbers are on the safe side.
    """
    k, n = count
    assume(k > 0)
    p, q = clopper_pearson_lower_pair(k, n, alpha)
    assume(p > 1e-300)
    with mp.workdps(50):
        exact_p, exact_q = mp.mpf(p), mp.mpf(q)
        assert binomial_upper_tail(k, n, exact_p, 1 - exact_p, 35) <= alpha
        assert binomial_upper_tail(k, n, 1 - exact_q, exact_q, 35) <= alpha
        if p <= q:
            beyond_p = exact_p * (1 + mp.mpf("3e-12"))
            beyond_q = 1 - beyond_p
        else:
            beyond_q = exact_q * (1 - mp.mpf("3e-12"))
            beyond_p = 1 - beyond_q
        assert binomial_upper_tail(k, n, beyond_p, beyond_q, 35) >= alpha


@FEW
@given(counts(10**7), LEVELS)
def test_limits_increase_with_k(count: tuple[int, int], alpha: float) -> None:
    k, n = count
    k = min(k, n - 1)
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        first, second = bound([k, k + 1], n, alpha)
        assert 0 <= first <= second <= 1
        if first > 1e-300 and second < 1 - 1e-12:
            assert first < second


@FEW
@given(counts(10**7), LEVELS, st.floats(1e-9, 1))
def test_limits_move_inward_with_alpha(count: tuple[int, int], alpha: float, step: float) -> None:
    k, n = count
    larger = alpha + step * (1 - alpha) / 2
    assume(larger > alpha * (1 + 1e-9))
    low = clopper_pearson_lower(k, n, [alpha, larger])
    high = clopper_pearson_upper(k, n, [alpha, larger])
    assert low[0] <= low[1]
    assert high[0] >= high[1]


@FEW
@given(counts(10**7), LEVELS)
def test_upper_is_one_minus_lower_of_the_failures(count: tuple[int, int], alpha: float) -> None:
    k, n = count
    assert (
        clopper_pearson_lower_pair(k, n, alpha) == clopper_pearson_upper_pair(n - k, n, alpha)[::-1]
    )
    gap = Fraction(float(clopper_pearson_upper(n - k, n, alpha))) - (
        1 - Fraction(float(clopper_pearson_lower(k, n, alpha)))
    )
    assert abs(gap) <= Fraction(3, 10**12)


def exact_pmf(n: int, p: Fraction) -> list[Fraction]:
    return [comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(n + 1)]


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001, 1e-9, 0.999])
@pytest.mark.parametrize("n", [1, 2, 5, 12, 25])
def test_coverage_by_enumeration_in_rational_arithmetic(n: int, alpha: float) -> None:
    """Never below 1 − alpha, at the jumps ± one float and between; alpha is used up at jumps."""
    k = np.arange(n + 1)
    low = [Fraction(float(v)) for v in clopper_pearson_lower(k, n, alpha)]
    high = [Fraction(float(v)) for v in clopper_pearson_upper(k, n, alpha)]
    places = {Fraction(i, 40) for i in range(41)}
    for limit in [*low, *high]:
        places |= {limit} | {Fraction(nextafter(float(limit), end)) for end in (0.0, 1.0)}
    worst_low = worst_high = Fraction(0)
    for p in places:
        mass = exact_pmf(n, p)
        worst_low = max(worst_low, sum(m for m, v in zip(mass, low, strict=True) if v > p))
        worst_high = max(worst_high, sum(m for m, v in zip(mass, high, strict=True) if v < p))
    # Near 1 a limit is known to a few 1e-16 of itself, and the tail's slope is at most n.
    granularity = Fraction(n, 10**15)
    for worst in (worst_low, worst_high):
        assert Fraction(alpha) * (1 - Fraction(1, 10**9)) - granularity <= worst <= Fraction(alpha)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001, 0.9])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_randomized_miscoverage_is_exactly_alpha(n: int, alpha: float) -> None:
    """Summed over k and integrated over u: for each k, bisection finds where u begins to err.

    The limits increase with u (tested below), so {u : lower > p} is an interval (v, 1] and
    {u : upper < p} is [0, v).
    """
    k = np.arange(n + 1)
    for p in (1e-4, 0.1, 0.37, 0.5, 0.93, 1 - 1e-6):
        mass = np.array([float(m) for m in exact_pmf(n, Fraction(p))])
        ends = []
        for bound, errs in (
            (randomized_clopper_pearson_lower, lambda v, p=p: v > p),
            (randomized_clopper_pearson_upper, lambda v, p=p: v >= p),
        ):
            below, above = np.zeros(n + 1), np.ones(n + 1)
            for _ in range(55):
                u = (below + above) / 2
                beyond = errs(bound(k, n, alpha, u=u))
                below, above = np.where(beyond, below, u), np.where(beyond, u, above)
            ends.append(above)
        assert mass @ (1 - ends[0]) == pytest.approx(alpha, rel=1e-10)
        assert mass @ ends[1] == pytest.approx(alpha, rel=1e-10)


@FEW
@given(counts(60), st.floats(-9, -0.01).map(lambda e: 10.0**e), st.floats(0, 1))
def test_randomized_limits_are_on_the_safe_side_of_their_twins(
    count: tuple[int, int], alpha: float, u: float
) -> None:
    k, n = count
    low = float(randomized_clopper_pearson_lower(k, n, alpha, u=u))
    high = float(randomized_clopper_pearson_upper(k, n, alpha, u=u))
    low_twin = twin.randomized_clopper_pearson_lower(k, n, alpha, u)
    high_twin = twin.randomized_clopper_pearson_upper(k, n, alpha, u)
    with mp.workdps(70):
        assert 0 <= low_twin - mp.mpf(low) <= mp.mpf("1e-11")
        assert 0 <= mp.mpf(high) - high_twin <= mp.mpf("1e-11")


@MANY
@given(
    counts(3000),
    LEVELS,
    st.one_of(st.floats(0, 1), st.sampled_from((0.0, 1.0, 1 - 2.0**-53))),
    st.sampled_from((None, "alpha", "1 - alpha")),
)
@example((0, 1), 1 - 1e-12, 1.5e-12, None)  # 1 − u must not be rounded here
def test_the_randomized_tail_at_the_limit_is_alpha(
    count: tuple[int, int], alpha: float, u: float, near: str | None
) -> None:
    """With `near`, u is next to where the limit leaves 0 or reaches 1."""
    k, n = count
    if near is not None:
        u = min((alpha if near == "alpha" else 1 - alpha) * (0.5 + u), 1.0)
    low = float(randomized_clopper_pearson_lower(k, n, alpha, u=u))
    high = float(randomized_clopper_pearson_upper(k, n, alpha, u=u))
    step = mp.mpf("1e-15")  # floats near 1
    with mp.workdps(50):
        assert twin.randomized_tail(k, n, low, u, 40) <= alpha or low == 0
        assert twin.randomized_lower_tail(k, n, high, u, 40) <= alpha or high == 1
        if 0 < low < 1:
            beyond = mp.mpf(low) + mp.mpf("1e-11") * mp.mpf(low) + step
            assert beyond >= 1 or twin.randomized_tail(k, n, beyond, u, 40) >= alpha
        if 0 < high < 1:
            beyond = mp.mpf(high) * (1 - mp.mpf("1e-11")) - step
            assert beyond <= 0 or twin.randomized_lower_tail(k, n, beyond, u, 40) >= alpha


@FEW
@given(counts(10**5), LEVELS, st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True))
def test_randomized_limits_lie_between_plain_ones_and_increase_with_u(
    count: tuple[int, int], alpha: float, pair: list[float]
) -> None:
    k, n = count
    u = np.sort(pair)
    assume(u[1] - u[0] > 1e-9)
    low = randomized_clopper_pearson_lower(k, n, alpha, u=u)
    high = randomized_clopper_pearson_upper(k, n, alpha, u=u)
    assert clopper_pearson_lower(k, n, alpha) <= low[0] <= low[1]
    assert high[0] <= high[1] <= clopper_pearson_upper(k, n, alpha)
    if k < n:
        assert low[1] <= clopper_pearson_lower(k + 1, n, alpha) * (1 + 1e-11)
    if k > 0:
        assert high[0] >= clopper_pearson_upper(k - 1, n, alpha) * (1 - 1e-11)
    assert randomized_clopper_pearson_lower(k, n, alpha, u=0.0) == clopper_pearson_lower(
        k, n, alpha
    )
    assert randomized_clopper_pearson_upper(k, n, alpha, u=1.0) == clopper_pearson_upper(
        k, n, alpha
    )
    if alpha <= 0.5:
        assert (low <= high).all()


@FEW
@given(counts(200), LEVELS)
def test_twins_solve_their_equations(count: tuple[int, int], alpha: float) -> None:
    """The inverse, seen from its own equation: a change of sign within 1e-45."""
    k, n = count
    assume(k > 0)
    with mp.workdps(70):
        x, y = beta_lower_inverse(k, n - k + 1, alpha)
        less, more = 1 - mp.mpf("1e-45"), 1 + mp.mpf("1e-45")
        below = (x * less, 1 - x * less) if x <= y else (1 - y * more, y * more)
        above = (x * more, 1 - x * more) if x <= y else (1 - y * less, y * less)
        tails = [binomial_upper_tail(k, n, *pair, digits=65) for pair in (below, above)]
        assert tails[0] < alpha < tails[1]
    assert twin.clopper_pearson_lower(k, n, alpha) == x
    assert twin.clopper_pearson_upper(n - k, n, alpha) == y
