import numpy as np
import pytest
from scipy.stats import norm

from rsverify.bounds.margin_decision import decide_margin, line_bets
from rsverify.bounds.margin_sequence import LARGEST_VOTES
from rsverify.kernels.margin.line_bets import log_evidence
from rsverify.kernels.margin.sequence import curve_deviance

PATH = np.array([[8, 1, 1], [80, 10, 10], [820, 80, 100], [8100, 900, 1000]])
ESTIMANDS = ["difference", "probit"]


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_no_votes_are_no_evidence(estimand):
    decision = decide_margin([[0, 0]], 0, 0.5, 0.01, estimand=estimand)

    assert (decision.verdict, decision.votes) == (0, 0)


def test_batches_are_the_single_paths():
    paths = np.stack([PATH, PATH[:, [1, 0, 2]]])
    y, alpha, threshold = np.array([0, 1]), np.array([[0.001], [0.1]]), 1.9

    decision = decide_margin(paths, y, threshold, alpha, estimand="probit")

    assert decision.verdict.shape == decision.votes.shape == (2, 2)
    for i in range(2):
        alone = decide_margin(PATH, 0, threshold, alpha[i, 0], estimand="probit")
        assert (decision.verdict[i] == alone.verdict).all()
        assert (decision.votes[i] == alone.votes).all()


@pytest.mark.parametrize(
    ("estimand", "threshold", "verdict", "votes"),
    [
        ("difference", 0.6, 1, 1000),
        ("difference", 0.8, -1, 1000),
        ("difference", 0.71, 0, 10_000),
        ("probit", 1.9, 1, 10_000),
        ("probit", 2.6, -1, 10_000),
        ("probit", 2.16, 0, 10_000),
        ("probit", 0.0, 1, 100),
        ("probit", -2.0, 1, 100),
        ("probit", 1e-12, 1, 100),
        ("probit", 50.0, -1, 10),
        ("probit", -50.0, 1, 10),
    ],
)
def test_decisions(estimand, threshold, verdict, votes):
    decision = decide_margin(PATH, 0, threshold, 0.001, estimand=estimand)

    assert (decision.verdict, decision.votes) == (verdict, votes)


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("threshold", [-0.5, -0.1, 0.0, 0.5])
def test_exchanged_classes_answer_the_opposite_question(estimand, threshold):
    # With two classes the margin of the one is minus that of the other.
    rng = np.random.default_rng(4)
    votes = rng.multinomial(10, [0.55, 0.45], size=500).cumsum(axis=0)

    one = decide_margin(votes, 0, threshold, 0.01, estimand=estimand)
    other = decide_margin(votes, 1, -threshold, 0.01, estimand=estimand)

    assert one.verdict == -other.verdict != 0


def test_weights_on_the_runner_up_stop_sooner():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(20, [0.5, 0.42, *[0.01] * 8], size=400).cumsum(axis=0)
    weights = [0.0, 0.9, *[0.1 / 8] * 8]

    equal = decide_margin(votes, 0, 0.4, 0.001, estimand="probit")
    chosen = decide_margin(votes, 0, 0.4, 0.001, estimand="probit", weights=weights)

    assert equal.verdict == chosen.verdict == -1
    assert chosen.votes < equal.votes


def test_a_prior_of_the_same_kind_of_votes_saves_votes():
    rng = np.random.default_rng(1)
    votes = rng.multinomial(10, [0.8, 0.1, 0.06, 0.04], size=1000).cumsum(axis=0)
    prior = [80, 10, 6, 4]

    for threshold, side in ((1.8, 1), (2.6, -1)):
        without = decide_margin(votes, 0, threshold, 0.001, estimand="probit")
        with_it = decide_margin(votes, 0, threshold, 0.001, estimand="probit", prior=prior)
        assert without.verdict == with_it.verdict == side
        assert with_it.votes < 0.95 * without.votes


def test_every_rival_must_be_passed():
    # The evidence over class 1 alone would do; class 2 is passed later.
    votes = [[50, 1, 49], [2000, 30, 800]]

    decision = decide_margin(votes, 0, 0.1, 0.01, estimand="difference")

    assert (decision.verdict, decision.votes) == (1, 2830)


