"""Buehler lower limit of a margin: the largest L proved to keep the tail at most alpha.

    theta_L = inf{ L : sup_{g(q) = L} P_q(X1 >= steps[X2]) > alpha }

The search is not trusted. It scans the curve for peaks of the tail, follows them while a
secant method moves L to where the highest peak meets alpha, and hands an L just below that
to `supremum.proves_at_most`. A peak that was missed comes back as a witness, joins the
others and lowers L. Only a proved L is returned, so the result never exceeds theta_L; it is
below it by about ``SLACK``.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.staircase import additive_steps, default_key, default_steps
from rsverify.kernels.margin.supremum import curve_ends, fisher_length, proves_at_most, tail_at
from rsverify.kernels.margin.trinomial import WORK_ROWS, staircase_tail, staircase_tails

SLACK = 1e-10
NEGLECT = 1e-14  # share of alpha that a tail's window may leave out
SPACING = 1.25  # Fisher length between scanned points; the tail's natural unit is 1
LANES = 4  # scanned points that share a walk over the rows
SKIP_BELOW = 0.02  # a stretch whose tail is below this share of the best peak is skipped
PEAKS = 6
WITNESSES = 30  # times that L is lowered by a missed peak before the slack grows instead
LOWEST_PROBIT = -80.0
GOLDEN = 0.3819660112501051


@njit
def tail_at_place(
    steps: IntArray, n: int, estimand: int, limit: float, alpha: float, place: float
) -> float:
    """Return the tail at a place in [0, 1] between the curve's ends."""
    low, high = curve_ends(estimand, limit, n, alpha)
    u = min(low + place * (high - low), high)
    return tail_at(steps, n, estimand, limit, u, NEGLECT * alpha)


@njit
def follow_peak(
    steps: IntArray,
    n: int,
    estimand: int,
    limit: float,
    alpha: float,
    place: float,
    width: float,
) -> tuple[float, float]:
    """Return the largest tail found within `width` of `place`, and where (Brent's method)."""
    a = max(0.0, place - width)
    b = min(1.0, place + width)
    x = w = v = place
    fx = tail_at_place(steps, n, estimand, limit, alpha, x)
    fw = fv = fx
    best, where = fx, x
    # The method's own points stay inside (a, b); the curve's ends can be the highest places.
    for end in (0.0, 1.0):
        if (a == end or b == end) and place != end:
            value = tail_at_place(steps, n, estimand, limit, alpha, end)
            if value > best:
                best, where = value, end
    e = d = 0.0
    tolerance = 2e-5 * width
    for _ in range(30):
        middle = 0.5 * (a + b)
        if abs(x - middle) <= 2.0 * tolerance - 0.5 * (b - a):
            break
        golden = True
        if abs(e) > tolerance:
            r = (x - w) * (fv - fx)
            q = (x - v) * (fw - fx)
            p = (x - v) * q - (x - w) * r
            q = 2.0 * (q - r)
            if q > 0.0:
                p = -p
            q = abs(q)
            if abs(p) < abs(0.5 * q * e) and q * (a - x) < p < q * (b - x):
                e, d = d, p / q
                golden = False
        if golden:
            e = (a if x >= middle else b) - x
            d = GOLDEN * e
        u = x + (d if abs(d) >= tolerance else math.copysign(tolerance, d))
        fu = tail_at_place(steps, n, estimand, limit, alpha, u)
        if fu >= fx:
            if u >= x:
                a = x
            else:
                b = x
            v, fv, w, fw, x, fx = w, fw, x, fx, u, fu
        else:
            if u < x:
                a = u
            else:
                b = u
            if fu >= fw or w == x:
                v, fv, w, fw = w, fw, u, fu
            elif fu >= fv or v in (x, w):
                v, fv = u, fu
    if fx > best:
        best, where = fx, x
    return best, where


