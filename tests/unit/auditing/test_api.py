"""The audit as users call it: bounds of every form, failures, reports, seeds."""

import inspect
import json
import pickle
import re
import sys

import cloudpickle
import numpy as np
import pytest

import rsverify
from rsverify import AuditReport, Estimand, clopper_pearson_lower
from rsverify.auditing.api import audit

# Worker processes cannot import a test module, so its bounds travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

POINTS = {"half": {"law": ("points", (0.0, 1.0), (0.5, 0.5))}}


def hoeffding(x, alpha):
    return x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))


def wald(x, alpha):
    del alpha
    return x.mean(axis=-1) - 1.645 * x.std(axis=-1) / np.sqrt(x.shape[-1])


def short(bound, **options):
    settings = {"n": 20, "alpha": 0.05, "replications": 4000, "scenarios": POINTS} | options
    return audit(bound, **settings)


def test_audit_is_a_function_and_its_package_has_another_name():
    import rsverify.auditing.exact.proportion

    assert rsverify.audit is audit
    assert inspect.isfunction(rsverify.audit)
    assert rsverify.auditing.exact.proportion.proportion_worst


def test_a_function_that_uses_audit_goes_to_another_process():
    assert pickle.loads(cloudpickle.dumps(audit)) is audit


def test_a_valid_bound_is_supported_and_wald_refuted():
    assert short(hoeffding).verdict == "supported"
    report = audit(wald, n=50, alpha=0.05, replications=4000)
    assert report.verdict == "refuted"
    assert report.worst.verdict == "refuted"
    assert report.worst.low > 0.05


def test_scalar_functions_give_the_same_report_as_vectorised_ones():
    def scalar(row, alpha):
        assert row.ndim == 1
        return float(row.mean() - np.sqrt(np.log(1 / alpha) / (2 * row.size)))

    assert short(scalar).rows == short(hoeffding).rows


def test_paths_are_judged_at_all_times():
    """A fixed-n bound at every n: each is right, but not all of them at once."""

    def path(x, alpha):
        t = np.arange(1, x.shape[1] + 1)
        return np.cumsum(x, axis=1) / t - np.sqrt(np.log(1 / alpha) / (2 * t))

    fair = {"half": {"law": ("points", (0.0, 1.0), (0.5, 0.5))}}
    assert short(path, n=300, scenarios=fair).verdict == "refuted"
    assert short(lambda x, a: path(x, a)[:, -1], n=300, scenarios=fair).verdict == "supported"


def test_upper_and_two_sided_bounds():
    def upper(x, alpha):
        return 1 - hoeffding(1 - x, alpha)

    def interval(x, alpha):
        return np.column_stack([hoeffding(x, alpha / 2), upper(x, alpha / 2)])

    def pair(x, alpha):
        return hoeffding(x, alpha / 2), upper(x, alpha / 2)

    assert short(upper, side="upper").verdict == "supported"
    assert short(wald, side="upper").verdict == "refuted"
    assert short(interval, side="two-sided").rows == short(pair, side="two-sided").rows
    assert short(interval, side="two-sided").verdict == "supported"


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (lambda x, a: np.where(x[..., 0] > 0, np.nan, hoeffding(x, a)), "NaN"),
        (lambda x, a: np.where(x[..., 0] > 0, 1.5, hoeffding(x, a)), "outside"),
    ],
)
def test_failures_are_misses_with_their_input(broken, kind):
    report = short(broken)
    assert report.verdict == "refuted"
    assert [f.kind for f in report.failures] == [kind]
    assert report.failures[0].count > 0
    assert len(np.ravel(report.failures[0].example)) == 20
    assert kind in str(report)


def test_a_rare_exception_costs_its_row_only():
    def rare(x, alpha):
        if (x.sum(axis=-1) == 5).any():
            raise ArithmeticError("five ones")
        return hoeffding(x, alpha) - 1

    report = short(rare)
    (failure,) = report.failures
    assert failure.kind == "ArithmeticError"
    assert sum(failure.example) == 5
    assert report.rows[0].uncovered == failure.count
    assert 0 < failure.count < 0.04 * report.rows[0].replications


@pytest.mark.parametrize(
    ("estimand", "value", "side"),
    [("probit", np.inf, "lower"), ("difference", 1.5, "lower"), ("probit", -np.inf, "upper")],
)
def test_a_bound_above_every_value_is_a_failure(estimand, value, side):
    """An infinite one too, where the parameter space has no end."""
    report = audit(
        lambda counts, _a: np.full(len(counts), value),
        estimand=estimand,
        n=5,
        alpha=0.05,
        side=side,
        replications=200,
        method="simulation",
    )
    assert report.verdict == "refuted"
    assert [f.kind for f in report.failures] == ["outside"]


def test_a_table_of_two_columns_is_no_path_of_counts():
    """Counts have no time axis, so (R, 2) is a wrong shape and not a bound at two times."""
    with pytest.raises(ValueError, match=r"returned shape \(7, 2\) for data of shape \(7, 2\)"):
        audit(lambda counts, _a: 0.0 * counts, estimand="proportion", n=5, alpha=0.05)


