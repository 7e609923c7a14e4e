"""Every bound of the package by name: found, called as it wants, and not refuted."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import laplace

from rsverify import exact_margin_lower
from rsverify.auditing.api import audit
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.registry import NOT_BY_NAME, audited, estimands_of
from rsverify.auditing.scenario import default_scenarios
from rsverify.auditing.simulation.blocks import generator
from rsverify.bounds.registry import BOUNDS
from rsverify.paper import FORMULAS

CHEAP = [name for name in FORMULAS if "taylor" not in name and "two_step" not in name]


def test_bounds_that_are_not_audited_by_name_say_why():
    with pytest.raises(ValueError, match="needs an ordering"):
        audit("buehler_lower", n=5, alpha=0.05)
    with pytest.raises(ValueError, match="formula of the paper"):
        audit("printed_margin_lower", estimand="difference", n=5, alpha=0.05)
    assert not set(BOUNDS) & set(NOT_BY_NAME)


@pytest.mark.parametrize("name", [*BOUNDS, *CHEAP])
def test_bounds_take_the_data_of_their_estimand(name):
    """Data of each law of the suite; finite or infinite limits, one a replication or a time."""
    entry = BOUNDS.get(name) or FORMULAS[name]
    for asked in estimands_of(entry):
        bound, full, side = audited(entry, asked)
        thing = ESTIMANDS[full]
        for i, law in enumerate(default_scenarios(thing, 6, 0.05)[::5]):
            data = thing.draw(generator(0, str(i), 0), 3, 6, **law.parameters)
            with np.errstate(all="ignore"):
                value = np.asarray(bound(data, 0.05))
            shape = value.shape[1:] if side == "two-sided" and value.ndim == 3 else value.shape
            assert 3 in shape
            assert np.isnan(value).sum() == 0 or name == "printed_plugin_bernstein_lower"


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_suites_are_laws_of_their_estimand(estimand):
    thing = ESTIMANDS[estimand]
    for n in (1, 2, 30):
        for scenario in default_scenarios(thing, n, 0.001):
            truth = thing.truth(**scenario.parameters)
            assert thing.space[0] <= truth <= thing.space[1]
            data = thing.draw(generator(1, "", 0), 4, n, **scenario.parameters)
            assert len(data) == 4
            assert (data >= 0).all() or estimand == "median"


# Whose truth is no mean of one observation: tests/unit/auditing/test_estimands.py.
NO_MEANS = {"variance", "median", "poisson-rate", "hypergeometric"}
OF_MEANS = [e for e in ESTIMANDS if e not in NO_MEANS and not e.startswith(("two-", "paired-"))]


def exact_means(parameters):
    """The mean of one observation, coordinate by coordinate, from the definition of its law."""
    if "p" in parameters:
        return np.atleast_1d(np.asarray(parameters["p"], dtype=float))
    kind, *numbers = parameters["law"]
    if kind == "beta":
        return np.array([numbers[0] / sum(numbers)])
    if kind == "dirichlet":
        return np.asarray(numbers[0]) / sum(numbers[0])
    values, probabilities = numbers
    return np.atleast_1d(sum(q * np.asarray(v) for q, v in zip(probabilities, values, strict=True)))


def observations(estimand, data, n):
    """One row an independent observation, one column a coordinate."""
    if estimand.startswith("score"):
        return data.reshape(-1, data.shape[2])
    if estimand.startswith("path"):
        return np.diff(data, axis=1, prepend=0).reshape(-1, data.shape[2])
    if estimand in ("proportion", "randomized-proportion"):
        return data[:, :1] / n
    if "mean" in estimand:
        return data[:, :n].reshape(-1, 1)
    return data / n  # votes


def margin_of(means, estimand):
    """The true value, from the means: the quantity that a bound of the estimand is held against."""
    if any(name in estimand for name in ("difference", "probit", "laplace")):
        rival = means[1] if estimand.endswith(":first") else max(means[1:])
        if "difference" in estimand:
            return means[0] - rival
        if "laplace" in estimand:
            return float(laplace.ppf(means[0]) - laplace.ppf(rival))
        return NormalDist().inv_cdf(means[0]) - NormalDist().inv_cdf(rival)
    return means[0]


def law_errors(estimand, draw, parameters, seed):
    """How far the mean of each coordinate is from the law's, in standard errors and at most."""
    data = draw(generator(2, str(seed), 0), 4000, 5, **parameters)
    rows = observations(estimand, data, 5)
    spread = rows.std(axis=0) / np.sqrt(len(rows)) + 1e-12
    off = np.abs(rows.mean(axis=0) - exact_means(parameters))
    return (off / spread).max(), 6 * spread.max()


