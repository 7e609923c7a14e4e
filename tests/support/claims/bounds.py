"""Bounds of two proportions, pairs, rates, finite populations, quantiles and variances."""

from __future__ import annotations

import itertools
import math
from functools import cache, partial

import numpy as np
from scipy import stats

from rsverify import audit
from rsverify.auditing.estimand import hypergeometric, quantile, two_proportions

from .example import Example, monte_carlo

# One proportion, by Clopper and Pearson.


def cp_lower(k, n, alpha):
    return np.where(k > 0, stats.beta.ppf(alpha, np.maximum(k, 1), n - np.maximum(k, 1) + 1), 0.0)


def cp_upper(k, n, alpha):
    return 1.0 - cp_lower(n - k, n, alpha)


def arms(counts):
    k1, l1, k2, l2 = np.asarray(counts).T
    return k1, k1 + l1, k2, k2 + l2


# Two proportions.


def difference(counts, alpha):
    k1, n, k2, m = arms(counts)
    return cp_lower(k1, n, alpha / 2) - cp_upper(k2, m, alpha / 2)


def difference_two_sided(counts, alpha):
    k1, n, k2, m = arms(counts)
    low = cp_lower(k1, n, alpha / 4) - cp_upper(k2, m, alpha / 4)
    return np.stack([low, cp_upper(k1, n, alpha / 4) - cp_lower(k2, m, alpha / 4)], axis=1)


def ratio(counts, alpha):
    k1, n, k2, m = arms(counts)
    return cp_lower(k1, n, alpha / 2) / cp_upper(k2, m, alpha / 2)


def conditional_odds(counts, alpha, slip=0):
    """The exact conditional limit of the odds ratio, by Fisher's noncentral distribution."""
    rows = [tuple(map(int, row)) for row in counts]
    return np.array([_conditional(*row, alpha, slip) for row in rows])


@cache
def _conditional(k1, l1, k2, l2, alpha, slip):
    n, m, s = k1 + l1, k2 + l2, k1 + k2
    support = np.arange(max(0, s - m), min(n, s) + 1)
    if k1 + slip <= support[0]:
        return 0.0
    log = stats.hypergeom.logpmf(support, n + m, s, n)

    def tail(odds):
        w = log + support * math.log(odds)
        w = np.exp(w - w.max())
        return w[support >= k1 + slip].sum() / w.sum()

    low, high = 1e-12, 1e12
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if tail(middle) <= alpha else (low, middle)
    return low


def wald(counts, alpha):
    k1, n, k2, m = arms(counts)
    p, q = k1 / n, k2 / m
    return p - q - stats.norm.isf(alpha) * np.sqrt(p * (1 - p) / n + q * (1 - q) / m)


def agresti_caffo(counts, alpha):
    k1, n, k2, m = arms(counts)
    p, q = (k1 + 1) / (n + 2), (k2 + 1) / (m + 2)
    return p - q - stats.norm.isf(alpha) * np.sqrt(p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2))


