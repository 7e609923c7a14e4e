"""The mean kernels against naive definitions, and their bets against the past alone."""

import math
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from rsverify.bounds.betting import DEFAULT_CAP, STRATEGIES, betting_lower
from rsverify.kernels.mean import betting, betting_path
from rsverify.kernels.mean import closed_form as mean
from rsverify.kernels.mean.history import CELLS, MOMENTS
from rsverify.reference import mean as twin

RNG = np.random.default_rng(20)
SAMPLES = {
    "random": RNG.random(40),
    "concentrated": RNG.beta(200, 100, 40),
    "constant": np.full(30, 0.7),
    "ones": np.ones(20),
    "binary": (RNG.random(40) < 0.8).astype(float),
    "rising": np.sort(RNG.random(40)),
    "falling": np.sort(RNG.random(40))[::-1].copy(),
    "late zeros": np.r_[np.ones(30), np.zeros(10)],
    "one": np.array([0.6]),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", SAMPLES)
def test_naive_capital_on_a_grid_encloses_the_limit(name, strategy):
    """The capital of the definition at 50 digits, on 60 means: no gap and no hole."""
    x, alpha, cap = SAMPLES[name], 0.05, DEFAULT_CAP[strategy]
    limit = float(betting_lower(x, alpha, strategy=strategy))
    grid = np.r_[np.linspace(0.004, 0.996, 56), limit - 1e-9, limit + 1e-9]
    grid = np.sort(grid[(grid > 0) & (grid < 1)])
    capitals = twin.betting_capitals(x, grid, alpha, strategy, cap, x.size)
    through = np.array([max(path) >= 1 / mpf(alpha) for path in capitals])
    np.testing.assert_array_equal(through, grid < limit)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_log_capital_is_the_naive_one(strategy):
    x, m, log_term, cap = SAMPLES["random"], 0.41, mean.log_inverse(1e-9), DEFAULT_CAP[strategy]
    if strategy == "star":
        moments = np.empty(2 * betting.count_blocks(x.size))
        betting.block_moments(x, log_term, moments)
        peak, last = betting.star_wealth(x, m, log_term, cap, moments, np.empty(0))
    else:
        bets = np.empty(x.size)
        betting.simple_bets(x, STRATEGIES[strategy], log_term, cap, x.size, bets)
        peak, last = betting.simple_wealth(x, m, log_term, cap, bets)
    (naive,) = twin.betting_capitals(x, [m], 1e-9, strategy, cap, x.size)
    assert max(naive) < 1e9  # neither has stopped, so that last values can be compared
    assert last == pytest.approx(float(mp.log(naive[-1])), abs=1e-12)
    assert peak == pytest.approx(float(mp.log(max(naive))), abs=1e-12)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("strategy", ["star", "plugin"])
def test_log_slack_covers_a_million_steps_through_deep_losses(strategy, order):
    """Half a million factors of 0.01 and as many of 99, log-capitals down to -2,300,000."""
    x = np.r_[np.zeros(500_000), np.ones(501_000)][::order].copy()
    m, cap, log_term, bets = 0.01, 0.99, 1e300, np.empty(x.size)
    if strategy == "star":
        moments = np.empty(2 * betting.count_blocks(x.size))
        betting.block_moments(x, 7.0, moments)
        _, last = betting.star_wealth(x, m, log_term, cap, moments, bets)
    else:
        bets[:] = betting.capped(1e12, m, cap)
        _, last = betting.simple_wealth(x, m, log_term, cap, np.full(x.size, 1e12))
    steps, counts = np.unique(np.column_stack([bets, x]), axis=0, return_counts=True)
    with mp.workdps(40):
        exact = mp.fsum(
            int(k) * mp.log(1 + mpf(float(b)) * (mpf(float(v)) - mpf(m)))
            for (b, v), k in zip(steps, counts, strict=True)
        )
    assert last < 1e6  # the capital has not run off
    assert abs(last - exact) < betting.log_slack(x.size, cap, 0.0) / 10


@pytest.mark.parametrize("larger", ["total", "addend", "neither"])
def test_the_rounding_error_of_a_sum_is_returned_exactly(larger):
    """In rational arithmetic, to one unit in its own last place: nothing else is lost."""
    rng = np.random.default_rng(3)
    signs = rng.choice([-1.0, 1.0], (2, 500))
    total, x = signs * rng.uniform(0.5, 1.0, (2, 500)) * 2.0 ** rng.integers(-40, 40, (2, 500))
    if larger != "neither":
        scale = 2.0 ** rng.integers(41, 120, 500)
        total, x = (x * scale, x) if larger == "total" else (total, total * scale)
    inexact = 0
    for a, b in zip(x.tolist(), total.tolist(), strict=True):
        for carry in (0.0, 3e-17 * a, -(2.0**-60) * b):
            new, error = mean.add_compensated(a, b, carry)
            exact = Fraction(new) - (Fraction(b) + Fraction(a) - Fraction(carry))
            assert abs(Fraction(error) - exact) <= abs(exact) / 2**53
            assert abs(exact) <= Fraction(max(abs(new), abs(a))) / 2**51
            inexact += exact != 0
    assert inexact > 500


def test_a_small_total_survives_a_large_addend_that_is_taken_away_again():
    """With Kahan's form the 2**-60 were lost: 1 is added to it and subtracted."""
    total, carry = mean.add_compensated(1.0, 2.0**-60, 0.0)
    total, carry = mean.add_compensated(-1.0, total, carry)
    assert total - carry == 2.0**-60


@pytest.mark.parametrize("n", [1, 2, 33, 64, 100, 1000, 4097, 100_000])
def test_blocks_partition_the_sample_and_shrink_at_both_ends(n):
    t, lengths = 0, []
    while t < n:
        end = betting.block_end(t, n)
        assert t < end <= n
        assert end - t <= min(betting.BLOCK, t // 64 + 1, (n - t) // 64 + 1)
        lengths.append(end - t)
        t = end
    assert len(lengths) == betting.count_blocks(n)


def test_block_moments_are_those_of_the_past():
    x = RNG.random(500)
    out = np.empty(2 * betting.count_blocks(x.size))
    betting.block_moments(x, 3.0, out)
    t = 0
    for j in range(out.size // 2):
        assert out[2 * j] == pytest.approx(t * np.var(x[:t]) if t else 0.0, rel=1e-12, abs=1e-15)
        t = betting.block_end(t, x.size)


@pytest.mark.parametrize("tiny", [1e-300, 1e-160, 1e-80, 1e-20])
@pytest.mark.parametrize("alpha", [0.75, 0.05])
def test_a_value_next_to_zero_is_worth_no_more_than_zero(tiny, alpha):
    """One deviation of any size would make V**2/Q equal 1, were it not for TINY."""
    for place in (0, 3, 9):
        x = np.zeros(10)
        x[place] = tiny
        for u in (1.0, 0.3):
            here = twin.betting_lower(x, alpha, u=u)
            assert abs(here - twin.betting_lower(np.zeros(10), alpha, u=u)) < 1e-12
            assert 0 <= float(here - float(betting_lower(x, alpha, u=u))) < 1e-9


@pytest.mark.parametrize("horizon", [0, 40])
def test_plugin_bets_are_the_definition(horizon):
    x = SAMPLES["random"]
    out = np.empty(x.size)
    mean.plugin_lambdas(x, mean.log_inverse(0.05), horizon, out)
    for t in range(x.size):
        centers = [(0.5 + x[: i + 1].sum()) / (i + 2) for i in range(t)]
        variance = (0.25 + sum((x[i] - centers[i]) ** 2 for i in range(t))) / (t + 1)
        steps = horizon or (t + 1) * np.log(t + 2)
        expected = np.sqrt(2 * np.log(20) / (variance * steps))
        assert out[t] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("n", [betting_path.SHORT, 300])
def test_path_evaluates_the_mixture_it_says(n):
    """The expansion's log-capital is below a direct product, but for 24 units an observation."""
    x, shares, weights = RNG.random(n), np.array([0.9, 0.3, 0.05]), np.array([0.2, 0.3, 0.5])
    state, cells, q = np.zeros((betting_path.ROWS, 3)), np.zeros((CELLS, MOMENTS)), 2.3
    betting_path.recenter(x, x.size, 0, q, shares[None, :], state, cells, np.zeros(2))
    for share_of_reach in (0.0, 0.3, 1.0):
        step = share_of_reach * betting_path.REACH * q
        value, slope = betting_path.log_mixture(step, x.size, weights, state)

        def direct(q):
            with mp.workdps(40):
                terms = [
                    mpf(w) * mp.fprod(1 - mpf(s) + mpf(s) * mpf(v) * mpf(q) for v in x)
                    for s, w in zip(shares, weights, strict=True)
                ]
                return mp.log(mp.fsum(terms))

        assert -24 * n * mean.UNIT <= float(direct(q - step) - mpf(value)) < 1e-8
        numeric = float(direct(q - step - 1e-6) - direct(q - step + 1e-6)) / 2e-6
        assert slope == pytest.approx(numeric, rel=1e-5)


def test_kernels_run_from_compiled_code():
    from rsverify._core.jit import njit

    compiled = betting.betting_lower

    @njit
    def both(x):
        return mean.hoeffding(x, 0.05) + compiled(x, 0.05, 0, 0.0, 0.5, x.size)

    x = SAMPLES["random"]
    expected = mean.hoeffding(x, 0.05) + betting.betting_lower(x, 0.05, 0, 0.0, 0.5, x.size)
    assert both(x) == expected


def test_a_large_gain_after_large_losses_is_no_more_than_it_is() -> None:
    """The product of the last 64 factors is beyond the range of floats, the capital is not."""
    m, x = 1e-9, np.concatenate([np.zeros(20_000), np.ones(64)])
    peak, last = betting.simple_wealth(x, m, 3.0, 0.5, np.full(x.size, 1e12))
    assert peak == 0.0
    assert last == pytest.approx(20_000 * math.log(0.5) + 64 * math.log(1 + 0.5 / m * (1 - m)))
