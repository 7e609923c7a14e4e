"""Coverage of the bounds of score margins, by simulation.

Each case fails by chance with probability at most 1e-6: the lower confidence limit at that
level of the miscoverage must not exceed alpha. With 3,000 replications a miscoverage of 0.08
instead of 0.05 is found with probability 0.97.
"""

import numpy as np
import pytest
from scipy.stats import norm

from rsverify import clopper_pearson_lower
from rsverify.bounds.score_margin import METHODS, score_margin_lower

ALPHA, REPLICATIONS, N, N0 = 0.05, 3000, 60, 20


def dirichlet(*concentration):
    total = sum(concentration)
    return lambda rng, size: rng.dirichlet(concentration, size), np.array(concentration) / total


def vertices(*chances):
    def draw(rng, size):
        return np.eye(len(chances))[rng.choice(len(chances), size, p=chances)]

    return draw, np.array(chances)


def two_points(rare):
    """Nearly constant scores, and with a small chance all for the last class."""
    points = np.array([[0.55, 0.25, 0.2], [0.05, 0.0, 0.95]])
    chances = np.array([1 - rare, rare])
    return lambda rng, size: points[rng.choice(2, size, p=chances)], chances @ points


SCENARIOS = {
    "tied rivals": dirichlet(6, 2, 2, 2),
    "two classes": dirichlet(3, 1),
    "near the simplex's edge": dirichlet(0.9, 0.05, 0.05),
    "all or nothing": vertices(0.55, 0.25, 0.2),
    "rare rivals": vertices(0.96, 0.02, 0.02),
    "rare surprise": two_points(0.02),
}
CASES = [(e, m) for e in METHODS for m in METHODS[e]]


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("estimand", "method"), CASES)
def test_miscoverage_is_at_most_alpha(estimand, method, scenario):
    draw, mean = SCENARIOS[scenario]
    rival = mean[1:].max()
    margin = mean[0] - rival
    if estimand == "probit":
        margin = norm.ppf(mean[0]) - norm.ppf(rival)
    rng = np.random.default_rng(
        [2, CASES.index((estimand, method)), list(SCENARIOS).index(scenario)]
    )
    scores = draw(rng, (REPLICATIONS, N0 + N))

    bounds = score_margin_lower(
        scores[:, N0:],
        0,
        ALPHA,
        estimand=estimand,
        method=method,
        selection=scores[:, :N0],
        rivals=1,
    )

    missed = int(np.sum(bounds > margin))
    assert clopper_pearson_lower(missed, REPLICATIONS, 1e-6) <= ALPHA
    assert np.isfinite(bounds).any()
