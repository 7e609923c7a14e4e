"""The probability that votes which are yet to be drawn will certify a radius.

The votes of class y are binomial; given them, those of the others are multinomial. A bound falls
with the votes of the runner-up, so at each number of votes for y it certifies up to some number
of them, which is searched for with the bound itself. The probability that no other class has more
is that of independent Poisson numbers, cut off there, given their sum [1]_.

References
----------
.. [1] B. Levin, A representation for multinomial cumulative distribution functions, *Annals of
   Statistics* 9 (1981) 1123-1126.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve
from scipy.special import bdtr, bdtrc, gammaln, ndtri, pdtr, xlogy

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_choice,
    check_level,
    check_number,
    check_real,
    check_size,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName, VoteBoundName
from rsverify.bounds.margin import LARGEST_EXACT_TRIALS
from rsverify.certificates.margins import BOUNDS, limits_of_votes

__all__ = ["certifying_probability", "selecting_probability"]

Limits = Callable[[IntArray, IntArray], FloatArray]

# Of the numbers of votes for class y all are gone through where they are few, else so many, evenly
# spaced: over a smooth function such a sum is as good as all of it.
_ALL_VALUES, _NODES = 200, 65
_STANDARD_DEVIATIONS = 7.0
# What a class that is less often over its limit than this contributes is left out.
_NEGLIGIBLE = 1e-12
# Above this many products the sum of cut-off Poisson numbers is taken for normal.
_LARGEST_CONVOLUTION = 20_000_000
_SUMS_TO_ONE = 1e-6


def certifying_probability(
    probabilities: npt.ArrayLike,
    n: int,
    *,
    margin: float,
    alpha: float,
    estimand: MarginName,
    bound: VoteBoundName = "exact",
    y: int = 0,
) -> float:
    """Return how probable it is that n votes certify a margin.

    Parameters
    ----------
    probabilities : array_like of float, shape (m,)
        Of a vote for each of m >= 2 classes; they add up to 1.
    n : int
        Number of votes, 1 to 1,000,000.
    margin : float
        What the lower limit must reach, above 0: that of a radius, say.
    alpha : float
        Failure probability of the bound, in (0, 1).
    estimand : {"difference", "probit", "laplace"}
        Which margin.
    bound : {"exact", "bonferroni", "cohen"}
        The bound, with its default ordering.
    y : int
        The class certified, fixed without these votes.

    Returns
    -------
    float
        P(limit >= margin), in [0, 1]. The runner-up is the most voted other class, as in a
        certificate.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the probabilities do not add up to 1.
    TypeError
        If an argument is not numeric.

    Notes
    -----
    *Guarantee*: none of the future votes; for the probabilities given, within 1e-9 of the sum over
    all outcomes up to n of a few thousand, and within 0.005 above, where not every number of votes
    for y is gone through, or the others' number is taken for normal.

    Examples
    --------
    >>> from rsverify.certificates.planning import certifying_probability
    >>> asked = {"margin": 1.0, "alpha": 0.001, "estimand": "probit"}
    >>> for bound in ("exact", "bonferroni", "cohen"):
    ...     print(f"{certifying_probability([0.7, 0.2, 0.1], 500, bound=bound, **asked):.3f}")
    0.544
    0.358
    0.003
    """
    p = check_probabilities(probabilities)
    size = check_size("n", n, 1, LARGEST_EXACT_TRIALS)
    level = check_level(alpha)
    Margin.named(estimand)
    check_choice("bound", bound, BOUNDS)
    wanted = check_number("margin", margin)
    if not (math.isfinite(wanted) and wanted > 0):
        raise ValueError(f"margin={shown(margin)} must be positive and finite")
    label = check_size("y", y, 0, p.size - 1)

    def limits(k1: IntArray, k2: IntArray) -> FloatArray:
        count, levels = np.full_like(k1, size), np.full(k1.shape, level)
        found = limits_of_votes(
            k1, k2, count, levels, estimand=estimand, bound=bound, ordering=None
        )
        return np.asarray(found)

    values, weights = _binomial_values(size, float(p[label]))
    most = _most_for_runner_up(limits, values, size, wanted, level, estimand)
    others = np.delete(p, label)
    total = 0.0
    for value, weight, limit in zip(values, weights, most, strict=True):
        if limit >= 0:
            caps = np.full(others.size, limit)
            total += weight * _all_at_most(caps, int(size - value), others)
    return float(min(max(total, 0.0), 1.0))


def selecting_probability(probabilities: npt.ArrayLike, n0: int, *, y: int = 0) -> float:
    """Return how probable it is that class y has the most of n0 votes; of tied ones the lowest.

    Parameters
    ----------
    probabilities : array_like of float, shape (m,)
        As `certifying_probability`.
    n0 : int
        Size of the selection sample, 0 to 1,000,000; without one the class is given, and the
        result is 1.
    y : int
        The class.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As `certifying_probability`.

    Notes
    -----
    *Guarantee*: as `certifying_probability`.

    Examples
    --------
    >>> from rsverify.certificates.planning import selecting_probability
    >>> print(f"{selecting_probability([0.5, 0.4, 0.1], 100):.3f}")
    0.867
    """
    p = check_probabilities(probabilities)
    size = check_size("n0", n0, 0, LARGEST_EXACT_TRIALS)
    label = check_size("y", y, 0, p.size - 1)
    if not size:
        return 1.0
    values, weights = _binomial_values(size, float(p[label]))
    others = np.delete(p, label)
    lower = np.arange(others.size) < label  # a tie with one of these is lost
    total = sum(
        weight * _all_at_most(np.where(lower, value - 1, value), int(size - value), others)
        for value, weight in zip(values, weights, strict=True)
    )
    return float(min(max(total, 0.0), 1.0))


def check_probabilities(probabilities: npt.ArrayLike) -> FloatArray:
    """Return probabilities of classes that add up to 1, or raise."""
    p = check_real("probabilities", probabilities)
    if p.ndim != 1 or p.size < 2:
        raise ValueError(f"probabilities of shape {p.shape} must be of two or more classes")
    if (p < 0).any() or abs(float(p.sum()) - 1.0) > _SUMS_TO_ONE:
        raise ValueError(
            f"probabilities={shown(p.tolist())} must be at least 0 and add up to 1, "
            f"not {float(p.sum()):.6g}"
        )
    scaled: FloatArray = p / p.sum()
    return scaled


def _binomial_values(n: int, p: float) -> tuple[IntArray, FloatArray]:
    """Return numbers of successes and their weights: all that are not negligible, or some."""
    spread = math.sqrt(n * p * (1 - p))
    reach = _STANDARD_DEVIATIONS * spread + 30.0
    low, high = max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))
    if high - low < _ALL_VALUES:
        values = np.arange(low, high + 1)
        return values, np.exp(_log_binomial(values, n, p))
    values = np.unique(np.rint(np.linspace(low, high, _NODES)).astype(np.int64))
    density = np.exp(_log_binomial(values, n, p)) * np.gradient(values.astype(np.float64))
    return values, density / density.sum()


def _log_binomial(k: IntArray, n: int, p: float) -> FloatArray:
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(choose + xlogy(k, p) + xlogy(n - k, 1 - p))


def _all_at_most(caps: IntArray, left: int, others: FloatArray) -> float:
    """Return P(N_j <= caps[j] for all j), N multinomial of `left` votes with shares of `others`."""
    if (caps < 0).any():
        return 0.0
    mass = float(others.sum())
    if left == 0 or mass <= 0.0:
        return 1.0
    q = np.minimum(others / mass, 1.0)
    open_ = caps < left
    rare = np.zeros(q.size)
    rare[open_] = bdtrc(caps[open_], left, q[open_])
    chosen = rare > _NEGLIGIBLE
    if not chosen.any():
        return 1.0
    if chosen.sum() == 1:
        j = int(chosen.argmax())
        return float(bdtr(int(caps[j]), left, float(q[j])))
    return _cut_off(caps[chosen], left, q[chosen])


def _cut_off(caps: IntArray, left: int, q: FloatArray) -> float:
    """Return `_all_at_most` of several classes by cut-off Poisson numbers, given their sum."""
    mean = left * q
    rest = max(left * (1.0 - float(q.sum())), 0.0)
    below = pdtr(caps, mean)
    if (below <= 0.0).any():
        return 0.0
    reach = 9.0 * np.sqrt(mean) + 40.0
    lows = np.maximum(0, np.floor(mean - reach)).astype(np.int64)
    highs = np.minimum(caps, np.ceil(mean + reach).astype(np.int64))
    if (highs < lows).any():
        return 0.0
    widths = highs - lows + 1
    parts = [
        np.exp(_log_poisson(np.arange(low, high + 1), m)) / b
        for low, high, m, b in zip(lows, highs, mean, below, strict=True)
    ]
    if float(widths.sum()) * widths.size <= _LARGEST_CONVOLUTION:
        joint = parts[0]
        for part in parts[1:]:
            joint = np.maximum(fftconvolve(joint, part), 0.0)
        remaining = left - int(lows.sum()) - np.arange(joint.size)
        fits = remaining >= 0
        if rest < _NEGLIGIBLE:
            density = float(joint[remaining == 0].sum())
        else:
            density = float(joint[fits] @ np.exp(_log_poisson(remaining[fits], rest)))
    else:
        values = [np.arange(low, high + 1) for low, high in zip(lows, highs, strict=True)]
        means = [float(v @ p) for v, p in zip(values, parts, strict=True)]
        squares = [float(v**2 @ p) for v, p in zip(values, parts, strict=True)]
        variance = sum(s - m * m for s, m in zip(squares, means, strict=True)) + rest
        off = left - sum(means) - rest
        density = math.exp(-(off**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    given = math.exp(float(_log_poisson(np.array([left]), float(left))[0]))
    return min(1.0, float(np.prod(below)) * density / given)


def _log_poisson(k: IntArray, mean: float) -> FloatArray:
    return np.asarray(xlogy(k, mean) - mean - gammaln(k + 1))


def _most_for_runner_up(
    limits: Limits, k1: IntArray, n: int, wanted: float, alpha: float, estimand: MarginName
) -> IntArray:
    """Return the most votes for the runner-up at which k1 certify, −1 where none do.

    The limits fall as the runner-up's votes rise, so `low` certifies and `high` does not.
    """
    low = np.full(k1.shape, -1, dtype=np.int64)
    high = np.minimum(n - k1, k1) + 1  # a class that is not ahead has no positive margin
    at_low, at_high = np.full(k1.shape, np.nan), np.full(k1.shape, np.nan)
    guess = _guess(k1, n, wanted, alpha, estimand)
    step = np.maximum(1, np.rint(0.02 * guess)).astype(np.int64)
    pair = [guess - step, guess + step]
    while (high - low > 1).any():
        for candidate in pair:
            todo = np.flatnonzero(high - low > 1)
            if not todo.size:
                break
            k2 = np.clip(candidate[todo], low[todo] + 1, high[todo] - 1)
            found = limits(k1[todo], k2) - wanted
            enough = found >= 0
            low[todo[enough]], at_low[todo[enough]] = k2[enough], found[enough]
            high[todo[~enough]], at_high[todo[~enough]] = k2[~enough], found[~enough]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = at_low / (at_low - at_high)
        middle = (low + high) // 2
        between = low + np.floor(share * (high - low))
        fine = np.isfinite(between)
        first = np.where(fine, np.nan_to_num(between), middle).astype(np.int64)
        pair = [first, first + 1, middle]
    return low


def _guess(k1: IntArray, n: int, wanted: float, alpha: float, estimand: MarginName) -> IntArray:
    """Return about where the exact bound's limit is the one wanted, by its normal approximation."""
    z = max(float(-ndtri(alpha)), 0.0)
    low, high = np.zeros(k1.shape), np.minimum(n - k1, k1).astype(np.float64)
    p1 = np.clip(k1 / n, 0.5 / n, 1 - 0.5 / n)
    for _ in range(40):
        k2 = 0.5 * (low + high)
        p2 = np.clip(k2 / n, 0.5 / n, 1 - 0.5 / n)
        spread = np.sqrt(margin_variance(p1, p2, estimand) / n)
        limit = margin_of(p1, p2, estimand) - z * spread
        low, high = np.where(limit > wanted, k2, low), np.where(limit > wanted, high, k2)
    return np.floor(low).astype(np.int64)


