"""E-values: stopping times, predictability, failures, and arguments that are refused."""

import re
import warnings
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from support.claims.evalues import breathing, wealth

from rsverify import Estimand, audit_capital, audit_e_value
from rsverify.auditing.estimand import ESTIMANDS


def test_an_e_process_need_not_be_a_supermartingale():
    report = audit_e_value(breathing, null=(None, 0.5), n=6)
    assert report.verdict == "supported"

    def against(x, m, _):
        return breathing(x - m + 0.5)

    assert audit_capital(against, n=6, alpha=0.05).verdict == "refuted"


def test_a_stopping_time_is_found_that_no_fixed_time_is_as_bad_as():
    def at_once(x):
        """Fair on average at each time, not where one stops."""
        w = np.ones_like(x)
        w[:, 1] = np.where(x[:, 0] > 0.5, 2.0, 0.0)
        w[:, 2:] = np.where(x[:, 0] > 0.5, 0.0, 2.0)[:, None]
        return w

    fair = {"estimand": "binary-mean", "null": 0.5, "n": 4}
    fixed = [
        audit_e_value(lambda x, t=t: at_once(x)[:, t], **fair).worst.miscoverage for t in range(4)
    ]
    report = audit_e_value(at_once, **fair)
    assert max(fixed) == pytest.approx(1.0)
    assert report.verdict == "refuted"
    assert report.worst.miscoverage >= 1.5


def test_a_process_that_knows_what_comes_is_refuted_also_late():
    def late(x):
        w = wealth(x, 0.1)
        w[:, 30] *= np.where(x[:, 31] > x[:, 30], 1.001, 0.999)
        return w

    report = audit_e_value(late, null=(None, 0.5), n=40)
    assert report.verdict == "refuted"
    assert "changes with later observations" in str(report)


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (lambda x: np.full(len(x), np.nan), "the e-value is NaN"),
        (lambda x: np.where(x.sum(axis=1) > 1, np.inf, 0.5), "the e-value is infinite"),
        (lambda x: np.where(x.sum(axis=1) > 1, -0.5, 0.5), "an e-value is negative"),
        (lambda x: np.log(wealth(x)), "the logarithm of one?"),
    ],
)
def test_failures_count(e, text):
    report = audit_e_value(e, null=(None, 0.5), n=5)
    assert report.verdict == "refuted"
    assert any(text in f.message for f in report.failures)
    assert len(report.failures) == 1, "one line for one fault"


def of_one_sample(x):
    """A loop over observations, which takes a table for one sample of rows."""
    value, path = 1.0, []
    for each in x:
        value = value * (1.0 + (each - 0.5))
        path.append(value)
    return path


@pytest.mark.parametrize("n", [5, 13])
def test_a_loop_over_the_observations_of_one_sample_is_called_with_one(n):
    asked = {"null": (None, 0.5), "n": n, "replications": 500}
    report = audit_e_value(of_one_sample, **asked)
    assert report.failures == []
    assert [(r.scenario, r.miscoverage) for r in report.rows] == [
        (r.scenario, pytest.approx(r.miscoverage)) for r in audit_e_value(wealth, **asked).rows
    ]


def test_a_loop_that_grows_is_refuted_for_that():
    def grows(x):
        return [1.2 * value for value in of_one_sample(x)]

    report = audit_e_value(grows, null=(None, 0.5), n=5)
    assert report.verdict == "refuted"
    assert report.worst.miscoverage == pytest.approx(1.2)


def score_wealth(scores, peek=0):
    """Bets that class 0 has a larger score than each other; with peek=1 not where it has not.

    The least of the capitals: one of the others is the runner-up.
    """
    gaps = scores[:, :, :1] - scores[:, :, 1:]
    gaps = np.maximum(gaps, 0.0) if peek else gaps
    return np.cumprod(1.0 + gaps, axis=1).min(axis=2)


@pytest.mark.parametrize("estimand", ["score-difference", "score-probit"])
@pytest.mark.parametrize(("peek", "verdict"), [(0, "supported"), (1, "refuted")])
def test_all_paths_of_few_scores_are_summed(estimand, peek, verdict):
    options = {"null": (None, 0.0), "estimand": estimand, "n": 8}
    report = audit_e_value(lambda x: score_wealth(x, peek), **options)
    assert report.verdict == verdict
    assert {row.replications > 0 for row in report.rows} >= {False}
    assert all(row.truth <= 1e-9 for row in report.rows)


