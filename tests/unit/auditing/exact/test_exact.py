"""Exact coverage: against sums over the sample space in rational arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rsverify import (
    bonferroni_margin_lower,
    clopper_pearson_lower,
    clopper_pearson_upper,
    cohen_margin_lower,
)
from rsverify.auditing.api import audit
from rsverify.auditing.exact.proportion import proportion_worst, rational_tail
from rsverify.auditing.exact.supremum import raised
from rsverify.auditing.exact.trinomial import margin_worst
from rsverify.auditing.registry import all_outcomes, outcome_table

INFINITE = np.inf


def lower_only(lower, alpha=0.05):
    lower = np.asarray(lower, dtype=float)
    return proportion_worst(lower, np.full(lower.size, INFINITE), alpha)


def table_of(bound, n):
    x = all_outcomes(n)
    return outcome_table(np.asarray(bound(x[:, 0], x[:, 1]), dtype=float), n)


def brute_margin(table, p, truth):
    """P(B > truth), outcome by outcome, exactly."""
    n = len(table) - 1
    total = Fraction(0)
    for x1, x2 in itertools.product(range(n + 1), repeat=2):
        x3 = n - x1 - x2
        if x3 >= 0 and table[x1, x2] > truth:
            ways = math.comb(n, x1) * math.comb(n - x1, x2)
            total += ways * p[0] ** x1 * p[1] ** x2 * p[2] ** x3
    return total


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("n", [1, 7, 100, 5000])
def test_clopper_pearson_attains_alpha_and_no_more(n, alpha):
    k = np.arange(n + 1)
    for worst in (
        lower_only(clopper_pearson_lower(k, n, alpha), alpha),
        proportion_worst(np.full(n + 1, -INFINITE), clopper_pearson_upper(k, n, alpha), alpha),
    ):
        assert worst.monotone
        assert 0.999 * alpha < worst.attained <= alpha * (1 + 1e-9)
        assert worst.attained <= worst.certified <= alpha * (1 + 1e-6)


def test_two_sided_clopper_pearson_is_certified_below_alpha():
    k = np.arange(41)
    limits = clopper_pearson_lower(k, 40, 0.025), clopper_pearson_upper(k, 40, 0.025)
    worst = proportion_worst(*limits, 0.05)
    grid = np.linspace(0, 1, 4001)
    values = [
        float(rational_tail(k[(limits[0] > p) | (limits[1] < p)].tolist(), 40, Fraction(p)))
        for p in grid[1:-1:20]
    ]
    assert max(values) <= worst.certified
    assert worst.attained <= worst.certified <= worst.attained * 1.01
    assert worst.certified < 0.05


def test_witness_is_proved_by_hand_sized_arithmetic():
    """All n hits claim p >= 1: at p = 0.9 they have probability 0.9^5 exactly."""
    worst = lower_only([0, 0, 0, 0, 0, 1.0])
    p = Fraction(worst.witness.parameters["p"])
    assert worst.witness.rational
    assert worst.witness.outcomes == "k = 5 of n = 5"
    assert worst.witness.probability == pytest.approx(float(p**5), rel=1e-15)
    assert worst.witness.probability > 0.99


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0, 1))
def test_certified_is_an_upper_limit_for_any_limits(lower, p):
    """Not only for monotone ones: against the miscoverage at any p."""
    worst = lower_only(lower)
    n = len(lower) - 1
    q = Fraction(p)
    missed = [k for k in range(n + 1) if Fraction(lower[k]) > q]
    assert float(rational_tail(missed, n, q)) <= worst.certified * (1 + 1e-12)
    assert worst.witness.probability <= worst.certified * (1 + 1e-9)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("margin", ["difference", "probit"])
def test_valid_margin_bounds_are_certified(margin, largest):
    n, alpha = 15, 0.05

    def bonferroni_bound(a, b):
        rest = n - a - b
        runner_up = np.maximum(b, rest) if largest else b
        return bonferroni_margin_lower(a, runner_up, n, alpha, estimand=margin)

    bonferroni = table_of(bonferroni_bound, n)
    cohen = table_of(lambda a, _b: cohen_margin_lower(a, n, alpha, estimand=margin), n)
    for table in (bonferroni, cohen):
        worst = margin_worst(table, margin, largest, alpha)
        assert worst.monotone or largest
        assert worst.attained <= worst.certified <= alpha * 1.06
    assert margin_worst(cohen, margin, False, alpha).attained > 0.999 * alpha


@settings(max_examples=25)
@given(
    n=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    cuts=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_certified_margin_miscoverage_is_an_upper_limit_for_any_table(n, seed, cuts):
    rng = np.random.default_rng(seed)
    table = np.round(rng.uniform(-1, 1, (n + 1, n + 1)), 2)
    worst = margin_worst(table, "difference", False, 0.05)
    a, b = sorted(cuts)
    p = (Fraction(a, 50), Fraction(b - a, 50), Fraction(50 - b, 50))
    truth = p[0] - p[1]
    assert float(brute_margin(table, p, truth)) <= worst.certified * (1 + 1e-12)
    if worst.witness.rational:
        q = [Fraction(worst.witness.parameters[key]) for key in ("q1", "q2")]
        exact = brute_margin(table, (*q, 1 - sum(q)), q[0] - q[1])
        assert worst.witness.probability == pytest.approx(float(exact), rel=1e-12)


@settings(max_examples=25)
@given(n=st.integers(1, 6), seed=st.integers(0, 10**6), weights=st.permutations([1, 3, 6]))
def test_certified_holds_for_the_larger_of_two_runners_up(n, seed, weights):
    """For any bound, monotone and symmetric or not, at any law of three classes."""
    rng = np.random.default_rng(seed)
    table = np.round(rng.uniform(-1, 1, (n + 1, n + 1)), 2)
    worst = margin_worst(table, "difference", True, 0.05)
    p = [Fraction(w, 10) for w in weights]
    truth = p[0] - max(p[1:])
    assert float(brute_margin(table, p, truth)) <= worst.certified * (1 + 1e-12)


def test_raised_is_the_least_monotone_table_above():
    rng = np.random.default_rng(1)
    table = rng.uniform(size=(6, 6))
    out = raised(table)
    for x1, x2 in itertools.product(range(6), repeat=2):
        if x1 + x2 > 5:
            continue
        # Outcomes from which votes move to (x1, x2): more x2, or fewer x1, never the other way.
        below = [
            table[a, b]
            for a, b in itertools.product(range(6), repeat=2)
            if a + b <= 5 and a <= x1 and b >= x2 - 0 and reaches(a, b, x1, x2)
        ]
        assert out[x1, x2] == max(below)


def reaches(a, b, x1, x2):
    """Whether moves 3->1, 2->1, 2->3 lead from (a, b) to (x1, x2), with n = 5."""
    return a <= x1 and b >= x2


@pytest.mark.parametrize("margin", ["difference", "probit"])
def test_strict_inequality_of_the_buehler_bound_is_refuted_with_a_witness(margin):
    """All votes for class 1 claim the largest margin there is."""
    table = np.full((6, 6), -INFINITE)
    table[5, 0] = 1.0 if margin == "difference" else INFINITE
    worst = margin_worst(table, margin, True, 0.05)
    assert worst.witness.rational
    assert worst.witness.probability > 0.9
    assert "(5, 0)" in worst.witness.outcomes


def test_runner_up_of_three_classes_is_the_larger_one():
    """A claim about the margin over class 2 misses where class 3 is the runner-up."""
    n, alpha = 30, 0.05
    table = table_of(lambda a, b: bonferroni_margin_lower(a, b, n, alpha, estimand="difference"), n)
    assert margin_worst(table, "difference", False, alpha).certified <= 0.03
    assert margin_worst(table, "difference", True, alpha).witness.probability > 0.5


@pytest.mark.parametrize("column", [1, 2])
def test_a_witness_names_the_classes_as_the_bound_has_them(column):
    """A bound that looks at one rival only: its misses, summed by hand from what is printed."""

    def one_rival(counts, alpha):
        k1, k2, n = counts[:, 0], counts[:, column], counts.sum(axis=1)
        low = clopper_pearson_lower(k1, n, alpha / 2)
        return low - (1 - clopper_pearson_lower(n - k2, n, alpha / 2))

    report = audit(one_rival, estimand="difference", n=10, alpha=0.05)
    assert report.verdict == "refuted"
    q1, q2 = (Fraction(report.witness.parameters[k]) for k in ("q1", "q2"))
    truth = q1 - max(q2, 1 - q1 - q2)
    x = all_outcomes(10)
    total = Fraction(0)
    for (a, b, c), claim in zip(x.tolist(), one_rival(x, 0.05), strict=True):
        if Fraction(float(claim)) > truth:
            ways = math.comb(10, a) * math.comb(10 - a, b)
            total += ways * q1**a * q2**b * (1 - q1 - q2) ** c
    assert float(total) == pytest.approx(report.witness.probability, rel=1e-12)
    assert total > Fraction(1, 20)


@pytest.mark.parametrize(("fall", "monotone"), [(5e-11, True), (9e-10, True), (1e-8, False)])
@pytest.mark.parametrize("place", [(3, 2), (7, 0), (5, 5)])
def test_a_fall_of_a_root_search_is_no_fall(place, fall, monotone):
    """A search ends a little below its limit; what is certified is that of the raised table."""
    x1, x2 = np.indices((11, 11))
    table = np.where(x1 + x2 <= 10, 0.07 * x1 - 0.07 * x2 - 0.4, -np.inf)
    table[place] = table[place[0] - 1, place[1]] - fall
    assert margin_worst(table, "difference", False, 0.05).monotone is monotone


def test_a_claim_of_minus_infinity_above_a_finite_one_is_a_fall():
    table = np.where(np.add.outer(np.arange(9), np.arange(9)) <= 8, -0.5, -np.inf)
    table[8, 0] = -np.inf
    assert not margin_worst(table, "probit", False, 0.05).monotone


@pytest.mark.parametrize(
    ("kind", "share", "told"),
    [
        ("float32", 1.0, True),
        ("float16", 1.0, True),
        ("float64", 1.0, False),
        ("float32", 2.0, False),  # an error that rounding does not explain
    ],
)
@pytest.mark.parametrize("rowwise", [False, True])
def test_a_small_excess_in_few_digits_is_explained(kind, share, told, rowwise):
    def limits(counts, alpha):
        k, m = np.asarray(counts, dtype=float).T
        found = stats.beta.ppf(share * alpha, np.maximum(k, 1.0), m + 1.0)
        return np.where(k > 0, found, 0.0).astype(kind)

    def one(row, alpha):
        if row.ndim != 1:
            raise ValueError("one row")
        return limits(row[None], alpha)[0]

    report = audit(one if rowwise else limits, estimand="proportion", n=50, alpha=0.05)
    assert report.verdict == ("supported" if kind == "float64" else "refuted")
    assert any(f"returns {kind}, whose rounding" in note for note in report.notes) == told