def test_a_bound_that_sorts_in_place_is_judged_on_the_data_it_was_given():
    def sorting(x, alpha):
        x.sort(axis=-1)
        return hoeffding(x, alpha)

    assert short(sorting).rows == short(hoeffding).rows


def test_an_infinite_truth_is_missed_by_any_finite_claim():
    """At p1 = 0 the probit margin is minus infinity."""
    never = {"never": {"p": (0.0, 0.5, 0.5)}}
    settings = {"estimand": "probit", "n": 5, "alpha": 0.05, "scenarios": never}
    claims = audit(lambda c, _a: np.full(len(c), -8.0), replications=200, **settings)
    assert claims.rows[0].miscoverage == 1
    silent = audit(lambda c, _a: np.full(len(c), -np.inf), replications=200, **settings)
    assert silent.rows[0].miscoverage == 0


def test_failure_of_an_outcome_refutes_an_exact_audit():
    def broken(counts, alpha):
        bound = clopper_pearson_lower(counts[:, 0], counts.sum(axis=1), alpha)
        return np.where(counts[:, 0] == 3, np.nan, bound)

    report = audit(broken, estimand="proportion", n=10, alpha=0.05)
    assert report.verdict == "refuted"
    assert report.failures[0].example == [3, 7]
    assert "k = 3," in report.witness.outcomes


def test_random_bounds_are_simulated():
    rng = np.random.default_rng(1)

    def noisy(counts, alpha):
        bound = clopper_pearson_lower(counts[:, 0], counts.sum(axis=1), alpha)
        return bound - 0.01 * rng.random(len(counts))

    report = audit(noisy, estimand="proportion", n=10, alpha=0.05, replications=2000)
    assert report.design["method"] == "simulation"
    with pytest.raises(ValueError, match="method='exact' cannot"):
        audit(noisy, estimand="proportion", n=10, alpha=0.05, method="exact")


def test_own_estimand():
    """The largest of the support of a uniform distribution."""
    largest = Estimand(
        draw=lambda rng, rows, n, top: rng.uniform(0, top, (rows, n)),
        truth=lambda top: top,
        scenarios={"top 1": {"top": 1.0}, "top 7": {"top": 7.0}},
        space=(0, np.inf),
        name="largest",
    )
    settings = {"estimand": largest, "n": 10, "alpha": 0.05, "replications": 3000}
    assert audit(lambda x, _a: x.max(axis=-1), **settings).verdict == "supported"
    report = audit(lambda x, _a: 1.02 * x.max(axis=-1), **settings)
    assert report.verdict == "refuted"
    assert {r.scenario for r in report.rows} == {"top 1", "top 7"}


def test_another_seed_is_another_report():
    """Workers of every kind: tests/integration/test_audit_same_report.py."""
    one, again, other = (
        audit(wald, n=30, alpha=0.05, replications=1000, seed=seed).to_json() for seed in (5, 5, 6)
    )
    assert one == again
    assert one != other


def test_report_as_table_and_json(tmp_path):
    report = short(wald, n=20)
    assert isinstance(report, AuditReport)
    table = report.to_pandas()
    assert list(table["scenario"]) == ["half"]
    data = json.loads(report.to_json(tmp_path / "audit.json"))
    assert json.loads((tmp_path / "audit.json").read_text()) == data
    assert data["verdict"] == report.verdict
    assert data["design"]["seed"] == 0
    assert data["design"]["version"] == rsverify.__version__
    assert "half" in str(report)


def test_inconclusive_says_what_would_settle_it():
    def at_alpha(x, alpha):  # misses with probability 0.055 whatever the law
        del alpha
        return np.where(x[:, 0] < 0.055, 1.0, 0.0)

    uniform = {"uniform": {"law": ("beta", 1.0, 1.0)}}
    report = audit(at_alpha, n=2, alpha=0.05, replications=500, scenarios=uniform)
    assert report.verdict == "inconclusive"
    assert "replications in all would decide it" in report.rows[0].note


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": 1.2}, ValueError, r"alpha=1.2 must be in \(0, 1\)"),
        ({"n": 0}, ValueError, "n=0 must be between"),
        ({"method": "magic"}, ValueError, "method='magic' must be one of"),
        ({"estimand": "mode"}, ValueError, "estimand='mode' must be one of"),
        ({"tolerance": 0}, ValueError, "tolerance=0.0 must be positive"),
        ({"seed": -1}, ValueError, "seed=-1 must be a nonnegative integer"),
        ({"scenarios": {}}, ValueError, "must hold at least one scenario"),
        ({"scenarios": [1]}, TypeError, "must map names"),
    ],
)
def test_bad_arguments_raise(options, error, message):
    with pytest.raises(error, match=message):
        short(hoeffding, **options)


def test_unknown_names_and_wrong_estimands_raise():
    with pytest.raises(ValueError, match="must be a callable or one of"):
        short("no_such_bound")
    with pytest.raises(ValueError, match="estimand='mean' must be 'proportion'"):
        short("clopper_pearson_lower")
    with pytest.raises(TypeError, match="must be a callable or the name"):
        short(3)


