"""The default ordering: its signed root is monotone, its staircases are those of its keys."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rsverify.kernels.margin.formulas import (
    DIFFERENCE,
    LAPLACE,
    PROBIT,
    bonferroni_limit,
    cohen_limit,
    limit_tables,
)
from rsverify.kernels.margin.ordering import (
    MOVED_FROM_FIRST,
    fit_nuisance,
    likelihood_ratio_limit,
    moved_to_second,
    ordering_z,
    signed_root,
)
from rsverify.kernels.margin.staircase import additive_steps, default_key, default_steps
from rsverify.reference import margin as twin

CODES = st.sampled_from((DIFFERENCE, PROBIT, LAPLACE))
NAMES = ("difference", "probit", "laplace")
ALPHAS = st.sampled_from((0.3, 0.1, 0.05, 0.01, 0.001, 1e-6, 1e-12))


def root(estimand: int, w: tuple[float, float, float], limit: float) -> float:
    u = fit_nuisance(estimand, *w, limit, math.nan)
    return signed_root(estimand, *w, limit, u)[0]


@st.composite
def votes(draw: st.DrawFn, largest: int) -> tuple[int, int, int]:
    n = round(largest ** draw(st.floats(0, 1)))
    x1 = draw(st.integers(1, n)) if n else 1
    x2 = draw(st.one_of(st.integers(0, n - x1), st.sampled_from((0, n - x1))))
    return x1, x2, n


@settings(max_examples=1500, deadline=None)
@given(
    CODES,
    votes(10_000),
    st.floats(-0.999, 0.999),
)
def test_signed_root_rises_with_every_move(
    estimand: int, x: tuple[int, int, int], level: float
) -> None:
    """Votes 3->1, 2->1 and 2->3, at any limit (scaled to a wide range for probit)."""
    x1, x2, n = x
    x3 = n - x1 - x2
    limit = level if estimand == DIFFERENCE else 6.0 * level
    w = [x1 - MOVED_FROM_FIRST, x2 + moved_to_second(estimand, n), float(x3)]
    before = root(estimand, (w[0], w[1], w[2]), limit)
    for start, end in ((2, 0), (1, 0), (1, 2)):
        if (x1, x2, x3)[start] == 0:
            continue
        moved = list(w)
        moved[start] -= 1.0
        moved[end] += 1.0
        after = root(estimand, (moved[0], moved[1], moved[2]), limit)
        # A root near 0 is the square root of a deviance near rounding.
        assert after >= before - 1e-6 * max(1.0, abs(before)), (start, end)


@settings(max_examples=800, deadline=None)
@given(CODES, votes(10_000), ALPHAS)
def test_key_rises_with_every_move(estimand: int, x: tuple[int, int, int], alpha: float) -> None:
    x1, x2, n = x
    x3 = n - x1 - x2
    key = default_key(estimand, x1, x2, n, alpha)
    slack = 1e-12 * max(1.0, abs(key))
    if x3:
        assert default_key(estimand, x1 + 1, x2, n, alpha) >= key - slack
    if x2:
        assert default_key(estimand, x1 + 1, x2 - 1, n, alpha) >= key - slack
        assert default_key(estimand, x1, x2 - 1, n, alpha) >= key - slack


@settings(max_examples=25, deadline=None)
@given(CODES, votes(2000), ALPHAS)
def test_likelihood_ratio_limit_equals_its_twin(
    estimand: int, x: tuple[int, int, int], alpha: float
) -> None:
    x1, x2, n = x
    z = ordering_z(alpha)
    value = likelihood_ratio_limit(estimand, x1, x2, n, z)
    with mp.workdps(50):
        truth = twin.likelihood_ratio_limit(x1, x2, n, mp.mpf(z), NAMES[estimand])
    assert value == pytest.approx(float(truth), rel=1e-11, abs=1e-11)


def all_outcomes(n: int) -> list[tuple[int, int]]:
    return [(x1, x2) for x2 in range(n + 1) for x1 in range(n + 1 - x2)]


def brute_steps(keys: np.ndarray, limit: float, n: int) -> np.ndarray:
    """The smallest x1 of each row by looking at every outcome's key."""
    steps = np.full(n + 1, n + 1)
    for x2 in range(n + 1):
        reached = np.flatnonzero(keys[: n + 1 - x2, x2] >= limit)
        if reached.size:
            steps[x2] = reached[0]
            # an upper set: the rest of the row is in it too
            assert reached.size == n + 1 - x2 - reached[0]
    return steps


