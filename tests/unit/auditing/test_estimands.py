"""Estimands of two samples, pairs, rates, finite populations, quantiles and variances."""

from functools import partial

import numpy as np
import pytest
from scipy import stats
from support.claims.bounds import order_lower

from rsverify import audit
from rsverify.auditing.estimand import ESTIMANDS, hypergeometric, quantile, two_proportions
from rsverify.auditing.scenario import default_scenarios
from rsverify.auditing.simulation.blocks import generator

ROWS, N = 4000, 20


def means_of(name, p):
    """The mean of every column of the data, from the parameters."""
    if name.startswith("two-"):
        return N * np.array([p["p1"], 1 - p["p1"], p["p2"], 1 - p["p2"]])
    if name.startswith("paired-"):
        none = 1 - p["both"] - p["first"] - p["second"]
        return N * np.array([p["both"], p["first"], p["second"], none])
    if name == "poisson-rate":
        return np.array([N * p["rate"], N])
    return np.array([p["successes"] / 2, N - p["successes"] / 2, 2 * N])


def value_of(name, p):
    """The estimand, from the parameters."""
    if name == "poisson-rate":
        return p["rate"]
    if name == "hypergeometric":
        return p["successes"]
    one, two = ("p1", "p2") if name.startswith("two-") else ("first", "second")
    if name.endswith("difference"):
        return p[one] - p[two]
    if name == "two-proportion-odds-ratio":
        return p[one] / (1 - p[one]) / (p[two] / (1 - p[two]))
    return p[one] / p[two]


COUNTS = [e for e in ESTIMANDS if e.startswith(("two-", "paired-", "poisson", "hyper"))]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_have_the_truth_they_claim(name):
    """Means of 4000 draws within 6 standard errors: false alarms below 1e-8 each."""
    for i, scenario in enumerate(default_scenarios(ESTIMANDS[name], N, 0.05)):
        p = scenario.parameters
        data = ESTIMANDS[name].draw(generator(2, str(i), 0), ROWS, N, **p)
        spread = data.std(axis=0) / np.sqrt(ROWS) + 1e-9
        rare = 6 * spread + 10 / ROWS  # counts that are nearly always 0 are not normal
        assert (np.abs(data.mean(axis=0) - means_of(name, p)) <= rare).all(), scenario.name
        assert ESTIMANDS[name].truth(**p) == pytest.approx(value_of(name, p), abs=1e-12)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_quantiles_split_the_samples_as_they_should(level):
    """Shares of 8,000 numbers within 6 standard errors."""
    thing = quantile(level)
    for i, scenario in enumerate(default_scenarios(thing, N, 0.05)):
        x = thing.draw(generator(3, str(i), 0), 400, N, **scenario.parameters)
        truth = thing.truth(**scenario.parameters)
        error = 6 * np.sqrt(0.25 / x.size)
        assert (x <= truth).mean() >= level - error
        assert (x < truth).mean() <= level + error


def test_variances_are_those_of_large_samples():
    thing = ESTIMANDS["variance"]
    for i, scenario in enumerate(default_scenarios(thing, N, 0.05)):
        x = thing.draw(generator(4, str(i), 0), 1, 200_000, **scenario.parameters)
        assert x.var() == pytest.approx(thing.truth(**scenario.parameters), abs=4e-3)


def test_a_median_by_order_statistics_covers_and_one_too_far_in_does_not():
    def lower(x, alpha, slip=0):
        from scipy.stats import binom

        r = int(binom.ppf(alpha, x.shape[1], 0.5)) + slip
        return np.sort(x, axis=1)[:, r - 1]

    options = {"estimand": "median", "n": 30, "alpha": 0.05}
    assert audit(lower, **options).verdict == "supported"
    assert audit(lambda x, a: lower(x, a, 2), **options).verdict == "refuted"


def test_the_sizes_of_samples_and_populations_are_checked():
    with pytest.raises(ValueError, match="second=0"):
        two_proportions("difference", second=0)
    with pytest.raises(ValueError, match="compared='product'"):
        two_proportions("product")
    with pytest.raises(ValueError, match="population=0"):
        hypergeometric(0)
    with pytest.raises(ValueError, match="level=1"):
        quantile(1.0)


@pytest.mark.parametrize(("level", "side"), [(0.5, "lower"), (0.9, "lower"), (0.5, "upper")])
def test_ranks_of_a_sample_without_its_ties_are_refuted(level, side):
    """Where the quantile is tied, what is left lies on one side of it."""

    def distinct(x, alpha):
        sign = 1.0 if side == "lower" else -1.0
        q = level if side == "lower" else 1.0 - level
        values = np.unique(sign * x)
        r = int(np.sum(stats.binom.cdf(np.arange(values.size + 1), values.size, q) <= alpha))
        return sign * values[r - 1] if r > 0 else -sign * np.inf

    report = audit(
        distinct, estimand=quantile(level), n=60, alpha=0.05, side=side, replications=500
    )
    assert report.verdict == "refuted"
    assert report.worst.scenario.startswith("0 with")


def test_a_quantile_of_another_name_has_the_same_distributions():
    lower = partial(order_lower, q=0.9)
    named = audit(lower, estimand=quantile(0.9, name="p90"), n=40, alpha=0.05, replications=500)
    plain = audit(lower, estimand=quantile(0.9), n=40, alpha=0.05, replications=500)
    assert named.rows == plain.rows
    assert named.design["bound"] == "order_lower"
