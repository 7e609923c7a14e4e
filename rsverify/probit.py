"""The probit function Φ⁻¹, its Taylor polynomial about ½, and a proven remainder.

With x = 2p − 1, Φ⁻¹(p) = Σ_k a_k x^(2k+1) on |x| < 1, where [1]_

    a_k = c_k / 2^(2k+1) = √2 (√π/2)^(2k+1) e_k / (2k+1),
    e_0 = 1,   e_k = Σ_{j<k} e_j e_{k−1−j} / ((j+1)(2j+1)).

Two facts carry everything below; the proofs are in ``docs/theory.md``.

* Every e_k is positive.
* The e_k are log-convex, so the ratios a_{k+1}/a_k increase; their limit is 1.

Hence the remainder Σ_{k>M} a_k x^(2k+1) lies, for 0 ≤ x < 1, between two geometric series
with first term a_{M+1} x^(2M+3): ratio x² a_{M+2}/a_{M+1} from below, x² from above.

References
----------
.. [1] L. Carlitz, "The inverse of the error function", Pacific J. Math. 13 (1963) 459-470.
"""

from __future__ import annotations

import functools
from typing import overload

import mpmath
import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_order, check_probability
from rsverify._core.jit import njit
from rsverify._core.rows import map_rows
from rsverify._core.types import FloatLike
from rsverify.kernels.special import norm_ppf

__all__ = ["MAX_ORDER", "probit", "taylor_coefficients", "taylor_probit", "taylor_remainder"]

MAX_ORDER = 500
"""Largest order M; c_k leaves the range of float64 soon after."""

# A Horner step costs two roundings; a_k and x² start with one each. The terms are all of one
# sign, so the relative error of the sum is at most (2M + 3) units of 2⁻⁵³ (first order).
_UNIT = 2.0**-53


@functools.cache
def _scaled_coefficients(count: int) -> FloatArray:
    """Return a_0 .. a_{count−1}, each correctly rounded but for double rounding."""
    with mpmath.workdps(40):
        # g_k = e_k (π/4)^k stays in (0, 1], and sums of positive terms lose no digits.
        quarter_pi = mpmath.pi / 4
        g = [mpmath.mpf(1)]
        weighted = [mpmath.mpf(1)]  # g_j / ((j+1)(2j+1))
        for k in range(1, count):
            g.append(quarter_pi * mpmath.fdot(weighted, reversed(g)))
            weighted.append(g[k] / ((k + 1) * (2 * k + 1)))
        scale = mpmath.sqrt(mpmath.pi / 2)
        values = np.array([float(scale * g[k] / (2 * k + 1)) for k in range(count)])
    values.flags.writeable = False
    return values


def taylor_coefficients(order: int) -> FloatArray:
    """Return the Taylor coefficients c_0 .. c_M of Φ⁻¹ about ½.

    Φ⁻¹(p) = Σ_k c_k (p − ½)^(2k+1); the even powers vanish.

    Parameters
    ----------
    order : int
        M, the index of the last coefficient, in [0, 500]. The polynomial has M + 1 terms
        and degree 2M + 1.

    Returns
    -------
    ndarray, shape (M + 1,)
        All positive; ``c_0 = √(2π)``.

    Raises
    ------
    TypeError
        If `order` is not a number.
    ValueError
        If `order` is not an integer in [0, 500].

    Notes
    -----
    *Guarantee*: deterministic; each value is within 1 unit in the last place of c_k.

    References
    ----------
    .. [1] L. Carlitz, "The inverse of the error function", Pacific J. Math. 13 (1963).

    Examples
    --------
    >>> taylor_coefficients(2).round(6).tolist()
    [2.506628, 2.624935, 5.772534]
    """
    m = check_order(order, MAX_ORDER)
    return np.ldexp(_scaled_coefficients(m + 1), 2 * np.arange(m + 1) + 1)  # c_k = 2^(2k+1) a_k


@overload
def taylor_probit(p: FloatLike, order: int) -> float: ...
@overload
def taylor_probit(p: npt.ArrayLike, order: int) -> FloatArray: ...
def taylor_probit(p: npt.ArrayLike, order: int) -> FloatArray | float:
    """Evaluate Φ_M⁻¹, the Taylor polynomial of Φ⁻¹ about ½.

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1], any shape.
    order : int
        M, the index of the last coefficient, in [0, 500].

    Returns
    -------
    float or ndarray
        Φ_M⁻¹(p), of the shape of `p`; finite also at 0 and 1.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If a probability is outside [0, 1] or `order` is not an integer in [0, 500].

    Notes
    -----
    *Guarantee*: in exact arithmetic ``Φ_M⁻¹(p) ≤ Φ⁻¹(p)`` for p ≥ ½ and ``≥`` for p ≤ ½,
    increasingly tight in M (Lemma 2 of the theory page). The float value is exactly
    antisymmetric, ``taylor_probit(p, M) == −taylor_probit(1 − p, M)`` wherever ``1 − p`` is
    exact, and within (2M + 4)·2⁻⁵³ of Φ_M⁻¹(p), relatively, where ``p − ½`` is exact (all of
    [¼, 1], and every multiple of 2⁻⁵³). Elsewhere `p` is first rounded to such a multiple.

    References
    ----------
    .. [1] L. Carlitz, "The inverse of the error function", Pacific J. Math. 13 (1963).

    Examples
    --------
    >>> [round(float(taylor_probit(0.99, m)), 3) for m in (3, 5, 10, 50)]
    [1.806, 1.942, 2.108, 2.312]
    """
    m = check_order(order, MAX_ORDER)
    x = 2 * (check_probability("p", p) - 0.5)
    value: FloatArray | float = _evaluate(x, m)
    return value


