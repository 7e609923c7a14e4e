"""Several hypotheses: what procedures get, how they fail, and arguments that are refused."""

import numpy as np
import pytest
from scipy import stats
from support.claims.procedures import (
    benjamini_hochberg,
    bonferroni,
    bonferroni_bounds,
    each,
    holm,
    pooled,
)

from rsverify import audit_multiple_testing
from rsverify.auditing.claims.hypotheses import (
    estimates_suite,
    hochberg,
    p_values_suite,
    simes,
    stepping,
)

QUICK = {"controls": "FWER", "n": 6, "alpha": 0.05, "replications": 2000}


@pytest.mark.parametrize("n", [1, 2, 7, 10])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_p_values_of_true_nulls_are_not_too_small(n, alpha):
    """Kolmogorov and Smirnov, one-sided, of 4000 p-values: false alarms below 1e-8 each."""
    for name, draw in p_values_suite(n, alpha, "any").items():
        p, truth = draw(np.random.default_rng(1), 4000, n, alpha)
        assert ((p >= 0) & (p <= 1)).all()
        for i in range(n):
            null = np.sort(p[truth[:, i] > 0, i])
            if null.size > 50:
                # The empirical distribution is at most sqrt(ln(1e8)/(2 size)) above the uniform.
                above = np.arange(1, null.size + 1) / null.size - null
                assert above.max() <= np.sqrt(np.log(1e8) / (2 * null.size)), name


@pytest.mark.parametrize("thresholds", [simes, hochberg])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_p_values_below_thresholds_are_uniform(thresholds, share):
    """Both sides: Kolmogorov and Smirnov of 100,000 at 1e-8."""
    p, truth = stepping(thresholds, share)(np.random.default_rng(2), 100_000, 8, 0.05)
    null = p[:, 0][truth[:, 0] > 0]
    assert stats.kstest(null, "uniform").statistic <= np.sqrt(np.log(2e8) / (2 * null.size))


def test_step_up_errs_where_it_is_made_to():
    """Under the distribution for Simes, BH rejects with probability alpha (1 + 1/2 + ..)."""
    p, _ = stepping(simes, 1.0)(np.random.default_rng(3), 200_000, 10, 0.05)
    order = np.sort(p, axis=1)
    rejects = (order <= simes(10, 0.05)).any(axis=1).mean()
    expected = 0.05 * (1.0 / np.arange(1, 11)).sum()
    assert rejects == pytest.approx(expected, abs=6 * np.sqrt(expected / 200_000))


def test_estimates_have_their_means_and_unit_variance():
    for name, draw in estimates_suite(6, 0.05, "any").items():
        z, means = draw(np.random.default_rng(4), 40_000, 6, 0.05)
        assert (z - means).mean(axis=0) == pytest.approx(0.0, abs=0.03), name
        assert (z - means).std(axis=0) == pytest.approx(1.0, abs=0.03), name


def test_a_share_of_false_rejections_is_counted_as_often():
    """One of two rejected is false, always: the error rate is a half."""

    def two(rng, rows, n, alpha):
        return rng.random((rows, n)), np.tile([1.0, 0.0], (rows, 1))

    def all_of_them(p, alpha):
        return np.ones_like(p, dtype=bool)

    options = {"n": 2, "alpha": 0.05, "scenarios": {"two": two}, "replications": 20_000}
    report = audit_multiple_testing(all_of_them, controls="FDR", **options)
    assert report.worst.low <= 0.5 <= report.worst.high
    assert report.measure == "E[share of false rejections]"
    whole = audit_multiple_testing(all_of_them, controls="FWER", **options)
    assert whole.worst.miscoverage == 1.0


def test_procedures_that_use_other_replications_are_refuted():
    report = audit_multiple_testing(pooled, **QUICK | {"controls": "FDR"})
    assert report.verdict == "refuted"
    assert any(f.kind == "mixed replications" for f in report.failures)


@pytest.mark.parametrize("controls", ["FWER", "FDR"])
def test_a_procedure_that_uses_the_number_of_what_it_gets_is_called_with_one_replication(controls):
    """In a table ``len`` is the number of rows."""

    def by_length(p, alpha):
        return p <= alpha / len(p)

    def holm_by_loop(p, alpha):
        out = np.zeros(len(p), dtype=bool)
        for i, place in enumerate(np.argsort(p)):
            if np.any(p[place] > alpha / (len(p) - i)):
                break
            out[place] = True
        return out

    quick = QUICK | {"controls": controls, "replications": 500}
    rows = audit_multiple_testing(bonferroni, **quick).rows
    assert audit_multiple_testing(by_length, **quick).rows == rows
    assert audit_multiple_testing(holm_by_loop, **quick).verdict != "refuted"


def test_bounds_that_use_the_number_of_estimates_are_called_with_one_replication():
    def by_length(z, alpha):
        return z - stats.norm.isf(alpha / len(z))

    quick = QUICK | {"given": "estimates", "replications": 500}
    rows = audit_multiple_testing(bonferroni_bounds, **quick).rows
    assert audit_multiple_testing(by_length, **quick).rows == rows


def test_a_function_of_one_replication_is_taken():
    def single(p, alpha):
        assert p.shape == (6,)
        return p <= alpha / 6

    rows = audit_multiple_testing(single, **QUICK | {"replications": 500}).rows
    assert rows == audit_multiple_testing(bonferroni, **QUICK | {"replications": 500}).rows


