"""The largest expectation of a function of counts over a family of distributions, enclosed.

Branch and bound over boxes of parameters. Over a box the expectation of a nonnegative function is
at most the sum of its values times the maxima of the outcomes' probabilities; boxes whose limit
is too far above what is attained are halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify.auditing.counts import CountModel, Exact, HypergeometricModel, Weights
from rsverify.auditing.exact.proportion import ROUNDING, SUM_ERROR, WITNESS_SHARE

Payoff = Callable[[FloatArray, FloatArray], FloatArray]
"""From the least and largest estimand of boxes to the largest value of each outcome there."""

GAPS = (0.01, 0.05)  # enclosed to that share, by the number of parameters
BUDGET = 6e8  # probabilities computed before the enclosure ends where it got
CHUNK = 2_000_000  # probabilities held at once
STARTS = (64, 16)  # cells along each parameter at first
SMALLEST = 1e-13  # a cell that is not halved
CURVES, SHARES = 200, 24  # values of the estimand that are tried, and distributions on each
POINTS = 2000  # distributions that are tried, where few values are
LARGEST_PROOF = 10_000  # outcomes of which sums are made exactly
NEAR_ENOUGH = 1e-6  # of an expectation in floats, below what is wanted of the exact one
BESIDE = 1e-12  # of an estimand, how far past a jump


class Enclosed(NamedTuple):
    """The supremum: attained at `point`, and an upper limit."""

    attained: float
    certified: float
    point: FloatArray
    points: FloatArray
    values: FloatArray


def expectation(model: CountModel, points: FloatArray, payoff: Payoff) -> FloatArray:
    """Return the expectation at each of the parameters (C, d)."""
    parts = []
    for some in _chunks(model, len(points)):
        value = model.value(points[some])
        parts.append(_weighted(model.probabilities(points[some]), payoff(value, value)))
    return np.concatenate(parts) if parts else np.zeros(0)


def enclosed(
    model: CountModel, payoff: Payoff, jumps: FloatArray, *, monotone: int = 0, most: float = 1.0
) -> Enclosed:
    """Return the supremum over the model's distributions.

    `jumps`: values of the estimand where the payoff changes. `monotone`: 1 or -1 where the payoff
    does not depend on the estimand and rises or falls with the count. `most`: the largest
    payoff of outcomes that are not enumerated.
    """
    if isinstance(model, HypergeometricModel):
        return _of_all(model, payoff)
    low, _ = model.ends
    ends = [v for v in model.region if math.isfinite(v)]
    points = _candidates(model, np.unique(np.concatenate([jumps, ends])))
    if monotone and model.ordered:
        return _at_an_end(model, payoff, monotone, most)
    values = expectation(model, points, payoff)
    best, attained = _best(points, values)
    gap = GAPS[len(low) - 1]
    a, b = _first_boxes(model)
    certified, work = attained, 0
    while len(a):
        limits, middles, reached = _limits(model, payoff, a, b, most)
        work += len(a) * max(len(model.probabilities(middles[:1])[0]), 1) if len(middles) else 0
        if len(reached) and float(reached.max()) > attained:
            best, attained = middles[int(np.argmax(reached))], float(reached.max())
        stretched = model.stretched(b) - model.stretched(a)
        keep = limits > attained * (1.0 + gap) + 1e-300
        small = stretched.max(axis=1) <= SMALLEST
        done = limits[~keep | small]
        certified = max(certified, float(done.max(initial=0.0)))
        if work > BUDGET:
            certified = max(certified, float(limits.max()))
            break
        a, b = _halved(model, a[keep & ~small], b[keep & ~small])
    certified = max(min(certified, most), attained) * (1.0 + SUM_ERROR)
    return Enclosed(attained, certified, best, points, values)


def _of_all(model: HypergeometricModel, payoff: Payoff) -> Enclosed:
    points = model.all_points
    if not len(points):
        raise ValueError(f"null={model.region} must hold a number of successes")
    values = expectation(model, points, payoff)
    best, attained = _best(points, values)
    return Enclosed(attained, attained * (1.0 + SUM_ERROR), best, points, values)


def _at_an_end(model: CountModel, payoff: Payoff, way: int, most: float) -> Enclosed:
    """Return the supremum of a payoff that rises (1) or falls (-1) with the count."""
    low, high = model.ends
    end = np.clip(model.region[1] if way > 0 else model.region[0], low[0], high[0])
    points = np.array([[end]])
    values = expectation(model, points, payoff)
    beyond = float(_beyond(model, points, most)[0])
    top = float(values[0])
    return Enclosed(top, (top + beyond) * (1.0 + SUM_ERROR), points[0], points, values)


def _best(points: FloatArray, values: FloatArray) -> tuple[FloatArray, float]:
    if not len(points):
        return np.zeros(0), 0.0
    best = int(np.argmax(values))
    return points[best], float(values[best])


def _chunks(model: CountModel, size: int) -> list[slice]:
    low, _ = model.ends
    width = max(len(model.probabilities(low[None])[0]), 1)
    step = max(CHUNK // width, 1)
    return [slice(i, i + step) for i in range(0, size, step)]


def _beyond(model: CountModel, high: FloatArray, most: float) -> FloatArray:
    """Return what outcomes that are not enumerated add at most; nothing, where there are none."""
    unseen = model.unseen(high)
    return np.multiply(most, unseen, out=np.zeros_like(unseen), where=unseen > 0.0)


def _weighted(weights: FloatArray, payoff: FloatArray) -> FloatArray:
    """Return sums over outcomes; an infinite payoff of probability 0 counts nothing."""
    with np.errstate(invalid="ignore"):
        terms = weights * payoff
    return np.asarray(np.where(weights > 0.0, terms, 0.0).sum(axis=1))


def _inside(model: CountModel, points: FloatArray) -> FloatArray:
    """Return the points whose estimand is in the region, up to rounding."""
    value = model.value(points)
    low, high = model.region
    slack = 1e-12 * np.maximum(1.0, np.abs(np.where(np.isfinite(value), value, 0.0)))
    keep: FloatArray = points[(value >= low - slack) & (value <= high + slack)]
    return keep


def _candidates(model: CountModel, jumps: FloatArray) -> FloatArray:
    """Return distributions where the expectation may be largest: beside jumps, and spread."""
    low, high = model.ends
    jumps = jumps[np.isfinite(jumps)]
    jumps = jumps[:: 1 + len(jumps) // CURVES] if len(low) > 1 else jumps
    nudge = BESIDE * np.maximum(1.0, np.abs(jumps)) if len(low) > 1 else np.spacing(jumps)
    beside = np.concatenate([jumps, jumps - nudge, jumps + nudge])
    top = float(model.value(high[None])[0]) if len(low) == 1 else math.inf
    beside = beside[(beside >= model.region[0]) & (beside <= min(model.region[1], top))]
    each = max(SHARES, POINTS // max(len(beside), 1)) if len(low) > 1 else 1
    shares = np.sin(np.linspace(0.0, np.pi / 2.0, each + 2)[1:-1]) ** 2
    v, s = (x.ravel() for x in np.meshgrid(beside, shares))
    parts = [model.at(v, s)] if v.size else []
    a, b = _first_boxes(model)
    parts.append(_middle(model, a, b))
    points = np.concatenate(parts)
    points = points[((points >= low) & (points <= high)).all(axis=1)]
    return _inside(model, points)


def _first_boxes(model: CountModel) -> tuple[FloatArray, FloatArray]:
    low, high = model.ends
    if len(low) == 1 and model.region != (-math.inf, math.inf):
        low = np.maximum(low, model.region[0])
        high = np.minimum(high, model.region[1])
    cells = STARTS[len(low) - 1]
    edges = [
        np.clip(model.narrowed(np.linspace(x, y, cells + 1)), a, b)
        for x, y, a, b in zip(model.stretched(low), model.stretched(high), low, high, strict=True)
    ]
    for edge, x, y in zip(edges, low, high, strict=True):
        edge[0], edge[-1] = x, y  # rounding must leave nothing out
    starts = np.stack(np.meshgrid(*(e[:-1] for e in edges), indexing="ij"), -1)
    stops = np.stack(np.meshgrid(*(e[1:] for e in edges), indexing="ij"), -1)
    return starts.reshape(-1, len(low)), stops.reshape(-1, len(low))


def _middle(model: CountModel, a: FloatArray, b: FloatArray) -> FloatArray:
    middle = model.narrowed(0.5 * (model.stretched(a) + model.stretched(b)))
    return np.clip(middle, a, b)


def _limits(
    model: CountModel, payoff: Payoff, a: FloatArray, b: FloatArray, most: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the limit of each box, points of the region in boxes, and their expectations."""
    limits = np.zeros(len(a))
    for some in _chunks(model, len(a)):
        low, high = a[some], b[some]
        least, largest = model.span(low, high)
        slack = 1e-12 * np.maximum(1.0, np.abs(np.where(np.isfinite(least), least, 0.0)))
        holds = (largest >= model.region[0] - slack) & (least <= model.region[1] + slack)
        if not holds.any():
            continue
        low, high = low[holds], high[holds]
        value = _weighted(model.largest(low, high), payoff(least[holds], largest[holds]))
        part = limits[some]
        part[holds] = value + _beyond(model, high, most)
    points = _inside(model, _middle(model, a[limits > 0.0], b[limits > 0.0]))
    return limits, points, expectation(model, points, payoff)


