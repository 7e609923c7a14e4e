"""E-values and e-processes, right and wrong."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
from scipy import stats

from rsverify import Estimand, audit_e_value

from .example import Example

GAUSS = Estimand(
    draw=lambda rng, rows, n, sd: rng.normal(0.0, sd, (rows, n)),
    truth=lambda sd: 0.0 * sd,
    scenarios={"standard": {"sd": 1.0}},
    name="normal mean",
)
WIDER = Estimand(GAUSS.draw, GAUSS.truth, {"too wide": {"sd": 1.3}}, name="normal mean")


# Processes of samples in [0, 1], the mean at most 1/2.


def wealth(x, bet=1.0):
    return np.cumprod(1.0 + bet * (x - 0.5), axis=1)


def final(x):
    return wealth(x)[:, -1]


def plugged(x, peek=0):
    """Bets by the mean so far; with peek=1 it includes the observation that is bet on."""
    t = np.arange(1, x.shape[1] + 1)
    means = (0.5 + np.cumsum(x, axis=1)) / (t + 1)
    if not peek:
        means = np.c_[np.full(len(x), 0.5), means[:, :-1]]
    return np.cumprod(1.0 + np.clip(4 * (means - 0.5), 0.0, 1.9) * (x - 0.5), axis=1)


def mixture(x, weights=(0.5, 0.5)):
    return sum(w * wealth(x, bet) for w, bet in zip(weights, (0.5, 1.5), strict=True))


def breathing(x):
    """An e-process that is no supermartingale: every other time half is hidden."""
    return wealth(x) * np.where(np.arange(x.shape[1]) % 2, 1.0, 0.5)


def stopped(x):
    """The wealth, kept once it is 3 or more."""
    w = wealth(x, 1.8)
    for t in range(1, x.shape[1]):
        w[:, t] = np.where(w[:, t - 1] >= 3.0, w[:, t - 1], w[:, t])
    return w


def hoeffding(x, share=8.0):
    t = np.arange(1, x.shape[1] + 1)
    return np.exp(np.cumsum(x - 0.5, axis=1) - t / share)


def running_maximum(x):
    return np.maximum.accumulate(wealth(x), axis=1)


def best_side(x):
    return np.maximum(wealth(x, 1.0), wealth(x, -1.0))


def clamped(x):
    return np.cumprod(np.maximum(1.0 + 4.0 * (x - 0.5), 0.01), axis=1)


def scaled_at_the_end(x):
    """Divided by the largest value of the sample, which the first bets cannot know."""
    return np.cumprod(1.0 + (x / x.max(axis=1, keepdims=True).clip(0.1) - 0.5), axis=1)


def right_at_the_end_only(x):
    w = wealth(x).copy()
    w[:, 2] = 1.5
    return w


def best_of_two(x):
    half = x.shape[1] // 2
    return np.maximum(wealth(x[:, :half])[:, -1], wealth(x[:, half:])[:, -1])


def hindsight(x):
    return np.max([wealth(x, b)[:, -1] for b in (0.5, 1.0, 1.5)], axis=0)


def one_row(x):
    """A function of one sample."""
    return np.cumprod(1.0 + (x - 0.5))


# Counts.


def likelihood_ratio(counts, p0=0.5, p1=0.7):
    k, n = counts[:, 0], counts.sum(axis=1)
    return stats.binom.pmf(k, n, p1) / stats.binom.pmf(k, n, p0)


def beta_mixture(counts, p0=0.3):
    k, n = counts[:, 0], counts.sum(axis=1)
    return stats.betabinom.pmf(k, n, 1, 1) / stats.binom.pmf(k, n, p0)


def maximized(counts, p0=0.3):
    k, n = counts[:, 0], counts.sum(axis=1)
    return stats.binom.pmf(k, n, k / n) / stats.binom.pmf(k, n, p0)


def calibrated(counts, factor=0.5):
    p = stats.binom.sf(counts[:, 0] - 1, counts.sum(axis=1), 0.5)
    return factor / np.sqrt(p)


def inverse_p(counts):
    return 1.0 / stats.binom.sf(counts[:, 0] - 1, counts.sum(axis=1), 0.5)


def conditional(counts, odds=3.0, total=1.0):
    """Fisher's conditional likelihood ratio of two proportions."""
    k1, l1, k2, l2 = counts.T
    n, m = int(k1[0] + l1[0]), int(k2[0] + l2[0])
    out = np.empty(len(k1))
    for i, (a, s) in enumerate(zip(k1, k1 + k2, strict=True)):
        support = np.arange(max(0, s - m), min(n, s) + 1)
        null = stats.hypergeom.pmf(support, n + m, s, n)
        other = null * odds**support
        out[i] = total * odds**a * null.sum() / other.sum()
    return out


