"""The design paper's formulas for score means exactly as printed, kept for audits.

**None of these is a bound to rely on**: each docstring says what is wrong. The corrected
versions are in `rsverify.bounds.mean`; margins of score means in `rsverify.bounds.score_margin`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._core.check import FloatArray, check_alpha
from rsverify.bounds._samples import check_sample, check_unit
from rsverify.bounds.mean import empirical_bernstein_lower, empirical_bernstein_upper
from rsverify.probit import taylor_probit

MeanBound = Callable[[FloatArray, FloatArray], npt.ArrayLike]


def _shaped(values: npt.ArrayLike) -> FloatArray | float:
    result: FloatArray | float = np.asarray(values, dtype=np.float64)[()]
    return result


def printed_empirical_bernstein_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Evaluate Proposition 2 as printed, for the lower side: ln(1/delta) for ln(2/delta).

    What is wrong: the proof uses two events, the deviation of the mean and that of the
    variance, each at delta/2, and so gives ln(2/delta). With ln(1/delta) nothing is proved at
    level delta (2 delta is). No distribution is known under which it fails.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], n at least 2.
    alpha : float or array of float
        Failure probability claimed, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        mean - sqrt(2 V ln(1/alpha)/n) - 7 ln(1/alpha)/(3 (n - 1)); may be negative.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or not numeric, or n = 1.

    Notes
    -----
    *Guarantee.* P(bound > mu) <= 2 alpha, for independent observations with mean mu.

    Examples
    --------
    >>> from rsverify.paper.as_printed_scores import printed_empirical_bernstein_lower
    >>> print(f"{printed_empirical_bernstein_lower([0.9, 1.0] * 50, 0.05):.4f}")
    0.8671
    """
    sample, level = check_sample(x), check_alpha(alpha)
    n = sample.shape[-1]
    if n < 2:
        raise ValueError(f"x of shape {sample.shape} must hold at least two observations")
    log_term = -np.log(level)
    width = np.sqrt(2.0 * np.var(sample, axis=-1, ddof=1) * log_term / n)
    return _shaped(np.mean(sample, axis=-1) - width - 7.0 * log_term / (3.0 * (n - 1)))


def printed_plugin_bernstein_lower(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: float = 1.0
) -> FloatArray | float:
    """Evaluate Proposition 3 with (15) as printed: its square root, its 2, its means and cap.

    What is wrong: the square root and the 2 are not in the source; without t in the
    denominator the bet stays at its cap for every realistic n, and at the printed cap 1 its
    price -log(1 - 1) - 1 is infinite, so the interval is the whole line. With a cap below 1 it
    is wide and does not shrink to the mean: the root of a number below 1 is larger than the
    number. 1/2 + sum/(t + 1), which may leave [0, 1], is not the mean that the proof needs.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        Two-sided failure probability claimed, in (0, 1); broadcasts with the batch of `x`.
    cap : float, default 1
        The largest bet, in (0, 1]; 1 as printed.

    Returns
    -------
    float or array of float
        The lower end at time n; minus infinity for the printed cap.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee.* None that is proved.

    Examples
    --------
    >>> from rsverify.paper.as_printed_scores import printed_plugin_bernstein_lower
    >>> x = [0.9, 1.0] * 50
    >>> print(printed_plugin_bernstein_lower(x, 0.05))
    -inf
    >>> print(f"{printed_plugin_bernstein_lower(x, 0.05, cap=0.5):.4f}")
    0.4691
    """
    sample, level = check_sample(x), check_alpha(alpha)[..., None]
    largest = float(check_unit("cap", cap))
    log_term = np.log(2.0 / level)
    t = np.arange(1, sample.shape[-1] + 1)
    means = 0.5 + np.cumsum(sample, axis=-1) / (t + 1)
    variances = 0.25 + np.cumsum((sample - means) ** 2, axis=-1) / (t + 1)
    start = np.ones((*sample.shape[:-1], 1))
    mean_before = np.concatenate([0.5 * start, means[..., :-1]], axis=-1)
    variance_before = np.concatenate([0.25 * start, variances[..., :-1]], axis=-1)
    bets = np.minimum(np.sqrt(2.0 * log_term / (variance_before * np.log1p(t))), largest)
    with np.errstate(divide="ignore"):
        price = (sample - mean_before) ** 2 * (-np.log1p(-bets) - bets)
    stake = np.sum(bets, axis=-1)
    width = np.sqrt((2.0 * log_term[..., 0] + np.sum(price, axis=-1)) / stake)
    return _shaped(np.sum(bets * sample, axis=-1) / stake - width)


def printed_taylor_margin_lower(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    order: int = 10,
    mean_lower: MeanBound = empirical_bernstein_lower,
    mean_upper: MeanBound = empirical_bernstein_upper,
) -> FloatArray | float:
    """Evaluate the two-step margin of 5.3: a bound for E of Taylor margins of the scores.

    If the mean of `first` is found to be at least 1/2 at level alpha/2, a lower bound at
    alpha/2 for the mean of Z = P(first) - P(second), P the Taylor polynomial of the probit of
    the given order; otherwise the probits of the two means' bounds at alpha/2 each.

    What is wrong: the radius needs probit(E first) - probit(E second), and the probit is convex
    above 1/2: by Jensen's inequality E Z may exceed that margin, and every consistent bound for
    E Z then fails as n grows. The fallback at full alpha on top of the test's alpha/2 exceeds
    alpha as well.

    Witness: (0.99, 0.01) and (0.15, 0.20) with probability 1/2 each. The means are 0.57 and
    0.105, the margin 1.430; E Z is 2.011 at order 10.

    Parameters
    ----------
    first, second : array of float, shape (..., n)
        Scores in [0, 1] of the class certified and of the runner-up.
    alpha : float or array of float
        Failure probability claimed, in (0, 1); broadcasts with the batch shape of the scores.
    order : int, default 10
        M, the index of the last coefficient, in [0, 500].
    mean_lower, mean_upper : callable
        Bounds (x, alpha) for the mean of a sample in [0, 1].

    Returns
    -------
    float or array of float
        The margin claimed; minus infinity where a mean's bound is 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee.* None.

    Examples
    --------
    >>> from rsverify.paper.as_printed_scores import printed_taylor_margin_lower
    >>> first, second = [0.99, 0.15] * 5000, [0.01, 0.2] * 5000
    >>> print(f"{printed_taylor_margin_lower(first, second, 0.001):.3f}")
    1.903
    """
    top, other = check_sample(first, "first"), check_sample(second, "second")
    if top.shape != other.shape:
        raise ValueError(f"first of shape {top.shape} must have second's shape {other.shape}")
    half = check_alpha(alpha) / 2.0
    reach = 2.0 * float(taylor_probit(1.0, order))
    margin = np.asarray(taylor_probit(top, order)) - np.asarray(taylor_probit(other, order))
    # From [-reach, reach] to [0, 1] and back; rounding may leave [0, 1] by one unit.
    unit = np.clip((margin / reach + 1.0) / 2.0, 0.0, 1.0)
    taylor = (2.0 * np.asarray(mean_lower(unit, half)) - 1.0) * reach
    low, high = np.asarray(mean_lower(top, half)), np.asarray(mean_upper(other, half))
    fallback = ndtri(low) - ndtri(high)
    return _shaped(np.where(low >= 0.5, taylor, fallback))
