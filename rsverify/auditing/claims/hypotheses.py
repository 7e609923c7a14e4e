"""Several hypotheses at once: p-values or estimates of which it is known what is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr

from rsverify._core.check import FloatArray
from rsverify._core.types import DependenceName

Generator = np.random.Generator
Hypotheses: TypeAlias = Callable[[Generator, int, int, float], tuple[FloatArray, FloatArray]]
"""``draw(rng, replications, n, alpha)``: p-values and which nulls are true, both (R, n)."""

EFFECTS = {"easy to see": 8.0, "hard to see": 2.5}


def _normal(rng: Generator, rows: int, n: int, correlation: float) -> FloatArray:
    """Draw standard normal numbers of equal correlations, from -1/(n - 1) to 1."""
    z = rng.standard_normal((rows, n))
    if correlation >= 0.0:
        shared = rng.standard_normal((rows, 1))
        return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * z)
    scale = np.sqrt(n / (n - 1.0))  # sums that are always 0: the most negative one there is
    return np.asarray((z - z.mean(axis=1, keepdims=True)) * scale)


def _means(n: int, true: int, effect: float) -> FloatArray:
    """Return the means: 0 for the first `true` ones."""
    return np.where(np.arange(n) < true, 0.0, effect)


def _tested(true: int, effect: float, correlation: float) -> Hypotheses:
    """Return one-sided p-values of normal estimates."""

    def draw(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
        del alpha
        means = _means(n, true, effect)
        order = rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)  # no place tells the truth
        z = _normal(rng, rows, n, correlation) + means[order]
        return np.asarray(ndtr(-z)), (means[order] == 0.0).astype(np.float64)

    return draw


def _cautious(true: int) -> Hypotheses:
    """Return one-sided p-values of which those of true nulls are mostly near 1."""

    def draw(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
        del alpha
        truth = rng.permuted(np.tile(np.arange(n) < true, (rows, 1)), axis=1)
        z = rng.standard_normal((rows, n)) + np.where(truth, -2.0, EFFECTS["hard to see"])
        return np.asarray(ndtr(-z)), truth.astype(np.float64)

    return draw


def _discrete(true: int) -> Hypotheses:
    """Return p-values of nulls that take twenty values, others very small."""

    def draw(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
        del alpha
        p = np.ceil(20.0 * (1.0 - rng.random((rows, n)))) / 20.0
        truth = rng.permuted(np.tile(np.arange(n) < true, (rows, 1)), axis=1)
        return np.where(truth, p, 1e-9), truth.astype(np.float64)

    return draw


def _spaced(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Draw uniform p-values that are 1/n apart around a circle: at most one is small."""
    del alpha
    order = rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)
    p = (rng.random((rows, 1)) + order / n) % 1.0
    return np.where(p > 0.0, p, 1.0), np.ones((rows, n))


def stepping(thresholds: Callable[[int, float], FloatArray], true_share: float) -> Hypotheses:
    """Return p-values of true nulls of which, at times, exactly k lie just below threshold k.

    Between the thresholds of k - 1 and of k a uniform p-value has a probability w_k. With
    probability w_k m/k, k of the m p-values, any, lie there and the others above the last one:
    each is uniform, and a procedure that rejects k below threshold k errs each time. Where
    these probabilities sum to more than 1 they are kept up to there.
    """

    def draw(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
        m = max(1, round(true_share * n))
        found = n - m  # false nulls, of p-values that are nearly 0
        edges = np.concatenate([[0.0], thresholds(n, alpha)[found:]])
        weights = np.diff(edges) * m / np.arange(1, m + 1)
        weights = np.diff(np.minimum(np.concatenate([[0.0], np.cumsum(weights)]), 1.0))
        masses = weights * np.arange(1, m + 1) / m  # of each p-value, in each interval
        pick = np.searchsorted(np.cumsum(weights), rng.random(rows), side="right") + 1
        pick = np.where(pick > m, 0, pick)
        rank = rng.permuted(np.tile(np.arange(m), (rows, 1)), axis=1)
        low, high = edges[np.maximum(pick, 1) - 1], edges[np.maximum(pick, 1)]
        inside = low[:, None] + (high - low)[:, None] * (1.0 - rng.random((rows, m)))
        rest = _elsewhere(rng.random((rows, m)), edges, masses)
        p = np.where(rank < pick[:, None], inside, rest)
        values = np.concatenate([p, np.full((rows, found), 1e-12)], axis=1)
        truth = np.concatenate([np.ones((rows, m)), np.zeros((rows, found))], axis=1)
        order = rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)
        return np.take_along_axis(values, order, 1), np.take_along_axis(truth, order, 1)

    return draw


