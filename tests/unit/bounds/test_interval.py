"""Upper bounds and intervals made from any lower bound of a mean."""

import copy
import pickle

import numpy as np
import pytest

from rsverify.bounds import betting, mean
from rsverify.bounds import confidence_sequences as anytime
from rsverify.bounds.interval import Interval, interval_of, upper_of

X = np.random.default_rng(6).random((3, 80))
BOUNDS = [
    mean.hoeffding_lower,
    mean.empirical_bernstein_lower,
    mean.plugin_bernstein_lower,
    mean.plugin_hoeffding_lower,
    betting.betting_lower,
    anytime.betting_sequence,
    anytime.plugin_bernstein_sequence,
    anytime.plugin_hoeffding_sequence,
]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda f: f.__name__)
def test_sides_are_the_bound_and_its_mirror(bound):
    upper = upper_of(bound, X, 0.05)
    assert (upper >= 1 - bound(1 - X, 0.05)).all()
    np.testing.assert_allclose(upper, 1 - bound(1 - X, 0.05), atol=1e-15)
    interval = interval_of(bound, X, 0.05, split=0.2)
    np.testing.assert_array_equal(interval.lower, bound(X, 0.05 * 0.2))
    np.testing.assert_array_equal(interval.upper, upper_of(bound, X, 0.05 * 0.8))
    assert not interval.empty.any()


def test_options_reach_both_sides():
    interval = interval_of(mean.bernstein_lower, X, 0.05, variance=0.01)
    assert (interval.lower == mean.bernstein_lower(X, 0.025, variance=0.01)).all()
    assert (interval.upper == upper_of(mean.bernstein_lower, X, 0.025, variance=0.01)).all()
    assert isinstance(upper_of(mean.bernstein_lower, X[0], 0.05, variance=0.01), np.float64)


@pytest.mark.parametrize("split", [0.0, 1.0, -0.1, [0.5, 0.5]])
def test_split_must_be_one_share(split):
    with pytest.raises(ValueError, match=r"split(=| of shape)"):
        interval_of(mean.hoeffding_lower, X, 0.05, split=split)


def test_an_alpha_too_small_to_be_shared_is_named():
    with pytest.raises(ValueError, match=r"alpha=5e-324 is too small: 0\.5 of it must be"):
        interval_of(mean.hoeffding_lower, X, 5e-324)
    with pytest.raises(ValueError, match=r"alpha=0\.05 is too small: 1e-315 of it must be"):
        interval_of(mean.hoeffding_lower, X, 0.05, split=1e-315)


def test_mirrored_bound_is_within_a_rounding_of_the_numbers_it_was_given():
    """The mean of what it sees is the largest bound that any valid one can tend to."""
    x = np.full(9, 2.0**-54)  # 1 - x rounds to 1

    assert upper_of(lambda sample, _: sample.mean(axis=-1), x, 0.5) == pytest.approx(
        2.0**-54, abs=2.0**-52
    )
    for bound in BOUNDS:
        assert (upper_of(bound, x, 1.0 - 1e-9) > 2.0**-54).all()


def test_intervals_are_compared_and_shown():
    """Of arrays too, and after a pickle; as a pair without a level, by its limits."""
    single = Interval(np.float64(0.25), 0.5, np.float64(0.05))
    assert repr(single) == "Interval(lower=0.25, upper=0.5, alpha=0.05)"
    assert eval(repr(single)) == single
    assert single == (0.25, 0.5)
    assert single != (0.25, 0.75)
    assert single != Interval(0.25, 0.5, 0.01)
    assert single != 0.25
    assert hash(single) == hash((0.25, 0.5))
    several = Interval(np.array([0.25, 0.5]), np.array([0.5, 1.0]), np.float64(0.05))
    assert pickle.loads(pickle.dumps(several)) == several == copy.deepcopy(several)
    assert several != Interval(np.array([0.25, 0.5]), np.array([0.5, 0.75]), 0.05)
    assert several != single
    assert repr(several).endswith("upper=array([0.5, 1. ]), alpha=0.05)")
