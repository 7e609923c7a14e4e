"""Confidence bounds for the mean of a sample in [0, 1] of fixed size, in closed form.

Observations lie on the last axis, the other axes are a batch. `alpha` is the failure
probability of the one bound asked for. Upper bounds and intervals of all of them are in
`rsverify.bounds.interval`. The betting bounds, which are tighter, are in `rsverify.bounds.betting`;
bounds that hold at all sample sizes at once are in `rsverify.bounds.confidence_sequences`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_alpha, check_real, share_of_alpha
from rsverify._core.types import FloatLike
from rsverify.bounds._samples import check_sample, check_unit, map_samples
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import upper_of
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.kernels.mean import closed_form as kernels

__all__ = [
    "bentkus_lower",
    "bernstein_lower",
    "empirical_bernstein_lower",
    "empirical_bernstein_upper",
    "hoeffding_lower",
    "hoeffding_upper",
    "plugin_bernstein_lower",
    "plugin_bernstein_upper",
    "plugin_hoeffding_lower",
]

LARGEST_CAP = 0.99
"""The largest share of the capital that one bet may risk; kernels' errors are stated for it."""
# 1/e rounded down, by 1.2e-16 of itself: more than the product with alpha may be rounded up.
_ONE_OVER_E = 0.36787944117144228


@overload
def hoeffding_lower(x: Sequence[float], alpha: FloatLike) -> float: ...
@overload
def hoeffding_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float: ...
def hoeffding_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return Hoeffding's lower confidence bound for a mean.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        mean(x) - sqrt(log(1/alpha) / (2 n)), at least 0, rounded down by less than 1e-11 for
        n up to 1e6.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If `x` is empty or leaves [0, 1], `alpha` leaves (0, 1), or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for n observations, fixed beforehand, in [0, 1]
    with conditional mean mu given the earlier ones (independent ones in particular) [1]_.

    References
    ----------
    .. [1] W. Hoeffding, Probability inequalities for sums of bounded random variables,
       *Journal of the American Statistical Association* 58 (1963) 13-30, Theorem 1.

    Examples
    --------
    >>> from rsverify.bounds.mean import hoeffding_lower
    >>> print(f"{hoeffding_lower([0.9, 1.0] * 50, 0.05):.6f}")
    0.827613
    """
    return map_samples(kernels.hoeffding_rows, check_sample(x), alpha=check_alpha(alpha))


@overload
def hoeffding_upper(x: Sequence[float], alpha: FloatLike) -> float: ...
@overload
def hoeffding_upper(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float: ...
def hoeffding_upper(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return Hoeffding's upper confidence bound for a mean: the mirror of `hoeffding_lower`.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        1 - hoeffding_lower(1 - x, alpha), rounded up.

    Raises
    ------
    TypeError, ValueError
        As `hoeffding_lower`.

    Notes
    -----
    *Guarantee.* P(bound >= mu) >= 1 - alpha, under the assumptions of `hoeffding_lower`.

    Examples
    --------
    >>> from rsverify.bounds.mean import hoeffding_upper
    >>> print(f"{hoeffding_upper([0.1, 0.0] * 50, 0.05):.6f}")
    0.172387
    """
    return upper_of(hoeffding_lower, x, alpha)


@overload
def bernstein_lower(x: Sequence[float], alpha: FloatLike, *, variance: FloatLike) -> float: ...
@overload
def bernstein_lower(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, variance: npt.ArrayLike
) -> FloatArray | float: ...
def bernstein_lower(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, variance: npt.ArrayLike
) -> FloatArray | float:
    """Return Bernstein's lower confidence bound for a mean whose variance is known.

    The yardstick for bounds that have to learn the variance.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.
    variance : float or array of float
        The variance of one observation, or an upper bound of it, in [0, 1/4]; broadcasts with
        the batch shape of `x`.

    Returns
    -------
    float or array of float
        mean(x) - t with n t**2 / (2 (variance + t/3)) = log(1/alpha), at least 0, rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for n independent observations in [0, 1] with
    mean mu and at most the stated variance [1]_.

    References
    ----------
    .. [1] S. Boucheron, G. Lugosi and P. Massart, *Concentration Inequalities*, Oxford
       University Press, 2013, Theorem 2.10 and Corollary 2.11.

    Examples
    --------
    >>> from rsverify.bounds.mean import bernstein_lower
    >>> print(f"{bernstein_lower([0.9, 1.0] * 50, 0.05, variance=0.0025):.6f}")
    0.924219
    """
    known = check_real("variance", variance)
    bad = ~((known >= 0.0) & (known <= 0.25))
    if bad.any():
        raise ValueError(f"variance={known[bad].flat[0].item()} must be in [0, 0.25]")
    return map_samples(
        kernels.bernstein_rows, check_sample(x), alpha=check_alpha(alpha), variance=known
    )


