"""The worst-case search: finds laws that the default suite has not, and claims afresh."""

import numpy as np
import pytest

from rsverify import Estimand
from rsverify.audit import audit
from rsverify.audit.search import FAMILIES, FINALISTS, search_worst

SETTINGS = {"n": 20, "alpha": 0.05, "replications": 3000}


def hidden_fault(x, alpha):
    """Hoeffding's bound, but the largest observation where all are between 0.6 and 0.75."""
    bound = x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))
    inside = ((x > 0.6) & (x < 0.75)).all(axis=-1)
    return np.where(inside, x.max(axis=-1), bound)


def test_finds_a_fault_that_the_default_suite_misses():
    assert audit(hidden_fault, **SETTINGS).verdict == "supported"
    report = search_worst(hidden_fault, **SETTINGS)
    assert report.verdict == "refuted"
    assert len(report.rows) == FINALISTS


def test_valid_bounds_are_not_refuted():
    """Simulated: a false alarm has probability at most 1e-3 each."""
    for name, estimand in (
        ("betting_lower", "mean"),
        ("clopper_pearson_lower", "proportion"),
        ("cohen_margin_lower", "difference"),
    ):
        assert search_worst(name, estimand=estimand, **SETTINGS).verdict != "refuted"


def test_same_seed_same_report():
    one, two = (search_worst(hidden_fault, seed=4, **SETTINGS).to_json() for _ in range(2))
    assert one == two


def test_own_family_and_its_absence():
    top = Estimand(
        draw=lambda rng, rows, n, top: rng.uniform(0, top, (rows, n)),
        truth=lambda top: top,
        scenarios={"top 1": {"top": 1.0}},
    )

    def wrong_below_two(x, _alpha):
        return np.where(x.max(axis=-1) < 2, 1.1, 1.0) * x.max(axis=-1)

    settings = SETTINGS | {"estimand": top}
    with pytest.raises(ValueError, match="family=None must be given"):
        search_worst(wrong_below_two, **settings)
    report = search_worst(
        wrong_below_two, family=(lambda u: {"top": 1 + 4 * float(u[0])}, 1), **settings
    )
    assert report.verdict == "refuted"


@pytest.mark.parametrize("name", FAMILIES)
def test_families_give_laws(name):
    laws, dimensions = FAMILIES[name]
    for u in [np.zeros(dimensions), np.ones(dimensions), np.full(dimensions, 0.3)]:
        parameters = laws(u)
        if name == "proportion":
            assert 0 <= parameters["p"] <= 1
        elif name == "mean":
            _, values, chances = parameters["law"]
            assert 0 <= values[0] <= values[1] <= 1
            assert sum(chances) == pytest.approx(1)
        else:
            assert sum(parameters["p"]) == pytest.approx(1)
            assert min(parameters["p"]) >= 0
