"""Orderings of the outcomes of two binomials, and their staircases {T >= t}.

``steps[x2]`` is the smallest x1 of row x2 with T(x1, x2) >= t, n1 + 1 where the row has none.

The default
-----------
    T(x) = max{ likelihood-ratio limit, Bonferroni's limit, one-sample limits (difference only) }.

A maximum of limits that rise with x1 and fall with x2 does so too. For the likelihood-ratio limit
a fifth of a success is moved against the claim, w1 = x1 - 1/5 and w2 = min(x2 + 1/5, n2). With

    D_c(w) = min { sum of w_i log(w_i / (n_i p_i)) + (n_i - w_i) log((n_i - w_i) / (n_i q_i)) }

over g(p1, p2) = c, the signed root R_c = sqrt(2 D_c) for c below g(w1 / n1, w2 / n2) and
-sqrt(2 D_c) above falls in c, rises with x1 and falls with x2 (docs/theory-two-proportions.md); the
limit is the c at which R_c is z, the normal quantile of alpha. At x1 = 0, and for x2 = n2 but for
the ratio, it is the lowest value. There, for the difference, the limits of one sample alone order
the outcomes. Bonferroni's is g of the Clopper-Pearson limits of p1 and p2 at alpha / 2 each.

Ties
----
A set may be larger than {T >= T(x)}, which gives a smaller limit, but never smaller. The
likelihood-ratio limit is found from below, as a c at which the computed R is z or at most `ABOVE`
more; at a larger c an outcome with a steeper R could be missed. Every outcome with R at t above
z - `TIE` is taken into a set, which is more than what R is off by. As R falls in c, these are all
whose limit is at least t, and some that tie with it. Of the other limits those are taken that are
at most `TIE` below t.
"""

from __future__ import annotations

import math

from rsverify._core.check import IntArray
from rsverify._core.jit import njit
from rsverify.kernels.binomial import clopper_pearson_lower_pair, clopper_pearson_upper_pair
from rsverify.kernels.rounding import next_down
from rsverify.kernels.special import deviance_term, norm_isf
from rsverify.kernels.two_proportions.curve import DIFFERENCE, RATIO, curve_point

LIKELIHOOD_RATIO = 0
BONFERRONI = 1
MOVED = 0.2  # values from 0.1 to 0.3 give nearly the same limits
SMALLEST_Z = 0.1  # the ordering needs z > 0; above alpha = 0.46 it is the one of 0.46
TIE = 1e-9
ABOVE = 1e-11
BISECTIONS = 200
LOWEST = -math.inf  # logarithm of a ratio of which nothing is claimed


@njit
def fit_difference(w1: float, w2: float, n1: int, n2: int, limit: float) -> float:
    """Return the u that maximizes the likelihood on p1 - p2 = limit, which is concave in u.

    Newton's method kept in a bracket.
    """
    end = 1.0 - abs(limit)
    shift1, shift2 = max(limit, 0.0), max(-limit, 0.0)
    low, high = 0.0, end
    u = min(max((w1 + w2) / (n1 + n2) - 0.5 * abs(limit), 0.02 * end), 0.98 * end)
    for _ in range(BISECTIONS):
        p1, p2, q1, q2 = u + shift1, u + shift2, end - u + shift2, end - u + shift1
        a, b, c, d = w1 / p1, w2 / p2, (n1 - w1) / q1, (n2 - w2) / q2
        score = a + b - c - d
        if score > 0.0:
            low = u
        else:
            high = u
        new = u + score / (a / p1 + b / p2 + c / q1 + d / q2)
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - u) <= 1e-10 * min(new, end - new) or not low < new < high:
            return new
        u = new
    return u


@njit
def fit_ratio(w1: float, w2: float, n1: int, n2: int, limit: float) -> float:
    """Return the u = max(p1, p2) that maximizes the likelihood: the smaller root of a quadratic."""
    scale = math.exp(-abs(limit))
    rises = limit >= 0.0
    b = w2 + n1 + scale * (w1 + n2) if rises else w1 + n2 + scale * (w2 + n1)
    c = w1 + w2
    root = math.sqrt(max(0.0, b * b - 4.0 * scale * (n1 + n2) * c))
    return min(1.0, 2.0 * c / (b + root))


@njit
def fit_odds_ratio(w1: float, w2: float, n1: int, n2: int, limit: float) -> float:
    """Return the u = logit(p2) that maximizes the likelihood: the root of a quadratic in p.

    Of the sample with the larger odds, whose p lies in (0, 1) and is well determined.
    """
    scale = math.exp(-abs(limit))
    large, small = (n1, n2) if limit >= 0.0 else (n2, n1)
    total = w1 + w2
    b = small * scale + large - total * (scale - 1.0)
    root = math.sqrt(max(0.0, b * b + 4.0 * large * (scale - 1.0) * total))
    p = 2.0 * total / (b + root)
    x = math.log(p) - math.log1p(-p) if p < 1.0 else 40.0
    return x - limit if limit >= 0.0 else x


