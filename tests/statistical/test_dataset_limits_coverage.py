"""The guarantees of limits of whole tables: exact where the data are counts, else simulated.

The world of the simulation has a known truth: types of inputs with a known vote probability,
certified by Cohen's bound at a level so coarse that many certificates are wrong.
"""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from rsverify import Estimand, audit, clopper_pearson_lower
from rsverify.bounds.margin import cohen_margin_lower
from rsverify.bounds.proportion import clopper_pearson_interval
from rsverify.certificates.radius import certified_radius_r2
from rsverify.tables.limits import (
    mean_interval,
    mean_lower,
    robust_lower,
    wrong_certificates_upper,
)

ROUNDING = 1e-10


def both_sides(limits):
    """The limits inside (0, 1), from just below and just above: where coverage jumps."""
    inside = np.unique(limits[(limits > 0) & (limits < 1)])
    return np.concatenate([np.nextafter(inside, 0), np.nextafter(inside, 1)])


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("n", [1, 5, 40, 300])
def test_clopper_pearson_interval_covers(n, alpha):
    """Exact: the sum over all counts, at all proportions where coverage can be worst."""
    k = np.arange(n + 1)
    lower, upper = clopper_pearson_interval(k, n, alpha)
    p = np.concatenate([both_sides(lower), both_sides(upper)])[:, None]
    weights = binom.pmf(k, n, p)

    assert np.sum(weights * (lower > p), axis=1).max() <= alpha / 2 + ROUNDING
    assert np.sum(weights * (upper < p), axis=1).max() <= alpha / 2 + ROUNDING


@pytest.mark.parametrize("alpha", [0.2, 0.05])
@pytest.mark.parametrize("failing", [0.3, 0.05, 0.001])
@pytest.mark.parametrize("n", [5, 40, 300])
def test_limit_of_the_robust_accuracy_covers_in_the_worst_case(n, failing, alpha):
    """Exact: every robust input is certified, and each other one with the chance `failing`.

    Without the step from certified to robust the miss is far above alpha: shown as well.
    """
    k = np.arange(n + 1)
    certified = np.asarray(clopper_pearson_lower(k, n, alpha))
    limit = np.asarray(robust_lower(certified, failing))
    share = np.append(both_sides(limit), 0.0)[:, None]
    weights = binom.pmf(k, n, share + (1 - share) * failing)

    assert np.sum(weights * (limit > share), axis=1).max() <= alpha + ROUNDING
    if failing * n >= 5:
        assert np.sum(weights * (certified > share), axis=1).max() > 2 * alpha


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("n", [20, 500])
def test_number_of_wrong_certificates_holds_for_unequal_levels(n, alpha):
    """Exact: the law of the number of failures, where rows fail with different chances."""
    levels = np.random.default_rng(0).uniform(0, 0.02, n)
    law = np.ones(1)
    for level in levels:
        law = np.convolve(law, [1 - level, level])
    found = wrong_certificates_upper(n, levels.max(), alpha)

    assert law[found + 1 :].sum() <= alpha


SIGMA, VOTES, FAILING = 0.5, 20, 0.3
LARGEST = float(
    certified_radius_r2(cohen_margin_lower(VOTES, VOTES, FAILING, estimand="probit"), SIGMA)
)
RADII = certified_radius_r2(
    cohen_margin_lower(np.arange(VOTES + 1), VOTES, FAILING, estimand="probit"), SIGMA
)


def draw_radii(rng, replications, n, p):
    """Certified radii of inputs whose vote probability for the label is one of `p`."""
    chances = rng.choice(p, size=(replications, n))
    return RADII[rng.binomial(VOTES, chances)]


def robust_radius(p):
    radius = SIGMA * np.maximum(ndtri(np.asarray(p)), 0.0)
    return float(np.minimum(radius, LARGEST).mean())


def certified_radius(p):
    return float((binom.pmf(np.arange(VOTES + 1), VOTES, np.array(p)[:, None]) @ RADII).mean())


WORLDS = {
    "mixed": {"p": (0.3, 0.6, 0.9, 0.97)},
    "all at the edge": {"p": (0.5,)},
    "all sure": {"p": (0.999,)},
}


def rowwise(limit):
    return lambda x, alpha: np.array([limit(row, alpha) for row in x])


def lower(x, alpha):
    return mean_lower(x, alpha, low=0.0, high=LARGEST)


def robust(x, alpha):
    return float(robust_lower(lower(x, alpha) / LARGEST, FAILING)) * LARGEST


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("limit", "truth"),
    [(lower, certified_radius), (robust, robust_radius)],
    ids=["certified", "robust"],
)
def test_limits_of_the_average_radius_cover(limit, truth):
    """A limit that covers is refuted, and one that misses above 1.2 alpha supported, each with
    probability at most 1e-3."""
    report = audit(
        rowwise(limit),
        estimand=Estimand(draw=draw_radii, truth=truth, scenarios=WORLDS),
        n=40,
        alpha=0.2,
    )
    assert report.verdict == "supported", str(report)


@pytest.mark.statistical
def test_certified_limit_is_no_limit_of_the_robust_radius():
    """So the step to the robust radius is needed. In this world every replication misses, and
    a limit that covers would be refuted with probability at most 1e-3."""
    report = audit(
        rowwise(lower),
        estimand=Estimand(
            draw=draw_radii, truth=robust_radius, scenarios={"edge": WORLDS["all at the edge"]}
        ),
        n=40,
        alpha=0.2,
    )
    assert report.verdict == "refuted"


@pytest.mark.statistical
def test_paired_interval_covers():
    """1,000 pairs of tables, of one vote sample at two levels; alpha = 0.1.

    With coverage 0.9 or more, more than 145 misses have probability below 1e-5.
    """
    rng = np.random.default_rng(5)
    other = certified_radius_r2(
        cohen_margin_lower(np.arange(VOTES + 1), VOTES, 0.01, estimand="probit"), SIGMA
    )
    p = np.array(WORLDS["mixed"]["p"])
    law = binom.pmf(np.arange(VOTES + 1), VOTES, p[:, None]).mean(axis=0)
    truth = float(law @ (RADII - other))
    votes = rng.binomial(VOTES, rng.choice(p, size=(1000, 50)))
    most = float(other.max())
    misses = 0
    for row in RADII[votes] - other[votes]:
        low, high = mean_interval(row, 0.1, low=-most, high=LARGEST)
        misses += not low <= truth <= high

    assert binom.sf(145, 1000, 0.1) < 1e-5
    assert misses <= 145