def poisson_ratio(counts, to=3.0, rate=2.0):
    k, n = counts.T
    return np.exp(k * math.log(to / rate) - n * (to - rate))


# Of normal samples.


def normal_ratio(x, bet=0.5):
    t = np.arange(1, x.shape[1] + 1)
    return np.exp(bet * np.cumsum(x, axis=1) - t * bet**2 / 2)


# Rules.


def pairs_average(e):
    k = e.shape[1]
    return np.mean([e[:, i] * e[:, j] for i, j in itertools.combinations(range(k), 2)], axis=0)


def geometric_mean(e):
    return e.prod(axis=1) ** (1.0 / e.shape[1])


def second_largest(e):
    return np.sort(e, axis=1)[:, -2]


def weighted(e, weights=(0.5, 0.3, 0.2)):
    return e @ np.array(weights)


# The truth, apart from the auditor.


def at_best_time(e, values, weights, n, *, stop=True):
    """The largest expectation over stopping times, path by path, by recursion on prefixes."""

    def truth():
        table = {}
        for path in itertools.product(range(len(values)), repeat=n):
            x = np.array([[values[i] for i in path]])
            row = np.ravel(e(x) if e is not one_row else e(x[0]))
            for t in range(1, len(row) + 1):
                table.setdefault(path[:t] if len(row) > 1 else path, []).append(row[t - 1])
        fixed = len(row) == 1

        def worth(past):
            on = 0.0
            if len(past) < n:
                on = sum(w * worth((*past, i)) for i, w in enumerate(weights))
            now = 0.0 if not past or (fixed and len(past) < n) else float(np.mean(table[past]))
            if not stop and len(past) < n:
                now = 0.0
            return max(now, on)

        return worth(()), 1.0

    return truth


def of_counts(e, data, weights):
    """The largest sum over a few distributions; `weights` maps outcomes to rows of them."""

    def truth():
        with np.errstate(all="ignore"):
            value = np.asarray(e(data))
        kept = [np.where(w > 0, w * value, 0.0).sum() for w in weights]
        return float(max(kept)), 1.0

    return truth


def binomials(n, ps):
    k = np.arange(n + 1)
    return np.column_stack([k, n - k]), [stats.binom.pmf(k, n, p) for p in ps]


