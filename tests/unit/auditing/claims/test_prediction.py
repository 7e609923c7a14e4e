"""Prediction sets: what they get, how they fail, and arguments that are refused."""

from functools import partial

import numpy as np
import pytest
from support.claims.predictions import absolute, all_labels, order_statistics, threshold

from rsverify import audit_prediction_set
from rsverify.auditing.claims.exchangeable import TRAINING, labels_suite, numbers_suite

QUICK = {"n": 9, "alpha": 0.2, "replications": 2000}


def test_what_is_to_be_predicted_is_not_given():
    seen = []

    def spy(x, y, x_new, alpha):
        seen.append((x.shape, y.shape, x_new.shape, alpha))
        return absolute(x, y, x_new, alpha)

    audit_prediction_set(spy, **QUICK)
    assert {s[0][1:] for s in seen} == {(9, 2)}
    assert {s[1][1:] for s in seen} == {(9,)}
    assert {s[2][1:] for s in seen} == {(2,)}
    assert {s[3] for s in seen} == {0.2}


def test_arrays_that_are_changed_change_nothing():
    def spoiling(x, y, x_new, alpha):
        out = order_statistics(x, y, x_new, alpha)
        y[:] = 0.0
        x[:] = 9.0
        return out

    one = audit_prediction_set(spoiling, **QUICK)
    assert one.rows == audit_prediction_set(order_statistics, **QUICK).rows


def test_a_function_of_one_replication_and_a_pair_are_taken():
    def single(x, y, x_new, alpha):
        assert x.shape == (9, 2)
        return tuple(order_statistics(x, y, x_new, alpha))

    rows = audit_prediction_set(single, **QUICK | {"replications": 500}).rows
    assert rows == audit_prediction_set(order_statistics, **QUICK | {"replications": 500}).rows


def test_sets_that_use_other_replications_are_refuted():
    def pooled(x, y, x_new, alpha):
        return np.full(len(y), np.quantile(y, 0.01)), np.full(len(y), np.quantile(y, 0.99))

    report = audit_prediction_set(pooled, **QUICK)
    assert report.verdict == "refuted"
    assert any(f.kind == "mixed replications" for f in report.failures)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (np.nan, np.nan), (np.inf, np.inf)])
def test_empty_sets_and_nan_do_not_cover(ends):
    def empty(x, y, x_new, alpha):
        return np.tile(ends, (len(y), 1))

    report = audit_prediction_set(empty, **QUICK)
    assert report.verdict == "refuted"
    assert report.worst.miscoverage == 1.0


def test_an_end_belongs_to_the_set():
    def constant(x, y, x_new, alpha):
        return np.stack([y.min(axis=1), y.max(axis=1)], axis=1)

    report = audit_prediction_set(constant, **QUICK)
    (row,) = (r for r in report.rows if r.scenario == "constant")
    assert row.uncovered == 0


def test_a_custom_way_to_draw_is_used():
    def drift(rng, rows, size):
        return np.zeros((rows, size, 1)), rng.normal(size=(rows, size)) + 3 * np.arange(size)

    report = audit_prediction_set(absolute, scenarios={"drift": drift}, **QUICK)
    assert report.verdict == "refuted"
    assert [r.scenario for r in report.rows] == ["drift"]


def test_given_a_group_every_scenario_has_two_rows():
    report = audit_prediction_set(absolute, claim="group", **QUICK)
    assert len(report.rows) == 2 * len(numbers_suite(0.2))
    assert report.measure == "P(Y outside its set | group)"


def test_given_the_data_the_coverage_of_atoms_counts():
    """An upper limit at the largest of dice is 6 or covers less: P(no 6 in n) = (5/6)^n."""

    def largest(x, y, x_new, alpha):
        return np.full(len(y), -np.inf), y.max(axis=1)

    options = {"n": 9, "alpha": 0.1, "claim": "training", "delta": 0.3}
    report = audit_prediction_set(largest, replications=20_000, **options)
    (row,) = (r for r in report.rows if r.scenario == "dice")
    assert row.low <= (5 / 6) ** 9 <= row.high


def test_the_sets_of_labels_are_truth_values():
    def probabilities(x, y, x_new, alpha):
        return x_new[..., 1:]

    with pytest.raises(ValueError, match="must be truth values"):
        audit_prediction_set(probabilities, target="labels", **QUICK)
    assert audit_prediction_set(all_labels, target="labels", **QUICK).verdict == "supported"
    assert audit_prediction_set(threshold, target="labels", **QUICK).verdict != "refuted"


