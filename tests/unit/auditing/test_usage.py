"""What is no bound of what is asked for: refused in one line, with what was returned and wanted."""

import json

import numpy as np
import pytest

import rsverify
from rsverify import audit, audit_bets, audit_capital, betting_lower, hoeffding_lower
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import draw_block, generator

SETTINGS = {"n": 20, "alpha": 0.05, "replications": 600}
COUNTS = {"estimand": "proportion", "n": 12, "alpha": 0.05}


def hoeffding(x, alpha):
    return x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))


ALWAYS_FAIL = {
    "another shape": (
        lambda _x, _a: np.zeros((2, 3, 4)),
        ValueError,
        r"returned shape \(2, 3, 4\) for data of shape \(7, 20\); it must return shape \(7,\)",
    ),
    "rows and two": (lambda x, _a: np.zeros((len(x), 2)), ValueError, "is it side='two-sided'"),
    "nothing": (lambda _x, _a: None, TypeError, r"must return shape \(7,\), one limit per"),
    "nothing for some rows": (lambda x, _a: [None] * len(x), TypeError, "returned None"),
    "text": (lambda _x, _a: "0.3", TypeError, "returned <U3 and no numbers"),
    "masked": (lambda x, _a: np.ma.masked_less(x[:, 0], 2), TypeError, "returned a masked array"),
    "one too many": (lambda x, _a: np.zeros(len(x) + 1), ValueError, r"returned shape \(8,\)"),
    "in one row": (lambda x, _a: x.mean(axis=1)[None], ValueError, r"returned shape \(1, 7\)"),
    "pooled to one": (
        lambda x, a: np.atleast_1d(hoeffding(np.atleast_2d(x), a).mean())[None],
        ValueError,
        r"returned shape \(1, 1\) for data",
    ),
    "an exception": (
        lambda _x, _a: 1 / 0,
        ValueError,
        "fails on every call, given data of shape .7, 20.: ZeroDivisionError: division by zero",
    ),
    "a wrong attribute": (lambda x, _a: x.means(), ValueError, "AttributeError: .*'means'"),
    "a wrong key": (lambda x, _a: x["a"], ValueError, "fails on every call"),
    "a generator": (lambda x, a: (hoeffding(row, a) for row in x), TypeError, "make a list of it"),
    "a map": (lambda x, _a: map(float, x[:, 0]), TypeError, "returned map and no numbers"),
    "values": (lambda x, _a: dict(enumerate(x[:, 0])).values(), TypeError, "make a list of it"),
    "a dictionary": (lambda _x, _a: {"low": 0.0}, TypeError, "returned dict and no numbers"),
    "objects": (lambda x, _a: [object() for _ in x], TypeError, "returned object and no numbers"),
    "a set": (lambda _x, _a: {0.1, 0.2}, TypeError, "returned set and no numbers"),
    "complex": (lambda x, a: hoeffding(x, a) + 0j, TypeError, "the bound is complex"),
}


@pytest.mark.parametrize("name", ALWAYS_FAIL)
def test_a_bound_that_fails_on_every_call_is_refused(name):
    bound, error, message = ALWAYS_FAIL[name]
    with pytest.raises(error, match=message):
        audit(bound, **SETTINGS)


def test_the_wanted_shape_goes_by_the_side_and_the_data():
    with pytest.raises(ValueError, match=r"must return shape \(7, 2\) or a pair of arrays"):
        audit(hoeffding, side="two-sided", **SETTINGS)
    with pytest.raises(ValueError, match=r"must return shape \(\d+,\), one limit per replication"):
        audit(lambda c, _a: c / 2, **COUNTS)
    for estimand in ("difference", "score-probit", "path-difference"):
        with pytest.raises(ValueError, match="returned shape"):
            audit(lambda _x, _a: np.zeros((1, 1, 5)), estimand=estimand, n=12, alpha=0.05)


def test_a_bound_that_fails_on_some_data_is_refuted_as_before():
    report = audit(lambda x, a: hoeffding(x, a) if x.mean() < 0.99 else np.zeros(3), **SETTINGS)
    assert report.verdict == "refuted"
    assert {f.kind for f in report.failures} == {"wrong shape"}


