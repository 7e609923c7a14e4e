"""Exchangeable pairs of features and outcomes, by which prediction sets are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from rsverify._core.check import FloatArray
from rsverify.auditing.scenario import Law

Generator = np.random.Generator
Points: TypeAlias = Callable[[Generator, int, int], tuple[FloatArray, FloatArray]]
"""``draw(rng, replications, size)`` returns x (R, size, d) and y (R, size)."""

LABELS = 3
SHARE = 0.25  # of pairs in group 1

TRAINING: Mapping[str, Law] = {
    "normal": ("norm", 0.0, 1.0),
    "uniform": ("uniform", 0.0, 1.0),
    "normal, far below 0": ("norm", -50.0, 1.0),
    "exponential": ("expon", 0.0, 1.0),
    "Cauchy": ("cauchy", 0.0, 1.0),
    "log-normal": ("lognorm", 1.5),
    "skewed, Beta(5, 0.2)": ("beta", 5.0, 0.2),
    "dice": ("points", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (1 / 6,) * 6),
    "0 or, rarely, 1": ("points", (0.0, 1.0), (0.85, 0.15)),
    "rarely 0, or 1": ("points", (0.0, 1.0), (0.15, 0.85)),
}


def _features(rng: Generator, rows: int, size: int) -> FloatArray:
    """Return groups, 0 or 1, and a feature in [0, 1]."""
    group = (rng.random((rows, size)) < SHARE).astype(np.float64)
    return np.stack([group, rng.random((rows, size))], axis=-1)


def _numbers(noise: Callable[[Generator, FloatArray], FloatArray]) -> Points:
    """Return pairs whose y is the feature and noise, which may depend on group and feature."""

    def draw(rng: Generator, rows: int, size: int) -> tuple[FloatArray, FloatArray]:
        x = _features(rng, rows, size)
        return x, x[..., 1] + noise(rng, x)

    return draw


def _alone(values: Callable[[Generator, tuple[int, int]], FloatArray]) -> Points:
    """Return pairs whose y has nothing to do with x."""

    def draw(rng: Generator, rows: int, size: int) -> tuple[FloatArray, FloatArray]:
        return _features(rng, rows, size), values(rng, (rows, size))

    return draw


def _normal(rng: Generator, x: FloatArray) -> FloatArray:
    return 0.3 * rng.standard_normal(x.shape[:2])


def _spread(rng: Generator, x: FloatArray) -> FloatArray:
    return (0.1 + x[..., 1]) * rng.standard_normal(x.shape[:2])


def _by_group(rng: Generator, x: FloatArray) -> FloatArray:
    return (0.2 + 2.0 * x[..., 0]) * rng.standard_normal(x.shape[:2])


def _heavy(rng: Generator, x: FloatArray) -> FloatArray:
    return rng.standard_t(2, x.shape[:2])


def _shift(rng: Generator, x: FloatArray) -> FloatArray:
    """Return noise with a shift that all pairs of a replication share: exchangeable only."""
    return 3.0 * rng.standard_normal((len(x), 1)) + rng.standard_normal(x.shape[:2])


def _scale(rng: Generator, x: FloatArray) -> FloatArray:
    return np.exp(2.0 * rng.standard_normal((len(x), 1))) * rng.standard_normal(x.shape[:2])


def numbers_suite(alpha: float) -> dict[str, Points]:
    """Return how pairs with numbers y are drawn, by name."""
    rare = min(1.5 * alpha, 0.5)
    return {
        "linear, normal": _numbers(_normal),
        "spread by the feature": _numbers(_spread),
        "spread by the group": _numbers(_by_group),
        "heavy tails, t(2)": _numbers(_heavy),
        "a shared shift": _numbers(_shift),
        "a shared scale": _numbers(_scale),
        "exponential": _alone(lambda rng, shape: rng.exponential(1.0, shape)),
        "log-normal": _alone(lambda rng, shape: np.exp(1.5 * rng.standard_normal(shape))),
        "whole numbers": _alone(lambda rng, shape: rng.poisson(2.0, shape).astype(np.float64)),
        "0 or, rarely, 1": _alone(lambda rng, shape: (rng.random(shape) < rare).astype(np.float64)),
        "1 or, rarely, 0": _alone(
            lambda rng, shape: (rng.random(shape) >= rare).astype(np.float64)
        ),
        "far above 0": _alone(lambda rng, shape: 1e3 + rng.standard_normal(shape)),
        "far below 0": _alone(lambda rng, shape: -1e3 + 5.0 * rng.standard_normal(shape)),
        "tiny numbers": _alone(lambda rng, shape: 1e-6 * rng.standard_normal(shape)),
        "constant": _alone(lambda _, shape: np.full(shape, 0.5)),
    }


def _labels(truth: FloatArray, sharp: float, noise: float = 0.0) -> Points:
    """Return pairs whose label has probabilities by a softmax, and scores that tell of them.

    `sharp` is how much more certain the scores are than the truth; `noise` disturbs them.
    """

    def draw(rng: Generator, rows: int, size: int) -> tuple[FloatArray, FloatArray]:
        group = (rng.random((rows, size)) < SHARE).astype(np.float64)
        logits = truth + 1.5 * rng.standard_normal((rows, size, LABELS))
        y = np.argmax(logits + rng.gumbel(size=logits.shape) * (1.0 + 2.0 * group[..., None]), -1)
        shown = sharp * (logits + noise * rng.standard_normal(logits.shape))
        weights = np.exp(shown - shown.max(axis=-1, keepdims=True))
        scores = weights / weights.sum(axis=-1, keepdims=True)
        return np.concatenate([group[..., None], scores], axis=-1), y.astype(np.float64)

    return draw


def _one_hot(rng: Generator, rows: int, size: int) -> tuple[FloatArray, FloatArray]:
    """Return scores that are one class only, right in four cases of five: ties everywhere."""
    group = (rng.random((rows, size)) < SHARE).astype(np.float64)
    said = rng.integers(LABELS, size=(rows, size))
    y = np.where(rng.random((rows, size)) < 0.8, said, rng.integers(LABELS, size=(rows, size)))
    scores = (said[..., None] == np.arange(LABELS)).astype(np.float64)
    return np.concatenate([group[..., None], scores], axis=-1), y.astype(np.float64)


def labels_suite() -> dict[str, Points]:
    """Return how pairs with labels y are drawn, by name."""
    even, rare = np.zeros(LABELS), np.array([1.0, 0.0, -2.5])
    return {
        "scores as they should be": _labels(even, 1.0),
        "scores too certain": _labels(even, 4.0),
        "scores too uncertain": _labels(even, 0.2),
        "scores with noise": _labels(even, 2.0, 1.0),
        "a rare class": _labels(rare, 1.0),
        "a rare class, too certain": _labels(rare, 4.0),
        "one class each": _one_hot,
    }
