"""Staircases of monotone margin bounds: against enumeration, and what is not monotone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify import bonferroni_margin_lower
from rsverify.auditing.api import audit
from rsverify.auditing.caller import Caller
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.exact.curves import (
    curve_q1,
    curve_q2,
    first_end,
    last_end,
    missed_probability,
    set_probability,
)
from rsverify.auditing.exact.staircase import GAP, Evaluated, as_steps, audit_staircases, staircase
from rsverify.auditing.exact.staircase_supremum import enclosed_supremum
from rsverify.auditing.exact.trinomial import margin_worst
from rsverify.auditing.registry import all_outcomes, named_bound, outcome_table


def caller_of(bound, margin="difference"):
    return Caller(bound, 0.05, "lower", ESTIMANDS[margin].space)


def by_hand(counts, alpha):
    return bonferroni_margin_lower(
        counts[:, 0], counts[:, 1], counts.sum(axis=1), alpha, estimand="difference"
    )


@settings(max_examples=20)
@given(n=st.integers(2, 25), seed=st.integers(0, 10**6))
def test_staircase_of_any_monotone_table_is_the_enumerated_one(n, seed):
    """Of random claims made monotone, at every claim, also between known neighbors."""
    from rsverify.auditing.exact.supremum import raised

    rng = np.random.default_rng(seed)
    x = all_outcomes(n)
    table = raised(outcome_table(np.round(rng.random(len(x)), 1), n))
    bound = Evaluated(caller_of(lambda c, _a: table[c[:, 0], c[:, 1]]), n)
    none, every = np.zeros(n + 1, dtype=np.int64), np.full(n + 1, n + 1)
    middle = staircase(bound, 0.5, none, every)
    for v, low, high in ((0.5, none, every), (0.3, none, middle), (0.8, middle, every)):
        steps = as_steps(staircase(bound, v, low, high))
        inside = x[:, 0] >= steps[x[:, 1]]
        np.testing.assert_array_equal(inside, table[x[:, 0], x[:, 1]] >= v)


@settings(max_examples=15)
@given(
    n=st.integers(5, 60),
    corner=st.tuples(st.floats(0.05, 1), st.floats(0, 0.5)),
    v=st.floats(-0.9, 0.95),
    probit=st.booleans(),
    place=st.floats(0, 1),
)
def test_supremum_encloses_the_tail_anywhere_on_the_curve(n, corner, v, probit, place):
    """By the auditor's own sum over all outcomes, which shares no code with the walk."""
    from scipy.special import gammaln

    x2 = np.arange(n + 1)
    steps = np.ceil(corner[0] * n + corner[1] * x2).astype(np.int64)
    steps = np.where(steps > n - x2, n + 1, steps)
    v = 3 * v if probit else v
    attained, certified, s = enclosed_supremum(steps, v, probit, GAP, 100_000, 1e-13)
    logs = gammaln(np.arange(n + 1) + 1.0)

    def tail(s):
        return set_probability(steps, curve_q1(v, s, probit), curve_q2(s, probit), logs)

    a, b = first_end(v, probit), last_end(v, probit)
    if probit:
        a = max(a, -9.0)
    assert tail(min(a + place * (b - a), b)) <= certified * (1 + 1e-10) + 1e-12
    assert tail(s) == pytest.approx(attained, rel=1e-9, abs=1e-12)
    assert attained <= certified <= attained * (1 + GAP) + 1e-9


@pytest.mark.parametrize("margin", ["difference", "probit"])
def test_cohen_at_large_n_is_at_alpha_and_certified(margin):
    report = audit("cohen_margin_lower", estimand=margin, n=5000, alpha=0.05)
    assert report.verdict == "supported"
    assert report.design["method"] == "exact"
    assert 0.95 * 0.05 < report.worst.miscoverage <= 0.05
    assert max(r.high for r in report.rows) <= 0.05 * (1 + GAP)
    assert any("margins between them" in note for note in report.notes)


def test_levels_agree_with_enumeration():
    """The same bound at n = 60 by both ways: no level is above the certified worst case."""
    whole = audit(by_hand, estimand="difference:first", n=60, alpha=0.05)
    found = audit_staircases(caller_of(by_hand), 60, "difference", 0.05)
    assert max(level.attained for level in found.levels) <= whole.worst.high
    assert max(level.certified for level in found.levels) >= 0.9 * whole.worst.miscoverage


def test_full_alpha_on_each_side_is_refuted_with_outcomes_evaluated_one_by_one():
    def eager(counts, alpha):
        return by_hand(counts, 4 * alpha)

    report = audit(eager, estimand="difference:first", n=1000, alpha=0.05)
    assert report.verdict == "refuted"
    q1, q2 = (float(report.witness.parameters[k]) for k in ("q1", "q2"))
    rng = np.random.default_rng(0)
    votes = rng.multinomial(1000, [q1, q2, 1 - q1 - q2], 40_000)
    seen = np.mean(eager(votes, 0.05) > q1 - q2)
    # Six standard errors: a false alarm has probability below 1e-8.
    assert seen >= report.witness.probability - 6 * 0.5 / 200
    assert report.witness.probability > 0.05


