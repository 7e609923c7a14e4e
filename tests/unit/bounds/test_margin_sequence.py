import numpy as np
import pytest
from scipy.stats import norm

from rsverify.bounds.margin import exact_margin_lower
from rsverify.bounds.margin_sequence import LARGEST_VOTES, log_e_at_most, margin_sequence
from rsverify.kernels.margin.sequence import mixture_price

PATH = np.array([[8, 1, 1], [80, 10, 10], [820, 80, 100], [8100, 900, 1000]])
EMPTY = {"difference": (-1.0, 1.0), "probit": (-np.inf, np.inf)}


@pytest.mark.parametrize("estimand", EMPTY)
def test_limits_close_in_on_the_margin(estimand):
    lower, upper = margin_sequence(PATH, 0, 0.002, estimand=estimand)
    share = PATH[-1] / PATH[-1].sum()
    margin = share[0] - share[2]
    if estimand == "probit":
        margin = norm.ppf(share[0]) - norm.ppf(share[2])

    assert (lower < margin).all()
    assert (upper > margin).all()
    assert (np.diff(upper - lower) < 0).all()
    assert lower[-1] < exact_margin_lower(8100, 1000, 10_000, 0.001, estimand=estimand)


@pytest.mark.parametrize("estimand", EMPTY)
def test_no_votes_are_no_evidence(estimand):
    lower, upper = margin_sequence([[0, 0], [0, 0]], 0, 0.02, estimand=estimand)

    assert (lower == EMPTY[estimand][0]).all()
    assert (upper == EMPTY[estimand][1]).all()


def test_batches_are_the_single_paths():
    other = PATH[:, [1, 0, 2]]
    y, alpha = np.array([0, 1]), np.array([[0.001], [0.1]])

    limits = margin_sequence(np.stack([PATH, other]), y, alpha, estimand="probit")

    assert limits.lower.shape == limits.upper.shape == (2, 2, 4)
    for i in range(2):
        alone = margin_sequence(PATH, 0, alpha[i, 0], estimand="probit")
        for j in range(2):
            assert (limits.lower[i, j] == alone.lower).all()
            assert (limits.upper[i, j] == alone.upper).all()


@pytest.mark.parametrize("split", [0.0, 0.25, 1.0])
def test_the_two_sides_share_alpha(split):
    options = {"estimand": "probit"}
    both = margin_sequence(PATH, 0, 0.01, split=split, **options)

    lower_alone = margin_sequence(PATH, 0, 0.01 * split or 0.5, split=1.0, **options)
    upper_alone = margin_sequence(PATH, 0, 0.01 * (1 - split) or 0.5, split=0.0, **options)
    assert (lower_alone.upper == np.inf).all()
    assert (upper_alone.lower == -np.inf).all()
    assert (both.lower == (lower_alone.lower if split else -np.inf)).all()
    assert (both.upper == (upper_alone.upper if split < 1 else np.inf)).all()


def test_weights_need_only_be_proportional():
    arguments = {"alpha": 0.01, "estimand": "difference"}

    limits = [
        margin_sequence(PATH, 0, weights=w, **arguments).upper
        for w in ([5, 1, 3], [0, 0.25, 0.75], [9, 100, 300])
    ]

    assert (limits[0] == limits[1]).all()
    assert (limits[0] == limits[2]).all()


def test_a_million_votes():
    limits = margin_sequence([[900_000, 60_000, 40_000]], 0, 0.002, estimand="difference")
    fixed = exact_margin_lower(900_000, 60_000, 1_000_000, 0.001, estimand="difference")

    # Chi-square theory: the deviance must reach log(1/alpha) less the price of the mixture.
    deviance = np.log(1000) - mixture_price(900_000, 60_000, 40_000, 0, 0, 0)
    ratio = np.sqrt(2 * deviance) / norm.isf(0.001)
    assert 0.84 - limits.lower[0] == pytest.approx(ratio * (0.84 - fixed), rel=0.01)
    assert 0.84 < limits.upper[0] < 0.845


