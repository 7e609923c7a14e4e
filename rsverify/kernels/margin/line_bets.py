"""Bets on lines: evidence on which side of a curve g(q) = L three probabilities q lie.

q = (q1, q2, q3) are the probabilities of the class certified, of one other class and of the rest. A
bet on one vote pays b_i on outcome i; its capital after the votes x is prod (1 + b_i)^x_i, which
is at most a martingale while sum q_i b_i <= 0, that is on one side of a line. With the curve
q1 = h(q2), for L > 0 h(t) = Phi(L + probit(t)), a concave function,

    g <= L  lies below each tangent q1 = c + a q2:   b = s (1 - c, -a - c, -c),       (1)
    g >= L, t_k <= q2 <= t_k+1, lies above a chord:  b = s (c - 1, a + c, c),         (2)

s > 0 such that all b_i > -1. Evidence against g <= L is the weighted mean of the capitals of
many bets (1), as each of them is fair there. Evidence against g >= L is the least over the
cells [t_k, t_k+1] of the mean over the bets (2) of the cell: one of the cells holds the true q.
For the difference the curve is a line and there is one cell.

Where the lines touch, how much is staked and the weights are free, if fixed before the votes.
Lines are spread over the curve evenly in arc length, half of them near the point that an
earlier sample makes likely; stakes are a factor of 1.6 apart, from those that are best after a
dozen votes to those that are best after `horizon`; weights are what the earlier votes make
of equal ones.

Payments are rounded down, with the error of Phi and of the line taken off, and logarithms of
capitals by 32 roundings of each of their terms.
"""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE
from rsverify.kernels.margin.ordering import curve_point, fit_difference
from rsverify.kernels.margin.quantiles import quantile_cdf
from rsverify.kernels.margin.tangent import UNIT, line_gap
from rsverify.kernels.rounding import next_down, next_up, round_down_relative, round_up_relative
from rsverify.kernels.special import norm_pdf, norm_ppf

TANGENTS = 96
CELLS = 192
GRID = 400
TAIL = 8.0  # of the probit curve, the part with probit(q1) above -8 gets lines of its own
LARGEST_STAKE = 1.5  # in standard deviations of a bet
STAKE_RATIO = 1.6
# Best after n votes is a stake of about sqrt(18 / n) standard deviations; go a little below.
LEAST_STAKE_SQUARED = 10.0
EQUAL_SHARE = 0.2  # of the weights; the rest follows the earlier votes
UNIFORM_SHARE = 0.5  # of the lines; the rest lies near the likely point
NEAR = 1.5  # half the width of "near", in 1 / sqrt(earlier votes) of arc


@njit
def line_places(estimand: int, limit: float, s1: int, s2: int, s3: int, count: int) -> FloatArray:
    """Return `count` rising quantiles of q2 on the curve g = limit > 0, its end the last.

    The Laplace curve is a line up to its kink, which one tangent and one chord describe.
    """
    z = np.empty(GRID)
    arc = np.empty(GRID)
    bottom, top = -limit, -0.5 * limit
    if estimand != LAPLACE:
        bottom -= TAIL
    best, likely = -math.inf, 0.0
    for i in range(GRID):
        z[i] = bottom + (top - bottom) * (i / (GRID - 1))
        q1, q2, q3 = curve_point(estimand, limit, z[i])
        arc[i] = math.asin(math.sqrt(q1)) + math.asin(math.sqrt(q2))
        value = s1 * math.log(q1) + s2 * math.log(max(q2, 1e-300)) + s3 * math.log(max(q3, 1e-300))
        if value > best:
            best, likely = value, arc[i]
    size = s1 + s2 + s3
    near = NEAR / math.sqrt(max(size, 1))
    low, high = max(arc[0], likely - near), min(arc[-1], likely + near)
    even = UNIFORM_SHARE if size > 0 else 1.0
    out = np.empty(count)
    i, before, here = 0, 0.0, 0.0
    for k in range(count):
        goal = (k + 1) / count
        while here < goal and i < GRID - 1:
            i += 1
            before = here
            inside = min(1.0, max(0.0, (arc[i] - low) / (high - low)))
            here = even * (arc[i] - arc[0]) / (arc[-1] - arc[0]) + (1.0 - even) * inside
        back = min(1.0, max(0.0, (here - goal) / max(here - before, 1e-300)))
        out[k] = z[i] - back * (z[i] - z[i - 1])
    out[count - 1] = top
    return out