@overload
def empirical_bernstein_lower(x: Sequence[float], alpha: FloatLike) -> float: ...
@overload
def empirical_bernstein_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float: ...
def empirical_bernstein_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return Maurer and Pontil's empirical Bernstein lower bound for a mean.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        mean(x) - sqrt(2 V log(2/alpha) / n) - 7 log(2/alpha) / (3 (n - 1)) with V the sample
        variance (divisor n - 1), at least 0, rounded down. It is 0 at n = 1.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for n independent observations in [0, 1] with
    mean mu, n fixed beforehand [1]_.

    References
    ----------
    .. [1] A. Maurer and M. Pontil, Empirical Bernstein bounds and sample-variance
       penalization, *COLT* (2009), Theorem 4.

    Examples
    --------
    >>> from rsverify.bounds.mean import empirical_bernstein_lower
    >>> print(f"{empirical_bernstein_lower([0.9, 1.0] * 50, 0.05):.6f}")
    0.849407
    """
    return map_samples(kernels.empirical_bernstein_rows, check_sample(x), alpha=check_alpha(alpha))


@overload
def empirical_bernstein_upper(x: Sequence[float], alpha: FloatLike) -> float: ...
@overload
def empirical_bernstein_upper(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float: ...
def empirical_bernstein_upper(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return the upper bound that mirrors `empirical_bernstein_lower`.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        1 - empirical_bernstein_lower(1 - x, alpha), rounded up.

    Raises
    ------
    TypeError, ValueError
        As `empirical_bernstein_lower`.

    Notes
    -----
    *Guarantee.* P(bound >= mu) >= 1 - alpha, under the assumptions of
    `empirical_bernstein_lower`.

    Examples
    --------
    >>> from rsverify.bounds.mean import empirical_bernstein_upper
    >>> print(f"{empirical_bernstein_upper([0.1, 0.0] * 50, 0.05):.6f}")
    0.150593
    """
    return upper_of(empirical_bernstein_lower, x, alpha)


@overload
def plugin_bernstein_lower(
    x: Sequence[float], alpha: FloatLike, *, cap: FloatLike = ...
) -> float: ...
@overload
def plugin_bernstein_lower(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: npt.ArrayLike = ...
) -> FloatArray | float: ...
def plugin_bernstein_lower(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: npt.ArrayLike = 0.5
) -> FloatArray | float:
    """Return the predictable plug-in empirical Bernstein lower bound, aimed at n.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in an order fixed before they were seen.
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.
    cap : float or array of float, default 0.5
        The largest bet, in (0, 0.99]; 0.5 and 0.75 are usual.

    Returns
    -------
    float or array of float
        The largest over t <= n of (sum b_i x_i - log(1/alpha) - sum (x_i - m_i)**2 psi(b_i)) /
        sum b_i, psi(b) = -log(1 - b) - b, with the sums over i <= t, m_i the mean of the
        observations before i (and of one more of 1/2), and the bet b_i = min(cap,
        sqrt(2 log(1/alpha) / (n s_i))) with s_i their variance (1/4 added as one
        observation). At least 0, rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for observations in [0, 1] with conditional mean
    mu given the earlier ones. The maximum over t needs no correction: all t hold at once [1]_.

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
       betting, *Journal of the Royal Statistical Society B* 86 (2024) 1-27, Theorem 2.

    Examples
    --------
    >>> from rsverify.bounds.mean import plugin_bernstein_lower
    >>> print(f"{plugin_bernstein_lower([0.9, 1.0] * 50, 0.05):.6f}")
    0.887873
    """
    return map_samples(
        kernels.plugin_bernstein_rows,
        check_sample(x),
        alpha=check_alpha(alpha),
        cap=check_unit("cap", cap, LARGEST_CAP),
    )


@overload
def plugin_bernstein_upper(
    x: Sequence[float], alpha: FloatLike, *, cap: FloatLike = ...
) -> float: ...
@overload
def plugin_bernstein_upper(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: npt.ArrayLike = ...
) -> FloatArray | float: ...
def plugin_bernstein_upper(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: npt.ArrayLike = 0.5
) -> FloatArray | float:
    """Return the upper bound that mirrors `plugin_bernstein_lower`.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in an order fixed before they were seen.
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.
    cap : float or array of float, default 0.5
        The largest bet, in (0, 0.99].

    Returns
    -------
    float or array of float
        1 - plugin_bernstein_lower(1 - x, alpha), rounded up.

    Raises
    ------
    TypeError, ValueError
        As `plugin_bernstein_lower`.

    Notes
    -----
    *Guarantee.* P(bound >= mu) >= 1 - alpha, under the assumptions of `plugin_bernstein_lower`.

    Examples
    --------
    >>> from rsverify.bounds.mean import plugin_bernstein_upper
    >>> print(f"{plugin_bernstein_upper([0.1, 0.0] * 50, 0.05):.6f}")
    0.112127
    """
    return upper_of(plugin_bernstein_lower, x, alpha, cap=cap)