def test_claims_of_the_whole_space_are_refuted():
    """All votes for class 1 claim a margin of 1."""

    def certain(counts, alpha):
        return np.where(counts[:, 0] == counts.sum(axis=1), 1.0, by_hand(counts, alpha))

    report = audit(certain, estimand="difference:first", n=800, alpha=0.05)
    assert report.verdict == "refuted"
    assert "(800, 0)" in report.witness.outcomes


def test_what_is_not_monotone_is_not_certified():
    def wavy(counts, alpha):
        return by_hand(counts, alpha) - 0.05 * (counts[:, 0] % 2)

    report = audit(wavy, estimand="difference:first", n=1000, alpha=0.05, replications=500)
    assert report.design["method"] == "simulation"
    assert audit_staircases(caller_of(wavy), 1000, "difference", 0.05) is None
    with pytest.raises(ValueError, match="method='exact' cannot"):
        audit(wavy, estimand="difference:first", n=1000, alpha=0.05, method="exact")


def test_alpha_of_one_thousandth():
    bound, target, _ = named_bound("bonferroni_margin_lower", "probit")
    report = audit(bound, estimand=target, n=2000, alpha=0.001)
    assert report.verdict == "supported"
    assert max(r.high for r in report.rows) <= 0.0005 * (1 + GAP)


def test_progress_of_staircases_rises_to_the_end():
    seen = []
    report = audit(
        by_hand,
        estimand="difference:first",
        n=500,
        alpha=0.05,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report.design["method"] == "exact"
    done, totals = zip(*seen, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[0]
    # Every claim tells often of itself, so that a bar moves where bounds are slow.
    assert len(set(done)) > 8 * len(report.rows)


@settings(max_examples=60)
@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    corner=st.sampled_from([(0.3, 0.3, 0.4), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0, 0.5)]),
    spread=st.floats(0, 1),
)
def test_the_sum_over_a_staircase_is_that_over_its_outcomes(n, seed, corner, spread):
    """Laws at corners and edges, empty rows, whole rows, steps of any height."""
    from scipy.special import gammaln, xlogy

    rng = np.random.default_rng(seed)
    x1, x2 = np.indices((n + 1, n + 1))
    steps = np.sort(rng.integers(-1, n + 2, n + 1))
    steps = np.maximum.accumulate(np.where(steps > n - np.arange(n + 1), n + 1, steps))
    q = (1 - spread) * np.array(corner) + spread * rng.dirichlet([0.5] * 3)
    q = q / q.sum()
    logs = gammaln(np.arange(n + 1) + 1.0)
    there = x1 + x2 <= n
    x3 = np.where(there, n - x1 - x2, 0)
    q3 = max(1.0 - q[0] - q[1], 0.0)
    chance = logs[n] - logs[x1] - logs[x2] - logs[x3]
    chance = np.exp(chance + xlogy(x1, q[0]) + xlogy(x2, q[1]) + xlogy(x3, q3))
    inside = there & (x1 >= steps[x2])
    expected = chance[inside].sum()
    assert set_probability(steps, q[0], q[1], logs) == pytest.approx(
        expected, rel=1e-11, abs=1e-300
    )
    claims = np.where(inside, 1.0, 0.0)
    missed = missed_probability(claims, q[0], q[1], 0.5, logs)
    assert missed == pytest.approx(expected, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("margin", ["difference", "probit"])
def test_every_certified_supremum_encloses_what_a_fine_grid_finds(margin):
    """A monotone bound and one that is not; the grid knows nothing of staircases."""
    from scipy.special import gammaln

    n, probit = 12, margin == "probit"
    x = all_outcomes(n)
    bound, _, _ = named_bound("bonferroni_margin_lower", margin)
    rough = np.random.default_rng(3).normal(0.0, 0.2, len(x))
    logs = gammaln(np.arange(n + 1) + 1.0)
    for shift in (0.0, 1.0):
        table = outcome_table(bound(x, 0.05) + shift * rough, n)
        found = margin_worst(table, margin, False, 0.05)
        most = 0.0
        for v in np.unique(table[np.isfinite(table)])[1:]:
            for s in np.linspace(max(first_end(v, probit), -9.0), last_end(v, probit), 60):
                q = curve_q1(v, s, probit), curve_q2(s, probit)
                if q[0] + q[1] <= 1.0:
                    truth = v - 1e-12
                    most = max(most, missed_probability(table, *q, truth, logs))
        assert most <= found.certified
        assert found.attained <= found.certified
        assert found.attained >= 0.97 * most


@pytest.mark.slow
@pytest.mark.parametrize("margin", ["difference", "probit"])
def test_the_default_bound_is_supported_exactly_at_n_200(margin):
    """Every outcome counts here: its miscoverage is near alpha on all curves."""
    report = audit("exact_margin_lower", estimand=margin, n=200, alpha=0.05)
    assert report.verdict == "supported"
    # Attained to the last digit, and enclosed within a few per cent of that.
    assert max(r.low for r in report.rows) <= 0.05
    assert max(r.high for r in report.rows) <= 0.05 * 1.06
