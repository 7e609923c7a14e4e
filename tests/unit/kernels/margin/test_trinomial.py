"""The staircase tail against the sum of the probability mass over the outcome set, in mpmath."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rsverify._core.jit import njit
from rsverify.kernels.margin.trinomial import (
    WORK_ROWS,
    chernoff_exponent,
    row_range,
    staircase_tail,
    staircase_tails,
    tail_relative_error,
)
from rsverify.reference.margin import trinomial_tail
from rsverify.reference.special import binomial_lower_tail, binomial_upper_tail

NEGLECT = 1e-280
RELATIVE = 1e-11


def make_steps(rows: list[int], n: int) -> np.ndarray:
    """Turn nondecreasing numbers into a staircase, empty rows at n + 1."""
    steps = np.minimum(np.array(rows, dtype=np.int64), n + 1)
    over = np.flatnonzero(steps > n - np.arange(n + 1))
    if over.size:  # once a row is empty, so are those above it
        steps[over[0] :] = n + 1
    return steps


def exact_points(q1: float, q2: float) -> tuple[float, float, float]:
    return q1, q2, max(0.0, 1.0 - q1 - q2)


def check(steps: np.ndarray, q: tuple[float, float, float], neglect: float = NEGLECT) -> None:
    n = steps.size - 1
    value = staircase_tail(steps, n, *q, neglect)
    with mp.workdps(40):
        # The kernel reads q1 as q1 / (q1 + q3) and q2 as one minus q1 + q3.
        total = mp.fsum(mp.mpf(v) for v in q)
        truth = trinomial_tail(steps.tolist(), tuple(mp.mpf(v) / total for v in q))
        assert not math.isnan(value)
        error = mp.mpf(value) - truth
        # A subnormal has no relative accuracy; it is far below any neglected probability.
        assert error <= RELATIVE * truth + mp.mpf(2) ** -1070
        assert error >= -RELATIVE * truth - neglect


@st.composite
def staircases(draw: st.DrawFn, largest: int) -> np.ndarray:
    """Smooth, steep, flat, full, empty and random staircases."""
    n = round(largest ** draw(st.floats(0, 1)))
    kind = draw(st.sampled_from(("line", "jump", "flat", "random")))
    j = np.arange(n + 1)
    if kind == "line":
        slope = draw(st.floats(0, 3))
        rows = np.ceil(draw(st.integers(-2, n + 1)) + slope * j)
    elif kind == "jump":
        at = draw(st.integers(0, n))
        low, high = sorted(draw(st.tuples(st.integers(0, n + 1), st.integers(0, n + 1))))
        rows = np.where(j < at, low, high)
    elif kind == "flat":
        rows = np.full(n + 1, draw(st.integers(0, n + 1)))
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**20)))
        rows = np.sort(rng.integers(0, n + 2, n + 1))
    return make_steps(rows.astype(int).tolist(), n)


PROBABILITIES = st.one_of(
    st.floats(0, 1),
    st.sampled_from((0.0, 1e-12, 1e-6, 1.0)),
    st.floats(-300, -1).map(lambda e: 10.0**e),
)


@st.composite
def points(draw: st.DrawFn) -> tuple[float, float, float]:
    """q in the simplex; any of the three may be 0 or tiny."""
    first = draw(PROBABILITIES)
    second = draw(PROBABILITIES) * (1.0 - first)
    parts = (first, second, max(0.0, 1.0 - first - second))
    return tuple(draw(st.permutations(parts)))


@settings(max_examples=300, deadline=None)
@given(staircases(40), points())
@example(make_steps([0], 1), (1.0, 0.0, 0.0))
@example(make_steps([3] * 8, 7), (0.0, 1.0, 0.0))
@example(make_steps([0, 0, 0, 4], 3), (1e-12, 1e-12, 1 - 2e-12))
@example(make_steps([2, 3, 4, 5, 6, 7], 5), (0.5, 0.5, 0.0))
@example(make_steps([2, 3, 4, 5, 6, 7], 5), (0.0, 0.5, 0.5))
@example(make_steps([2, 3, 4, 5, 6, 7], 5), (0.5, 0.0, 0.5))
@example(make_steps([6] * 6, 5), (0.5, 0.25, 0.25))
@example(make_steps([25] * 16 + [41] * 25, 40), (5e-13, 0.5, 0.4999999999995))  # 1e-297
def test_tail_equals_its_definition(steps: np.ndarray, q: tuple[float, float, float]) -> None:
    check(steps, q)


@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize(
    ("q1", "q2"),
    [
        (0.6, 0.05),
        (0.525, 0.475),
        (0.999, 1e-4),
        (1e-3, 1e-3),
        (0.3, 0.3),
        (1e-12, 0.4),
        (0.5, 0.0),
    ],
)
def test_tail_equals_its_definition_at_large_n(n: int, q1: float, q2: float) -> None:
    """Staircases some standard deviations up, so that tails of 1e-1 to 1e-10 are compared."""
    j = np.arange(n + 1)
    center = n * q1 + 3 * math.sqrt(n * max(q1 * (1 - q1), 1 / n))
    for slope in (0.2, 1.0, 5.0):
        rows = np.maximum(np.ceil(center + slope * (j - n * q2)), 0)
        check(make_steps(rows.astype(int).tolist(), n), exact_points(q1, q2))


@settings(max_examples=80, deadline=None)
@given(staircases(40), points(), st.floats(-14, -2).map(lambda e: 10.0**e))
def test_window_leaves_out_at_most_neglect(
    steps: np.ndarray, q: tuple[float, float, float], neglect: float
) -> None:
    check(steps, q, neglect)


@settings(max_examples=80, deadline=None)
@given(staircases(30), points(), st.floats(0, 1), st.integers(1, 8))
def test_lanes_equal_single_tails(
    steps: np.ndarray, q: tuple[float, float, float], spread: float, lanes: int
) -> None:
    """Columns from q to a point near it; each is the single tail up to the stated error."""
    n = steps.size - 1
    other = np.array([0.4, 0.3, 0.3])
    share = 0.1 * spread * np.arange(lanes) / lanes
    columns = np.ascontiguousarray((1 - share) * np.array(q)[:, None] + share * other[:, None])
    work = np.empty((WORK_ROWS, lanes))
    out = np.empty(lanes)
    staircase_tails(steps, 0, n, n, columns, lanes, NEGLECT, work, out)
    single = [staircase_tail(steps, n, *columns[:, i], NEGLECT) for i in range(lanes)]
    np.testing.assert_allclose(out, single, rtol=2 * tail_relative_error(n), atol=1e-250)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), st.one_of(st.just(0.0), st.floats(1e-300, 1)))
def test_chernoff_exponent_bounds_the_tail(n: int, share: float, p: float) -> None:
    k = round(share * n)
    exponent = chernoff_exponent(k, n, p, 1.0 - p)
    assert exponent >= 0
    truth = binomial_upper_tail(k, n, p, 1.0 - p, 25)
    with mp.workdps(25):
        assert truth <= mp.exp(-exponent) if exponent < math.inf else truth == 0


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(300, 3000),
    share=st.floats(0.2, 0.98),
    part=st.floats(0, 1),
    exponent=st.floats(-9, -1),
    step=st.floats(0, 1),
)
def test_rows_below_the_window_hold_at_most_half_of_neglect(
    n: int, share: float, part: float, exponent: float, step: float
) -> None:
    """With n q2 of 60 and more there always are such rows."""
    rest = 1.0 - share
    q = (part * rest, share, (1.0 - part) * rest)
    steps = make_steps([round(step * n)] * (n + 1), n)
    low, _ = row_range(steps, 0, n, n, *q, 10.0**exponent)
    assert low > 0
    assert binomial_lower_tail(low - 1, n, q[1], q[0] + q[2], 25) <= 0.5 * 10.0**exponent
    # A window that starts much later than it must would leave too much out.
    assert binomial_lower_tail(low + n // 3, n, q[1], q[0] + q[2], 25) > 0.5 * 10.0**exponent


def test_tail_rises_with_the_moves_of_probability() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        n = int(rng.integers(1, 60))
        steps = make_steps(np.sort(rng.integers(0, n + 2, n + 1)).tolist(), n)
        q = rng.dirichlet([0.5, 0.5, 0.5])
        start, end = ((2, 0), (1, 0), (1, 2))[rng.integers(3)]
        moved = q.copy()
        delta = rng.random() * q[start]
        moved[start] -= delta
        moved[end] += delta
        before = staircase_tail(steps, n, *q, NEGLECT)
        after = staircase_tail(steps, n, *moved, NEGLECT)
        assert after >= before * (1 - 1e-11)


def test_tail_runs_inside_compiled_code() -> None:
    @njit
    def twice(steps: np.ndarray, n: int) -> float:
        return 2.0 * staircase_tail(steps, n, 0.5, 0.25, 0.25, 1e-300)

    steps = make_steps([1, 2, 3], 2)
    assert twice(steps, 2) == 2.0 * staircase_tail(steps, 2, 0.5, 0.25, 0.25, NEGLECT)
