"""The likelihood-ratio limit of a trinomial outcome, the heart of the default ordering.

An outcome x = (x1, x2, x3) is first moved against the claim,

    w = (x1 - 1/2, x2 + m, x3),   N = w1 + w2 + w3,

with m from `moved_to_second`, and gets the likelihood-ratio limit of g,

    T(x) = sup{ L : L < g(w / N), D_L(x) >= z^2 / 2 },
    D_L(x) = min_{g(q) = L} sum_i w_i log(w_i / (N q_i)).

The sign of g(w/N) - L times sqrt(2 D_L) is the *signed root* R_L(x); T(x) is the L at which
R_L(x) = z. R_L falls in L, and it rises when a vote moves 3->1, 2->3 or 2->1 (docs/theory.md
has the proof), so T does too and {T >= t} is an upper set.

The moved votes take the discreteness into account. Without them the tail has a spike where
n q2 is about 5, because all outcomes with x2 = 0 come in at once. The values of m were
found by trial: with them the bound was never below Cohen's and Bonferroni's
(coverage_studies/margin_dominance.py). Any values give a valid ordering.

Curves g(q) = L. They are described by one nuisance parameter u:

    difference:  u = min(q1, q2) in [0, (1 - |L|) / 2], q = (u + max(L, 0), u + max(-L, 0), .)
    probit:      u = probit(q2) <= -L / 2,              q = (Phi(u + L), Phi(u), .)
    laplace:     the same with the Laplace distribution function in the place of Phi
"""

from __future__ import annotations

import math

from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE, PROBIT, quantile_pair
from rsverify.kernels.margin.quantiles import curve_kink, quantile_cdf, quantile_pdf
from rsverify.kernels.special import norm_isf, norm_pdf

MOVED_FROM_FIRST = 0.5
SMALLEST_Z = 0.1  # the ordering needs z > 0; above alpha = 0.46 it is the one of 0.46
TIE_ROOT = 1e-6  # signed roots this close to z at the end of a row count as equal
ROW_ERROR = 1e-5  # of the real x1 that `solve_row` returns
BISECTIONS = 200


@njit
def moved_to_second(estimand: int, n: int) -> float:
    """Return m, the votes added to the runner-up before the likelihood ratio is taken.

    For the margins of quantiles m rises smoothly with n, from 1/2 to 0.7: with 1/2 the spike in the
    tail is back from n = 2000 on, and with 0.7 bounds at small n are up to 5 % further from the
    margin. A rule with a step in it would let one more vote for the class lower the bound there.
    """
    if estimand == DIFFERENCE:
        return 0.3
    return 0.5 + 0.2 * n / (n + 1000.0)


@njit
def ordering_z(alpha: float) -> float:
    """Return the normal quantile at which the likelihood-ratio limit is taken."""
    return max(SMALLEST_Z, norm_isf(alpha))


@njit
def curve_point(estimand: int, limit: float, u: float) -> tuple[float, float, float]:
    """Return the point q of the curve g(q) = limit at the nuisance parameter u."""
    if estimand == DIFFERENCE:
        shift = abs(limit)
        q3 = max(0.0, 1.0 - shift - 2.0 * u)
        if limit >= 0.0:
            return u + shift, u, q3
        return u, u + shift, q3
    q1, q2 = quantile_cdf(estimand, u + limit), quantile_cdf(estimand, u)
    # What one takes from the other is not next to 1 where the third may be tiny, so that q1 + q3
    # and q2 + q3 are as exact as q1 and q2.
    if u > 0.0:
        return q1, q2, max(0.0, quantile_cdf(estimand, -u) - q1)
    return q1, q2, max(0.0, quantile_cdf(estimand, -u - limit) - q2)


@njit
def fit_difference(w1: float, w2: float, w3: float, limit: float) -> float:
    """Return the u that maximizes the likelihood of w on q1 - q2 = limit.

    The score equation is the quadratic 2 N u^2 + b u - w_s |L| (1 - |L|) = 0, where w_s
    belongs to the smaller probability; its nonnegative root is taken without cancellation.
    """
    shift = abs(limit)
    small = w2 if limit >= 0.0 else w1
    a = 2.0 * (w1 + w2 + w3)
    b = 2.0 * shift * (small + w3) - (w1 + w2) * (1.0 - shift)
    c = small * shift * (1.0 - shift)
    root = math.sqrt(b * b + 4.0 * a * c)
    u = (root - b) / (2.0 * a) if b <= 0.0 else 2.0 * c / (b + root)
    return min(u, 0.5 * (1.0 - shift))