@pytest.mark.parametrize("bound", [betting_lower, hoeffding_lower])
def test_a_bound_of_samples_audited_as_a_proportion_is_told_what_fits(bound):
    with pytest.raises(ValueError, match="estimand='mean' fits"):
        audit(bound, **COUNTS)


def test_limits_outside_the_space_are_told_what_fits():
    report = audit(hoeffding, **COUNTS)
    assert report.verdict == "refuted"
    assert "estimand='mean' fits" in str(report)
    nowhere = audit(lambda c, _a: np.full(len(c), 1.5), **COUNTS)
    assert nowhere.verdict == "refuted"
    assert "fits" not in str(nowhere)


def test_a_bound_of_scores_audited_as_a_mean_is_told_what_fits():
    from rsverify import score_margin_lower

    def scores(data, alpha):
        return score_margin_lower(data, 0, alpha, estimand="difference", method="bonferroni")

    with pytest.raises((ValueError, TypeError), match="estimand='score-difference' fits"):
        audit(scores, n=12, alpha=0.05)


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("an error without words")


class ManyLinesError(Exception):
    def __str__(self):
        return "a\nb\n" + "c" * 5000


@pytest.mark.parametrize(
    ("error", "text"), [(MuteError, "cannot be read"), (ManyLinesError, "a b")]
)
def test_whatever_an_exception_says_the_audit_goes_on(error, text):
    def seldom(x, alpha):
        if (x.sum(axis=-1) == 5).any():
            raise error
        return hoeffding(x, alpha) - 1

    half = {"half": {"law": ("points", (0.0, 1.0), (0.5, 0.5))}}
    (failure,) = audit(seldom, scenarios=half, **SETTINGS).failures
    assert failure.kind == error.__name__
    assert text in failure.message
    assert len(failure.message) < 600

    def process(x, m, _alpha):
        if m != 0.5:
            raise error
        return np.ones_like(x)

    for auditor in (audit_capital, audit_bets):
        report = auditor(process, n=5, alpha=0.05)
        assert report.verdict == "refuted"
        assert text in str(report)


def test_a_bound_whose_name_cannot_be_read_is_audited():
    class Nameless:
        @property
        def __name__(self):
            raise RuntimeError

        def __call__(self, x, alpha):
            return hoeffding(x, alpha)

    assert audit(Nameless(), **SETTINGS).design["bound"] == "Nameless"


def with_underflow(x, alpha):
    """Valid, and ordinary: exp(-800) underflows, 0 log 0 is not used."""
    weights = np.exp(-800.0 * np.ones_like(x))
    with np.errstate(divide="ignore"):
        spare = np.where(x > 2, np.log(x * 0), 0.0)
    return hoeffding(x, alpha) + weights.sum(axis=-1) * 0 + spare.sum(axis=-1)


@pytest.mark.parametrize(
    ("bound", "options"),
    [
        (hoeffding, {}),
        (with_underflow, {}),
        (hoeffding, {"method": "search", "replications": 200}),
        ("betting_lower", {}),
        ("clopper_pearson_lower", {"estimand": "proportion", "n": 200}),
        ("bonferroni_margin_lower", {"estimand": "probit", "n": 12}),
        ("exact_margin_lower", {"estimand": "difference", "n": 8}),
        ("cohen_margin_lower", {"estimand": "difference", "n": 500}),
        ("margin_sequence", {"estimand": "difference", "n": 5}),
    ],
)
def test_error_states_of_the_caller_do_not_matter(bound, options):
    settings = SETTINGS | options
    before = audit(bound, **settings).to_json()
    with np.errstate(all="raise"):
        after = audit(bound, **settings)
    assert after.verdict != "refuted"
    assert after.to_json() == before


def test_error_states_do_not_matter_to_capital_and_figures(tmp_path):
    with np.errstate(all="raise"):
        report = audit_capital(lambda x, m, _a: np.cumprod(1 + (x - m), axis=1), n=5, alpha=0.05)
        assert report.verdict == "supported"
        assert audit_bets(lambda x, _m, _a: 0 * x, n=5, alpha=0.05).verdict == "supported"
        audit("clopper_pearson_lower", estimand="proportion", n=300, alpha=0.05).plot(
            tmp_path / "a.png"
        )


