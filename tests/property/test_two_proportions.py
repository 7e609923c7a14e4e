"""Limits for two proportions: exact in rational arithmetic, valid by enumeration, monotone.

`coverage_studies/two_proportions.py` does the same for every table of up to 12 or 30 a side.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from rsverify import (
    audit,
    clopper_pearson_lower,
    clopper_pearson_upper,
    two_proportion_interval,
    two_proportion_lower,
    two_proportion_upper,
)
from rsverify.kernels.two_proportions.curve import curve_point, disc, value_of_limit, worst_point
from rsverify.kernels.two_proportions.ordering import likelihood_ratio_key, signed_root
from rsverify.kernels.two_proportions.supremum import proves_at_most
from rsverify.kernels.two_proportions.tail import point_tail, staircase_tail, window
from rsverify.reference import two_proportions as reference

ESTIMANDS = ("difference", "ratio", "odds-ratio")
ORDERINGS = ("likelihood-ratio", "bonferroni")
WITHIN = 1e-9


def load_study() -> ModuleType:
    path = Path(__file__).parents[2] / "coverage_studies" / "two_proportions.py"
    spec = importlib.util.spec_from_file_location("two_proportions_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load_study()


def empty_row() -> dict[str, Any]:
    counts = dict.fromkeys(("tables", "claims", "floor", "held_back"), 0)
    return counts | {"above": [], "low": [], "unequal": []}


def size(estimand: str, value: float) -> float:
    return 1.0 if estimand == "difference" else value


# ---------------------------------------------------------------- exact


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_every_small_table_is_decided_in_rational_arithmetic(estimand: str) -> None:
    row = empty_row()
    for n1, n2 in ((1, 1), (1, 4), (4, 1), (3, 3), (2, 5)):
        study.check_size(n1, n2, 0.05, estimand, reference.local_piece, row)
    assert row["tables"] == 4 + 10 + 10 + 16 + 18
    assert row["claims"] > 20
    assert row["above"] == row["low"] == row["unequal"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n1", "n2", "alpha"),
    [(7, 7, 0.01), (3, 11, 0.2), (12, 5, 1e-6), (1, 12, 0.5), (9, 2, 0.8)],
)
def test_tables_of_other_sizes_and_levels_are_too(n1: int, n2: int, alpha: float) -> None:
    for estimand in ESTIMANDS:
        row = empty_row()
        study.check_size(n1, n2, alpha, estimand, reference.local_piece, row)
        assert row["claims"] > 0
        assert row["above"] == row["low"] == row["unequal"] == []


@pytest.mark.slow
def test_limits_at_a_tiny_level_are_valid_and_few_are_low() -> None:
    """At 1e-10 the floats hold too few digits for a proof near the ends of the range."""
    low = 0
    for estimand in ESTIMANDS:
        row = empty_row()
        study.check_size(6, 8, 1e-10, estimand, reference.local_piece, row)
        assert row["above"] == row["unequal"] == []
        low += len(row["low"])
    assert low <= 12  # of 164


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize(("table", "alpha"), [((3, 4, 1, 5), 0.05), ((0, 2, 1, 3), 0.3)])
def test_the_reference_encloses_the_limit(
    table: tuple[int, int, int, int], alpha: float, estimand: str, ordering: str
) -> None:
    asked = {"estimand": estimand, "ordering": ordering}
    low, high = reference.two_proportion_bracket(*table, alpha, **asked)
    limit = Fraction(float(two_proportion_lower(*table, alpha, **asked)))
    assert high >= limit >= low - Fraction(WITHIN) * Fraction(size(estimand, float(low)))
    swapped = (*table[2:], *table[:2])
    upper = float(two_proportion_upper(*swapped, alpha, **asked))
    theirs = float(reference.two_proportion_upper(*swapped, alpha, **asked))
    assert upper == theirs or upper == pytest.approx(theirs, abs=1e-9, rel=1e-9)


def test_the_sets_of_the_study_are_those_of_the_reference() -> None:
    for estimand, (n1, n2) in zip(ESTIMANDS, ((2, 3), (3, 2), (2, 2)), strict=True):
        ordering = study.Ordering(n1, n2, 0.05, estimand)
        for x1, x2 in ((1, 0), (n1, n2 - 1)):
            steps = reference.outcome_set(
                x1, n1, x2, n2, mp.mpf(0.05), estimand, "likelihood-ratio"
            )
            assert steps == ordering.steps(x1, x2)


def test_known_limits() -> None:
    """One outcome in the set: (p2 + c) (1 - p2) to the n is largest at ((1 + c) / 2)^2."""
    for n, alpha in product((1, 4, 30, 1000), (0.05, 0.001)):
        assert two_proportion_lower(n, n, 0, n, alpha) == pytest.approx(
            2.0 * alpha ** (0.5 / n) - 1.0, abs=2e-9
        )
        for estimand in ESTIMANDS:
            lowest = -1.0 if estimand == "difference" else 0.0
            assert two_proportion_lower(0, n, n, n, alpha, estimand=estimand) == lowest
    assert two_proportion_lower(0, 9, 0, 9, 0.05, estimand="ratio") == 0.0
    assert two_proportion_upper(0, 9, 0, 9, 0.05, estimand="ratio") == np.inf
    assert two_proportion_upper(9, 9, 3, 9, 0.05, estimand="odds-ratio") == np.inf


# ---------------------------------------------------------------- valid


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("sizes", [(5, 5), (1, 9), (12, 3), (10, 14)])
def test_enumerated_non_coverage_is_at_most_alpha(sizes: tuple[int, int], estimand: str) -> None:
    for alpha in (0.05, 0.4):
        share = study.non_coverage(*sizes, alpha, estimand)
        assert 0.5 < share <= 1.0  # and most of alpha is used


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_audits_support_every_side(estimand: str, ordering: str) -> None:
    for name in ("lower", "upper", "interval"):
        limits = {
            "lower": two_proportion_lower,
            "upper": two_proportion_upper,
            "interval": two_proportion_interval,
        }[name]

        def bound(counts, alpha, limits=limits):
            x1, y1, x2, y2 = counts.T
            return limits(x1, x1 + y1, x2, x2 + y2, alpha, estimand=estimand, ordering=ordering)

        side = "two-sided" if name == "interval" else name
        report = audit(bound, estimand=f"two-proportion-{estimand}", n=8, alpha=0.05, side=side)
        assert report.verdict == "supported", (name, report)


def test_audits_find_the_limits_by_name() -> None:
    for name in ("two_proportion_lower", "two_proportion_upper", "two_proportion_interval"):
        report = audit(name, estimand="two-proportion-ratio", n=5, alpha=0.1)
        assert report.verdict == "supported"


@settings(max_examples=40)
@given(
    n1=st.integers(1, 400),
    n2=st.integers(1, 400),
    share1=st.floats(0, 1),
    share2=st.floats(0, 1),
    alpha=st.sampled_from([0.05, 0.5, 1e-3, 1e-9]),
    estimand=st.sampled_from(ESTIMANDS),
)
def test_no_probability_on_the_curve_is_above_alpha(
    n1: int, n2: int, share1: float, share2: float, alpha: float, estimand: str
) -> None:
    """The set of a limit, or the part of it that monotony names, by scipy's probabilities."""
    x1, x2 = round(share1 * n1), round(share2 * n2)
    limit = float(two_proportion_lower(x1, n1, x2, n2, alpha, estimand=estimand))
    lowest = -1.0 if estimand == "difference" else 0.0
    if limit == lowest or limit <= study.bonferroni_limits(n1, n2, alpha, estimand)[x1, x2]:
        return
    ordering_of = study.Ordering(n1, n2, alpha, estimand) if n1 * n2 < 200 else None
    # Monotone limits: the outcomes with at least x1 and at most x2 all have at least this limit.
    steps = ordering_of.steps(x1, x2) if ordering_of else [x1] * (x2 + 1) + [n1 + 1] * (n2 - x2)
    least = float(clopper_pearson_lower(x1, n1, 2e-11 * alpha)) if ordering_of else 0.0
    most = float(clopper_pearson_upper(x2, n2, 2e-11 * alpha)) if ordering_of else 1.0
    u = np.linspace(0.0, 1.0, 501)
    if estimand == "difference":
        u = max(0.0, -limit) + (1.0 - abs(limit)) * u
    elif estimand == "ratio":
        u = min(1.0, 1.0 / limit) * u
    else:
        u = np.linspace(-30.0, 30.0, 501)
    p1, _, p2, _ = study.point(estimand, np.asarray(limit), u)
    inside = (p1 >= least) & (p2 <= most)
    rows = binom.pmf(np.arange(n2 + 1), n2, p2[inside, None])
    tails = binom.sf(np.asarray(steps) - 1, n1, np.clip(p1[inside, None], 0.0, 1.0))
    assert ((rows * tails).sum(axis=1) <= alpha * (1.0 + 1e-8)).all()


