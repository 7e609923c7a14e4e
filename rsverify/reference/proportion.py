"""50-digit reference implementations of `rsverify.bounds.proportion`, in mpmath.

Scalars in, ``mpf`` out, nothing rounded outward. A randomized limit is enclosed by a change
of sign at 50 digits; `u` is the uniform tie-breaker itself.
"""

from __future__ import annotations

import mpmath as mp
from mpmath import mpf

from rsverify.reference.special import (
    DIGITS,
    Number,
    beta_lower_inverse,
    binomial_lower_tail,
    binomial_pmf,
    binomial_upper_tail,
    precise,
)


def clopper_pearson_lower(k: int, n: int, alpha: Number, digits: int = DIGITS) -> mpf:
    """Return the p with P(X ≥ k) = alpha, 0 at k = 0."""
    if k == 0:
        return mp.mpf(0)
    return beta_lower_inverse(k, n - k + 1, alpha, digits)[0]


def clopper_pearson_upper(k: int, n: int, alpha: Number, digits: int = DIGITS) -> mpf:
    """Return the p with P(X ≤ k) = alpha, 1 at k = n."""
    if k == n:
        return mp.mpf(1)
    return beta_lower_inverse(n - k, k + 1, alpha, digits)[1]


def randomized_tail(k: int, n: int, p: Number, u: Number, digits: int = DIGITS) -> mpf:
    """Return P(X + U ≥ k + u) = P(X > k) + (1 − u)·P(X = k), U uniform on [0, 1]."""
    with precise(digits):
        q = 1 - mp.mpf(p)
        mass = binomial_pmf(k, n, p, q, digits)
        return binomial_upper_tail(k + 1, n, p, q, digits) + (1 - mp.mpf(u)) * mass


def randomized_lower_tail(k: int, n: int, p: Number, u: Number, digits: int = DIGITS) -> mpf:
    """Return P(X + U ≤ k + u) = P(X < k) + u·P(X = k), U uniform on [0, 1]."""
    with precise(digits):
        q = 1 - mp.mpf(p)
        mass = binomial_pmf(k, n, p, q, digits)
        return binomial_lower_tail(k - 1, n, p, q, digits) + mp.mpf(u) * mass


def randomized_clopper_pearson_lower(
    k: int, n: int, alpha: Number, u: Number, digits: int = DIGITS
) -> mpf:
    """Return the p with P(X + U ≥ k + u) = alpha; 0 or 1 where there is none."""
    return _root(lambda p: randomized_tail(k, n, p, u, digits) - mp.mpf(alpha), digits)


def randomized_clopper_pearson_upper(
    k: int, n: int, alpha: Number, u: Number, digits: int = DIGITS
) -> mpf:
    """Return the p with P(X + U ≤ k + u) = alpha; 1 or 0 where there is none."""
    return _root(lambda p: mp.mpf(alpha) - randomized_lower_tail(k, n, p, u, digits), digits)


def _root(excess: mpf, digits: int) -> mpf:
    """Return the root in [0, 1] of an increasing function, the end beyond which it lies.

    The Illinois method: both ends of the bracket move, its value is their middle.
    """
    with precise(digits):
        low, high = mp.mpf(0), mp.mpf(1)
        below, above = excess(low), excess(high)
        if below >= 0:
            return low
        if above <= 0:
            return high
        side = 0
        while high - low > mp.mpf(10) ** -digits * high:
            middle = (low * above - high * below) / (above - below)
            if not low < middle < high:
                middle = (low + high) / 2
            value = excess(middle)
            if value == 0:
                return middle
            if value < 0:
                low, below = middle, value
                above = above / 2 if side == -1 else above
                side = -1
            else:
                high, above = middle, value
                below = below / 2 if side == 1 else below
                side = 1
        return (low + high) / 2