@pytest.mark.parametrize("estimand", OF_MEANS)
def test_data_have_the_truth_they_claim(estimand):
    """Means of 4000 samples of 5 within 6 standard errors, false alarms below 1e-8 a coordinate.

    The truth is held against the exact means: a margin is not linear in them, and the largest of
    several estimates is no estimate of the largest.
    """
    thing, tolerances = ESTIMANDS[estimand], []
    for i, scenario in enumerate(default_scenarios(thing, 5, 0.05)):
        off, tolerance = law_errors(estimand, thing.draw, scenario.parameters, i)
        assert off < 6, scenario.name
        tolerances.append(tolerance)
        means = exact_means(scenario.parameters)
        if means.min() > 0 or not ("probit" in estimand or "laplace" in estimand):
            truth = thing.truth(**scenario.parameters)
            assert truth == pytest.approx(margin_of(means, estimand), abs=1e-12), scenario.name
    assert max(tolerances) < 0.03


@pytest.mark.parametrize("estimand", ["mean", "score-probit", "path-difference", "probit"])
def test_data_of_another_law_are_told_apart(estimand):
    """Drawn from a law whose first coordinate is 0.04 larger, every suite is off."""
    thing = ESTIMANDS[estimand]

    def other_draw(rng, replications, n, **parameters):
        data = np.array(thing.draw(rng, replications, n, **parameters), dtype=float)
        if estimand in ("mean", "score-probit"):
            data[..., 0] += 0.04 * (5 if estimand == "mean" else 1)  # one observation of five
        elif estimand == "probit":
            data[:, 0] += 0.2
        else:
            data[:, :, 0] += 0.04 * np.arange(1, 6)
        return data

    for i, scenario in enumerate(default_scenarios(thing, 5, 0.05)):
        assert law_errors(estimand, other_draw, scenario.parameters, i)[0] > 6


def test_paths_are_votes_counted_one_at_a_time():
    thing = ESTIMANDS["path-difference"]
    for i, scenario in enumerate(default_scenarios(thing, 5, 0.05)):
        data = thing.draw(generator(2, str(i), 0), 100, 5, **scenario.parameters)
        assert (np.diff(data, axis=1) >= 0).all()
        assert (data.sum(axis=2) == np.arange(1, 6)).all()


def test_scores_sum_to_1():
    thing = ESTIMANDS["score-probit"]
    for i, scenario in enumerate(default_scenarios(thing, 5, 0.05)):
        data = thing.draw(generator(2, str(i), 0), 100, 5, **scenario.parameters)
        np.testing.assert_allclose(data.sum(axis=2), 1)


@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
def test_witnesses_are_of_the_margin_that_is_audited(estimand):
    """A bound that claims a little too much is refuted at a law whose truth is the one stated."""

    def bold(counts, alpha):
        x1, x2 = counts[:, 0], counts[:, 1]
        return exact_margin_lower(x1, x2, counts.sum(axis=1), 3.0 * alpha, estimand=estimand)

    report = audit(bold, estimand=f"{estimand}:first", n=25, alpha=0.05, seed=0)
    assert report.verdict == "refuted"
    found = report.witness
    law = {name: float(value) for name, value in found.parameters.items()}
    means = [law["q1"], law["q2"], 1 - law["q1"] - law["q2"]]
    assert found.truth == pytest.approx(margin_of(means, f"{estimand}:first"), abs=1e-9)
    assert found.rational