# ---------------------------------------------------------------- what the docstring says


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.05, 1e-3, 1e-8])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_no_limit_is_below_bonferroni_s(alpha: float, estimand: str, ordering: str) -> None:
    for n1, n2 in ((1, 1), (1, 7), (6, 2), (9, 9), (13, 4), (40, 3)):
        x1, x2 = np.indices((n1 + 1, n2 + 1))
        limits = two_proportion_lower(x1, n1, x2, n2, alpha, estimand=estimand, ordering=ordering)
        floor = study.bonferroni_limits(n1, n2, alpha, estimand)
        assert (limits - floor >= -WITHIN * np.maximum(1.0, floor)).all()


@settings(max_examples=40)
@given(
    n1=st.integers(1, 60),
    n2=st.integers(1, 60),
    alpha=st.sampled_from([0.7, 0.05, 1e-3, 1e-10]),
    estimand=st.sampled_from(ESTIMANDS),
    ordering=st.sampled_from(ORDERINGS),
    data=st.data(),
)
def test_limits_are_monotone_in_range_and_symmetric(
    n1: int, n2: int, alpha: float, estimand: str, ordering: str, data: st.DataObject
) -> None:
    asked = {"estimand": estimand, "ordering": ordering}
    x1 = np.arange(n1 + 1)
    x2 = data.draw(st.integers(0, n2))
    limits = np.asarray(two_proportion_lower(x1, n1, x2, n2, alpha, **asked))
    slack = WITHIN * np.maximum(1.0, limits[1:])
    assert (np.diff(limits) >= -slack).all()
    if x2 > 0:
        more = np.asarray(two_proportion_lower(x1, n1, x2 - 1, n2, alpha, **asked))
        assert (more >= limits - WITHIN * np.maximum(1.0, limits)).all()
    assert np.isfinite(limits).all()
    assert (limits >= (-1.0 if estimand == "difference" else 0.0)).all()
    if estimand != "ratio":  # successes for failures, and the samples exchanged
        other = two_proportion_lower(n2 - x2, n2, n1 - x1, n1, alpha, **asked)
        assert np.allclose(limits, other, rtol=1e-8, atol=1e-8)
    upper = np.asarray(two_proportion_upper(x1, n1, x2, n2, alpha, **asked))
    if alpha < 0.3:
        assert (limits <= upper).all()