@njit
def stake_count(horizon: int) -> int:
    """Return how many stakes each line gets."""
    least = math.sqrt(LEAST_STAKE_SQUARED / max(horizon, 100))
    return 2 + int(math.log(LARGEST_STAKE / least) / math.log(STAKE_RATIO))


@njit
def fill_stakes(
    v1: float, v2: float, v3: float, q1: float, q2: float, q3: float, bets: FloatArray
) -> None:
    """Fill rows (b1, b2, b3) with multiples of v, less and less of it; q is a likely point."""
    deviation = math.sqrt(q1 * v1 * v1 + q2 * v2 * v2 + q3 * v3 * v3)
    worst = max(0.0, -v1, -v2, -v3)
    scale, room = LARGEST_STAKE, 1.1
    for j in range(bets.shape[0]):
        stake = 1.0 / (worst * room + deviation / scale)
        bets[j, 0], bets[j, 1] = next_down(stake * v1), next_down(stake * v2)
        bets[j, 2] = next_down(stake * v3)
        scale /= STAKE_RATIO
        room *= 1.25


@njit
def weigh(bets: FloatArray, likely: FloatArray, s: IntArray, out: FloatArray) -> None:
    """Fill `out` with log-weights that sum to just below 1, from the earlier votes `s`.

    `likely` holds the log-likelihood of those votes at the point that each bet starts from.
    """
    top = -math.inf
    for r in range(out.size):
        out[r] = likely[r]
        for i in range(3):
            if s[i] > 0:
                out[r] += s[i] * math.log1p(bets[r, i])
        top = max(top, out[r])
    total = 0.0
    for r in range(out.size):
        out[r] = math.exp(out[r] - top)
        total += out[r]
    for r in range(out.size):
        weight = EQUAL_SHARE / out.size + (1.0 - EQUAL_SHARE) * out[r] / total
        out[r] = math.log(weight) - 1e-12


@njit
def log_chance(s: IntArray, q1: float, q2: float, q3: float) -> float:
    """Return the log-likelihood of the votes `s`, at probabilities of 1e-300 or more."""
    value = s[0] * math.log(max(q1, 1e-300)) + s[1] * math.log(max(q2, 1e-300))
    return float(value + s[2] * math.log(max(q3, 1e-300)))