def pooled(x, alpha):
    """Hoeffding's bound of all replications as one sample."""
    return np.full(len(x), x.mean() - np.sqrt(np.log(1 / alpha) / (2 * x.size)))


def test_a_bound_that_mixes_replications_is_given_one_at_a_time():
    """Pooled it would never miss; alone it is Hoeffding's bound of one row, bit for bit."""
    one, other = short(pooled, replications=500), short(hoeffding, replications=500)
    assert one.rows == other.rows

    def wrong(x, alpha):
        return pooled(x, alpha) + 0.15

    assert short(wrong, replications=1000).verdict == "refuted"


def test_mixing_in_large_batches_only_is_a_failure():
    report = short(lambda x, a: pooled(x, a) if len(x) > 10 else hoeffding(x, a))
    assert report.verdict == "refuted"
    assert [f.kind for f in report.failures] == ["mixed replications"]
    assert len(report.failures[0].example) == 20


def test_two_replications_of_a_pair_are_not_taken_for_two_pairs():
    from rsverify.auditing.company import prepare
    from rsverify.auditing.estimand import ESTIMANDS

    def interval(x, alpha):
        return hoeffding(x, alpha / 2), 1 - hoeffding(1 - x, alpha / 2)

    rows = np.random.default_rng(0).random((7, 20))
    caller = prepare(interval, rows, 0.05, "two-sided", ESTIMANDS["mean"])
    np.testing.assert_array_equal(caller.limits(rows[:2]).lower, hoeffding(rows[:2], 0.025))
    np.testing.assert_array_equal(caller.limits(rows[:1]).lower, hoeffding(rows[:1], 0.025))


SELDOM = 0.05


@pytest.mark.parametrize("n", [1, 3, 10])
def test_a_bound_that_is_seldom_random_is_not_taken_for_another(n):
    """One of exact miscoverage alpha: it must be neither put down to its batch nor enumerated.

    A verdict of chance refutes with probability 1e-3.
    """
    rng = np.random.default_rng(n)

    def certain(data, alpha):
        return np.where(rng.random(len(data)) < alpha, 1.0, 0.0)

    for seed in range(10):
        report = audit(certain, n=n, alpha=SELDOM, seed=seed)
        assert not report.failures
        assert report.verdict != "refuted"
    report = audit(certain, estimand="proportion", n=n, alpha=SELDOM)
    assert report.design["method"] == "simulation"
    assert report.verdict != "refuted"
    often = audit(lambda d, a: certain(d, 2 * a), estimand="proportion", n=n, alpha=SELDOM)
    assert often.verdict == "refuted"


def test_sums_in_single_precision_are_not_taken_for_other_rows():
    """Over other shapes they are rounded otherwise, by up to 1e-7."""

    def single(x, alpha):
        mean = x.astype(np.float32).T.copy().sum(axis=0) / np.float32(x.shape[1])
        return mean - np.float32(np.sqrt(np.log(1 / alpha) / (2 * x.shape[1])))

    report = short(single, n=300, scenarios={"uniform": {"law": ("beta", 1.0, 1.0)}})
    assert report.verdict == "supported"
    assert not report.failures


def test_what_would_settle_it_is_more_than_was_spent():
    rng = np.random.default_rng(0)

    def random(x, alpha):
        return np.where(rng.random(len(x)) < 1.1 * alpha, 1.0, 0.0)

    report = short(random, replications=7777)
    assert report.verdict == "inconclusive"
    wanted = int(report.rows[0].note.split()[1].replace(",", ""))
    assert wanted > 7777


def test_an_exit_or_complex_numbers_are_failures():
    def leaves(_x, _alpha):
        raise SystemExit(3)

    with pytest.raises(ValueError, match="exits the program, with 3"):
        short(leaves, replications=200)
    with pytest.raises(TypeError, match="is complex"):
        short(lambda x, a: hoeffding(x, a) + 0j, replications=200)
    seldom = short(lambda x, a: leaves(x, a) if x.sum() == 180 else hoeffding(x, a) - 1)
    assert all("exits the program" in f.message for f in seldom.failures)


@pytest.mark.parametrize(
    ("side", "bound", "remedy"),
    [
        ("lower", lambda x, _a: np.zeros((len(x), 2)), "is it side='two-sided'?"),
        ("two-sided", hoeffding, r"return (R, 2) or a pair"),
    ],
)
def test_a_bound_of_another_side_is_told_the_remedy(side, bound, remedy):
    with pytest.raises(ValueError, match=re.escape(remedy)):
        short(bound, side=side, replications=200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": lambda: 1}, r"must take \(data, alpha\)"),
        ({"n_jobs": 0}, "n_jobs=0 must be a number of processes"),
        ({"bound": "hoeffding_lower", "side": "upper"}, "side='upper' must be 'lower' for hoeff"),
    ],
)
def test_what_cannot_be_audited_is_refused_before_any_work(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        audit(**({"bound": hoeffding, "n": 10, "alpha": 0.05} | options))
