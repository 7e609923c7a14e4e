"""Lower limits of a margin: the largest L proved to keep the tail at most alpha.

Buehler's limit of the staircase S = {x1 >= steps[x2]} is

    inf{ L : sup_{g(q) = L} P_q(S) > alpha }.

The default limit takes the supremum over the q that the observed votes (x1, x2) leave in
question,

    inf{ L : sup_{g(q) = L, q1 >= a(x1), q2 <= b(x2)} P_q(S) > (1 - 2 c) alpha },

a and b the Clopper-Pearson limits of level c alpha, c = `SHARE` (docs/theory.md, "A local
supremum"). It is as monotone and as valid, and larger.

The search is not trusted. It scans the curve for peaks of the tail, follows them while a
secant method moves L to where the highest peak meets alpha, and hands an L just below that
to `supremum.proves_at_most`. A peak that was missed comes back as a witness, joins the
others and lowers L. Only a proved L is returned, so the result never exceeds the limit; it is
below it by about ``SLACK``.

Of the default ordering's staircase only the rows are built that matter (`staircase.window_steps`),
and the proof includes that the others do not.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_lower, clopper_pearson_upper
from rsverify.kernels.margin.curve import advance, corner_tail, curve_piece, fisher_length, tail_at
from rsverify.kernels.margin.floor import rises_to_the_end
from rsverify.kernels.margin.formulas import DIFFERENCE, bonferroni_limit, cohen_limit
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.quantiles import curve_kink
from rsverify.kernels.margin.staircase import (
    LARGEST_ALPHA,
    additive_steps,
    default_key,
    default_steps,
    window_steps,
)
from rsverify.kernels.margin.supremum import ROWS_MISSING, proves_at_most
from rsverify.kernels.margin.trinomial import WORK_ROWS, staircase_tail, staircase_tails
from rsverify.kernels.special import norm_isf

SLACK = 1e-10
SHARE = 2e-11  # of alpha, spent on each of the two limits that make the supremum local
NEGLECT = 1e-12  # share of alpha that a tail's window may leave out
SPACING = 1.25  # Fisher length between scanned points; the tail's natural unit is 1
LANES = 4  # scanned points that share a walk over the rows
UNEVEN = 3.0  # largest ratio of the Fisher lengths of a stretch's halves
SKIP_BELOW = 0.02  # a stretch whose tail is below this share of the best peak is skipped
PEAKS = 6
SCANS = 100
WITNESSES = 30  # times that L is lowered by a missed peak before the slack grows instead
LOWEST_PROBIT = -80.0
FIRST_HALF, LEAST_HALF = (
    0.4,
    0.004,
)  # shares of a scanned cell at which a peak's sides are looked at
CLIMBS = 40  # at most, at one L
NEAR = 1e-6  # error of the logarithm of a tail read off a parabola
LEAST_BESIDE_KINK = 1e-3  # times the least width of a peak that holds a kink
FLOOR_RESOLUTION = 1e-9
WIDENINGS = 3  # times that more rows are built before all of them are


@njit
def climb(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    neglect: float,
    peak: FloatArray,
    work: FloatArray,
) -> float:
    """Move `peak` up the tail by one parabola; return the logarithm of its value.

    The parabola goes through three logarithms of the tail. Where its top is not between them
    the highest takes the middle; else the half-width shrinks, so that a few calls find a maximum.
    `peak` holds its place, infinite for an end of the piece, the half-width, its value, the least
    half-width, whether it is settled, and how many moves there were in a row.
    """
    points, values = work[:3], work[3]
    half = min(peak[1], 0.5 * (high - low))
    u = min(max(peak[0], low + half), high - half)
    # Beside a kink of the curve a parabola is off by the square of its width.
    beside = abs(u - curve_kink(estimand, limit)) <= 2.0 * half
    least = peak[3] * (LEAST_BESIDE_KINK if beside else 1.0)
    for i in range(3):
        points[0, i], points[1, i], points[2, i] = curve_point(
            estimand, limit, min(max(u + (i - 1) * half, low), high)
        )
    staircase_tails(steps, first, last, n, points, 3, neglect, work[4:], values)
    at = 0
    for i in range(1, 3):
        if values[i] > values[at]:
            at = i
    best = values[at]
    end = u + (at - 1) * half
    # A maximum at an end of the piece stays there when the piece moves with L.
    end = -math.inf if end <= low else math.inf if end >= high else end
    if min(values[0], values[1], values[2]) <= 0.0:
        peak[0], peak[2], peak[4] = end, best, 1.0
        return math.log(best) if best > 0.0 else -math.inf
    left, middle, right = math.log(values[0]), math.log(values[1]), math.log(values[2])
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0.0 else math.inf
    log_best = max(left, middle, right)
    if abs(shift) <= 1.0:
        if half <= 3.0 * least:
            log_best = max(log_best, middle - 0.25 * (left - right) * shift)
        peak[0] = u + shift * half
        peak[1] = max(half * min(max(0.1, abs(shift)), 0.5), least)
        peak[5] = 0.0
    elif not math.isfinite(end):
        # At an end, unless a closer look finds a maximum beside it.
        peak[0] = end
        peak[1] = max(0.1 * half, least)
        peak[5] = 0.0
    else:
        peak[0] = end
        peak[5] += 1.0
        if peak[5] > 2.0:  # far away: in longer steps
            peak[1] = 2.0 * half
    peak[2] = math.exp(log_best)
    # Beside an end of the piece the middle cannot come closer to the top.
    held = u <= low + 1.5 * half or u >= high - 1.5 * half
    settled = abs(shift) <= (1.0 if held else 0.3) or not math.isfinite(peak[0])
    peak[4] = 1.0 if settled and half <= 3.0 * least else 0.0
    return log_best


@njit
def highest_peak(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    neglect: float,
    peaks: FloatArray,
    found: int,
    work: FloatArray,
) -> tuple[float, float, bool]:
    """Climb every peak; return the highest one's logarithm, its place and whether it is settled."""
    highest, where, settled = -math.inf, low, False
    for i in range(found):
        value = climb(
            steps, first, last, n, estimand, limit, low, high, neglect, peaks[i], work
        )  # fmt: skip
        if value > highest:
            highest, where = value, min(max(peaks[i, 0], low), high)
            settled = peaks[i, 4] > 0.0
    return highest, where, settled


