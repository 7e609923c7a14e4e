"""Confidence sequences: shapes, monotone paths, twins, edges and errors."""

import numpy as np
import pytest

from rsverify.bounds import confidence_sequences as anytime
from rsverify.bounds.confidence_sequences import MIXTURES
from rsverify.reference import mean as twin

RNG = np.random.default_rng(22)
STRATEGIES = ["portfolio", "kt", "plugin", "agrapa"]
SEQUENCES = {
    "plugin hoeffding": anytime.plugin_hoeffding_sequence,
    "plugin bernstein": anytime.plugin_bernstein_sequence,
    "clopper-pearson": anytime.clopper_pearson_sequence,
    "kt lower": lambda x, alpha: anytime.kt_mixture_sequence(x, alpha).lower,
    **{
        name: lambda x, alpha, name=name: anytime.betting_sequence(x, alpha, strategy=name)
        for name in STRATEGIES
    },
}
BINARY = ("clopper-pearson", "kt lower")


@pytest.fixture(params=SEQUENCES)
def sequence(request):
    return SEQUENCES[request.param]


def assert_just_below(path, exact):
    """The path is at most the exact one and within 1e-9 of it."""
    excess = np.array([float(value - b) for value, b in zip(exact, path.tolist(), strict=True)])
    assert excess.min() >= 0.0
    assert excess.max() <= 1e-9


def test_paths_have_the_shape_of_the_sample_and_never_fall(sequence):
    x = (RNG.random((2, 3, 200)) < 0.7).astype(float)
    path = sequence(x, np.array([0.05, 0.01, 0.2]))
    assert path.shape == x.shape
    assert (np.diff(path, axis=-1) >= 0).all()
    assert (path >= 0).all()
    assert (path[..., -1] > 0.3).all()
    assert (path[..., -1] < 0.95).all()


def test_paths_do_not_depend_on_the_future(sequence):
    x = (RNG.random(150) < 0.6).astype(float)
    other = np.r_[x[:100], 1 - x[100:]]
    np.testing.assert_array_equal(sequence(x, 0.05)[:100], sequence(other, 0.05)[:100])
    np.testing.assert_array_equal(sequence(x, 0.05)[:100], sequence(x[:100], 0.05))


def test_batches_agree_with_single_samples(sequence):
    x = (RNG.random((40, 1000)) < 0.7).astype(float)
    np.testing.assert_array_equal(sequence(x, 0.05), [sequence(row, 0.05) for row in x])


def test_zeros_bound_nothing_and_ones_stay_below_one(sequence):
    assert (sequence(np.zeros(40), 0.05) == 0).all()
    assert (sequence(np.ones(40), 0.05) < 1).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "x",
    [
        RNG.random(8),
        RNG.beta(1000, 1000, 8),
        np.sort(RNG.random(8)) ** 8,
        np.r_[np.full(4, 1e-11), np.ones(4)],
        np.r_[np.ones(5), np.zeros(3)],
    ],
    ids=["random", "concentrated", "rising", "jump", "falling"],
)
def test_betting_paths_are_just_below_the_naive_ones(strategy, x):
    shares, weights = MIXTURES.get(strategy, ((), (1.0,)))
    for alpha in (0.2, 1e-4):
        exact = twin.betting_sequence(x, alpha, strategy, shares, weights)
        assert_just_below(anytime.betting_sequence(x, alpha, strategy=strategy), exact)


def test_plugin_paths_are_just_below_the_naive_ones():
    x = np.r_[np.ones(5), RNG.random(15)]
    for alpha in (0.2, 1e-4):
        exact = twin.plugin_bernstein_sequence(x, alpha)
        assert_just_below(anytime.plugin_bernstein_sequence(x, alpha), exact)
        exact = twin.plugin_hoeffding_sequence(x, alpha)
        assert_just_below(anytime.plugin_hoeffding_sequence(x, alpha), exact)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.9, 1.0])
def test_binary_paths_are_just_beside_the_naive_ones(p):
    x = (RNG.random(40) < p).astype(float)
    lower, upper = twin.kt_mixture_sequence(x, 0.05)
    interval = anytime.kt_mixture_sequence(x, 0.05)
    assert_just_below(interval.lower, lower)
    assert_just_below(-np.asarray(interval.upper), [-value for value in upper])
    assert_just_below(
        anytime.clopper_pearson_sequence(x, 0.05), twin.clopper_pearson_sequence(x, 0.05)
    )


def test_clopper_pearson_levels_sum_to_at_most_alpha():
    looks = np.arange(1, anytime.look_times(10**9).size + 1)
    assert np.sum(5.0 / ((looks + 4.0) * (looks + 5.0))) < 1.0
    assert anytime.look_times(10).tolist() == list(range(1, 11))
    assert anytime.look_times(34).tolist()[-3:] == [28, 30, 33]


def test_interval_sequence_reports_emptiness_for_good():
    """Zeros, then ones: the intersection empties and later data do not refill it."""
    x = np.r_[np.zeros(300), np.ones(300), np.full(300, 0.5)]
    for interval in (
        anytime.betting_interval_sequence(x, 0.05),
        anytime.kt_mixture_sequence((x > 0.4).astype(int), 0.05),
    ):
        assert not interval.empty[0]
        assert interval.empty[-1]
        assert (np.diff(interval.empty.astype(int)) >= 0).all()


def test_half_of_alpha_goes_to_each_side():
    x = RNG.random(100)
    interval = anytime.betting_interval_sequence(x, 0.05)
    np.testing.assert_array_equal(interval.lower, anytime.betting_sequence(x, 0.025))
    np.testing.assert_allclose(
        interval.upper, 1 - anytime.betting_sequence(1 - x, 0.025), atol=1e-15
    )


@pytest.mark.parametrize("name", SEQUENCES)
def test_bad_input_is_named(name):
    sequence = SEQUENCES[name]
    with pytest.raises(ValueError, match=r"x=1.5 must be in \[0, 1\]"):
        sequence([1.5, 0.0], 0.05)
    with pytest.raises(ValueError, match="x contains NaN"):
        sequence([np.nan], 0.05)
    with pytest.raises(ValueError, match="at least one observation"):
        sequence(np.zeros((3, 0)), 0.05)
    with pytest.raises(ValueError, match=r"alpha=2.0 must be in \(0, 1\)"):
        sequence([1.0], 2.0)
    with pytest.raises(ValueError, match=r"\(2,\).*"):
        sequence(np.zeros((3, 4)), [0.1, 0.2])
    if name in BINARY:
        with pytest.raises(ValueError, match=r"x=0\.5 must be 0 or 1"):
            sequence([1.0, 0.5], 0.05)


def test_unknown_strategy_and_split_are_named():
    with pytest.raises(ValueError, match="strategy='ons' must be one of 'portfolio', 'kt'"):
        anytime.betting_sequence([0.5], 0.05, strategy="ons")
    with pytest.raises(ValueError, match=r"split=0 must be in|split=0.0 must be in"):
        anytime.betting_interval_sequence([0.5], 0.05, split=0.0)


def test_a_level_that_float64_cannot_share_is_named():
    with pytest.raises(ValueError, match=r"alpha=2e-307 is too small: 0\.0892857 of it must be"):
        anytime.clopper_pearson_sequence(np.ones(40), 2e-307)
    assert anytime.clopper_pearson_sequence(np.ones(2), 2e-307)[-1] > 0.0
