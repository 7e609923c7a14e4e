"""The enclosure of the supremum: error bounds that bound, proofs that never prove a falsehood."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from rsverify.kernels.margin.curve import advance, curve_piece, fisher_length, tail_at
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE, PROBIT
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.panels import (
    ELLIPSES,
    MOST_NODES,
    PANEL_ROWS,
    arc_excess,
    arcs_excess,
    chebyshev_coefficients,
    ellipse_bounds,
    evaluate_series,
    interpolation_error,
    series_at_most,
)
from rsverify.kernels.margin.quantiles import curve_kink
from rsverify.kernels.margin.staircase import default_steps
from rsverify.kernels.margin.supremum import ROWS_MISSING, proves_at_most

NEGLECT = 1e-18
CODES = st.sampled_from((DIFFERENCE, PROBIT, LAPLACE))


def random_steps(rng: np.random.Generator, n: int) -> np.ndarray:
    """A staircase near a line, or a random one."""
    j = np.arange(n + 1)
    if rng.random() < 0.7:
        rows = np.ceil(rng.uniform(0, n) + rng.choice([0.3, 1.0, 3.0]) * j)
    else:
        rows = np.sort(rng.integers(0, n + 2, n + 1))
    rows = np.maximum(rows, 1).astype(np.int64)
    return np.where(rows <= n - j, rows, n + 1)


def random_panel(rng: np.random.Generator, n: int, estimand: int) -> tuple[float, float, float]:
    """A limit and a panel of its curve up to some 8 Fisher units long, at times at an end."""
    limit = rng.uniform(-0.98, 0.98) * (1.0 if estimand == DIFFERENCE else 5.0)
    low, high = curve_piece(estimand, limit, n, 0.01, 0.0, 1.0)
    start = low + (high - low) * rng.choice([0.0, rng.random(), rng.random() ** 6])
    end = advance(estimand, limit, n, start, high, rng.uniform(0.1, 8.0), high - low)
    if rng.random() < 0.3:  # up to q3 = 0
        end = high
        while fisher_length(estimand, limit, n, start, end) > 8.0:
            start = 0.5 * (start + end)
    kink = curve_kink(estimand, limit)
    if start < kink < end:  # the longer side: no panel holds a kink
        start, end = (start, kink) if kink - start > end - kink else (kink, end)
    return limit, start, end


@settings(max_examples=400, deadline=None)
@given(CODES, st.integers(0, 2**31), st.integers(1, 3000), st.integers(2, MOST_NODES))
def test_interpolation_error_bounds_the_measured_error(
    estimand: int, seed: int, n: int, nodes: int
) -> None:
    """On a fine grid of the panel, ends included, for smooth and for ragged staircases."""
    rng = np.random.default_rng(seed)
    steps = random_steps(rng, n)
    limit, low, high = random_panel(rng, n, estimand)
    ellipses = np.empty((ELLIPSES, 2))
    ellipse_bounds(estimand, limit, n, low, high, ellipses)
    bound = interpolation_error(ellipses, nodes)
    c = np.empty(MOST_NODES)
    work = np.empty((PANEL_ROWS, MOST_NODES))
    largest = chebyshev_coefficients(
        steps, 0, n, n, estimand, limit, low, high, nodes, NEGLECT, work, c
    )
    assert 0 <= largest <= 1 + 1e-12
    x = np.linspace(-1, 1, 101)
    places = 0.5 * (low + high) + 0.5 * (high - low) * x
    truth = np.array([tail_at(steps, 0, n, n, estimand, limit, u, NEGLECT) for u in places])
    measured = np.abs(chebyshev.chebval(x, c[:nodes]) - truth).max()
    assert measured <= bound + 1e-10 * max(largest, truth.max()) + 1e-16


@pytest.mark.parametrize(
    ("estimand", "limit", "low"), [(DIFFERENCE, 0.4, 0.10), (PROBIT, 1.5, -1), (LAPLACE, 1.5, -1)]
)
def test_interpolation_error_is_of_use(estimand: int, limit: float, low: float) -> None:
    """A panel of 4 Fisher units at n = 1e4: far below a level of 1e-3 with 24 nodes."""
    n = 10_000
    high = advance(estimand, limit, n, low, 0.0 if estimand else 0.2, 4.0, 0.01)
    assert 2.5 < fisher_length(estimand, limit, n, low, high) < 4.5
    ellipses = np.empty((ELLIPSES, 2))
    ellipse_bounds(estimand, limit, n, low, high, ellipses)
    errors = [interpolation_error(ellipses, nodes) for nodes in range(4, MOST_NODES)]
    assert errors[20] < 1e-8
    assert errors == sorted(errors, reverse=True)


def modulus_sum(limit: float, u: complex) -> float:
    """Sum of the moduli of q at a complex place of the probit curve, less 1, to 30 digits."""
    with mp.workdps(30):
        first = mp.erfc(-(mp.mpc(u) + limit) / mp.sqrt(2)) / 2
        second = mp.erfc(-mp.mpc(u) / mp.sqrt(2)) / 2
        return float(abs(first) + abs(second) + abs(1 - first - second) - 1)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-6, 6),
    st.floats(-6, 1),
    st.floats(-4, 0).map(lambda e: 10.0**e),
    st.floats(-3, 0.3).map(lambda e: 10.0**e),
)
def test_arcs_bound_the_moduli(limit: float, below: float, width: float, y: float) -> None:
    """In a box around a piece of the real line, beyond the curve's end too."""
    low = -0.5 * limit + below
    bound = arc_excess(limit, low, low + width, y)
    for part in (0.0, 0.3, 1.0):
        for height in (0.0, 0.5, 1.0):
            assert modulus_sum(limit, complex(low + part * width, height * y)) <= bound + 1e-15


