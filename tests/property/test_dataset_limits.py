"""Limits of whole tables, for all samples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsverify.bounds.proportion import clopper_pearson_interval
from rsverify.tables.limits import (
    mean_interval,
    mean_lower,
    robust_lower,
    wrong_certificates_upper,
)

LEVELS = st.floats(1e-6, 0.999)
SAMPLES = st.lists(st.floats(-1, 2), min_size=1, max_size=60)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), LEVELS)
def test_proportion_is_inside_its_limits(counts, alpha):
    k, n = counts
    lower, upper = clopper_pearson_interval(k, n, alpha)

    assert 0 <= lower <= k / n <= upper <= 1


@given(
    st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), LEVELS, LEVELS
)
def test_proportion_limits_widen_with_confidence(counts, one, other):
    narrow = clopper_pearson_interval(*counts, max(one, other))
    wide = clopper_pearson_interval(*counts, min(one, other))

    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


@given(SAMPLES, LEVELS, st.floats(0.01, 3), st.floats(0.01, 3))
def test_mean_is_inside_its_limits(x, alpha, below, above):
    low, high = min(x) - below, max(x) + above
    lower, upper = mean_interval(x, alpha, low=low, high=high)
    mean = float(np.mean(x))

    assert low <= lower <= mean <= upper <= high
    assert mean_lower(x, alpha, low=low, high=high) <= mean


@given(SAMPLES, LEVELS)
def test_mean_limits_are_mirrors(x, alpha):
    lower, upper = mean_interval(x, alpha, low=-1.0, high=2.0)
    mirrored = mean_interval(-np.array(x), alpha, low=-2.0, high=1.0)

    np.testing.assert_allclose([mirrored.lower, mirrored.upper], [-upper, -lower], atol=1e-9)


@given(st.floats(0, 1), st.floats(0, 1), LEVELS, LEVELS)
def test_robust_lower_grows_with_the_limit_and_falls_with_alpha(one, other, a, b):
    small, large = sorted((one, other))
    little, much = sorted((a, b))

    assert 0 <= robust_lower(small, a) <= robust_lower(large, a) <= large
    # Up to the rounding, which grows with alpha.
    assert robust_lower(one, much) <= robust_lower(one, little) + 1e-11


@given(st.integers(1, 5000), LEVELS, LEVELS, LEVELS)
def test_wrong_certificates_is_a_count_and_monotone(n, failing, one, other):
    small, large = sorted((one, other))
    more, fewer = (wrong_certificates_upper(n, failing, level) for level in (small, large))

    assert 0 <= fewer <= more <= n
    assert wrong_certificates_upper(n + 1, failing, small) >= more
