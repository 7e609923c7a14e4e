"""The enclosed supremum over models of counts, against dense grids and exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from rsverify import audit
from rsverify.auditing.counts import BinomialModel, HypergeometricModel, PoissonModel
from rsverify.auditing.estimand import hypergeometric, two_proportions
from rsverify.auditing.exact.enclosure import enclosed, proved
from rsverify.auditing.two_counts import PairedModel, TwoBinomials, VotesModel

INF = float("inf")
MODELS = {
    "binomial": BinomialModel(9),
    "binomial, at most 0.3": BinomialModel(9, region=(-INF, 0.3)),
    "binomial at 0.4": BinomialModel(9, region=(0.4, 0.4)),
    "Poisson up to 2": PoissonModel(3, region=(-INF, 2.0)),
    "hypergeometric": HypergeometricModel(6, population=15),
    "two, difference at most 0": TwoBinomials(5, region=(-INF, 0.0), second=4),
    "two, ratio 2": TwoBinomials(5, region=(2.0, 2.0), second=5, compared="ratio"),
    "two, odds": TwoBinomials(4, region=(0.5, 1.5), second=5, compared="odds-ratio"),
    "pairs, difference 0": PairedModel(6, region=(0.0, 0.0)),
    "votes, difference at most 0": VotesModel(6, region=(-INF, 0.0)),
    "votes, probit 0": VotesModel(6, region=(0.0, 0.0), margin="probit"),
    "votes, probit from 0.3 to 1": VotesModel(6, region=(0.3, 1.0), margin="probit"),
    "pairs, odds at most 1": PairedModel(6, region=(-INF, 1.0), compared="odds-ratio"),
}


def dense(model):
    """Parameters of a fine grid, and those on the ends of the region."""
    low, high = model.ends
    grid = np.linspace(0.0, 1.0, 2001 if len(low) == 1 else 201)
    axes = [low[i] + (high[i] - low[i]) * grid for i in range(len(low))]
    points = np.array(list(itertools.product(*axes)))
    ends = [v for v in model.region if np.isfinite(v)]
    on = [model.at(np.full(grid.size, v), np.clip(grid, 1e-9, 1 - 1e-9)) for v in ends]
    points = np.concatenate([points, *on])
    value = model.value(points)
    inside = (value >= model.region[0] - 1e-9) & (value <= model.region[1] + 1e-9)
    return points[inside]


def size_of(model):
    return model.probabilities(model.ends[1][None] * 0.5).shape[1]


@pytest.mark.parametrize("name", MODELS)
def test_no_expectation_is_above_what_is_certified(name):
    model, rng = MODELS[name], np.random.default_rng(1)
    points = model.all_points if isinstance(model, HypergeometricModel) else dense(model)
    weights = model.probabilities(points)
    for power in (0.2, 1.0, 8.0):
        for payoff in (rng.random(size_of(model)) ** power, rng.random(size_of(model)) < 0.2):
            payoff = payoff.astype(float)
            found = enclosed(model, lambda a, _, p=payoff: np.tile(p, (len(a), 1)), np.zeros(0))
            largest = (weights @ payoff).max()
            assert largest <= found.certified * (1 + 1e-12)
            assert found.attained <= found.certified
            assert found.certified <= 1.0 + 1e-8
            assert found.attained >= 0.94 * found.certified - 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_sum_to_one_and_are_below_their_maxima_over_boxes(name):
    model, rng = MODELS[name], np.random.default_rng(2)
    if isinstance(model, HypergeometricModel):
        assert model.probabilities(model.all_points).sum(axis=1) == pytest.approx(1)
        return
    low, high = model.ends
    ends = low + (high - low) * np.sort(rng.random((2, 50, len(low))), axis=0)
    inside = ends[0] + (ends[1] - ends[0]) * rng.random((50, len(low)))
    weights = model.probabilities(inside)
    assert weights.sum(axis=1) + model.unseen(inside) == pytest.approx(1)
    assert (weights <= model.largest(*ends) * (1 + 1e-12)).all()
    least, most = model.span(*ends)
    value = model.value(inside)
    assert (least <= value + 1e-12).all()
    assert (value <= most + 1e-12).all()


@pytest.mark.parametrize("name", [k for k in MODELS if not k.startswith("Poisson")])
def test_exact_probabilities_are_those_of_floats(name):
    model = MODELS[name]
    point = (Fraction(3, 8),) * len(model.names)
    if isinstance(model, VotesModel):  # probits are rational at a margin of 0
        point = (Fraction(3, 8), Fraction(1, 2))
    if isinstance(model, HypergeometricModel):
        point = (Fraction(7),)
    value, weights = model.exactly(point)
    exact = [Fraction(each, weights.below) for each in weights.above]
    floats = model.probabilities(np.array([[float(x) for x in point]]))[0]
    assert sum(exact) == 1
    assert np.array([float(x) for x in exact]) == pytest.approx(floats, abs=1e-14)
    assert float(value) == pytest.approx(model.value(np.array([list(map(float, point))]))[0])


def test_a_proof_is_of_a_distribution_in_the_null():
    model = TwoBinomials(8, region=(-INF, 0.1), second=8)
    payoff = (np.arange(81) % 9 < 2).astype(float)  # few in the second sample
    found = enclosed(model, lambda a, _: np.tile(payoff, (len(a), 1)), np.zeros(0))
    proof = proved(model, found, lambda _: payoff, 0.05)
    assert proof.value <= Fraction(0.1)
    assert float(proof.expectation) == pytest.approx(found.attained, rel=0.01)


def test_two_samples_of_other_sizes_are_audited_exactly():
    def bound(counts, alpha):
        k1, l1, k2, l2 = counts.T
        low = stats.beta.ppf(alpha / 2, np.maximum(k1, 1e-9), l1 + 1)
        high = stats.beta.isf(alpha / 2, k2 + 1, np.maximum(l2, 1e-9))
        return np.where(k1 > 0, low, 0) - np.where(l2 > 0, high, 1)

    kind = two_proportions("difference", second=6)
    report = audit(bound, estimand=kind, n=9, alpha=0.05)
    assert report.verdict == "supported"
    assert report.design["method"] == "exact"
    k1, k2 = np.divmod(np.arange(70), 7)
    limits = bound(np.column_stack([k1, 9 - k1, k2, 6 - k2]), 0.05)
    worst = 0.0
    for p1, p2 in itertools.product(np.linspace(0, 1, 201), repeat=2):
        weights = stats.binom.pmf(k1, 9, p1) * stats.binom.pmf(k2, 6, p2)
        worst = max(worst, weights[limits > p1 - p2].sum())
    assert worst <= report.worst.high


def test_a_population_smaller_than_the_sample_is_refused():
    with pytest.raises(ValueError, match="population=5 must be at least n=9"):
        audit(lambda x, _: x[:, 0], estimand=hypergeometric(5), n=9, alpha=0.05)