@njit
def scan_peaks(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    limit: float,
    low: float,
    high: float,
    alpha: float,
    peaks: FloatArray,
    work: FloatArray,
) -> int:
    """Fill rows of `peaks` with (place, half-width, value, ...) of local maxima; return how many.

    The piece is walked from low to high u in stretches of `LANES` points `SPACING` apart;
    longer stretches whose corner tail is negligible are skipped.
    """
    neglect = NEGLECT * alpha
    points, values = work[:3], work[3]
    found = 0
    best = 0.0
    before = now = -1.0  # the last two values on the way
    now_place = now_width = 0.0
    least = LANES * SPACING
    reach = least
    a = low
    width = high - low
    while a < high:
        b = advance(estimand, limit, n, a, high, reach, width)
        width = b - a
        if not width > 0.0:
            break
        if reach > least:
            corner = corner_tail(steps, first, last, n, estimand, limit, a, b, neglect)
            if corner < SKIP_BELOW * max(best, 1e-3 * alpha):
                reach = min(16.0 * least, 2.0 * reach)
                a = b
            else:
                reach = max(least, 0.25 * reach)
            continue
        # Even steps of u are to be fairly even steps of Fisher length.
        middle = 0.5 * (a + b)
        part = fisher_length(estimand, limit, n, a, middle)
        other = fisher_length(estimand, limit, n, middle, b)
        if max(part, other) > UNEVEN * min(part, other) and part + other > SPACING:
            b = middle
            width = b - a
        highest = 0.0
        for i in range(LANES):
            u = a + (i + 0.5) * width / LANES
            points[0, i], points[1, i], points[2, i] = curve_point(estimand, limit, u)
        staircase_tails(steps, first, last, n, points, LANES, neglect, work[4:], values)
        for i in range(LANES):
            if now > before and now >= values[i]:
                found = keep_peak(peaks, found, now_place, max(now_width, width / LANES), now)
            before, now = now, values[i]
            now_place, now_width = a + (i + 0.5) * width / LANES, width / LANES
            highest = max(highest, now)
        best = max(best, highest)
        if highest < SKIP_BELOW * max(best, 1e-3 * alpha):
            reach = 4.0 * least
        a = b
    if now > before:
        found = keep_peak(peaks, found, now_place, now_width, now)
    # The ends are highest where the tail rises all the way; a peak may move there with L.
    width = min(now_width, high - low)
    points[0, 0], points[1, 0], points[2, 0] = curve_point(estimand, limit, low)
    points[0, 1], points[1, 1], points[2, 1] = curve_point(estimand, limit, high)
    staircase_tails(steps, first, last, n, points, 2, neglect, work[4:], values)
    found = keep_peak(peaks, found, -math.inf, width, values[0])
    return keep_peak(peaks, found, math.inf, width, values[1])