def test_what_is_changed_in_place_changes_nothing():
    def spoiling(p, alpha):
        out = holm(p, alpha)
        p[:] = 0.0
        return out

    assert (
        audit_multiple_testing(spoiling, **QUICK).rows == audit_multiple_testing(holm, **QUICK).rows
    )


def test_failures_are_false_rejections():
    def seldom(p, alpha):
        if (p.min(axis=-1) < 0.01).any():
            raise ZeroDivisionError("no such p")
        return np.zeros(p.shape, dtype=bool)

    report = audit_multiple_testing(seldom, **QUICK)
    assert report.verdict == "refuted" or report.worst.uncovered > 0
    assert report.failures[0].kind == "ZeroDivisionError"


def test_adjusted_p_values_are_not_rejections():
    with pytest.raises(TypeError, match="must be truth values: of adjusted") as error:
        audit_multiple_testing(lambda p, _: np.minimum(p * 6, 1.0), **QUICK)
    assert "per replication" not in str(error.value)


def test_a_custom_way_to_draw_must_return_two_tables():
    def odd(rng, rows, n, alpha):
        return rng.random((rows, n)), np.ones(n)

    with pytest.raises(ValueError, match=r"scenarios\['odd'\] must return two arrays of shape"):
        audit_multiple_testing(bonferroni, scenarios={"odd": odd}, **QUICK)


def test_bounds_that_are_nan_fail():
    def nan(z, alpha):
        return np.where(z > 1, np.nan, bonferroni_bounds(z, alpha))

    report = audit_multiple_testing(nan, given="estimates", **QUICK)
    assert report.verdict == "refuted"


def test_one_hypothesis_needs_no_correction():
    options = {"n": 1, "alpha": 0.05}
    assert audit_multiple_testing(each, controls="FWER", **options).verdict == "supported"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"controls": "FCR"}, "controls="),
        ({"given": "bounds"}, "given="),
        ({"dependence": "some"}, "dependence="),
        ({"n": 1001}, "at most 1000"),
        ({"scenarios": []}, "scenarios="),
        ({"alpha": 1.0}, "alpha=1"),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        audit_multiple_testing(bonferroni, **QUICK | options)


@pytest.mark.parametrize(
    "result",
    [
        lambda p, alpha: (p <= alpha / p.shape[-1], np.minimum(p * p.shape[-1], 1.0)),
        lambda p, alpha: (p <= alpha / p.shape[-1], p, 0.01, 0.02),
        lambda p, alpha: (alpha / p.shape[-1], p <= alpha / p.shape[-1]),
    ],
)
def test_of_several_things_that_come_back_one_is_to_be_returned(result):
    with pytest.raises(ValueError, match=r"of a tuple of \d return the part that has it"):
        audit_multiple_testing(result, **QUICK)


def test_a_tuple_of_truth_values_is_an_array():
    def single(p, alpha):
        assert p.shape == (6,)
        return tuple(bool(each <= alpha / 6) for each in p)

    rows = audit_multiple_testing(single, **QUICK | {"replications": 500}).rows
    assert rows == audit_multiple_testing(bonferroni, **QUICK | {"replications": 500}).rows


def one_step_too_far(p, alpha):
    """Holm's procedure, whose second step has the threshold of the third."""
    n = p.shape[-1]
    steps = np.arange(n, 0, -1.0)
    steps[1] = max(n - 2, 1)
    order = np.sort(p, axis=-1)
    k = np.logical_and.accumulate(order <= alpha / steps, axis=-1).sum(axis=-1, keepdims=True)
    return (p <= np.take_along_axis(order, np.maximum(k, 1) - 1, axis=-1)) & (k > 0)


def the_leader_apart(z, alpha):
    """The largest of estimates at full level where it is far above the others, and these too."""
    order = np.sort(z, axis=-1)
    leads = order[..., -1:] - order[..., -2:-1] > 10.0
    first = z == order[..., -1:]
    rest = z - stats.norm.isf(alpha / (z.shape[-1] - 1))
    apart = np.where(first, z - stats.norm.isf(alpha), rest)
    return np.where(leads, apart, bonferroni_bounds(z, alpha))


@pytest.mark.parametrize(
    ("procedure", "alpha", "given", "sizes"),
    [
        (benjamini_hochberg, 0.1, "p-values", (3, 4, 5)),
        (one_step_too_far, 0.05, "p-values", (3, 4)),
        (the_leader_apart, 0.05, "estimates", (2, 3, 5)),
    ],
)
def test_procedures_that_err_where_one_hypothesis_is_false_are_refuted(
    procedure, alpha, given, sizes
):
    """Of three hypotheses, two of them true: Benjamini and Hochberg reject one at 0.13, not 0.1."""
    asked = {"controls": "FWER", "dependence": "independent", "alpha": alpha, "given": given}
    for n in sizes:
        assert audit_multiple_testing(procedure, n=n, **asked).verdict == "refuted", n


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_every_number_of_true_hypotheses_is_tried_once(n):
    suite = p_values_suite(n, 0.05, "independent")
    numbers = {}
    for name, draw in suite.items():
        if name.startswith("twenty values"):
            _, truth = draw(np.random.default_rng(0), 3, n, 0.05)
            numbers[name] = int(truth.sum(axis=1)[0])
    assert sorted(numbers.values()) == sorted({1, max(1, n // 2), max(1, n - 1), n})
    assert numbers["twenty values, all nulls true"] == n
