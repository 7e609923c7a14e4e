"""Bounds for one mean: values, edges, shapes, mirrors and errors."""

import math

import numpy as np
import pytest

from rsverify.bounds import betting, mean

RNG = np.random.default_rng(21)
LOWER = {
    "hoeffding": mean.hoeffding_lower,
    "bernstein": lambda x, alpha: mean.bernstein_lower(x, alpha, variance=0.1),
    "empirical": mean.empirical_bernstein_lower,
    "plugin bernstein": mean.plugin_bernstein_lower,
    "plugin hoeffding": mean.plugin_hoeffding_lower,
    "star": betting.betting_lower,
    "plugin": lambda x, alpha: betting.betting_lower(x, alpha, strategy="plugin"),
    "agrapa": lambda x, alpha: betting.betting_lower(x, alpha, strategy="agrapa"),
}
MIRRORED = [
    (mean.hoeffding_lower, mean.hoeffding_upper),
    (mean.empirical_bernstein_lower, mean.empirical_bernstein_upper),
    (mean.plugin_bernstein_lower, mean.plugin_bernstein_upper),
    (betting.betting_lower, betting.betting_upper),
]


@pytest.fixture(params=LOWER)
def lower(request):
    return LOWER[request.param]


def test_hoeffding_is_its_formula():
    x = RNG.random(100)
    expected = x.mean() - math.sqrt(math.log(20) / 200)
    assert mean.hoeffding_lower(x, 0.05) == pytest.approx(expected, abs=1e-12)


def test_bernstein_at_variance_zero_is_the_linear_term():
    x = np.full(100, 0.8)
    expected = 0.8 - 2 * math.log(20) / 300
    assert mean.bernstein_lower(x, 0.05, variance=0.0) == pytest.approx(expected, abs=1e-12)


def test_empirical_bernstein_has_log_of_two_over_alpha():
    x = RNG.random(100)
    log_term = math.log(40)
    expected = x.mean() - math.sqrt(2 * x.var(ddof=1) * log_term / 100) - 7 * log_term / 297
    assert mean.empirical_bernstein_lower(x, 0.05) == pytest.approx(expected, abs=1e-12)


def test_plugin_hoeffding_is_never_below_hoeffding():
    x = RNG.random((50, 40))
    assert (mean.plugin_hoeffding_lower(x, 0.05) >= mean.hoeffding_lower(x, 0.05) - 1e-12).all()


def test_zeros_bound_nothing(lower):
    assert lower(np.zeros(50), 0.05) == 0.0


def test_ones_stay_below_one(lower):
    assert 0.0 <= lower(np.ones(50), 0.05) < 1.0


@pytest.mark.parametrize("n", [1, 2])
def test_tiny_samples_have_a_bound(lower, n):
    for value in (0.0, 0.3, 1.0):
        assert 0.0 <= lower(np.full(n, value), 0.05) <= value


def test_constant_samples_are_below_their_value(lower):
    for value in (1e-300, 1e-9, 0.1, 0.5, 1.0 - 1e-16):
        assert 0.0 <= lower(np.full(200, value), 0.05) <= value


def test_batches_agree_with_single_samples_bit_for_bit(lower):
    x = RNG.random((3, 2, 60))
    alpha = np.array([0.05, 0.001])
    batch = lower(x, alpha)
    assert batch.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            assert batch[i, j] == lower(x[i, j], alpha[j])


def test_threads_agree_with_one_sample_at_a_time(lower):
    x = RNG.random((40, 1000))  # past the size from which rows run on threads
    assert (lower(x, 0.05) == [lower(row, 0.05) for row in x]).all()


def test_empty_batches_have_empty_bounds(lower):
    assert lower(np.empty((0, 5)), 0.05).shape == (0,)


@pytest.mark.parametrize(("low", "high"), MIRRORED)
def test_upper_bounds_mirror_lower_ones(low, high):
    x = RNG.random((5, 70))
    upper = high(x, 0.05)
    np.testing.assert_allclose(upper, 1 - low(1 - x, 0.05), atol=1e-15)
    assert (upper >= 1 - low(1 - x, 0.05)).all()
    assert (upper > low(x, 0.05)).all()
    assert high(np.ones(4), 0.05) == 1.0