def test_the_expectation_over_paths_of_scores_is_the_sum():
    """Two rows of scores whose gaps are 0.4 and -0.6: E = 1 + (0.6)(0.4) - (0.4)(0.6) each time."""
    rows = ((0.7, 0.3, 0.0), (0.2, 0.8, 0.0))
    law = {"law": ("points", rows, (0.6, 0.4))}
    thing = Estimand(
        ESTIMANDS["score-difference"].draw,
        ESTIMANDS["score-difference"].truth,
        {"two rows": law},
        name="scores",
    )
    report = audit_e_value(lambda x: 1.25 * score_wealth(x), null=(None, 0.0), estimand=thing, n=6)
    assert report.worst.miscoverage == pytest.approx(1.25, rel=1e-12)
    assert report.worst.replications == 0


def test_e_values_in_a_column_are_one_each():
    asked = {"null": (None, 0.5), "n": 5, "replications": 2000}
    column = audit_e_value(lambda x: wealth(x)[:, -1:], **asked)
    assert column.rows == audit_e_value(lambda x: wealth(x)[:, -1], **asked).rows


@pytest.mark.parametrize(("most", "verdict"), [(2.0, "supported"), (3.0, "refuted")])
def test_random_e_values_of_one_row_of_counts_are_simulated(most, verdict):
    rng = np.random.default_rng(5)

    def drawn(row):
        if np.ndim(row) != 1:
            raise ValueError("one row")
        return most * rng.random()

    report = audit_e_value(drawn, null=(None, 0.5), estimand="proportion", n=20)
    assert (report.verdict, report.failures) == (verdict, [])
    assert report.worst.replications > 0


def test_rates_far_above_the_counts_that_are_tried_otherwise():
    """An exposure of 400 at a rate of 2: 800 events are expected."""

    def fewer(counts):
        k, n = counts.T
        return np.exp(k * np.log(0.9) + 0.2 * n)

    asked = {"estimand": "poisson-rate", "n": 400}
    assert audit_e_value(fewer, null=(2.0, None), **asked).verdict == "supported"
    report = audit_e_value(lambda c: 1.1 * fewer(c), null=(2.0, None), **asked)
    assert report.worst.miscoverage == pytest.approx(1.1)


def test_e_values_that_change_with_the_other_rows_are_refuted():
    report = audit_e_value(lambda x: x[:, 0] / x[:, 0].mean(), null=(None, 0.5), n=5)
    assert report.verdict == "refuted"


@pytest.mark.parametrize("k", [2, 3, 5])
def test_rules_for_one_point_and_for_several_are_judged_alike(k):
    for one, several in (
        (lambda e: np.sort(e)[-1], lambda e: e.max(axis=1)),
        (lambda e: e[0], lambda e: e[:, 0]),
        (lambda e: np.sum(e) / len(e), lambda e: e.mean(axis=1)),
    ):
        rows = audit_e_value(one, inputs="e-values", n=k).rows
        assert rows == audit_e_value(several, inputs="e-values", n=k).rows


def test_a_random_e_value_is_simulated():
    rng = np.random.default_rng(3)

    def halved(counts):
        return 2.0 * (rng.random(len(counts)) < 0.25)

    report = audit_e_value(halved, null=0.3, estimand="proportion", n=5)
    assert report.verdict == "supported"
    assert report.rows[0].replications > 0


def test_the_random_number_leaves_counts_integers():
    def integers_only(counts):
        assert counts.dtype.kind == "i"
        return np.full(len(counts), 0.5) + 1e-9 * np.random.default_rng().random(len(counts))

    assert audit_e_value(integers_only, null=0.3, estimand="proportion", n=5).verdict == "supported"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n": 4}, "null=None"),
        ({"n": 4, "null": (0.6, 0.5)}, "null="),
        ({"n": 4, "null": 2.0}, "must hold values"),
        ({"n": 0, "null": 0.5}, "n=0"),
        ({"n": 4, "null": 0.5, "inputs": "e-values"}, "must be None"),
        ({"n": 11, "inputs": "e-values"}, "at most 10"),
        ({"n": 4, "inputs": "evalues"}, "inputs="),
        ({"n": 4, "null": 0.5, "alpha": 1.5}, "alpha=1.5"),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        audit_e_value(lambda x: x[:, 0], **options)


def test_what_fails_on_every_call_is_an_error():
    def broken(_):
        raise KeyError("nothing")

    with pytest.raises(ValueError, match=r"e=broken fails on every call"):
        audit_e_value(broken, null=0.5, n=4)


@pytest.mark.parametrize("estimand", ["proportion", "hypergeometric", "poisson-rate"])
def test_an_infinite_e_value_fails_where_it_has_a_probability(estimand):
    """Of p = 0, no success in the population, or a rate of 0 nobody sees a success."""

    def impossible(counts):
        return np.where(counts[:, 0] > 0, np.inf, 1.0)

    asked = {"estimand": estimand, "n": 6}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        never = audit_e_value(impossible, null=0.0, **asked)
    assert (never.verdict, never.failures) == ("supported", [])
    at_times = audit_e_value(impossible, null=(0.0, 1.0), **asked)
    assert at_times.verdict == "refuted"
    assert [(f.kind, f.message) for f in at_times.failures] == [
        ("infinite", "the e-value is infinite")
    ]


