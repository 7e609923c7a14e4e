"""Properties of the bounds for one mean, against 50-digit twins and among themselves."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rsverify.bounds import betting, mean
from rsverify.bounds.confidence_sequences import betting_interval_sequence, betting_sequence
from rsverify.reference import mean as twin

unit = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 1.0, 0.5, 1e-300, 1e-80, 1e-12, 1e-10, 1 - 2.0**-53, 0.999]),
)
samples = st.one_of(
    st.lists(unit, min_size=1, max_size=25),
    st.tuples(unit, st.integers(1, 25)).map(lambda pair: [pair[0]] * pair[1]),
    st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=25),
    st.lists(unit, min_size=1, max_size=25).map(sorted),
)
levels = st.one_of(st.floats(1e-12, 0.9), st.sampled_from([0.05, 1e-3, 0.5]))


def assert_just_below(bound, exact):
    """Never above the 50-digit value and within 1e-9 of it."""
    assert bound >= 0.0
    assert 0.0 <= float(exact - float(bound)) <= 1e-9


@settings(max_examples=200, deadline=None)
@given(x=samples, alpha=levels, variance=st.floats(0.0, 0.25))
def test_closed_forms_are_just_below_their_twins(x, alpha, variance):
    assert_just_below(mean.hoeffding_lower(x, alpha), twin.hoeffding_lower(x, alpha))
    assert_just_below(
        mean.bernstein_lower(x, alpha, variance=variance),
        twin.bernstein_lower(x, alpha, variance),
    )
    assert_just_below(
        mean.empirical_bernstein_lower(x, alpha), twin.empirical_bernstein_lower(x, alpha)
    )
    assert_just_below(mean.plugin_hoeffding_lower(x, alpha), twin.plugin_hoeffding_lower(x, alpha))


@settings(max_examples=200, deadline=None)
@given(x=samples, alpha=levels)
@example(x=[0.1] * 10, alpha=0.05)  # sums to 1 - 1.1e-16 in floats, to a little above 1 exactly
@example(x=[1.0, 2.0**-60, 1.0 - 2.0**-53], alpha=0.05)  # the sum is rounded up to 2
def test_bentkus_is_just_below_its_twin(x, alpha):
    assert_just_below(mean.bentkus_lower(x, alpha), twin.bentkus_lower(x, alpha))
    assert mean.bentkus_lower(x, alpha) <= np.mean(x)


@settings(max_examples=60, deadline=None)
@given(x=samples, alpha=levels, cap=st.sampled_from([0.5, 0.75, 0.99]))
def test_plugin_bernstein_is_just_below_its_twin(x, alpha, cap):
    assert_just_below(
        mean.plugin_bernstein_lower(x, alpha, cap=cap), twin.plugin_bernstein_lower(x, alpha, cap)
    )


@settings(max_examples=60, deadline=None)
@given(
    x=samples,
    alpha=levels,
    strategy=st.sampled_from(list(betting.STRATEGIES)),
    u=st.sampled_from([1.0, 0.3, 1e-3]),
)
def test_betting_bounds_are_just_below_their_twins(x, alpha, strategy, u):
    exact = twin.betting_lower(x, alpha, strategy, betting.DEFAULT_CAP[strategy], u)
    assert_just_below(betting.betting_lower(x, alpha, strategy=strategy, u=u), exact)


@settings(max_examples=200, deadline=None)
@given(x=samples, alpha=levels)
def test_bounds_are_ordered_and_in_the_unit_interval(x, alpha):
    for strategy in betting.STRATEGIES:
        lower = betting.betting_lower(x, alpha, strategy=strategy)
        upper = betting.betting_upper(x, alpha, strategy=strategy)
        assert 0.0 <= lower <= max(x)
        assert min(x) <= upper <= 1.0
    for bound in (mean.hoeffding_lower, mean.empirical_bernstein_lower):
        assert bound(x, alpha) <= np.mean(x)


@settings(max_examples=200, deadline=None)
@given(x=samples, alpha=levels)
def test_bernstein_bounds_tighten_with_less_variance(x, alpha):
    bounds = [mean.bernstein_lower(x, alpha, variance=v) for v in (0.25, 0.1, 0.01, 0.0)]
    assert bounds == sorted(bounds)


@settings(max_examples=100, deadline=None)
@given(x=samples, alpha=levels, seed=st.integers(0, 1000))
def test_a_smaller_u_never_lowers_the_bound(x, alpha, seed):
    u = np.sort(np.random.default_rng(seed).random(5))[::-1] + 1e-9
    bounds = betting.betting_lower(x, alpha, u=np.minimum(u, 1.0))
    assert (np.diff(bounds) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(x=samples, alpha=levels, split=st.sampled_from([0.5, 0.1, 0.9]))
def test_betting_interval_sequence_is_two_sequences_that_share_alpha(x, alpha, split):
    lower, upper = betting_interval_sequence(x, alpha, split=split)
    assert np.array_equal(lower, betting_sequence(x, split * alpha))
    mirrored = betting_sequence([1.0 - value for value in x], (1.0 - split) * alpha)
    assert (upper >= 1.0 - mirrored).all()
    assert (upper <= 1.0 - mirrored + 1e-15).all()
    assert (np.diff(lower) >= 0).all()
    assert (np.diff(upper) <= 0).all()
