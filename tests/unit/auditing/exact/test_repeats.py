"""Rare randomness of bounds of counts: seen, however rare, if it matters; never imagined."""

import numpy as np
import pytest
from scipy.special import betaincinv

from rsverify import audit, bonferroni_margin_lower
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design
from rsverify.auditing.exact.repeats import Table, long_look


def clopper_pearson(counts, alpha):
    k, n = counts[:, 0].astype(float), counts.sum(axis=1).astype(float)
    return np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)


def answer_of(bound, alpha, seed, n=50):
    """How a bound looks that was asked once at each outcome, and misses alpha mostly."""
    k = np.arange(n + 1)
    outcomes = np.column_stack([k, n - k])
    table = Table(outcomes, clopper_pearson(outcomes, alpha), np.full(n + 1, np.inf))
    caller = Caller(bound, alpha, "lower", (0, 1), sequential=False)
    design = Design("bound", "proportion", "lower", n, alpha, seed)
    return long_look(caller, table, alpha, design)[0]


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-4])
def test_a_bound_that_seldom_answers_one_is_seen_to_be_random(alpha):
    """With probability alpha: 2 alpha in all. Each run fails with probability 1e-3 at most."""
    rng = np.random.default_rng(0)

    def seldom(counts, level):
        return np.where(rng.random(len(counts)) < level, 1.0, clopper_pearson(counts, level))

    assert [answer_of(seldom, alpha, seed) for seed in range(10)] == ["random"] * 10


@pytest.mark.parametrize(("alpha", "runs"), [(0.05, 10), (1e-3, 5)])
def test_a_bound_that_answers_one_for_a_whole_call_is_seen(alpha, runs):
    rng = np.random.default_rng(0)

    def seldom(counts, level):
        return np.where(rng.random() < level, 1.0, clopper_pearson(counts, level))

    answers = {answer_of(seldom, alpha, seed) for seed in range(runs)}
    assert answers <= {"shared", "random"}  # of one or two rows nobody can tell which


def test_a_bound_whose_limits_jitter_seldom_is_seen():
    rng = np.random.default_rng(0)

    def jitters(counts, level):
        return clopper_pearson(counts, level) + 0.2 * (rng.random(len(counts)) < level / 4)

    assert [answer_of(jitters, 0.01, seed) for seed in range(5)] == ["random"] * 5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alpha", [1e-3, 1e-4])
def test_the_audit_of_a_seldom_random_bound_never_ends_supported(alpha, seed):
    """The budget of replications is small, so that the simulation does not decide it."""
    rng = np.random.default_rng(seed)

    def seldom(counts, level):
        return np.where(rng.random(len(counts)) < level, 1.0, clopper_pearson(counts, level))

    report = audit(seldom, estimand="proportion", n=20, alpha=alpha, replications=500, seed=seed)
    assert report.verdict != "supported"
    assert report.design["method"] == "simulation"


def test_seldom_random_margins_are_seen():
    rng = np.random.default_rng(0)

    def seldom(counts, level):
        k1, k2, n = counts[:, 0], counts[:, 1:].max(axis=1), counts.sum(axis=1)
        limits = bonferroni_margin_lower(k1, k2, n, level, estimand="difference")
        return np.where(rng.random(len(counts)) < level, 1.0, limits)

    for estimand, n in (("difference", 12), ("difference:first", 500)):
        report = audit(seldom, estimand=estimand, n=n, alpha=0.005, replications=200)
        assert report.design["method"] == "simulation"
        assert report.verdict != "supported"


def test_how_often_it_was_asked_again_stands_in_the_report():
    report = audit(clopper_pearson, estimand="proportion", n=50, alpha=0.01)
    assert report.verdict == "supported"
    assert any("outcomes asked again" in note for note in report.notes)