@pytest.mark.parametrize("alpha", [0.05, 0.2, [0.05, 0.2]])
def test_an_undecided_sentence_has_one_scale(alpha):
    """The expectation lies in the interval that is said behind it."""

    def bold(x):
        return np.cumprod(1.0 + 1.3 * (x - 0.3), axis=1)

    asked = {"null": (None, 0.3), "n": 6, "alpha": alpha, "replications": 600}
    report = audit_e_value(bold, **asked)
    assert report.verdict == "inconclusive"
    value, low, high = map(
        float,
        re.search(r"is ([\d.]+) under .* of ([\d.]+) to ([\d.]+)[;.]", report.conclusion).groups(),
    )
    assert low < value < high
    assert "%" not in report.conclusion


def test_exact_numbers_are_e_values():
    def ratio(counts):
        return [Fraction(3, 2) ** int(k) * Fraction(1, 2) ** int(m) for k, m in counts]

    report = audit_e_value(ratio, null=(None, 0.5), estimand="proportion", n=6)
    assert report.verdict == "supported"
    assert report.worst.miscoverage == pytest.approx(1.0)


def restarted(x, share=True):
    """Shiryaev and Roberts: the capitals of all who begin at some time, shared by n."""
    total, out = np.zeros(len(x)), np.empty_like(x)
    for t in range(x.shape[1]):
        total = (1.0 + total) * (1.0 + (x[:, t] - 0.5))
        out[:, t] = total / (x.shape[1] if share else t + 1.0)
    return out


def best_restart(x):
    """CUSUM: the capital since the best time to begin."""
    capital, out = np.zeros(len(x)), np.empty_like(x)
    for t in range(x.shape[1]):
        capital = np.maximum(capital, 1.0) * (1.0 + (x[:, t] - 0.5))
        out[:, t] = capital
    return out


def cross_fitted(x, product=False):
    """Universal inference by halves, and the halves exchanged."""
    half = x.shape[1] // 2

    def one(fit, rest):
        p = np.clip(fit.mean(axis=1, keepdims=True), 0.5, 0.99)
        return np.prod(np.where(rest > 0.5, 2 * p, 2 - 2 * p), axis=1)

    a, b = one(x[:, :half], x[:, half:]), one(x[:, half:], x[:, :half])
    return a * b if product else (a + b) / 2


def adjusted_maximum(x, scale=0.5):
    """The running maximum, by a calibrator of 1/maximum."""
    return scale * np.sqrt(np.maximum.accumulate(np.maximum(wealth(x), 1.0), axis=1))


@pytest.mark.parametrize(
    ("e", "estimand", "verdict"),
    [
        (restarted, "mean", "supported"),
        (partial(restarted, share=False), "mean", "refuted"),
        (best_restart, "mean", "refuted"),
        (adjusted_maximum, "mean", "supported"),
        (partial(adjusted_maximum, scale=1.0), "mean", "refuted"),
        (cross_fitted, "binary-mean", "supported"),
        (partial(cross_fitted, product=True), "binary-mean", "refuted"),
    ],
)
def test_e_values_of_change_detection_and_of_halves(e, estimand, verdict):
    report = audit_e_value(e, null=(None, 0.5), estimand=estimand, n=8)
    assert report.verdict == verdict, str(report)


@pytest.mark.parametrize(
    ("rule", "inputs", "verdict"),
    [
        (lambda e: np.cumprod(e, axis=1).mean(axis=1), "sequential e-values", "supported"),
        (lambda e: np.cumprod(e, axis=1).max(axis=1), "sequential e-values", "refuted"),
        (lambda e: np.where(e == 0, 1, e).prod(axis=1), "independent e-values", "refuted"),
        (lambda e: ((1 + e) / 2).prod(axis=1), "sequential e-values", "supported"),
        (lambda e: ((1 + e) / 2).prod(axis=1), "e-values", "refuted"),
        (lambda e: e.max(axis=1) / e.shape[1], "e-values", "supported"),
        (lambda e: (e**2).sum(axis=1) / (e.sum(axis=1) + 1e-9), "independent e-values", "refuted"),
        (
            lambda e: np.where(e[:, 1] > 1, e[:, 0] * e[:, 1], e[:, 1]),
            "sequential e-values",
            "refuted",
        ),
    ],
)
def test_rules_that_stop_skip_and_choose(rule, inputs, verdict):
    assert audit_e_value(rule, inputs=inputs, n=4).verdict == verdict
