"""Closed-form lower bounds for the mean of a sample in [0, 1]: one pass, running values only.

Regimes and error
-----------------
Sums run in blocks of 128 that are added to a total, so that a sum of n terms is off by at
most (128 + n/128) u relative, u = 2**-53. The running sum behind the predictable mean is
compensated, because its error enters every later bet. A bound is a ratio or a
difference of such sums that is only reported where it lies in [0, 1], where each part is
at most a few units; ``slack(n)`` is above the accumulated error with a factor to spare and
is subtracted at the end, so that the float result is never above the exact one:
5e-13 at n = 1e5, 4e-10 at n = 1e8. Seen against 50-digit arithmetic: below 1e-13.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit

FloatArray = npt.NDArray[np.float64]

UNIT = 2.0**-53
BLOCK = 128


@njit
def slack(n: int) -> float:
    """Return what is subtracted from a bound on n observations to cover rounding."""
    return (4096.0 + n / 32.0) * UNIT


@njit
def log_inverse(alpha: float) -> float:
    """Return log(1/alpha) rounded up: the logarithm is faithful to one unit."""
    return -math.log(alpha) * (1.0 + 4.0 * UNIT) + 4.0 * UNIT


@njit
def certified(value: float, n: int) -> float:
    """Move `value` below its exact counterpart and into [0, 1]."""
    return max(0.0, value - slack(n))


@njit
def mean_of(x: FloatArray) -> float:
    """Return the mean of `x` by blockwise summation."""
    n = x.size
    total = 0.0
    for start in range(0, n, BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, n)):
            part += x[i]
        total += part
    return total / n


@njit
def variance_of(x: FloatArray, mean: float) -> float:
    """Return the sample variance with divisor n - 1 about the computed `mean`; 0 at n = 1.

    A `mean` that is off by d adds n/(n-1) d**2, which can only widen a bound.
    """
    n = x.size
    total = 0.0
    for start in range(0, n, BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, n)):
            part += (x[i] - mean) ** 2
        total += part
    return total / (n - 1) if n > 1 else 0.0


@njit
def hoeffding(x: FloatArray, alpha: float) -> float:
    """Return the Hoeffding lower bound: mean - sqrt(log(1/alpha) / (2n))."""
    n = x.size
    return certified(mean_of(x) - math.sqrt(log_inverse(alpha) / (2.0 * n)), n)


@njit
def bernstein(x: FloatArray, variance: float, alpha: float) -> float:
    """Return Bernstein's lower bound for a known variance.

    The deviation t solves n t**2 / (2 (variance + t/3)) = log(1/alpha) exactly.
    """
    n = x.size
    third = log_inverse(alpha) / (3.0 * n)
    deviation = third + math.sqrt(third * third + 6.0 * variance * third)
    return certified(mean_of(x) - deviation, n)


@njit
def empirical_bernstein(x: FloatArray, alpha: float) -> float:
    """Return the Maurer-Pontil lower bound; 0 at n = 1, where it has no variance to use."""
    n = x.size
    if n < 2:
        return 0.0
    log_term = log_inverse(0.5 * alpha)
    mean = mean_of(x)
    width = math.sqrt(2.0 * variance_of(x, mean) * log_term / n)
    return certified(mean - width - 7.0 * log_term / (3.0 * (n - 1)), n)


@njit
def plugin_bet(log_term: float, spread: float, t: int, horizon: int) -> float:
    """Return the predictable plug-in bet of step t (from 1), before any cap.

    `spread` is 1/4 plus the squared deviations of the t - 1 earlier observations, so that
    spread/t is the variance estimate. With a `horizon` n the bet is aimed at that sample
    size, sqrt(2 log(1/alpha) / (n spread/t)); with 0 at every step,
    sqrt(2 log(1/alpha) / (log(1 + t) spread)).
    """
    if horizon > 0:
        return math.sqrt(2.0 * log_term * t / (horizon * spread))
    return math.sqrt(2.0 * log_term / (math.log(1.0 + t) * spread))


@njit
def add_compensated(x: float, total: float, carry: float) -> tuple[float, float]:
    """Return `total` + `x` - `carry`, rounded, and by how much that is above the exact sum.

    Both roundings are taken exactly, whichever of the terms is larger (Knuth's two-sum; Kahan's
    shorter form needs |total| >= |x| and drops the rounding of `x` - `carry`), so that what is
    returned as the new carry is off by one unit in its own last place at most.
    """
    y = x - carry
    part = y - x
    above = (part + carry) + ((y - part) - x)
    new = total + y
    part = new - total
    return new, ((part - y) + ((new - part) - total)) + above


@njit
def advance(
    x: float, t: int, total: float, carry: float, spread: float
) -> tuple[float, float, float]:
    """Add observation t to the compensated `total` (from 1/2) and to `spread` (from 1/4).

    Returns the new total, its compensation and the spread, which uses the deviation from
    the mean that already includes `x`; it serves bets from step t + 1 on only.
    """
    new, carry = add_compensated(x, total, carry)
    deviation = x - new / (t + 1.0)
    return new, carry, spread + deviation * deviation


@njit
def multiply_by_prices(bets: FloatArray, values: FloatArray) -> None:
    """Multiply `values` by -log(1 - b) - b for each of `bets`, b < 1.

    Up to 1/2 by the series of 2 artanh(z) - b with z = b/(2 - b), whose first term less b is
    b z: in vector registers and without cancellation. It leaves out less than 1e-17 of the
    value.
    """
    for i in range(bets.size):
        b = bets[i]
        z = b / (2.0 - b)
        s = z * z
        tail = s / 35.0 + 1.0 / 33.0
        tail = ((tail * s + 1.0 / 31.0) * s + 1.0 / 29.0) * s + 1.0 / 27.0
        tail = ((tail * s + 1.0 / 25.0) * s + 1.0 / 23.0) * s + 1.0 / 21.0
        tail = ((tail * s + 1.0 / 19.0) * s + 1.0 / 17.0) * s + 1.0 / 15.0
        tail = ((tail * s + 1.0 / 13.0) * s + 1.0 / 11.0) * s + 1.0 / 9.0
        tail = ((tail * s + 1.0 / 7.0) * s + 1.0 / 5.0) * s + 1.0 / 3.0
        values[i] *= z * (b + 2.0 * s * tail) if b <= 0.5 else -1.0
    for i in range(bets.size):
        if bets[i] > 0.5:
            values[i] *= math.log1p(-bets[i]) + bets[i]


@njit
def plugin_block(
    x: FloatArray,
    first: int,
    start: float,
    spread: float,
    log_term: float,
    horizon: int,
    means: FloatArray,
    bets: FloatArray,
) -> tuple[float, float]:
    """Fill the uncapped plug-in bets of one block, `x[first:first + bets.size]`.

    `start` is 1/2 plus the sum of the observations before the block and `spread` as
    ``plugin_bet`` wants it there. ``means[j]`` becomes the predictable mean before, and
    ``means[j + 1]`` with, observation `first + j`. Returns the block's sum and the spread
    after it. Serial sums and vector loops take turns, which is what makes it fast.
    """
    part = 0.0
    means[0] = start
    for j in range(bets.size):
        part += x[first + j]
        means[j + 1] = start + part
    for j in range(bets.size + 1):
        means[j] /= first + j + 1.0
    for j in range(bets.size):
        deviation = x[first + j] - means[j + 1]
        bets[j] = deviation * deviation
    for j in range(bets.size):
        square = bets[j]
        bets[j] = spread
        spread += square
    for j in range(bets.size):
        bets[j] = plugin_bet(log_term, bets[j], first + j + 1, horizon)
    return part, spread


@njit
def plugin_lambdas(x: FloatArray, log_term: float, horizon: int, out: FloatArray) -> None:
    """Fill `out` with the uncapped plug-in bets; out[t] depends on x[:t] alone."""
    n = x.size
    total, carry, spread, means = 0.5, 0.0, 0.25, np.empty(BLOCK + 1)
    for start in range(0, n, BLOCK):
        bets = out[start : min(n, start + BLOCK)]
        part, spread = plugin_block(x, start, total, spread, log_term, horizon, means, bets)
        total, carry = add_compensated(part, total, carry)


@njit
def plugin_bernstein(
    x: FloatArray, alpha: float, cap: float, horizon: int, path: FloatArray
) -> float:
    """Return the best lower bound over all times of the plug-in empirical Bernstein.

    Time t rejects every mean below (S_t - log(1/alpha) - P_t) / B_t with S = sum of bets
    times observations, P = sum of (x_i - mean_{i-1})**2 (-log(1 - bet) - bet), B = sum of
    bets. All times hold at once (Ville), so that the largest counts. A `path` as long as
    `x` receives the running bound; an empty one nothing.
    """
    n = x.size
    log_term = log_inverse(alpha)
    total, carry, spread = 0.5, 0.0, 0.25
    gain, stake, best = -log_term, 0.0, 0.0
    wanted = path.size == n
    means, room, prices = np.empty(BLOCK + 1), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        bets = room[:size]
        part, spread = plugin_block(x, start, total, spread, log_term, horizon, means, bets)
        total, carry = add_compensated(part, total, carry)
        for j in range(size):
            bets[j] = min(bets[j], cap)
            prices[j] = (x[start + j] - means[j]) ** 2
        multiply_by_prices(bets, prices[:size])
        for j in range(size):
            prices[j] = bets[j] * x[start + j] - prices[j]
        block_gain, block_stake = 0.0, 0.0
        for j in range(size):
            block_gain += prices[j]
            block_stake += bets[j]
            # Compared before dividing: a new best is rare and the division is not cheap.
            if gain + block_gain > best * (stake + block_stake):
                best = (gain + block_gain) / (stake + block_stake)
            if wanted:
                path[start + j] = certified(best, start + j + 1)
        gain += block_gain
        stake += block_stake
    if wanted:
        never_falling(path)
    return certified(best, n)


@njit
def never_falling(path: FloatArray) -> None:
    """Replace `path` by its running maximum: the slack that was subtracted grows with time."""
    for i in range(1, path.size):
        path[i] = max(path[i], path[i - 1])


@njit
def plugin_hoeffding(x: FloatArray, alpha: float, horizon: int, path: FloatArray) -> float:
    """Return the best lower bound over all times of the plug-in Hoeffding process.

    Time t rejects every mean below (S_t - log(1/alpha) - sum of bets**2 / 8) / B_t. With a
    `horizon` n the bet is constant, sqrt(8 log(1/alpha) / n), and time n is Hoeffding's
    own bound; with 0 it is sqrt(8 log(1/alpha) / (t log(1 + t))), at most 1.
    """
    n = x.size
    log_term = log_inverse(alpha)
    gain, stake, best = -log_term, 0.0, 0.0
    wanted = path.size == n
    for start in range(0, n, BLOCK):
        block_gain, block_stake = 0.0, 0.0
        for i in range(start, min(start + BLOCK, n)):
            if horizon > 0:
                bet = math.sqrt(8.0 * log_term / horizon)
            else:
                bet = min(math.sqrt(8.0 * log_term / ((i + 1) * math.log(i + 2.0))), 1.0)
            block_gain += bet * x[i] - 0.125 * bet * bet
            block_stake += bet
            if gain + block_gain > best * (stake + block_stake):
                best = (gain + block_gain) / (stake + block_stake)
            if wanted:
                path[i] = certified(best, i + 1)
        gain += block_gain
        stake += block_stake
    if wanted:
        never_falling(path)
    return certified(best, n)


@njit
def hoeffding_rows(x: FloatArray, alpha: FloatArray, out: FloatArray) -> None:
    """Fill `out` with `hoeffding` of each row of `x`."""
    for r in range(out.size):
        out[r] = hoeffding(x[r], alpha[r])


@njit
def bernstein_rows(x: FloatArray, alpha: FloatArray, variance: FloatArray, out: FloatArray) -> None:
    """Fill `out` with `bernstein` of each row of `x`."""
    for r in range(out.size):
        out[r] = bernstein(x[r], variance[r], alpha[r])


@njit
def empirical_bernstein_rows(x: FloatArray, alpha: FloatArray, out: FloatArray) -> None:
    """Fill `out` with `empirical_bernstein` of each row of `x`."""
    for r in range(out.size):
        out[r] = empirical_bernstein(x[r], alpha[r])


@njit
def plugin_bernstein_rows(
    x: FloatArray, alpha: FloatArray, cap: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with `plugin_bernstein` of each row, aimed at its sample size."""
    nothing = np.empty(0)
    for r in range(out.size):
        out[r] = plugin_bernstein(x[r], alpha[r], cap[r], x.shape[1], nothing)


@njit
def plugin_bernstein_paths(
    x: FloatArray, alpha: FloatArray, cap: FloatArray, out: FloatArray
) -> None:
    """Fill each row of `out` with the running `plugin_bernstein` of a row of `x`."""
    for r in range(out.shape[0]):
        plugin_bernstein(x[r], alpha[r], cap[r], 0, out[r])


@njit
def plugin_hoeffding_rows(x: FloatArray, alpha: FloatArray, out: FloatArray) -> None:
    """Fill `out` with `plugin_hoeffding` of each row, aimed at its sample size."""
    nothing = np.empty(0)
    for r in range(out.size):
        out[r] = plugin_hoeffding(x[r], alpha[r], x.shape[1], nothing)


@njit
def plugin_hoeffding_paths(x: FloatArray, alpha: FloatArray, out: FloatArray) -> None:
    """Fill each row of `out` with the running `plugin_hoeffding` of a row of `x`."""
    for r in range(out.shape[0]):
        plugin_hoeffding(x[r], alpha[r], 0, out[r])
