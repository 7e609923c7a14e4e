"""Speed of the bounds for one mean at n = 1e5 on one core, beside others in the same run.

Run with ``pytest -n 0 tests/benchmarks/test_mean.py --benchmark-only --benchmark-timer
time.process_time``: processor time, which other programs on the machine disturb least. `ville`
is optional. What is promised is asserted of the fastest round.
"""

import math

import numpy as np
import pytest

from rsverify.bounds import betting, mean
from rsverify.bounds import confidence_sequences as anytime

N, ALPHA = 100_000, 0.05


RNG = np.random.default_rng(0)
SAMPLES = {
    "uniform": RNG.random(N),
    "bernoulli": (RNG.random(N) < 0.99).astype(float),
    "beta": RNG.beta(1000, 1000, N),
}
# The limit goes through all scales late, when the history is long.
JUMPING = {
    "rising": np.sort(RNG.random(N)),
    "zeros, then ones": np.r_[np.zeros(N // 2), np.ones(N // 2)],
    "ten decades": np.geomspace(1e-10, 1.0, N),
}


@pytest.fixture(params=SAMPLES)
def x(request):
    return SAMPLES[request.param]


def fastest(benchmark):
    return benchmark.stats.stats.min


def numpy_plugin_bernstein(x):
    """The same bound over whole arrays."""
    t = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    spread = 0.25 + np.cumsum((x - means) ** 2)
    before = np.r_[0.5, means[:-1]]
    bets = np.sqrt(2 * math.log(1 / ALPHA) * t / (x.size * np.r_[0.25, spread[:-1]]))
    bets = np.minimum(bets, 0.5)
    price = (x - before) ** 2 * (-np.log1p(-bets) - bets)
    limits = (np.cumsum(bets * x) - math.log(1 / ALPHA) - np.cumsum(price)) / np.cumsum(bets)
    return max(0.0, float(np.max(limits)))


def numpy_betting(x):
    """Plain betting with the plug-in bets, 36 bisections over whole arrays."""
    t = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    spread = np.r_[0.25, 0.25 + np.cumsum((x - means) ** 2)[:-1]]
    bets = np.sqrt(2 * math.log(1 / ALPHA) * t / (x.size * spread))
    low, high = 0.0, 1.0
    for _ in range(36):
        m = (low + high) / 2
        capital = np.cumsum(np.log1p(np.minimum(bets, 0.5 / m) * (x - m)))
        low, high = (m, high) if np.max(capital) >= math.log(1 / ALPHA) else (low, m)
    return low


@pytest.mark.benchmark(group="plug-in Bernstein")
def test_plugin_bernstein(benchmark, x):
    bound = benchmark(mean.plugin_bernstein_lower, x, ALPHA)
    assert bound == pytest.approx(numpy_plugin_bernstein(x), abs=1e-9)
    assert benchmark.disabled or fastest(benchmark) < 0.002


@pytest.mark.benchmark(group="plug-in Bernstein")
def test_plugin_bernstein_by_numpy(benchmark, x):
    benchmark(numpy_plugin_bernstein, x)


@pytest.mark.benchmark(group="betting")
@pytest.mark.parametrize("strategy", betting.STRATEGIES)
def test_betting(benchmark, x, strategy):
    bound = benchmark(betting.betting_lower, x, ALPHA, strategy=strategy)
    assert benchmark.disabled or fastest(benchmark) < 0.03
    if strategy == "plugin":
        assert bound == pytest.approx(numpy_betting(x), abs=1e-9)


@pytest.mark.benchmark(group="betting")
def test_betting_by_numpy(benchmark, x):
    benchmark(numpy_betting, x)


@pytest.mark.benchmark(group="path")
@pytest.mark.parametrize("strategy", [*anytime.MIXTURES, *anytime.PREDICTABLE])
def test_betting_path(benchmark, x, strategy):
    path = benchmark(anytime.betting_sequence, x, ALPHA, strategy=strategy)
    assert 0 < path[-1] < x.mean()
    assert benchmark.disabled or fastest(benchmark) < 0.5


@pytest.mark.benchmark(group="path on jumping data")
@pytest.mark.parametrize("name", JUMPING)
def test_betting_path_on_jumping_data(benchmark, name):
    benchmark.pedantic(
        anytime.betting_sequence, (JUMPING[name], ALPHA), rounds=3, iterations=1, warmup_rounds=1
    )
    assert benchmark.disabled or fastest(benchmark) < 0.5


@pytest.mark.benchmark(group="path")
def test_plugin_bernstein_path(benchmark, x):
    benchmark(anytime.plugin_bernstein_sequence, x, ALPHA)


@pytest.mark.benchmark(group="path")
@pytest.mark.parametrize("name", ["BettingCS", "EmpiricalBernsteinCS"])
def test_path_by_ville(benchmark, x, name):
    ville = pytest.importorskip("ville")
    # Its alpha is two-sided.
    benchmark.pedantic(
        lambda: getattr(ville, name)(alpha=2 * ALPHA).update(x), rounds=3, iterations=1
    )