@njit
def scan_peaks(
    steps: IntArray, n: int, estimand: int, limit: float, alpha: float, peaks: FloatArray
) -> int:
    """Fill rows of `peaks` with (place, width, value) of local maxima; return how many.

    The curve is walked from low to high u in stretches of `LANES` points `SPACING` apart;
    stretches whose corner tail is negligible are skipped whole.
    """
    low, high = curve_ends(estimand, limit, n, alpha)
    if not low < high:
        peaks[0, 0], peaks[0, 1], peaks[0, 2] = 1.0, 0.0, 0.0
        return 1
    neglect = NEGLECT * alpha
    stack = np.empty((128, 2))
    stack[0, 0], stack[0, 1] = 0.0, 1.0
    size = 1
    found = 0
    points = np.empty((3, LANES))
    work = np.empty((WORK_ROWS, LANES))
    values = np.empty(LANES)
    best = 0.0
    before = now = -1.0  # the last two values on the way
    now_place = now_width = 0.0
    while size > 0:
        size -= 1
        a, b = stack[size, 0], stack[size, 1]
        ua, ub = low + a * (high - low), low + b * (high - low)
        length = fisher_length(estimand, limit, n, ua, ub)
        if length > LANES * SPACING and b - a > 1e-12:
            corner = 1.0
            if length < 16.0 * LANES * SPACING:
                b1, _, _ = curve_point(estimand, limit, ub)
                _, a2, _ = curve_point(estimand, limit, ua)
                b1 = min(b1, 1.0 - a2)
                corner = staircase_tail(steps, n, b1, a2, max(0.0, 1.0 - b1 - a2), neglect)
            if corner >= SKIP_BELOW * max(best, 1e-3 * alpha):
                stack[size, 0], stack[size, 1] = 0.5 * (a + b), b
                stack[size + 1, 0], stack[size + 1, 1] = a, 0.5 * (a + b)
                size += 2
                continue
        width = (b - a) / LANES
        for i in range(LANES):
            u = low + (a + (i + 0.5) * width) * (high - low)
            points[0, i], points[1, i], points[2, i] = curve_point(estimand, limit, u)
        staircase_tails(steps, n, points, LANES, neglect, work, values)
        for i in range(LANES):
            if now > before and now >= values[i]:
                found = keep_peak(peaks, found, now_place, max(now_width, width), now)
            before, now = now, values[i]
            now_place, now_width = a + (i + 0.5) * width, width
            best = max(best, now)
    if now > before:
        found = keep_peak(peaks, found, now_place, now_width, now)
    return found


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
    peaks[spot, 0], peaks[spot, 1], peaks[spot, 2] = place, width, value
    return found


@njit
def highest_peak(
    steps: IntArray,
    n: int,
    estimand: int,
    limit: float,
    alpha: float,
    peaks: FloatArray,
    found: int,
) -> tuple[float, float]:
    """Follow the peaks to `limit`; return the highest value and its place."""
    highest, where = -1.0, 0.0
    for i in range(found):
        value, place = follow_peak(steps, n, estimand, limit, alpha, peaks[i, 0], peaks[i, 1])
        peaks[i, 0], peaks[i, 2] = place, value
        if value > highest:
            highest, where = value, place
    return highest, where


@njit
def keep_high_peaks(peaks: FloatArray, found: int) -> int:
    """Move the peaks of at least half the highest one to the front; return how many.

    A lower peak that overtakes the others on the way is found by the proof.
    """
    best = 0.0
    for i in range(found):
        best = max(best, peaks[i, 2])
    kept = 0
    for i in range(found):
        if peaks[i, 2] >= 0.5 * best:
            for column in range(peaks.shape[1]):  # a whole row at once compiles for a second more
                peaks[kept, column] = peaks[i, column]
            kept += 1
    return kept