def key_table(estimand: int, n: int, alpha: float) -> np.ndarray:
    keys = np.full((n + 1, n + 1), -np.inf)
    for x1, x2 in all_outcomes(n):
        keys[x1, x2] = default_key(estimand, x1, x2, n, alpha)
    return keys


@pytest.mark.parametrize("estimand", [DIFFERENCE, PROBIT, LAPLACE])
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001, 1e-9])
@pytest.mark.parametrize("n", [1, 2, 5, 13, 40])
def test_staircases_are_those_of_the_keys(n: int, alpha: float, estimand: int) -> None:
    """Every outcome of n <= 40: the fast staircase equals the comparison of all keys."""
    keys = key_table(estimand, n, alpha)
    steps = np.empty(n + 1, np.int64)
    lowest = -1.0 if estimand == DIFFERENCE else -math.inf
    for x1, x2 in all_outcomes(n):
        limit = default_steps(estimand, x1, x2, n, alpha, steps)
        assert limit == keys[x1, x2]
        if limit <= lowest:
            assert (steps <= 0).all()
            continue
        np.testing.assert_array_equal(steps, brute_steps(keys, limit, n), err_msg=f"{x1}, {x2}")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(CODES, votes(200), ALPHAS)
def test_staircases_are_those_of_the_keys_at_random(
    estimand: int, x: tuple[int, int, int], alpha: float
) -> None:
    x1, x2, n = x
    assume(n > 40)
    steps = np.empty(n + 1, np.int64)
    limit = default_steps(estimand, x1, x2, n, alpha, steps)
    np.testing.assert_array_equal(steps, brute_steps(key_table(estimand, n, alpha), limit, n))


@settings(max_examples=150, deadline=None)
@given(CODES, votes(20_000), ALPHAS)
def test_staircase_is_an_upper_set_around_its_outcome(
    estimand: int, x: tuple[int, int, int], alpha: float
) -> None:
    """Steps never fall, the outcome is in its own row, the one before it is below it."""
    x1, x2, n = x
    steps = np.empty(n + 1, np.int64)
    limit = default_steps(estimand, x1, x2, n, alpha, steps)
    assert (np.diff(steps) >= 0).all()
    assert 0 <= steps[x2] <= x1
    if steps[x2] < x1:
        assert default_key(estimand, int(steps[x2]), x2, n, alpha) == limit
    if steps[x2] > 0:
        assert default_key(estimand, int(steps[x2]) - 1, x2, n, alpha) < limit


@settings(max_examples=100, deadline=None)
@given(CODES, votes(3000), ALPHAS, st.integers(0, 2**20))
def test_staircases_are_nested(
    estimand: int, x: tuple[int, int, int], alpha: float, seed: int
) -> None:
    """Of two outcomes, the one with the larger key has the smaller set."""
    rng = np.random.default_rng(seed)
    n = x[2]
    other = int(rng.integers(0, n + 1))
    rival = (other, int(rng.integers(0, n + 1 - other)))
    near = (min(x[0] + int(rng.integers(0, 3)), n - x[1]), x[1])
    for y in (rival, near):
        first, second = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
        t = default_steps(estimand, x[0], x[1], n, alpha, first)
        s = default_steps(estimand, y[0], y[1], n, alpha, second)
        assert (first >= second).all() if t >= s else (first <= second).all()


@settings(max_examples=200, deadline=None)
@given(CODES, votes(60), ALPHAS)
def test_bonferroni_tables_are_its_limits(
    estimand: int, x: tuple[int, int, int], alpha: float
) -> None:
    x1, x2, n = x
    tables = np.empty((3, n + 1))
    limit_tables(n, alpha, estimand, tables)
    key = max(tables[0, x1] - tables[1, x2], tables[2, x1])
    limit = bonferroni_limit(estimand, x1, x2, n, 0.5 * alpha, 0.5 * alpha)
    assert key == pytest.approx(limit, abs=1e-11)
    steps = np.empty(n + 1, np.int64)
    assert additive_steps(tables[0], tables[1], tables[2], x1, x2, n, steps) == key
    keys = np.full((n + 1, n + 1), -np.inf)
    for a, b in all_outcomes(n):
        keys[a, b] = max(tables[0, a] - tables[1, b], tables[2, a])
    np.testing.assert_array_equal(steps, brute_steps(keys, key, n))


def test_cohen_limit_is_a_lower_value_of_the_key() -> None:
    for estimand in (DIFFERENCE, PROBIT):
        for x1 in range(1, 31):
            key = default_key(estimand, x1, 30 - x1, 30, 0.01)
            assert key >= cohen_limit(estimand, x1, 30, 0.01)
