"""Confidence limits for figures of a whole table, and what each of them is a limit of.

A row is random twice: its input was drawn, and noise was drawn to certify it. Two quantities
are easily taken for one another:

- the *certified* accuracy at radius r: how often an input is certified correct within r. It
  is a property of the classifier and of the certification (its n, alpha and bound), and the
  fraction seen in a table is an unbiased estimate of it;
- the *robust* accuracy at r: how often the smoothed classifier is right at every point closer
  than r to the input. No table shows it. It is at least the certified accuracy, but for
  certificates that are wrong, each with a probability of at most its alpha.

`clopper_pearson_interval` and `mean_interval` are about the first; `robust_lower` leads from a
limit of the first to a limit of the second; and `wrong_certificates_upper` says how many of
the certificates at hand can be wrong, with the inputs taken as they are.
"""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_level,
    check_number,
    check_probability,
    check_real,
    check_size,
)
from rsverify.bounds.betting import betting_lower
from rsverify.bounds.interval import Interval
from rsverify.bounds.proportion import (
    LARGEST_TRIALS,
    clopper_pearson_lower,
)

__all__ = ["mean_interval", "mean_lower", "robust_lower", "wrong_certificates_upper"]

# Each result below takes a handful of operations, each off by half an epsilon at most.
_ROUNDING = 8 * np.finfo(np.float64).eps
# Of the order in which a mean is bet on: any will do that does not depend on the values.
_ORDER_SEED = 0


def mean_lower(x: npt.ArrayLike, alpha: float, *, low: float, high: float) -> float:
    """Return a lower confidence limit for the mean behind values in [low, high], one per input.

    Parameters
    ----------
    x : array of float, shape (N,)
        In the order of the inputs, which is not that of the values.
    alpha : float
        One-sided failure probability, in (0, 1).
    low, high : float
        What no value can be outside of; known without looking at the values, low < high.

    Returns
    -------
    float
        By betting on the values in a random order that is always the same, so that inputs
        sorted by class do no harm; rounded down, and at most the mean of `x`.

    Raises
    ------
    ValueError
        If a value is outside [low, high], `x` is empty, or an argument is out of range.

    Notes
    -----
    *Guarantee*: for inputs drawn independently from one distribution, the mean of that
    distribution is at least the result with probability at least 1 − alpha. The largest
    value seen is not a valid `high`.

    Examples
    --------
    >>> from rsverify.tables.limits import mean_lower
    >>> print(f"{mean_lower([0.0, 0.4, 0.3, 0.9] * 50, 0.05, low=0.0, high=0.95):.3f}")
    0.357
    """
    values = check_real("x", x)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"x of shape {values.shape} must hold one value per input")
    low, high = check_number("low", low), check_number("high", high)
    if not (np.isfinite([low, high]).all() and low < high and np.isfinite(high - low)):
        raise ValueError(f"low={low} must be less than high={high}, both finite")
    bad = (values < low) | (values > high)
    if bad.any():
        raise ValueError(f"x={values[bad][0]} must be in [{low}, {high}], from low to high")
    level = check_level(alpha)
    order = np.random.default_rng(_ORDER_SEED).permutation(values.size)
    limit = float(betting_lower((values[order] - low) / (high - low), level))
    slack = _ROUNDING * (abs(low) + abs(high))
    return min(max(low + (high - low) * limit - slack, low), float(values.mean()))


def mean_interval(x: npt.ArrayLike, alpha: float, *, low: float, high: float) -> Interval:
    """Return a confidence interval for the mean behind values in [low, high], one per input.

    Parameters
    ----------
    x, low, high
        As `mean_lower`.
    alpha : float
        Two-sided failure probability, in (0, 1): half of it on each side.

    Returns
    -------
    Interval
        `mean_lower`, and minus that of −x. Holds the mean of `x` itself.

    Raises
    ------
    ValueError
        As `mean_lower`.

    Notes
    -----
    *Guarantee*: for inputs drawn independently from one distribution, the mean of that
    distribution is inside with probability at least 1 − alpha. Each end alone fails with
    probability at most alpha/2.

    Examples
    --------
    >>> from rsverify.tables.limits import mean_interval
    >>> lower, upper = mean_interval([0.0, 0.4, 0.3, 0.9] * 50, 0.05, low=0.0, high=0.95)
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.350 0.447
    """
    side = check_level(alpha) / 2
    low, high = check_number("low", low), check_number("high", high)
    lower = mean_lower(x, side, low=low, high=high)
    upper = -mean_lower(-check_real("x", x), side, low=-high, high=-low)
    return Interval(np.float64(lower), np.float64(upper), alpha)


