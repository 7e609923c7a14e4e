"""Whole paths of betting lower bounds: the running bound after every observation.

A strategy here stakes a share s_t (m-free, predictable, at most 0.99) of its capital, that is
it bets s_t/m: at a candidate mean m the factor is 1 - s_t + s_t x_t q with q = 1/m. The
capital is a fixed mixture over components, each a product of such factors. It falls with m,
so the means rejected by time t are an interval that only grows with t, and its end is
updated when the capital at the end so far is through 1/alpha again.

Method. A component's log-product is expanded about a center q0 in powers of q - q0 with
coefficients sum r**k / k, r = s x/(1 - s + s x q0), six of them, carried along as running
sums. For q in [(1 - 1/32) q0, q0] every r |q - q0| is at most 1/32, so that what is left out
is at most 32**-6/217 of the first sum times |q - q0|; it is subtracted. Each new limit is a
Newton iteration on these sums. The expansion is renewed only when the limit leaves the
interval, by steps of 1/32 or, where it jumps, by leaps: some 700 times at most, from the sample
while that is short and from the cells of ``history`` when it is long.

Error: factors are sums of nonnegative terms, off by 4u relative each, and logarithms of chunks
are added with compensation, so that they and their sum are off by 4u of their absolute sum A;
through ``history`` the logarithm is a sum of parts up to log(100) in size, off by at most 20u
for each observation. The goal is raised by 24u each. That covers 4u + 4u A: with shares up to
1/2 the losses in A are at most 0.7 an observation and the gains no more than that and the
goal. Of a mixture, a component with larger shares either has lost no more than that, or
another's smaller share has lost far less for the same gains, which puts that one through and
this one's rounding out of sight. The sums' own rounding, n u of their value, is subtracted.
Limits are within 2e-11 relative of the exact ones, and below them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit
from rsverify.kernels.mean.betting import simple_bets
from rsverify.kernels.mean.closed_form import (
    UNIT,
    add_compensated,
    advance,
    certified,
    log_inverse,
    never_falling,
)
from rsverify.kernels.mean.history import CELLS, MOMENTS, add_history, put

FloatArray = npt.NDArray[np.float64]

TERMS = 6
# Rows of the state of a path, a column for each component: TERMS sums, r and its current
# power, the product of the factors since the last flush, the logarithm until then and what
# compensates that.
R, POWER, PRODUCT, LOG, CARRY, ROWS = 6, 7, 8, 9, 10, 11
# Relative width of the interval in q = 1/m in which one expansion is used.
REACH = 1.0 / 32.0
# Factors lie between 0.01 and 1/FLOOR: 16 of them neither underflow nor overflow.
CHUNK = 16
# Up to this many observations an expansion is renewed by a pass over them.
SHORT = 128
# Limits below this are reported as 0.
FLOOR = 1e-10
# Relative bracket of a limit.
WIDTH = 4e-12


@njit
def predictable_shares(
    x: FloatArray, strategy: int, alpha: float, cap: float, out: FloatArray
) -> None:
    """Fill `out` with a bet of `simple_bets` times the mean so far, at most `cap`."""
    simple_bets(x, strategy, log_inverse(alpha), cap, 0, out)
    total, carry, spread = 0.5, 0.0, 0.25
    for i in range(x.size):
        out[i] = min(out[i] * total / (i + 1.0), cap)
        total, carry, spread = advance(x[i], i + 1, total, carry, spread)


@njit
def add_observation(x: float, q: float, shares: FloatArray, state: FloatArray) -> None:
    """Multiply `x` into the products at `q` and add the powers of its r to the sums.

    The inner loops run over components, so in vector registers.
    """
    for j in range(shares.size):
        factor = 1.0 - shares[j] + shares[j] * x * q
        state[PRODUCT, j] *= factor
        state[R, j] = shares[j] * x / factor
        state[POWER, j] = 1.0
    for k in range(TERMS):
        for j in range(shares.size):
            state[POWER, j] *= state[R, j]
            state[k, j] += state[POWER, j]


@njit
def flush(state: FloatArray) -> None:
    """Move the logarithms of the products into their compensated sums."""
    for j in range(state.shape[1]):
        part = math.log(state[PRODUCT, j])
        state[LOG, j], state[CARRY, j] = add_compensated(part, state[LOG, j], state[CARRY, j])
        state[PRODUCT, j] = 1.0


@njit
def file_away(
    x: FloatArray, start: int, stop: int, shares: FloatArray, cells: FloatArray, idle: FloatArray
) -> None:
    """Put observations `start` to `stop` into `cells`, and log(1 - share) into ``idle[0]``.

    A factor is 1 - s + s x q = (1 - s)(1 + k y q). With constant shares y = x and k = s/(1 - s);
    with one share an observation y = s x/(1 - s) and k = 1. ``idle[1]`` compensates the sum.
    """
    for i in range(start, stop):
        if shares.shape[0] == 1:
            put(x[i], cells)
        else:
            share = shares[i, 0]
            put(share * x[i] / (1.0 - share), cells)
            idle[0], idle[1] = add_compensated(math.log1p(-share), idle[0], idle[1])


@njit
def recenter(
    x: FloatArray,
    count: int,
    filed: int,
    q: float,
    shares: FloatArray,
    state: FloatArray,
    cells: FloatArray,
    idle: FloatArray,
) -> int:
    """Recompute the expansion of the first `count` observations about `q`.

    The first `filed` of them are in `cells`; returns how many are there now.
    """
    state[:] = 0.0
    state[PRODUCT] = 1.0
    if count <= SHORT:
        last = shares.shape[0] - 1
        for i in range(count):
            add_observation(x[i], q, shares[min(i, last)], state)
            if (i + 1) % CHUNK == 0:
                flush(state)
        return 0
    file_away(x, filed, count, shares, cells, idle)
    if shares.shape[0] == 1:
        add_history(q, shares[0] / (1.0 - shares[0]), cells, state[LOG], state[:TERMS])
        for j in range(state.shape[1]):
            state[LOG, j] += count * math.log1p(-shares[0, j])
    else:
        add_history(q, np.ones(1), cells, state[LOG], state[:TERMS])
        state[LOG, 0] += idle[0]
    return count


@njit
def log_mixture(
    step: float, count: int, weights: FloatArray, state: FloatArray
) -> tuple[float, float]:
    """Return a lower bound of the log-capital at q0 - `step`, and its slope in the step."""
    top = -math.inf
    values = np.empty(weights.size)
    for j in range(weights.size):
        series, power = 0.0, 1.0
        for k in range(TERMS):
            power *= step
            series += state[k, j] * power / (k + 1)
        left_out = state[TERMS - 1, j] * power * REACH / ((1.0 - REACH) * (TERMS + 1))
        rounding = 2.0 * (count + 8) * UNIT * state[0, j] * step
        held = state[LOG, j] + math.log(weights[j] * state[PRODUCT, j])
        values[j] = held - series - left_out - rounding
        top = max(top, values[j])
    total, slope = 0.0, 0.0
    for j in range(weights.size):
        part = math.exp(values[j] - top)
        rise, power = 0.0, 1.0
        for k in range(TERMS):
            rise += state[k, j] * power
            power *= step
        total += part
        slope -= part * rise
    return top + math.log(total), slope / total


@njit
def furthest_step(
    start: float,
    limit: float,
    width: float,
    goal: float,
    count: int,
    weights: FloatArray,
    state: FloatArray,
) -> float:
    """Return a step between `start`, known to be through, and `limit`, known not to be.

    It is through, and some step at most `width` further is not. Newton's iteration, moved
    half a width across the root so that both ends of the bracket close in.
    """
    low, high, step = start, limit, start
    while high - low > width:
        value, slope = log_mixture(step, count, weights, state)
        beyond = 0.5 * width
        if value >= goal:
            low = max(low, step)
        else:
            high = min(high, step)
            beyond = -beyond
        step = step - (value - goal) / slope + beyond if slope < 0.0 else high
        if not low < step < high:
            step = 0.5 * (low + high)
            if not low < step < high:
                break
    return low


@njit
def betting_path(
    x: FloatArray, alpha: float, shares: FloatArray, weights: FloatArray, path: FloatArray
) -> None:
    """Fill `path` with the running betting lower bound.

    `shares` has a row for every observation, or one row for all, and a column for each
    component of the mixture with `weights`.
    """
    n = x.size
    state = np.zeros((ROWS, weights.size))
    state[PRODUCT] = 1.0
    last = shares.shape[0] - 1
    cells, idle, filed = np.zeros((CELLS if n > SHORT else 0, MOMENTS)), np.zeros(2), 0
    log_term = log_inverse(alpha)
    center, step, bound = 1.0 / FLOOR, 0.0, 0.0
    for i in range(n):
        add_observation(x[i], center, shares[min(i, last)], state)
        if (i + 1) % CHUNK == 0:
            flush(state)
        goal = log_term + (24.0 * i + 64.0) * UNIT * (1.0 + log_term)
        moved = False
        # An observation at most the bound multiplies the capital there by at most 1.
        while x[i] > bound:
            value, _ = log_mixture(step, i + 1, weights, state)
            if value < goal:
                break
            edge = REACH * center
            value, _ = log_mixture(edge, i + 1, weights, state)
            if value < goal:
                step = furthest_step(step, edge, WIDTH * center, goal, i + 1, weights, state)
                bound = 1.0 / (center - step)
                break
            center, step = center - edge, 0.0
            # A second move at one observation: leap, by ever smaller factors.
            leap = 0.5 if moved else 1.0
            while True:
                at = leap * center
                filed = recenter(x, i + 1, filed, at, shares, state, cells, idle)
                if leap == 1.0:
                    break
                value, _ = log_mixture(0.0, i + 1, weights, state)
                if value >= goal:
                    center *= leap
                else:
                    leap = math.sqrt(leap) if leap < 1.0 - 2.0 * REACH else 1.0
            bound, moved = 1.0 / center, True
        path[i] = certified(bound * (1.0 - WIDTH), i + 1)
    never_falling(path)


@njit
def mixture_paths(
    x: FloatArray, alpha: FloatArray, shares: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Fill each row of `out` with the path of a mixture of constant shares."""
    for r in range(out.shape[0]):
        betting_path(x[r], alpha[r], shares, weights, out[r])


@njit
def predictable_paths(
    x: FloatArray, alpha: FloatArray, cap: float, strategy: int, out: FloatArray
) -> None:
    """Fill each row of `out` with the path of a strategy of `simple_bets`."""
    weights = np.ones(1)
    for r in range(out.shape[0]):
        shares = np.empty((x.shape[1], 1))
        predictable_shares(x[r], strategy, alpha[r], cap, shares[:, 0])
        betting_path(x[r], alpha[r], shares, weights, out[r])
