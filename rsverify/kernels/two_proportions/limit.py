"""Lower limits of a difference, ratio or odds ratio: the largest c proved to keep P(S) small.

With S the staircase of the observed outcome, the limit is

    inf{ c : sup P(S) over g(p1, p2) = c, p1 >= a(x1), p2 <= b(x2) exceeds (1 - 2 SHARE) alpha },

a and b the Clopper-Pearson limits of level `SHARE` alpha (docs/theory-two-proportions.md). For the
ordering "bonferroni" it is Buehler's limit: a = 0, b = 1, and alpha itself. Bonferroni's limit B(x)
is a floor. Below it c is rejected because B(x) > c, so that from there on the probability that must
be small is that of S or B > c. As a rule nothing joins S where it matters, and the limit is the one
above; it cannot be lower than B(x).

The search is not trusted. A scan of the curve finds the peaks of P(S), and a bracketed secant
method the c at which the highest is alpha. Only a c at which `proves_at_most` succeeds is returned,
about `SLACK` below. A peak that the scan missed comes back as a witness; then the scan is finer.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_lower, clopper_pearson_upper
from rsverify.kernels.special import norm_isf
from rsverify.kernels.two_proportions.curve import (
    DIFFERENCE,
    LARGEST_LOG,
    curve_piece,
    value_of_limit,
)
from rsverify.kernels.two_proportions.ordering import (
    LIKELIHOOD_RATIO,
    bonferroni_key,
    bonferroni_value,
    extend_by_bonferroni,
    ordering_key,
    ordering_steps,
)
from rsverify.kernels.two_proportions.supremum import (
    fisher_scale,
    proves_at_most,
    value_and_slope,
)

SLACK = 1e-10
SHARE = 2e-11  # of alpha, spent on each of the two limits that make the supremum local
NEGLECT = 1e-13  # share of alpha that rows left out may hold
SPACING = 0.8  # Fisher length between scanned points
NEAR = 1e-12  # of log P(S), at which a search ends
CLOSE = 0.5  # share of the best value above which a scanned peak is refined
TRIES = 24
MOST_PIECES = 200  # of the way from Bonferroni's limit up


@njit
def refine_peak(
    steps: IntArray, n1: int, n2: int, estimand: int, limit: float, neglect: float,
    a: float, slope_a: float, b: float, slope_b: float,
) -> float:  # fmt: skip
    """Return the largest value found between a and b, where the slope is positive and negative."""
    best = 0.0
    side = 0
    for turn in range(60):
        u = (a * slope_b - b * slope_a) / (slope_b - slope_a) if turn % 6 < 5 else 0.5 * (a + b)
        if not a < u < b:
            break
        value, slope = value_and_slope(steps, n1, n2, estimand, limit, u, neglect)
        gain = abs(slope) * (b - a)
        best = max(best, value)
        if gain <= 1e-14 * value:
            break
        if slope > 0.0:
            a, slope_a = u, slope
            slope_b *= 0.5 if side == 1 else 1.0
            side = 1
        else:
            b, slope_b = u, slope
            slope_a *= 0.5 if side == -1 else 1.0
            side = -1
    return best


@njit
def highest_peak(
    steps: IntArray, n1: int, n2: int, estimand: int, limit: float, alpha: float,
    least: float, most: float, spacing: float,
) -> float:  # fmt: skip
    """Return the largest P(S) found on a piece by a scan, refined; 0 where the piece is empty."""
    neglect = NEGLECT * alpha
    low, high = curve_piece(estimand, limit, n1, n2, alpha, least, most)
    if low > high:
        return 0.0
    best = 0.0
    before, before_slope, before_value = low, 0.0, 0.0
    u = low
    started = False
    while True:
        value, slope = value_and_slope(steps, n1, n2, estimand, limit, u, neglect)
        best = max(best, value)
        if started and before_slope > 0.0 > slope and max(value, before_value) > CLOSE * best:
            best = max(
                best,
                refine_peak(
                    steps, n1, n2, estimand, limit, neglect, before, before_slope, u, slope
                ),
            )
        if u >= high:
            return best
        before, before_slope, before_value, started = u, slope, value, True
        u = min(high, u + spacing * fisher_scale(estimand, limit, n1, n2, u))


@njit
def find_limit(
    steps: IntArray, n1: int, n2: int, estimand: int, alpha: float, least: float, most: float,
    start: float, above: float, spacing: float,
) -> float:  # fmt: skip
    """Return about the limit below `above` at which the highest peak is alpha, unproved."""
    lowest = -1.0 if estimand == DIFFERENCE else -LARGEST_LOG
    goal = norm_isf(alpha)
    low, high = lowest, above
    excess_low = excess_high = math.nan
    limit = min(start, above)
    unit = (1.0 if estimand == DIFFERENCE else 4.0) / math.sqrt(min(n1, n2))
    side = 0
    for _ in range(100):
        peak = highest_peak(steps, n1, n2, estimand, limit, alpha, least, most, spacing)
        # The normal quantile is nearly linear in the limit.
        excess = goal - norm_isf(min(max(peak, 1e-300), 1.0 - 1e-16))
        if abs(excess) * max(1.0, goal) <= NEAR:
            return limit
        if excess > 0.0:
            if side == 1 and not math.isnan(excess_low):
                excess_low *= 0.5
            high, excess_high, side = limit, excess, 1
        else:
            if side == -1 and not math.isnan(excess_high):
                excess_high *= 0.5
            low, excess_low, side = limit, excess, -1
        if math.isnan(excess_low):
            new = max(high - unit, 0.5 * (high + low))
            unit *= 2.0
        elif math.isnan(excess_high):
            new = min(low + unit, 0.5 * (high + low))
            unit *= 2.0
        else:
            new = (low * excess_high - high * excess_low) / (excess_high - excess_low)
        if high - low <= 0.01 * SLACK or not low < new < high:
            return low
        limit = new
    return low


@njit
def disc_radius(alpha: float) -> float:
    """Return the Fisher radius of discs at which M / r^2 is about smallest, at a tail of alpha."""
    z = max(norm_isf(alpha), 0.0)
    return 4.0 / (z + math.sqrt(z * z + 8.0))


@njit
def proved_limit(
    steps: IntArray, n1: int, n2: int, estimand: int, alpha: float, least: float, most: float,
    start: float,
) -> float:  # fmt: skip
    """Return a limit at which P(S) is proved to be at most alpha on the piece; -1 or -inf if none.

    `start` is a first guess.
    """
    lowest = -1.0 if estimand == DIFFERENCE else -LARGEST_LOG
    above = 1.0 if estimand == DIFFERENCE else LARGEST_LOG
    radius = disc_radius(alpha)
    slack, spacing = SLACK, SPACING
    limit = start
    searched = False
    for _ in range(TRIES):
        if not searched:
            limit = find_limit(steps, n1, n2, estimand, alpha, least, most, limit, above, spacing)
            searched = True
        trial = limit - slack
        if trial <= lowest:
            break
        proved, place = proves_at_most(
            steps, n1, n2, estimand, trial, alpha, least, most, radius, NEGLECT * alpha
        )
        if proved:
            return trial
        if math.isnan(place) or spacing < 0.01:
            slack *= 4.0
        else:  # a peak between the points of the scan
            above, limit, spacing, searched = trial, trial, 0.4 * spacing, False
    return -1.0 if estimand == DIFFERENCE else -math.inf


@njit
def proved_from_floor(
    steps: IntArray, n1: int, n2: int, estimand: int, level: float, least: float, most: float,
    alpha: float, floor: float, limit: float, wider: IntArray,
) -> float:  # fmt: skip
    """Return the largest c up to `limit` for which the union with Bonferroni's set is proved.

    For every c between `floor`, Bonferroni's limit of the outcome, and the result, the probability
    of S or a Bonferroni limit above c is at most `level`. `wider` is working space for the union.
    """
    proved = floor
    step = limit - floor
    for _ in range(MOST_PIECES):
        wider[:] = steps
        extend_by_bonferroni(estimand, n1, n2, alpha, proved, wider)
        if (wider == steps).all():
            return limit  # no outcome joins from here on
        step = min(0.5 * (limit - floor), limit - proved, step)
        while step > SLACK:
            done, _ = proves_at_most(
                wider, n1, n2, estimand, proved + step, level, least, most,
                disc_radius(alpha), NEGLECT * alpha,
            )  # fmt: skip
            if done:
                break
            step *= 0.5
        else:
            return proved
        proved += step
        if proved >= limit:
            return limit
        step *= 2.0
    return proved


@njit
def lower_limit(
    estimand: int, ordering: int, x1: int, x2: int, n1: int, n2: int, alpha: float,
    steps: IntArray, wider: IntArray,
) -> float:  # fmt: skip
    """Return the lower limit of an outcome; `steps` and `wider` are space for n2 + 1 rows."""
    key = ordering_key(estimand, ordering, x1, x2, n1, n2, alpha)
    nothing = -1.0 if estimand == DIFFERENCE else 0.0
    if key <= (-1.0 if estimand == DIFFERENCE else -math.inf):
        return nothing
    ordering_steps(estimand, ordering, n1, n2, alpha, key, steps)
    steps[x2] = min(steps[x2], x1)
    for j in range(x2 - 1, -1, -1):
        steps[j] = min(steps[j], steps[j + 1])
    least, most, level = 0.0, 1.0, alpha
    if ordering == LIKELIHOOD_RATIO:
        share = min(SHARE, alpha / 16.0)
        least = clopper_pearson_lower(x1, n1, share * alpha)
        most = clopper_pearson_upper(x2, n2, share * alpha)
        level = alpha * (1.0 - 3.0 * share)  # a third one for the rounding of the other two
    limit = proved_limit(steps, n1, n2, estimand, level, least, most, key)
    floor = bonferroni_key(estimand, x1, x2, n1, n2, alpha)
    if limit > floor:
        limit = proved_from_floor(
            steps, n1, n2, estimand, level, least, most, alpha, floor, limit, wider
        )
    value = max(nothing, value_of_limit(estimand, limit))
    return max(value, bonferroni_value(estimand, x1, x2, n1, n2, alpha))


@njit
def lower_rows(
    x1: IntArray, n1: IntArray, x2: IntArray, n2: IntArray, alpha: FloatArray,
    estimand: int, ordering: int, out: FloatArray,
) -> None:  # fmt: skip
    """Fill `out` with the lower limits."""
    rows = np.empty((2, 1), np.int64)
    for i in range(out.size):
        if rows.shape[1] <= n2[i]:
            rows = np.empty((2, n2[i] + 1), np.int64)
        steps, wider = rows[0, : n2[i] + 1], rows[1, : n2[i] + 1]
        out[i] = lower_limit(estimand, ordering, x1[i], x2[i], n1[i], n2[i], alpha[i], steps, wider)
