"""The default suite: laws made for the bound, mirrored for its side, and of many classes."""

import numpy as np
import pytest
from scipy.special import betaincinv, ndtri

from rsverify import audit_test
from rsverify.auditing.api import audit
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.scenario import check_scenarios


def wald(x, alpha):
    del alpha
    return x.mean(axis=-1) - 1.645 * x.std(axis=-1) / np.sqrt(x.shape[-1])


def level(k, n, alpha):
    """Clopper-Pearson's lower limit."""
    return np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("n", [10, 50])
def test_a_fault_beside_a_jump_of_the_bound_is_refuted(n, seed):
    """1.25 alpha is reached just below the bound's values only: no fixed suite stands there."""

    def generous(x, alpha):
        return level(x.sum(axis=1).round(), x.shape[1], 1.25 * alpha)

    report = audit(generous, n=n, alpha=0.05, seed=seed, estimand="binary-mean")
    assert report.verdict == "refuted", str(report)
    honest = audit(
        lambda x, a: generous(x, a / 1.25), n=n, alpha=0.05, seed=seed, estimand="binary-mean"
    )
    assert honest.verdict != "refuted"


@pytest.mark.parametrize("estimand", ["difference", "probit"])
def test_a_fault_of_votes_beside_a_jump_is_refuted(estimand):
    def cohen(counts, alpha):
        k, n = counts[:, 0], counts.sum(axis=1)
        p = level(k, n, 1.3 * alpha)
        return 2 * p - 1 if estimand == "difference" else 2 * ndtri(p)

    report = audit(cohen, n=600, alpha=0.05, estimand=estimand)
    assert report.design["method"] == "simulation"
    assert report.verdict == "refuted", str(report)


def test_looks_without_correction_are_refuted_where_they_miss_most():
    """At 32 times at most: 1.33 alpha at p = 0.152, by summing paths."""

    def looks(paths, alpha):
        n = paths.sum(axis=-1)
        p = level(paths[..., 0], n, alpha / 2)
        q = 1 - level(n - paths[..., 1:].max(axis=-1), n, alpha / 2)
        return np.where(n & (n - 1) == 0, p - q, -1.0)

    report = audit(looks, n=50, alpha=0.05, estimand="path-difference")
    assert report.verdict == "refuted", str(report)


def rarely_one(x, alpha):
    """An upper bound that takes no ones in n for proof of fewer than 2 in n."""
    n, k = x.shape[1], x.sum(axis=1)
    return np.where(k == 0, 2.0 / n, k / n + np.sqrt(np.log(1 / alpha) / (2 * n)))


@pytest.mark.parametrize("n", [10, 100])
def test_upper_and_two_sided_bounds_meet_rare_ones(n):
    """No ones in n at p just above 2/n has probability e^-2."""
    report = audit(rarely_one, n=n, alpha=0.05, side="upper")
    assert report.verdict == "refuted", str(report)
    both = audit(lambda x, a: (0 * x[:, 0], rarely_one(x, a)), n=n, alpha=0.05, side="two-sided")
    assert both.verdict == "refuted", str(both)


def test_an_upper_bound_is_judged_as_its_mirror_image():
    """By the same draws, but for laws whose draws are no mirror images."""
    lower = audit(wald, n=20, alpha=0.05, replications=4000)
    upper = audit(
        lambda x, a: 1 - wald(1 - x, a), n=20, alpha=0.05, replications=4000, side="upper"
    )
    pairs = [
        (a, b)
        for a, b in zip(lower.rows, upper.rows, strict=True)
        if not any(w in a.scenario for w in ("Beta", "uniform", "two outcomes"))
    ]
    assert len(pairs) > 15
    for one, other in pairs:
        assert other.scenario == f"mirrored: {one.scenario}"
        assert (one.uncovered, one.replications) == (other.uncovered, other.replications)


def bonferroni(counts, alpha, classes):
    """Of the first so many classes; the others are forgotten."""
    k1, k2, n = counts[:, 0], counts[:, 1:classes].max(axis=1), counts.sum(axis=1)
    return level(k1, n, alpha / 2) - (1 - level(n - k2, n, alpha / 2))


def test_classes_beyond_the_third_are_simulated_beside_an_exact_audit():
    settings = {"estimand": "difference", "n": 40, "alpha": 0.05}
    report = audit(lambda c, a: bonferroni(c, a, None), **settings)
    assert report.verdict == "supported"
    assert report.rows[0].replications == 0
    assert len(report.rows) == 1 + 17
    forgetful = audit(lambda c, a: bonferroni(c, a, 3), **settings)
    assert forgetful.verdict == "refuted"
    assert {r.scenario for r in forgetful.rows if r.verdict == "refuted"} >= {
        f"ten classes, {what}"
        for what in ("runner-up last", "runner-up class 4", "most probable class 8")
    }
    alone = audit(lambda c, a: bonferroni(c, a, 3), method="exact", **settings)
    assert alone.verdict == "supported"
    assert any("does not cover more than three classes" in note for note in alone.notes)


def test_a_bound_of_three_classes_is_not_refused_for_not_taking_more():
    def three(counts, alpha):
        k1, k2, k3 = counts.T
        n = k1 + k2 + k3
        return level(k1, n, alpha / 2) - (1 - level(n - np.maximum(k2, k3), n, alpha / 2))

    report = audit(three, estimand="difference", n=40, alpha=0.05)
    assert report.verdict == "supported"
    assert len(report.rows) == 1
    assert "does not take more than three classes" in str(report)