def test_draws_of_a_scenario_do_not_depend_on_the_others():
    one = {"law": ("beta", 1.0, 1.0)}
    other = {"law": ("points", (0.0, 1.0), (0.5, 0.5))}
    alone = audit(hoeffding, scenarios={"one": one}, **SETTINGS).rows[0]
    for scenarios in ({"other": other, "one": one}, {"a": other, "b": one, "one": one, "c": other}):
        rows = audit(hoeffding, scenarios=scenarios, **SETTINGS).rows
        (row,) = (r for r in rows if r.scenario == "one")
        assert (row.gap, row.gap_error) == (alone.gap, alone.gap_error)
    first, second = generator(0, "a", 0).random(4), generator(0, "b", 0).random(4)
    assert not np.isin(first, second).any()
    design_of = audit(hoeffding, scenarios={"one": one}, **SETTINGS).evidence.design
    data, _ = draw_block(ESTIMANDS["mean"], Scenario("one", one), design_of, 0)
    again, _ = draw_block(ESTIMANDS["mean"], Scenario("one", one), design_of, 0)
    np.testing.assert_array_equal(data, again)


def test_a_store_goes_by_the_names_of_scenarios(tmp_path):
    one = {"law": ("beta", 1.0, 1.0)}
    other = {"law": ("points", (0.0, 1.0), (0.5, 0.5))}
    path = tmp_path / "blocks.jsonl"
    first = audit(hoeffding, scenarios={"x": one, "a": other}, store=path, **SETTINGS)
    again = audit(hoeffding, scenarios={"a": other, "x": one}, store=path, resume=True, **SETTINGS)
    assert sorted(map(str, first.rows)) == sorted(map(str, again.rows))


@pytest.mark.parametrize(
    "option",
    [
        {"estimand": "proportion"},
        {"side": "lower"},
        {"scenarios": {"a": {}}},
        {"method": "exact"},
        {"family": (dict, 1)},
        {"replications": 100},
        {"tolerance": 0.1},
        {"false_alarm": 0.01},
        {"n_jobs": 2},
        {"store": "a.jsonl"},
        {"resume": True},
        {"progress": print},
    ],
)
@pytest.mark.parametrize("kind", ["bets", "betting"])
def test_options_that_a_kind_does_not_use_are_refused(kind, option):
    (name,) = option
    with (
        pytest.warns(DeprecationWarning, match=f"kind='{kind}' goes in the next version: call"),
        pytest.raises(ValueError, match=f"{name}=.* must be left out for kind='{kind}'"),
    ):
        audit(lambda x, _m, _a: np.ones_like(x), kind=kind, n=5, alpha=0.05, **option)


@pytest.mark.parametrize(("kind", "auditor"), [("betting", audit_capital), ("bets", audit_bets)])
def test_a_kind_is_taken_for_one_version(kind, auditor):
    def process(x, _m, _alpha):
        return np.ones_like(x)

    with pytest.warns(DeprecationWarning, match=auditor.__name__) as warned:
        report = audit(process, kind=kind, n=5, alpha=0.05, seed=2)
    assert warned[0].filename == __file__
    assert report == auditor(process, n=5, alpha=0.05, seed=2)
    with pytest.warns(DeprecationWarning, match="without it"):
        covered = audit(hoeffding, kind="coverage", **SETTINGS)
    assert covered.rows == audit(hoeffding, **SETTINGS).rows
    with pytest.raises(TypeError, match="unexpected keyword"):
        auditor(process, n=5, alpha=0.05, method="exact")


@pytest.mark.parametrize(
    ("name", "estimand", "own"),
    [
        ("clopper_pearson_upper", "proportion", "upper"),
        ("hoeffding_upper", "mean", "upper"),
        ("betting_interval", "mean", "two-sided"),
    ],
)
def test_an_explicit_side_is_honored_or_refused(name, estimand, own):
    for side in {"lower", "upper", "two-sided"} - {own}:
        with pytest.raises(ValueError, match=f"side='{side}' must be '{own}' for {name}"):
            audit(name, estimand=estimand, n=5, alpha=0.05, side=side)
    for side in (None, own):
        report = audit(name, estimand=estimand, n=5, alpha=0.05, side=side, replications=100)
        assert report.design["side"] == own


