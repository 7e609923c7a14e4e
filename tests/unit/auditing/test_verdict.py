"""Verdicts: the e-processes, their error, and what they say of themselves."""

import math

import numpy as np
import pytest

from rsverify.auditing.verdict import (
    combine,
    decide,
    detectable,
    log_e_above,
    log_e_below,
    miscoverage_error,
    miscoverage_interval,
    runs_to_settle,
)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
def test_e_processes_are_fair_under_what_they_test(alpha):
    """E[e] <= 1 at every p of the hypothesis, exactly, by summing over the misses."""
    runs = 40
    misses = np.arange(runs + 1)
    choose = np.array([math.comb(runs, int(m)) for m in misses], dtype=float)
    above = np.exp([log_e_above(int(m), runs, alpha) for m in misses])
    below = np.exp([log_e_below(int(m), runs, alpha) for m in misses])
    for share in (0.1, 0.5, 1.0):
        p = alpha * share
        pmf = choose * p**misses * (1 - p) ** (runs - misses)
        assert pmf @ above <= 1 + 1e-12
        p = alpha + (1 - alpha) * (1 - share) * 0.9
        pmf = choose * p**misses * (1 - p) ** (runs - misses)
        assert pmf @ below <= 1 + 1e-12


def test_decide_refutes_supports_and_waits():
    settings = (0.05, 0.2, 1e-3, 20)
    assert decide(200, 2000, *settings) == "refuted"
    assert decide(0, 2000, *settings) == "supported"
    assert decide(110, 2000, *settings) == "inconclusive"
    assert decide(0, 0, *settings) == "inconclusive"


def test_more_scenarios_need_more_evidence():
    misses = next(m for m in range(2001) if decide(m, 2000, 0.05, 0.2, 1e-3, 1) == "refuted")
    assert decide(misses, 2000, 0.05, 0.2, 1e-3, 1000) == "inconclusive"


@pytest.mark.parametrize(("misses", "runs"), [(0, 100), (100, 100), (7, 100), (50, 10**6)])
def test_interval_holds_the_estimate_and_the_clopper_pearson_interval(misses, runs):
    from rsverify import clopper_pearson_lower, clopper_pearson_upper

    low, high = miscoverage_interval(misses, runs)
    assert 0 <= low <= misses / runs <= high <= 1
    assert low <= clopper_pearson_lower(misses, runs, 0.025)
    assert high >= clopper_pearson_upper(misses, runs, 0.025)


def test_detectable_miscoverage_shrinks_and_stays_above_alpha():
    values = [detectable(runs, 0.05, 0.2, 1e-3, 20) for runs in (100, 1000, 10_000, 100_000)]
    assert values == sorted(values, reverse=True)
    assert all(v > 0.05 for v in values)
    assert values[-1] == pytest.approx(0.06)  # what is within the tolerance may be supported


@pytest.mark.statistical
def test_detectable_miscoverage_is_detected():
    """At that miscoverage 95 % of runs refute; 400 runs fall below 90 % with chance 1e-4."""
    p = detectable(2000, 0.05, 0.2, 1e-3, 20)
    rng = np.random.default_rng(7)
    hits = [
        decide(int(m), 2000, 0.05, 0.2, 1e-3, 20) == "refuted" for m in rng.binomial(2000, p, 400)
    ]
    assert np.mean(hits) >= 0.9


def looks(rng, p, runs, paths, step):
    """Misses after each look, of many audits."""
    return np.cumsum(rng.binomial(step, p, (paths, runs // step)), axis=1)


@pytest.mark.statistical
def test_looking_after_every_block_costs_nothing():
    """At the edge of each hypothesis either e-process reaches 20 with chance at most 0.05.

    600 audits of 16 looks; 49 or more crossings have chance below 1e-3 at 0.05 exactly.
    """
    rng = np.random.default_rng(5)
    misses = looks(rng, 0.05, 4000, 600, 250)
    for process in (log_e_above, log_e_below):
        peak = np.full(600, -np.inf)
        for i, column in enumerate(misses.T):
            counts, place = np.unique(column, return_inverse=True)
            logs = np.array([process(int(m), 250 * (i + 1), 0.05) for m in counts])
            peak = np.maximum(peak, logs[place])
        assert 0 < (peak >= np.log(20)).sum() < 49


@pytest.mark.statistical
def test_detectable_holds_although_support_may_come_first():
    """With looks on the way: 300 audits, of which fewer than 90 % refute with chance 2e-4."""
    settings = (0.05, 0.2, 1e-3, 5)
    p = detectable(20_000, *settings)
    assert p >= 0.06
    rng = np.random.default_rng(8)
    refuted = 0
    for row in looks(rng, p, 20_000, 300, 2500):
        verdicts = (decide(int(m), 2500 * (i + 1), *settings) for i, m in enumerate(row))
        refuted += next((v for v in verdicts if v != "inconclusive"), None) == "refuted"
    assert refuted >= 270


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0, 1.01, 1.02, 1.05, 1.1, 1.15, 1.19, 1.5])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_runs_to_settle_is_enough_and_not_far_from_least(alpha, share):
    """The mixtures resolve any excess: no rate stays unsettled, whatever the tolerance."""
    for tolerance in (0.2, 0.02):
        settings = (alpha, tolerance, 1e-3, 20)
        runs = 20_000
        seen = round(share * alpha * runs)
        total = runs_to_settle(seen, runs, *settings)
        if share == pytest.approx(1 + tolerance, rel=0.01) and tolerance == 0.02:
            continue  # on the edge between the hypotheses, where evidence grows slowest
        assert total is not None
        assert decide(round(seen / runs * total), total, *settings) != "inconclusive"
        assert total < 2 * runs or decide(seen, runs, *settings) == "inconclusive"


def test_error_is_never_nothing():
    assert miscoverage_error(0, 100) > 0
    assert miscoverage_error(50, 10_000) == pytest.approx(np.sqrt(0.005 * 0.995 / 10_000), rel=0.02)


def test_runs_to_settle():
    settings = (0.05, 0.2, 1e-3, 20)
    assert runs_to_settle(0, 0, *settings) is None
    total = runs_to_settle(100, 2000, *settings)  # exactly alpha: support takes longest
    assert total is not None
    assert 2000 < total < 100_000
    assert decide(total // 20, total, *settings) == "supported"


def test_combine():
    assert combine(["supported", "refuted", "inconclusive"]) == "refuted"
    assert combine(["supported", "supported"]) == "supported"
    assert combine(["supported", "inconclusive"]) == "inconclusive"
    assert combine([]) == "inconclusive"
