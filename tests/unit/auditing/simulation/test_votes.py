"""Margin bounds at large n that are not monotone: searched by default."""

import numpy as np
import pytest

from rsverify import audit, bonferroni_margin_lower
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.simulation.votes import candidates


def bonferroni(counts, alpha):
    k2 = counts[:, 1:].max(axis=1)
    return bonferroni_margin_lower(
        counts[:, 0], k2, counts.sum(axis=1), alpha, estimand="difference"
    )


def wald(counts, alpha):
    n = counts.sum(axis=1)
    p, q = counts[:, 0] / n, counts[:, 1:].max(axis=1) / n
    del alpha
    return p - q - 1.6448536 * np.sqrt(np.maximum(p + q - (p - q) ** 2, 0) / n)


def rule_of_thumb(least):
    def bound(counts, alpha):
        enough = (counts >= least).all(axis=1)
        return np.where(enough, wald(counts, alpha), bonferroni(counts, alpha))

    return bound


@pytest.mark.parametrize(("least", "n"), [(30, 1000), (5, 500), (15, 800)])
def test_wald_where_counts_are_large_is_refuted(least, n):
    report = audit(rule_of_thumb(least), estimand="difference", n=n, alpha=0.05)
    assert report.verdict == "refuted", str(report)
    assert report.worst.scenario.startswith("found")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_beyond_what_can_be_summed_outcomes_are_drawn(seed):
    report = audit(rule_of_thumb(10), estimand="difference", n=2000, alpha=0.05, seed=seed)
    assert report.verdict == "refuted", str(report)


def test_a_fault_on_a_band_of_counts_is_refuted():
    """A tenth more where the runner-up has 40 to 60 of 600 votes, and the others more than 50."""

    def banded(counts, alpha):
        inside = (counts[:, 1] >= 40) & (counts[:, 1] <= 60) & (counts[:, 2] > 50)
        return bonferroni(counts, alpha) + 0.1 * inside

    report = audit(banded, estimand="difference", n=600, alpha=0.05)
    assert report.verdict == "refuted", str(report)


@pytest.mark.parametrize("seed", range(3))
def test_a_valid_bound_that_is_not_monotone_is_not_refuted(seed):
    def wavy(counts, alpha):
        return bonferroni(counts, alpha) - 0.01 * (counts[:, 0] % 3)

    for estimand in ("difference", "difference:first"):
        report = audit(wavy, estimand=estimand, n=600, alpha=0.05, seed=seed)
        assert report.verdict == "supported", str(report)
        assert any(r.scenario.startswith("found") for r in report.rows)


def test_candidates_are_distributions():
    for n in (401, 1000, 10**6):
        for law in candidates(n):
            assert min(law) >= 0
            assert sum(law) == pytest.approx(1)


@pytest.mark.parametrize("forgotten", range(1, 10))
def test_a_bound_that_forgets_a_class_is_refuted(forgotten):
    """Whichever of ten: each is drawn as the runner-up, and as the most probable."""

    def forgets(counts, alpha):
        kept = np.delete(counts, forgotten, axis=1) if counts.shape[1] > forgotten else counts
        k2 = kept[:, 1:].max(axis=1)
        return bonferroni_margin_lower(
            counts[:, 0], k2, counts.sum(axis=1), alpha, estimand="difference"
        )

    report = audit(
        forgets, estimand="difference", n=30, alpha=0.05, method="simulation", replications=500
    )
    assert report.verdict == "refuted", str(report)
    assert ESTIMANDS["difference"].truth((0.5, 0.3, 0.2)) == pytest.approx(0.2)
