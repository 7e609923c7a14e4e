"""P-values: nulls, failures, levels, and arguments that are refused."""

from collections import namedtuple
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from support.claims.pvalues import binomial, hoeffding, mcnemar

from rsverify import Estimand, audit_test
from rsverify.auditing.claims.null import null_scenarios
from rsverify.auditing.estimand import ESTIMANDS, quantile
from rsverify.auditing.scenario import MOVED

COUNTS = {"estimand": "proportion", "n": 20}


def test_every_level_has_its_row_and_the_witness_is_of_the_worst_one():
    def normal(counts):
        return stats.norm.sf((counts[:, 0] - 10) / np.sqrt(5))

    report = audit_test(normal, null=(None, 0.5), alpha=(0.1, 0.01, 0.05), **COUNTS)
    assert [r.scenario.partition(";")[0] for r in report.rows] == [
        "P(p <= 0.01)",
        "P(p <= 0.05)",
        "P(p <= 0.1)",
    ]
    exact = [stats.binom.sf(k, 20, 0.5) for k in (15, 13, 12)]
    assert [r.miscoverage for r in report.rows] == pytest.approx(exact, rel=1e-9)
    assert [r.verdict for r in report.rows] == ["supported", "refuted", "refuted"]
    assert report.worst.allowed == 0.1, "0.1316 and not 0.0577"
    assert report.witness.probability == pytest.approx(exact[2])
    found = "The p-value is at most 0.1 with probability 13.2 % at p=1/2, where 10 % is allowed"
    assert report.conclusion.startswith(found)
    assert "are rejected" in str(report)
    assert "alpha=0.01, 0.05, 0.1" in str(report)
    assert report.design["levels"] == [0.01, 0.05, 0.1]


def test_a_p_value_at_a_level_is_a_rejection():
    def fair(counts):
        return np.where(counts[:, 0] == 0, 0.25, 1.0)

    options = {"estimand": "proportion", "n": 1, "null": (0.5, None)}
    assert audit_test(fair, alpha=0.25, **options).worst.miscoverage == pytest.approx(0.5)
    assert audit_test(fair, alpha=0.249, **options).worst.miscoverage == 0.0


@pytest.mark.parametrize("null", [0.3, (0.3, 0.3), (0.1, 0.3), (None, 0.3)])
def test_the_null_is_where_the_maximum_is_taken(null):
    report = audit_test(lambda c: binomial(c, p0=0.3), null=null, alpha=0.05, **COUNTS)
    worst = stats.binom.sf(9, 20, 0.3)
    assert report.worst.miscoverage == pytest.approx(worst, rel=1e-6)
    assert report.worst.truth == pytest.approx(0.3)


def test_a_middle_null_is_searched_inside():
    """Rejecting in the middle: the largest probability is inside the null."""

    def middle(counts):
        return np.where(counts[:, 0] == 10, 0.01, 1.0)

    report = audit_test(middle, null=(0.2, 0.9), alpha=0.05, **COUNTS)
    assert report.worst.miscoverage == pytest.approx(stats.binom.pmf(10, 20, 0.5))
    assert report.worst.truth == pytest.approx(0.5, abs=0.01)


def test_pairs_that_count_more_than_what_differs_are_simulated():
    def both(pairs):
        return np.where(pairs[:, 0] > 12, 0.001, mcnemar(pairs))

    options = {"estimand": "paired-difference", "n": 15, "alpha": 0.05}
    assert audit_test(mcnemar, null=(None, 0), **options).rows[0].replications == 0
    report = audit_test(both, null=(None, 0), **options)
    assert report.rows[0].replications > 0


def test_failures_reject_at_every_level():
    def nan(counts):
        return np.where(counts[:, 0] > 18, np.nan, 1.0)

    report = audit_test(nan, null=0.99, alpha=0.05, **COUNTS)
    assert report.verdict == "refuted"
    assert report.failures[0].message == "the p-value is NaN"
    negative = audit_test(
        lambda c: np.where(c[:, 0] > 18, -1.0, 1.0), null=0.99, alpha=0.05, **COUNTS
    )
    assert negative.verdict == "refuted"
    assert "below 0" in negative.failures[0].message