def margin_of(p1: FloatArray, p2: FloatArray, estimand: MarginName) -> FloatArray:
    """Return the margin of probabilities, −∞ and ∞ where one of them is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if estimand == "difference":
            return p1 - p2
        if estimand == "probit":
            return np.asarray(ndtri(p1) - ndtri(p2))
        return laplace_quantile(p1) - laplace_quantile(p2)


def laplace_quantile(p: FloatArray) -> FloatArray:
    """Return log 2p up to a half, and −log 2(1 − p) above."""
    with np.errstate(divide="ignore"):
        return np.where(p <= 0.5, np.log(2 * p), -np.log(2 * (1 - p)))


def margin_variance(p1: FloatArray, p2: FloatArray, estimand: MarginName) -> FloatArray:
    """Return n times the variance of the margin of shares of n votes, for large n."""
    s1, s2 = (_slope(p, estimand) for p in (p1, p2))
    found: FloatArray = p1 * (1 - p1) * s1**2 + p2 * (1 - p2) * s2**2 + 2 * p1 * p2 * s1 * s2
    return found


def _slope(p: FloatArray, estimand: MarginName) -> FloatArray:
    if estimand == "difference":
        return np.ones_like(p)
    if estimand == "probit":
        return np.asarray(np.exp(0.5 * ndtri(p) ** 2) * math.sqrt(2 * math.pi))
    return 1 / np.minimum(p, 1 - p)
