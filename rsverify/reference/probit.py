"""Reference implementation of `rsverify.probit`: exact rationals and mpmath.

The coefficients come from the rational recurrence itself, in `fractions.Fraction`, and Φ⁻¹
from mpmath's `erfinv`, which shares no code with SciPy's rational approximations.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import mpmath


@functools.cache
def recurrence(count: int) -> tuple[Fraction, ...]:
    """Return e_0 .. e_{count−1} exactly: e_k = Σ_{j<k} e_j e_{k−1−j} / ((j+1)(2j+1))."""
    e = [Fraction(1)]
    for k in range(1, count):
        e.append(
            sum(
                (e[j] * e[k - 1 - j] / ((j + 1) * (2 * j + 1)) for j in range(k)),
                start=Fraction(0),
            )
        )
    return tuple(e[:count])


def _mpf(value: Fraction) -> mpmath.mpf:
    return mpmath.mpf(value.numerator) / value.denominator


def taylor_coefficients(order: int) -> list[mpmath.mpf]:
    """Return c_0 .. c_order at the working precision of mpmath."""
    root = mpmath.sqrt(mpmath.pi)
    return [
        mpmath.sqrt(2) * _mpf(e) * root ** (2 * k + 1) / (2 * k + 1)
        for k, e in enumerate(recurrence(order + 1))
    ]


def taylor_probit(p: mpmath.mpf | float, order: int) -> mpmath.mpf:
    """Evaluate Φ_M⁻¹(p) term by term at the working precision."""
    v = mpmath.mpf(p) - mpmath.mpf(1) / 2
    return mpmath.fsum(c * v ** (2 * k + 1) for k, c in enumerate(taylor_coefficients(order)))


def probit(p: mpmath.mpf | float) -> mpmath.mpf:
    """Evaluate Φ⁻¹(p) at the working precision; −inf at 0 and +inf at 1.

    `erfinv` loses the digits of a small `p` in 2p − 1, so the precision is raised by as
    many digits as `p` or 1 − p has leading zeros.
    """
    p = mpmath.mpf(p)
    if p in (0, 1):
        return mpmath.inf if p == 1 else -mpmath.inf
    zeros = max(0, -int(mpmath.log10(min(p, 1 - p))))
    with mpmath.extradps(zeros + 5):
        value = mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)
    return +value
