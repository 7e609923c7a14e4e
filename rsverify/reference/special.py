"""The normal distribution, incomplete beta and binomial tails, in ball arithmetic.

Every value is computed by arb (python-flint) at rising precision, until the ball that encloses it
is narrower than the digits that were asked for: they are proved, and no digits are kept in
reserve. A root is found by mpmath and then proved by the sign of what changes there. Nothing is
shared with `rsverify.kernels`. Arguments are floats or ``mpf``, taken as exact; results are
``mpf``.

As in the kernels, x and y = 1 − x (likewise p and q) are passed together, and the smaller
of the two is the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeAlias

import mpmath as mp
from flint import arb, ctx
from mpmath import mpf

Number: TypeAlias = mpf  # int, float or mpf: mpmath is untyped, its number is anything

DIGITS = 50
_MOST_BITS = 2**16
_BITS_A_DIGIT = 3.33


def precise(digits: int = DIGITS) -> AbstractContextManager[None]:
    """Return a context in which mpmath's sums and differences keep `digits`.

    Fifteen more are for what plain sums of up to 10⁵ terms and log-gamma functions at 10⁷ lose.
    """
    context: AbstractContextManager[None] = mp.workdps(digits + 15)
    return context


def ball(x: Number) -> arb:
    """Return a number as a ball of radius 0."""
    if not isinstance(x, mpf):
        return arb(x)
    if not mp.isfinite(x):
        return arb(float(x))
    return arb((int(x.man) if x >= 0 else -int(x.man), int(x.exp)))


def number(middle: arb) -> mpf:
    """Return the middle of a ball, exactly."""
    if not middle.is_finite():
        return mp.mpf(float(middle))
    man, exp = middle.mid().man_exp()
    with mp.workprec(max(int(man).bit_length(), 53)):
        return mp.mpf((int(man), int(exp)))


def enclosed(value: Callable[[], arb], digits: int = DIGITS) -> mpf:
    """Return a value to `digits`, computed at rising precision until they are certain."""
    wanted = _BITS_A_DIGIT * digits
    bits = int(wanted) + 32
    while bits <= _MOST_BITS:
        with ctx.workprec(bits):
            found = value()
        if found.rel_accuracy_bits() > wanted or (found.is_exact() and not found.is_nan()):
            return number(found)
        bits *= 2
    raise ArithmeticError(f"{_MOST_BITS} bits do not tell {digits} digits of {found}")


def norm_pdf(z: Number, digits: int = DIGITS) -> mpf:
    """Return φ(z)."""
    return enclosed(lambda: (-(ball(z) ** 2) / 2).exp() / (2 * arb.pi()).sqrt(), digits)


def norm_cdf(z: Number, digits: int = DIGITS) -> mpf:
    """Return Φ(z)."""
    return enclosed(lambda: (-ball(z) / arb(2).sqrt()).erfc() / 2, digits)


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
    """Return the z with 1 − Φ(z) = p."""
    return enclosed(lambda: (2 * ball(p)).erfcinv() * arb(2).sqrt(), digits)


def norm_ppf(p: Number, digits: int = DIGITS) -> mpf:
    """Return Φ⁻¹(p)."""
    return -norm_isf(p, digits)


def pair_of_balls(x: Number, y: Number) -> tuple[arb, arb]:
    """Enclose x and 1 − x, from the smaller of `x` and `y`."""
    return (ball(x), 1 - ball(x)) if x <= y else (1 - ball(y), ball(y))


def _beta_ball(a: arb, b: arb, x: arb, y: arb) -> arb:
    """Enclose I_x(a, b), from the side of the mean on which it is the smaller part."""
    if not a * y >= b * x:
        return 1 - _below_mean(b, a, y, x)
    return _below_mean(a, b, x, y)


def _below_mean(a: arb, b: arb, x: arb, y: arb) -> arb:
    """Enclose I_x(a, b) for a y ≥ b x.

    Of whole numbers it is a finite sum of positive terms, whose ratios fall: the rest is at most a
    geometric series. Arb's own function takes fifty times as long.
    """
    if not (a.is_integer() and b.is_integer() and x > 0):
        return x.beta_lower(a, b, 1)
    term = total = rest = arb(1)
    least, odds = arb(2) ** -ctx.prec, x / y
    for j in range(1, int(float(b))):
        ratio = (b - j) / (a + j) * odds
        term *= ratio
        total += term
        if ratio < 1:
            rest = term * ratio / (1 - ratio)
            if rest < least * total:
                total += rest.union(arb(0))
                break
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return (a * x.log() + (b - 1) * y.log() - log_beta).exp() / a * total


def beta_lower(a: Number, b: Number, x: Number, y: Number, digits: int = DIGITS) -> mpf:
    """Return I_x(a, b)."""
    return enclosed(lambda: _beta_ball(ball(a), ball(b), *pair_of_balls(x, y)), digits)


def beta_upper(a: Number, b: Number, x: Number, y: Number, digits: int = DIGITS) -> mpf:
    """Return 1 − I_x(a, b)."""
    return beta_lower(b, a, y, x, digits)


def beta_lower_inverse(a: Number, b: Number, p: Number, digits: int = DIGITS) -> tuple[mpf, mpf]:
    """Return (x, 1 − x) with I_x(a, b) = p, for a, b ≥ 1.

    log I is increasing and concave in t = logit x, so that Newton's method converges from any
    start. That I is less than p just below the t found, and more just above it, is then proved.
    """
    if p <= 0 or p >= 1:
        return mp.mpf(p >= 1), mp.mpf(p <= 0)
    if p > 0.5:
        with precise(digits):
            rest = 1 - mp.mpf(p)
        y, x = beta_lower_inverse(b, a, rest, digits)
        return x, y

    def at(t: Number, used: int) -> tuple[mpf, mpf]:
        with precise(used):
            return 1 / (1 + mp.exp(-t)), 1 / (1 + mp.exp(t))

    def log_ratio(t: Number, used: int) -> mpf:
        return mp.log(beta_lower(a, b, *at(t, used), used) / p)

    def slope(t: Number) -> mpf:  # of log I; what Newton's steps need of it is a few digits
        x, y = at(t, 15)
        weight = mp.exp(a * mp.log(x) + b * mp.log(y) - log_beta)
        return weight / beta_lower(a, b, x, y, 15)

    with precise(15):
        log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b)
        # I_x(a, b) ≤ (x/y)ᵃ/(a·B(a, b)): a start at or below the root.
        t = (mp.log(p) + mp.log(a) + log_beta) / a
    for used, step in ((15, mp.mpf("1e-12")), (digits + 5, mp.mpf(10) ** -(digits - 5))):
        with precise(used):
            t = mp.findroot(
                partial(log_ratio, used=used),
                t,
                df=slope,
                solver="newton",
                tol=step,
                maxsteps=400,
                verify=False,
            )
    with precise(digits + 5):
        near = mp.mpf(10) ** -digits
        if not log_ratio(t - near, digits + 5) < 0 < log_ratio(t + near, digits + 5):
            raise ArithmeticError(f"beta_lower_inverse({a}, {b}, {p}) was not found")
    return at(t, digits)


def beta_upper_inverse(a: Number, b: Number, p: Number, digits: int = DIGITS) -> tuple[mpf, mpf]:
    """Return (x, 1 − x) with 1 − I_x(a, b) = p, for a, b ≥ 1."""
    y, x = beta_lower_inverse(b, a, p, digits)
    return x, y


def pmf_ball(k: int, n: int, p: Number, q: Number) -> arb:
    """Enclose P(X = k) for X ~ Bin(n, p) and q = 1 − p."""
    success, failure = pair_of_balls(p, q)
    choose = (arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()).exp()
    return choose * success**k * failure ** (n - k)


def upper_tail_ball(k: int, n: int, p: Number, q: Number) -> arb:
    """Enclose P(X ≥ k) for X ~ Bin(n, p) and q = 1 − p."""
    if k <= 0 or k > n:
        return arb(int(k <= 0))
    return _beta_ball(arb(k), arb(n - k + 1), *pair_of_balls(p, q))


def binomial_pmf(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X = k) for X ~ Bin(n, p) and q = 1 − p."""
    return enclosed(lambda: pmf_ball(k, n, p, q), digits)


def binomial_upper_tail(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X ≥ k) for X ~ Bin(n, p) and q = 1 − p."""
    return enclosed(lambda: upper_tail_ball(k, n, p, q), digits)


def binomial_lower_tail(k: int, n: int, p: Number, q: Number, digits: int = DIGITS) -> mpf:
    """Return P(X ≤ k) for X ~ Bin(n, p) and q = 1 − p."""
    return binomial_upper_tail(n - k, n, q, p, digits)
