"""Betting lower bounds for the mean of a sample in [0, 1], for a fixed sample size.

The capital at a candidate mean m is the product of 1 + b_t (x_t - m) with bets b_t >= 0 that
know x_1..x_{t-1} only, so it is a nonnegative supermartingale whenever the mean is at most
m: the probability that it ever reaches 1/alpha is at most alpha (Ville). Every m whose capital
does is rejected, and the bound is the infimum of the means that are left.

That infimum can be found in a bracket because every strategy here has capital that is
nonincreasing in m, so that the rejected means are an interval from 0 on:

* ``PLUGIN``, ``AGRAPA``: the bet is min(b_t, cap/m) with b_t free of m. Where b_t holds, the
  factor falls with m; where cap/m holds it is 1 - cap + cap x/m, which falls too.
* ``STAR``: the bet is min(r(d)/s_t(m), cap/m), d = log(1/alpha) - log capital so far. See
  ``star_bet``, where the proof is; it rests on r(d)/d falling, on m/s_t(m) rising and
  (1 - m)/s_t(m) falling in m.

Error: ``log_slack`` covers the rounding of a log-capital where that is compared with
log(1/alpha): where the float capital is through, so is the exact capital of the rounded bets,
and rounded bets are as predictable as exact ones, so coverage does not depend on them. What
the rounding of the bets moves the limit by is covered by ``GUARD``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit
from rsverify.kernels.mean.closed_form import (
    UNIT,
    add_compensated,
    advance,
    certified,
    log_inverse,
    plugin_lambdas,
)

FloatArray = npt.NDArray[np.float64]

PLUGIN, AGRAPA, STAR = 0, 1, 2

# Limits are multiples of it, far inside the 1e-9 that is promised.
WIDTH = 2.0**-36
# Every sixth step of the search halves the bracket, so that six times 36 steps suffice.
STEPS = 216
# A product of this many factors between 1 - cap and 1/m is renormalized by its logarithm;
# with cap <= 0.99 it stays above 1e-128. It is renormalized at once where it passes FOLD, far
# from overflow: a capital of e**-10000 may still win a factor of 1e600.
BLOCK = 64
FOLD = 1e200
# Subtracted from a betting limit for the rounding of the bets, which moves it by less than
# 1e-11 in all comparisons with 50-digit arithmetic.
GUARD = 2e-10
# STAR updates its bet once a block: never more than this share of the steps since the
# start or to the end, plus one, so that steering is fine where the bet changes fast.
SHARE = 64
# r(d) = sqrt(2 d + BEND**2) - BEND: close to the optimal steering of a Gaussian capital.
BEND = 0.3
# STAR aims this far past log(1/alpha), so that it arrives and does not creep up to it.
PAST = 0.01
# Weight of the prior of STAR's variance before any deviation is seen, in units of log(1/alpha).
PRIOR = 10.0
# Keeps V**2/Q of ``block_moments`` continuous where all deviations are far below 1e-10: the
# bare ratio is 1 for one deviation of any size and undefined for none.
TINY = 1e-40


@njit
def log_slack(n: int, cap: float, log_term: float) -> float:
    """Return what a log-capital of n steps must have beyond `log_term` to be surely there.

    In units of u/(1 - cap) a step, at first order: a factor 1 + b y and its multiplication are
    off by 2, or by 4 if y > 0. A logarithm is off by 2u relative and their compensated sum by
    2u of the sum A of their absolute values. The losses in A are at most n log(1/(1 - cap)),
    0.37 a step in these units; the gains are the losses and the log-capital W that is reached.
    So 4 + 4 (0.74) < 7 a step and 4u W in all, and u W for the last sum; what is reached
    beyond `log_term` pays for its own share of W.
    """
    return ((n + 16.0) * 8.0 / (1.0 - cap) + 8.0 * log_term) * UNIT


@njit
def capped(bet: float, m: float, cap: float) -> float:
    """Return min(bet, cap/m) without dividing by zero."""
    return bet if bet * m <= cap else cap / m


@njit
def block_end(t: int, n: int) -> int:
    """Return where the block of STAR that starts after t steps ends."""
    return min(n, t + min(BLOCK, min(t, n - t) // SHARE + 1))


@njit
def count_blocks(n: int) -> int:
    """Return the number of blocks of STAR on n observations."""
    t, blocks = 0, 0
    while t < n:
        t = block_end(t, n)
        blocks += 1
    return blocks


@njit
def block_moments(x: FloatArray, log_term: float, out: FloatArray) -> None:
    """Fill `out` with two numbers a block that know the observations before it only.

    First the sum V of squared deviations from the running mean (Welford's update), then the
    weight of the prior, 10 log(1/alpha) / (1 + V**2/Q)**2, Q the sum of the squared terms of V
    (and TINY): V**2/Q is about the number of observations that V rests on, a third of all for
    a smooth distribution and the few rare ones for a sample of mostly equal values.
    """
    n = x.size
    t, j, mean, spread, square = 0, 0, 0.0, 0.0, TINY
    while t < n:
        out[2 * j] = spread
        out[2 * j + 1] = PRIOR * log_term / (1.0 + spread * spread / square) ** 2
        end = block_end(t, n)
        for i in range(t, end):
            deviation = x[i] - mean
            mean += deviation / (i + 1.0)
            term = deviation * (x[i] - mean)
            spread += term
            square += term * term
        t = end
        j += 1


@njit
def star_bet(
    deficit: float, spread: float, prior: float, t: int, n: int, m: float, cap: float
) -> float:
    r"""Return STAR's bet after t steps, when its log-capital is `deficit` below its aim.

    The bet is min(r(d)/s, cap/m) with r(d) = sqrt(2 d + c**2) - c and s**2 = (n - t) v(m),
    v(m) = min((spread + prior max(m, 1 - m)**2)/(t + 1), m (1 - m)): a variance estimate
    with `prior` pseudo-observations at the far end of [0, 1], and never more than a mean m
    allows. It is what multiplies a capital by exp(d) in Gaussian steps over the n - t that
    remain (Voracek and Orabona 2025, Algorithm 4: there c = 0 and v has deviations from m).

    Why the capital is nonincreasing in m. Write y = x - m and b for the bet.
    (1) At equal d, a step's factor falls with m: for y > 0, b y = b (1 - m) y/(1 - m) and
    both b (1 - m) and y/(1 - m) fall; for y < 0, b |y| = (b m)(|y|/m) and both rise. For the
    bet, m/s rises and (1 - m)/s falls because they do for each branch of v: m**2/(spread +
    prior max(m, 1 - m)**2), m/(1 - m), and their mirror images; (cap/m) m = cap is constant.
    (2) At equal m, a smaller deficit before a block gives a smaller one after it, or a
    capital that is through. The deficit after i steps is D = d - sum log(1 + b y_i), and
    D' = 1 - b'/b sum b y_i/(1 + b y_i). As z/(1 + z) <= log(1 + z) the sum is at most
    d - D, and 0 <= b'/b <= 1/d because r is concave and rises from r(0) = 0; so D' is at
    least min(1, D/d) > 0 wherever D > 0, and the d with D at most PAST (the capital is
    through) are an interval
    that begins at 0.
    (1) and (2) give by induction that a smaller m never has the larger deficit.
    """
    far = max(m, 1.0 - m)
    variance = min((spread + prior * far * far) / (t + 1.0), m * (1.0 - m))
    if variance <= 0.0:
        return 0.0
    # r(d) without the cancellation of its definition where d is small.
    aim = 2.0 * deficit / (math.sqrt(2.0 * deficit + BEND * BEND) + BEND)
    return capped(aim / math.sqrt((n - t) * variance), m, cap)


@njit
def star_wealth(
    x: FloatArray,
    m: float,
    log_term: float,
    cap: float,
    moments: FloatArray,
    bets: FloatArray,
) -> tuple[float, float]:
    """Return STAR's log-capital at m: its peak and its last value; it stops at 1/alpha.

    It stops with the block in which it is through. An array `bets` as long as `x` receives
    the bets, 0 from there on; an empty one nothing.
    """
    n = x.size
    t, j, wealth, carry, peak = 0, 0, 0.0, 0.0, 0.0
    goal = log_term + log_slack(n, cap, log_term)
    bets[:] = 0.0
    while t < n:
        deficit = log_term + PAST - wealth
        bet = star_bet(deficit, moments[2 * j], moments[2 * j + 1], t, n, m, cap)
        end = block_end(t, n)
        bets[t:end] = bet
        product, top = 1.0, 1.0
        for i in range(t, end):
            product *= 1.0 + bet * (x[i] - m)
            top = max(top, product)
            if product > FOLD:
                peak = max(peak, wealth + math.log(top))
                wealth, carry = add_compensated(math.log(product), wealth, carry)
                product, top = 1.0, 1.0
        peak = max(peak, wealth + math.log(top))
        wealth, carry = add_compensated(math.log(product), wealth, carry)
        if peak >= goal:
            break
        t = end
        j += 1
    return peak, wealth


@njit
def agrapa_bet(mean: float, variance: float, reference: float) -> float:
    """Return the bet (mean - r)/(variance + (mean - r)**2), or 0 where the mean is below r."""
    gap = mean - reference
    return gap / (variance + gap * gap) if gap > 0.0 else 0.0


@njit
def simple_bets(
    x: FloatArray, strategy: int, log_term: float, cap: float, horizon: int, out: FloatArray
) -> None:
    """Fill `out` with the bets of PLUGIN or AGRAPA before their cap at cap/m.

    AGRAPA bets the approximate growth-optimal fraction against a reference r: the largest
    second-order limit (sum b x - sum b**2 (x - mean)**2 / 2 - log(1/alpha)) / sum b so far,
    the mean that it is about to reject. The published rule uses the candidate m itself for
    r, and its capital then is not monotone in m.
    """
    if strategy == PLUGIN:
        plugin_lambdas(x, log_term, horizon, out)
        return
    total, carry, spread = 0.5, 0.0, 0.25
    gain, stake, reference, mean = -log_term, 0.0, 0.0, 0.5
    for i in range(x.size):
        bet = capped(agrapa_bet(mean, spread / (i + 1.0), reference), reference, cap)
        deviation = x[i] - mean
        gain += bet * x[i] - 0.5 * (bet * deviation) ** 2
        stake += bet
        if gain > reference * stake:
            reference = gain / stake
        out[i] = bet
        total, carry, spread = advance(x[i], i + 1, total, carry, spread)
        mean = total / (i + 2.0)


@njit
def simple_wealth(
    x: FloatArray, m: float, log_term: float, cap: float, bets: FloatArray
) -> tuple[float, float]:
    """Return the log-capital at m of bets capped at cap/m: its peak and its last value.

    It stops once it is through 1/alpha.
    """
    n = x.size
    goal = log_term + log_slack(n, cap, log_term)
    wealth, carry, peak = 0.0, 0.0, 0.0
    for start in range(0, n, BLOCK):
        product, top = 1.0, 1.0
        for i in range(start, min(start + BLOCK, n)):
            product *= 1.0 + capped(bets[i], m, cap) * (x[i] - m)
            top = max(top, product)
            if product > FOLD:
                peak = max(peak, wealth + math.log(top))
                wealth, carry = add_compensated(math.log(product), wealth, carry)
                product, top = 1.0, 1.0
        peak = max(peak, wealth + math.log(top))
        if peak >= goal:
            return peak, peak
        wealth, carry = add_compensated(math.log(product), wealth, carry)
    return peak, wealth


@njit
def excess(
    x: FloatArray,
    m: float,
    strategy: int,
    log_term: float,
    log_u: float,
    cap: float,
    state: FloatArray,
) -> float:
    """Return how far the log-capital at m passes its goal; m is rejected where it is not below.

    The goal is 1/alpha at any time, or u/alpha at the end. The second, with u uniform and
    independent of x, costs no error probability: given the sample, the probability that u is at
    most alpha times the last capital is at most that.
    """
    if strategy == STAR:
        peak, last = star_wealth(x, m, log_term, cap, state, state[:0])
    else:
        peak, last = simple_wealth(x, m, log_term, cap, state)
    # log_u <= 0 is raised by its own rounding and by that of a log-capital of its size.
    last -= log_u * (1.0 - 8.0 * UNIT)
    return max(peak, last) - (log_term + log_slack(x.size, cap, log_term))


@njit
def inverse_quadratic(a: float, at_a: float, b: float, at_b: float, c: float, at_c: float) -> float:
    """Return the share of the way from a to b at which to look for a zero: 1/2 or better.

    Chandrupatla, Advances in Engineering Software 28 (1997) 145-149: interpolate where the
    function is so near to a line that this converges.
    """
    place, height = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
    if height * height < place and (1.0 - height) * (1.0 - height) < 1.0 - place:
        near = at_a / (at_b - at_a) * at_c / (at_b - at_c)
        return near + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
    return 0.5


@njit
def rejected_end(
    x: FloatArray, strategy: int, log_term: float, log_u: float, cap: float, state: FloatArray
) -> float:
    """Return the largest multiple of `WIDTH` that is rejected; 0 where none is.

    On a grid, so that a bound that follows another one, by a smaller u, say, never falls
    below it by the width of a bracket.
    """
    # What is far from the goal says little about where the crossing is.
    a, at_a, b, at_b = 1.0, -1.0, 0.0, 1.0
    share = 0.5
    for step in range(STEPS):
        m = a + share * (b - a)
        value = excess(x, m, strategy, log_term, log_u, cap, state)
        at_m = min(max(value, -1.0), 1.0)
        if (at_m >= 0.0) == (at_a >= 0.0):
            c, at_c = a, at_a
        else:
            c, at_c, b, at_b = b, at_b, a, at_a
        a, at_a = m, at_m
        width = abs(b - a)
        if width <= WIDTH:
            break
        share = 0.5
        if step % 6 != 4 and at_a != at_c and at_b != at_c:
            off = 0.5 * WIDTH / width
            share = min(max(inverse_quadratic(a, at_a, b, at_b, c, at_c), off), 1.0 - off)
    low, high = (a, b) if at_a >= 0.0 else (b, a)
    between = (math.ceil(high / WIDTH) - 1.0) * WIDTH
    if between > low and excess(x, between, strategy, log_term, log_u, cap, state) >= 0.0:
        return between
    return math.floor(low / WIDTH) * WIDTH


@njit
def betting_lower(
    x: FloatArray, alpha: float, strategy: int, log_u: float, cap: float, horizon: int
) -> float:
    """Return the betting lower bound: the rejected end of the bracket, moved down by slack.

    m = 0 is never evaluated: it is the bound where nothing else is rejected.
    """
    n = x.size
    log_term = log_inverse(alpha)
    if strategy == STAR:
        state = np.empty(2 * count_blocks(n))
        block_moments(x, log_term, state)
    else:
        state = np.empty(n)
        simple_bets(x, strategy, log_term, cap, horizon, state)
    low = rejected_end(x, strategy, log_term, log_u, cap, state)
    return certified(low - GUARD, n)


@njit
def betting_rows(
    x: FloatArray,
    alpha: FloatArray,
    cap: FloatArray,
    u: FloatArray,
    strategy: int,
    out: FloatArray,
) -> None:
    """Fill `out` with `betting_lower` of each row of `x`, aimed at its sample size."""
    for r in range(out.size):
        out[r] = betting_lower(x[r], alpha[r], strategy, math.log(u[r]), cap[r], x.shape[1])
