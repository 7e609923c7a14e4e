"""Prediction sets, right and wrong."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import stats

from rsverify import audit_prediction_set

from .example import Example, monte_carlo


def rank(values, k):
    """The k-th smallest along the last axis; minus or plus infinity where there is none."""
    n = values.shape[-1]
    if k < 1:
        return np.full(values.shape[:-1], -np.inf)
    if k > n:
        return np.full(values.shape[:-1], np.inf)
    return np.sort(values, axis=-1)[..., k - 1]


def conformal_rank(n, alpha, plus=1):
    return math.ceil((n + plus) * (1 - alpha) - 1e-12)


def around(center, width):
    return np.stack([center - width, center + width], axis=-1)


# Intervals.


def absolute(x, y, x_new, alpha, plus=1):
    q = rank(np.abs(y), conformal_rank(y.shape[-1], alpha, plus))
    return around(0.0, q)


def of_feature(x, y, x_new, alpha):
    """A model that was there before: y is the feature."""
    q = rank(np.abs(y - x[..., 1]), conformal_rank(y.shape[-1], alpha))
    return around(x_new[..., 1], q)


def scaled(x, y, x_new, alpha):
    size, size_new = 0.1 + x[..., 1], 0.1 + x_new[..., 1]
    q = rank(np.abs(y - x[..., 1]) / size, conformal_rank(y.shape[-1], alpha))
    return around(x_new[..., 1], q * size_new)


def order_statistics(x, y, x_new, alpha, inward=0):
    n = y.shape[-1]
    low = math.floor((n + 1) * alpha / 2 + 1e-12)
    return np.stack([rank(y, low + inward), rank(y, n + 1 - low - inward)], axis=-1)


def upper(x, y, x_new, alpha):
    top = rank(y, conformal_rank(y.shape[-1], alpha))
    return np.full_like(top, -np.inf), top


def everything(x, y, x_new, alpha):
    return np.full(y.shape[:-1], -np.inf), np.full(y.shape[:-1], np.inf)


def halves(x, y, x_new, alpha, again=False):
    """A line fitted to the first half, calibrated on the second, or on the same `again`."""
    half = y.shape[-1] if again else y.shape[-1] // 2
    design = x[..., :half, 1]
    slope = np.linalg.pinv(np.stack([np.ones_like(design), design, design**2, design**3], axis=-1))
    line = np.einsum("...ij,...j->...i", slope, y[..., :half])
    rest = slice(None) if again else slice(half, None)

    def fit(z):
        return sum(line[..., i : i + 1] * z**i for i in range(4))

    errors = np.abs(y[..., rest] - fit(x[..., rest, 1]))
    q = rank(errors, conformal_rank(errors.shape[-1], alpha))
    return around(fit(x_new[..., 1:2])[..., 0], q)


def by_group(x, y, x_new, alpha, plus=1):
    """Mondrian: one sample, the ranks of its own group."""
    own = np.abs(y[x[:, 0] == x_new[0]])
    q = rank(own, conformal_rank(len(own), alpha, plus)) if len(own) else np.inf
    return np.array([-q, q])


def normal_theory(x, y, x_new, alpha):
    z = stats.norm.isf(alpha / 2)
    return around(y.mean(axis=-1), z * y.std(axis=-1, ddof=1))


def t_theory(x, y, x_new, alpha):
    n = y.shape[-1]
    wide = stats.t.isf(alpha / 2, n - 1) * math.sqrt(1 + 1 / n)
    return around(y.mean(axis=-1), wide * y.std(axis=-1, ddof=1))


def of_the_mean(x, y, x_new, alpha):
    """An interval for the mean is none for the next one."""
    n = y.shape[-1]
    wide = stats.t.isf(alpha / 2, n - 1) / math.sqrt(n)
    return around(y.mean(axis=-1), wide * y.std(axis=-1, ddof=1))


def numpy_quantiles(x, y, x_new, alpha):
    return np.quantile(y, alpha / 2, axis=-1), np.quantile(y, 1 - alpha / 2, axis=-1)


def robust(x, y, x_new, alpha):
    center = np.median(y, axis=-1)
    mad = np.median(np.abs(y - center[..., None]), axis=-1)
    return around(center, 1.4826 * stats.norm.isf(alpha / 2) * mad)


def narrower(x, y, x_new, alpha):
    """Nine right procedures, the narrowest of their sets."""
    slopes = np.linspace(-2.0, 2.0, 9)
    k = conformal_rank(y.shape[-1], alpha)
    widths = np.stack([rank(np.abs(y - b * x[..., 1]), k) for b in slopes], axis=-1)
    best = np.argmin(widths, axis=-1)
    return around(slopes[best] * x_new[..., 1], widths.min(axis=-1))


def standardized(x, y, x_new, alpha):
    """NaN where the sample is constant."""
    with np.errstate(all="ignore"):
        z = (y - y.mean(axis=-1, keepdims=True)) / y.std(axis=-1, keepdims=True)
        q = rank(np.abs(z), conformal_rank(y.shape[-1], alpha / 2))
        return around(y.mean(axis=-1), np.where(np.isnan(q), np.nan, np.inf))


def not_negative(x, y, x_new, alpha):
    """Order statistics that nobody expects below 0."""
    return np.maximum(order_statistics(x, y, x_new, alpha), 0.0)


def pooled(x, y, x_new, alpha):
    """The quantile of all replications together."""
    q = np.quantile(np.abs(y), 1 - alpha)
    return around(0.0, np.full(len(y), q))


def tolerance_limits(x, y, x_new, alpha, delta=0.1, exact=True):
    """Wilks: the smallest upper order statistic whose coverage is sure enough."""
    n = y.shape[-1]
    k = conformal_rank(n, alpha)
    if exact:
        k = next(
            (k for k in range(1, n + 1) if stats.beta.cdf(1 - alpha, k, n + 1 - k) <= delta), n + 1
        )
    top = rank(y, k)
    return np.stack([np.full_like(top, -np.inf), top], axis=-1)


def two_tolerance_limits(x, y, x_new, alpha, delta=0.1):
    n = y.shape[-1]
    for r in range(n // 2, 0, -1):
        if stats.beta.cdf(1 - alpha, n + 1 - 2 * r, 2 * r) <= delta:
            return np.stack([rank(y, r), rank(y, n + 1 - r)], axis=-1)
    return np.stack(everything(x, y, x_new, alpha), axis=-1)


def normal_tolerance(x, y, x_new, alpha, delta=0.1):
    """By the noncentral t: for normal data only."""
    n = y.shape[-1]
    k = stats.nct.isf(delta, n - 1, stats.norm.isf(alpha) * math.sqrt(n)) / math.sqrt(n)
    top = y.mean(axis=-1) + k * y.std(axis=-1, ddof=1)
    return np.stack([np.full_like(top, -np.inf), top], axis=-1)


# Labels.


def own_score(x, y):
    return np.take_along_axis(x[..., 1:], y[..., None], axis=-1)[..., 0]


def threshold(x, y, x_new, alpha, plus=1):
    q = rank(1.0 - own_score(x, y), conformal_rank(y.shape[-1], alpha, plus))
    return 1.0 - x_new[..., 1:] <= q[..., None] + 1e-12


def by_label(x, y, x_new, alpha):
    """Each label by the ranks of its own."""
    out = np.zeros((*x_new.shape[:-1], 3), dtype=bool)
    for i in range(len(x)):
        for label in range(3):
            own = 1.0 - x[i, y[i] == label, 1 + label]
            q = rank(own, conformal_rank(len(own), alpha)) if len(own) else np.inf
            out[i, label] = 1.0 - x_new[i, 1 + label] <= q + 1e-12
    return out


def cumulated(scores):
    """The sum of the scores of a label and of all that are more probable."""
    order = np.argsort(-scores, axis=-1)
    sums = np.cumsum(np.take_along_axis(scores, order, axis=-1), axis=-1)
    out = np.empty_like(sums)
    np.put_along_axis(out, order, sums, axis=-1)
    return out


def adaptive(x, y, x_new, alpha, plus=1):
    own = np.take_along_axis(cumulated(x[..., 1:]), y[..., None], axis=-1)[..., 0]
    q = rank(own, conformal_rank(y.shape[-1], alpha, plus))
    return cumulated(x_new[..., 1:]) <= q[..., None] + 1e-12


def uncalibrated(x, y, x_new, alpha):
    """The most probable labels until their scores sum to 1 - alpha."""
    scores = x_new[..., 1:]
    return cumulated(scores) - scores < 1.0 - alpha


def the_first(x, y, x_new, alpha):
    scores = x_new[..., 1:]
    return scores == scores.max(axis=-1, keepdims=True)


def the_frequent(x, y, x_new, alpha):
    """Labels that were seen often enough."""
    shares = np.stack([(y == label).mean(axis=-1) for label in range(3)], axis=-1)
    return shares >= 3 * alpha


def all_labels(x, y, x_new, alpha):
    return np.ones((*x_new.shape[:-1], 3), dtype=bool)


# The truth, apart from the auditor: fresh draws, one at a time what is in the set.


def outside(predict, draw, alpha, *, n=19, labels=False, single=False):
    def pairs(rng, rows):
        return draw(rng, rows // (20 if single else 2), n + 1)

    def event(data):
        x, y = data
        y = y.astype(int) if labels else y
        arguments = x[:, :n], y[:, :n], x[:, n]
        with np.errstate(all="ignore"):
            if single:
                sets = np.array([predict(*each, alpha) for each in zip(*arguments, strict=True)])
            else:
                sets = predict(*arguments, alpha)
        if labels:
            return ~sets[np.arange(len(y)), y[:, n]]
        low, high = sets if isinstance(sets, tuple) else sets.T
        return ~((low <= y[:, n]) & (y[:, n] <= high))

    return monte_carlo(pairs, event, alpha)


def unsure(predict, law, alpha, delta=0.1, n=40):
    """P(F(upper end) < 1 - alpha) of an upper or two-sided limit."""

    def draw(rng, rows):
        return law.rvs(size=(rows // 2, n), random_state=rng)

    def event(y):
        low, high = np.asarray(predict(None, y, None, alpha)).T
        return law.cdf(high) - law.cdf(low) < 1 - alpha

    return monte_carlo(draw, event, delta)


def noise(values, group=0.25):
    def draw(rng, rows, size):
        x = np.stack([(rng.random((rows, size)) < group) * 1.0, rng.random((rows, size))], axis=-1)
        return x, values(rng, x)

    return draw


NORMAL = noise(lambda rng, x: rng.normal(0.0, 1.0, x.shape[:2]))
EXPONENTIAL = noise(lambda rng, x: rng.exponential(1.0, x.shape[:2]))
LINEAR = noise(lambda rng, x: x[..., 1] + 0.3 * rng.normal(0.0, 1.0, x.shape[:2]))
HEAVY = noise(lambda rng, x: rng.standard_t(2, x.shape[:2]))
RARE = noise(lambda rng, x: (rng.random(x.shape[:2]) < 0.15) * 1.0)
CONSTANT = noise(lambda _, x: np.full(x.shape[:2], 0.5))
SHARED = noise(lambda rng, x: 3.0 * rng.normal(size=(len(x), 1)) + rng.normal(size=x.shape[:2]))


def in_group_1(rng, rows, size):
    """The group of the last pair is 1, whose numbers are wider."""
    x, _ = NORMAL(rng, rows, size)
    x[:, -1, 0] = 1.0
    return x, (0.2 + 2.0 * x[..., 0]) * rng.normal(size=x.shape[:2])


def classes(sharp, last=0.0):
    def draw(rng, rows, size):
        logits = np.array([0.0, 0.0, last]) + 1.5 * rng.normal(size=(rows, size, 3))
        y = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
        weights = np.exp(sharp * logits)
        scores = weights / weights.sum(axis=-1, keepdims=True)
        return np.concatenate([np.zeros((rows, size, 1)), scores], axis=-1), y

    return draw


def number(name, predict, valid, draw, alpha=0.1, n=19, **options):
    asked = {"n": n, "alpha": alpha, **options}
    return Example(
        name, audit_prediction_set, predict, asked, valid, outside(predict, draw, alpha, n=n)
    )


def label(name, predict, valid, draw, alpha=0.1, n=19):
    options = {"n": n, "alpha": alpha, "target": "labels"}
    truth = outside(predict, draw, alpha, n=n, labels=True)
    return Example(name, audit_prediction_set, predict, options, valid, truth)


def group(name, predict, valid, n=19, *, single=False):
    options = {"n": n, "alpha": 0.1, "claim": "group"}
    truth = outside(predict, in_group_1, 0.1, n=n, single=single)
    return Example(name, audit_prediction_set, predict, options, valid, truth)


def training(name, predict, valid, law, alpha=0.1, n=40):
    options = {"n": n, "alpha": alpha, "claim": "training", "delta": 0.1}
    return Example(
        name, audit_prediction_set, predict, options, valid, unsure(predict, law, alpha, n=n)
    )


VALID = [
    number("absolute values", absolute, True, NORMAL),
    number("a model's errors", of_feature, True, LINEAR),
    number("scaled errors", scaled, True, LINEAR),
    number("order statistics", order_statistics, True, EXPONENTIAL),
    number("upper limit", upper, True, HEAVY),
    number("everything", everything, True, NORMAL),
    number("split in halves", halves, True, LINEAR, n=39),
    number("few for alpha", absolute, True, NORMAL, alpha=0.01),
    label("threshold", threshold, True, classes(1.0)),
    label("adaptive", adaptive, True, classes(4.0)),
    label("all labels", all_labels, True, classes(1.0)),
    group("ranks of the group", by_group, True, single=True),
    training("Wilks", tolerance_limits, True, stats.norm()),
    training("Wilks, two-sided", two_tolerance_limits, True, stats.expon()),
    training("Wilks, few", tolerance_limits, True, stats.cauchy(), n=10),
]
INVALID = [
    number("one too few", partial(absolute, plus=0), False, NORMAL, n=10),
    number("normal theory", normal_theory, False, NORMAL),
    number("t, of skewed data", t_theory, False, RARE),
    number("interval for the mean", of_the_mean, False, NORMAL),
    number("quantiles by numpy", numpy_quantiles, False, NORMAL),
    number("one inward", partial(order_statistics, inward=1), False, EXPONENTIAL),
    number("median and MAD", robust, False, HEAVY),
    number("calibrated where fitted", partial(halves, again=True), False, LINEAR, n=19),
    number("the narrowest of nine", narrower, False, NORMAL, n=9),
    number("not negative", not_negative, False, NORMAL),
    number("NaN of constants", standardized, False, CONSTANT),
    Example(
        "pooled replications",
        audit_prediction_set,
        pooled,
        {"n": 19, "alpha": 0.1},
        False,
        outside(lambda x, y, *rest: pooled(x, y[None], *rest)[0], NORMAL, 0.1, single=True),
    ),
    label("one too few, labels", partial(threshold, plus=-1), False, classes(1.0)),
    label("not calibrated", uncalibrated, False, classes(4.0)),
    label("the most probable", the_first, False, classes(1.0)),
    label("labels seen often", the_frequent, False, classes(1.0, -2.3)),
    label("adaptive, too few", partial(adaptive, plus=-1), False, classes(4.0)),
    group("ranks of all", absolute, False),
    group("ranks of the group, too few", partial(by_group, plus=-1), False, single=True),
    training("marginal only", partial(tolerance_limits, exact=False), False, stats.norm()),
    training("another delta", partial(tolerance_limits, delta=0.4), False, stats.norm()),
    training("normal tolerance", normal_tolerance, False, stats.expon()),
]
EXAMPLES = VALID + INVALID
