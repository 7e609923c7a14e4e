"""Maps from logits to the probability simplex, with temperature, and their Lipschitz constants.

A classifier's scores are F = s(f/T): f the logits, s one of the maps below, T > 0 the
temperature. In the Euclidean norm L(F) <= L(s) L(f) / T.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_choice,
    check_number,
    check_real,
    shown,
)

# Sparsemax is a projection on a convex set; the Jacobian diag(p) - p p' of softmax has
# norm at most 1/2 (reached at two classes of 1/2 each); hardmax jumps.
_LIPSCHITZ = {"hardmax": math.inf, "softmax": 0.5, "sparsemax": 1.0}


def _scaled(logits: npt.ArrayLike, temperature: float) -> FloatArray:
    """Return logits/temperature with their maximum at 0, which changes none of the maps."""
    values = check_real("logits", logits)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"logits of shape {values.shape} must hold at least one class on the last axis"
        )
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(f"logits={values[bad].flat[0].item()} must be finite")
    # Scaling first keeps differences of logits near the float range finite.
    shifted: FloatArray = values * 0.5 - np.max(values * 0.5, axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        return shifted / (0.5 * _check_temperature(temperature))


def _check_temperature(temperature: float) -> float:
    value = check_number("temperature", temperature)
    smallest = 2 * np.finfo(np.float64).smallest_normal  # half of it is divided by
    if not (value >= smallest and np.isfinite(value)):
        raise ValueError(f"temperature={shown(temperature)} must be positive and finite")
    return value


def hardmax(logits: npt.ArrayLike, *, temperature: float = 1.0) -> FloatArray:
    """Return the vertex of the simplex of the largest logit, the first of equals.

    Parameters
    ----------
    logits : array of float, shape (..., m)
        Finite scores of m classes.
    temperature : float, default 1
        Positive; makes no difference, accepted so that the maps are interchangeable.

    Returns
    -------
    array of float, shape (..., m)
        1 at the class predicted, 0 elsewhere.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If a logit is not finite, there is no class, or the temperature is not positive.

    Notes
    -----
    *Guarantee.* Every row is on the simplex. Not continuous: no Lipschitz constant.

    Examples
    --------
    >>> from rsverify.certificates.simplex import hardmax
    >>> hardmax([1.0, 3.0, 3.0])
    array([0., 1., 0.])
    """
    scores = _scaled(logits, temperature)
    return np.asarray(np.arange(scores.shape[-1]) == np.argmax(scores, axis=-1)[..., None], float)


def softmax(logits: npt.ArrayLike, *, temperature: float = 1.0) -> FloatArray:
    """Return exp(logits/T) normalized to sum 1.

    Parameters
    ----------
    logits : array of float, shape (..., m)
        Finite scores of m classes.
    temperature : float, default 1
        T, positive.

    Returns
    -------
    array of float, shape (..., m)
        Probabilities; each at most 1, their sum 1 up to m units in the last place.

    Raises
    ------
    TypeError, ValueError
        As `hardmax`.

    Notes
    -----
    *Guarantee.* 1/(2 T)-Lipschitz from l2 to l2 [1]_.

    References
    ----------
    .. [1] B. Gao and L. Pavel, On the properties of the softmax function with application in
       game theory and reinforcement learning, 2017 (there 1/T; the norm of diag(p) - p p' is
       at most 1/2 because 2 sum p_i (v_i - v.p)**2 is at most (max v - min v)**2 / 2).

    Examples
    --------
    >>> from rsverify.certificates.simplex import softmax
    >>> softmax([0.0, 1.0, 2.0]).round(4)
    array([0.09  , 0.2447, 0.6652])
    """
    weights = np.exp(_scaled(logits, temperature))
    scores: FloatArray = weights / np.sum(weights, axis=-1, keepdims=True)
    return scores


def sparsemax(logits: npt.ArrayLike, *, temperature: float = 1.0) -> FloatArray:
    """Return the Euclidean projection of logits/T on the simplex.

    Parameters
    ----------
    logits : array of float, shape (..., m)
        Finite scores of m classes.
    temperature : float, default 1
        T, positive.

    Returns
    -------
    array of float, shape (..., m)
        Probabilities, exactly 0 for classes far behind; their sum 1 up to m units.

    Raises
    ------
    TypeError, ValueError
        As `hardmax`.

    Notes
    -----
    *Guarantee.* 1/T-Lipschitz from l2 to l2: projections do not expand distances [1]_.

    References
    ----------
    .. [1] A. Martins and R. Astudillo, From softmax to sparsemax, *ICML* (2016), Algorithm 1.

    Examples
    --------
    >>> from rsverify.certificates.simplex import sparsemax
    >>> sparsemax([0.0, 1.5, 2.0])
    array([0.  , 0.25, 0.75])
    """
    # Beyond a distance of 1 from the largest a class gets nothing; the cut keeps sums finite.
    scores = np.maximum(_scaled(logits, temperature), -2.0)
    ordered = -np.sort(-scores, axis=-1)
    sums = np.cumsum(ordered, axis=-1)
    ranks = np.arange(1, scores.shape[-1] + 1)
    support = np.sum(1.0 + ranks * ordered > sums, axis=-1, keepdims=True)
    threshold = (np.take_along_axis(sums, support - 1, axis=-1) - 1.0) / support
    projected: FloatArray = np.maximum(scores - threshold, 0.0)
    return projected


SIMPLEX_MAPS: dict[str, Callable[..., FloatArray]] = {
    "hardmax": hardmax,
    "softmax": softmax,
    "sparsemax": sparsemax,
}
"""The maps by name."""


def scores_lipschitz(name: str, model_lipschitz: float, *, temperature: float = 1.0) -> float:
    """Return a Lipschitz constant of scores from one of the logits.

    Parameters
    ----------
    name : {"softmax", "sparsemax", "hardmax"}
        The map from logits to scores.
    model_lipschitz : float
        An l2 Lipschitz constant of the logits in the input, at least 0.
    temperature : float, default 1
        T, positive.

    Returns
    -------
    float
        L(s) L(f) / T with L(s) = 1/2 for softmax, 1 for sparsemax and infinity for hardmax,
        rounded up.

    Raises
    ------
    TypeError
        If an argument is not of its type.
    ValueError
        If the map is unknown, the constant negative or NaN, or the temperature not positive.

    Notes
    -----
    *Guarantee.* ||F(x) - F(z)|| <= constant ||x - z|| for all inputs, if the logits satisfy the
    same with `model_lipschitz`.

    Examples
    --------
    >>> from rsverify.certificates.simplex import scores_lipschitz
    >>> print(f"{scores_lipschitz('softmax', 3.0, temperature=2.0):.4f}")
    0.7500
    """
    factor = _LIPSCHITZ[check_choice("name", name, _LIPSCHITZ)]
    constant = check_number("model_lipschitz", model_lipschitz)
    if not constant >= 0:
        raise ValueError(f"model_lipschitz={shown(model_lipschitz)} must be at least 0")
    scale = _check_temperature(temperature)
    if math.isinf(factor):
        return math.inf
    # The halving is exact; one step up covers the division.
    return math.nextafter(float(constant) * factor / scale, math.inf)