def test_a_report_says_which_of_its_rows_are_simulated():
    report = audit("bonferroni_margin_lower", estimand="difference:first", n=12, alpha=0.05)
    assert report.design["method"] == "exact"

    def bound(counts, alpha):
        return rsverify.bonferroni_margin_lower(
            counts[:, 0], counts[:, 1:].max(axis=1), counts.sum(axis=1), alpha,
            estimand="difference",
        )  # fmt: skip

    mixed = audit(bound, estimand="difference", n=12, alpha=0.05)
    assert {r.replications > 0 for r in mixed.rows} == {True, False}
    assert "simulation" in mixed.design["method"]
    assert "simulation" in json.loads(mixed.to_json())["ademp"]["methods"]["audit"]
    assert "exact" in mixed.design["method"]
    alone = audit(bound, estimand="difference", n=12, alpha=0.05, method="exact")
    assert alone.design["method"] == "exact"
    assert all(r.replications == 0 for r in alone.rows)


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (lambda x, _a: (float(x[0]), 1.0), r"given one replication it returned shape \(2,\), not"),
        (lambda x, _a: float(x[0]) + x["a"], "given one replication: IndexError"),
        (
            lambda x, _a: {"low": float(x[0])},
            "one replication: TypeError: the bound returned dict",
        ),
    ],
)
def test_what_one_replication_gives_is_said_where_several_fail(bound, text):
    with pytest.raises((TypeError, ValueError), match=text):
        audit(bound, **SETTINGS)


@pytest.mark.parametrize("estimand", ["mean", "two-proportion-difference", "poisson-rate"])
def test_messages_that_tell_of_the_data_are_a_few_lines(estimand):
    """One line for each of a thousand samples is no report."""
    most, n = {"mean": (0.5, 8), "two-proportion-difference": (4, 9), "poisson-rate": (50, 4)}[
        estimand
    ]

    def chatty(data, _alpha):
        if data.ndim > 1:
            raise ValueError("one row, please")
        if data[0] <= most:
            return 0.0 if estimand == "poisson-rate" else -9.0
        if data[0] > 1.5 * most:
            raise KeyError(str(data.tolist()))
        raise ValueError(f"not for {data.tolist()}")

    asked = {"estimand": estimand, "n": n, "alpha": 0.05, "replications": 600}
    report = audit(chatty, **asked)
    kinds = [f.kind for f in report.failures]
    assert report.verdict == "refuted"
    assert max(map(kinds.count, kinds)) <= 6
    others = [f for f in report.failures if f.message == "with other messages"]
    assert others
    assert len(str(report).splitlines()) < 120
    misses = sum(row.uncovered for row in report.rows)
    if misses:  # simulated: none is lost
        assert sum(f.count for f in report.failures) == misses
    assert audit(chatty, **asked).to_json() == report.to_json()


def audits_of_each_kind(progress):
    """Return calls of every auditor with this progress."""
    import rsverify

    common = {"n": 3, "alpha": 0.2, "progress": progress}
    return {
        "audit": lambda: rsverify.audit(hoeffding, **common),
        "comparison": lambda: rsverify.compare_bounds(
            {"a": hoeffding, "b": hoeffding}, "mean", **common, replications=50
        ),
        "p-values": lambda: rsverify.audit_test(lambda x: np.ones(len(x)), null=0.5, **common),
        "e-values": lambda: rsverify.audit_e_value(
            lambda x: np.ones(len(x)), null=0.5, **common, replications=100
        ),
        "procedure": lambda: rsverify.audit_multiple_testing(
            lambda p, _a: np.zeros(p.shape, dtype=bool), controls="FWER", **common, replications=100
        ),
        "sets": lambda: rsverify.audit_prediction_set(
            lambda x, _y, _new, _a: np.tile([-np.inf, np.inf], (len(x), 1)),
            **common,
            replications=100,
        ),
    }


@pytest.mark.parametrize("wrong", [True, 3, "bar", int, lambda: None, object()])
@pytest.mark.parametrize(
    "name", ["audit", "comparison", "p-values", "e-values", "procedure", "sets"]
)
def test_progress_that_cannot_be_told_is_refused_by_its_name(name, wrong):
    with pytest.raises(TypeError, match=r"progress.* must "):
        audits_of_each_kind(wrong)[name]()


@pytest.mark.parametrize(
    "name", ["audit", "comparison", "p-values", "e-values", "procedure", "sets"]
)
def test_progress_may_be_switched_off_as_of_certificates(name):
    assert audits_of_each_kind(False)[name]() is not None
