"""50-digit reference implementations of `rsverify.bounds.proportion`.

Scalars in, ``mpf`` out, nothing rounded outward. A randomized limit is enclosed by a change
of sign at 50 digits, which is proved; `u` is the uniform tie-breaker itself.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
from mpmath import mpf

from rsverify.reference.special import (
    DIGITS,
    Number,
    ball,
    beta_lower_inverse,
    enclosed,
    pmf_ball,
    precise,
    upper_tail_ball,
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
    q = _rest(p, digits)
    return enclosed(
        lambda: upper_tail_ball(k + 1, n, p, q) + (1 - ball(u)) * pmf_ball(k, n, p, q), digits
    )


def randomized_lower_tail(k: int, n: int, p: Number, u: Number, digits: int = DIGITS) -> mpf:
    """Return P(X + U ≤ k + u) = P(X < k) + u·P(X = k), U uniform on [0, 1]."""
    q = _rest(p, digits)
    return enclosed(
        lambda: upper_tail_ball(n - k + 1, n, q, p) + ball(u) * pmf_ball(k, n, p, q), digits
    )


def _rest(p: Number, digits: int) -> mpf:
    with precise(digits):
        return 1 - mp.mpf(p)


def randomized_clopper_pearson_lower(
    k: int, n: int, alpha: Number, u: Number, digits: int = DIGITS
) -> mpf:
    """Return the p with P(X + U ≥ k + u) = alpha; 0 or 1 where there is none."""
    if k == 0 and 1 - mp.mpf(u) >= alpha:
        return mp.mpf(0)
    if k == n and 1 - mp.mpf(u) <= alpha:
        return mp.mpf(1)
    if u == 1:
        return clopper_pearson_lower(k + 1, n, alpha, digits)
    # P(X + U ≥ k + u) lies between P(X ≥ k) and P(X ≥ k + 1).
    ends = [clopper_pearson_lower(j, n, alpha, 15) if j <= n else 1 for j in (k, k + 1)]
    return _root(lambda p, used: mp.log(randomized_tail(k, n, p, u, used) / alpha), ends, digits)


def randomized_clopper_pearson_upper(
    k: int, n: int, alpha: Number, u: Number, digits: int = DIGITS
) -> mpf:
    """Return the p with P(X + U ≤ k + u) = alpha; 1 or 0 where there is none."""
    if k == n and u >= alpha:
        return mp.mpf(1)
    if k == 0 and u <= alpha:
        return mp.mpf(0)
    if u == 0:
        return clopper_pearson_upper(k - 1, n, alpha, digits)
    ends = [clopper_pearson_upper(j, n, alpha, 15) if j >= 0 else 0 for j in (k - 1, k)]
    return _root(
        lambda p, used: -mp.log(randomized_lower_tail(k, n, p, u, used) / alpha), ends, digits
    )


def _root(excess: Callable[[Number, int], mpf], ends: list[Number], digits: int) -> mpf:
    """Return the root of an increasing function between two ends, or raise.

    `excess` takes a place and the digits to compute with: few first, and all at last.
    """
    with precise(digits + 5):
        near = mp.mpf(10) ** -digits
        low, high = ends[0] * (1 - mp.mpf("1e-12")), min(ends[1] * (1 + mp.mpf("1e-12")), 1)
        root = mp.findroot(
            lambda p: excess(p, 20),
            (low, high),
            solver="anderson",
            tol=high * mp.mpf("1e-16"),
            maxsteps=100,
            verify=False,
        )
        root = mp.findroot(
            lambda p: excess(p, digits + 5),
            (root, root * (1 + mp.mpf("1e-15"))),
            solver="secant",
            tol=root * near,
            maxsteps=20,
            verify=False,
        )
        if not excess(root * (1 - near), digits + 5) <= 0 <= excess(root * (1 + near), digits + 5):
            raise ArithmeticError(f"no root was found between {ends[0]} and {ends[1]}")
        return root
