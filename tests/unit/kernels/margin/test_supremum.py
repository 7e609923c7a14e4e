"""The enclosure of the supremum: error bounds that bound, proofs that never prove a falsehood."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from rsverify.kernels.margin.formulas import DIFFERENCE, PROBIT
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.staircase import default_steps
from rsverify.kernels.margin.supremum import (
    MOST_NODES,
    NODES,
    chebyshev_coefficients,
    covering_segment,
    curve_ends,
    evaluate_series,
    fisher_length,
    interpolation_error,
    proves_at_most,
    series_at_most,
    tail_at,
)
from rsverify.kernels.margin.trinomial import WORK_ROWS, staircase_tail

NEGLECT = 1e-18
CODES = st.sampled_from((DIFFERENCE, PROBIT))


def random_steps(rng: np.random.Generator, n: int) -> np.ndarray:
    """A staircase near a line, or a random one."""
    j = np.arange(n + 1)
    if rng.random() < 0.7:
        rows = np.ceil(rng.uniform(0, n) + rng.choice([0.3, 1.0, 3.0]) * j)
    else:
        rows = np.sort(rng.integers(0, n + 2, n + 1))
    rows = np.maximum(rows, 1).astype(np.int64)
    return np.where(rows <= n - j, rows, n + 1)


def random_segment(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two points of the simplex up to some 8 Fisher units apart, at times on its edge."""
    first = rng.dirichlet([0.6, 0.6, 0.6])
    first[rng.integers(3)] *= rng.choice([0.0, 1e-6, 1.0])
    first /= first.sum()
    other = rng.dirichlet([0.6, 0.6, 0.6])
    share = min(1.0, rng.uniform(0.1, 4.0) / math.sqrt(n))
    return np.array([first, (1 - share) * first + share * other])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3000), st.sampled_from(NODES))
def test_interpolation_error_bounds_the_measured_error(seed: int, n: int, nodes: int) -> None:
    """On a fine grid of the segment, ends included, for smooth and for ragged staircases."""
    rng = np.random.default_rng(seed)
    steps = random_steps(rng, n)
    ends = random_segment(rng, n)
    bound = interpolation_error(ends, n, nodes)
    c = np.empty(MOST_NODES)
    work = np.empty((4 + WORK_ROWS, MOST_NODES))
    largest = chebyshev_coefficients(steps, n, ends, nodes, NEGLECT, work, c)
    assert 0 <= largest <= 1 + 1e-12
    x = np.linspace(-1, 1, 101)
    truth = np.array(
        [
            staircase_tail(steps, n, *(0.5 * ((1 - v) * ends[0] + (1 + v) * ends[1])), NEGLECT)
            for v in x
        ]
    )
    measured = np.abs(chebyshev.chebval(x, c[:nodes]) - truth).max()
    assert measured <= bound + 1e-10 * max(largest, truth.max()) + 1e-16


def test_interpolation_error_is_of_use() -> None:
    """A panel of 4 Fisher units at n = 1e4: far below a level of 1e-3 with 20 nodes."""
    n = 10_000
    ends = np.empty((2, 3))
    low, high = 0.10, 0.11
    assert 2 < fisher_length(DIFFERENCE, 0.4, n, low, high) < 5
    covering_segment(DIFFERENCE, 0.4, low, high, ends)
    errors = [interpolation_error(ends, n, nodes) for nodes in NODES]
    assert errors[-1] < 1e-9
    assert errors == sorted(errors, reverse=True)


@settings(max_examples=300, deadline=None)
@given(CODES, st.floats(-0.99, 0.99), st.floats(0, 1), st.floats(1e-4, 0.2))
def test_segment_covers_its_panel(estimand: int, level: float, at: float, width: float) -> None:
    """At each q2 of the panel the segment's q1 is at least the curve's, inside the simplex."""
    n = 200
    limit = level if estimand == DIFFERENCE else 5 * level
    low, high = curve_ends(estimand, limit, n, 0.01)
    a = low + at * (1 - width) * (high - low)
    b = a + width * (high - low)
    ends = np.empty((2, 3))
    covering_segment(estimand, limit, a, b, ends)
    assert (ends >= 0).all()
    np.testing.assert_allclose(ends.sum(axis=1), 1.0, atol=4e-16 * 3)
    for u in np.linspace(a, b, 41):
        q1, q2, _ = curve_point(estimand, limit, u)
        if q2 <= ends[1, 1]:
            share = (q2 - ends[0, 1]) / (ends[1, 1] - ends[0, 1])
            cover = (1 - share) * ends[0, 0] + share * ends[1, 0]
            assert cover >= q1 - 1e-14
        else:
            # Beyond a segment cut off at q3 = 0: its end is reached by moves that raise the tail.
            assert ends[1, 2] <= 1e-15
            assert q1 <= ends[1, 0] + 1e-14


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=32),
    st.floats(-9, -1).map(lambda e: 10.0**e),
)
def test_series_proofs_are_true_and_complete(coefficients: list[float], gap: float) -> None:
    c = np.zeros(MOST_NODES)
    c[: len(coefficients)] = coefficients
    nodes = len(coefficients)
    size = np.abs(c).sum()
    x = np.cos(np.linspace(0, np.pi, 4001))
    highest = chebyshev.chebval(x, c[:nodes]).max()
    value, slope = evaluate_series(c, nodes, 0.3)
    assert value == pytest.approx(chebyshev.chebval(0.3, c[:nodes]), abs=1e-13 * (1 + size))
    derivative = chebyshev.chebder(c[:nodes]) if nodes > 1 else [0.0]
    assert slope == pytest.approx(chebyshev.chebval(0.3, derivative), abs=1e-10 * (1 + size))
    assert not series_at_most(c, nodes, highest - gap * max(size, 1e-3))[0]
    # The grid misses the maximum by at most h^2 max|p''| / 2.
    missed = 0.5 * (np.pi / 8000) ** 2 * (np.abs(c[:nodes]) * np.arange(nodes) ** 4).sum()
    above = highest + missed + 1e-11 * (1 + size) + gap * size
    if gap * size > 1e-9:
        assert series_at_most(c, nodes, above)[0]