@njit
def deviance_part(w: float, n: int, p: float, q: float) -> float:
    """Return w log(w / (n p)) + (n - w) log((n - w) / (n q))."""
    if (p <= 0.0 and w > 0.0) or (q <= 0.0 and w < n):
        return math.inf
    part = deviance_term(w, n * p) if p > 0.0 else 0.0
    return part + (deviance_term(n - w, n * q) if q > 0.0 else 0.0)


@njit
def signed_root(estimand: int, w1: float, w2: float, n1: int, n2: int, limit: float) -> float:
    """Return R at a curve."""
    if estimand == DIFFERENCE:
        u = fit_difference(w1, w2, n1, n2, limit)
    elif estimand == RATIO:
        u = fit_ratio(w1, w2, n1, n2, limit)
    else:
        u = fit_odds_ratio(w1, w2, n1, n2, limit)
    p1, q1, p2, q2 = curve_point(estimand, limit, u)
    deviance = deviance_part(w1, n1, p1, q1) + deviance_part(w2, n2, p2, q2)
    root = math.sqrt(2.0 * max(deviance, 0.0))
    return root if w1 - n1 * p1 >= w2 - n2 * p2 else -root


@njit
def moved(x1: int, x2: int, n2: int) -> tuple[float, float]:
    """Return the successes with a part of one moved against the claim."""
    return x1 - MOVED, min(x2 + MOVED, float(n2))


@njit
def is_lowest(estimand: int, x1: int, x2: int, n2: int) -> bool:
    """Return whether the likelihood ratio says nothing: no success could be moved against."""
    return x1 == 0 or (x2 == n2 and estimand != RATIO)


@njit
def plugin_limit(estimand: int, w1: float, w2: float, n1: int, n2: int) -> float:
    """Return g at the moved proportions, or its logarithm."""
    if estimand == DIFFERENCE:
        return w1 / n1 - w2 / n2
    if estimand == RATIO:
        return math.log(w1 / n1) - math.log(w2 / n2)
    return math.log(w1 / (n1 - w1)) - math.log(w2 / (n2 - w2))


@njit
def likelihood_ratio_key(estimand: int, x1: int, x2: int, n1: int, n2: int, z: float) -> float:
    """Return T(x), a c at which R is z or up to `ABOVE` more; -1 or LOWEST at the end."""
    lowest = -1.0 if estimand == DIFFERENCE else LOWEST
    if is_lowest(estimand, x1, x2, n2):
        return lowest
    w1, w2 = moved(x1, x2, n2)
    high = plugin_limit(estimand, w1, w2, n1, n2)
    goal = z + 0.5 * ABOVE
    above, below = math.inf, -goal  # R - goal at `low` and at `high`
    low = lowest
    if estimand != DIFFERENCE:
        low, reach = high, 0.5
        while not above - goal >= 0.0 or above == math.inf:
            low = high - reach
            above = signed_root(estimand, w1, w2, n1, n2, low)
            if above >= goal:
                break
            reach *= 2.0
        above -= goal
    side = 0
    for turn in range(BISECTIONS):
        if above == math.inf or turn % 8 == 7:
            new = 0.5 * (low + high)
        else:
            new = (low * below - high * above) / (below - above)
        if not low < new < high:
            break
        value = signed_root(estimand, w1, w2, n1, n2, new) - goal
        if abs(value) <= 0.5 * ABOVE:
            return new
        if value > 0.0:
            low, above = new, value
            below *= 0.5 if side == 1 else 1.0
            side = 1
        else:
            high, below = new, value
            above *= 0.5 if side == -1 else 1.0
            side = -1
    return low


@njit
def likelihood_ratio_steps(
    estimand: int, n1: int, n2: int, z: float, limit: float, steps: IntArray
) -> None:
    """Fill `steps` with {R >= z - TIE} at the curve of `limit`, row after row."""
    k = 1
    for j in range(n2 + 1):
        while k <= n1:
            if is_lowest(estimand, k, j, n2):
                k = n1 + 1
                break
            w1, w2 = moved(k, j, n2)
            if signed_root(estimand, w1, w2, n1, n2, limit) >= z - TIE:
                break
            k += 1
        steps[j] = k


@njit
def separate_part(estimand: int, p: float, q: float) -> float:
    """Return f with f(p1) - f(p2) the estimand, or its logarithm; q = 1 - p."""
    if estimand == DIFFERENCE:
        return p if p <= 0.5 else 1.0 - q
    if p <= 0.0:
        return -math.inf
    if estimand == RATIO:
        return math.log(p) if p <= 0.5 else math.log1p(-q)
    return math.log(p / q) if q > 0.0 else math.inf


