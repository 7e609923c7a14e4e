import numpy as np
import pytest

from rsverify.bounds.mean import hoeffding_lower
from rsverify.bounds.score_margin import (
    MEAN_BOUNDS,
    METHODS,
    plan_runners_up,
    runner_up_columns,
    score_margin_lower,
)

CASES = [(e, m) for e in METHODS for m in METHODS[e]]


def sample(n=400, concentration=(12, 5, 3), seed=0):
    return np.random.default_rng(seed).dirichlet(concentration, size=n)


@pytest.mark.parametrize(("estimand", "method"), CASES)
@pytest.mark.parametrize("name", MEAN_BOUNDS)
def test_bound_is_below_the_empirical_margin(estimand, method, name):
    from scipy.stats import norm

    scores = sample()
    mean = scores.mean(axis=0)
    margin = mean[0] - mean[1]
    if estimand == "probit":
        margin = norm.ppf(mean[0]) - norm.ppf(mean[1])

    bound = score_margin_lower(scores, 0, 0.01, estimand=estimand, method=method, mean_bound=name)

    assert -1.0 < bound < margin


def test_defaults_are_the_tighter_methods():
    scores, selection = sample(), sample(100, seed=1)
    for estimand, methods in METHODS.items():
        bounds = {
            m: score_margin_lower(
                scores, 0, 0.001, estimand=estimand, selection=selection, method=m
            )
            for m in methods
        }
        default = score_margin_lower(scores, 0, 0.001, estimand=estimand, selection=selection)

        assert default == bounds[methods[0]] == max(bounds.values())


def test_tangent_needs_fewer_samples_than_bonferroni():
    concentration = (6, 2, 2, 2, 2, 2)
    selection, scores = sample(100, concentration, 2), sample(2000, concentration, 3)
    options = {"estimand": "probit", "selection": selection}

    tangent = score_margin_lower(scores[:1600], 0, 0.001, **options)

    assert tangent > score_margin_lower(scores, 0, 0.001, method="bonferroni", **options)


def test_margin_is_over_the_largest_rival_wherever_it_is():
    scores = sample(concentration=(12, 1, 1, 7, 1))
    for estimand, method in CASES:
        reordered = score_margin_lower(
            scores[:, [3, 2, 0, 1, 4]], 2, 0.01, estimand=estimand, method=method
        )
        assert reordered == score_margin_lower(scores, 0, 0.01, estimand=estimand, method=method)


def test_batches_are_the_single_samples():
    scores = np.stack([sample(seed=s) for s in range(3)])
    y, alpha = np.array([0, 1, 0]), np.array([[0.01], [0.2]])

    bounds = score_margin_lower(scores, y, alpha, estimand="probit")

    assert bounds.shape == (2, 3)
    for (i, j), bound in np.ndenumerate(bounds):
        alone = score_margin_lower(scores[j], y[j], alpha[i, 0], estimand="probit")
        assert bound == alone
        assert isinstance(alone, float)


def test_merged_rivals_cost_little_and_never_gain_on_one_rival():
    concentration = (60, 20, 5, *([0.2] * 47))
    selection, scores = sample(100, concentration, 4), sample(1000, concentration, 5)
    options = {"estimand": "difference", "selection": selection}

    few = score_margin_lower(scores, 0, 0.001, runners_up=2, **options)
    many = score_margin_lower(scores, 0, 0.001, runners_up=49, **options)

    assert few == many  # the strongest runner_up decides, alone in its column in both
    assert score_margin_lower(scores, 0, 0.001, runners_up=1, **options) <= many


def test_plan_keeps_the_likeliest_rivals_and_merges_the_rest_by_the_largest():
    scores = np.array([[0.5, 0.1, 0.2, 0.2], [0.4, 0.0, 0.1, 0.5]])

    plan = plan_runners_up(scores, 0, 4, runners_up=1)
    first, columns = runner_up_columns(scores, 0, plan)

    assert plan.runners_up.tolist() == [3]
    assert plan.slopes.shape == (2,)
    assert first.tolist() == [0.5, 0.4]
    assert columns.tolist() == [[0.2, 0.5], [0.2, 0.1]]


