"""The normal distribution, incomplete beta and binomial tails to 50 digits, in mpmath.

Slow and plain. Nothing is shared with `rsverify.kernels`: tails are sums of positive terms
instead of continued fractions, and densities come from mpmath's log-gamma function instead
of deviances. Arguments are floats or ``mpf``, taken as exact.

As in the kernels, x and y = 1 − x (likewise p and q) are passed together, and the smaller
of the two is the one that counts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TypeAlias

import mpmath as mp
from mpmath import mpf

Number: TypeAlias = mpf  # int, float or mpf: mpmath is untyped, its number is anything

DIGITS = 50
_GUARD = 15  # digits lost to log-gamma at 1e7 (8) and to sums of 1e5 terms (5), and two more


def precise(digits: int = DIGITS) -> AbstractContextManager[None]:
    """Return a context in which mpmath computes with `digits` and the guard digits."""
    context: AbstractContextManager[None] = mp.workdps(digits + _GUARD)
    return context


def complete_pair(x: Number, y: Number) -> tuple[mpf, mpf]:
    """Return x and 1 − x at the working precision, from the smaller of `x` and `y`."""
    if x <= y:
        return mp.mpf(x), 1 - mp.mpf(x)
    return 1 - mp.mpf(y), mp.mpf(y)


def norm_pdf(z: Number, digits: int = DIGITS) -> mpf:
    """Return φ(z)."""
    with precise(digits):
        return mp.exp(-(mp.mpf(z) ** 2) / 2) / mp.sqrt(2 * mp.pi)


def norm_cdf(z: Number, digits: int = DIGITS) -> mpf:
    """Return Φ(z)."""
    with precise(digits):
        return mp.erfc(-mp.mpf(z) / mp.sqrt(2)) / 2


def norm_sf(z: Number, digits: int = DIGITS) -> mpf:
    """Return 1 − Φ(z)."""
    return norm_cdf(-z, digits)


def laplace_cdf(z: Number, digits: int = DIGITS) -> mpf:
    """Return the distribution function of the standard Laplace distribution."""
    with precise(digits):
        return mp.exp(z) / 2 if z < 0 else 1 - mp.exp(-mp.mpf(z)) / 2


def laplace_ppf(p: Number, digits: int = DIGITS) -> mpf:
    """Return its inverse, on (0, 1)."""
    with precise(digits):
        p = mp.mpf(p)
        return mp.log(2 * p) if 2 * p < 1 else -mp.log(2 * (1 - p))


def norm_isf(p: Number, digits: int = DIGITS) -> mpf:
    """Return the z with 1 − Φ(z) = p, by Newton's method on log(1 − Φ), which is concave."""
    with precise(digits):
        p = mp.mpf(p)
        if p > 0.5:
            return -norm_isf(1 - p, digits)
        z = mp.sqrt(-2 * mp.log(2 * p))  # at or above the root, as 1 − Φ(z) ≤ exp(−z²/2)/2
        for _ in range(200):
            tail = norm_sf(z, digits)
            step = tail * mp.log(tail / p) / norm_pdf(z, digits)
            z += step
            if abs(step) <= mp.mpf(10) ** -(digits + 5) * z:
                return z
    raise ArithmeticError(f"norm_isf({p}) did not converge")


def norm_ppf(p: Number, digits: int = DIGITS) -> mpf:
    """Return Φ⁻¹(p)."""
    return -norm_isf(p, digits)


def beta_weight(a: Number, b: Number, x: Number, y: Number, digits: int = DIGITS) -> mpf:
    """Return xᵃyᵇ/B(a, b)."""
    with precise(digits):
        x, y = complete_pair(x, y)
        a, b = mp.mpf(a), mp.mpf(b)
        log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
        return mp.exp(a * mp.log(x) + b * mp.log(y) - log_beta)


