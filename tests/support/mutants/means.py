"""Wrong bounds of a mean: samples (R, n) in [0, 1]; of score margins."""

import numpy as np
from scipy.special import ndtri

from rsverify import Estimand
from rsverify.bounds.betting import betting_lower
from rsverify.bounds.confidence_sequences import kt_mixture_sequence
from rsverify.bounds.mean import (
    bernstein_lower,
    empirical_bernstein_lower,
    hoeffding_lower,
    plugin_bernstein_lower,
)
from rsverify.paper.as_printed_scores import (
    printed_empirical_bernstein_lower,
    printed_plugin_bernstein_lower,
    printed_taylor_margin_lower,
)

from .mutant import drawn
from .proportions import clopper_pearson


def normal_mean(x, alpha):
    return x.mean(axis=-1) + ndtri(alpha) * x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1])


def bernstein_of_sample_variance(x, alpha):
    return bernstein_lower(x, alpha, variance=np.minimum(x.var(axis=-1), 0.25))


def bernstein_without_last_term(x, alpha):
    n = x.shape[-1]
    return x.mean(axis=-1) - np.sqrt(2 * x.var(axis=-1, ddof=1) * np.log(2 / alpha) / n)


def hoeffding_half_range(x, alpha):
    return x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (8 * x.shape[-1]))


def hoeffding_when_it_looks_best(x, alpha):
    t = np.arange(1, x.shape[-1] + 1)
    path = np.cumsum(x, axis=-1) / t - np.sqrt(np.log(1 / alpha) / (2 * t))
    return path.max(axis=-1)


def clopper_pearson_when_it_looks_best(x, alpha):
    hits = np.cumsum(x > 0.5, axis=-1)
    return clopper_pearson(hits, np.arange(1, x.shape[-1] + 1), alpha).max(axis=-1)


def twice_alpha(x, alpha):
    return betting_lower(x, 2 * alpha)


def sorted_first(x, alpha):
    return betting_lower(-np.sort(-x, axis=-1), alpha, strategy="plugin")


def best_of_permutations(x, alpha):
    rng = np.random.default_rng(0)
    orders = [rng.permutation(x.shape[-1]) for _ in range(20)]
    return np.max([betting_lower(x[..., o], alpha, strategy="plugin") for o in orders], axis=0)


def best_of_bounds(x, alpha):
    bounds = [hoeffding_lower, empirical_bernstein_lower, plugin_bernstein_lower, betting_lower]
    more = [betting_lower(x, alpha, strategy=s) for s in ("plugin", "agrapa")]
    return np.max([*(b(x, alpha) for b in bounds), *more], axis=0)


def without_the_zeros(x, alpha):
    kept = np.where(x > 0, x, np.nan)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(kept, axis=-1) / np.maximum((x > 0).sum(axis=-1), 1)
    return mean - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))


def printed_plugin(x, alpha):
    with np.errstate(all="ignore"):
        return printed_plugin_bernstein_lower(x, alpha)


BERNOULLI = {
    f"Bernoulli({p})": {"law": ("points", (0.0, 1.0), (1 - p, p))} for p in (0.02, 0.3, 0.5, 0.9)
}

SCORES = Estimand(
    # Softmax-like scores of two classes and a rest, far from the linear part of the probit.
    draw=lambda rng, rows, n, p: np.where(
        rng.random((rows, n, 1)) < p, [[[0.99, 0.005, 0.005]]], [[[0.1, 0.21, 0.69]]]
    ),
    truth=lambda p: float(ndtri(0.99 * p + 0.1 * (1 - p)) - ndtri(0.005 * p + 0.21 * (1 - p))),
    scenarios={"half of the scores 0.99": {"p": 0.5}},
    name="probit of mean scores",
)


def taylor_of_scores(scores, alpha):
    return printed_taylor_margin_lower(scores[..., 0], scores[..., 1], alpha)


def kt_for_each_side(x, alpha):
    """The mixture, which bets on both sides at once, against 1/(2 alpha)."""
    return kt_mixture_sequence(x, 2 * alpha)


def pooled_over_the_batch(x, alpha):
    """The normal limit of all replications together, as if they were one sample."""
    return np.full(len(x), x.mean() + ndtri(alpha) * x.std() / np.sqrt(x.size))


REFUTED = [
    drawn(
        "taylor of scores",
        "5.3: E of a convex function",
        taylor_of_scores,
        1000,
        estimand=SCORES,
        replications=400,
    ),
    drawn("printed plug-in", "(15): bets without a limit", printed_plugin, 50),
    drawn("normal mean", "normal approximation", normal_mean, 50, symmetric=True),
    drawn(
        "plugged-in variance",
        "Bernstein with the sample's variance",
        bernstein_of_sample_variance,
        50,
        symmetric=True,
    ),
    drawn(
        "bernstein without last term",
        "variance of the variance left out",
        bernstein_without_last_term,
        50,
        symmetric=True,
    ),
    drawn("half range", "range 1/2 for 1", hoeffding_half_range, 50, symmetric=True),
    drawn(
        "hoeffding when it looks best",
        "a fixed-n bound at a chosen n",
        hoeffding_when_it_looks_best,
        200,
    ),
    drawn(
        "clopper-pearson when it looks best",
        "a fixed-n bound at a chosen n",
        clopper_pearson_when_it_looks_best,
        100,
        scenarios=BERNOULLI,
    ),
    drawn("twice alpha", "2 alpha for alpha", twice_alpha, 50, scenarios=BERNOULLI),
    drawn("sorted", "data sorted before betting", sorted_first, 50, symmetric=True),
    drawn(
        "best of 20 permutations",
        "order chosen after seeing",
        best_of_permutations,
        40,
        scenarios=BERNOULLI,
    ),
    drawn("without the zeros", "failed rows dropped", without_the_zeros, 50, symmetric=True),
    drawn(
        "kt for each side",
        "1/(2 alpha) for a mixture that bets on both sides",
        kt_for_each_side,
        300,
        side="two-sided",
        scenarios=BERNOULLI,
    ),
    drawn(
        "pooled over the batch",
        "the other replications' data",
        pooled_over_the_batch,
        50,
        scenarios=BERNOULLI,
    ),
]
UNSEEN = [
    drawn(
        "printed empirical bernstein",
        "ln(1/delta) for ln(2/delta): one of two events",
        printed_empirical_bernstein_lower,
        50,
        symmetric=True,
    ),
    drawn(
        "best of bounds",
        "largest of six without correction",
        best_of_bounds,
        40,
        scenarios=BERNOULLI,
    ),
]
