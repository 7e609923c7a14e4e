"""Every bound of the package by name: found, called as it wants, and not refuted."""

import numpy as np
import pytest

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
            assert (data >= 0).all()


@pytest.mark.parametrize("estimand", ["mean", "score-probit", "path-difference", "binary-mean"])
def test_data_have_the_truth_they_claim(estimand):
    """Means of 4000 rows, within 6 standard errors: a false alarm has chance 1e-8 a law."""
    thing = ESTIMANDS[estimand]
    for i, scenario in enumerate(default_scenarios(thing, 5, 0.05)):
        data = thing.draw(generator(2, str(i), 0), 4000, 5, **scenario.parameters)
        truth = thing.truth(**scenario.parameters)
        if estimand == "path-difference":
            shares = data[:, -1] / 5
            assert (np.diff(data, axis=1) >= 0).all()
            assert (data.sum(axis=2) == np.arange(1, 6)).all()
            means, spread = shares.mean(axis=0), shares.std(axis=0).max() / 63
            found = means[0] - means[1:].max()
        elif estimand == "score-probit":
            from scipy.special import ndtri

            np.testing.assert_allclose(data.sum(axis=2), 1)
            means = data.mean(axis=(0, 1))
            spread = data.std() / 141 / 0.01  # the probit is steep: a slope of up to 1/0.01
            found = ndtri(means[0]) - ndtri(means[1:].max())
            if not np.isfinite(truth) or means[0] > 0.95 or means[1:].max() < 0.05:
                continue
        else:
            found, spread = data.mean(), data.std() / 141
        assert found == pytest.approx(truth, abs=6 * spread + 1e-9)