def _finite_sum(a: int, b: int, odds: mpf) -> mpf:
    """Return Σⱼ (b−1)⋯(b−j)/((a+1)⋯(a+j))·oddsʲ, j = 0..b−1, in fixed-point arithmetic."""
    bits = mp.mp.prec + 40
    one = 1 << bits
    ratio = int(mp.floor(odds * one))
    term = total = one
    for j in range(1, b):
        term = (term * (b - j) * ratio // (a + j)) >> bits
        if term == 0:
            break
        total += term
    return mp.mpf(total) / one


def _series(a: mpf, b: mpf, x: mpf) -> mpf:
    """Return Σⱼ (a+b)⋯(a+b+j−1)/((a+1)⋯(a+j))·xʲ, j = 0, 1, ..."""
    term = total = mp.mpf(1)
    j = 0
    while term > total * mp.eps:
        term *= (a + b + j) / (a + 1 + j) * x
        total += term
        j += 1
    return total


def beta_lower(a: Number, b: Number, x: Number, y: Number, digits: int = DIGITS) -> mpf:
    """Return I_x(a, b), as a sum of positive terms on the side of the mean that holds x."""
    with precise(digits):
        x, y = complete_pair(x, y)
        if x == 0 or y == 0:
            return mp.mpf(x == 1)
        if a * y < b * x:
            return 1 - beta_lower(b, a, y, x, digits)
        weight = beta_weight(a, b, x, y, digits) / a
        if a == int(a) and b == int(b):
            return weight / y * _finite_sum(int(a), int(b), x / y)
        return weight * _series(mp.mpf(a), mp.mpf(b), x)


def beta_upper(a: Number, b: Number, x: Number, y: Number, digits: int = DIGITS) -> mpf:
    """Return 1 − I_x(a, b)."""
    return beta_lower(b, a, y, x, digits)


def beta_lower_inverse(a: Number, b: Number, p: Number, digits: int = DIGITS) -> tuple[mpf, mpf]:
    """Return (x, 1 − x) with I_x(a, b) = p, for a, b ≥ 1.

    log I is increasing and concave in logit x, so Newton's method converges from any start;
    most steps are taken at 15 digits, the last at full precision.
    """
    with precise(digits):
        p = mp.mpf(p)
        if p <= 0 or p >= 1:
            return mp.mpf(p >= 1), mp.mpf(p <= 0)
        if p > 0.5:
            y, x = beta_lower_inverse(b, a, 1 - p, digits)
            return x, y
        log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b)
        # I_x(a, b) ≤ (x/y)ᵃ/(a·B(a, b)): a start at or below the root.
        t = (mp.log(p) + mp.log(a) + log_beta) / a
    for used, tolerance in ((15, mp.mpf("1e-12")), (digits, mp.mpf(10) ** -(digits + 5))):
        with precise(used):
            for _ in range(400):
                x, y = 1 / (1 + mp.exp(-t)), 1 / (1 + mp.exp(t))
                value = beta_lower(a, b, x, y, used)
                step = -value * mp.log(value / p) / beta_weight(a, b, x, y, used)
                t += step
                if abs(step) <= tolerance:
                    break
            else:
                raise ArithmeticError(f"beta_lower_inverse({a}, {b}, {p}) did not converge")
    with precise(digits):
        return 1 / (1 + mp.exp(-t)), 1 / (1 + mp.exp(t))


def beta_upper_inverse(a: Number, b: Number, p: Number, digits: int = DIGITS) -> tuple[mpf, mpf]:
    """Return (x, 1 − x) with 1 − I_x(a, b) = p, for a, b ≥ 1."""
    y, x = beta_lower_inverse(b, a, p, digits)
    return x, y


def binomial_pmf(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X = k) for X ~ Bin(n, p) and q = 1 − p."""
    with precise(digits):
        p, q = complete_pair(p, q)
        log_choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
        if p == 0 or q == 0:
            return mp.mpf(k == (0 if p == 0 else n))
        return mp.exp(log_choose + k * mp.log(p) + (n - k) * mp.log(q))


def binomial_upper_tail(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X ≥ k) for X ~ Bin(n, p) and q = 1 − p."""
    if k <= 0 or k > n:
        return mp.mpf(k <= 0)
    return beta_lower(k, n - k + 1, p, q, digits)


def binomial_lower_tail(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X ≤ k) for X ~ Bin(n, p) and q = 1 − p."""
    return binomial_upper_tail(n - k, n, q, p, digits)
