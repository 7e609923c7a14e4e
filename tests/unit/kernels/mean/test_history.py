"""A history in cells against direct sums, and long paths of betting bounds that rest on it."""

import numpy as np
import pytest

from rsverify.bounds import confidence_sequences as anytime
from rsverify.kernels.mean import betting_path, history
from rsverify.kernels.mean import closed_form as mean

RNG = np.random.default_rng(4)
N = 2500
SAMPLES = {
    "uniform": RNG.random(N),
    "all scales": np.r_[10 ** RNG.uniform(-20, 0, N - 4), 0.0, 1.0, 1e-300, 1 - 2.0**-53],
    "rising": np.sort(RNG.random(N)),
    "rising through ten decades": np.geomspace(1e-10, 1.0, N),
    "late ones": np.r_[np.zeros(N // 2), np.ones(N - N // 2)],
    "rare ones": (RNG.random(N) < 0.003).astype(float),
    "falling": np.sort(RNG.beta(300, 100, N))[::-1].copy(),
}


def cells_of(y):
    cells = np.zeros((history.CELLS, history.MOMENTS))
    for value in y:
        history.put(value, cells)
    return cells


@pytest.mark.parametrize("q", [1.0, 2.3, 1e4, 1e10])
@pytest.mark.parametrize("name", SAMPLES)
def test_cells_give_the_sums_of_the_sample(name, q):
    x, ratios = SAMPLES[name], np.array([99.0, 1.0, 1e-3])
    logs, sums = np.zeros(3), np.zeros((history.POWERS, 3))
    history.add_history(q, ratios, cells_of(x), logs, sums)
    rises = ratios * x[:, None] * q
    np.testing.assert_allclose(logs, np.log1p(rises).sum(axis=0), rtol=1e-14 * 20)
    r = rises / (1 + rises) / q
    for p in range(history.POWERS):
        rtol = 1e-14 if p == 0 else 1e-11
        np.testing.assert_allclose(sums[p], (r ** (p + 1)).sum(axis=0), rtol=20 * rtol)


def test_every_observation_is_within_its_cell():
    edges = np.ldexp(np.arange(16.0, 32.0) / 32.0, 0)
    y = np.r_[edges, np.nextafter(edges, 0), 2.0**-77, 2.0**-78, 99.0, 0.0]
    cells = cells_of(y)
    assert cells[:, 0].sum() == y.size - 2  # 0 and 2**-78 count as 0
    assert (np.abs(cells[:, 1]) <= cells[:, 0] / 33 + 1e-15).all()


def log_capitals(strategy, x, alpha, m):
    """The log-capital of the definition after each observation."""
    if strategy in anytime.MIXTURES:
        shares, weights = anytime.MIXTURES[strategy]
    else:
        shares, weights = np.empty((x.size, 1)), np.ones(1)
        code = anytime.PREDICTABLE[strategy]
        betting_path.predictable_shares(x, code, alpha, 0.5, shares[:, 0])
    logs = np.cumsum(np.log1p(-shares + shares * x[:, None] / m), axis=0) + np.log(weights)
    return np.logaddexp.reduce(logs, axis=1)


@pytest.mark.parametrize("strategy", [*anytime.MIXTURES, *anytime.PREDICTABLE])
@pytest.mark.parametrize("name", SAMPLES)
def test_long_paths_end_where_the_definition_does(name, strategy):
    x, alpha = SAMPLES[name], 0.001
    path = anytime.betting_sequence(x, alpha, strategy=strategy)
    assert (np.diff(path) >= 0).all()
    goal = mean.log_inverse(alpha)
    for t in (600, 1249, 1400, N):
        bound = path[t - 1]
        above = log_capitals(strategy, x[:t], alpha, max(bound, betting_path.FLOOR) + 1e-9)
        assert above.max() < goal + 1e-11
        if bound > 0:
            assert log_capitals(strategy, x[:t], alpha, bound).max() >= goal - 1e-11
