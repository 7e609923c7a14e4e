"""Bets on lines: each fair at every point that it speaks against, and right over whole paths."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import laplace, norm

from rsverify.bounds.margin_decision import line_bets
from rsverify.kernels.margin import line_bets as kernels
from rsverify.reference import line_bets as twins

ESTIMANDS = ["difference", "probit", "laplace"]
QUANTILES = st.sampled_from(ESTIMANDS[1:])
LIMITS = {
    "difference": st.floats(-0.999, 0.999),
    "probit": st.floats(1e-9, 20.0) | st.floats(0.5, 8.0),
    "laplace": st.floats(1e-9, 60.0) | st.floats(0.5, 12.0),
}
CDF = {"probit": norm.cdf, "laplace": laplace.cdf}
votes = st.integers(0, 3) | st.integers(0, 1000)
pasts = st.just((0, 0, 0)) | st.tuples(votes, votes, votes)
horizons = st.sampled_from([1, 100, 10_000, 100_000, 10_000_000])


def make(estimand, side, limit, past, horizon):
    """Return bets as paid, not as logarithms, and their log-weights."""
    s = np.array(past, dtype=np.int64)
    if estimand == "difference":
        return kernels.difference_bets(limit, side, s, horizon)
    bets = kernels.tangent_bets if side > 0 else kernels.chord_bets
    return bets(ESTIMANDS.index(estimand), limit, s, horizon)


@st.composite
def places(draw, estimand, limit):
    """Draw q on the curve: q2 anywhere that the simplex allows, often near its ends."""
    if estimand == "difference":
        top = (1.0 - abs(limit)) / 2.0
        q2 = max(-limit, 0.0) + draw(st.floats(0.0, 1.0)) * top
    else:
        z = -0.5 * limit - draw(st.floats(0.0, 9.0 + limit / 2.0) | st.floats(0.0, 1e-6))
        q2 = CDF[estimand](z) if draw(st.integers(0, 9)) else 0.0
    return twins.curve_point(limit, q2, estimand=estimand)


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("side", [1, -1])
@given(data=st.data(), past=pasts, horizon=horizons)
@settings(max_examples=60)
def test_no_bet_pays_on_average_at_a_point_it_speaks_against(estimand, side, data, past, horizon):
    limit = data.draw(LIMITS[estimand])
    bets, _ = make(estimand, side, limit, past, horizon)
    q1, q2, q3 = data.draw(places(estimand, limit))
    # On the curve, and beyond it: further down for "g <= limit", up for "g >= limit".
    move = data.draw(st.sampled_from([0.0, 1e-12, 0.3, 1.0])) * (q1 if side > 0 else q3)
    q = (q1 - side * move, q2, q3 + side * move)
    assume(min(q) >= 0)

    assert (bets > -1.0).all()
    rough = bets @ np.array([float(v) for v in q])
    if side > 0 or estimand == "difference":
        worst = np.unravel_index(rough.argmax(), rough.shape)
        assert twins.mean_payment(bets[worst], q) <= 0
    else:
        # One of the cells holds q, and all of its bets are fair there.
        cells = np.argsort(rough.max(axis=1))[:3]
        assert any(all(twins.mean_payment(b, q) <= 0 for b in bets[k]) for k in cells)


@given(estimand=QUANTILES, past=pasts, horizon=horizons, data=st.data())
@settings(max_examples=20)
def test_no_bet_pays_where_its_line_meets_the_curve(estimand, past, horizon, data):
    """There is no room: a tangent's bets are fair by their rounding alone, a chord's too."""
    limit, code = data.draw(LIMITS[estimand]), ESTIMANDS.index(estimand)
    k = data.draw(st.integers(0, kernels.TANGENTS - 1))
    places = kernels.line_places(code, limit, *past, kernels.TANGENTS)
    tangents = make(estimand, 1, limit, past, horizon)[0].reshape(kernels.TANGENTS, -1, 3)
    cell = data.draw(st.integers(0, kernels.CELLS - 1))
    ends = kernels.line_places(code, limit, *past, kernels.CELLS)[max(cell - 1, 0) : cell + 1]
    chords = make(estimand, -1, limit, past, horizon)[0][cell]

    for z, bets in [(places[k], tangents[k]), *((z, chords) for z in ends)]:
        with mp.workdps(60):
            cdf = twins.laplace_cdf if estimand == "laplace" else twins.norm_cdf
            q1, q2 = cdf(z + mp.mpf(limit)), cdf(mp.mpf(z))
            q = q1, q2, cdf(-z - mp.mpf(limit)) - q2
            for bet in bets:
                assert twins.mean_payment(bet, q) <= 0


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("side", [1, -1])
@given(data=st.data(), past=pasts, horizon=horizons)
@settings(max_examples=60)
def test_weights_sum_to_at_most_one(estimand, side, data, past, horizon):
    limit = data.draw(LIMITS[estimand])
    _, weights = make(estimand, side, limit, past, horizon)

    total = np.exp(weights).sum(axis=1)
    assert (total <= 1.0).all()
    assert (total > 1.0 - 1e-9).all()
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("side", [1, -1])
@given(
    estimand=QUANTILES,
    limit=st.floats(0.1, 8.0),
    past=pasts,
    x=st.tuples(*[st.integers(0, 3) | st.integers(0, 2_000_000)] * 3),
)
@settings(max_examples=8)
def test_capital_is_below_its_twin_and_close(side, estimand, limit, past, x):
    bets, weights = make(estimand, side, limit, past, 100)
    logs = np.log1p(bets)
    value = kernels.log_capital(logs, weights, *x)
    # Which cell is least, floats can tell; the twin evaluates that one.
    rough = np.logaddexp.reduce(logs @ np.array(x, dtype=float) + weights, axis=1)
    cells = np.argsort(rough)[:1]
    exact = twins.log_capital(bets[cells], weights[cells], x)

    assert value <= exact
    size = float(np.abs(logs[cells] * np.array(x)).sum(axis=2).max())
    assert value > exact - 1e-9 - 2e-13 * size


@given(
    estimand=st.sampled_from(ESTIMANDS),
    side=st.sampled_from([1, -1]),
    limit=st.floats(-0.9, 0.9),
    past=pasts,
    x=st.tuples(*[st.integers(0, 50) | st.integers(0, 5000)] * 3),
    moved=st.integers(1, 1000),
)
@settings(max_examples=200)
def test_evidence_moves_with_the_rivals_votes(estimand, side, limit, past, x, moved):
    assume(x[2] >= moved)
    bets = line_bets(ESTIMANDS.index(estimand), side, limit, past, 10_000)
    n = sum(x)

    before = kernels.log_evidence(*bets, x[0], x[1], n)
    after = kernels.log_evidence(*bets, x[0], x[1] + moved, n)

    assert side * (after - before) <= 1e-12 * (1.0 + abs(before) + n)


def crossing(estimand, limit, q, n, alpha, side, past, rivals=2):
    """Return the exact probability of a verdict within n votes, looking after each vote.

    q are the chances of the class certified and of two others, of which the first is a rival;
    so is the second, or with ``rivals=1`` it stands for many of little chance each.
    """
    code = ESTIMANDS.index(estimand)
    bets = line_bets(code, side, limit, past, n)
    shares, threshold = np.full(rivals, 1.0 / rivals), -math.log(alpha)
    alive = np.zeros((n + 1, n + 1))
    alive[0, 0] = 1.0
    decided = 0.0
    for t in range(1, n + 1):
        following = alive * q[2]
        following[1:] += alive[:-1] * q[0]
        following[:, 1:] += alive[:, :-1] * q[1]
        for a, b in np.argwhere(following > 0.0):
            others = np.array([b, t - a - b])[:rivals]
            if side > 0:
                value = kernels.log_evidence(*bets, a, others.max(), t)
            else:
                value = kernels.log_evidence_below(*bets, a, others, shares, t)
            if value >= threshold:
                decided += following[a, b]
                following[a, b] = 0.0
        alive = following
    return decided


SCENARIOS = [
    ("difference", 0.3, 0.2),
    ("difference", -0.5, 0.75),
    ("difference", 0.8, 0.09),
    ("probit", 0.5, 0.25),
    ("probit", -1.0, 0.6),
    ("probit", 2.5, 0.1),
    ("probit", 0.0, 0.5),
    ("laplace", 0.7, 0.25),
    ("laplace", -1.0, 0.6),
    ("laplace", 3.0, 0.06),
    ("laplace", 1.0, 0.184),  # beside the kink of its curve
]


@pytest.mark.parametrize("past", [(0, 0, 0), (6, 3, 1), (0, 1, 9)])
@pytest.mark.parametrize(("estimand", "limit", "q2"), SCENARIOS)
def test_verdicts_are_wrong_with_probability_at_most_alpha_over_whole_paths(
    estimand, limit, q2, past
):
    """By dynamic programming over all paths of 25 votes, at the edge of each claim."""
    check_crossing(estimand, limit, q2, past, 25, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
@pytest.mark.parametrize("past", [(0, 0, 0), (60, 30, 10), (0, 1, 9)])
@pytest.mark.parametrize(("estimand", "limit", "q2"), SCENARIOS)
def test_verdicts_over_paths_of_60_votes(estimand, limit, q2, past, alpha):
    check_crossing(estimand, limit, q2, past, 60, alpha)


def check_crossing(estimand, limit, q2, past, n, alpha):
    q = np.array([float(v) for v in twins.curve_point(limit, q2, estimand=estimand)])
    q = np.clip(q, 0.0, 1.0)
    assert math.isclose(q.sum(), 1.0)
    for side in (1, -1):
        assert crossing(estimand, limit, q, n, alpha, side, past, rivals=1) <= alpha
    if q[2] <= q[1]:  # else the third class would be the runner-up
        assert crossing(estimand, limit, q, n, alpha, -1, past) <= alpha


def test_some_verdict_is_likely_where_it_is_right():
    assert crossing("difference", 0.1, (0.96, 0.02, 0.02), 24, 0.05, 1, (0, 0, 0)) > 0.9
    assert crossing("difference", 0.8, (0.1, 0.8, 0.1), 24, 0.05, -1, (0, 0, 0)) > 0.9
    assert crossing("probit", 1.0, (0.96, 0.02, 0.02), 24, 0.05, 1, (0, 0, 0)) > 0.4
    assert crossing("probit", 1.0, (0.1, 0.8, 0.1), 24, 0.05, -1, (0, 0, 0)) > 0.9
    assert crossing("laplace", 1.0, (0.96, 0.02, 0.02), 24, 0.05, 1, (0, 0, 0)) > 0.4
    assert crossing("laplace", 1.0, (0.1, 0.8, 0.1), 24, 0.05, -1, (0, 0, 0)) > 0.9


def test_twin_judges_a_bet_as_fair_exactly_on_its_line():
    q = twins.curve_point(2.0, 0.1, estimand="probit")
    with mp.workdps(50):
        slope = mp.exp(-2 * twins.norm_ppf(mp.mpf("0.1")) - 2)
        c = q[0] - slope * q[1]
        near = [twins.curve_point(2.0, v, estimand="probit") for v in (0.09, 0.11)]
        pays = [p[0] - slope * p[1] - c for p in (q, *near)]

    assert abs(pays[0]) < 1e-16
    assert pays[1] < 0
    assert pays[2] < 0
