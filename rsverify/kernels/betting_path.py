"""Whole paths of betting lower bounds: the running bound after every observation.

A strategy here stakes a share s_t (m-free, predictable, at most 0.99) of its capital, that is
it bets s_t/m: at a candidate mean m the factor is 1 - s_t + s_t x_t q with q = 1/m. The
capital is a fixed mixture over components, each a product of such factors. It falls with m,
so the means rejected by time t are an interval that only grows with t, and its end is
updated when the capital at the end so far is through 1/alpha again.

Method. A component's log-product is expanded about a centre q0 in powers of q - q0 with
coefficients sum r**k / k, r = s x/(1 - s + s x q0), six of them, carried along as running
sums. For q in [(1 - 1/32) q0, q0] every r |q - q0| is at most 1/32, so that what is left out
is at most 32**-6/217 of the first sum times |q - q0|; it is subtracted. Each new limit is a
Newton iteration on these sums; the pass over the sample is repeated only when the limit
leaves the interval, by steps of 1/32 or, where it jumps, by leaps.

Error: factors are sums of nonnegative terms, off by 4u relative each; logarithms of chunks
are added with compensation; the sums' own rounding, n u of their value, is subtracted.
Limits are within 2e-11 relative of the exact ones, and below them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._jit import njit
from rsverify.kernels.betting import simple_bets
from rsverify.kernels.mean import UNIT, advance, certified, log_inverse

FloatArray = npt.NDArray[np.float64]

TERMS = 6
# Relative width of the interval in q = 1/m in which one expansion is used.
REACH = 1.0 / 32.0
# Factors lie between 0.01 and 1/FLOOR: 16 of them neither underflow nor overflow.
CHUNK = 16
# From this observation on a pass over the sample is too dear to leap by trial and error.
LEAP_UNTIL = 512
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
def add_observation(
    x: float, q: float, shares: FloatArray, products: FloatArray, sums: FloatArray
) -> None:
    """Multiply `x` into the products at `q` and add the powers of its r to the sums.

    `sums` has a row for each power, so that the inner loops run over components in vector
    registers, and two rows more for r and its current power.
    """
    for j in range(shares.size):
        factor = 1.0 - shares[j] + shares[j] * x * q
        products[j] *= factor
        sums[TERMS, j] = shares[j] * x / factor
        sums[TERMS + 1, j] = 1.0
    for k in range(TERMS):
        for j in range(shares.size):
            sums[TERMS + 1, j] *= sums[TERMS, j]
            sums[k, j] += sums[TERMS + 1, j]


@njit
def flush(products: FloatArray, logs: FloatArray, carries: FloatArray) -> None:
    """Move the logarithms of `products` into the compensated sums `logs`."""
    for j in range(products.size):
        y = math.log(products[j]) - carries[j]
        new = logs[j] + y
        carries[j] = (new - logs[j]) - y
        logs[j] = new
        products[j] = 1.0


@njit
def recentre(
    x: FloatArray,
    count: int,
    q: float,
    shares: FloatArray,
    products: FloatArray,
    logs: FloatArray,
    carries: FloatArray,
    sums: FloatArray,
) -> None:
    """Recompute the expansion of the first `count` observations about `q`."""
    products[:] = 1.0
    logs[:] = 0.0
    carries[:] = 0.0
    sums[:] = 0.0
    last = shares.shape[0] - 1
    for i in range(count):
        add_observation(x[i], q, shares[min(i, last)], products, sums)
        if (i + 1) % CHUNK == 0:
            flush(products, logs, carries)


@njit
def log_mixture(
    step: float,
    count: int,
    weights: FloatArray,
    products: FloatArray,
    logs: FloatArray,
    sums: FloatArray,
) -> tuple[float, float]:
    """Return a lower bound of the log-capital at q0 - `step`, and its slope in the step."""
    top = -math.inf
    values = np.empty(weights.size)
    for j in range(weights.size):
        series, power = 0.0, 1.0
        for k in range(TERMS):
            power *= step
            series += sums[k, j] * power / (k + 1)
        left_out = sums[TERMS - 1, j] * power * REACH / ((1.0 - REACH) * (TERMS + 1))
        rounding = 2.0 * (count + 8) * UNIT * sums[0, j] * step
        values[j] = logs[j] + math.log(weights[j] * products[j]) - series - left_out - rounding
        top = max(top, values[j])
    total, slope = 0.0, 0.0
    for j in range(weights.size):
        part = math.exp(values[j] - top)
        rise, power = 0.0, 1.0
        for k in range(TERMS):
            rise += sums[k, j] * power
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
    products: FloatArray,
    logs: FloatArray,
    sums: FloatArray,
) -> float:
    """Return a step between `start`, known to be through, and `limit`, known not to be.

    It is through, and some step at most `width` further is not. Newton's iteration, moved
    half a width to the safe side so that both ends of the bracket close in.
    """
    low, high, step = start, limit, start
    while high - low > width:
        value, slope = log_mixture(step, count, weights, products, logs, sums)
        if value >= goal:
            low = max(low, step)
        else:
            high = min(high, step)
        step = step - (value - goal) / slope - 0.5 * width if slope < 0.0 else high
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
    n, size = x.size, weights.size
    products, logs, carries = np.ones(size), np.zeros(size), np.zeros(size)
    sums = np.zeros((TERMS + 2, size))
    last = shares.shape[0] - 1
    log_term = log_inverse(alpha)
    centre, step, bound = 1.0 / FLOOR, 0.0, 0.0
    for i in range(n):
        add_observation(x[i], centre, shares[min(i, last)], products, sums)
        if (i + 1) % CHUNK == 0:
            flush(products, logs, carries)
        goal = log_term + (8.0 * i + 64.0) * UNIT * (1.0 + log_term)
        moved = False
        # An observation at most the bound multiplies the capital there by at most 1.
        while x[i] > bound:
            value, _ = log_mixture(step, i + 1, weights, products, logs, sums)
            if value < goal:
                break
            edge = REACH * centre
            value, _ = log_mixture(edge, i + 1, weights, products, logs, sums)
            if value < goal:
                step = furthest_step(
                    step, edge, WIDTH * centre, goal, i + 1, weights, products, logs, sums
                )
                bound = 1.0 / (centre - step)
                break
            centre, step = centre - edge, 0.0
            # A second move at one early observation: leap, by ever smaller factors.
            leap = 0.5 if moved and i < LEAP_UNTIL else 1.0
            while 1.0 - leap > REACH:
                recentre(x, i + 1, leap * centre, shares, products, logs, carries, sums)
                value, _ = log_mixture(0.0, i + 1, weights, products, logs, sums)
                if value >= goal:
                    centre *= leap
                else:
                    leap = math.sqrt(leap)
            bound, moved = 1.0 / centre, True
            recentre(x, i + 1, centre, shares, products, logs, carries, sums)
        path[i] = certified(bound * (1.0 - WIDTH), i + 1)
        if i > 0 and path[i - 1] > path[i]:  # the slack grew
            path[i] = path[i - 1]


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