@overload
def plugin_hoeffding_lower(x: Sequence[float], alpha: FloatLike) -> float: ...
@overload
def plugin_hoeffding_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float: ...
def plugin_hoeffding_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return the predictable plug-in Hoeffding lower bound, aimed at n.

    Hoeffding's bound, or better where the mean of the first t < n observations was high: the
    bet sqrt(8 log(1/alpha) / n) is fixed, and all t hold at once.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in an order fixed before they were seen.
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        The largest over t <= n of mean(x[:t]) - log(1/alpha) / (t b) - b/8 with the bet b,
        at least 0, rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for observations in [0, 1] with conditional mean
    mu given the earlier ones [1]_.

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
       betting, *Journal of the Royal Statistical Society B* 86 (2024) 1-27, Proposition 1.

    Examples
    --------
    >>> from rsverify.bounds.mean import plugin_hoeffding_lower
    >>> print(f"{plugin_hoeffding_lower([0.9, 1.0] * 50, 0.05):.6f}")
    0.827613
    """
    return map_samples(kernels.plugin_hoeffding_rows, check_sample(x), alpha=check_alpha(alpha))


def bentkus_lower(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray | float:
    """Return Bentkus's lower confidence bound for a mean, from a binomial tail.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.

    Returns
    -------
    float or array of float
        The Clopper-Pearson lower limit at level alpha/e of as many successes in n trials as the
        sum of the observations has in it, rounded down to an integer.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, alpha/e is below the normal float64 numbers, or the
        shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for n observations, n fixed beforehand, in [0, 1]
    with conditional mean mu given the earlier ones (independent ones in particular): their sum
    reaches an integer k with probability at most e P(Bin(n, mu) >= k) [1]_.

    References
    ----------
    .. [1] V. Bentkus, On Hoeffding's inequalities, *The Annals of Probability* 32 (2004)
       1650-1673, Theorem 1.2.

    Examples
    --------
    >>> from rsverify.bounds.mean import bentkus_lower, hoeffding_lower
    >>> x = [0.9, 1.0] * 50
    >>> print(f"{bentkus_lower(x, 0.05):.4f} {hoeffding_lower(x, 0.05):.4f}")
    0.8827 0.8276
    """
    sample = check_sample(x)
    level = share_of_alpha(check_alpha(alpha), _ONE_OVER_E)
    rows = sample.reshape(-1, sample.shape[-1])
    sums = np.array([_whole_part_of_sum(row) for row in rows.tolist()], dtype=np.int64)
    return clopper_pearson_lower(sums.reshape(sample.shape[:-1]), sample.shape[-1], level)


def _whole_part_of_sum(row: list[float]) -> int:
    """Return the largest integer that the exact sum reaches."""
    whole = math.floor(math.fsum(row))
    # The sum was rounded, this difference has its sign: a rounded sum that is just an integer
    # may come from an exact one below it.
    return whole if math.fsum([*row, -whole]) >= 0.0 else whole - 1


BOUNDS = (
    Bound(
        "hoeffding_lower",
        hoeffding_lower,
        "mean",
        "lower",
        "sample",
        reference="mean:hoeffding_lower",
    ),
    Bound(
        "hoeffding_upper",
        hoeffding_upper,
        "mean",
        "upper",
        "sample",
        reference="mean:hoeffding_lower",
    ),
    Bound(
        "bentkus_lower",
        bentkus_lower,
        "mean",
        data="sample",
        reference="mean:bentkus_lower",
    ),
    Bound(
        "plugin_hoeffding_lower",
        plugin_hoeffding_lower,
        "mean",
        "lower",
        "sample",
        reference="mean:plugin_hoeffding_lower",
    ),
    Bound(
        "bernstein_lower",
        bernstein_lower,
        "mean",
        "lower",
        "sample and variance",
        reference="mean:bernstein_lower",
    ),
    Bound(
        "empirical_bernstein_lower",
        empirical_bernstein_lower,
        "mean",
        "lower",
        "sample",
        reference="mean:empirical_bernstein_lower",
    ),
    Bound(
        "empirical_bernstein_upper",
        empirical_bernstein_upper,
        "mean",
        "upper",
        "sample",
        reference="mean:empirical_bernstein_lower",
    ),
    Bound(
        "plugin_bernstein_lower",
        plugin_bernstein_lower,
        "mean",
        "lower",
        "sample",
        reference="mean:plugin_bernstein_lower",
    ),
    Bound(
        "plugin_bernstein_upper",
        plugin_bernstein_upper,
        "mean",
        "upper",
        "sample",
        reference="mean:plugin_bernstein_lower",
    ),
)
"""The bounds of this file."""
