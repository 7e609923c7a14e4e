"""Exact coverage of bounds of a proportion, by summing the sample space.

P_p(non-coverage) changes its set of outcomes that fail to cover only at the values that the bound
takes. Between two of them it is a polynomial in p; for a bound that rises with the count it is
largest at the next value - 0. `attained` is a miscoverage at a p that can be checked by hand,
`certified` an upper limit of the miscoverage at every p.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, gammaln, xlog1py, xlogy

from rsverify._core.check import FloatArray, IntArray
from rsverify.auditing.estimand import Data
from rsverify.auditing.verdict import Witness

LARGEST_PROPORTION_N = 100_000
LARGEST_RATIONAL_N = 2_000  # beyond it the witness's probability is a float sum
ROUNDING = 1e-6
"""An excess of less than this share of alpha is attributed to rounding, not to the bound."""
SUM_ERROR = 1e-9
"""Relative error allowed for a floating-point sum of probabilities in `certified`."""
WITNESS_SHARE = 0.995  # of the worst miscoverage that a witness with few digits must keep
CANDIDATES = 4_000  # points tried for a bound that is not monotone
CELLS = 400_000  # points at which an enclosure gives up


class Place(NamedTuple):
    """A distribution, in full precision, and the true value there."""

    parameters: dict[str, str]
    truth: float


@dataclass(frozen=True)
class Worst:
    """The largest miscoverage: attained at `place`, and an upper limit over all distributions.

    The witness is near it, with few decimals, and has its own miscoverage.
    """

    attained: float
    certified: float
    place: Place
    witness: Witness
    monotone: bool
    points: FloatArray  # distributions at which the miscoverage was evaluated, for figures
    values: FloatArray
    exchanged: bool = False
    """Whether the runner-up there is the last of three classes."""


def runs(outcomes: IntArray) -> str:
    """Return sorted integers as text: ``0-3, 7``."""
    if outcomes.size == 0:
        return "none"
    breaks = np.flatnonzero(np.diff(outcomes) > 1)
    starts = np.concatenate([outcomes[:1], outcomes[breaks + 1]])
    ends = np.concatenate([outcomes[breaks], outcomes[-1:]])
    parts = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join(parts if len(parts) <= 12 else [*parts[:12], "..."])


def _envelopes(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the least monotone limits that fail to cover wherever the given ones do."""
    return np.maximum.accumulate(lower), np.minimum.accumulate(upper[::-1])[::-1]


def _tail_misses(
    low: FloatArray, high: FloatArray, p_low: FloatArray, p_high: FloatArray
) -> FloatArray:
    """Return P(lower fails to cover) at `p_high` plus P(upper fails to cover) at `p_low`.

    `low` and `high` are nondecreasing; the outcomes are those that fail to cover at some p in
    between. Both tails are monotone in p, so the sum is at least the miscoverage anywhere in
    between.
    """
    n = low.size - 1
    first = np.searchsorted(low, p_low, side="right")  # the outcomes with low > p_low
    last = np.searchsorted(high, p_high, side="left") - 1  # the outcomes with high < p_high
    return _two_tails(first, last, n, p_low, p_high)


def _two_tails(
    first: IntArray, last: Data, n: int, p_low: FloatArray, p_high: FloatArray
) -> FloatArray:
    """Return P(X >= `first`) at `p_high` plus P(X <= `last`) at `p_low`, at most 1."""
    # The incomplete beta function itself is thirty times faster than scipy.stats.binom.
    above = betainc(np.maximum(first, 1), np.maximum(n - first + 1, 1), p_high)
    above = np.where(first > n, 0.0, np.where(first == 0, 1.0, above))
    below = betaincc(np.maximum(last + 1, 1), np.maximum(n - last, 1), p_low)
    below = np.where(last < 0, 0.0, np.where(last >= n, 1.0, below))
    value: FloatArray = np.minimum(above + below, 1.0)
    return value


def _certify(low: FloatArray, high: FloatArray, attained: float) -> float:
    """Return an upper limit of the miscoverage over all p, for monotone limits.

    Between two jumps the outcomes that fail to cover are fixed, and the corner value of
    `_tail_misses` is a limit; intervals whose limit is too far above `attained` are halved.
    """
    jumps = np.concatenate([low, high])
    cuts = np.unique(np.concatenate([[0.0, 1.0], jumps[(jumps > 0) & (jumps < 1)]]))
    # Inside (a, b) no limit jumps: low > p means low > a there, and high < p means high < b.
    # At a cut itself fewer outcomes fail to cover than on one of its sides.
    a, b = cuts[:-1], cuts[1:]
    first = np.searchsorted(low, a, side="right")
    last = np.searchsorted(high, b, side="left") - 1
    n = low.size - 1
    goal = attained * (1.0 + 1e-3) + 1e-300
    certified, cells = attained, 0
    while a.size:
        limit = _two_tails(first, last, n, a, b)
        cells += a.size
        keep = (limit > goal) & (b - a > 1e-15)
        done = limit[~keep]
        certified = max(certified, float(done.max(initial=0.0)))
        if cells > CELLS:
            return max(certified, float(limit.max())) * (1 + SUM_ERROR)
        a, b, first, last = a[keep], b[keep], first[keep], last[keep]
        m = a + (b - a) / 2
        a, b = np.concatenate([a, m]), np.concatenate([m, b])
        first, last = np.concatenate([first, first]), np.concatenate([last, last])
    return min(certified * (1 + SUM_ERROR), 1.0)


