"""Attacks on the bounds for one mean, exact: the worst two-point law, the worst adversary.

Nothing is drawn. For samples of two values the miscoverage, a polynomial in the chance of the
larger one between two values that the bound takes, is evaluated where it is largest, just
below each value; an adversary who chooses the law of every observation after seeing the
earlier ones, of the same conditional mean, is solved by backward induction.
"""

import itertools

import numpy as np
import pytest

from rsverify.bounds import betting, mean
from rsverify.bounds import confidence_sequences as anytime

BOUNDS = {
    **{
        name: lambda x, alpha, name=name: betting.betting_lower(x, alpha, strategy=name)
        for name in betting.STRATEGIES
    },
    "plugin bernstein": mean.plugin_bernstein_lower,
    # A sequence never falls: its last value is above the mean if any was.
    **{
        f"{name} path": lambda x, alpha, name=name: anytime.betting_sequence(
            x, alpha, strategy=name
        )[:, -1]
        for name in (*anytime.MIXTURES, *anytime.PREDICTABLE)
    },
}
SUPPORTS = [(0.0, 1.0), (0.3, 0.9), (0.0, 0.05), (0.95, 1.0), (0.5, 0.5 + 1e-9)]


def worst_chance(values, ones, n):
    """Return the largest P(bound > mean of ones / n) over the chance p of a one.

    `values` are the bounds on the scale of p. From the next smaller value to v the paths that
    miss are those with a bound of v or more; their probability, a polynomial, is evaluated at
    v, its limit from the left, and at three places before.
    """
    order = np.argsort(values)[::-1]
    values, ones = values[order], ones[order]
    counts = np.cumsum(ones[:, None] == np.arange(n + 1), axis=0)
    last = np.r_[np.diff(values) < 0, True]
    values, counts = values[last], counts[last]
    keep = values > 0
    values, counts = np.clip(values[keep], 0, 1), counts[keep]
    following = np.r_[values[1:], 0.0]
    k = np.arange(n + 1)
    worst = 0.0
    for share in (0.0, 0.25, 0.5, 0.75):
        p = values + share * (following - values)
        chances = (counts * p[:, None] ** k * (1 - p[:, None]) ** (n - k)).sum(axis=1)
        worst = max(worst, chances.max(initial=0.0))
    return worst


def assert_covers_two_points(name, n, alphas, supports):
    picks = np.array(list(itertools.product((0, 1), repeat=n)))
    for low, high in supports:
        x = np.where(picks == 1, high, low)
        for alpha in alphas:
            bounds = BOUNDS[name](x, alpha)
            values = (bounds - low) / (high - low)
            assert worst_chance(values, picks.sum(axis=1), n) <= alpha * (1 + 1e-6), (low, alpha)


@pytest.mark.parametrize("name", BOUNDS)
def test_no_two_point_law_is_missed_too_often(name):
    n = 7 if name.endswith("path") else 9
    assert_covers_two_points(name, n, (0.75, 0.4, 0.05, 0.001), SUPPORTS)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 5, 12, 14])
def test_no_two_point_law_is_missed_too_often_by_star_at_any_level(n):
    alphas = (0.95, 0.75, 0.5, 0.4, 0.2, 0.1, 0.05, 0.01, 0.001)
    assert_covers_two_points("star", n, alphas, SUPPORTS)


def menu(m):
    """Two-point laws of mean m, as (values, chance of the second)."""
    pairs = [(0.0, 1.0), (0.0, min(1.0, 1.5 * m)), (0.5 * m, 1.0), (0.9 * m, min(1.0, 1.2 * m))]
    return [(low, high, (m - low) / (high - low)) for low, high in pairs]


def chance_of_the_best_adversary(bound, m, n, alpha):
    laws = menu(m)
    moves = [(law, side) for law in range(len(laws)) for side in (0, 1)]
    plays = np.array(list(itertools.product(range(len(moves)), repeat=n)))
    table = np.array([laws[law][side] for law, side in moves])
    value = (bound(table[plays], alpha) > m).astype(float)
    chance = np.array([laws[law][2] if side else 1 - laws[law][2] for law, side in moves])
    for _ in range(n):
        # Last axis: the law, then which of its two values came.
        value = (value.reshape(-1, len(laws), 2) * chance.reshape(-1, 2)).sum(axis=2).max(axis=1)
    return float(value[0])


@pytest.mark.parametrize("m", [0.08, 0.5, 0.9])
@pytest.mark.parametrize("name", BOUNDS)
def test_no_adversary_who_sees_the_past_makes_a_bound_miss_too_often(name, m):
    n = 3 if name.endswith("path") else 4
    for alpha in (0.75, 0.4, 0.1):
        assert chance_of_the_best_adversary(BOUNDS[name], m, n, alpha) <= alpha + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("m", [0.08, 0.5, 0.9])
def test_no_adversary_makes_star_miss_too_often_in_five_steps(m):
    for alpha in (0.75, 0.4, 0.1, 0.05):
        assert chance_of_the_best_adversary(BOUNDS["star"], m, 5, alpha) <= alpha + 1e-12


def test_the_adversary_refuses_a_bound_for_independent_samples_only():
    """The attack has teeth: a z interval falls to it."""

    def z_interval(x, _):
        return x.mean(axis=1) - 0.25 * x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])

    assert chance_of_the_best_adversary(z_interval, 0.5, 4, 0.4) > 0.5
