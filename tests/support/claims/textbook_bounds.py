"""Bounds of two proportions, pairs, rates, lots, quantiles and variances as textbooks have them."""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
from scipy import stats

from rsverify.auditing.estimand import quantile

from .bounds import (
    LOG2,
    arms,
    conditional_odds,
    cp_lower,
    cp_upper,
    exponential,
    of_lot,
    of_pairs,
    of_rate,
    of_sample,
    order_lower,
    order_rank,
    rarely_0,
    two,
    uniform,
)


def normal(alpha):
    return stats.norm.isf(alpha)


def wilson(k, n, alpha):
    z = normal(alpha)
    center = (k / n + z * z / 2 / n) / (1 + z * z / n)
    wide = z * np.sqrt(k / n * (1 - k / n) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return center - wide, center + wide


def found(tail, count, alpha, high):
    """The parameter at which a tail of each count is alpha, by bisection; 0 for no count."""
    low, high = np.zeros(len(count)), np.full(len(count), high)
    for _ in range(60):
        middle = (low + high) / 2
        small = tail(count, middle) <= alpha
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.where(count > 0, low, 0.0)


# Two proportions.


def newcombe(counts, alpha):
    k1, n, k2, m = arms(counts)
    (low1, high1), (low2, high2) = wilson(k1, n, alpha / 2), wilson(k2, m, alpha / 2)
    p, q = k1 / n, k2 / m
    low = p - q - np.hypot(p - low1, high2 - q)
    return np.stack([low, p - q + np.hypot(high1 - p, q - low2)], axis=1)


def difference_of_wilsons(counts, alpha):
    k1, n, k2, m = arms(counts)
    (low1, high1), (low2, high2) = wilson(k1, n, alpha / 2), wilson(k2, m, alpha / 2)
    return np.stack([low1 - high2, high1 - low2], axis=1)


def wald_corrected(counts, alpha):
    k1, n, k2, m = arms(counts)
    p, q = k1 / n, k2 / m
    spread = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return p - q - normal(alpha) * spread - (1 / n + 1 / m) / 2


def walters(counts, alpha):
    """The logarithm of the ratio, a half added to each count."""
    k1, n, k2, m = (v + 0.5 for v in arms(counts))
    spread = np.sqrt(1 / k1 - 1 / n + 1 / k2 - 1 / m)
    return np.exp(np.log(k1 / n * m / k2) - normal(alpha) * spread)


def mid_p_odds(counts, alpha):
    return np.array([_mid_p(*map(int, row), alpha) for row in counts])


@cache
def _mid_p(k1, l1, k2, l2, alpha):
    n, m, s = k1 + l1, k2 + l2, k1 + k2
    support = np.arange(max(0, s - m), min(n, s) + 1)
    if k1 == support[0]:
        return 0.0
    log = stats.hypergeom.logpmf(support, n + m, s, n)

    def tail(odds):
        w = np.exp(log + support * math.log(odds))
        return (w[support > k1].sum() + w[support == k1].sum() / 2) / w.sum()

    low, high = 1e-9, 1e9
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if tail(middle) <= alpha else (low, middle)
    return low


def hoeffding_difference(counts, alpha):
    k1, n, k2, m = arms(counts)
    return k1 / n - k2 / m - np.sqrt(math.log(1 / alpha) / 2 * (1 / n + 1 / m))


def ratio_upper(counts, alpha):
    k1, n, k2, m = arms(counts)
    with np.errstate(divide="ignore"):
        return cp_upper(k1, n, alpha / 2) / cp_lower(k2, m, alpha / 2)


def conditional_two_sided(counts, alpha):
    with np.errstate(divide="ignore"):
        high = 1.0 / conditional_odds(counts[:, [2, 3, 0, 1]], alpha / 2)
    return np.stack([conditional_odds(counts, alpha / 2), high], axis=1)


# Pairs.


def tango(pairs, alpha):
    """The score test inverted, the nuisance parameter at its most probable value."""
    b, c, n = pairs[:, 1] + 0.0, pairs[:, 2], pairs.sum(axis=1)
    low, high = np.full(len(b), -1.0), np.ones(len(b))
    for _ in range(60):
        d = (low + high) / 2
        linear = -b - c + (2 * n - b + c) * d
        root = np.sqrt(np.maximum(linear**2 + 8 * n * c * d * (1 - d), 0.0))
        q = (root - linear) / (4 * n)
        with np.errstate(all="ignore"):
            z = (b - c - n * d) / np.sqrt(n * (2 * q + d * (1 - d)))
        low, high = np.where(z > normal(alpha), d, low), np.where(z > normal(alpha), high, d)
    return low


def as_independent(pairs, alpha):
    n = pairs[0].sum()
    p, q = (pairs[:, 0] + pairs[:, 1]) / n, (pairs[:, 0] + pairs[:, 2]) / n
    return p - q - normal(alpha) * np.sqrt(p * (1 - p) / n + q * (1 - q) / n)


def mid_p_pairs(pairs, alpha):
    total = pairs[:, 1] + pairs[:, 2]

    def tail(k, p):
        return stats.binom.sf(k, total, p) + stats.binom.pmf(k, total, p) / 2

    p = found(tail, pairs[:, 1], alpha, 1.0)
    return p / (1.0 - p)


def wilson_pairs(pairs, alpha):
    p = wilson(pairs[:, 1], np.maximum(pairs[:, 1] + pairs[:, 2], 1), alpha)[0]
    return np.maximum(p, 0.0) / (1.0 - p)


def hoeffding_pairs(pairs, alpha):
    n = pairs[0].sum()
    return (pairs[:, 1] - pairs[:, 2]) / n - math.sqrt(2 * math.log(1 / alpha) / n)


# Rates and lots.


def rate_score(counts, alpha):
    k, n = counts.T
    z = normal(alpha)
    return (k + z * z / 2 - z * np.sqrt(k + z * z / 4)) / n


def rate_mid_p(counts, alpha):
    def tail(k, mean):
        return stats.poisson.sf(k, mean) + stats.poisson.pmf(k, mean) / 2

    return found(tail, counts[:, 0], alpha, 1000.0) / counts[:, 1]


def rate_jeffreys(counts, alpha):
    return stats.gamma.isf(alpha, counts[:, 0] + 0.5) / counts[:, 1]


def rule_of_three(counts, alpha):
    """Three where there was none, Wald's limit elsewhere."""
    k, n = counts.T
    return np.where(k == 0, 3.0, k + normal(alpha) * np.sqrt(k)) / n


def lot_jeffreys(counts, alpha):
    k, rest, size = counts.T
    return np.where(k > 0, stats.beta.ppf(alpha, k + 0.5, rest + 0.5), 0.0) * size


def lot_mid_p(counts, alpha):
    k, rest, size = counts.T
    n, total = int(k[0] + rest[0]), int(size[0])
    numbers, seen = np.arange(total + 1), np.arange(n + 1)[:, None]
    tails = stats.hypergeom.sf(seen, total, numbers, n)
    tails = tails + stats.hypergeom.pmf(seen, total, numbers, n) / 2
    return np.argmax(tails > alpha, axis=1)[k]


def lot_as_binomial(counts, alpha):
    k, rest, size = counts.T
    return cp_lower(k, k + rest, alpha) * size


# Quantiles and variances.


def rank_by_normal(x, alpha):
    n = x.shape[1]
    r = math.floor(n / 2 - normal(alpha) * math.sqrt(n) / 2 + 1)
    return np.sort(x, axis=1)[:, max(r, 1) - 1]


def without_ties(x, alpha):
    """The rank of an order statistic among the different values."""
    n = x.shape[1]
    order = np.sort(x, axis=1)
    number = np.cumsum(np.diff(order, axis=1, prepend=-np.inf) > 0, axis=1)
    ranks = np.array([order_rank(m, 0.5, alpha) for m in range(n + 1)])[number[:, -1]]
    place = np.argmax(number == ranks[:, None], axis=1)
    return np.where(ranks > 0, order[np.arange(len(x)), place], -np.inf)


def hodges_lehmann(x, alpha):
    n = x.shape[1]
    i, j = np.triu_indices(n)
    pairs = n * (n + 1) / 2
    r = int(pairs / 2 - normal(alpha) * math.sqrt(pairs * (2 * n + 1) / 12))
    return np.sort((x[:, i] + x[:, j]) / 2, axis=1)[:, max(r, 1) - 1]


def by_moments(x, alpha):
    n, v = x.shape[1], x.var(axis=1, ddof=1)
    fourth = ((x - x.mean(axis=1, keepdims=True)) ** 4).mean(axis=1)
    return v + normal(alpha) * np.sqrt(np.maximum(fourth - v**2, 0.0) / n)


def by_range(x, alpha):
    """Popoviciu's inequality, for the sample."""
    return np.ptp(x, axis=1) ** 2 / 4


def zero_or_above(rng, shape):
    return np.where(rng.random(shape) < 0.52, 0.0, rng.random(shape))


def two_sided(name, bound, compared, *, valid=False):
    return two(name, bound, valid, compared, n=10, side="two-sided")


VALID = [
    two("Hoeffding's difference", hoeffding_difference, True, "difference", n=10),
    two("ratio, upper", ratio_upper, True, "ratio", n=9, side="upper"),
    two_sided("odds, conditional, two-sided", conditional_two_sided, "odds-ratio", valid=True),
    of_pairs("pairs, Hoeffding", hoeffding_pairs, True, "difference"),
    of_lot("lot, binomial", lot_as_binomial, True),
]
INVALID = [
    two_sided("Newcombe", newcombe, "difference"),
    two_sided("difference of Wilson's", difference_of_wilsons, "difference"),
    two("Wald, corrected", wald_corrected, False, "difference"),
    two("Walters", walters, False, "ratio", n=10),
    two("odds, mid-p", mid_p_odds, False, "odds-ratio", n=10),
    of_pairs("pairs, Tango", tango, False, "difference"),
    of_pairs("pairs as independent", as_independent, False, "difference"),
    of_pairs("pairs, odds, mid-p", mid_p_pairs, False, "odds-ratio"),
    of_pairs("pairs, odds, Wilson", wilson_pairs, False, "odds-ratio"),
    of_rate("rate, score", rate_score, False),
    of_rate("rate, mid-p", rate_mid_p, False),
    of_rate("rate, Jeffreys", rate_jeffreys, False, "upper"),
    of_rate("rate, rule of three", rule_of_three, False, "upper"),
    of_lot("lot, Jeffreys", lot_jeffreys, False),
    of_lot("lot, mid-p", lot_mid_p, False),
    of_sample(
        "rank by the normal", rank_by_normal, False, "median", exponential, LOG2, n=9, alpha=0.01
    ),
    of_sample("without ties", without_ties, False, "median", zero_or_above, 0.0, n=25),
    of_sample("Hodges and Lehmann", hodges_lehmann, False, "median", exponential, LOG2, n=16),
    of_sample("ranks for 0.9", partial(order_lower, q=0.9), False, quantile(0.8), uniform, 0.8),
    of_sample("variance by moments", by_moments, False, "variance", rarely_0, 0.0196, "upper"),
    of_sample("variance by range", by_range, False, "variance", rarely_0, 0.0196, "upper"),
]
EXAMPLES = VALID + INVALID