@njit
def keep_peak(peaks: FloatArray, found: int, place: float, width: float, value: float) -> int:
    """Insert a peak, dropping the lowest where there is no room; return how many there are."""
    if found < peaks.shape[0]:
        spot = found
        found += 1
    else:
        spot = 0
        for i in range(1, found):
            if peaks[i, 2] < peaks[spot, 2]:
                spot = i
        if peaks[spot, 2] >= value:
            return found
    peaks[spot, 0], peaks[spot, 1], peaks[spot, 2] = place, FIRST_HALF * width, value
    peaks[spot, 3], peaks[spot, 4], peaks[spot, 5] = LEAST_HALF * width, 0.0, 0.0
    return found


@njit
def keep_high_peaks(peaks: FloatArray, found: int, share: float) -> int:
    """Move the peaks of at least a share of the highest one to the front; return how many.

    A lower peak that overtakes the others on the way is found by the proof.
    """
    best = 0.0
    for i in range(found):
        best = max(best, peaks[i, 2])
    kept = 0
    for i in range(found):
        if peaks[i, 2] >= share * best:
            for j in range(6):
                peaks[kept, j] = peaks[i, j]
            kept += 1
    return kept


@njit
def solve_limit(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    alpha: float,
    least: float,
    most: float,
    start: float,
    far: float,
    peaks: FloatArray,
    found: int,
    work: FloatArray,
) -> tuple[float, float, float]:
    """Return the L at which the highest peak equals alpha, d log tail / dL, and the peak's place.

    The highest peak rises with L. Secant steps on its logarithm, kept in a bracket. Where they
    lead further than `far` from `start`, the slope returned is NaN: peaks must be looked for anew.
    """
    lower = -1.0 if estimand == DIFFERENCE else LOWEST_PROBIT
    upper = 1.0 if estimand == DIFFERENCE else -LOWEST_PROBIT
    neglect = NEGLECT * alpha
    goal = math.log(alpha)
    limit = start
    slope = 0.0
    place = math.nan
    last_limit = last_log = math.nan
    still = 0
    for turn in range(100):
        low, high = curve_piece(estimand, limit, n, alpha, least, most)
        log_value, settled = -math.inf, True
        if low <= high:
            for _ in range(CLIMBS):
                log_value, place, settled = highest_peak(
                    steps, first, last, n, estimand, limit, low, high, neglect, peaks, found, work
                )  # fmt: skip
                if settled:
                    break
        # What is read off a parabola can be a little off the peak.
        if log_value > goal + NEAR:
            upper = limit
        elif log_value < goal - NEAR:
            lower = limit
        if math.isfinite(log_value):
            if turn == 0 or not slope > 0.0:
                h = 1e-3 / math.sqrt(n)
                if estimand == DIFFERENCE:
                    h = min(h, 1e-3 * (1.0 + limit))
                low, high = curve_piece(estimand, limit - h, n, alpha, least, most)
                near = tail_at(
                    steps, first, last, n, estimand, limit - h, min(place, high), neglect
                )
                slope = (log_value - math.log(near)) / h if near > 0.0 else 0.0
            elif (settled or turn > 4) and abs(log_value - last_log) > NEAR:
                slope = (log_value - last_log) / (limit - last_limit)
            if settled or turn > 4:
                last_limit, last_log = limit, log_value
        new = limit - (log_value - goal) / slope if slope > 0.0 else math.nan
        if not lower < new < upper:
            new = 0.5 * (lower + upper)
        if abs(new - start) > far:
            return start + math.copysign(far, new - start), math.nan, place
        still = still + 1 if abs(new - limit) <= 0.02 * SLACK else 0
        if (settled and still > 0) or still > 2 or not lower < new < upper:
            return new, slope, place
        for i in range(found):
            peaks[i, 1] = min(max(abs(new - limit), peaks[i, 3]), 200.0 * peaks[i, 3])
        limit = new
    return limit, slope, place


