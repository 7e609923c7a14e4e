"""Every row of an exact audit: the miscoverage is that of its own distribution, summed anew."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import betaincinv, ndtri
from scipy.stats import binom, multinomial

from rsverify import audit, bonferroni_margin_lower
from rsverify.auditing.registry import all_outcomes


def votes(counts):
    return counts[:, 0].astype(float), counts.sum(axis=1).astype(float)


def clopper_pearson(counts, alpha):
    k, n = votes(counts)
    return np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)


def jeffreys(counts, alpha):
    k, n = votes(counts)
    return betaincinv(k + 0.5, n - k + 0.5, alpha)


def wald(counts, alpha):
    k, n = votes(counts)
    p = k / n
    return p + ndtri(alpha) * np.sqrt(p * (1 - p) / n)


def generous(counts, alpha):
    return clopper_pearson(counts, 1.7 * alpha)


def wavy(counts, alpha):
    return clopper_pearson(counts, alpha) + 0.01 * (counts[:, 0] % 2)


def interval(counts, alpha):
    low = clopper_pearson(counts, alpha / 1.5)
    return low, 1 - clopper_pearson(counts[:, ::-1], alpha / 1.5)


@pytest.mark.parametrize("n", [5, 30, 101])
@pytest.mark.parametrize("bound", [clopper_pearson, jeffreys, wald, generous, wavy, interval])
def test_row_and_witness_of_a_proportion_are_each_of_one_distribution(bound, n):
    side = "two-sided" if bound is interval else "lower"
    report = audit(bound, estimand="proportion", n=n, alpha=0.05, side=side)
    k = np.arange(n + 1)
    lower, upper = bound(np.column_stack([k, n - k]), 0.05), np.full(n + 1, np.inf)
    if bound is interval:
        lower, upper = lower
    (row,) = report.rows
    p = row.truth
    assert row.distribution == f"p={p!r}"
    missed = (lower > p) | (upper < p)
    assert row.miscoverage == pytest.approx(binom.pmf(k[missed], n, p).sum(), rel=1e-9, abs=1e-12)
    check_interval(row)
    w = report.witness
    q = float(Fraction(w.parameters["p"]))
    assert w.truth == pytest.approx(q, rel=1e-12)
    missed = (lower > q) | (upper < q)
    assert w.probability == pytest.approx(binom.pmf(k[missed], n, q).sum(), rel=1e-9, abs=1e-12)
    assert 0.99 * row.miscoverage <= w.probability <= row.high * (1 + 1e-9)
    assert w.probability <= row.miscoverage * (1 + 1e-9)


def check_interval(row):
    """The interval holds its estimate, in the numbers and as printed."""
    assert row.low <= row.miscoverage <= row.high


def bonferroni(counts, alpha, runner_up=None):
    k2 = counts[:, 1:].max(axis=1) if runner_up is None else counts[:, runner_up]
    return bonferroni_margin_lower(
        counts[:, 0], k2, counts.sum(axis=1), alpha, estimand="difference"
    )


def bonferroni_probit(counts, alpha):
    return bonferroni_margin_lower(
        counts[:, 0], counts[:, 1:].max(axis=1), counts.sum(axis=1), alpha, estimand="probit"
    )


MARGINS = {
    "valid": (bonferroni, "difference"),
    "column 1 only": (lambda c, a: bonferroni(c, a, 1), "difference"),
    "column 2 only": (lambda c, a: bonferroni(c, a, 2), "difference"),
    "generous": (lambda c, a: bonferroni(c, 4 * a), "difference"),
    "first": (lambda c, a: bonferroni(c, 3 * a, 1), "difference:first"),
    "probit": (bonferroni_probit, "probit"),
    "generous probit": (lambda c, a: bonferroni_probit(c, 4 * a), "probit"),
}


@pytest.mark.parametrize("n", [4, 13, 40])
@pytest.mark.parametrize("name", MARGINS)
def test_row_and_witness_of_a_margin_are_each_of_one_distribution(name, n):
    bound, estimand = MARGINS[name]
    report = audit(bound, estimand=estimand, n=n, alpha=0.05, method="exact")
    (row,) = report.rows
    x = all_outcomes(n)
    claims = bound(x, 0.05)
    at = dict(part.split("=") for part in row.distribution.split(", "))
    for law, truth, value in (
        (at, row.truth, row.miscoverage),
        (report.witness.parameters, report.witness.truth, report.witness.probability),
    ):
        q1, q2 = float(law["q1"]), float(law["q2"])
        q = [q1, q2, max(1 - q1 - q2, 0.0)]
        rival = q2 if estimand.endswith(":first") else max(q[1:])
        g = q1 - rival if "difference" in estimand else ndtri(q1) - ndtri(rival)
        assert truth == pytest.approx(g, rel=1e-6, abs=1e-9)
        p = multinomial.pmf(x, n, np.array(q) / sum(q))
        assert value == pytest.approx(p[claims > truth].sum(), rel=1e-6, abs=1e-9)
    check_interval(row)
    assert report.witness.probability >= 0.98 * row.miscoverage
    assert report.witness.probability <= row.miscoverage * (1 + 1e-9)


def test_rows_of_staircases_are_each_of_one_distribution():
    n = 500
    report = audit("cohen_margin_lower", estimand="difference", n=n, alpha=0.05)
    from rsverify import cohen_margin_lower

    k = np.arange(n + 1)
    claims = cohen_margin_lower(k, n, 0.05, estimand="difference")
    for row in report.rows:
        at = dict(part.split("=") for part in row.distribution.split(", "))
        q1, q2 = float(at["q1"]), float(at["q2"])
        assert row.truth == pytest.approx(q1 - q2, abs=1e-12)
        value = binom.pmf(k[claims > row.truth], n, q1).sum()
        assert row.miscoverage == pytest.approx(value, rel=1e-6, abs=1e-12)
        check_interval(row)


def test_printed_intervals_hold_their_estimates():
    for bound in (clopper_pearson, jeffreys, wald, generous):
        for n in (7, 19, 33, 60):
            report = audit(bound, estimand="proportion", n=n, alpha=0.03)
            line = next(line for line in str(report).splitlines() if "worst case" in line)
            value, interval = line.split("[")[0].split()[-1], line.split("[")[1].split("]")[0]
            low, high = map(float, interval.split(","))
            assert low <= float(value) <= high
            assert not math.isnan(low)


@pytest.mark.parametrize("estimand", ["difference", "probit"])
def test_a_bound_of_column_one_is_told_the_estimand_that_fits(estimand):
    def second(counts, alpha):
        return bonferroni_margin_lower(
            counts[:, 0], counts[:, 1], counts.sum(axis=1), alpha, estimand=estimand
        )

    report = audit(second, estimand=estimand, n=25, alpha=0.05)
    assert report.verdict == "refuted"
    assert f"estimand='{estimand}:first' fits" in str(report)
    wrong = audit(lambda c, _a: 0 * c[:, 0] + 0.9, estimand=estimand, n=25, alpha=0.05)
    assert "fits" not in str(wrong)