def test_the_default_is_larger_at_most_outcomes_or_on_average() -> None:
    x1, x2 = np.indices((21, 21))
    for estimand in ESTIMANDS:
        default, other = (
            np.asarray(two_proportion_lower(x1, 20, x2, 20, 0.025, estimand=estimand, ordering=o))
            for o in ORDERINGS
        )
        if estimand == "odds-ratio":
            both = (default > 0) & (other > 0)
            assert np.log(default[both] / other[both]).mean() > 0.05
        else:
            assert (default > other + 1e-9).mean() > 3 * (default < other - 1e-9).mean()


# ---------------------------------------------------------------- the parts of the proof


@settings(max_examples=60)
@given(
    n1=st.integers(1, 40),
    n2=st.integers(1, 40),
    p1=st.floats(0, 1),
    p2=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_tail_and_its_derivatives(n1: int, n2: int, p1: float, p2: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.integers(0, n1 + 2, n2 + 1))
    value = point_tail(steps, n1, n2, p1, 1.0 - p1, p2, 1.0 - p2, 1e-30)
    with mp.workdps(40):
        a, b = mp.mpf(p1), mp.mpf(p2)

        def tail(a: mp.mpf, b: mp.mpf) -> mp.mpf:
            one = [mp.binomial(n1, k) * a**k * (1 - a) ** (n1 - k) for k in range(n1 + 1)]
            return sum(
                mp.binomial(n2, j) * b**j * (1 - b) ** (n2 - j) * mp.fsum(one[int(s) :])
                for j, s in enumerate(steps)
            )

        exact = tail(a, b)
        assert abs(value - exact) <= 3e-12 * exact + mp.mpf("1e-29")
        if 1e-3 < p1 < 1 - 1e-3 and 1e-3 < p2 < 1 - 1e-3:
            rows = window(n1, n2, p1, 1.0 - p1, p2, 1.0 - p2, p2, 1.0 - p2, 1e-30)
            _, along1, along2 = staircase_tail(steps, *rows, n1, n2, p1, 1.0 - p1, p2, 1.0 - p2)
            h = mp.mpf("1e-15")
            slope1 = (tail(a + h, b) - tail(a - h, b)) / (2 * h)
            slope2 = (tail(a, b - h) - tail(a, b + h)) / (2 * h)
            assert abs(along1 - slope1) <= 1e-9 * slope1 + mp.mpf("1e-12")
            assert abs(along2 - slope2) <= 1e-9 * slope2 + mp.mpf("1e-12")


@settings(max_examples=60)
@given(
    estimand=st.sampled_from([0, 1, 2]),
    n1=st.integers(1, 30),
    n2=st.integers(1, 30),
    place=st.floats(0.01, 0.99),
    radius=st.floats(1e-4, 0.9),
    angle=st.floats(0, 6.3),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_complex_value_exceeds_the_bound_on_its_disc(
    estimand: int, n1: int, n2: int, place: float, radius: float, angle: float, seed: int
) -> None:
    """Where the enclosure rests: |P(S)| on the circle against the bound of the disc."""
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.integers(0, n1 + 2, n2 + 1))
    limit = float(rng.uniform(-0.9, 0.9))
    u = place if estimand == 1 else place * (1.0 - abs(limit)) if estimand == 0 else 8 * place - 4
    growth, p1, q1, p2, q2, _, _ = disc(estimand, limit, n1, n2, u, radius)
    bound = np.exp(growth) * point_tail(steps, n1, n2, p1, q1, p2, q2, 1e-30)
    z = u + radius * np.exp(1j * angle)
    if estimand == 0:
        a, b = z + max(limit, 0.0), z + max(-limit, 0.0)
    elif estimand == 1:
        a, b = z * np.exp(min(limit, 0.0)), z * np.exp(-max(limit, 0.0))
    else:
        a, b = 1.0 / (1.0 + np.exp(-z - limit)), 1.0 / (1.0 + np.exp(-z))
    k, j = np.arange(n1 + 1), np.arange(n2 + 1)
    choose1 = np.array([float(mp.binomial(n1, int(i))) for i in k])
    choose2 = np.array([float(mp.binomial(n2, int(i))) for i in j])
    one = choose1 * a**k * (1 - a) ** (n1 - k)
    tails = np.append(np.cumsum(one[::-1])[::-1], 0.0)[steps]
    value = abs((choose2 * b**j * (1 - b) ** (n2 - j) * tails).sum())
    largest = (choose1 * abs(a) ** k * abs(1 - a) ** (n1 - k)).sum()
    assert value <= bound * (1 + 1e-9) + 1e-13 * largest


def test_points_of_a_curve_and_the_limit_returned() -> None:
    for limit in (-0.7, 0.0, 0.3):
        p1, _, p2, _ = curve_point(0, limit, 0.1)
        assert p1 - p2 == pytest.approx(limit, abs=1e-15)
        p1, _, p2, _ = curve_point(1, limit, 0.1)
        assert p1 / p2 == pytest.approx(np.exp(limit), rel=1e-14)
        p1, q1, p2, q2 = curve_point(2, limit, 0.1)
        assert p1 * q2 / (q1 * p2) == pytest.approx(np.exp(limit), rel=1e-14)
        with mp.workdps(30):
            assert mp.mpf(value_of_limit(1, limit)) <= mp.exp(mp.mpf(limit))


@pytest.mark.parametrize("estimand", [0, 1, 2])
def test_points_are_rounded_toward_a_larger_probability(estimand: int) -> None:
    """Also where p2 is next to 1, as a difference, and where it is tiny, without becoming 0."""
    rng = np.random.default_rng(estimand)
    with mp.workdps(60):
        for _ in range(400):
            size = 10.0 ** -rng.uniform(0.0, 14.0)
            limit = float(rng.choice([-1.0, 1.0]) * size * (0.999 if estimand == 0 else 40.0))
            near = 10.0 ** -rng.uniform(0.0, 15.0)
            share = near if rng.random() < 0.5 else 1.0 - near
            end = 1.0 - abs(limit) if estimand == 0 else 1.0
            u = 60.0 * share - 30.0 if estimand == 2 else min(share * end, end)
            exact, c = mp.mpf(u), mp.mpf(limit)
            if estimand == 0:
                first, second = exact + max(c, 0), exact + max(-c, 0)
            elif estimand == 1:
                first, second = exact * mp.exp(min(c, 0)), exact * mp.exp(min(-c, 0))
            else:
                first, second = 1 / (1 + mp.exp(-exact - c)), 1 / (1 + mp.exp(-exact))
            p1, q1, p2, q2 = map(mp.mpf, worst_point(estimand, limit, u))
            # The smaller of p and q is the one that is read.
            assert p1 >= min(first, 1) if p1 <= q1 else q1 <= max(1 - first, 0)
            assert 0 < p2 <= second if p2 <= q2 else q2 >= 1 - second


@pytest.mark.parametrize("c", [1e14, 3e15, 1e17])
def test_nothing_false_is_proved_where_a_probability_is_tiny(c: float) -> None:
    """S is one success of one against none of n2: at p1 = 1 its probability is (1 - 1/c)^n2."""
    n2 = 100_000
    steps = np.full(n2 + 1, 2)
    steps[0] = 1
    with mp.workdps(40):
        rest = 1 - (1 - 1 / mp.mpf(c)) ** n2  # 1e-9 to 1e-12
    for bound in (1.0 - 1e-6, 1.0 - 1e-8, 1.0 - 1e-9, 1.0 - 1e-10):
        proved, _ = proves_at_most(steps, 1, n2, 1, np.log(c), bound, 0.0, 1.0, 1.4, 1e-13)
        assert not proved or 1 - rest <= bound
    assert proves_at_most(steps, 1, n2, 1, np.log(1e10), 1 - 1e-6, 0.0, 1.0, 1.4, 1e-13)[0]


@pytest.mark.parametrize("n2", [60_000, 100_000])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_limits_next_to_level_one_are_valid(n2: int, ordering: str) -> None:
    """The largest valid limit of the topmost outcome of a ratio: 1 / (1 - alpha^(1 / n2))."""
    for power in range(2, 16):
        alpha = 1.0 - 10.0**-power
        with mp.workdps(40):
            largest = 1 / (1 - mp.mpf(alpha) ** (mp.mpf(1) / n2))
            limit = two_proportion_lower(1, 1, 0, n2, alpha, estimand="ratio", ordering=ordering)
            assert 0 < mp.mpf(float(limit)) <= largest


@pytest.mark.parametrize("estimand", [0, 1, 2])
def test_an_outcome_s_place_in_the_ordering_is_rounded_down(estimand: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        n1, n2 = (int(n) for n in rng.integers(1, 60, 2))
        x1, x2 = int(rng.integers(1, n1 + 1)), int(rng.integers(0, n2))
        key = likelihood_ratio_key(estimand, x1, x2, n1, n2, 1.6)
        root = signed_root(estimand, x1 - 0.2, x2 + 0.2, n1, n2, key)
        assert 1.6 - 1e-13 <= root <= 1.6 + 1.1e-11


def test_published_intervals_are_close() -> None:
    """Two one-sided tests ordered by a score (SAS, StatXact): another ordering, nearly as long."""
    for table, estimand, (low, high), _ in study.PUBLISHED:
        lower, upper = two_proportion_interval(*table, 0.05, estimand=estimand)
        if estimand == "difference":
            assert float(upper - lower) == pytest.approx(high - low, abs=0.02)
        else:  # in logarithms; the score ordering's upper limits can be far above
            assert float(upper / lower) < 1.25 * high / low