@njit
def probit_score(w1: float, w2: float, w3: float, limit: float, u: float) -> tuple[float, float]:
    """Return the first two derivatives in u of the log-likelihood on the probit curve."""
    q1, q2, q3 = curve_point(PROBIT, limit, u)
    d1 = norm_pdf(u + limit)
    d2 = norm_pdf(u)
    # Hazards; for a tiny probability phi/Phi tends to -u, also where both underflow.
    h1 = d1 / q1 if q1 > 0.0 else -(u + limit)
    h2 = d2 / q2 if q2 > 0.0 else -u
    score = w1 * h1 + w2 * h2
    slope = -w1 * h1 * (h1 + u + limit) - w2 * h2 * (h2 + u)
    if w3 > 0.0:
        if q3 <= 0.0:
            return -math.inf, -math.inf
        h3 = (d1 + d2) / q3
        score -= w3 * h3
        slope -= w3 * (h3 * h3 - ((u + limit) * d1 + u * d2) / q3)
    return score, slope


@njit
def fit_probit(w1: float, w2: float, w3: float, limit: float, start: float) -> float:
    """Return the u that maximizes the likelihood of w on the probit curve.

    The log-likelihood is concave in u: log Phi is, and q3 is the integral of a log-concave
    density over an interval affine in u (Prekopa). Newton's method from `start`, kept in
    a bracket.
    """
    top = -0.5 * limit
    if w3 <= 0.0:
        return top
    low = -40.0 - abs(limit)
    high = top
    u = start if low < start < top else top - 1.0
    for _ in range(BISECTIONS):
        score, slope = probit_score(w1, w2, w3, limit, u)
        if score > 0.0:
            low = u
        else:
            high = u
        new = u - score / slope if slope < 0.0 and math.isfinite(score) else low
        if not low < new < high:
            new = 0.5 * (low + high)
        # Newton's error after a step is of the order of the step squared over the distance to
        # the top, where q3 and with it the likelihood vanish; steps are short close to it.
        if abs(new - u) <= 1e-6 * min(1.0, top - new) or not low < new < high:
            return new
        u = new
    return u


@njit
def laplace_score(w1: float, w2: float, w3: float, limit: float, u: float) -> tuple[float, float]:
    """Return the first two derivatives in u of the log-likelihood on the Laplace curve."""
    _, _, q3 = curve_point(LAPLACE, limit, u)
    d1, d2 = quantile_pdf(LAPLACE, u + limit), quantile_pdf(LAPLACE, u)
    # Hazards, which are 1 left of the distribution's center.
    h1, h2 = 1.0, 1.0
    bend, slope = d1 + d2, 0.0
    if u + limit > 0.0:
        h1 = d1 / (1.0 - d1)
        bend -= 2.0 * d1
        slope -= w1 * h1 * (1.0 + h1)
    if u > 0.0:
        h2 = d2 / (1.0 - d2)
        bend -= 2.0 * d2
        slope -= w2 * h2 * (1.0 + h2)
    score = w1 * h1 + w2 * h2
    if w3 > 0.0:
        if q3 <= 0.0:
            return -math.inf, -math.inf
        h3 = (d1 + d2) / q3
        score -= w3 * h3
        slope -= w3 * (h3 * h3 + bend / q3)
    return score, slope


@njit
def fit_laplace(w1: float, w2: float, w3: float, limit: float, start: float) -> float:
    """Return the u that maximizes the likelihood of w on the Laplace curve, concave in u.

    Below the kink q1 / q2 = exp(L), so that the maximum is at the share of both classes; above it
    by Newton's method from `start`, kept in a bracket.
    """
    top = -0.5 * limit
    if w3 <= 0.0:
        return top
    kink = curve_kink(LAPLACE, limit)
    u = math.log(2.0 * (w1 + w2) / ((w1 + w2 + w3) * (1.0 + math.exp(limit))))
    if u <= kink:
        return u
    low, high = kink, top
    u = start if low < start < top else 0.5 * (low + top)
    for _ in range(BISECTIONS):
        score, slope = laplace_score(w1, w2, w3, limit, u)
        if score > 0.0:
            low = u
        else:
            high = u
        new = u - score / slope if slope < 0.0 and math.isfinite(score) else low
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - u) <= 1e-6 * min(1.0, top - new) or not low < new < high:
            return new
        u = new
    return u


@njit
def fit_nuisance(
    estimand: int, w1: float, w2: float, w3: float, limit: float, start: float
) -> float:
    """Return the nuisance parameter of the most likely point on the curve g = limit."""
    if estimand == DIFFERENCE:
        return fit_difference(w1, w2, w3, limit)
    if estimand == LAPLACE:
        return fit_laplace(w1, w2, w3, limit, start)
    return fit_probit(w1, w2, w3, limit, start)


@njit
def deviance_part(w: float, expected: float) -> float:
    """Return w log(w / expected), 0 at w = 0 and infinity where only `expected` is 0."""
    if w <= 0.0:
        return 0.0
    if expected <= 0.0:
        return math.inf
    return w * math.log(w / expected)


