"""Errors of early decisions over long paths, by simulation on the boundary of a claim.

Each case fails by chance with probability at most 1e-6: the lower confidence limit at that
level of the error must not exceed alpha. With 2,000 paths an error of 0.085 instead of 0.05 is
found with probability 0.95.
"""

import numpy as np
import pytest
from scipy.stats import laplace, norm

from rsverify import clopper_pearson_lower
from rsverify.bounds.margin_decision import decide_margin

ALPHA, PATHS, N = 0.05, 2000, 4000
LOOKS = np.unique(np.append(np.arange(1, 40), np.geomspace(40, N, 160).astype(int)))
CHANCES = [
    (0.5, 0.25, 0.25),
    (0.5, 0.2, 0.2, 0.05, 0.05),
    (0.9, 0.1),
    (0.35, 0.3, 0.35),
    (0.97, 0.02, 0.01),
]


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
@pytest.mark.parametrize("q", CHANCES)
def test_wrong_decisions_are_rarer_than_alpha(estimand, q):
    rival = max(q[1:])
    margin = q[0] - rival
    if estimand != "difference":
        law = {"probit": norm, "laplace": laplace}[estimand]
        margin = law.ppf(q[0]) - law.ppf(rival)
    rng = np.random.default_rng([3, CHANCES.index(q)])
    steps = np.diff(LOOKS, prepend=0)
    paths = rng.multinomial(steps, q, size=(PATHS, steps.size)).cumsum(axis=1)

    # The margin is the threshold itself, but for rounding: either claim is (next to) wrong.
    verdict = decide_margin(paths, 0, margin, ALPHA, estimand=estimand).verdict

    for claim in (1, -1):
        wrong = int(np.sum(verdict == claim))
        assert clopper_pearson_lower(wrong, PATHS, 1e-6) <= ALPHA