def test_the_numbers_of_labels_are_no_truth_values():
    def numbers(x, y, x_new, alpha):
        return np.tile([0, 1, 2], (len(y), 1))

    with pytest.raises(ValueError, match=r"truth values \(or 0 and 1\)"):
        audit_prediction_set(numbers, target="labels", **QUICK)


def test_what_is_wrong_with_a_set_is_said_alone():
    def largest(x, y, x_new, alpha):
        return y.max(axis=1)

    with pytest.raises(ValueError, match=r"intervals of shape \(7,\)") as error:
        audit_prediction_set(largest, **QUICK)
    assert str(error.value).startswith("predict=largest fails on every call: ")
    assert "per replication" not in str(error.value)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, rows, size: rng.normal(size=(rows, size)),
        lambda rng, rows, size: (np.zeros((rows, size)), rng.normal(size=(rows, size))),
        lambda rng, rows, size: (np.zeros((rows, size, 1)), rng.normal(size=(rows, size + 1))),
    ],
)
def test_a_custom_way_to_draw_must_return_pairs(draw):
    with pytest.raises(ValueError, match=r"scenarios\['odd'\] must return x of shape"):
        audit_prediction_set(absolute, scenarios={"odd": draw}, **QUICK)


@pytest.mark.parametrize("suite", [numbers_suite(0.1), labels_suite()])
def test_pairs_are_exchangeable(suite):
    """First and last pair agree in mean of y and x: 6 standard errors of 20,000."""
    for name, draw in suite.items():
        x, y = draw(np.random.default_rng(1), 20_000, 4)
        data = np.concatenate([x, np.clip(y, -5, 5)[..., None]], axis=2)
        off = data[:, 0] - data[:, -1]
        assert (np.abs(off.mean(axis=0)) <= 6 * off.std(axis=0) / 141 + 1e-12).all(), name


def test_the_distributions_of_training_claims_have_no_parameters_missing():
    def everything(x, y, x_new, alpha):
        return np.full(len(y), -np.inf), np.full(len(y), np.inf)

    options = {"n": 5, "alpha": 0.1, "claim": "training", "delta": 0.1}
    report = audit_prediction_set(everything, **options)
    assert report.verdict == "supported"
    assert [r.scenario for r in report.rows] == list(TRAINING)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"claim": "training"}, "delta=None"),
        ({"delta": 0.1}, "delta=0.1"),
        ({"claim": "training", "delta": 0.1, "target": "labels"}, "must be 'numbers'"),
        ({"claim": "conditional"}, "claim="),
        ({"target": "intervals"}, "target="),
        ({"scenarios": {}}, "scenarios="),
        ({"alpha": 0.0}, "alpha=0"),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        audit_prediction_set(absolute, **{"n": 9, "alpha": 0.1, **options})


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e9])
@pytest.mark.parametrize("seed", range(3))
def test_ties_that_are_rounded_away_are_inside(scale, seed):
    """An end that is center plus width is off by the rounding of y itself, however large y is."""
    rng = np.random.default_rng(seed)
    center, prices = scale * rng.random(), scale * rng.random(40)

    def of_prices(rng, rows, size):
        return np.zeros((rows, size, 1)), np.repeat(rng.choice(prices, (rows, 1)), size, axis=1)

    def conformal(x, y, x_new, alpha, inward=0.0):
        width = np.abs(y - center).max(axis=1)
        return center - width, center + width - inward * scale

    asked = QUICK | {"scenarios": {"prices": of_prices}}
    assert audit_prediction_set(conformal, **asked).worst.uncovered == 0
    short = audit_prediction_set(partial(conformal, inward=1e-5), **asked)
    assert short.verdict == "refuted"


def test_a_set_for_one_replication_of_another_kind_is_told():
    def named(x, y, x_new, alpha):
        assert y.ndim == 1, "one"
        return {"lower": y.min(), "upper": y.max()}

    with pytest.raises(ValueError, match=r"given one replication: TypeError: .*'dict'"):
        audit_prediction_set(named, **QUICK)


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (("gauss", 0.0, 1.0), "a continuous distribution of scipy"),
        ("norm", "a continuous distribution of scipy"),
        (("gamma",), "the parameters of scipy's"),
        (("points", (0.0, 1.0), (0.5, 0.6)), "that sum to 1"),
        (7.0, "must have a law such as"),
    ],
)
def test_a_distribution_of_training_claims_must_be_one(law, text):
    options = {"claim": "training", "delta": 0.1, "scenarios": {"mine": law}}
    with pytest.raises(ValueError, match=text):
        audit_prediction_set(absolute, **QUICK, **options)