@njit
def difference_bets(
    limit: float, side: int, s: IntArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """Return bets (1, J, 3) and log-weights (1, J) for q1 - q2 <= limit (side 1) or >= (-1)."""
    u = fit_difference(s[0] + 0.5, s[1] + 0.5, s[2] + 0.5, limit)
    q1, q2 = u + max(limit, 0.0), u + max(-limit, 0.0)
    stakes = stake_count(horizon)
    bets = np.empty((1, stakes, 3))
    weights = np.empty((1, stakes))
    v1, v2 = side * (1.0 - limit), side * (-1.0 - limit)
    fill_stakes(
        next_down(v1), next_down(v2), -side * limit, q1, q2, max(0.0, 1.0 - q1 - q2), bets[0]
    )
    weigh(bets[0], np.zeros(stakes), s, weights[0])
    return bets, weights


@njit
def tangent_line(estimand: int, limit: float, z: float) -> tuple[float, float]:
    """Return the slope a, and 1 - c rounded down, of a line q1 = c + a q2 above the curve at z.

    The slope of the Laplace curve at z is exp(-L - 2 z), and 1 - c = exp(-L - z); with
    sqrt(a) exp(-L / 2) in the place of the latter the line is one of this slope, rounded or not.
    """
    if estimand == LAPLACE:
        slope = math.exp(min(limit, -limit - 2.0 * z))
        gap = math.sqrt(slope) * math.exp(-0.5 * limit)
        return slope, min(1.0, round_down_relative(gap, 1e-14 * (1.0 + limit)))
    slope = math.exp(-limit * (z + 0.5 * limit))
    return slope, line_gap(limit, slope, -0.5 * limit)


@njit
def tangent_bets(
    estimand: int, limit: float, s: IntArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """Return bets (1, R, 3) and log-weights (1, R) for a margin of quantiles <= limit > 0."""
    places = line_places(estimand, limit, s[0], s[1], s[2], TANGENTS)
    stakes = stake_count(horizon)
    bets = np.empty((TANGENTS * stakes, 3))
    weights = np.empty((1, TANGENTS * stakes))
    likely = np.empty(TANGENTS * stakes)
    for k in range(TANGENTS):
        z = places[k]
        slope, short = tangent_line(estimand, limit, z)
        c = next_up(1.0 - short)
        q1, q2, q3 = curve_point(estimand, limit, z)
        rows = slice(k * stakes, (k + 1) * stakes)
        fill_stakes(short, -next_up(slope + c), -c, q1, q2, q3, bets[rows])
        likely[rows] = log_chance(s, q1, q2, q3)
    weigh(bets, likely, s, weights[0])
    return bets.reshape((1, TANGENTS * stakes, 3)), weights


@njit
def chord_bets(
    estimand: int, limit: float, s: IntArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """Return bets (K, J, 3) and log-weights (K, J) for a margin of quantiles >= limit > 0."""
    places = line_places(estimand, limit, s[0], s[1], s[2], CELLS)
    stakes = stake_count(horizon)
    bets = np.empty((CELLS, stakes, 3))
    weights = np.empty((CELLS, stakes))
    likely = np.zeros(stakes)
    t, height = 0.0, 0.0
    for k in range(CELLS):
        z = places[k]
        t_next = quantile_cdf(estimand, z)
        if k == CELLS - 1:
            t_next = round_up_relative(t_next, 1e-14)  # no q of the simplex is beyond it
        # Rounding of z + limit costs a relative |z + limit| times the hazard.
        w = z + limit
        next_height = round_down_relative(quantile_cdf(estimand, w), UNIT * (16.0 + 2.0 * w * w))
        slope = max(0.0, (next_height - height) / max(t_next - t, 1e-300))
        left, right = height - slope * t, next_height - slope * t_next
        error = 4.0 * UNIT * (next_height + slope * t_next)
        c = min(left, right) - error - 1e-300
        q1, q2 = 0.5 * (height + next_height), 0.5 * (t + t_next)
        q3 = max(0.0, 1.0 - q1 - q2)
        fill_stakes(-next_up(1.0 - c), next_down(slope + c), c, q1, q2, q3, bets[k])
        weigh(bets[k], likely, s, weights[k])
        t, height = t_next, next_height
    return bets, weights


@njit
def log_capital(logs: FloatArray, weights: FloatArray, x1: float, x2: float, x3: float) -> float:
    """Return the log of the least over cells of the mean capital after votes x, rounded down.

    `logs` holds log(1 + b), shape (cells, bets, 3).
    """
    least = math.inf
    for k in range(logs.shape[0]):
        top, total = -math.inf, 0.0
        for j in range(logs.shape[1]):
            first, second, third = x1 * logs[k, j, 0], x2 * logs[k, j, 1], x3 * logs[k, j, 2]
            size = abs(first) + abs(second) + abs(third) + abs(weights[k, j])
            value = (first + second + third + weights[k, j]) - 32.0 * UNIT * size
            if value > top:
                total = total * math.exp(top - value) + 1.0
                top = value
            elif value > top - 40.0:
                total += math.exp(value - top)
        value = top + math.log(total)
        least = min(least, value - 1e-13 * (1.0 + abs(value)))
    return least


@njit
def log_evidence(
    logs: FloatArray, weights: FloatArray, exchanged: bool, x1: float, x2: float, n: float
) -> float:
    """Return `log_capital` of the votes, with the two classes exchanged where the lines ask it."""
    if exchanged:
        x1, x2 = x2, x1
    return log_capital(logs, weights, x1, x2, n - x1 - x2)


@njit
def log_evidence_below(
    logs: FloatArray,
    weights: FloatArray,
    exchanged: bool,
    first: int,
    others: IntArray,
    shares: FloatArray,
    n: int,
) -> float:
    """Return the log of the mean evidence of the other classes against g >= L, rounded down.

    Evidence rises with the votes of another class. Those with less than half of the most votes are
    left out, which lowers the mean.
    """
    most = np.max(others)
    top, total = -math.inf, 0.0
    for j in range(others.size):
        if 2 * others[j] < most or shares[j] <= 0.0:
            continue
        value = math.log(shares[j])
        value += log_evidence(logs, weights, exchanged, float(first), float(others[j]), float(n))
        if value > top:
            total = total * math.exp(top - value) + 1.0
            top = value
        else:
            total += math.exp(value - top)
    if total <= 0.0:
        return -math.inf
    return top + math.log(total) - 1e-14 * (others.size + abs(top))


@njit
def final_votes(
    estimand: int, x: FloatArray, s: FloatArray, horizon: float, z: float
) -> FloatArray:
    """Return likely counts at `horizon` votes, z standard deviations up in the margin.

    By the Dirichlet(1/2, 1/2, 1/2) posterior after the votes s + x, to first order.
    """
    n, size = np.sum(x), np.sum(x) + np.sum(s)
    p = (x + s + 0.5) / (size + 1.5)
    score = np.zeros(3)
    score[0], score[1] = 1.0, -1.0
    if estimand == LAPLACE:
        score[0] /= min(p[0], 1.0 - p[0])
        score[1] /= min(p[1], 1.0 - p[1])
    elif estimand != DIFFERENCE:
        score[0] /= norm_pdf(norm_ppf(p[0]))
        score[1] /= norm_pdf(norm_ppf(p[1]))
    score -= np.sum(p * score)
    left = horizon - n
    spread = z * math.sqrt(left * (1.0 + left / (size + 1.5)) / np.sum(p * score * score))
    final: FloatArray = np.maximum(0.0, left * p + spread * p * score)
    final *= left / np.sum(final)
    final += x
    return final


@njit
def decide_path(
    estimand: int,
    first: IntArray,
    others: IntArray,
    n: IntArray,
    shares: FloatArray,
    past: FloatArray,
    up: tuple[FloatArray, FloatArray, bool],
    down: tuple[FloatArray, FloatArray, bool],
    threshold: float,
    horizon: int,
    z: float,
) -> tuple[int, int]:
    """Return a verdict and the first look at which it can be had: 1, -1, 2 or 0.

    1 for g >= limit, by `up`, -1 for g < limit, by `down`, 2 where neither is likely at
    `horizon` votes, `z` standard deviations either way; 0 with the last look where none can.
    """
    for t in range(n.size):
        if n[t] == 0:
            continue
        most = np.max(others[t])
        # Evidence falls with the votes of another class, so that all have it if the largest has.
        # Floats, as at the horizon below: other types would be compiled for anew.
        now = float(first[t]), float(most), float(n[t])
        if log_evidence(up[0], up[1], up[2], *now) >= threshold:
            return 1, t
        below = log_evidence_below(down[0], down[1], down[2], first[t], others[t], shares, n[t])
        if below >= threshold:
            return -1, t
        if z < math.inf and 100 * n[t] >= horizon > n[t]:
            x = np.array([now[0], now[1], now[2] - now[0] - now[1]])
            good = final_votes(estimand, x, past, float(horizon), z)
            end = float(horizon)
            if log_evidence(up[0], up[1], up[2], good[0], good[1], end) >= threshold:
                continue
            bad = final_votes(estimand, x, past, float(horizon), -z)
            share = math.log(max(shares[np.argmax(others[t])], 1e-300))
            value = share + log_evidence(down[0], down[1], down[2], bad[0], bad[1], end)
            if value < threshold:
                return 2, t
    return 0, n.size - 1


@njit
def evidence_path(
    estimand: int,
    first: IntArray,
    others: IntArray,
    n: IntArray,
    shares: FloatArray,
    past: FloatArray,
    up: tuple[FloatArray, FloatArray, bool],
    down: tuple[FloatArray, FloatArray, bool],
    horizon: int,
    z: float,
    out: FloatArray,
) -> None:
    """Fill `out`, looks x 4, with log-evidence for g >= limit and g < limit, now and at the end.

    At the end is at likely counts at `horizon` votes, `z` standard deviations up or down; infinite
    where nobody asks, before a hundredth of them or with an infinite z.
    """
    out[:, :2] = -math.inf
    out[:, 2:] = math.inf
    for t in range(n.size):
        if n[t] == 0:
            continue
        most = np.max(others[t])
        out[t, 0] = log_evidence(up[0], up[1], up[2], first[t], most, n[t])
        out[t, 1] = log_evidence_below(down[0], down[1], down[2], first[t], others[t], shares, n[t])
        if z < math.inf and 100 * n[t] >= horizon > n[t]:
            x = np.array([float(first[t]), float(most), float(n[t] - first[t] - most)])
            good = final_votes(estimand, x, past, float(horizon), z)
            out[t, 2] = log_evidence(up[0], up[1], up[2], good[0], good[1], horizon)
            bad = final_votes(estimand, x, past, float(horizon), -z)
            share = math.log(max(shares[np.argmax(others[t])], 1e-300))
            out[t, 3] = share + log_evidence(down[0], down[1], down[2], bad[0], bad[1], horizon)