@njit
def bonferroni_key(estimand: int, x1: int, x2: int, n1: int, n2: int, alpha: float) -> float:
    """Return g of two Clopper-Pearson limits at alpha / 2 each, or its logarithm."""
    p, q = clopper_pearson_lower_pair(x1, n1, 0.5 * alpha)
    u, v = clopper_pearson_upper_pair(x2, n2, 0.5 * alpha)
    first, second = separate_part(estimand, p, q), separate_part(estimand, u, v)
    return first - second if math.isfinite(first) and math.isfinite(second) else LOWEST


@njit
def bonferroni_value(estimand: int, x1: int, x2: int, n1: int, n2: int, alpha: float) -> float:
    """Return g of these limits, rounded down."""
    p, q = clopper_pearson_lower_pair(x1, n1, 0.5 * alpha)
    u, v = clopper_pearson_upper_pair(x2, n2, 0.5 * alpha)
    if estimand == DIFFERENCE:
        return max(-1.0, next_down(p - u if p < 0.5 else v - q))
    ratio = p / u if estimand == RATIO else p * v / (u * q)
    return max(0.0, ratio * (1.0 - 1e-15))


@njit
def extend_by_bonferroni(
    estimand: int, n1: int, n2: int, alpha: float, limit: float, steps: IntArray
) -> None:
    """Lower the step of each row to the smallest x1 whose Bonferroni key is at least `limit`.

    Most rows stay as they are. In a block of them every outcome below its step has at most the
    last row's x1 and at least the first row's x2, so that one key settles the block.
    """
    least = limit - TIE * (1.0 + abs(limit))
    j = 0
    block = 1
    last = -2  # the last row that was lowered
    while j <= n2:
        end = min(n2, j + block - 1)
        x1 = steps[end] - 1
        if x1 < 0 or bonferroni_key(estimand, x1, j, n1, n2, alpha) < least:
            j = end + 1
            block *= 2
        elif block > 1:
            block //= 2
        else:
            below = -1
            if last == j - 1:  # the boundary rises, mostly by little
                x1 = min(x1, steps[last])
                while bonferroni_key(estimand, x1, j, n1, n2, alpha) < least:
                    x1 += 1
                below = x1 - 1
            while x1 - below > 1:
                middle = (x1 + below) // 2
                if bonferroni_key(estimand, middle, j, n1, n2, alpha) >= least:
                    x1 = middle
                else:
                    below = middle
            steps[j] = x1
            last = j
            j += 1


@njit
def one_sample_key(x: int, n: int, alpha: float) -> float:
    """Return p - 1 with p the Clopper-Pearson limit at alpha: a limit of p1 - p2 by one sample.

    With x1 of n1, as p2 <= 1; with the failures n2 - x2 of n2, as p1 >= 0.
    """
    return -clopper_pearson_lower_pair(x, n, alpha)[1]


@njit
def fewest_with_key(n: int, alpha: float, least: float) -> int:
    """Return the smallest x with a one-sample key of at least `least`, n + 1 where none is."""
    low, high = -1, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if one_sample_key(middle, n, alpha) >= least:
            high = middle
        else:
            low = middle
    return high


@njit
def extend_by_one_sample(n1: int, n2: int, alpha: float, limit: float, steps: IntArray) -> None:
    """Lower the steps to where the one-sample key of either sample is at least `limit`."""
    least = limit - TIE * (1.0 + abs(limit))
    first = fewest_with_key(n1, alpha, least)
    last = n2 - fewest_with_key(n2, alpha, least)
    for j in range(n2 + 1):
        steps[j] = 0 if j <= last else min(steps[j], first)


@njit
def ordering_key(
    estimand: int, ordering: int, x1: int, x2: int, n1: int, n2: int, alpha: float
) -> float:
    """Return T(x); -1 or LOWEST where nothing is claimed."""
    key = bonferroni_key(estimand, x1, x2, n1, n2, alpha)
    if ordering == BONFERRONI:
        return key
    if estimand == DIFFERENCE:
        key = max(key, one_sample_key(x1, n1, alpha), one_sample_key(n2 - x2, n2, alpha))
    z = max(SMALLEST_Z, norm_isf(alpha))
    return max(key, likelihood_ratio_key(estimand, x1, x2, n1, n2, z))


@njit
def ordering_steps(
    estimand: int, ordering: int, n1: int, n2: int, alpha: float, limit: float, steps: IntArray
) -> None:
    """Fill `steps` with a set that contains {T >= limit}."""
    if ordering == BONFERRONI:
        steps[:] = n1 + 1
    else:
        z = max(SMALLEST_Z, norm_isf(alpha))
        likelihood_ratio_steps(estimand, n1, n2, z, limit, steps)
        if estimand == DIFFERENCE:
            extend_by_one_sample(n1, n2, alpha, limit, steps)
    extend_by_bonferroni(estimand, n1, n2, alpha, limit, steps)