def _halved(model: CountModel, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the halves of boxes, cut along the longest side."""
    if not len(a):
        return a, b
    longest = np.argmax(model.stretched(b) - model.stretched(a), axis=1)
    rows = np.arange(len(a))
    middle = _middle(model, a, b)[rows, longest]
    upper, lower = a.copy(), b.copy()
    upper[rows, longest], lower[rows, longest] = middle, middle
    return np.concatenate([a, upper]), np.concatenate([lower, b])


class Proof(NamedTuple):
    """A distribution with few digits, and the expectation there in rational arithmetic."""

    point: Exact
    value: Fraction
    expectation: Fraction


def proved(
    model: CountModel,
    found: Enclosed,
    payoff: Callable[[Fraction], FloatArray],
    level: float,
) -> Proof | None:
    """Return a proof of an expectation near the attained one, above `level` if that is.

    `payoff` gives the payoff of each outcome for an estimand, which it compares exactly.
    """
    if len(model.outcomes) > LARGEST_PROOF:
        return None
    excess = found.attained > level * (1.0 + ROUNDING)
    wanted = WITNESS_SHARE * found.attained
    enough = level * (1.0 + ROUNDING) if excess else wanted
    best: Proof | None = None
    low, high = model.region
    for digits in range(1, 16):
        for point in model.near(found.point, digits, model.region):
            if _by_floats(model, point, payoff) <= enough * (1.0 - NEAR_ENOUGH):
                continue
            known = model.exactly(point)
            if known is None or not low <= known[0] <= high:
                continue
            total = _exact_sum(known[1], payoff(known[0]))
            if total > enough and (best is None or total > best.expectation):
                best = Proof(point, known[0], total)
        if best is not None and best.expectation > wanted:
            break
    return best


def _by_floats(model: CountModel, point: Exact, payoff: Callable[[Fraction], FloatArray]) -> float:
    """Return the expectation at a point in floats, by which few points need exact sums."""
    floats = np.array([[float(x) for x in point]])
    value = float(model.value(floats)[0])
    if not math.isfinite(value):
        return 0.0
    return float(_weighted(model.probabilities(floats), payoff(Fraction(value))[None])[0])


def _exact_sum(weights: Weights, payoff: FloatArray) -> Fraction:
    """Return the sum of weights times finite payoffs, exactly."""
    ratios = [(i, *float(payoff[i]).as_integer_ratio()) for i in np.flatnonzero(payoff)]
    scale = max((below for _, _, below in ratios), default=1)  # each is a power of two
    total = sum(weights.above[i] * above * (scale // below) for i, above, below in ratios)
    return Fraction(total, weights.below * scale)


def missed_in_words(outcomes: IntArray, missed: IntArray) -> str:
    """Return outcomes that fail to cover, as text."""
    shown = ", ".join(str(tuple(map(int, outcomes[i]))) for i in missed[:6])
    more = ", ..." if len(missed) > 6 else ""
    return f"{len(missed)} of {len(outcomes)} outcomes: {shown}{more}"
