"""Several thresholds at one level: the verdicts, and that any of them is rarely wrong."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from rsverify.bounds.margin_decision import Answer, decide_margin
from rsverify.bounds.margin_partition import decide_margins

THRESHOLDS = {"difference": [0.1, 0.3, 0.6], "probit": [0.4, 0.7, 2.0]}
probabilities = st.tuples(*[st.floats(0.02, 1.0)] * 4).map(lambda q: np.array(q) / sum(q))


def path(q, looks=60, seed=0):
    steps = np.diff(np.unique(np.geomspace(20, 5000, looks).astype(int)), prepend=0)
    return np.random.default_rng(seed).multinomial(steps, q).cumsum(axis=0)


@pytest.mark.parametrize("estimand", THRESHOLDS)
@given(q=probabilities, futility=st.sampled_from([0.0, 0.2]), selected=st.booleans())
@settings(max_examples=20)
def test_one_threshold_is_decided_as_by_itself(estimand, q, futility, selected):
    options = {"estimand": estimand, "futility": futility, "horizon": 5000}
    if selected:
        options |= {"prior": [30, 5, 4, 1], "weights": [30, 5, 4, 1]}
    for threshold in THRESHOLDS[estimand]:
        alone = decide_margin(path(q), 0, threshold, 0.01, **options)
        found = decide_margins(path(q), 0, [threshold], 0.01, **options)
        assert (found.verdict.tolist(), found.votes) == ([alone.verdict], alone.votes)


@pytest.mark.parametrize("estimand", THRESHOLDS)
@given(q=probabilities)
@settings(max_examples=20)
def test_answers_never_contradict_each_other(estimand, q):
    found = decide_margins(path(q), 0, THRESHOLDS[estimand], 0.01, estimand=estimand)
    known = [v for v in found.verdict.tolist() if v]
    assert known == sorted(known, reverse=True)


@pytest.mark.parametrize("estimand", THRESHOLDS)
def test_it_stops_when_no_threshold_is_open(estimand):
    counts = path((0.6, 0.2, 0.15, 0.05))
    thresholds = THRESHOLDS[estimand]
    found = decide_margins(counts, 0, thresholds, 0.01, estimand=estimand)
    assert found.verdict.tolist() == [1, 1, -1]
    look = int(np.flatnonzero(counts.sum(axis=1) == found.votes)[0])
    before = decide_margins(counts[:look], 0, thresholds, 0.01, estimand=estimand)
    assert Answer.UNDECIDED in before.verdict
    again = decide_margins(counts[look : look + 1], 0, thresholds, 0.01, estimand=estimand)
    assert again.verdict.tolist() == [1, 1, -1]  # of these counts alone
    for k, threshold in enumerate(thresholds):
        alone = decide_margin(counts, 0, threshold, 0.01, estimand=estimand)
        assert alone.verdict == found.verdict[k]
        assert alone.votes <= found.votes


def test_batches_are_the_single_paths():
    counts = np.stack([path(q, seed=i) for i, q in enumerate([(0.6, 0.2, 0.2), (0.4, 0.35, 0.25)])])
    options = {"estimand": "probit", "futility": 0.1, "horizon": 5000}
    found = decide_margins(counts, [0, 1], [0.5, 1.0], [0.01, 0.001], **options)
    assert found.verdict.shape == (2, 2)
    for i in range(2):
        alone = decide_margins(counts[i], [0, 1][i], [0.5, 1.0], [0.01, 0.001][i], **options)
        assert found.verdict[i].tolist() == alone.verdict.tolist()
        assert found.votes[i] == alone.votes


@pytest.mark.parametrize(
    ("thresholds", "more", "message"),
    [
        ([], {}, r"thresholds of shape \(0,\)"),
        (0.5, {}, r"thresholds of shape \(\)"),
        ([0.5, 0.5], {}, "must rise"),
        ([0.7, 0.5], {}, "must rise"),
        ([0.5, 1.0], {}, "thresholds=1.0"),
        ([0.5, math.nan], {}, "NaN"),
        ([0.2, 0.5], {"below": [0.2]}, "below="),
        ([0.2, 0.5], {"below": [0.3, 0.5]}, "below="),
    ],
)
def test_bad_thresholds_are_refused(thresholds, more, message):
    with pytest.raises(ValueError, match=message):
        decide_margins([[5, 3, 2]], 0, thresholds, 0.01, estimand="difference", **more)


def margin_of(q, estimand):
    """Return the margin of class 0 over the likelier of the others."""
    second = max(q[1:])
    return q[0] - second if estimand == "difference" else norm.ppf(q[0]) - norm.ppf(second)


def wrong_after_any_look(q, thresholds, alpha, n, estimand, prior):
    """Return the exact probability that a wrong verdict is ever given, looking at every vote.

    By the number of paths to each outcome at which nothing wrong has been said before.
    """
    margin = margin_of(q, estimand)
    options = {"estimand": estimand, "horizon": n, "prior": prior, "weights": prior}
    paths = {(0, 0, 0): 1.0}
    wrong = 0.0
    for votes in range(1, n + 1):
        grown: dict[tuple[int, int, int], float] = {}
        for x, weight in paths.items():
            for i in range(3):
                y = tuple(k + (j == i) for j, k in enumerate(x))
                grown[y] = grown.get(y, 0.0) + weight * q[i]
        outcomes = list(grown)
        table = np.array(outcomes)[:, np.newaxis]
        verdicts = decide_margins(table, 0, thresholds, alpha, **options).verdict
        false = (verdicts == 1) & (np.array(thresholds) > margin)
        false |= (verdicts == -1) & (np.array(thresholds) <= margin)
        paths = {}
        for x, bad in zip(outcomes, false.any(axis=1), strict=True):
            if bad:
                wrong += grown[x]
            else:
                paths[x] = grown[x]
        assert votes < n or paths
    return wrong


TRUTHS = [(0.45, 0.3, 0.25), (0.4, 0.15, 0.45), (0.7, 0.2, 0.1), (0.5, 0.5, 0.0), (0.2, 0.3, 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("estimand", ["difference", "probit"])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_the_probability_of_any_wrong_verdict_by_all_paths(estimand, alpha):
    """Exact, over all paths of 24 votes; thresholds as near to the margin as float64 allows."""
    largest = 0.0
    for q, prior in itertools.product(TRUTHS, [(4, 2, 2), None]):
        margin = margin_of(q, estimand)
        above = math.nextafter(margin, math.inf)
        rest = (margin - 0.2, margin - 1e-9, above, margin + 1e-9, margin + 0.2)
        thresholds = sorted(t for t in rest if estimand == "probit" or abs(t) < 1)
        largest = max(largest, wrong_after_any_look(q, thresholds, alpha, 24, estimand, prior))
    assert largest <= alpha
    assert largest > 0.002 * alpha  # something wrong is possible, so that the test can see it