@pytest.mark.parametrize(("power", "verdict"), [(1.0, "supported"), (1.5, "refuted")])
def test_a_random_p_value_of_one_row_is_simulated(power, verdict):
    """It is another one on every row each time, and not because of other rows."""
    rng = np.random.default_rng(3)

    def drawn(row):
        if np.ndim(row) != 1:
            raise ValueError("one row")
        return rng.random() ** power

    report = audit_test(drawn, null=(None, 0.5), alpha=0.05, **COUNTS)
    assert (report.verdict, report.failures) == (verdict, [])
    assert report.worst.replications > 0


def test_rates_far_above_the_counts_that_are_tried_otherwise():
    """An exposure of 400 at a rate of 2: 800 events are expected."""

    def few(counts, slip=0):
        return stats.poisson.cdf(counts[:, 0] - slip, 2.0 * counts[:, 1])

    asked = {"estimand": "poisson-rate", "n": 400, "alpha": 0.05}
    report = audit_test(few, null=(2.0, None), **asked)
    assert report.verdict == "supported"
    k = stats.poisson.ppf(0.05, 800) - 1
    assert report.worst.miscoverage == pytest.approx(stats.poisson.cdf(k, 800), rel=1e-9)
    assert audit_test(lambda c: few(c, 5), null=2.0, **asked).verdict == "refuted"


def test_what_holds_at_every_level_is_said_once():
    report = audit_test(binomial, null=(None, 0.5), **COUNTS)
    assert len([note for note in report.notes if "attributed to rounding" in note]) == 1
    assert len([note for note in report.notes if "asked again" in note]) == 3


def test_a_message_does_not_tell_of_sides():
    def with_statistic(counts):
        return counts[:, 0], binomial(counts)

    with pytest.raises(ValueError, match="one p-value per replication") as error:
        audit_test(with_statistic, null=0.5, **COUNTS)
    assert "side" not in str(error.value)


def test_above_one_rejects_nothing():
    assert audit_test(lambda c: np.full(len(c), 3.0), null=0.5, **COUNTS).verdict == "supported"


def test_results_with_a_p_value_are_taken():
    def scipy_test(x):
        return stats.ttest_1samp(x, 0.0, alternative="greater")

    normal = Estimand(
        draw=lambda rng, rows, n, sd: rng.normal(0.0, sd, (rows, n)),
        truth=lambda sd: 0.0 * sd,
        scenarios={"one": {"sd": 1.0}},
    )
    report = audit_test(scipy_test, null=0.0, estimand=normal, n=5, alpha=0.05, replications=2000)
    assert report.verdict != "refuted"
    assert report.failures == []


def test_a_search_finds_a_narrow_fault_in_the_null():
    def narrow(x):
        inside = ((x > 0.4) & (x < 0.45)).all(axis=1)
        return np.where(inside, 0.0, 1.0)

    report = audit_test(narrow, null=(None, 0.5), n=5, alpha=0.05, method="search", seed=1)
    assert report.verdict == "refuted"


def test_scenarios_must_be_in_the_null():
    law = {"law": ("points", (0.0, 1.0), (0.3, 0.7))}
    with pytest.raises(ValueError, match=r"its estimand is 0\.7"):
        audit_test(hoeffding, null=(None, 0.5), n=5, scenarios={"bad": law})
    own = Estimand(lambda rng, r, n, m: rng.random((r, n)) + m, lambda m: m, {"1": {"m": 1.0}})
    with pytest.raises(ValueError, match="must hold a distribution"):
        audit_test(hoeffding, null=0.0, n=5, estimand=own)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"null": (0.1, 0.2, 0.3)}, "must be a number or a pair"),
        ({"null": (2.0, 3.0)}, "must hold values"),
        ({"null": 0.5, "alpha": ()}, "at least one level"),
        ({"null": 0.5, "alpha": (0.05, 2.0)}, "alpha=2"),
        ({"null": 0.5, "resume": True}, "needs store"),
        ({"null": 0.5, "store": "x", "alpha": (0.1, 0.2)}, "single level"),
        ({"null": 0.5, "method": "fast"}, "method="),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        audit_test(hoeffding, n=5, **options)


