"""The worst-case search: finds laws that the default suite has not, and claims afresh."""

import sys

import cloudpickle
import numpy as np
import pytest

from rsverify import Estimand
from rsverify.auditing.api import audit
from rsverify.auditing.simulation.search import FAMILIES, FINALISTS, grid

# Worker processes cannot import a test module, so its bounds travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SETTINGS = {"n": 20, "alpha": 0.05, "replications": 3000}


def hidden_fault(x, alpha):
    """Hoeffding's bound, but the largest observation where all are between 0.6 and 0.75."""
    bound = x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))
    inside = ((x > 0.6) & (x < 0.75)).all(axis=-1)
    return np.where(inside, x.max(axis=-1), bound)


def test_finds_a_fault_that_the_default_suite_misses():
    assert audit(hidden_fault, **SETTINGS).verdict == "supported"
    report = audit(hidden_fault, method="search", **SETTINGS)
    assert report.verdict == "refuted"
    assert len(report.rows) == FINALISTS


def test_valid_bounds_are_not_refuted():
    """Simulated: a false alarm has probability at most 1e-3 each."""
    for name, estimand in (
        ("betting_lower", "mean"),
        ("clopper_pearson_lower", "proportion"),
        ("cohen_margin_lower", "difference"),
    ):
        assert audit(name, method="search", estimand=estimand, **SETTINGS).verdict != "refuted"


def test_same_seed_same_report_for_any_number_of_workers():
    one, two = (
        audit(hidden_fault, method="search", seed=4, n_jobs=jobs, **SETTINGS).to_json()
        for jobs in (1, 2)
    )
    assert one == two


def test_the_search_says_how_far_it_is_and_excludes_scenarios():
    seen = []
    audit(
        "hoeffding_lower",
        method="search",
        n=5,
        alpha=0.05,
        replications=100,
        progress=lambda *at: seen.append(at),
    )
    assert seen[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert seen[-1] == (300, 300)
    with pytest.raises(ValueError, match="scenarios must be None"):
        audit(hidden_fault, method="search", scenarios={"a": {"law": ("beta", 1, 1)}}, **SETTINGS)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_grid_holds_the_corners(dimensions):
    points = grid(dimensions)
    assert points.shape[1] == dimensions
    assert 64 <= len(points) <= 81
    corners = points[np.isin(points, (0.0, 1.0)).all(axis=1)]
    assert len(corners) == 2**dimensions


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
        audit(wrong_below_two, method="search", **settings)
    report = audit(
        wrong_below_two,
        method="search",
        family=(lambda u: {"top": 1 + 4 * float(u[0])}, 1),
        **settings,
    )
    assert report.verdict == "refuted"


@pytest.mark.parametrize("name", FAMILIES)
def test_families_give_laws(name):
    laws, dimensions = FAMILIES[name]
    for u in [np.zeros(dimensions), np.ones(dimensions), np.full(dimensions, 0.3)]:
        parameters = laws(u)
        if "proportion" in name:
            assert 0 <= parameters["p"] <= 1
        elif name.startswith("score"):
            _, rows, chances = parameters["law"]
            assert np.sum(rows, axis=1) == pytest.approx(1)
            assert np.min(rows) >= 0
            assert sum(chances) == pytest.approx(1)
        elif "mean" in name or name == "variance":
            _, values, chances = parameters["law"]
            assert 0 <= values[0] <= values[1] <= 1
            assert sum(chances) == pytest.approx(1)
        else:
            assert sum(parameters["p"]) == pytest.approx(1)
            assert min(parameters["p"]) >= 0