@pytest.mark.parametrize(
    ("estimand", "limit", "q"),
    [
        ("difference", -0.9, (0.08, 0.92)),
        ("difference", -0.2, (0.32, 0.4)),
        ("difference", 0.3, (0.48, 0.3)),
        ("difference", 0.3, (0.71, 0.29)),
        ("difference", 0.9, (0.96, 0.02)),
        ("probit", -0.9, (0.1, 0.6)),
        ("probit", -0.2, (0.2, 0.3)),
        ("probit", 0.3, (0.3, 0.15)),
        ("probit", 2.0, (0.85, 0.1)),
        ("probit", 2.0, (0.7, 0.1)),
        ("probit", 4.0, (0.99, 0.002)),
        ("probit", 6.0, (0.999, 0.0002)),
        ("probit", 6.0, (0.997, 0.002)),
    ],
)
@pytest.mark.parametrize("n", [1000, 10_000, 100_000])
def test_the_price_of_not_knowing_the_chances_is_small(estimand, limit, q, n):
    """Against the deviance of the counts from the curve, what knowing them would give."""
    x1, x2 = round(n * q[0]), round(n * q[1])
    code = ESTIMANDS.index(estimand)
    deviance = curve_deviance(code, x1, x2, n - x1 - x2, limit)
    margin = q[0] - q[1] if code == 0 else norm.ppf(q[0]) - norm.ppf(q[1])
    side = 1 if margin > limit else -1
    past = (round(100 * q[0]), round(100 * q[1]))

    alone = log_evidence(*line_bets(code, side, limit, (0, 0, 0), 100_000), x1, x2, n)
    told = log_evidence(*line_bets(code, side, limit, (*past, 100 - sum(past)), 100_000), x1, x2, n)

    # Beyond a deviance of 25 the stakes are not the best, and need not be. Near a corner of
    # the simplex the lines are too few for 100,000 votes, unless an earlier sample places them.
    assert told > min(deviance, 25.0) - 3.5
    assert limit == 6.0 or alone > min(deviance, 25.0) - 5.5


def test_hopeless_cases_are_given_up_and_clear_ones_are_not():
    rng = np.random.default_rng(5)
    votes = rng.multinomial(100, [0.8, 0.1, 0.1], size=1000).cumsum(axis=0)
    near, clear = norm.ppf(0.8) - norm.ppf(0.1), 1.9
    options = {"estimand": "probit", "horizon": 100_000, "futility": 0.1}

    given_up = decide_margin(votes, 0, near, 0.001, **options)
    patient = decide_margin(votes, 0, near, 0.001, **options | {"futility": 0.0})

    assert (patient.verdict, patient.votes) == (0, 100_000)
    assert given_up.verdict == 2
    assert 1000 <= given_up.votes < 50_000
    assert decide_margin(votes, 0, clear, 0.001, **options).verdict == 1


def test_thresholds_may_differ():
    options = {"estimand": "difference"}

    assert decide_margin(PATH, 0, 0.9, 0.001, below=0.8, **options).verdict == -1
    assert decide_margin(PATH, 0, 0.9, 0.001, below=0.7, **options).verdict == 0
    assert decide_margin(PATH, 0, 0.6, 0.001, below=0.7, **options).verdict == 1


def test_bets_are_built_once():
    line_bets.cache_clear()
    for _ in range(3):
        decide_margin(PATH, 0, 2.0, 0.001, estimand="probit")

    assert line_bets.cache_info().misses == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": [[1, -1]]}, "counts=-1 must be at least 0"),
        ({"counts": [[2, 0], [1, 3]]}, "none may fall"),
        ({"counts": [[LARGEST_VOTES, 1]]}, "at most 10000000"),
        ({"y": 2}, "y=2 must be a class between 0 and 1"),
        ({"alpha": 1.0}, r"alpha=1.0 must be in \(0, 1\)"),
        ({"estimand": "odds"}, "estimand='odds'"),
        ({"threshold": 1.0}, r"threshold=1.0 must be in \(-1, 1\)"),
        ({"threshold": np.inf, "estimand": "probit"}, "threshold=inf must be finite"),
        ({"below": -1.0}, r"below=-1.0 must be in \(-1, 1\)"),
        ({"threshold": np.nan}, "threshold contains NaN"),
        ({"weights": [1.0, -1.0]}, "weights=-1.0 must be nonnegative"),
        ({"prior": [1, -1]}, "prior must be counts of at least 0"),
        ({"horizon": 0}, "horizon=0 must be between 1 and 10000000"),
        ({"horizon": 10.5}, "horizon=10.5 must be an integer"),
        ({"futility": 1.0}, r"futility=1.0 must be in \[0, 1\)"),
        ({"futility": [0.1]}, r"futility of shape \(1,\) must be a single number"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {
        "counts": [[3, 1]],
        "y": 0,
        "threshold": 0.1,
        "alpha": 0.1,
        "estimand": "difference",
    } | change

    with pytest.raises((ValueError, TypeError), match=message):
        decide_margin(**arguments)
