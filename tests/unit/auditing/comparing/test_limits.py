"""The least gap of any valid bound, against bounds, other computations and the studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.stats import binom, poisson

from rsverify import compare_bounds
from rsverify.auditing.comparing.bounded_mean import lower_limit, mean_limit, points_of_law
from rsverify.auditing.comparing.limits import known_limit
from rsverify.auditing.comparing.margin_of_votes import margin_limit
from rsverify.auditing.comparing.one_parameter import proportion_limit, rate_limit
from rsverify.auditing.estimand import ESTIMANDS, Estimand

RESULTS = Path(__file__).parents[4] / "coverage_studies" / "results"


def power_by_programming(null, alternative, alpha):
    """Return the power of the best test by a linear program over its rejection probabilities."""
    found = linprog(-alternative, A_ub=[null], b_ub=[alpha], bounds=(0, 1), method="highs")
    return -found.fun


@pytest.mark.parametrize(("n", "p", "alpha"), [(6, 0.4, 0.1), (20, 0.85, 0.05), (9, 0.5, 0.3)])
def test_a_proportion_by_linear_programs(n, p, alpha):
    k = np.arange(n + 1)

    def error(c):
        return 1 - power_by_programming(binom.pmf(k, n, c), binom.pmf(k, n, p), alpha)

    for side, low, high in (("lower", 0.0, p), ("upper", p, 1.0)):
        exact = quad(error, low, high, limit=60, epsabs=2e-4, epsrel=2e-4)[0]
        limit = proportion_limit(p, n, alpha, side)
        assert limit <= exact + 3e-4
        assert limit >= 0.99 * exact - 3e-4
    both = proportion_limit(p, n, alpha, "two-sided")
    assert both == pytest.approx(
        proportion_limit(p, n, alpha, "lower") + proportion_limit(p, n, alpha, "upper")
    )


def test_a_rate_by_linear_programs():
    k = np.arange(60)

    def error(c):
        null, alternative = poisson.pmf(k, 4 * c), poisson.pmf(k, 4 * 2.0)
        return 1 - power_by_programming(null, alternative, 0.1)

    for side, low, high in (("lower", 0.0, 2.0), ("upper", 2.0, 6.0)):
        exact = quad(error, low, high, limit=60, epsabs=2e-3, epsrel=2e-3)[0]
        limit = rate_limit(2.0, 4, 0.1, side)
        assert 0.98 * exact - 4e-3 <= limit <= exact + 4e-3


def test_the_randomized_bound_of_a_proportion_reaches_the_limit():
    """It is uniformly most accurate. Four standard errors: a false alarm of 1e-3 over all rows."""
    for side in ("lower", "upper"):
        name = f"randomized_clopper_pearson_{side}"
        found = compare_bounds([name], "proportion", 50, 0.05, replications=20_000, timing=False)
        for row in found.rows:
            assert abs(row.gap - row.limit) < 4 * row.gap_error + 0.004 * row.limit


def test_the_mean_of_zeros_and_ones_has_no_smaller_limit_than_the_proportion():
    for n, p, sides in ((20, 0.5, ("lower",)), (100, 0.9, ("upper", "two-sided"))):
        law = ("points", (0.0, 1.0), (1.0 - p, p))
        for side in sides:
            here = mean_limit(law, n, 0.05, side)
            assert here > 0.99 * proportion_limit(p, n, 0.05, side)
            assert here < 1.2 * proportion_limit(p, n, 0.05, side)


def test_limits_of_the_studies():
    for row in json.loads((RESULTS / "limit_mean.json").read_text())["rows"]:
        if row["law"] == "uniform" and row["n"] == 100:
            limit = mean_limit(("beta", 1.0, 1.0), 100, row["alpha"], "lower")
            assert limit == pytest.approx(row["limit"], rel=1e-3)
    rows = json.loads((RESULTS / "limit_margin.json").read_text())["rows"]
    for row in rows[:4]:
        limit = margin_limit(tuple(row["q"]), row["n"], row["alpha"], row["estimand"])
        assert limit == pytest.approx(row["limit"], rel=1e-6)


def test_a_constant_sample():
    """On samples of one value x no bound that may not randomize exceeds x alpha^(1/n)."""
    limit = mean_limit(("points", (0.7,), (1.0,)), 10, 0.05, "lower")
    assert 0.0 < limit < 0.7 * (1 - 0.05**0.1)
    values, weights = points_of_law(("points", (0.0,), (1.0,)))
    assert lower_limit(values, weights, 10, 0.05) == 0.0
    assert mean_limit(("points", (0.0,), (1.0,)), 10, 0.05, "upper") > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 60])
@pytest.mark.parametrize(
    ("names", "estimand"),
    [
        (["clopper_pearson_interval"], "proportion"),
        (["clopper_pearson_upper"], "proportion"),
        (["betting_interval"], "mean"),
        (["betting_upper", "hoeffding_upper"], "mean"),
        (["exact_margin_lower"], "probit"),
    ],
)
def test_no_valid_bound_is_below_its_limit(names, estimand, n):
    found = compare_bounds(names, estimand, n, 0.1, replications=500, timing=False)
    known = [row for row in found.rows if row.limit is not None]
    assert known
    for row in known:
        assert row.gap + 4 * row.gap_error >= 0.99 * row.limit


def test_where_no_limit_is_known_none_is_told():
    own = Estimand(lambda rng, r, n: rng.random((r, n)), lambda: 0.5, {"only": {}}, name="mean")
    assert known_limit(own, {}, 10, 0.05, "lower") is None
    for name, parameters in (
        ("median", {"law": ("beta", 1.0, 1.0)}),
        ("mean-known-variance", {"law": ("beta", 1.0, 1.0)}),
        ("laplace", {"p": (0.6, 0.3, 0.1)}),
        ("difference", {"p": (0.3, 0.6, 0.1)}),
    ):
        assert known_limit(ESTIMANDS[name], parameters, 10, 0.05, "lower") is None
    assert known_limit(ESTIMANDS["probit"], {"p": (0.6, 0.3, 0.1)}, 10, 0.05, "upper") is None
    assert known_limit(ESTIMANDS["probit"], {"p": (0.6, 0.3, 0.1)}, 2000, 0.05, "lower") is None
