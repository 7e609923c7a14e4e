"""Certified ℓ2 radii from a lower bound on the margin, rounded toward zero.

A radius is the last number of a certificate, and the one that is compared and printed. It
never exceeds the exact value of its formula: every floating-point operation is followed by
a step toward zero, which costs a relative 1e-15.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_broadcast,
    check_number,
    check_positive,
    check_real,
    check_size,
    shown,
)
from rsverify._core.decimals import fixed
from rsverify._core.types import FloatLike, RadiusName, ScoreMarginName

__all__ = ["certified_radius_r1", "certified_radius_r2", "round_down_digits"]

# Which margin each radius needs: p_1 - p_2, or Φ⁻¹(p_1) - Φ⁻¹(p_2).
ESTIMANDS: dict[RadiusName, ScoreMarginName] = {"R1": "difference", "R2": "probit"}

# 1/√2 = 0.70710678118654752440... and √(π/2) = 1.25331413731550025120...: the largest float64
# numbers below them (the tests compare with 50 digits).
_INV_SQRT_2 = 0.7071067811865475
_SQRT_HALF_PI = 1.2533141373155001
_LARGEST_FLOAT = np.finfo(np.float64).max

_MOST_DIGITS = 1100  # no float has more


def _toward_zero(value: FloatArray) -> FloatArray:
    """Return the next float toward zero: at most the exact value that `value` rounds.

    Of an overflow this makes the largest finite number, of zero it makes zero.
    """
    stepped: FloatArray = np.nextafter(value, 0.0)
    return stepped


def _zero_unless_positive(margin: FloatArray, radius: FloatArray) -> FloatArray | float:
    clipped: FloatArray = np.where(margin > 0, radius, 0.0)
    return clipped if clipped.ndim else np.float64(clipped)


def _check_margin(margin: npt.ArrayLike, largest: float, requirement: str) -> FloatArray:
    array = check_real("margin", margin)
    bad = array > largest
    if bad.any():
        raise ValueError(f"margin={array[bad].flat[0]} must be {requirement}")
    return array


@overload
def certified_radius_r2(margin: FloatLike, sigma: FloatLike) -> float: ...
@overload
def certified_radius_r2(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> FloatArray: ...
def certified_radius_r2(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> FloatArray | float:
    r"""Return the radius R2 = σ/2 · margin of a smoothed classifier [1]_, rounded down.

    Parameters
    ----------
    margin : array_like of float
        Lower bound on Φ⁻¹(p_1) − Φ⁻¹(p_2): p_1 is the probability of the certified class
        under noise, p_2 the largest of the others. Below infinity; −∞ is allowed.
    sigma : array_like of float
        Standard deviation of the noise in input units, positive. Broadcasts with `margin`.

    Returns
    -------
    ndarray of float64, or a float for scalars
        Radius in input units, 0 where the margin is not positive, of the broadcast shape.

    Raises
    ------
    ValueError
        If `margin` holds NaN or ∞, if `sigma` is not positive and finite, or if the shapes
        do not broadcast.
    TypeError
        If an argument is not numeric.

    Notes
    -----
    *Guarantee*: where `margin` is at most the true margin at x, the smoothed classifier
    gives the same class on the whole open ball of this ℓ2 radius around x. The result is
    never above the real number σ/2 · margin, nor below it by more than a relative 1e-15
    (short of overflow and underflow).

    References
    ----------
    .. [1] Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized
       smoothing*, ICML 2019, Theorem 1.

    Examples
    --------
    >>> from rsverify.certificates.radius import certified_radius_r2
    >>> print(certified_radius_r2([3.1, -0.2], sigma=0.5).round(6))
    [0.775 0.   ]
    """
    m = _check_margin(margin, _LARGEST_FLOAT, "finite: no finite sample bounds it so")
    s = check_positive("sigma", sigma)
    check_broadcast(margin=m, sigma=s)
    with np.errstate(over="ignore", under="ignore"):
        # Two steps: halving may round (up) below the smallest normal number, and the first
        # step keeps an overflowed product finite before it is halved.
        radius = _toward_zero(_toward_zero(s * np.maximum(m, 0.0)) * 0.5)
    return _zero_unless_positive(m, radius)


@overload
def certified_radius_r1(
    margin: FloatLike, *, lipschitz: FloatLike | None = ..., sigma: FloatLike | None = ...
) -> float: ...
@overload
def certified_radius_r1(
    margin: npt.ArrayLike,
    *,
    lipschitz: npt.ArrayLike | None = ...,
    sigma: npt.ArrayLike | None = ...,
) -> FloatArray: ...
def certified_radius_r1(
    margin: npt.ArrayLike,
    *,
    lipschitz: npt.ArrayLike | None = None,
    sigma: npt.ArrayLike | None = None,
) -> FloatArray | float:
    r"""Return the radius R1 = margin / (√2 · L), rounded down.

    Two constants can stand for √2 · L, and the smaller of those given is used: √2 times
    `lipschitz`, and √(2/π)/`sigma`, which holds for every classifier smoothed by Gaussian
    noise [1]_, as the difference of two classes' outputs lies in [−1, 1].

    Parameters
    ----------
    margin : array_like of float
        Lower bound on p_1 − p_2, at most 1: p_1 is the certified class's component of the
        classifier's output, p_2 the largest of the others.
    lipschitz : array_like of float, optional
        ℓ2 Lipschitz constant of the map from the input to the vector (p_1, …, p_m), the one
        whose margin is given; positive. The constant of a network's *scores* says nothing
        about the probabilities of its *votes*.
    sigma : array_like of float, optional
        Standard deviation of the noise in input units, positive.

    Returns
    -------
    ndarray of float64, or a float for scalars
        Radius in input units, 0 where the margin is not positive, of the broadcast shape.

    Raises
    ------
    ValueError
        If `margin` holds NaN or a value above 1, if a constant is not positive and finite,
        if neither constant is given, or if the shapes do not broadcast.
    TypeError
        If an argument is not numeric.

    Notes
    -----
    *Guarantee*: where `margin` is at most the true margin at x and `lipschitz`, if given, is
    a Lipschitz constant, class 1 stays the largest component on the whole open ball of this
    ℓ2 radius around x. The result is never above the exact quotient, nor below it by more
    than a relative 1e-15 (short of overflow and underflow).

    References
    ----------
    .. [1] Salman et al., *Provably robust deep learning via adversarially trained smoothed
       classifiers*, NeurIPS 2019, Lemma 1, whose proof needs values in [−1, 1] only.

    Examples
    --------
    >>> from rsverify.certificates.radius import certified_radius_r1
    >>> print(certified_radius_r1(0.8, sigma=0.25).round(6))
    0.250663
    >>> print(certified_radius_r1(0.8, sigma=0.25, lipschitz=[0.5, 20.0]).round(6))
    [1.131371 0.250663]
    """
    if lipschitz is None and sigma is None:
        raise ValueError("lipschitz=None and sigma=None: at least one must be given")
    m = _check_margin(margin, 1.0, "at most 1")
    candidates = []
    with np.errstate(over="ignore", under="ignore"):
        if lipschitz is not None:
            constant = check_positive("lipschitz", lipschitz)
            check_broadcast(margin=m, lipschitz=constant)
            scaled = _toward_zero(np.maximum(m, 0.0) * _INV_SQRT_2)
            candidates.append(_toward_zero(scaled / constant))
        if sigma is not None:
            s = check_positive("sigma", sigma)
            check_broadcast(margin=m, sigma=s)
            scaled = _toward_zero(np.maximum(m, 0.0) * _SQRT_HALF_PI)
            candidates.append(_toward_zero(scaled * s))
    check_broadcast(**{f"constant {i}": c for i, c in enumerate(candidates)})
    radius = candidates[0] if len(candidates) == 1 else np.maximum(*candidates)
    return _zero_unless_positive(m, radius)


def round_down_digits(radius: float, digits: int) -> str:
    """Return `radius` in decimal with `digits` decimal places, rounded down.

    The float's exact binary value is rounded, so the printed number is never above it.

    Parameters
    ----------
    radius : float
        Finite and not negative.
    digits : int
        Number of decimal places, not negative.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `radius` is negative or not finite, or `digits` is negative.
    TypeError
        If an argument is not a number.

    Notes
    -----
    *Guarantee*: the printed decimal is at most `radius` and within 10^−`digits` of it.

    Examples
    --------
    >>> from rsverify.certificates.radius import round_down_digits
    >>> round_down_digits(0.43199, 3)
    '0.431'
    """
    value = check_number("radius", radius)
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"radius={shown(radius)} must be finite and not negative")
    places = check_size("digits", digits, 0, _MOST_DIGITS)
    return fixed(value, int(places))