def test_integer_and_single_precision_samples_are_read():
    x = (RNG.random(60) < 0.5).astype(int)
    assert betting.betting_lower(x, 0.05) == betting.betting_lower(x.astype(np.float32), 0.05)


@pytest.mark.parametrize(
    ("x", "alpha", "message"),
    [
        ([0.5, 1.2], 0.05, r"x=1.2 must be in \[0, 1\]"),
        ([0.5, -0.1], 0.05, r"x=-0.1 must be in \[0, 1\]"),
        ([0.5, math.nan], 0.05, "x contains NaN"),
        ([0.5, math.inf], 0.05, r"x=inf must be in \[0, 1\]"),
        ([], 0.05, r"x of shape \(0,\) must hold at least one observation on its last axis"),
        (0.5, 0.05, r"x of shape \(\) must hold at least one observation on its last axis"),
        (np.zeros((4, 0)), 0.05, r"x of shape \(4, 0\) must hold at least one"),
        ([0.5], 0.0, r"alpha=0.0 must be in \(0, 1\)"),
        ([0.5], 1.0, r"alpha=1.0 must be in \(0, 1\)"),
        ([0.5], math.nan, "alpha contains NaN"),
        (np.zeros((3, 4)), [0.1, 0.2], r"x: \(3,\), alpha: \(2,\)"),
    ],
)
def test_bad_input_is_named(lower, x, alpha, message):
    with pytest.raises(ValueError, match=message):
        lower(x, alpha)


@pytest.mark.parametrize("x", [["a"], [True, False], [1 + 2j]])
def test_samples_that_are_not_real_numbers_are_refused(lower, x):
    with pytest.raises(TypeError, match="x="):
        lower(x, 0.05)


def test_options_out_of_range_are_named():
    x = [0.5, 0.6]
    with pytest.raises(ValueError, match=r"cap=1.0 must be in \(0, 0.99\]"):
        betting.betting_lower(x, 0.05, cap=1.0)
    with pytest.raises(ValueError, match=r"cap=0 must be in|cap=0.0 must be in"):
        mean.plugin_bernstein_lower(x, 0.05, cap=0.0)
    with pytest.raises(ValueError, match=r"variance=0.3 must be in \[0, 0.25\]"):
        mean.bernstein_lower(x, 0.05, variance=0.3)
    with pytest.raises(ValueError, match="strategy='kelly' must be one of"):
        betting.betting_lower(x, 0.05, strategy="kelly")
    with pytest.raises(TypeError, match="strategy=3 must be one of"):
        betting.betting_lower(x, 0.05, strategy=3)
    with pytest.raises(ValueError, match=r"u=1.5 must be in \[0, 1\]"):
        betting.betting_lower(x, 0.05, u=1.5)
    with pytest.raises(ValueError, match="must not both be given"):
        betting.betting_lower(x, 0.05, u=0.5, seed=1)
    with pytest.raises(ValueError, match=r"split=1.0 must be in \(0, 1\)"):
        betting.betting_interval(x, 0.05, split=1.0)


def test_randomized_last_step_only_helps_and_replays():
    x = RNG.random((20, 200))
    plain = betting.betting_lower(x, 0.05)
    np.testing.assert_array_equal(plain, betting.betting_lower(x, 0.05, u=1.0))
    seeded = betting.betting_lower(x, 0.05, seed=4)
    np.testing.assert_array_equal(seeded, betting.betting_lower(x, 0.05, seed=4))
    drawn = 1.0 - np.random.default_rng(4).random(20)
    np.testing.assert_array_equal(seeded, betting.betting_lower(x, 0.05, u=drawn))
    assert (seeded >= plain).all()
    assert (seeded > plain).any()


def test_interval_is_the_two_sides_at_their_shares():
    x = RNG.random((4, 90))
    interval = betting.betting_interval(x, 0.05, split=0.25)
    np.testing.assert_array_equal(interval.lower, betting.betting_lower(x, 0.0125))
    np.testing.assert_array_equal(interval.upper, betting.betting_upper(x, 0.0375))
    assert not interval.empty.any()


def test_empty_intervals_are_reported_not_reset():
    """Zeros, then ones: no constant conditional mean explains them."""
    interval = betting.betting_interval(np.r_[np.zeros(300), np.ones(300)], 0.05, strategy="plugin")
    assert interval.empty
    assert interval.lower > interval.upper