def _evaluate(x: FloatArray, order: int) -> FloatArray | float:
    """Return Σ_{k ≤ order} a_k x^(2k+1) by Horner's rule in x²."""
    a = _scaled_coefficients(order + 1)
    square = x * x
    total = np.full_like(x, a[order])
    for k in range(order - 1, -1, -1):
        total = total * square + a[k]
    value: FloatArray | float = total * x
    return value


def taylor_remainder(p: npt.ArrayLike, order: int) -> tuple[FloatArray | float, FloatArray | float]:
    """Enclose the remainder Φ⁻¹(p) − Φ_M⁻¹(p).

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1], any shape.
    order : int
        M, the index of the last coefficient, in [0, 498].

    Returns
    -------
    lower, upper : float or ndarray
        Of the shape of `p`. Both have the sign of ``p − ½``; at 0 and 1, where the remainder
        is infinite, one of them is.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If a probability is outside [0, 1] or `order` is not an integer in [0, 498].

    Notes
    -----
    *Guarantee*: ``lower ≤ Φ⁻¹(p) − Φ_M⁻¹(p) ≤ upper`` in exact arithmetic at every float `p`
    for which ``p − ½`` is exact; the float ends are moved outward by more than their rounding
    error. Proof: the ratios a_{k+1}/a_k increase to 1 (log-convexity), so the tail of the
    series lies between two geometric series.

    References
    ----------
    .. [1] N. G. de Bruijn and P. Erdős, "On a recursion formula and on some Tauberian
       theorems", J. Res. Nat. Bur. Standards 50 (1953): log-convexity of such recursions.

    Examples
    --------
    >>> lower, upper = taylor_remainder(0.99, 50)
    >>> bool(lower < probit(0.99) - taylor_probit(0.99, 50) < upper)
    True
    """
    m = check_order(order, MAX_ORDER - 2)
    x = 2 * (check_probability("p", p) - 0.5)
    first, second = _scaled_coefficients(m + 3)[m + 1 :]
    size = np.abs(x)
    square = size * size
    with np.errstate(divide="ignore", under="ignore"):
        leading = first * size ** (2 * m + 3)
        # (1−x)(1+x) rather than 1 − x²: exact differences, no cancellation near 1.
        outer = leading / ((1 - size) * (1 + size))
        inner = leading / (1 - square * (second / first))
    # size**(2m+3) is the largest error, a few units per multiplication at worst.
    slack = (4 * m + 32) * _UNIT
    # The second factor of `inner` loses digits as its ratio nears 1, never more than 1/(1−ratio).
    inner = inner * (1 - slack - 8 * _UNIT / (1 - second / first))
    # Subnormal powers have no relative accuracy: below 1e-290 only the order is known.
    inner = np.where(inner < 1e-290, 0.0, inner)
    outer = outer * (1 + slack) + 1e-290
    upper = np.where(x > 0, outer, np.where(x < 0, -inner, 0.0))
    lower = np.where(x > 0, inner, np.where(x < 0, -outer, 0.0))
    return lower[()], upper[()]


@njit
def _norm_ppf_rows(p: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = norm_ppf(p[i])


@overload
def probit(p: FloatLike) -> float: ...
@overload
def probit(p: npt.ArrayLike) -> FloatArray: ...
def probit(p: npt.ArrayLike) -> FloatArray | float:
    """Evaluate Φ⁻¹, the quantile function of the standard normal distribution.

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1], any shape.

    Returns
    -------
    float or ndarray
        Of the shape of `p`; −inf at 0 and +inf at 1.

    Raises
    ------
    TypeError
        If `p` is not numeric.
    ValueError
        If a probability is outside [0, 1].

    Notes
    -----
    *Guarantee*: nearest-value accuracy (relative error about 1e-15), not rounded to either
    side. Bounds that must be conservative round outward themselves.

    References
    ----------
    .. [1] M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988) 477-484.

    Examples
    --------
    >>> round(float(probit(0.99)), 6)
    2.326348
    """
    return map_rows(_norm_ppf_rows, p=check_probability("p", p))