def robust_lower(limit: npt.ArrayLike, certificate_alpha: float) -> FloatArray | float:
    r"""Return the lower limit of a robust figure from one of the certified figure.

    Parameters
    ----------
    limit : float or array of float
        Lower confidence limit of the certified accuracy; or of the average certified radius
        as a share of the largest possible radius. In [0, 1].
    certificate_alpha : float
        Failure probability of each certificate, in (0, 1).

    Returns
    -------
    float or array of float
        (limit − a)/(1 − a) for a = `certificate_alpha`, at least 0, rounded down.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    *Guarantee*: with the confidence of `limit`, the result is at most the robust accuracy at
    that radius; or at most the mean robust radius, capped at the largest possible radius, as
    a share of it. It needs no independence beyond that of `limit`: wrong certificates are
    already in what `limit` was computed from.

    *Proof.* Let a share θ of inputs be robustly correct at r. Each of them is certified with
    a probability of at most 1; each other one only by a wrong certificate, with a probability
    of at most a. So the certified accuracy q is at most θ + (1 − θ) a, which is
    θ ≥ (q − a)/(1 − a); equality is possible. Integrating over r from 0 to the largest radius
    gives the same for the mean radius. The right side grows with q, so it may be replaced by
    a lower limit.

    Examples
    --------
    >>> from rsverify.tables.limits import robust_lower
    >>> print(f"{robust_lower(0.568, 0.001):.4f}")
    0.5676
    """
    lower = check_probability("limit", limit)
    a = check_level(certificate_alpha, "certificate_alpha")
    robust = np.maximum((lower - a) / (1.0 - a) - _ROUNDING / (1.0 - a), 0.0)
    return robust if lower.ndim else np.float64(robust)


def wrong_certificates_upper(n: int, certificate_alpha: float, alpha: float) -> int:
    """Return an upper limit of the number of wrong ones among n certificates.

    Parameters
    ----------
    n : int
        Certificates, abstentions included, 1 to 10,000,000.
    certificate_alpha : float
        Failure probability of each certificate, in (0, 1); the largest where they differ.
    alpha : float
        Failure probability of the result, in (0, 1).

    Returns
    -------
    int
        The smallest w with P(Bin(n, certificate_alpha) > w) ≤ alpha; one more where that is
        an equality within rounding.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    *Guarantee*: whatever the inputs, over the noise alone, more than the returned number of
    certificates are wrong with probability at most alpha. It assumes that the noise of one
    input is independent of that of the others: not one noise shared by all of them.
    Then, at all radii at once, at least the certified number of these n inputs minus the
    returned number are truly robust. On average n · `certificate_alpha` are wrong at most.

    *Proof.* Given the inputs, failures are independent with probabilities of at most
    `certificate_alpha`, so their number is stochastically at most binomial.

    Examples
    --------
    >>> from rsverify.tables.limits import wrong_certificates_upper
    >>> wrong_certificates_upper(500, 0.001, 0.05)
    2
    """
    trials = check_size("n", n, largest=LARGEST_TRIALS)
    failing, level = check_level(certificate_alpha, "certificate_alpha"), check_level(alpha)

    def enough(w: int) -> bool:
        # P(Bin > w) = P(Bin >= w + 1) is at most `level` where the limit p of w + 1 of n, at
        # which it is `level`, is at least `failing`. The limit is rounded down: the safe way.
        return w == trials or bool(clopper_pearson_lower(w + 1, trials, level) >= failing)

    return bisect.bisect_left(range(trials + 1), True, key=enough)