@njit
def signed_root(
    estimand: int, w1: float, w2: float, w3: float, limit: float, u: float
) -> tuple[float, float, float]:
    """Return R_L and its derivatives in x1 (from x3) and in L, at the fitted nuisance u.

    The derivatives hold u fixed (envelope theorem).
    """
    total = w1 + w2 + w3
    q1, q2, q3 = curve_point(estimand, limit, u)
    deviance = (
        deviance_part(w1, total * q1)
        + deviance_part(w2, total * q2)
        + deviance_part(w3, total * q3)
    )
    if deviance == math.inf:
        return math.inf, math.inf, -math.inf
    size = math.sqrt(2.0 * max(deviance, 0.0))
    # On the upper side of the curve w1 / q1 >= w2 / q2 (docs/theory.md).
    root = size if w1 * q2 >= w2 * q1 else -size
    if root == 0.0:
        return 0.0, math.inf, -math.inf
    slope_x = math.inf
    if w1 > 0.0 and w3 > 0.0:
        slope_x = math.log(w1 * q3 / (q1 * w3)) / root
    if estimand == DIFFERENCE:
        # d/dL of -sum w log q with u fixed; which entries move depends on the sign of L.
        pull = w3 / q3 if w3 > 0.0 else 0.0
        slope_limit = (pull - w1 / q1) / root if limit >= 0.0 else (w2 / q2 - pull) / root
    else:
        density = quantile_pdf(estimand, u + limit)
        pull = w3 * density / q3 if w3 > 0.0 else 0.0
        slope_limit = (pull - w1 * density / q1) / root
        if w3 <= 0.0:
            # u is held at -L/2 by the simplex, so it moves with L.
            half = 0.5 * limit
            slope_limit = 0.5 * (w2 / q2 - w1 / q1) * quantile_pdf(estimand, half) / root
    if estimand == DIFFERENCE and w3 <= 0.0:
        slope_limit = 0.5 * (w2 / q2 - w1 / q1) / root
    return root, slope_x, slope_limit


@njit
def plugin_margin(estimand: int, w1: float, w2: float, w3: float) -> float:
    """Return g at the moved outcome's proportions."""
    total = w1 + w2 + w3
    if estimand == DIFFERENCE:
        return (w1 - w2) / total
    rest = (w2 + w3) / total
    second = w2 / total
    first = quantile_pair(estimand, 1.0 - rest, rest)
    return first - quantile_pair(estimand, second, 1.0 - second)


@njit
def likelihood_ratio_limit(estimand: int, x1: int, x2: int, n: int, z: float) -> float:
    """Return T(x), the L at which the signed root equals z; -1 or -inf where x1 = 0."""
    if x1 == 0:
        return -1.0 if estimand == DIFFERENCE else -math.inf
    w1 = x1 - MOVED_FROM_FIRST
    w2 = x2 + moved_to_second(estimand, n)
    w3 = float(n - x1 - x2)
    high = plugin_margin(estimand, w1, w2, w3)
    low = -1.0 if estimand == DIFFERENCE else high - 80.0
    limit = 0.5 * (low + high) if estimand == DIFFERENCE else high - 0.1
    start = math.nan
    for _ in range(BISECTIONS):
        u = fit_nuisance(estimand, w1, w2, w3, limit, start)
        start = u
        root, _, slope = signed_root(estimand, w1, w2, w3, limit, u)
        if root > z:
            low = limit
        else:
            high = limit
        new = limit - (root - z) / slope if math.isfinite(root) and slope < 0.0 else low
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - limit) <= 1e-14 * (1.0 + abs(limit)) or not low < new < high:
            return new
        limit = new
    return limit


@njit
def solve_row(
    estimand: int, x2: int, n: int, z: float, limit: float, guess: float, start: float
) -> tuple[float, float]:
    """Return the real x1 at which the signed root of row x2 equals z, and its nuisance.

    The result is above n - x2 where the whole row is below z, and 1/2 (no vote left) where
    the whole row is above. `guess` and `start` are the previous row's.
    """
    w2 = x2 + moved_to_second(estimand, n)
    top = float(n - x2)
    low = MOVED_FROM_FIRST
    high = top
    x1 = min(max(guess, low + 1e-3), high)
    u = start
    for _ in range(BISECTIONS):
        w1 = x1 - MOVED_FROM_FIRST
        w3 = top - x1
        u = fit_nuisance(estimand, w1, w2, w3, limit, u)
        root, slope, _ = signed_root(estimand, w1, w2, w3, limit, u)
        if root >= z:
            high = x1
        else:
            low = x1
            if x1 >= top:
                # The slope is infinite where w3 = 0; a root within rounding of z is a tie.
                return (top if root > z - TIE_ROOT else top + 1.0), u
        new = x1 - (root - z) / slope if 0.0 < slope < math.inf else 0.5 * (low + high)
        if not low < new < high:
            # A step past the top is tried at the top itself before bisecting.
            new = top if new >= high and high == top and x1 < top else 0.5 * (low + high)
        if abs(new - x1) <= ROW_ERROR:
            return new, u
        x1 = new
    return x1, u