def test_the_report_of_an_interrupted_audit_is_continued(tmp_path):
    options = {"null": (None, 0.5), "n": 5, "alpha": 0.05, "store": tmp_path / "blocks"}
    short = audit_test(hoeffding, replications=500, **options)
    again = audit_test(hoeffding, resume=True, **options)
    assert short.rows[0].replications <= again.rows[0].replications
    assert again.rows == audit_test(hoeffding, null=(None, 0.5), n=5, alpha=0.05).rows


Result = namedtuple("Result", "statistic pvalue")


@pytest.mark.parametrize(
    "returned",
    [
        lambda p: [SimpleNamespace(pvalue=each) for each in p],
        lambda p: [Result(0.0, each) for each in p],
        lambda p: tuple(Result(1.0, np.float32(each)) for each in p),
        lambda p: [Fraction(float(each)) for each in p],
        lambda p: [Decimal(float(each)) for each in p],
        lambda p: SimpleNamespace(statistic=p, pvalue=p.tolist()),
    ],
    ids=["objects", "named tuples", "float32", "fractions", "decimals", "one result"],
)
def test_results_and_exact_numbers_of_every_kind_are_p_values(returned):
    report = audit_test(lambda c: returned(binomial(c)), null=(None, 0.5), alpha=0.05, **COUNTS)
    right = audit_test(binomial, null=(None, 0.5), alpha=0.05, **COUNTS)
    assert report.worst.miscoverage == pytest.approx(right.worst.miscoverage, rel=1e-6)
    assert not report.failures


@pytest.mark.parametrize(
    "test",
    [
        lambda c: (c[:, 0], binomial(c)),
        lambda c: np.stack([c[:, 0], binomial(c)], axis=1),
        lambda row: (float(row[0]), 0.5),
        lambda row: [int(row[0]), min(1.0, float(row[1]))],
    ],
)
def test_a_statistic_beside_the_p_value_is_recognized(test):
    with pytest.raises((TypeError, ValueError), match="is it a statistic and its p-value") as error:
        audit_test(test, null=(None, 0.5), **COUNTS)
    assert "one limit" not in str(error.value)


def test_texts_are_no_p_values():
    with pytest.raises(TypeError, match="returned text and no numbers"):
        audit_test(lambda c: np.array(["0.5"] * len(c), dtype=object), null=0.5, **COUNTS)


def test_levels_and_nulls_may_be_arrays():
    asked = {"null": np.array([0.0, 0.5]), "alpha": np.array([0.05, 0.1])}
    report = audit_test(binomial, **asked, **COUNTS)
    assert report.rows == audit_test(binomial, null=(0.0, 0.5), alpha=(0.05, 0.1), **COUNTS).rows


@pytest.mark.parametrize(
    ("estimand", "end"), [("mean", 0.3), ("mean", 0.97), ("variance", 0.04), ("binary-mean", 0.2)]
)
def test_a_distribution_that_was_moved_is_named_as_it_is_and_tried_once(estimand, end):
    """The name ends with points and probabilities, or the parameters, of what is drawn."""
    thing = ESTIMANDS[estimand]
    found = null_scenarios(thing, (-np.inf, end), 20, 0.05, None)
    moved = {name: p["law"] for name, p in found.items() if MOVED in name}
    assert moved
    points = []
    for name, law in moved.items():
        told = name.partition(MOVED)[2]
        if law[0] == "beta":
            assert told == f"Beta({law[1]:.4g}, {law[2]:.4g})"
            continue
        values, _, shares = told.partition(" with ")
        values = [float(v) for v in values.replace(" or ", ", ").split(", ")]
        weights = [float(w) for w in shares.split(", ")]
        assert sum(weights) == pytest.approx(1.0, abs=1e-3)
        mean = np.dot(values, weights)
        found_there = mean if estimand != "variance" else np.dot((values - mean) ** 2, weights)
        assert found_there == pytest.approx(end, rel=1e-2)
        points.append(told)
    assert len(points) == len(set(points))


def test_a_quantile_that_was_moved_says_by_how_much():
    found = null_scenarios(quantile(0.25), (-np.inf, 7.0), 20, 0.05, None)
    assert any(name.endswith("uniform, moved: shifted by 6.75") for name in found)