def dense_maximum(steps: np.ndarray, n: int, estimand: int, limit: float, alpha: float) -> float:
    """The largest tail on a dense grid of the curve, its best cells refined twice."""
    low, high = curve_ends(estimand, limit, n, alpha)
    near_an_end = (high - low) * np.geomspace(1e-9, 1, 300)
    grid = np.concatenate([np.linspace(low, high, 1500), low + near_an_end, high - near_an_end])
    grid.sort()
    best = 0.0
    for _ in range(3):
        values = np.array([tail_at(steps, n, estimand, limit, u, NEGLECT) for u in grid])
        best = max(best, values.max())
        i = int(values.argmax())
        grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)], 60)
    return best


@settings(max_examples=120, deadline=None)
@given(CODES, st.integers(0, 2**31), st.integers(1, 2000), st.floats(-0.95, 0.95))
@example(estimand=PROBIT, seed=1363, n=1363, level=-0.17568173230142592)
def test_proofs_are_true_and_complete(estimand: int, seed: int, n: int, level: float) -> None:
    """Not provable a relative 1e-9 below the maximum; provable a relative 1e-6 above it."""
    rng = np.random.default_rng(seed)
    steps = random_steps(rng, n)
    limit = level if estimand == DIFFERENCE else 5 * level
    highest = dense_maximum(steps, n, estimand, limit, 1e-9)
    if not 1e-9 <= highest <= 0.9:
        return
    below, above = highest * (1 - 1e-9), highest * (1 + 1e-6)
    resolution = 1e-8 * highest
    proved, u = proves_at_most(steps, n, estimand, limit, below, resolution, 1e-14 * below)
    assert not proved
    if not math.isnan(u):  # a witness
        assert tail_at(steps, n, estimand, limit, u, NEGLECT) >= below * (1 - 1e-9)
    proved, u = proves_at_most(steps, n, estimand, limit, above, resolution, 1e-14 * above)
    # The grid may have missed the maximum: then the refusal comes with a point above it.
    assert proved or tail_at(steps, n, estimand, limit, u, NEGLECT) > above * (1 - 1e-9)


@pytest.mark.parametrize("estimand", [DIFFERENCE, PROBIT])
@pytest.mark.parametrize(("x1", "x2", "n"), [(60, 5, 100), (600, 50, 1000), (990, 10, 1000)])
def test_proofs_at_a_bound(estimand: int, x1: int, x2: int, n: int) -> None:
    """At the limit itself: the supremum is alpha, and 1e-6 of alpha decides."""
    alpha = 0.001
    steps = np.empty(n + 1, np.int64)
    limit = default_steps(estimand, x1, x2, n, alpha, steps)
    highest = dense_maximum(steps, n, estimand, limit, alpha)
    resolution = 1e-8 * alpha
    for factor, expected in ((1 - 1e-9, False), (0.5, False), (1 + 1e-6, True), (2.0, True)):
        bound = highest * factor
        answer = proves_at_most(steps, n, estimand, limit, bound, resolution, 1e-14 * alpha)
        assert answer[0] is expected


def test_no_proof_on_an_exceeded_end_of_the_curve() -> None:
    """The maximum sits at q3 = 0 or at q2 = 0, where panels are the thinnest."""
    n = 50
    j = np.arange(n + 1)
    for rows in (np.full(n + 1, 40), 20 + j):
        steps = np.where(rows <= n - j, rows, n + 1).astype(np.int64)
        for estimand, limit in (
            (DIFFERENCE, 0.5),
            (DIFFERENCE, -0.3),
            (PROBIT, 1.0),
            (PROBIT, -1.0),
        ):
            highest = dense_maximum(steps, n, estimand, limit, 1e-12)
            bound = highest * (1 - 1e-9)
            assert not proves_at_most(steps, n, estimand, limit, bound, 1e-20, 1e-14 * bound)[0]