def _candidates(lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return the p at which the miscoverage may be largest: jumps from both sides, edges."""
    n = lower.size - 1
    below, above = (np.unique(v[(v >= 0) & (v <= 1)]) for v in (lower, upper))
    # Just inside the jumps, where the outcome that jumps still fails to cover.
    spread = (np.arange(min(n, CANDIDATES)) + 0.5) / min(n, CANDIDATES)
    points = [np.array([0.0, 1.0]), spread, np.nextafter(below, 0.0), np.nextafter(above, 1.0)]
    return np.unique(np.concatenate(points))


def outcome_probability(outcomes: IntArray, n: int, p: float) -> float:
    """Return P(X in `outcomes`) for X binomial (n, p), as a sum of floats."""
    # scipy.stats.binom.pmf overflows at p near the smallest floats.
    ways = gammaln(n + 1.0) - gammaln(outcomes + 1.0) - gammaln(n - outcomes + 1.0)
    terms = np.exp(ways + xlogy(outcomes, p) + xlog1py(n - outcomes, -p))
    return min(float(terms.sum()), 1.0)


def _dense(lower: FloatArray, upper: FloatArray, points: FloatArray) -> FloatArray:
    """Return the miscoverage at each point, outcome by outcome."""
    k = np.arange(lower.size)
    values = np.empty(points.size)
    for i, p in enumerate(points):
        missed = (lower > p) | (upper < p)
        values[i] = outcome_probability(k[missed], int(k[-1]), p)
    return values


def miscoverage_at(lower: FloatArray, upper: FloatArray, points: FloatArray) -> FloatArray:
    """Return P(non-coverage) at each p of `points`, of limits given for every count 0..n."""
    low, high = _envelopes(lower, upper)
    if (low == lower).all() and (high == upper).all():
        return _tail_misses(low, high, points, points)
    return _dense(lower, upper, points)


def proportion_worst(lower: FloatArray, upper: FloatArray, level: float) -> Worst:
    """Return the worst miscoverage of limits given for every count 0..n.

    The witness is chosen to show a miscoverage above `level` if there is one.
    `lower` and `upper` hold one limit per count; a side that is not claimed is -inf or inf, an
    outcome on which the bound failed has lower = inf, upper = -inf.
    """
    n = lower.size - 1
    low, high = _envelopes(lower, upper)
    monotone = bool((low == lower).all() and (high == upper).all())
    points = _candidates(lower, upper)
    if not monotone and points.size * (n + 1) > 2e7:
        points = points[:: 1 + int(points.size * (n + 1) // 2e7)]
    values = miscoverage_at(lower, upper, points)
    best = int(np.argmax(values))
    attained = float(values[best])
    # The witness shows the excess over `level`, but may lose a little otherwise.
    excess = attained > level * (1.0 + ROUNDING)
    wanted = max(WITNESS_SHARE * attained, level * (1.0 + ROUNDING) if excess else 0.0)
    p = float(points[best])
    witness = _witness(lower, upper, p, attained, wanted)
    if witness.probability > attained:
        attained, p = witness.probability, witness.truth
    certified = _certify(low, high, attained)
    place = Place({"p": repr(p)}, p)
    return Worst(attained, certified, place, witness, monotone, points, values)


def _witness(
    lower: FloatArray, upper: FloatArray, p: float, value: float, wanted: float
) -> Witness:
    """Return a witness near `p` of probability over `wanted`, with few decimals if they do."""
    k = np.arange(lower.size)
    n = lower.size - 1
    for digits in range(1, 15):
        scale = 10**digits
        for q in (Fraction(int(p * scale), scale), Fraction(int(p * scale) + 1, scale)):
            missed = k[above(lower, q) | above(-upper, -q)]
            if q <= 1 and outcome_probability(missed, n, float(q)) > wanted:
                return _proved(missed, n, q)
    missed = k[(lower > p) | (upper < p)]
    return Witness({"p": repr(p)}, p, f"k = {runs(missed)} of n = {n}", value, False)


def above(limits: FloatArray, truth: Fraction) -> npt.NDArray[np.bool_]:
    """Return where float `limits` are above `truth`, compared exactly."""
    rounded = float(truth)
    tie = limits == rounded  # the only case in which rounding the truth could matter
    larger: npt.NDArray[np.bool_] = (limits > rounded) | (tie & (Fraction(rounded) > truth))
    return larger


def _proved(missed: IntArray, n: int, q: Fraction) -> Witness:
    rational = n <= LARGEST_RATIONAL_N
    if rational:
        probability = float(rational_tail(missed.tolist(), n, q))
    else:
        probability = outcome_probability(missed, n, float(q))
    shown = {"p": f"{float(q):.12g}"}
    return Witness(shown, float(q), f"k = {runs(missed)} of n = {n}", probability, rational)


def rational_tail(outcomes: list[int], n: int, p: Fraction) -> Fraction:
    """Return P(X in `outcomes`) for X binomial (n, p), exactly."""
    a, d = p.numerator, p.denominator
    total, choose = 0, 1
    wanted = set(outcomes)
    ups, downs = [1], [1]
    for _ in range(n):
        ups.append(ups[-1] * a)
        downs.append(downs[-1] * (d - a))
    for k in range(n + 1):
        if k in wanted:
            total += choose * ups[k] * downs[n - k]
        choose = choose * (n - k) // (k + 1)
    return Fraction(total, d**n)
