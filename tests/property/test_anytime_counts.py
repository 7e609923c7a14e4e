"""E-values of counts: against a 50-digit twin, and fair by exact sums over all outcomes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import laplace, norm

from rsverify.bounds.margin_sequence import log_e_at_most, margin_sequence
from rsverify.kernels.margin.sequence import (
    largest_margin,
    log_e_below,
    log_e_value,
    mixture_limit,
)
from rsverify.kernels.mean.closed_form import log_inverse
from rsverify.reference import anytime_counts as twins

ESTIMANDS = ["difference", "probit", "laplace"]
LIMITS = {
    "difference": st.floats(-0.999, 0.999),
    "probit": st.floats(-8.0, 8.0),
    "laplace": st.floats(-20.0, 20.0),
}
LAWS = {"probit": norm, "laplace": laplace}


votes = st.integers(0, 3) | st.integers(0, 1000)
priors = st.just((0, 0, 0)) | st.tuples(votes, votes, votes)


@st.composite
def outcomes(draw):
    n = draw(st.integers(1, 60) | st.integers(1, 1_000_000))
    k1 = draw(st.integers(0, n) | st.integers(max(0, n - 5), n))
    k2 = draw(st.integers(0, n - k1) | st.integers(0, min(5, n - k1)))
    return k1, k2, n


@pytest.mark.parametrize("estimand", ESTIMANDS)
@given(outcome=outcomes(), data=st.data())
@example(outcome=(1_000_000, 0, 1_000_000), data=None)
@example(outcome=(0, 1, 1), data=None)
@settings(max_examples=150)
def test_log_e_is_below_its_twin_and_close(estimand, outcome, data):
    limit = 0.5 if data is None else data.draw(LIMITS[estimand])
    prior = (0, 0, 0) if data is None else data.draw(priors)
    k1, k2, n = outcome
    value = log_e_at_most(k1, k2, n, limit, estimand=estimand, prior=prior)
    exact = twins.log_e_at_most(k1, k2, n, limit, estimand=estimand, prior=prior)

    assert value <= exact
    # The kernel takes off (1e-11 + 4e-15 n) times one and up to two squared probits below 40.
    probits = 1.0 if estimand == "difference" else 1.0 + 2.0 * 40.0**2
    if exact > 0:
        price = 2e-11 + 5e-15 * (n + 40 * sum(prior))
        assert value > exact - (2e-11 + 5e-15 * n) * probits - price


@pytest.mark.parametrize("estimand", ESTIMANDS)
@given(outcome=outcomes(), data=st.data())
@settings(max_examples=200)
def test_log_e_falls_as_the_limit_rises(estimand, outcome, data):
    limit = data.draw(LIMITS[estimand])
    other = data.draw(LIMITS[estimand])
    assume(limit < other)
    k1, k2, n = outcome

    lower, higher = log_e_at_most(k1, k2, n, [limit, other], estimand=estimand)

    # Both are rounded down, by at most the error above.
    assert higher <= lower + (2e-11 + 5e-15 * n) * (1.0 if estimand == "difference" else 3201.0)


def boundary(estimand, limit, nuisance):
    """Return q on the curve g(q) = limit, `nuisance` in (0, 1] along it, or None."""
    if estimand == "difference":
        q2 = max(-limit, 0.0) + nuisance * (1.0 - abs(limit)) / 2.0
        return q2 + limit, q2, max(0.0, 1.0 - limit - 2.0 * q2)
    law = LAWS[estimand]
    u = law.ppf(nuisance * law.cdf(-limit / 2.0))
    q1, q2 = law.cdf(u + limit), law.cdf(u)
    return q1, q2, max(0.0, 1.0 - q1 - q2)


def trinomial(n, q):
    """Return all outcomes (x1, x2, x3) of n votes and their probabilities."""
    x1, x2 = np.array([(i, j) for i in range(n + 1) for j in range(n + 1 - i)]).T
    x = np.stack([x1, x2, n - x1 - x2])
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(x > 0, x * np.log(np.array(q))[:, None], 0.0)
    return x, np.exp(gammaln(n + 1) - gammaln(x + 1).sum(axis=0) + parts.sum(axis=0))


POINTS = [0.001, 0.03, 0.2, 0.5, 0.8, 0.97, 1.0]


@pytest.mark.parametrize("prior", [(0, 0, 0), (60, 30, 10), (0, 5, 0)])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize(
    ("estimand", "limit"),
    [("difference", v) for v in (-0.9, -0.2, 0.0, 0.3, 0.8, 0.99)]
    + [("probit", v) for v in (-3.0, -0.5, 0.0, 0.5, 2.0, 6.0)]
    + [("laplace", v) for v in (-4.0, -0.5, 0.0, 0.5, 2.0, 9.0)],
)
def test_e_values_have_mean_at_most_one_on_the_boundary(estimand, limit, n, prior):
    means = []
    for nuisance in POINTS:
        x, mass = trinomial(n, boundary(estimand, limit, nuisance))
        options = {"estimand": estimand}
        swapped = (prior[1], prior[0], prior[2])
        against_less = np.exp(log_e_at_most(x[0], x[1], n, limit, prior=prior, **options))
        against_more = np.exp(log_e_at_most(x[1], x[0], n, -limit, prior=swapped, **options))
        means += [np.sum(mass * against_less), np.sum(mass * against_more)]

    assert max(means) <= 1.0 + 1e-12
    # Not vacuous: the mixture is not far from some of these points.
    assert max(means) > 0.02


def crossing(estimand, limit, q, n, alpha, side, prior=(0, 0, 0)):
    """Return the exact probability of a verdict within n votes, looking after each vote.

    q are the chances of the class certified and of two rivals. The state is the counts and
    which rivals have been passed.
    """
    code, weights, threshold = ESTIMANDS.index(estimand), np.array([0.5, 0.5]), -math.log(alpha)
    s = np.array(prior)
    states = {(0, 0, 0, False, False): 1.0}
    decided = 0.0
    for votes in range(1, n + 1):
        following: dict[tuple[int, int, int, bool, bool], float] = {}
        for (a, b, c, *passed), mass in states.items():
            for k, chance in enumerate(q):
                if chance == 0.0:
                    continue
                x = (a + (k == 0), b + (k == 1), c + (k == 2))
                if side > 0:
                    now = tuple(
                        passed[j]
                        or log_e_value(code, x[0], x[1 + j], votes, limit, s[0], s[1 + j], s[2 - j])
                        >= threshold
                        for j in range(2)
                    )
                    done = all(now)
                else:
                    now = (False, False)
                    rivals = np.array(x[1:])
                    done = log_e_below(code, x[0], rivals, s, weights, votes, limit) >= threshold
                if done:
                    decided += mass * chance
                else:
                    following[*x, *now] = following.get((*x, *now), 0.0) + mass * chance
        states = following
    return decided


SCENARIOS = [
    ("difference", 0.3, 0.2),
    ("difference", -0.5, 0.5),
    ("difference", 0.0, 0.001),
    ("difference", 0.8, 0.9),
    ("probit", 0.5, 0.3),
    ("probit", -1.0, 0.5),
    ("probit", 2.5, 0.95),
    ("laplace", -1.0, 0.5),
    ("laplace", 3.0, 0.6),
]


@pytest.mark.parametrize("prior", [(0, 0, 0), (6, 3, 1), (0, 1, 9)])
@pytest.mark.parametrize("alpha", [0.3, 0.05])
@pytest.mark.parametrize(("estimand", "limit", "nuisance"), SCENARIOS)
def test_verdicts_are_wrong_with_probability_at_most_alpha_over_whole_paths(
    estimand, limit, nuisance, alpha, prior
):
    q1, q2, q3 = boundary(estimand, limit, nuisance)
    third = min(q2, q3)  # as likely as the runner-up where the simplex allows it
    q = (q1, q2, third) if math.isclose(q1 + q2 + third, 1.0) else (q1, q2, q3)
    errors = []
    if q[2] <= q[1]:  # else the third class is the runner-up and the margin is below
        errors += [crossing(estimand, limit, q, 24, alpha, side, prior) for side in (1, -1)]
    else:
        errors.append(crossing(estimand, limit, q, 24, alpha, 1, prior))

    assert max(errors) <= alpha


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
@pytest.mark.parametrize(("estimand", "limit", "nuisance"), SCENARIOS)
def test_crossings_over_paths_of_60_votes(estimand, limit, nuisance, alpha):
    q = boundary(estimand, limit, nuisance)

    assert crossing(estimand, limit, q, 60, alpha, 1) <= alpha
    if q[2] <= q[1]:  # else the third class is the runner-up and the margin is below
        assert crossing(estimand, limit, q, 60, alpha, -1) <= alpha


def test_some_verdict_is_likely_where_it_is_right():
    assert crossing("difference", 0.1, (0.96, 0.02, 0.02), 24, 0.05, 1) > 0.9
    assert crossing("difference", 0.8, (0.1, 0.8, 0.1), 24, 0.05, -1) > 0.9


@st.composite
def paths(draw):
    classes = draw(st.integers(2, 4))
    steps = draw(
        st.lists(
            st.lists(st.integers(0, 300), min_size=classes, max_size=classes),
            min_size=1,
            max_size=6,
        )
    )
    return np.cumsum(steps, axis=0)


@pytest.mark.parametrize("estimand", ESTIMANDS)
@given(path=paths(), alpha=st.floats(1e-6, 0.9))
@settings(max_examples=100)
def test_limits_only_close_in(estimand, path, alpha):
    lower, upper = margin_sequence(path, 0, alpha, estimand=estimand)

    assert (lower[1:] >= lower[:-1]).all()
    assert (upper[1:] <= upper[:-1]).all()


def test_evidence_against_a_rival_falls_with_its_votes():
    for estimand, limits in (
        ("difference", (-0.5, 0.0, 0.4)),
        ("probit", (-1.0, 0.0, 2.0)),
        ("laplace", (-1.0, 3.0)),
    ):
        for n, limit in itertools.product((1, 5, 40), limits):
            for k1 in range(n + 1):
                k2 = np.arange(n - k1 + 1)
                logs = log_e_at_most(k1, k2, n, limit, estimand=estimand)
                # Below one it is the price of the mixture that is compared, not evidence.
                logs = np.maximum(logs, 0.0)
                assert (np.diff(logs) <= 1e-9).all(), (estimand, n, limit, k1)


@given(st.lists(st.integers(0, 60), min_size=3, max_size=5), st.floats(-0.9, 0.9), st.data())
@settings(max_examples=50)
def test_evidence_for_less_is_the_weighted_mean_over_rivals(counts, limit, data):
    n, rivals = sum(counts), np.array(counts[1:])
    assume(n > 0)
    raw = data.draw(st.lists(st.floats(0.1, 1.0), min_size=rivals.size, max_size=rivals.size))
    weights = np.array(raw) / sum(raw)
    prior = np.zeros(len(counts), dtype=np.int64)

    value = log_e_below(0, counts[0], rivals, prior, weights, n, limit)

    logs = log_e_at_most(rivals, counts[0], n, -limit, estimand="difference")
    mean = np.log(np.sum(weights * np.exp(logs)))
    assert mean - 1e-11 * (1 + abs(mean)) <= value <= mean + 1e-13 * (1 + abs(mean))


@pytest.mark.parametrize("estimand", ESTIMANDS)
@given(outcome=outcomes(), prior=priors, alpha=st.floats(1e-6, 0.9))
@example(outcome=(1_000_000, 0, 1_000_000), prior=(0, 0, 0), alpha=0.001)
@example(outcome=(0, 1, 1), prior=(0, 0, 0), alpha=0.9)
@settings(max_examples=200)
def test_a_limit_is_rejected_and_one_just_above_is_not(estimand, outcome, prior, alpha):
    k1, k2, n = outcome
    threshold = log_inverse(alpha)
    code = ESTIMANDS.index(estimand)
    limit = mixture_limit(code, k1, k2, n, threshold, *prior)

    if math.isfinite(limit) and limit > -1.0:
        assert log_e_value(code, k1, k2, n, limit, *prior) >= threshold
    above = max(limit, -largest_margin(code))
    above += 1.1e-12 * max(1.0, abs(above))
    assert log_e_value(code, k1, k2, n, above, *prior) < threshold


@pytest.mark.parametrize("estimand", ESTIMANDS)
@given(path=paths(), alpha=st.floats(1e-6, 0.9), data=st.data())
@settings(max_examples=60)
def test_rivals_with_equal_votes_count_once(estimand, path, alpha, data):
    classes = path.shape[1]
    again = data.draw(st.lists(st.integers(1, classes - 1), min_size=1, max_size=4))
    places = data.draw(st.permutations([*range(1, classes), *again]))
    prior = np.array(data.draw(st.lists(votes, min_size=classes, max_size=classes)))
    # The mixture sees the rest of the votes, so that each rival has an equal one throughout.
    path, prior = path[:, [0, *places]], prior[[0, *places]]
    lower, upper = margin_sequence(path, 0, alpha, estimand=estimand, prior=prior)

    code, threshold = ESTIMANDS.index(estimand), log_inverse(0.5 * alpha)
    size, n = int(prior.sum()), path.sum(axis=1)
    alone = np.full(lower.shape, np.inf)
    for j in range(1, path.shape[1]):
        rest = int(size - prior[0] - prior[j])
        each = [
            mixture_limit(code, k[0], k[j], total, threshold, prior[0], prior[j], rest)
            if total
            else -np.inf
            for k, total in zip(path, n, strict=True)
        ]
        alone = np.minimum(alone, np.maximum.accumulate(each))
    floor = -1.0 if estimand == "difference" else -np.inf
    assert lower == pytest.approx(np.maximum(alone, floor), abs=0, rel=0)
    order = [0, *(1 + np.argsort(places, kind="stable"))]
    sorted_ = margin_sequence(path[:, order], 0, alpha, estimand=estimand, prior=prior[order])
    assert (sorted_.lower == lower).all()
    assert sorted_.upper == pytest.approx(upper, abs=1e-9)