def log_ratio(counts, alpha):
    k1, n, k2, m = arms(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(1 / k1 - 1 / n + 1 / k2 - 1 / m)
        low = np.exp(np.log(k1 / n) - np.log(k2 / m) - stats.norm.isf(alpha) * spread)
    return np.where((k1 > 0) & (k2 > 0), low, 0.0)


def woolf(counts, alpha):
    k1, n, k2, m = arms(counts)
    cells = np.stack([k1, n - k1, k2, m - k2]) + 0.5
    log = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    return np.exp(log - stats.norm.isf(alpha) * np.sqrt((1 / cells).sum(axis=0)))


# Pairs.


def paired(pairs, alpha):
    _, first, second, _ = np.asarray(pairs).T
    n = pairs[0].sum()
    return cp_lower(first, n, alpha / 2) - cp_upper(second, n, alpha / 2)


def paired_odds(pairs, alpha, slip=0):
    first, second = pairs[:, 1], pairs[:, 2]
    p = cp_lower(first, np.maximum(first + second - slip, first), alpha)
    with np.errstate(divide="ignore"):
        return np.where(first > 0, p / (1.0 - p), 0.0)


def paired_wald(pairs, alpha):
    first, second = pairs[:, 1], pairs[:, 2]
    n = pairs[0].sum()
    spread = np.sqrt(first + second - (first - second) ** 2 / n) / n
    return (first - second) / n - stats.norm.isf(alpha) * spread


def paired_log_odds(pairs, alpha):
    first, second = pairs[:, 1], pairs[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.exp(
            np.log(first / second) - stats.norm.isf(alpha) * np.sqrt(1 / first + 1 / second)
        )
    return np.where((first > 0) & (second > 0), low, 0.0)


# Rates and finite populations.


def rate(counts, alpha, slip=0):
    k = counts[:, 0] + slip
    return np.where(k > 0, stats.chi2.ppf(alpha, 2 * np.maximum(k, 1)) / 2, 0.0) / counts[:, 1]


def rate_upper(counts, alpha, slip=1):
    return stats.chi2.isf(alpha, 2 * np.maximum(counts[:, 0] + slip, 1e-9)) / 2 / counts[:, 1]


def rate_two_sided(counts, alpha):
    return rate(counts, alpha / 2), rate_upper(counts, alpha / 2)


def rate_wald_upper(counts, alpha):
    k = counts[:, 0]
    return (k + stats.norm.isf(alpha) * np.sqrt(k)) / counts[:, 1]


def lot(counts, alpha, slip=0):
    """The least number in the population at which as many or more are not too improbable."""
    k, rest, size = counts.T
    n, total = int(k[0] + rest[0]), int(size[0])
    everything = np.arange(total + 1)
    tails = stats.hypergeom.sf(np.arange(n + 1)[:, None] - 1 + slip, total, everything, n)
    least = np.argmax(tails > alpha, axis=1)
    return least[k]


def lot_wald(counts, alpha):
    k, rest, size = counts.T
    n = k + rest
    p = k / n
    spread = np.sqrt(p * (1 - p) / n * (1 - n / size))
    return size * (p - stats.norm.isf(alpha) * spread)


# Quantiles and variances.


def order_rank(n, q, alpha):
    """The largest r with P(B < r) <= alpha, B binomial (n, q); 0 where there is none."""
    return int(np.sum(stats.binom.cdf(np.arange(n + 1), n, q) <= alpha))


def order_lower(x, alpha, q=0.5, slip=0):
    r = order_rank(x.shape[1], q, alpha) + slip
    return np.sort(x, axis=1)[:, r - 1] if r > 0 else np.full(len(x), -np.inf)


def order_two_sided(x, alpha, q=0.5):
    return order_lower(x, alpha / 2, q), -order_lower(-x, alpha / 2, 1 - q)


def median_normal(x, alpha):
    """By the asymptotic spread of the median of normal data."""
    n = x.shape[1]
    wide = 1.2533 * x.std(axis=1, ddof=1) / math.sqrt(n)
    return np.median(x, axis=1) - stats.norm.isf(alpha) * wide


def interpolated(x, alpha, q=0.5):
    n = x.shape[1]
    return np.quantile(x, q - stats.norm.isf(alpha) * math.sqrt(q * (1 - q) / n) / 2, axis=1)


def maurer_pontil(x, alpha, factor=2.0):
    n = x.shape[1]
    spread = x.std(axis=1, ddof=1)
    return np.maximum(spread - math.sqrt(factor * math.log(1 / alpha) / (n - 1)), 0.0) ** 2


def maurer_pontil_upper(x, alpha, factor=2.0):
    n = x.shape[1]
    spread = x.std(axis=1, ddof=1)
    return np.minimum((spread + math.sqrt(factor * math.log(1 / alpha) / (n - 1))) ** 2, 0.25)


def chi_square_upper(x, alpha):
    n = x.shape[1]
    return (n - 1) * x.var(axis=1, ddof=1) / stats.chi2.ppf(alpha, n - 1)


def plain_variance(x, alpha):
    return x.var(axis=1, ddof=1) * (1.0 - alpha)


# The truth, apart from the auditor.


def worst(bound, side, outcomes, distributions, alpha):
    """The largest non-coverage among (truth, weights of outcomes)."""

    def truth():
        value = bound(outcomes, alpha)
        low, high = np.full(len(outcomes), -np.inf), np.full(len(outcomes), np.inf)
        if side == "lower":
            low = value
        elif side == "upper":
            high = value
        else:
            low, high = value.T if isinstance(value, np.ndarray) else value
        found = [w[(low > t) | (high < t)].sum() for t, w in distributions()]
        return float(max(found)), alpha

    return truth


def two(name, bound, valid, compared, n=12, side="lower", m=None, alpha=0.05):
    m = m or n
    pairs = np.array(list(itertools.product(range(n + 1), range(m + 1))))
    outcomes = np.column_stack([pairs[:, 0], n - pairs[:, 0], pairs[:, 1], m - pairs[:, 1]])

    def distributions():
        for p, q in itertools.product(np.linspace(0.005, 0.995, 67), repeat=2):
            w = stats.binom.pmf(pairs[:, 0], n, p) * stats.binom.pmf(pairs[:, 1], m, q)
            odds = p / (1 - p) * (1 - q) / q
            yield {"difference": p - q, "ratio": p / q, "odds-ratio": odds}[compared], w

    kind = two_proportions(compared, second=m)
    options = {"estimand": kind, "n": n, "alpha": alpha, "side": side}
    return Example(
        name, audit, bound, options, valid, worst(bound, side, outcomes, distributions, alpha)
    )


def of_pairs(name, bound, valid, compared, n=15, alpha=0.05):
    outcomes = np.array([(0, i, j, n - i - j) for i in range(n + 1) for j in range(n - i + 1)])

    def distributions():
        for q, s in itertools.product(np.linspace(0.01, 1.0, 67), np.linspace(0.005, 0.995, 67)):
            w = stats.multinomial.pmf(outcomes[:, 1:], n, [q * s, q * (1 - s), 1 - q])
            yield (q * (2 * s - 1) if compared == "difference" else s / (1 - s)), w

    options = {"estimand": f"paired-{compared}", "n": n, "alpha": alpha}
    return Example(
        name, audit, bound, options, valid, worst(bound, "lower", outcomes, distributions, alpha)
    )


def of_rate(name, bound, valid, side="lower", n=2, alpha=0.05):
    k = np.arange(400)
    outcomes = np.column_stack([k, np.full_like(k, n)])

    def distributions():
        for r in np.geomspace(0.001, 60.0, 3000):
            yield r, stats.poisson.pmf(k, n * r)

    options = {"estimand": "poisson-rate", "n": n, "alpha": alpha, "side": side}
    return Example(
        name, audit, bound, options, valid, worst(bound, side, outcomes, distributions, alpha)
    )


def of_lot(name, bound, valid, size=40, n=12, alpha=0.05):
    k = np.arange(n + 1)
    outcomes = np.column_stack([k, n - k, np.full_like(k, size)])

    def distributions():
        for s in range(size + 1):
            yield s, stats.hypergeom.pmf(k, size, s, n)

    options = {"estimand": hypergeometric(size), "n": n, "alpha": alpha}
    return Example(
        name, audit, bound, options, valid, worst(bound, "lower", outcomes, distributions, alpha)
    )


def of_sample(name, bound, valid, estimand, draw, value, side="lower", n=30, alpha=0.05):
    def event(x):
        limits = bound(x, alpha)
        if side == "two-sided":
            return (limits[0] > value) | (limits[1] < value)
        return limits > value if side == "lower" else limits < value

    def sampled(rng, rows):
        return draw(rng, (rows // 2, n))

    options = {"estimand": estimand, "n": n, "alpha": alpha, "side": side}
    return Example(name, audit, bound, options, valid, monte_carlo(sampled, event, alpha))


def rarely_0(rng, shape):
    return (rng.random(shape) < 0.98).astype(float)


def seldom_0(rng, shape):
    return (rng.random(shape) < 0.92).astype(float)


def mostly_0(rng, shape):
    return (rng.random(shape) < 0.49).astype(float)


def exponential(rng, shape):
    return rng.exponential(1.0, shape)


def uniform(rng, shape):
    return rng.random(shape)


def coin(rng, shape):
    return (rng.random(shape) < 0.5).astype(float)


LOG2 = math.log(2.0)
VALID = [
    two("difference", difference, True, "difference"),
    two("difference, two-sided", difference_two_sided, True, "difference", side="two-sided"),
    two("difference, other sizes", difference, True, "difference", n=15, m=6),
    two("ratio", ratio, True, "ratio"),
    two("odds, conditional", conditional_odds, True, "odds-ratio"),
    of_pairs("pairs", paired, True, "difference"),
    of_pairs("pairs, odds", paired_odds, True, "odds-ratio"),
    of_rate("rate", rate, True),
    of_rate("rate, upper", rate_upper, True, "upper"),
    of_rate("rate, two-sided", rate_two_sided, True, "two-sided"),
    of_lot("lot", lot, True),
    of_sample("median", order_lower, True, "median", exponential, LOG2),
    of_sample("median, two-sided", order_two_sided, True, "median", exponential, LOG2, "two-sided"),
    of_sample("quantile", partial(order_lower, q=0.8), True, quantile(0.8), uniform, 0.8),
    of_sample("variance", maurer_pontil, True, "variance", coin, 0.25),
    of_sample("variance, upper", maurer_pontil_upper, True, "variance", uniform, 1 / 12, "upper"),
]
INVALID = [
    two("Wald", wald, False, "difference"),
    two("Wald, other sizes", wald, False, "difference", n=15, m=6),
    two("Agresti and Caffo", agresti_caffo, False, "difference", alpha=0.01),
    two("log of the ratio", log_ratio, False, "ratio"),
    two("Woolf", woolf, False, "odds-ratio"),
    two("odds, conditional, one off", partial(conditional_odds, slip=1), False, "odds-ratio"),
    of_pairs("pairs, Wald", paired_wald, False, "difference"),
    of_pairs("pairs, log of odds", paired_log_odds, False, "odds-ratio", alpha=0.01),
    of_pairs("pairs, odds, one off", partial(paired_odds, slip=1), False, "odds-ratio"),
    of_rate("rate, one off", partial(rate, slip=1), False),
    of_rate("rate, upper, one off", partial(rate_upper, slip=0), False, "upper"),
    of_rate("rate, upper, Wald", rate_wald_upper, False, "upper"),
    of_lot("lot, one off", partial(lot, slip=1), False),
    of_lot("lot, Wald", lot_wald, False),
    of_sample("median, one off", partial(order_lower, slip=1), False, "median", exponential, LOG2),
    of_sample("median, normal", median_normal, False, "median", mostly_0, 0.0),
    of_sample("quantile by numpy", interpolated, False, "median", uniform, 0.5),
    of_sample(
        "variance, chi-square", chi_square_upper, False, "variance", rarely_0, 0.0196, "upper"
    ),
    of_sample("variance, less 5 %", plain_variance, False, "variance", uniform, 1 / 12),
    of_sample(
        "variance, 0.2 for 2",
        partial(maurer_pontil_upper, factor=0.2),
        False,
        "variance",
        seldom_0,
        0.0736,
        "upper",
    ),
]
EXAMPLES = VALID + INVALID
