"""The capital is fair and the bets are blind to the future: what coverage runs do not see.

Expectations are exact sums over all paths of two- and three-point distributions, at large
and small log(1/alpha), with the kernels' own bets. Fairness: E[K] = 1 for every betting
strategy, at most 1 for the Bernstein and Hoeffding processes.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.bounds import confidence_sequences as anytime
from rsverify.bounds.betting import DEFAULT_CAP, STRATEGIES, betting_lower
from rsverify.bounds.mean import plugin_bernstein_lower, plugin_hoeffding_lower
from rsverify.kernels.mean import betting, betting_path
from rsverify.kernels.mean import closed_form as mean

# Values and probabilities; the mean is what the capital is bet against.
DISTRIBUTIONS = [
    ((0.0, 1.0), (0.5, 0.5), 12),
    ((0.0, 1.0), (0.1, 0.9), 12),
    ((0.0, 1.0), (0.99, 0.01), 12),
    ((0.45, 0.55), (0.3, 0.7), 12),
    ((0.0, 0.2), (0.2, 0.8), 12),
    ((0.1, 1.0), (0.95, 0.05), 12),
    ((0.0, 0.5, 1.0), (0.25, 0.5, 0.25), 8),
    ((0.0, 0.9, 1.0), (0.02, 0.9, 0.08), 8),
]
ALPHAS = [0.5, 0.05, 1e-9]


def all_paths(values, probabilities, n):
    """Return every sample of size n and its probability."""
    index = np.array(list(itertools.product(range(len(values)), repeat=n)))
    return np.array(values)[index], np.array(probabilities)[index].prod(axis=1)


def bets_of(strategy, x, m, alpha, horizon):
    """Return the bets that the kernel makes at the candidate mean m, capped."""
    log_term, cap = mean.log_inverse(alpha), DEFAULT_CAP[strategy]
    bets = np.empty(x.size)
    if strategy == "star":
        moments = np.empty(2 * betting.count_blocks(x.size))
        betting.block_moments(x, log_term, moments)
        betting.star_wealth(x, m, log_term, cap, moments, bets)
        return bets
    betting.simple_bets(x, STRATEGIES[strategy], log_term, cap, horizon, bets)
    return np.minimum(bets, cap / m)


def shares_of(strategy, x, alpha):
    shares = np.empty(x.size)
    betting_path.predictable_shares(x, STRATEGIES[strategy], alpha, 0.5, shares)
    return shares


def final_log_capital(strategy, x, m, alpha):
    """Return the last log-capital as the kernel itself accumulates it."""
    log_term, cap = mean.log_inverse(alpha), DEFAULT_CAP[strategy]
    if strategy == "star":
        moments = np.empty(2 * betting.count_blocks(x.size))
        betting.block_moments(x, log_term, moments)
        return betting.star_wealth(x, m, log_term, cap, moments, np.empty(0))[1]
    bets = np.empty(x.size)
    betting.simple_bets(x, STRATEGIES[strategy], log_term, cap, x.size, bets)
    return betting.simple_wealth(x, m, 1e300, cap, bets)[1]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("values", "probabilities", "n"), DISTRIBUTIONS)
def test_betting_capital_is_fair(values, probabilities, n, strategy, alpha):
    paths, weights = all_paths(values, probabilities, n)
    m = float(np.dot(values, probabilities))
    from_bets = [np.prod(1 + bets_of(strategy, x, m, alpha, n) * (x - m)) for x in paths]
    assert abs(np.dot(weights, from_bets) - 1) < 1e-12
    kept = [np.exp(final_log_capital(strategy, x, m, alpha)) for x in paths]
    assert abs(np.dot(weights, kept) - 1) < 1e-12


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("strategy", ["plugin", "agrapa", "portfolio", "kt"])
@pytest.mark.parametrize(("values", "probabilities", "n"), DISTRIBUTIONS[::3])
def test_capital_of_sequences_is_fair(values, probabilities, n, strategy, alpha):
    paths, weights = all_paths(values, probabilities, n)
    m = float(np.dot(values, probabilities))
    if strategy in anytime.MIXTURES:
        shares, mass = anytime.MIXTURES[strategy]
        assert mass.sum() == pytest.approx(1, abs=1e-15)
        factors = 1 - shares + shares * paths[:, :, None] / m
        capital = factors.prod(axis=1) @ mass
    else:
        shares = np.array([shares_of(strategy, x, alpha) for x in paths])
        capital = (1 - shares + shares * paths / m).prod(axis=1)
    assert abs(weights @ capital - 1) < 1e-12


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("horizon", ["n", "all"])
@pytest.mark.parametrize(("values", "probabilities", "n"), DISTRIBUTIONS)
def test_plugin_bernstein_capital_is_at_most_fair(values, probabilities, n, horizon, alpha):
    paths, weights = all_paths(values, probabilities, n)
    m = float(np.dot(values, probabilities))
    bets = np.empty(paths.shape)
    for x, out in zip(paths, bets, strict=True):
        mean.plugin_lambdas(x, mean.log_inverse(alpha), n if horizon == "n" else 0, out)
    bets = np.minimum(bets, 0.5)
    sums = np.cumsum(paths, axis=1) - paths
    centers = (0.5 + sums) / np.arange(1, n + 1)
    price = (paths - centers) ** 2 * (-np.log1p(-bets) - bets)
    capital = np.exp((bets * (paths - m) - price).sum(axis=1))
    assert weights @ capital <= 1 + 1e-12


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("values", "probabilities", "n"), DISTRIBUTIONS)
def test_plugin_hoeffding_capital_is_at_most_fair(values, probabilities, n, alpha):
    """Its bets do not depend on the sample, so the expectation is a product."""
    paths, weights = all_paths(values, probabilities, n)
    m, t = float(np.dot(values, probabilities)), np.arange(1, n + 1)
    log_term = mean.log_inverse(alpha)
    aimed = np.full(n, np.sqrt(8 * log_term / n))
    for bets in (aimed, np.minimum(np.sqrt(8 * log_term / (t * np.log(t + 1))), 1)):
        capital = np.exp(((paths - m) * bets - bets**2 / 8).sum(axis=1))
        assert weights @ capital <= 1 + 1e-12
        # The same bets give the kernel's own bound on the path of ones.
        horizon = n if bets is aimed else 0
        best = (np.cumsum(bets - bets**2 / 8) - log_term) / np.cumsum(bets)
        bound = mean.plugin_hoeffding(np.ones(n), alpha, horizon, np.empty(0))
        assert bound == pytest.approx(max(0, best.max()), abs=1e-11)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("values", "probabilities", "n"), DISTRIBUTIONS)
def test_miscoverage_is_at_most_alpha_over_all_paths(values, probabilities, n, alpha):
    """Exact: the probability of the paths whose bound is above the mean, at n - 3."""
    paths, weights = all_paths(values, probabilities, n - 3)
    m = float(np.dot(values, probabilities))
    bounds = [betting_lower(paths, alpha, strategy=strategy) for strategy in STRATEGIES]
    bounds += [plugin_bernstein_lower(paths, alpha), plugin_hoeffding_lower(paths, alpha)]
    # Sequences never fall: their last value is above the mean if any was.
    bounds += [
        anytime.betting_sequence(paths, alpha, strategy=strategy)[:, -1]
        for strategy in ("portfolio", "kt", "plugin", "agrapa")
    ]
    bounds += [anytime.plugin_bernstein_sequence(paths, alpha)[:, -1]]
    if set(values) == {0.0, 1.0}:
        bounds += [anytime.clopper_pearson_sequence(paths, alpha)[:, -1]]
    for bound in bounds:
        assert weights[bound > m].sum() <= alpha + 1e-12
    if set(values) == {0.0, 1.0}:
        lower, upper = anytime.kt_mixture_sequence(paths, alpha)
        missed = (lower[:, -1] > m) | (upper[:, -1] < m)
        assert weights[missed].sum() <= alpha + 1e-12


def test_randomized_last_step_spends_at_most_alpha():
    """Exact over the paths; over u by the capital at which it would reject."""
    paths, weights = all_paths((0.0, 1.0), (0.3, 0.7), 10)
    grid = (np.arange(200) + 0.5) / 200
    missed = [betting_lower(paths, 0.05, u=u) > 0.7 for u in grid]
    # A grid of 200 midpoints is off by at most half a step of the rejected share.
    assert np.mean(missed, axis=0) @ weights <= 0.05 + 0.0025
    assert np.mean(missed, axis=0) @ weights > weights[betting_lower(paths, 0.05) > 0.7].sum()


def test_fairness_refuses_a_bet_that_sees_its_own_observation():
    """The check has teeth: a plug-in bet moved one step ahead is found unfair."""
    paths, weights = all_paths((0.0, 1.0), (0.1, 0.9), 12)
    bets = np.array([bets_of("plugin", x, 0.9, 0.9, 12) for x in paths])
    peeking = np.c_[bets[:, 1:], bets[:, -1:]]
    assert abs(weights @ np.prod(1 + peeking * (paths - 0.9), axis=1) - 1) > 1e-3


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    seed=st.integers(0, 10**6),
    n=st.integers(1, 300),
    m=st.floats(0.01, 0.99),
    alpha=st.sampled_from(ALPHAS),
)
def test_bets_do_not_see_what_they_are_bet_on(data, seed, n, m, alpha):
    """Changing x_t and later leaves the bets 1 to t bit-identical, in blocks too."""
    rng = np.random.default_rng(seed)
    t = data.draw(st.integers(0, n - 1), label="first changed")
    x = rng.choice([rng.random(n), np.round(rng.random(n))])
    other = x.copy()
    other[t:] = data.draw(st.sampled_from([0.0, 1.0, 0.5])) if seed % 2 else rng.random(n - t)
    for strategy in STRATEGIES:
        first, second = (bets_of(strategy, y, m, alpha, n) for y in (x, other))
        # STAR stops betting when it is through 1/alpha, with the block in which it is.
        np.testing.assert_array_equal(first[: t + 1], second[: t + 1])
    for strategy in ("plugin", "agrapa"):
        first, second = (shares_of(strategy, y, alpha) for y in (x, other))
        np.testing.assert_array_equal(first[: t + 1], second[: t + 1])
    for horizon in (0, n):
        first, second = np.empty(n), np.empty(n)
        mean.plugin_lambdas(x, mean.log_inverse(alpha), horizon, first)
        mean.plugin_lambdas(other, mean.log_inverse(alpha), horizon, second)
        np.testing.assert_array_equal(first[: t + 1], second[: t + 1])


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 400),
    alpha=st.floats(1e-6, 0.9),
    kind=st.sampled_from(["uniform", "binary", "concentrated", "rising", "falling"]),
)
def test_capital_falls_with_the_candidate_mean(seed, n, alpha, kind):
    """What makes a search a proof: no rejected mean lies above one that is kept.

    And the search ends on the last multiple of its width that is rejected.
    """
    rng = np.random.default_rng(seed)
    x = {
        "uniform": rng.random(n),
        "binary": (rng.random(n) < rng.random()).astype(float),
        "concentrated": rng.beta(300, 100, n),
        "rising": np.sort(rng.random(n)),
        "falling": np.sort(rng.random(n))[::-1].copy(),
    }[kind]
    log_term = mean.log_inverse(alpha)
    grid = np.sort(rng.random(60))
    for strategy, code in STRATEGIES.items():
        cap = DEFAULT_CAP[strategy]
        if strategy == "star":
            state = np.empty(2 * betting.count_blocks(n))
            betting.block_moments(x, log_term, state)
        else:
            state = np.empty(n)
            betting.simple_bets(x, code, log_term, cap, n, state)
        flags = [betting.excess(x, m, code, log_term, 0.0, cap, state) >= 0 for m in grid]
        assert flags == sorted(flags, reverse=True)

        end = betting.rejected_end(x, code, log_term, 0.0, cap, state)
        beyond = end + betting.WIDTH
        assert end % betting.WIDTH == 0.0
        assert end == 0.0 or betting.excess(x, end, code, log_term, 0.0, cap, state) >= 0.0
        assert beyond >= 1.0 or betting.excess(x, beyond, code, log_term, 0.0, cap, state) < 0.0
