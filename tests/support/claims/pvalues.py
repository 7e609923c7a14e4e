"""P-values, right and wrong."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache, partial

import numpy as np
from scipy import stats

from rsverify import Estimand, audit_test
from rsverify.auditing.estimand import hypergeometric

from .example import Example, monte_carlo

NORMAL = Estimand(
    draw=lambda rng, rows, n, mean, sd: rng.normal(mean, sd, (rows, n)),
    truth=lambda mean, sd: mean / sd,
    scenarios={"narrow": {"mean": 0.0, "sd": 0.5}, "wide": {"mean": 0.0, "sd": 3.0}},
    name="normal effect",
)
TWO_SAMPLES = Estimand(  # two halves of n, the second shifted
    draw=lambda rng, rows, n, shift, scale: (
        rng.standard_t(3, (rows, n)) * scale + shift * (np.arange(n) >= n // 2)
    ),
    truth=lambda shift, scale: shift / scale,
    scenarios={"t": {"shift": 0.0, "scale": 1.0}, "wide t": {"shift": 0.0, "scale": 9.0}},
    name="shift",
)


# What is audited.


def binomial(counts, p0=0.5, slip=0):
    """One-sided exact p-value; slip=1 leaves the count itself out of its tail."""
    return stats.binom.sf(counts[:, 0] - 1 + slip, counts.sum(axis=1), p0)


def binomial_mid(counts, p0=0.5):
    k, n = counts[:, 0], counts.sum(axis=1)
    return stats.binom.sf(k, n, p0) + 0.5 * stats.binom.pmf(k, n, p0)


def binomial_two_sided(counts, p0=0.3, double=True):
    k, n = counts[:, 0], counts.sum(axis=1)
    least = np.minimum(stats.binom.sf(k - 1, n, p0), stats.binom.cdf(k, n, p0))
    return np.minimum((2 if double else 1) * least, 1.0)


def binomial_normal(counts, p0=0.05):
    k, n = counts[:, 0], counts.sum(axis=1)
    return stats.norm.sf((k - n * p0) / np.sqrt(n * p0 * (1 - p0)))


def rounded(counts):
    """To two digits, as printed in papers, and down."""
    return np.floor(binomial(counts) * 100) / 100


def randomized(counts, rng=np.random.default_rng(5), power=1.0):  # noqa: B008
    k, n = counts[:, 0], counts.sum(axis=1)
    u = rng.random(len(k)) ** power
    return stats.binom.sf(k, n, 0.5) + u * stats.binom.pmf(k, n, 0.5)


def fisher(counts, slip=0):
    k1, l1, k2, l2 = counts.T
    return stats.hypergeom.sf(k1 - 1 + slip, k1 + l1 + k2 + l2, k1 + k2, k1 + l1)


def pooled_z(counts):
    k1, l1, k2, l2 = counts.T.astype(float)
    n, m = k1 + l1, k2 + l2
    p = (k1 + k2) / (n + m)
    spread = np.sqrt(p * (1 - p) * (1 / n + 1 / m))
    return np.where(spread > 0, stats.norm.sf((k1 / n - k2 / m) / np.where(spread, spread, 1)), 1.0)


@lru_cache
def difference_tails(n):
    """The largest tail of each difference of counts over every common p, and what a grid leaves."""
    k = np.arange(n + 1)
    gap = np.subtract.outer(k, k)
    tails = np.zeros(2 * n + 1)
    for p in np.linspace(0.0, 1.0, 201):
        pmf = stats.binom.pmf(k, n, p)
        weights = np.outer(pmf, pmf)
        tails = np.maximum(tails, [weights[gap >= d].sum() for d in range(-n, n + 1)])
    return np.minimum(tails + 1e-3, 1.0)


def largest_tail(counts):
    """Suissa and Shuster: the nuisance parameter maximized out."""
    n = counts[0, 0] + counts[0, 1]
    return difference_tails(int(n))[counts[:, 0] - counts[:, 2] + n]


def poisson(counts, rate=2.0, slip=0):
    return stats.poisson.sf(counts[:, 0] - 1 + slip, rate * counts[:, 1])


def poisson_normal(counts, rate=2.0):
    mean = rate * counts[:, 1]
    return stats.norm.sf((counts[:, 0] - mean) / np.sqrt(mean))


def poisson_few(counts, rate=2.0):
    return stats.poisson.cdf(counts[:, 0], rate * counts[:, 1])


def lot(counts, bad=5, slip=0):
    """Acceptance sampling: at most `bad` in the lot."""
    return stats.hypergeom.sf(
        counts[:, 0] - 1 + slip, counts[:, 2], bad, counts[:, 0] + counts[:, 1]
    )


def lot_binomial(counts, bad=5):
    """As if drawn with replacement, and at least `bad`: for few, too sure of itself."""
    n = counts[:, 0] + counts[:, 1]
    return stats.binom.cdf(counts[:, 0], n, bad / counts[:, 2] + 0.1)


def mcnemar(pairs):
    first, second = pairs[:, 1], pairs[:, 2]
    return stats.binom.sf(first - 1, first + second, 0.5)


def mcnemar_normal(pairs):
    first, second = pairs[:, 1].astype(float), pairs[:, 2]
    total = np.maximum(first + second, 1)
    return stats.norm.sf((first - second) / np.sqrt(total))


def of_votes(counts, slip=0):
    """Of the votes for one of two classes, the share of the first."""
    return stats.binom.sf(counts[:, 0] - 1 + slip, counts[:, 0] + counts[:, 1], 0.5)


def sign_test(x, above=np.greater):
    return stats.binom.sf(above(x, 0.0).sum(axis=1) - 1, x.shape[1], 0.5)


def signed_rank(x):
    ranks = stats.rankdata(np.abs(x), axis=1)
    w = (ranks * (x > 0)).sum(axis=1)
    n = x.shape[1]
    return stats.norm.sf((w - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24))


def hoeffding(x, m=0.5, factor=2.0):
    return np.exp(-factor * x.shape[1] * np.maximum(x.mean(axis=1) - m, 0.0) ** 2)


def betting(x, m=0.5, peek=False):
    before = np.cumsum(x - m, axis=1)
    if not peek:
        before = np.c_[np.zeros(len(x)), before[:, :-1]]
    wealth = np.cumprod(1.0 + np.clip(before, 0.0, 1.5) * (x - m), axis=1)
    return np.minimum(1.0, 1.0 / np.maximum(wealth.max(axis=1), 1.0))


def t_test(x, m=0.0):
    spread = x.std(axis=1, ddof=1) / math.sqrt(x.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return stats.t.sf((x.mean(axis=1) - m) / spread, x.shape[1] - 1)


def t_never_nan(x, m=0.5):
    return np.nan_to_num(t_test(x, m), nan=1.0)


def z_for_t(x):
    return stats.norm.sf(x.mean(axis=1) * math.sqrt(x.shape[1]) / x.std(axis=1, ddof=1))


def better_side(x):
    """The side is chosen after the data are seen."""
    p = t_test(x)
    return np.minimum(p, 1.0 - p)


def both_sides(x):
    return 2.0 * better_side(x)


def peeking(x):
    """The least of the p-values after 5, 10, .. observations."""
    return np.min([t_test(x[:, :k]) for k in range(5, x.shape[1] + 1, 5)], axis=0)


def peeking_paid(x):
    looks = range(5, x.shape[1] + 1, 5)
    return np.minimum(1.0, len(looks) * np.min([t_test(x[:, :k]) for k in looks], axis=0))


def permuted(x, plus=1, most=19, rng=np.random.default_rng(6)):  # noqa: B008
    """A permutation test with `most` random permutations; with plus=0 it can be 0."""
    half = x.shape[1] // 2

    def statistic(y):
        return y[:, half:].mean(axis=1) - y[:, :half].mean(axis=1)

    own = statistic(x)
    above = sum(statistic(rng.permuted(x, axis=1)) >= own for _ in range(most))
    return (above + plus) / (most + plus)


def welch_normal(x):
    half = x.shape[1] // 2
    a, b = x[:, :half], x[:, half:]
    spread = np.sqrt(a.var(axis=1, ddof=1) / half + b.var(axis=1, ddof=1) / (x.shape[1] - half))
    return stats.norm.sf((b.mean(axis=1) - a.mean(axis=1)) / spread)


# The truth, apart from the auditor.


def at_proportion(test, n, ps, level):
    def truth():
        k = np.arange(n + 1)
        rejected = np.asarray(test(np.column_stack([k, n - k]))) <= level
        return max(stats.binom.pmf(k, n, p)[rejected].sum() for p in ps), level

    return truth


def at_two(test, n, ps, level):
    def truth():
        pairs = np.array(list(itertools.product(range(n + 1), repeat=2)))
        data = np.column_stack([pairs[:, 0], n - pairs[:, 0], pairs[:, 1], n - pairs[:, 1]])
        rejected = np.asarray(test(data)) <= level
        one = [stats.binom.pmf(pairs.T, n, p).prod(axis=0)[rejected].sum() for p in ps]
        return max(one), level

    return truth


def at_rate(test, n, rates, level):
    def truth():
        k = np.arange(400)
        rejected = np.asarray(test(np.column_stack([k, np.full(400, n)]))) <= level
        return max(stats.poisson.pmf(k, n * r)[rejected].sum() for r in rates), level

    return truth


def at_lot(test, n, size, successes, level):
    def truth():
        k = np.arange(n + 1)
        rejected = np.asarray(test(np.column_stack([k, n - k, np.full(n + 1, size)]))) <= level
        return max(stats.hypergeom.pmf(k, size, s, n)[rejected].sum() for s in successes), level

    return truth


def at_pairs(test, n, qs, level):
    def truth():
        pairs = np.array([(0, i, j, n - i - j) for i in range(n + 1) for j in range(n - i + 1)])
        rejected = np.asarray(test(pairs)) <= level
        found = []
        for q in qs:
            p = [q / 2, q / 2, 1 - q]
            found.append(stats.multinomial.pmf(pairs[:, 1:], n, p)[rejected].sum())
        return max(found), level

    return truth


def drawn(test, draw, level):
    def event(x):
        with np.errstate(all="ignore"):
            return ~(np.asarray(test(x)) > level)  # NaN counts

    return monte_carlo(draw, event, level)


GRID = np.linspace(0.0, 1.0, 201)


def proportion(name, test, valid, null, n, level, ps):
    options = {"null": null, "estimand": "proportion", "n": n, "alpha": level}
    return Example(name, audit_test, test, options, valid, at_proportion(test, n, ps, level))


def two(name, test, valid, n, level, ps):
    options = {"null": (None, 0.0), "estimand": "two-proportion-difference", "n": n}
    options["alpha"] = level
    return Example(name, audit_test, test, options, valid, at_two(test, n, ps, level))


def rate(name, test, valid, null, n, level, rates):
    options = {"null": null, "estimand": "poisson-rate", "n": n, "alpha": level}
    return Example(name, audit_test, test, options, valid, at_rate(test, n, rates, level))


def paired(name, test, valid, n, level):
    options = {"null": (None, 0.0), "estimand": "paired-difference", "n": n, "alpha": level}
    return Example(name, audit_test, test, options, valid, at_pairs(test, n, GRID[1:], level))


def votes(name, test, valid, n, level):
    """The margin is at most 0; votes are pairs, of which those of neither class are concordant."""

    def of_pairs(pairs):
        return test(np.column_stack([pairs[:, 1:3], pairs[:, 3] + pairs[:, 0]]))

    options = {"null": (None, 0.0), "estimand": "probit:first", "n": n, "alpha": level}
    return Example(name, audit_test, test, options, valid, at_pairs(of_pairs, n, GRID[1:], level))


def sample(name, test, valid, draw, level, *, estimand="mean", null=(None, 0.5), n=20, slow=False):
    options = {"null": null, "estimand": estimand, "n": n, "alpha": level}
    return Example(name, audit_test, test, options, valid, drawn(test, draw, level), slow)


def fair(rng, rows, n=20):
    return (rng.random((rows, n)) < 0.5).astype(float)


def rare_zero(rng, rows, n=20, m=0.5):
    """0 rarely, else just above the mean of 1/2."""
    return np.where(rng.random((rows, n)) < 0.05, 0.0, m / 0.95)


def gauss(rng, rows, n=20):
    return rng.normal(0.0, 1.0, (rows, n))


def student(rng, rows, n=20):
    return rng.standard_t(3, (rows, n))


def skewed(rng, rows, n=20):
    return rng.exponential(1.0, (rows, n)) - math.log(2.0)


LOT = hypergeometric(40)
SIDES = {"estimand": NORMAL, "null": 0.0}
SHIFT = {"estimand": TWO_SAMPLES, "null": 0.0}
AT_HALF = [0.5]
VALID = [
    proportion("exact binomial", binomial, True, (None, 0.5), 30, 0.05, AT_HALF),
    proportion("exact, rare", partial(binomial, p0=0.02), True, (None, 0.02), 50, 0.1, [0.02]),
    proportion("two-sided, doubled", binomial_two_sided, True, 0.3, 25, 0.05, [0.3]),
    two("Fisher", fisher, True, 15, 0.05, GRID),
    two("largest over the nuisance", largest_tail, True, 12, 0.05, GRID),
    rate("Poisson", poisson, True, (None, 2.0), 3, 0.05, [2.0]),
    rate("Poisson, too few", poisson_few, True, (2.0, None), 3, 0.05, [2.0]),
    Example(
        "a lot",
        audit_test,
        lot,
        {"null": (None, 5), "estimand": LOT, "n": 12, "alpha": 0.1},
        True,
        at_lot(lot, 12, 40, range(6), 0.1),
    ),
    paired("McNemar, exact", mcnemar, True, 20, 0.05),
    votes("votes", of_votes, True, 20, 0.05),
    sample("sign test", sign_test, True, skewed, 0.05, estimand="median", null=(None, 0.0), n=20),
    sample("Hoeffding", hoeffding, True, fair, 0.05),
    sample("betting", betting, True, fair, 0.05),
    sample("t, of normal data", t_test, True, gauss, 0.05, **SIDES),
    sample("t, both sides", both_sides, True, gauss, 0.05, **SIDES),
    sample("looks paid for", peeking_paid, True, gauss, 0.05, **SIDES),
    sample("permutations", permuted, True, student, 0.05, **SHIFT),
]
INVALID = [
    proportion("normal, rare", binomial_normal, False, (None, 0.05), 30, 0.05, [0.05]),
    proportion("mid-p", binomial_mid, False, (None, 0.5), 4, 0.05, AT_HALF),
    proportion("count left out", partial(binomial, slip=1), False, (None, 0.5), 20, 0.05, AT_HALF),
    proportion(
        "not doubled",
        partial(binomial_two_sided, double=False),
        False,
        0.3,
        40,
        0.05,
        [0.3],
    ),
    proportion("rounded down", rounded, False, (None, 0.5), 18, 0.04, AT_HALF),
    proportion("null too small", binomial, False, (None, 0.52), 60, 0.05, [0.52]),
    two("pooled z", pooled_z, False, 20, 0.05, GRID),
    two("Fisher, count left out", partial(fisher, slip=1), False, 15, 0.05, GRID),
    rate("Poisson, normal", poisson_normal, False, (None, 2.0), 1, 0.05, [2.0]),
    rate("Poisson, count left out", partial(poisson, slip=1), False, (None, 2.0), 3, 0.05, [2.0]),
    Example(
        "a lot, count left out",
        audit_test,
        partial(lot, slip=1),
        {"null": (None, 5), "estimand": LOT, "n": 12, "alpha": 0.1},
        False,
        at_lot(partial(lot, slip=1), 12, 40, range(6), 0.1),
    ),
    Example(
        "a lot, more than few",
        audit_test,
        lot_binomial,
        {"null": (5, None), "estimand": LOT, "n": 12, "alpha": 0.1},
        False,
        at_lot(lot_binomial, 12, 40, range(5, 41), 0.1),
    ),
    votes("votes, count left out", partial(of_votes, slip=1), False, 20, 0.05),
    paired("McNemar, normal", mcnemar_normal, False, 20, 0.05),
    sample(
        "sign test with ties",
        partial(sign_test, above=np.greater_equal),
        False,
        lambda rng, rows: np.where(rng.random((rows, 20)) < 0.6, 0.0, -1.0),
        0.05,
        estimand="median",
        null=(None, 0.0),
    ),
    sample(
        "signed ranks, skewed",
        signed_rank,
        False,
        skewed,
        0.05,
        estimand="median",
        null=(None, 0.0),
        n=20,
    ),
    sample("Hoeffding with 8", partial(hoeffding, factor=8.0), False, fair, 0.05),
    sample("a bet that sees its outcome", partial(betting, peek=True), False, fair, 0.05),
    sample("t, of bounded data", t_never_nan, False, rare_zero, 0.05),
    sample(
        "NaN where all are equal",
        partial(t_test, m=0.5),
        False,
        lambda _, rows: np.full((rows, 20), 0.5),
        0.05,
    ),
    sample("z for t", z_for_t, False, lambda rng, rows: gauss(rng, rows, 5), 0.05, n=5, **SIDES),
    sample("the better side", better_side, False, gauss, 0.05, **SIDES),
    sample("looks not paid for", peeking, False, gauss, 0.05, **SIDES),
    sample("permutations, none counted", partial(permuted, plus=0), False, student, 0.01, **SHIFT),
    sample(
        "Welch by the normal",
        welch_normal,
        False,
        lambda rng, rows: student(rng, rows, 6),
        0.05,
        n=6,
        **SHIFT,
    ),
]
EXAMPLES = VALID + INVALID