def _elsewhere(u: FloatArray, edges: FloatArray, masses: FloatArray) -> FloatArray:
    """Return numbers with what is left of a uniform distribution, none of whose mass is lacking.

    Of the interval up to edge k the mass `masses[k - 1]` is taken; above the last edge none is.
    """
    left = np.maximum(np.append(np.diff(edges) - masses, 1.0 - edges[-1]), 0.0)
    left[left < 1e-15] = 0.0
    ends = np.append(edges, 1.0)
    total = np.cumsum(left)
    place = np.searchsorted(total, u * total[-1], side="left")
    place = np.minimum(place, len(left) - 1)
    before = total[place] - left[place]
    share = (u * total[-1] - before) / np.where(left[place] > 0.0, left[place], 1.0)
    return np.asarray(ends[place] + (ends[place + 1] - ends[place]) * np.clip(share, 1e-12, 1.0))


def simes(n: int, alpha: float) -> FloatArray:
    """Return the thresholds of Simes and of Benjamini and Hochberg."""
    return alpha * np.arange(1, n + 1) / n


def hochberg(n: int, alpha: float) -> FloatArray:
    """Return the thresholds of Hochberg's step-up procedure."""
    return alpha / np.arange(n, 0, -1.0)


def p_values_suite(n: int, alpha: float, dependence: DependenceName) -> dict[str, Hypotheses]:
    """Return how p-values are drawn, by name."""
    del alpha
    half = max(1, n // 2)
    # Procedures in steps err where one hypothesis is false, or all but one; each number once.
    numbers = {n - 1: "all but one true", 1: "one true", half: "half true", n: "all nulls true"}
    parts = {text: true for true, text in sorted(numbers.items(), reverse=True) if true > 0}
    correlations = {"independent": 0.0}
    if dependence != "independent":
        correlations |= {"correlation 1/2": 0.5, "nearly equal": 0.99}
    if dependence == "any" and n > 1:
        correlations |= {"negative correlation": -1.0}
    suite: dict[str, Hypotheses] = {}
    for how, correlation in correlations.items():
        for part, true in parts.items():
            effects = EFFECTS if true < n else {"": 0.0}
            for effect, size in effects.items():
                name = ", ".join(filter(None, (how, part, effect)))
                suite[name] = _tested(true, size, correlation)
    suite |= {f"twenty values, {part}": _discrete(true) for part, true in parts.items()}
    suite |= {f"nulls far from their limit, {part}": _cautious(k) for part, k in parts.items()}
    if dependence == "any":
        suite["spaced evenly"] = _spaced
        for share, text in ((1.0, "all true"), (0.5, "half true")):
            suite[f"just below thresholds of Simes, {text}"] = stepping(simes, share)
            suite[f"just below thresholds of Hochberg, {text}"] = stepping(hochberg, share)
    return suite


def _estimated(effects: tuple[float, ...], correlation: float) -> Hypotheses:
    """Return normal estimates, and their means: these effects in turn."""

    def draw(rng: Generator, rows: int, n: int, alpha: float) -> tuple[FloatArray, FloatArray]:
        del alpha
        means = np.array([effects[i % len(effects)] for i in range(n)])
        order = rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)
        return _normal(rng, rows, n, correlation) + means[order], means[order]

    return draw


def estimates_suite(n: int, alpha: float, dependence: DependenceName) -> dict[str, Hypotheses]:
    """Return how estimates are drawn, by name."""
    del alpha
    correlations = {"independent": 0.0}
    if dependence != "independent":
        correlations |= {"correlation 1/2": 0.5, "nearly equal": 0.99}
    if dependence == "any" and n > 1:
        correlations |= {"negative correlation": -1.0}
    # Bounds that are drawn toward 0, or toward each other, err where means are not.
    means = {
        "all 0": (0.0,),
        "0 or 1": (0.0, 1.0),
        "0, 2 or 5": (0.0, 2.0, 5.0),
        "all 1": (1.0,),
        "all -8": (-8.0,),
        "-3 or 3": (-3.0, 3.0),
        "all 40": (40.0,),
        "one far below": (-30.0, *(1.5,) * (n - 1)),
        "one far above": (30.0, *(0.0,) * (n - 1)),
    }
    return {
        f"{how}, means {text}": _estimated(values, correlation)
        for how, correlation in correlations.items()
        for text, values in means.items()
    }