def two_binomials(n, ps):
    a, b = (v.ravel() for v in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    pmf = [stats.binom.pmf(a, n, p) * stats.binom.pmf(b, n, p) for p in ps]
    return np.column_stack([a, n - a, b, n - b]), pmf


def poissons(n, rates):
    k = np.arange(200)
    return np.column_stack([k, np.full(200, n)]), [stats.poisson.pmf(k, n * r) for r in rates]


def gaussian(bet, n, sd):
    """E exp(bet S - n bet^2 / 2) of normal data, by its moment generating function."""
    return lambda: (math.exp(n * bet**2 / 2 * (sd**2 - 1)), 1.0)


def of_rule(rule, points, weights):
    def truth():
        value = [float(rule(np.array([p]))[0]) for p in points]
        return float(np.dot(value, weights)), 1.0

    return truth


def independent(k, values=(0.0, 2.0), weights=(0.5, 0.5)):
    points = list(itertools.product(values, repeat=k))
    return points, [math.prod(w) for w in itertools.product(weights, repeat=k)]


FAIR = ((0.0, 1.0), (0.5, 0.5))
HALF = {"null": (None, 0.5)}


def process(name, e, valid, n=6, law=FAIR, **options):
    truth = at_best_time(e, *law, min(n, 8))
    return Example(name, audit_e_value, e, {**HALF, "n": n, **options}, valid, truth)


def counted(name, e, valid, null, n, truth, estimand="proportion"):
    options = {"null": null, "estimand": estimand, "n": n}
    return Example(name, audit_e_value, e, options, valid, truth)


PAIRS = two_binomials(10, np.linspace(0.0, 1.0, 101))


def rule(name, e, valid, inputs, k, truth):
    return Example(name, audit_e_value, e, {"inputs": inputs, "n": k}, valid, of_rule(e, *truth))


def average(e):
    return e.mean(axis=1)


def product(e):
    return e.prod(axis=1)


def total(e):
    return e.sum(axis=1)


def largest(e):
    return e.max(axis=1)


def middle(e):
    return np.median(e, axis=1)


TWO = "two-proportion-difference"
EQUAL = ([(0.0,) * 3, (2.0,) * 3], [0.5, 0.5])
ONE = (np.eye(3) * 3, [1 / 3] * 3)
TWO_OF_THREE = (1.5 * (1 - np.eye(3)), [1 / 3] * 3)
GRID = np.linspace(0.0, 1.0, 101)
VALID = [
    process("wealth", wealth, True),
    process("wealth at the end", final, True),
    process("wealth, n=40", wealth, True, n=40),
    process("predictable bets", plugged, True),
    process("mixture", mixture, True),
    process("no supermartingale", breathing, True),
    process("stopped", stopped, True),
    process("Hoeffding", hoeffding, True, n=8),
    process("of one sample", one_row, True),
    counted(
        "likelihood ratio",
        likelihood_ratio,
        True,
        (None, 0.5),
        20,
        of_counts(likelihood_ratio, *binomials(20, GRID[:51])),
    ),
    counted(
        "mixture over p",
        beta_mixture,
        True,
        0.3,
        25,
        of_counts(beta_mixture, *binomials(25, [0.3])),
    ),
    counted(
        "calibrated p",
        calibrated,
        True,
        (None, 0.5),
        20,
        of_counts(calibrated, *binomials(20, GRID[:51])),
    ),
    counted(
        "conditional",
        conditional,
        True,
        0.0,
        10,
        of_counts(conditional, *PAIRS),
        TWO,
    ),
    counted(
        "Poisson",
        poisson_ratio,
        True,
        (None, 2.0),
        3,
        of_counts(poisson_ratio, *poissons(3, [0.5, 1.0, 2.0])),
        "poisson-rate",
    ),
    Example(
        "normal",
        audit_e_value,
        normal_ratio,
        {"null": 0.0, "estimand": GAUSS, "n": 10},
        True,
        gaussian(0.5, 10, 1.0),
    ),
    rule("average", average, True, "e-values", 3, EQUAL),
    rule("weighted average", weighted, True, "e-values", 3, ONE),
    rule("geometric mean", geometric_mean, True, "e-values", 3, EQUAL),
    rule("product", product, True, "independent e-values", 4, independent(4)),
    rule("product, sequential", product, True, "sequential e-values", 4, independent(4)),
    rule("products of pairs", pairs_average, True, "independent e-values", 4, independent(4)),
]
INVALID = [
    process("running maximum", running_maximum, False),
    process("peeking bets", partial(plugged, peek=1), False),
    process("sum of two", partial(mixture, weights=(1.0, 1.0)), False),
    process("the better side", best_side, False),
    process("clamped", clamped, False),
    process("scaled at the end", scaled_at_the_end, False, law=((0.0, 0.5, 0.7), (0.2, 0.3, 0.5))),
    process("right at the end only", right_at_the_end_only, False),
    process("best of two halves", best_of_two, False),
    process("bet chosen in hindsight", hindsight, False),
    process("Hoeffding with 16", partial(hoeffding, share=16.0), False, n=8),
    process("Hoeffding with 16, n=40", partial(hoeffding, share=16.0), False, n=40),
    counted(
        "maximized ratio", maximized, False, 0.3, 25, of_counts(maximized, *binomials(25, [0.3]))
    ),
    counted(
        "ratio against the null's inside",
        partial(likelihood_ratio, p1=0.3),
        False,
        (None, 0.5),
        20,
        of_counts(partial(likelihood_ratio, p1=0.3), *binomials(20, GRID[:51])),
    ),
    counted("1/p", inverse_p, False, (None, 0.5), 20, of_counts(inverse_p, *binomials(20, [0.5]))),
    counted(
        "not calibrated",
        partial(calibrated, factor=1.0),
        False,
        (None, 0.5),
        20,
        of_counts(partial(calibrated, factor=1.0), *binomials(20, [0.5])),
    ),
    counted(
        "conditional, too large",
        partial(conditional, total=1.3),
        False,
        0.0,
        10,
        of_counts(partial(conditional, total=1.3), *PAIRS),
        TWO,
    ),
    counted(
        "Poisson, toward few",
        partial(poisson_ratio, to=1.0),
        False,
        (None, 2.0),
        3,
        of_counts(partial(poisson_ratio, to=1.0), *poissons(3, [0.2, 1.0])),
        "poisson-rate",
    ),
    Example(
        "normal, wider",
        audit_e_value,
        normal_ratio,
        {"null": 0.0, "estimand": WIDER, "n": 10},
        False,
        gaussian(0.5, 10, 1.3),
    ),
    rule("product of dependent", product, False, "e-values", 3, EQUAL),
    rule("sum", total, False, "independent e-values", 3, independent(3)),
    rule("maximum", largest, False, "e-values", 3, ONE),
    rule("maximum of independent", largest, False, "independent e-values", 3, independent(3)),
    rule("median", middle, False, "e-values", 3, TWO_OF_THREE),
    rule("second largest", second_largest, False, "e-values", 3, TWO_OF_THREE),
    rule("products of dependent pairs", pairs_average, False, "e-values", 3, EQUAL),
    rule("weights above 1", partial(weighted, weights=(0.6, 0.6, 0)), False, "e-values", 3, EQUAL),
]
EXAMPLES = VALID + INVALID
