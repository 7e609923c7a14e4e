"""Verdicts: the e-processes, their error, and what they say of themselves."""

import math

import numpy as np
import pytest

from rsverify.audit.verdict import (
    combine,
    decide,
    detectable,
    log_e_above,
    log_e_below,
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
