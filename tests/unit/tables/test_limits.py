"""Limits of whole tables: values by hand, and an exact second way for the binomial quantile."""

import math
from fractions import Fraction

import numpy as np
import pytest

from rsverify.bounds.betting import betting_lower
from rsverify.bounds.proportion import clopper_pearson_interval
from rsverify.tables.limits import (
    mean_interval,
    mean_lower,
    robust_lower,
    wrong_certificates_upper,
)


def test_clopper_pearson_interval_at_its_ends_is_a_root():
    """None of n: the upper limit u has (1 - u)^n = alpha/2. All of n: the mirror."""
    lower, upper = clopper_pearson_interval([0, 10], 10, 0.05)

    root = 0.025 ** (1 / 10)
    np.testing.assert_allclose(lower, [0.0, root], rtol=1e-12)
    np.testing.assert_allclose(upper, [1 - root, 1.0], rtol=1e-12)


def test_robust_lower_solves_for_the_share_that_is_robust():
    # 0.505 = 0.45 + 0.55 * 0.1
    assert robust_lower(0.505, 0.1) == pytest.approx(0.45, abs=1e-14)
    assert robust_lower([0.0, 0.05, 0.1], 0.1).tolist() == [0.0, 0.0, 0.0]
    assert robust_lower(1.0, 0.001) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("limit", [0.3, 0.55, 0.999, 1.0])
@pytest.mark.parametrize("alpha", [1e-6, 0.001, 0.25])
def test_robust_lower_is_not_above_its_exact_value(limit, alpha):
    a = Fraction(alpha)
    exact = (Fraction(limit) - a) / (1 - a)

    assert exact - Fraction(1, 10**13) <= Fraction(float(robust_lower(limit, alpha))) <= exact


def exact_tail(n, p, more_than):
    p = Fraction(p)
    return sum(
        (math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(more_than + 1, n + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("failing", [1e-6, 0.001, 0.05, 0.5, 0.97])
@pytest.mark.parametrize("alpha", [1e-4, 0.05, 0.6])
def test_wrong_certificates_is_the_smallest_that_holds(n, failing, alpha):
    found = wrong_certificates_upper(n, failing, alpha)

    assert exact_tail(n, failing, found) <= Fraction(alpha)
    if found > 0:  # one less does not hold, or is a tie within rounding
        assert exact_tail(n, failing, found - 1) > Fraction(alpha) * (1 - Fraction(1, 10**11))


def test_wrong_certificates_by_hand():
    """P(Bin(500, 0.001) > 1) = 0.0901, > 2: 0.0144."""
    assert wrong_certificates_upper(500, 0.001, 0.05) == 2
    assert wrong_certificates_upper(500, 0.001, 0.1) == 1


def test_mean_lower_is_the_betting_bound_of_the_shuffled_sample():
    x = np.random.default_rng(1).uniform(0, 0.8, 60)
    shuffled = x[np.random.default_rng(0).permutation(60)]

    expected = 0.9 * betting_lower(shuffled / 0.9, 0.05)
    assert mean_lower(x, 0.05, low=0.0, high=0.9) == pytest.approx(expected, abs=1e-12)


def test_mean_interval_spends_half_on_each_side():
    x = np.random.default_rng(3).uniform(0, 0.8, 60)
    lower, upper = mean_interval(x, 0.1, low=0.0, high=0.9)

    assert lower == mean_lower(x, 0.05, low=0.0, high=0.9)
    assert upper == -mean_lower(-x, 0.05, low=-0.9, high=0.0)


def test_mean_interval_of_inputs_sorted_by_class_is_as_good_as_of_others():
    """In the order as given the bets would run into a wall at the second half."""
    x = np.repeat([0.9, 0.1], 200)
    lower, upper = mean_interval(x, 0.05, low=0.0, high=1.0)

    assert 0.43 < lower < 0.5 < upper < 0.57


def test_mean_of_differences_is_shifted_and_scaled():
    x = np.random.default_rng(2).uniform(-0.3, 0.4, 80)
    lower, upper = mean_interval(x, 0.1, low=-1.0, high=1.0)
    shifted = mean_interval((x + 1) * 3, 0.1, low=0.0, high=6.0)

    np.testing.assert_allclose([lower, upper], np.asarray(shifted) / 3 - 1, atol=1e-9)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([], {}, "must hold one value per input"),
        ([[0.5]], {}, "must hold one value per input"),
        ([0.5, 1.5], {}, r"x=1\.5 must be in \[0\.0, 1\.0\]"),
        ([-0.1], {}, r"x=-0\.1 must be in"),
        ([0.5], {"high": 0.0}, "must be less than high"),
        ([0.5], {"high": math.inf}, "both finite"),
        ([0.5], {"alpha": 0.0}, r"alpha=0\.0 must be in \(0, 1\)"),
        ([math.nan], {}, "NaN"),
    ],
)
def test_bad_samples_are_refused(x, options, message):
    arguments = {"alpha": 0.05, "low": 0.0, "high": 1.0} | options
    for limits in (mean_lower, mean_interval):
        with pytest.raises(ValueError, match=message):
            limits(x, arguments["alpha"], low=arguments["low"], high=arguments["high"])


def test_bad_levels_are_refused():
    with pytest.raises(ValueError, match=r"limit=1\.5 must be in \[0, 1\]"):
        robust_lower(1.5, 0.001)
    with pytest.raises(ValueError, match=r"alpha=1\.0 must be in \(0, 1\)"):
        robust_lower(0.5, 1.0)
    with pytest.raises(ValueError, match="n=0 must be between 1"):
        wrong_certificates_upper(0, 0.001, 0.05)
    with pytest.raises(ValueError, match=r"alpha=1\.2 must be in"):
        clopper_pearson_interval(1, 2, 1.2)