def test_rows_are_clipped_and_divided_by_their_sum():
    scores = sample()
    near = scores * (1 + 5e-7)
    near[0] = [1 + 2e-7, -2e-7, 0.0]
    exact = np.array(scores)
    exact[0] = [1.0, 0.0, 0.0]

    bounds = [score_margin_lower(s, 0, 0.01, estimand="probit") for s in (near, exact)]

    assert bounds[0] == pytest.approx(bounds[1], abs=1e-12)


@pytest.mark.parametrize("estimand", METHODS)
@pytest.mark.parametrize("row", [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
@pytest.mark.parametrize("n", [1, 2, 500])
def test_constant_rows_give_no_nan_and_no_infinity_above(estimand, row, n):
    for method in METHODS[estimand]:
        bound = score_margin_lower([row] * n, 0, 1e-3, estimand=estimand, method=method)
        assert not np.isnan(bound)
        assert bound < np.inf
        if row[0] <= 0.5:
            assert bound <= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[0.5, 0.5], [0.5, 0.6]]}, r"scores: row 1 .* sum 1.1; .*simplex"),
        ({"scores": [[[0.5, 0.5], [1.5, -0.5]]]}, r"scores: row \(0, 1\) .*-0.5"),
        ({"scores": [[0.5, np.nan]]}, "scores contains NaN"),
        ({"scores": [[0.5, np.inf]]}, "scores: row 0"),
        ({"scores": [[np.inf, -np.inf]]}, "scores: row 0 .* sum nan"),
        ({"scores": [[1.7e308, 1.7e308]]}, "scores: row 0 .* sum inf"),
        ({"scores": [0.5, 0.5]}, r"scores of shape \(2,\)"),
        ({"scores": np.empty((0, 3))}, "scores of shape"),
        ({"scores": [[1.0]]}, "scores of shape"),
        ({"y": 2}, "y=2 must be a class between 0 and 1"),
        ({"y": -1}, "y=-1 must"),
        ({"y": 0.5}, "y=0.5 must be an integer"),
        ({"y": [0, 1], "alpha": [0.1, 0.1, 0.1]}, "must broadcast"),
        ({"alpha": 0.0}, r"alpha=0.0 must be in \(0, 1\)"),
        ({"estimand": "ratio"}, "estimand='ratio'"),
        ({"method": "union"}, "method='union' must be one of 'tangent', 'bonferroni'"),
        ({"mean_bound": "wald"}, "mean_bound='wald'"),
        ({"mean_bound": lambda _, a: np.full(a.shape, np.nan)}, "mean_bound returned NaN"),
        ({"mean_bound": lambda *_: 0.5}, r"mean_bound returned shape \(\)"),
        ({"selection": [[0.2, 0.2, 0.6]]}, "must have the 2 classes"),
        ({"selection": [[0.2, 0.2]]}, "selection: row 0"),
        ({"runners_up": 0}, "runners_up=0"),
        ({"runners_up": 2.5}, "runners_up=2.5"),
        ({"box": 1.0}, "box=1.0"),
        ({"box": [0.1, 0.2]}, r"box of shape \(2,\) must be a single number"),
        ({"box": 1e-17}, "box=1e-17 must be between 1.2e-16 and 1"),
        ({"alpha": 1e-307}, "alpha=1e-307 is too small: 0.05 of it must be"),
        ({"alpha": 5e-324, "method": "bonferroni"}, "alpha=5e-324 is too small: 0.5 of it"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {"scores": [[0.5, 0.5]] * 3, "y": 0, "alpha": 0.1, "estimand": "probit"} | change

    with pytest.raises((ValueError, TypeError), match=message):
        score_margin_lower(**arguments)


def test_a_caller_may_bring_a_bound():
    scores = sample()
    arguments = {"y": 0, "alpha": 0.05, "estimand": "difference"}

    own = score_margin_lower(scores, mean_bound=hoeffding_lower, **arguments)

    assert own == score_margin_lower(scores, mean_bound="hoeffding", **arguments)