@settings(max_examples=100, deadline=None)
@given(st.floats(-5, 5), st.floats(0, 4), st.floats(-3, 0), st.floats(-2, 0.3))
def test_ellipses_bound_the_moduli(limit: float, gap: float, width: float, b: float) -> None:
    half, b = 0.5 * 10.0**width, 10.0**b
    high = -0.5 * limit - gap
    middle, a = high - half, math.sqrt(1.0 + b * b)
    bound = arcs_excess(PROBIT, limit, middle - half, high, a, b)
    for angle in np.linspace(0.0, math.pi, 40):
        u = middle + half * complex(a * math.cos(angle), b * math.sin(angle))
        assert modulus_sum(limit, u) <= bound + 1e-15


def laplace_moduli(limit: float, u: complex, above: bool) -> float:
    """The same on one side of the kink of the Laplace curve, continued beyond it."""
    with mp.workdps(30):
        q = []
        for shift, crossed in ((limit, limit > 0), (0.0, limit < 0)):
            z = mp.mpc(u) + shift
            q.append(1 - mp.exp(-z) / 2 if above and crossed else mp.exp(z) / 2)
        return float(abs(q[0]) + abs(q[1]) + abs(1 - q[0] - q[1]) - 1)


@settings(max_examples=200, deadline=None)
@given(st.floats(-6, 6), st.booleans(), st.floats(0, 4), st.floats(-3, 0), st.floats(-2, 0.3))
def test_ellipses_bound_the_moduli_beside_a_kink(
    limit: float, above: bool, gap: float, width: float, b: float
) -> None:
    """Panels that end at the kink, at the curve's end or before them, and reach beyond."""
    assume(limit != 0.0 or not above)  # the curve ends at its kink there
    half, b = 0.5 * 10.0**width, 10.0**b
    kink, top = curve_kink(LAPLACE, limit), -0.5 * limit
    high = max(kink + 2.0 * half, top - gap) if above else kink - max(0.0, gap - 1.0)
    middle, a = high - half, math.sqrt(1.0 + b * b)
    bound = arcs_excess(LAPLACE, limit, middle - half, high, a, b)
    for angle in np.linspace(0.0, math.pi, 40):
        u = middle + half * complex(a * math.cos(angle), b * math.sin(angle))
        assert laplace_moduli(limit, u, above) <= bound + 1e-14


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


def proves(
    steps: np.ndarray, n: int, estimand: int, limit: float, bound: float, resolution: float
) -> tuple[bool, float]:
    """Over the whole curve, with all rows and no idea where the maximum is."""
    return proves_at_most(
        steps,
        0,
        n,
        n,
        estimand,
        limit,
        bound,
        0.0,
        1.0,
        resolution,
        math.nan,
        1e-14 * bound,
        math.inf,
    )


def dense_maximum(steps: np.ndarray, n: int, estimand: int, limit: float, alpha: float) -> float:
    """The largest tail on a dense grid of the curve, its best cells refined twice."""
    low, high = curve_piece(estimand, limit, n, alpha, 0.0, 1.0)
    near_an_end = (high - low) * np.geomspace(1e-9, 1, 300)
    grid = np.concatenate([np.linspace(low, high, 1500), low + near_an_end, high - near_an_end])
    grid.sort()
    best = 0.0
    for _ in range(3):
        values = np.array([tail_at(steps, 0, n, n, estimand, limit, u, NEGLECT) for u in grid])
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
    proved, u = proves(steps, n, estimand, limit, below, resolution)
    assert not proved
    if not math.isnan(u):  # a witness
        assert tail_at(steps, 0, n, n, estimand, limit, u, NEGLECT) >= below * (1 - 1e-9)
    proved, u = proves(steps, n, estimand, limit, above, resolution)
    # The grid may have missed the maximum: then the refusal comes with a point above it.
    assert proved or tail_at(steps, 0, n, n, estimand, limit, u, NEGLECT) > above * (1 - 1e-9)


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
        answer = proves(steps, n, estimand, limit, bound, resolution)
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
            assert not proves(steps, n, estimand, limit, bound, 1e-20)[0]


@settings(max_examples=150, deadline=None)
@given(CODES, st.integers(0, 2**31), st.integers(20, 2000), st.floats(-0.9, 0.9))
def test_no_proof_without_the_rows_it_needs(estimand: int, seed: int, n: int, level: float) -> None:
    """Any window of rows: a proof is true of all rows, and what is missing is said."""
    rng = np.random.default_rng(seed)
    steps = random_steps(rng, n)
    limit = level if estimand == DIFFERENCE else 4 * level
    low, high = curve_piece(estimand, limit, n, 0.01, 0.0, 1.0)
    a, b = np.sort(rng.uniform(low, high, 2))
    least, most = curve_point(estimand, limit, a)[0], curve_point(estimand, limit, b)[1]
    first, last = np.sort(rng.integers(0, n + 1, 2))
    bound = 10.0 ** rng.uniform(-6, -1)
    arguments = (
        n,
        estimand,
        limit,
        bound,
        least,
        most,
        1e-8 * bound,
        math.nan,
        1e-12 * bound,
        math.inf,
    )
    unread = steps.copy()
    unread[:first] = -1
    unread[last + 1 :] = -1
    proved, u = proves_at_most(unread, first, last, *arguments)
    full, _ = proves_at_most(steps, 0, n, *arguments)
    if u != ROWS_MISSING:
        assert proved is full
    elif first == 0 and last == n:
        raise AssertionError("all rows are there")
