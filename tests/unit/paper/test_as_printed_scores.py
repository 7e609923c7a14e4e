"""The soft formulas as printed: that they are the printed ones, and that they fail where said."""

import math

import numpy as np
import pytest
from scipy.special import ndtri

from rsverify.bounds.mean import empirical_bernstein_lower, plugin_bernstein_lower
from rsverify.paper.as_printed_scores import (
    printed_empirical_bernstein_lower,
    printed_plugin_bernstein_lower,
    printed_taylor_margin_lower,
)
from rsverify.probit import taylor_probit

RNG = np.random.default_rng(30)


def test_empirical_bernstein_is_the_correct_one_at_twice_the_level():
    x = RNG.random((5, 2000))
    printed = printed_empirical_bernstein_lower(x, 0.05)
    np.testing.assert_allclose(printed, empirical_bernstein_lower(x, 0.1), atol=1e-12)
    assert (printed > empirical_bernstein_lower(x, 0.05)).all()
    with pytest.raises(ValueError, match="at least two observations"):
        printed_empirical_bernstein_lower([0.5], 0.05)


def test_plugin_formula_by_hand_at_two_observations():
    x, alpha, cap = [0.2, 0.9], 0.05, 0.5
    price = -math.log(0.5) - 0.5
    mean_before = [0.5, 0.5 + 0.2 / 2]  # both bets are at their cap
    total = sum((v - m) ** 2 * price for v, m in zip(x, mean_before, strict=True))
    expected = 0.55 - math.sqrt((2 * math.log(2 / alpha) + total) / (2 * cap))
    assert printed_plugin_bernstein_lower(x, alpha, cap=cap) == pytest.approx(expected)


def test_plugin_formula_is_void_as_printed_and_far_below_the_correct_one():
    x = RNG.random(5000)
    assert printed_plugin_bernstein_lower(x, 0.05) == -math.inf
    assert printed_plugin_bernstein_lower(x, 0.05, cap=0.5) < plugin_bernstein_lower(x, 0.05) - 0.1


def test_taylor_margin_exceeds_the_true_margin_by_jensen():
    """The witness: at n = 10,000 every one of 50 samples claims more than the truth."""
    coin = RNG.random((50, 10_000)) < 0.5
    first, second = np.where(coin, 0.99, 0.15), np.where(coin, 0.01, 0.20)
    truth = ndtri(0.57) - ndtri(0.105)
    printed = printed_taylor_margin_lower(first, second, 0.001)
    assert (printed > truth + 0.3).all()
    scores = np.array([[0.99, 0.01], [0.15, 0.20]])
    taylor = taylor_probit(scores, 10)
    assert np.mean(taylor[:, 0] - taylor[:, 1]) == pytest.approx(2.011, abs=0.001)


def test_taylor_margin_falls_back_below_one_half():
    first, second = RNG.beta(4, 6, 4000), RNG.beta(1, 9, 4000)
    expected = ndtri(empirical_bernstein_lower(first, 0.025)) - ndtri(
        1 - empirical_bernstein_lower(1 - second, 0.025)
    )
    assert printed_taylor_margin_lower(first, second, 0.05) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="must have second's shape"):
        printed_taylor_margin_lower([0.5, 0.6], [0.1], 0.05)