@njit
def solve_limit(
    steps: IntArray,
    n: int,
    estimand: int,
    alpha: float,
    start: float,
    peaks: FloatArray,
    found: int,
) -> tuple[float, float]:
    """Return the L at which the highest followed peak equals alpha, and d log tail / dL.

    The highest peak rises with L. Secant steps on its logarithm, kept in a bracket.
    """
    low = -1.0 if estimand == DIFFERENCE else LOWEST_PROBIT
    high = 1.0 if estimand == DIFFERENCE else -LOWEST_PROBIT
    limit = start
    goal = math.log(alpha)
    slope = 0.0
    last_limit = last_log = math.nan
    for _ in range(100):
        value, place = highest_peak(steps, n, estimand, limit, alpha, peaks, found)
        log_value = math.log(value) if value > 0.0 else -math.inf
        if log_value > goal:
            high = limit
        else:
            low = limit
        if math.isfinite(log_value):
            if math.isfinite(last_log) and limit != last_limit and log_value != last_log:
                slope = (log_value - last_log) / (limit - last_limit)
            else:
                h = 1e-4 / math.sqrt(n)
                near = tail_at_place(steps, n, estimand, limit - h, alpha, place)
                slope = (log_value - math.log(near)) / h if near > 0.0 else 0.0
            last_limit, last_log = limit, log_value
        new = limit - (log_value - goal) / slope if slope > 0.0 else math.nan
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - limit) <= 0.02 * SLACK or not low < new < high:
            return new, slope
        limit = new
    return limit, slope


@njit
def buehler_limit(steps: IntArray, n: int, estimand: int, alpha: float, start: float) -> float:
    """Return a proved lower value of theta_L for the outcomes {x1 >= steps[x2]}.

    `start` is a first guess of the limit. The result is the parameter space's lower end
    (-1 or -inf) where nothing better can be claimed.
    """
    lowest = -1.0 if estimand == DIFFERENCE else -math.inf
    # Either the set is everything, or it holds the outcome (0, 0, n): every probit curve runs
    # to q3 = 1, where that outcome is certain.
    if steps[n] <= 0 or (steps[0] <= 0 and estimand != DIFFERENCE):
        return lowest
    peaks = np.empty((3 * PEAKS, 3))
    limit = start if math.isfinite(start) else 0.0
    found = 0
    for _ in range(4):  # rescan while the peaks were taken far from where they are needed
        found = scan_peaks(steps, n, estimand, limit, alpha, peaks[:PEAKS])
        scanned, _ = highest_peak(steps, n, estimand, limit, alpha, peaks, found)
        found = keep_high_peaks(peaks, found)
        limit, slope = solve_limit(steps, n, estimand, alpha, limit, peaks, found)
        if 0.2 * alpha < scanned < 5.0 * alpha:
            break
    slack = SLACK
    for attempt in range(2 * WITNESSES):
        trial = limit - slack
        if trial <= (-1.0 if estimand == DIFFERENCE else LOWEST_PROBIT):
            return lowest
        resolution = 0.2 * slack * slope * alpha
        proved, u = proves_at_most(steps, n, estimand, trial, alpha, resolution, NEGLECT * alpha)
        if proved:
            return trial
        if math.isnan(u) or attempt >= WITNESSES:
            slack *= 4.0
            continue
        # The witness takes the place of the lowest peak where there is no room for another.
        low, high = curve_ends(estimand, trial, n, alpha)
        place = (u - low) / (high - low) if high > low else 1.0
        width = 1.0 / max(1.0, fisher_length(estimand, trial, n, low, high))
        found = keep_peak(peaks, found, place, width, alpha)
        limit, slope = solve_limit(steps, n, estimand, alpha, trial, peaks, found)
    return lowest


@njit
def default_rows(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    estimand: int,
    out: FloatArray,
) -> None:
    """Fill `out` with the Buehler limits of the default ordering."""
    for i in range(out.size):
        steps = np.empty(n[i] + 1, np.int64)
        start = default_steps(estimand, k1[i], k2[i], n[i], alpha[i], steps)
        out[i] = buehler_limit(steps, n[i], estimand, alpha[i], start)


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
        out[i] = buehler_limit(steps, n, estimand, alpha, start)


@njit
def staircase_limit(steps: IntArray, estimand: int, alpha: float) -> float:
    """Return the Buehler limit of a staircase, starting from nothing."""
    return buehler_limit(steps, steps.size - 1, estimand, alpha, 0.0)


@njit
def tail_rows(
    steps: IntArray, q1: FloatArray, q2: FloatArray, q3: FloatArray, neglect: float, out: FloatArray
) -> None:
    """Fill `out` with the staircase's tail at each point."""
    n = steps.size - 1
    for i in range(out.size):
        out[i] = staircase_tail(steps, n, q1[i], q2[i], q3[i], neglect)