@njit
def find_limit(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    alpha: float,
    least: float,
    most: float,
    start: float,
    above: float,
    witnesses: FloatArray,
    work: FloatArray,
) -> tuple[float, float, float]:
    """Return the L below `above` whose highest tail is alpha, d log tail / dL, and its place.

    A search from `start`: nothing is proved. `witnesses` are places that must be looked at.
    """
    neglect = NEGLECT * alpha
    peaks = np.empty((PEAKS + witnesses.size, 6))
    limit = start
    below = -1.0 if estimand == DIFFERENCE else LOWEST_PROBIT
    unit = (1.0 if estimand == DIFFERENCE else 2.0) / math.sqrt(n)
    last_limit = last_root = math.nan
    goal = norm_isf(alpha)
    for _ in range(SCANS):
        low, high = curve_piece(estimand, limit, n, alpha, least, most)
        found = scan_peaks(
            steps, first, last, n, estimand, limit, low, high, alpha, peaks[:PEAKS], work
        )
        for i in range(witnesses.size):
            u = min(max(witnesses[i], low), high)
            value = tail_at(steps, first, last, n, estimand, limit, u, neglect)
            b = advance(estimand, limit, n, u, high, SPACING, high - low)
            width = max(b - u, 1e-9 * (high - low))
            found = keep_peak(peaks, found, u, width, value)
        scanned = 0.0
        for i in range(found):
            scanned = max(scanned, peaks[i, 2])
        if 0.2 * alpha < scanned < min(5.0 * alpha, 0.5 + 0.5 * alpha):
            if witnesses.size == 0:
                near = 0.5 * alpha < scanned < 2.0 * alpha
                found = keep_high_peaks(peaks, found, 0.75 if near else 0.3)
            new, slope, place = solve_limit(
                steps, first, last, n, estimand, alpha, least, most, limit, 3.0 * unit,
                peaks, found, work,
            )  # fmt: skip
            if new < above + 0.5 * SLACK:  # as a limit is read off a parabola
                limit = new
                if slope > 0.0:
                    return limit, slope, place
                continue
            # The peak that forbids `above` was left on the way: peaks are looked for closer to it.
        # Too far for peaks to be followed: the tail's normal quantile is nearly linear in L.
        root = norm_isf(min(max(scanned, 1e-300), 1.0 - 1e-15))
        if scanned > alpha:
            above = min(above, limit)
        else:
            below = max(below, limit)
        pace = unit
        if limit != last_limit and (root < last_root if limit > last_limit else root > last_root):
            pace = (last_limit - limit) / (root - last_root)
        last_limit, last_root = limit, root
        limit += pace * (root - goal)
        if not below < limit < above:
            limit = 0.5 * (below + above)
    return below, 0.0, math.nan