@pytest.mark.parametrize("estimand", EMPTY)
@pytest.mark.parametrize("path", [[[100_000, 0, 0]], [[0, 100_000, 0]], [[0, 0, 100_000]]])
@pytest.mark.parametrize("y", [0, 1])
def test_all_votes_for_one_class_give_no_nan(estimand, path, y):
    lower, upper = margin_sequence(path, y, 0.002, estimand=estimand)

    assert not np.isnan([lower, upper]).any()
    assert lower[0] < upper[0]
    if path[0][y]:
        assert np.isfinite(lower[0])
        assert lower[0] > 0.9
    else:
        assert upper[0] < 0.0


def test_impossible_counts_are_infinite_evidence():
    assert log_e_at_most(1, 0, 1, -1.0, estimand="difference") == np.inf
    assert log_e_at_most(0, 1, 1, -1.0, estimand="difference") < 0
    assert log_e_at_most(1, 0, 1, 1.0, estimand="difference") < 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": [[1, -1]]}, "counts=-1 must be at least 0"),
        ({"counts": [[1, 0.5]]}, "counts=0.5 must be an integer"),
        ({"counts": [1, 0]}, r"counts of shape \(2,\)"),
        ({"counts": [[1]]}, r"counts of shape \(1, 1\)"),
        ({"counts": np.empty((0, 2), dtype=int)}, r"counts of shape \(0, 2\)"),
        ({"counts": [[2, 0], [1, 3]]}, "none may fall"),
        ({"counts": [[LARGEST_VOTES, 1]]}, "at most 10000000"),
        ({"y": 2}, "y=2 must be a class between 0 and 1"),
        ({"y": -1}, "y=-1 must"),
        ({"alpha": 1.0}, r"alpha=1.0 must be in \(0, 1\)"),
        ({"alpha": np.nan}, "alpha contains NaN"),
        ({"estimand": "odds"}, "estimand='odds'"),
        ({"weights": [1.0]}, r"weights of shape \(1,\)"),
        ({"weights": [1.0, -1.0]}, "weights=-1.0 must be nonnegative"),
        ({"weights": [1.0, 0.0]}, "weights must have a positive sum"),
        ({"alpha": [0.1, 0.1], "y": [0, 1, 0]}, "must broadcast"),
        ({"split": 1.5}, r"split=1.5 must be in \[0, 1\]"),
        ({"split": [0.5, 0.5]}, r"split of shape \(2,\)"),
        ({"prior": [1]}, r"prior of shape \(1,\)"),
        ({"prior": [1, -1]}, "prior must be counts of at least 0"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {
        "counts": [[3, 1]],
        "y": 0,
        "alpha": 0.1,
        "estimand": "difference",
    } | change

    with pytest.raises((ValueError, TypeError), match=message):
        margin_sequence(**arguments)


def test_log_e_checks_its_counts():
    with pytest.raises(ValueError, match="k1 \\+ k2=3 must be at most n=2"):
        log_e_at_most(2, 1, 2, 0.0, estimand="difference")
    with pytest.raises(ValueError, match="limit contains NaN"):
        log_e_at_most(2, 0, 2, np.nan, estimand="difference")
    for prior in ((1, 2), 7, (1, 2, -1), (LARGEST_VOTES + 1, 0, 0), (2**62,) * 3):
        with pytest.raises(ValueError, match="prior="):
            log_e_at_most(2, 0, 2, 0.0, estimand="probit", prior=prior)


def test_weights_of_any_size_are_shares():
    options = {"estimand": "difference"}
    counts = [[30, 40, 50], [300, 400, 500]]
    even = margin_sequence(counts, 0, 0.1, weights=[0, 1, 1], **options)

    for size in (5e-324, 1e-300, 1.7e308):
        limits = margin_sequence(counts, 0, 0.1, weights=[0, size, size], **options)
        np.testing.assert_allclose(limits.upper, even.upper, rtol=1e-12)
