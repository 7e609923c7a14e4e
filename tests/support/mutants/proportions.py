"""Wrong bounds of a proportion: counts (R, 2) of hits and misses."""

import numpy as np
from scipy.special import betaincinv, ndtri
from scipy.stats import binom

from rsverify import Estimand
from rsverify.bounds.proportion import randomized_clopper_pearson_lower

from .mutant import counted, drawn


def votes(counts):
    return counts[:, 0].astype(float), counts.sum(axis=1).astype(float)


def clopper_pearson(k, n, alpha):
    inside = betaincinv(np.maximum(k, 1), n - k + 1, alpha)
    return np.where(k > 0, inside, 0.0)


def wald(counts, alpha):
    k, n = votes(counts)
    p = k / n
    return p + ndtri(alpha) * np.sqrt(p * (1 - p) / n)


def wilson(counts, alpha):
    k, n = votes(counts)
    p, z = k / n, -ndtri(alpha)
    spread = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - spread) / (1 + z**2 / n)


def agresti_coull(counts, alpha):
    k, n = votes(counts)
    z = -ndtri(alpha)
    p = (k + z**2 / 2) / (n + z**2)
    return p - z * np.sqrt(p * (1 - p) / (n + z**2))


def jeffreys(counts, alpha):
    k, n = votes(counts)
    return betaincinv(k + 0.5, n - k + 0.5, alpha)


def strict_tail(counts, alpha):
    k, n = votes(counts)
    return np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), alpha), 1.0)


def mid_p(counts, alpha):
    k, n = votes(counts)
    low, high = np.zeros(k.shape), np.ones(k.shape)
    for _ in range(60):
        p = (low + high) / 2
        tail = binom.sf(k, n, p) + 0.5 * binom.pmf(k, n, p)
        low, high = np.where(tail > alpha, low, p), np.where(tail > alpha, p, high)
    return np.where(k > 0, low, 0.0)


def alpha_on_each_side(counts, alpha):
    k, n = votes(counts)
    return clopper_pearson(k, n, alpha), 1 - clopper_pearson(n - k, n, alpha)


def three_digits(counts, alpha):
    k, n = votes(counts)
    return np.round(clopper_pearson(k, n, alpha), 3)


def arcsine(counts, alpha):
    k, n = votes(counts)
    angle = np.arcsin(np.sqrt(k / n)) + ndtri(alpha) / (2 * np.sqrt(n))
    return np.sin(np.maximum(angle, 0)) ** 2


def logit(counts, alpha):
    k, n = votes(counts)
    a, b = k + 0.5, n - k + 0.5
    odds = np.log(a / b) + ndtri(alpha) * np.sqrt(1 / a + 1 / b)
    return 1 / (1 + np.exp(-odds))


def one_vote_less(counts, alpha):
    k, n = votes(counts)
    return clopper_pearson(np.minimum(k, n - 1), np.maximum(n - 1, 1), alpha)


def uniform_prior(counts, alpha):
    k, n = votes(counts)
    return betaincinv(k + 1, n - k + 1, alpha)


def wald_two_sided_quantile(counts, alpha):
    return wald(counts, alpha / 2)


def half_of_alpha(counts, alpha):
    k, n = votes(counts)
    return clopper_pearson(k, n, alpha / 2)


def edge_left_undefined(counts, alpha):
    k, n = votes(counts)
    return np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), np.nan)


def wrong_at_one_count(counts, alpha):
    """Clopper-Pearson's limit but for one count of 101, which claims three percent more."""
    k, n = votes(counts)
    return clopper_pearson(k, n, alpha) + np.where(k == 60, 0.03, 0.0)


def _draw_with_uniforms(rng, rows, n, p):
    hits = rng.binomial(n, p, rows)
    return np.column_stack([hits, n - hits, rng.random((rows, 10))])


WITH_UNIFORMS = Estimand(
    draw=_draw_with_uniforms,
    truth=lambda p: p,
    scenarios={"p = 0.9": {"p": 0.9}, "p = 0.02": {"p": 0.02}},
    space=(0, 1),
    name="proportion, ten uniform numbers",
)


def best_of_ten_uniforms(data, alpha):
    k, n = data[:, 0].astype(int), data[:, :2].sum(axis=1).astype(int)
    return randomized_clopper_pearson_lower(k, n, alpha, u=data[:, 2:].max(axis=1))


REFUTED = [
    counted("wald", "normal approximation, estimated variance", wald, "proportion", 1000),
    counted("wilson", "normal approximation", wilson, "proportion", 1000),
    counted("agresti-coull", "normal approximation, votes added", agresti_coull, "proportion", 300),
    counted(
        "jeffreys", "a Bayesian limit taken for a confidence limit", jeffreys, "proportion", 100
    ),
    counted(
        "uniform prior", "Beta(k+1, n-k+1) for Beta(k, n-k+1)", uniform_prior, "proportion", 50
    ),
    counted("strict tail", "> for >=", strict_tail, "proportion", 1000),
    counted("mid-p", "half of the observed outcome", mid_p, "proportion", 60),
    counted(
        "alpha on each side",
        "alpha for alpha/2",
        alpha_on_each_side,
        "proportion",
        100,
        side="two-sided",
    ),
    counted(
        "wald, two-sided quantile",
        "two-sided quantile used one-sided: no cure for a width of 0",
        wald_two_sided_quantile,
        "proportion",
        1000,
    ),
    counted("three digits", "rounded to nearest", three_digits, "proportion", 1000),
    counted("arcsine", "variance-stabilised normal approximation", arcsine, "proportion", 100),
    counted("logit", "normal quantile for the Beta one", logit, "proportion", 100),
    counted("wald, alpha 0.001", "normal approximation", wald, "proportion", 1000, 0.001),
    counted("one vote less", "n - 1 for n", one_vote_less, "proportion", 20),
    counted("edge left undefined", "NaN without hits", edge_left_undefined, "proportion", 100),
    counted("wrong at one count", "one entry of a table", wrong_at_one_count, "proportion", 100),
    drawn(
        "best of ten uniforms",
        "the kindest of several tie-breakers",
        best_of_ten_uniforms,
        20,
        estimand=WITH_UNIFORMS,
    ),
]
UNSEEN = [
    counted(
        "half of alpha",
        "two-sided quantile used one-sided: only too wide",
        half_of_alpha,
        "proportion",
        1000,
    ),
]