@njit
def buehler_limit(
    steps: IntArray,
    first: int,
    last: int,
    n: int,
    estimand: int,
    alpha: float,
    least: float,
    most: float,
    start: float,
) -> float:
    """Return a proved lower value of inf{L : sup of P(S) over g(q) = L, q1 >= least, q2 <= most}.

    `start` is a first guess of the limit. The result is the parameter space's lower end
    (-1 or -inf) where nothing better can be claimed, and NaN where the rows of `steps` from
    `first` to `last` do not decide it.
    """
    lowest = -1.0 if estimand == DIFFERENCE else -math.inf
    work = np.empty((WORK_ROWS + 4, LANES))
    witnesses = np.empty(WITNESSES)
    seen = 0
    above = 1.0 if estimand == DIFFERENCE else -LOWEST_PROBIT
    limit, slope, place = find_limit(
        steps, first, last, n, estimand, alpha, least, most,
        start if math.isfinite(start) else 0.0, above, witnesses[:seen], work,
    )  # fmt: skip
    slack = SLACK
    for _ in range(2 * WITNESSES):
        trial = limit - slack
        if trial <= (-1.0 if estimand == DIFFERENCE else LOWEST_PROBIT):
            return lowest
        resolution = 0.2 * slack * slope * alpha
        proved, u = proves_at_most(
            steps, first, last, n, estimand, trial, alpha, least, most,
            resolution, place, NEGLECT * alpha, math.inf,
        )  # fmt: skip
        if proved:
            return trial
        if u == ROWS_MISSING:
            return math.nan
        if math.isnan(u) or seen == WITNESSES:
            slack *= 4.0
            continue
        witnesses[seen] = u
        seen += 1
        limit, slope, place = find_limit(
            steps, first, last, n, estimand, alpha, least, most,
            trial, trial, witnesses[:seen], work,
        )  # fmt: skip
    return lowest


@njit
def whole_limit(steps: IntArray, n: int, estimand: int, alpha: float, start: float) -> float:
    """Return a proved lower value of Buehler's limit of {x1 >= steps[x2]}."""
    # Either the set is everything, or it holds the outcome (0, 0, n): every probit curve runs
    # to q3 = 1, where that outcome is certain.
    if steps[n] <= 0 or (steps[0] <= 0 and estimand != DIFFERENCE):
        return -1.0 if estimand == DIFFERENCE else -math.inf
    return buehler_limit(steps, 0, n, n, estimand, alpha, 0.0, 1.0, start)


@njit
def proves_floor(
    steps: IntArray,
    first: int,
    last: int,
    x1: int,
    x2: int,
    n: int,
    estimand: int,
    floor: float,
    alpha: float,
    least: float,
    most: float,
) -> bool:
    """Try to prove the limit `floor`, one of the simpler limits, which the search stayed below."""
    level = alpha * (1.0 - 3.0 * SHARE)
    neglect = NEGLECT * alpha
    stop = math.inf
    if x1 + x2 == n:
        # Of the outcomes with q3 = 0 exactly those with x1 votes or more are in the set.
        if steps[x2] != x1 or (x2 < last and steps[x2 + 1] < x1):
            return False
        stop = rises_to_the_end(
            steps, first, last, n, estimand, floor, alpha, least, most, SHARE * alpha, neglect
        )
        if math.isnan(stop):
            return False
    proved, _ = proves_at_most(
        steps, first, last, n, estimand, floor, level, least, most,
        FLOOR_RESOLUTION * alpha, math.nan, neglect, stop,
    )  # fmt: skip
    return proved