@pytest.mark.parametrize("forgotten", [2, 4, 9])
def test_a_score_bound_that_forgets_a_class_is_refuted(forgotten):
    def bound(scores, alpha):
        mean = scores.mean(axis=1)
        rivals = [j for j in range(1, mean.shape[1]) if j != forgotten]
        width = np.sqrt(2 * np.log(mean.shape[1] / alpha) / scores.shape[1])
        return mean[:, 0] - mean[:, rivals].max(axis=1) - width

    report = audit(bound, estimand="score-difference", n=200, alpha=0.05, replications=1000)
    assert report.verdict == "refuted"
    refuted = {r.scenario for r in report.rows if r.verdict == "refuted"}
    assert f"ten classes, runner-up {forgotten}" in refuted


def scores(*rows, of):
    return {"law": ("points", rows, of)}


NO_DISTRIBUTIONS = [
    ("mean", {"law": ("points", (0.0, 1.0), (0.3, 0.6))}, "that sum to 1, not 0.9"),
    ("mean", {"law": ("points", (0.0, 1.0), (0.5, 0.6))}, "that sum to 1, not 1.1"),
    ("mean", {"law": ("points", (0.0, 1.0), (1.2, -0.2))}, r"probabilities in \[0, 1\]"),
    ("mean", {"law": ("points", (0.0, 2.0), (0.5, 0.5))}, r"values in \[0, 1\]"),
    ("mean", {"law": ("points", (0.0, 0.5, 1.0), (0.5, 0.5))}, "as many values as probabilities"),
    ("mean", {"law": ("points", (0.0, float("nan")), (0.5, 0.5))}, "finite numbers"),
    ("mean", {"law": ("norm", 0.0, 1.0)}, "must have a law such as"),
    ("mean", {"law": ("beta", -1.0, 2.0)}, "positive parameters"),
    ("mean", {"law": ("beta", 1.0)}, "positive parameters"),
    ("mean", {"law": "uniform"}, "must have a law such as"),
    ("mean", {"p": 0.5}, "must be parameters of the distributions of 'mean'"),
    ("binary-mean", {"law": ("points", (0.0, 0.5), (0.5, 0.5))}, "the values 0 and 1"),
    ("variance", {"law": ("points", (-1.0, 1.0), (0.5, 0.5))}, r"values in \[0, 1\]"),
    ("median", {"law": ("nrm", 0.0, 1.0)}, "a continuous distribution of scipy"),
    ("median", {"law": ("poisson", 2.0)}, "a continuous distribution of scipy"),
    ("median", {"law": ("gamma",)}, "the parameters of scipy's"),
    ("median", {"law": ("norm", 0.0, -1.0)}, "parameters that scipy.stats.norm takes"),
    ("median", {"law": ("points", (0.0, 7.0), (0.5, 0.4))}, "that sum to 1"),
    ("difference", {"p": (0.5, 0.2, 0.2)}, "that sum to 1, not 0.9"),
    ("path-probit", {"p": (0.5, 0.2, 0.4)}, "that sum to 1, not 1.1"),
    ("score-difference", scores((0.5, 0.4, 0.2), of=(1.0,)), "sum to 1"),
    ("score-difference", scores((0.5, 0.5), (1.0, 0.0), of=(0.5, 0.4)), "sum to 1"),
    ("score-probit", {"law": ("dirichlet", (1.0, 0.0))}, "positive parameters"),
    ("proportion", {"p": 1.2}, "must be parameters of the distributions of 'proportion'"),
    ("two-proportion-difference", {"p1": 0.2}, "must be parameters of the distributions"),
    ("hypergeometric", {"successes": 50}, "must be parameters of the distributions"),
    ("paired-difference", {"both": 0.5, "first": 0.4, "second": 0.3}, "must be parameters"),
]


@pytest.mark.parametrize(("estimand", "parameters", "text"), NO_DISTRIBUTIONS)
def test_parameters_with_another_truth_than_the_data_are_refused(estimand, parameters, text):
    """Probabilities that sum to 0.9: the mean drawn is 0.7, and the mean said is 0.6."""

    def nothing(data, _alpha):
        return np.full(len(data), -9.0)

    with pytest.raises(ValueError, match=text) as error:
        audit(nothing, estimand=estimand, n=20, alpha=0.05, scenarios={"mine": parameters})
    assert str(error.value).startswith("scenarios['mine']=")
    with pytest.raises(ValueError, match=text):
        audit_test(
            lambda d: np.ones(len(d)),
            null=(None, None),
            estimand=estimand,
            n=20,
            scenarios={"mine": parameters},
        )


@pytest.mark.parametrize(
    ("estimand", "parameters"),
    [
        ("mean", {"law": ["points", [0.0, 1.0], [1 / 3, 2 / 3]]}),
        ("mean", {"law": ("points", np.array([0.1, 0.2, 0.3]), np.full(3, 1 / 3))}),
        ("mean", {"law": ("beta", 1, 7)}),
        ("median", {"law": ("gamma", 2.0)}),
        ("median", {"law": ("t", 1.5, -3.0, 2.0)}),
        ("difference", {"p": np.full(10, 0.1)}),
        ("score-difference", scores((0.5, 0.5, 0.0), (0.1, 0.2, 0.7), of=(0.1, 0.9))),
        ("paired-difference", {"both": 0.5, "first": 0.2, "second": 0.3}),
    ],
)
def test_parameters_of_every_kind_are_taken(estimand, parameters):
    thing = ESTIMANDS[estimand]
    suite = check_scenarios({"mine": parameters}, thing, 20, 0.05)
    assert [each.name for each in suite] == ["mine"]
    data = thing.draw(np.random.default_rng(0), 5, 20, **suite[0].parameters)
    assert np.isfinite(data).all()
