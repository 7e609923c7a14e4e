"""Bounds of score margins against their 50-digit twins and against their definitions."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from rsverify.bounds.score_margin import METHODS, score_margin_lower
from rsverify.kernels.margin.tangent import line_gap, tangent_margin
from rsverify.reference import mean as mean_twins
from rsverify.reference import score_margin as twins

CLOSE = 1e-9

chances = st.floats(1e-9, 1.0) | st.floats(1e-7, 0.5).map(lambda v: 1.0 - v)
slopes = st.floats(-7.0, 7.0).map(math.exp)


@given(mean=chances, slope=slopes, largest=chances)
@example(mean=0.75, slope=1.0, largest=1.0)
@example(mean=0.5, slope=1.0, largest=1.0)  # a line through the origin
@example(mean=np.nextafter(0.5, 1.0), slope=1.0, largest=1.0)
@example(mean=1.0 - 1e-7, slope=3.0, largest=1e-9)
@settings(max_examples=400)
def test_tangent_is_below_its_twin_and_close(mean, slope, largest):
    bound = tangent_margin(mean, slope, largest)
    exact = twins.tangent_margin(mean, slope, largest)

    assert bound <= exact
    # A line that starts within rounding of the origin, l = (1 + a) mean - a near 0, has no
    # relative accuracy left; nor has p within rounding of 1.
    assume((1.0 + slope) * mean - slope > 1e-5 and mean < 1.0 - 1e-8)
    assert bound > exact - CLOSE


@given(mean=chances, slope=slopes, largest=chances, share=st.floats(0.0, 1.0))
@settings(max_examples=300)
def test_no_point_above_the_line_has_less_margin(mean, slope, largest, share):
    bound = tangent_margin(mean, slope, largest)
    with mp.workdps(50):
        q = mp.mpf(share) * min(mp.mpf(largest), 1 - mp.mpf(mean))
        p = (1 + mp.mpf(slope)) * mp.mpf(mean) - mp.mpf(slope) * (1 - q)
        assume(q > 0 and 0 < p < 1)
        margin = twins.norm_ppf(p) - twins.norm_ppf(q)

        assert bound <= margin


@given(slope=slopes, c=st.floats(1e-3, 10.0), top=st.floats(-8.0, 8.0), z=st.floats(-12.0, 8.0))
@settings(max_examples=300)
def test_line_gap_is_the_least_of_its_function(slope, c, top, z):
    z = min(z, top)

    assert line_gap(c, slope, top) <= norm.cdf(-(c + z)) + slope * norm.cdf(z)


@given(
    mean=chances,
    slope=slopes,
    largest=chances,
    more=st.floats(1.0, 1.5),
    less=st.floats(0.5, 1.0),
)
def test_tangent_rises_with_the_mean_and_with_a_smaller_box(mean, slope, largest, more, less):
    bound = tangent_margin(mean, slope, largest)

    assert tangent_margin(min(1.0, mean * more), slope, largest) >= bound - 1e-12
    assert tangent_margin(mean, slope, largest * less) >= bound - 1e-12


def rows(seed, n, classes, sharpness):
    raw = np.random.default_rng(seed).gumbel(size=(n, classes)) * sharpness
    raw[:, 0] += 1.0
    raw = np.exp(raw - raw.max(axis=1, keepdims=True))
    return raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("betting", mean_twins.betting_lower),
        ("empirical-bernstein", mean_twins.empirical_bernstein_lower),
        ("plugin-bernstein", mean_twins.plugin_bernstein_lower),
    ],
)
@pytest.mark.parametrize(("estimand", "method"), [(e, m) for e in METHODS for m in METHODS[e]])
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), alpha=st.floats(1e-6, 0.9))
@settings(max_examples=5)
def test_score_margin_is_below_its_twin_and_close(estimand, method, name, twin, seed, n, alpha):
    scores = rows(seed, n, 3, sharpness=seed % 5)
    bound = score_margin_lower(scores, 0, alpha, estimand=estimand, method=method, mean_bound=name)
    exact = twins.score_margin_lower(
        scores, 0, alpha, estimand=estimand, method=method, mean_bound=twin, slopes=[1.0, 1.0]
    )

    assert bound <= exact
    if not (estimand == "probit" and exact < 0.05):  # where the line nears the origin
        assert bound > exact - 5 * CLOSE