@njit
def default_limit(estimand: int, x1: int, x2: int, n: int, alpha: float, steps: IntArray) -> float:
    """Return the default limit of an outcome; `steps` is working space for n + 1 rows."""
    return limit_by_level(estimand, x1, x2, n, alpha, alpha, steps)


@njit
def limit_by_level(
    estimand: int, x1: int, x2: int, n: int, alpha: float, ordered_at: float, steps: IntArray
) -> float:
    """Return the limit at level alpha of the default ordering of another level, `ordered_at`."""
    key = default_key(estimand, x1, x2, n, ordered_at)
    if key <= (-1.0 if estimand == DIFFERENCE else -math.inf):
        return key
    start = key if ordered_at == alpha else default_key(estimand, x1, x2, n, alpha)
    least, most, level = 0.0, 1.0, alpha
    if alpha <= LARGEST_ALPHA:
        least, most, level = local_region(x1, x2, n, alpha)
    enough = 4.0 - math.log(0.5 * NEGLECT * alpha)
    limit = math.nan
    first, last = 0, n
    for widening in range(WIDENINGS + 1):
        if widening < WIDENINGS and alpha <= LARGEST_ALPHA:
            low, high = curve_piece(estimand, start, n, alpha, least, most)
            first, last = window_steps(
                estimand, x1, x2, n, ordered_at, key, start, low, high, enough, steps
            )
        else:
            first, last = 0, n
            default_steps(estimand, x1, x2, n, ordered_at, steps)
        limit = buehler_limit(steps, first, last, n, estimand, level, least, most, start)
        if not math.isnan(limit):
            break
        enough *= 1.5
    floor = max(
        cohen_limit(estimand, x1, n, alpha),
        bonferroni_limit(estimand, x1, x2, n, 0.5 * alpha, 0.5 * alpha),
    )
    if (
        alpha <= LARGEST_ALPHA
        and limit < floor
        and proves_floor(steps, first, last, x1, x2, n, estimand, floor, alpha, least, most)
    ):
        return floor
    return limit


@njit
def local_region(x1: int, x2: int, n: int, alpha: float) -> tuple[float, float, float]:
    """Return the least q1 and the largest q2 that are in question, and the level left for them."""
    least = clopper_pearson_lower(x1, n, SHARE * alpha)
    most = clopper_pearson_upper(x2, n, SHARE * alpha)
    return least, most, alpha * (1.0 - 3.0 * SHARE)  # a third one for the rounding of both


@njit
def default_rows(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with the default limits."""
    steps = np.empty(1, np.int64)
    for i in range(out.size):
        if steps.size <= n[i]:
            steps = np.empty(n[i] + 1, np.int64)
        out[i] = default_limit(estimand, k1[i], k2[i], n[i], alpha[i], steps[: n[i] + 1])


@njit
def additive_rows(
    k1: IntArray,
    k2: IntArray,
    n: int,
    alpha: float,
    estimand: int,
    first: FloatArray,
    second: FloatArray,
    floor: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` with the Buehler limits of an ordering given by tables (`additive_steps`)."""
    steps = np.empty(n + 1, np.int64)
    for i in range(out.size):
        additive_steps(first, second, floor, k1[i], k2[i], n, steps)
        start = default_key(estimand, k1[i], k2[i], n, alpha)
        out[i] = whole_limit(steps, n, estimand, alpha, start)


@njit
def staircase_limit(steps: IntArray, estimand: int, alpha: float) -> float:
    """Return the Buehler limit of a staircase, starting from nothing."""
    return whole_limit(steps, steps.size - 1, estimand, alpha, 0.0)


@njit
def tail_rows(
    steps: IntArray, q1: FloatArray, q2: FloatArray, q3: FloatArray, neglect: float, out: FloatArray
) -> None:
    """Fill `out` with the staircase's tail at each point."""
    n = steps.size - 1
    for i in range(out.size):
        out[i] = staircase_tail(steps, n, q1[i], q2[i], q3[i], neglect)
