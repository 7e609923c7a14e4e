"""Confidence sequences for the mean of a sample in [0, 1]: bounds that hold time-uniformly.

A sequence has the shape of the sample; its entry t uses the first t observations of the last
axis. It is the running intersection: a lower sequence never falls. Whoever watches it may
stop whenever they like, for whatever reason, and still has the stated coverage.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_alpha, check_choice, share_of_alpha
from rsverify._core.types import SequenceStrategyName
from rsverify.bounds._samples import check_sample, check_unit, map_samples
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import Interval, interval_of, mirror
from rsverify.bounds.mean import LARGEST_CAP
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.kernels.mean import betting, betting_path, kt
from rsverify.kernels.mean import closed_form as kernels

__all__ = [
    "betting_interval_sequence",
    "betting_sequence",
    "clopper_pearson_sequence",
    "kt_mixture_sequence",
    "plugin_bernstein_sequence",
    "plugin_hoeffding_sequence",
]

# Shares 0.99/2**j staked by the components of the portfolio, weights falling as 1/(1 + j):
# a share within a factor of 1.5 of the best costs at most a tenth of its growth, and the
# weight of the one that fits data of low variance, the first, is a third.
PORTFOLIO_SHARES = 0.99 * 0.5 ** np.arange(12.0)
PORTFOLIO_WEIGHTS = (1.0 / np.arange(1.0, 13.0)) / np.sum(1.0 / np.arange(1.0, 13.0))
# Equally weighted quantiles of Beta(1/2, 1/2) on (0, 0.99): the KT mixture, discretized.
KT_SHARES = 0.99 * np.sin((np.arange(24.0) + 0.5) * np.pi / 48.0) ** 2
KT_WEIGHTS = np.full(24, 1.0 / 24.0)

MIXTURES = {
    "portfolio": (PORTFOLIO_SHARES, PORTFOLIO_WEIGHTS),
    "kt": (KT_SHARES, KT_WEIGHTS),
}
PREDICTABLE = {"plugin": betting.PLUGIN, "agrapa": betting.AGRAPA}


def _check_binary(x: npt.ArrayLike) -> FloatArray:
    sample = check_sample(x)
    bad = (sample != 0.0) & (sample != 1.0)
    if bad.any():
        raise ValueError(f"x={sample[bad].flat[0].item()} must be 0 or 1")
    return sample


def plugin_hoeffding_sequence(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray:
    """Return the running predictable plug-in Hoeffding lower bounds.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in order.
    alpha : float or array of float
        One-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.

    Returns
    -------
    array of float, shape (..., n)
        Entry t: the largest over s <= t of (sum b_i x_i - log(1/alpha) - sum b_i**2 / 8) /
        sum b_i, b_i = min(1, sqrt(8 log(1/alpha) / (i log(1 + i)))), at least 0, rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(sequence[t] <= mu for all t) >= 1 - alpha, for observations in [0, 1] with
    conditional mean mu given the earlier ones [1]_.

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
       betting, *Journal of the Royal Statistical Society B* 86 (2024) 1-27, Proposition 1.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import plugin_hoeffding_sequence
    >>> plugin_hoeffding_sequence([0.9, 1.0] * 50, 0.05)[[9, 99]].round(4)
    array([0.5254, 0.8105])
    """
    levels = check_alpha(alpha)
    sample = check_sample(x)
    path = map_samples(kernels.plugin_hoeffding_paths, sample, path=True, alpha=levels)
    return cast(FloatArray, path)


def plugin_bernstein_sequence(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, cap: npt.ArrayLike = 0.5
) -> FloatArray:
    """Return the running predictable plug-in empirical Bernstein lower bounds.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in order.
    alpha : float or array of float
        One-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.
    cap : float or array of float, default 0.5
        The largest bet, in (0, 0.99].

    Returns
    -------
    array of float, shape (..., n)
        As `rsverify.bounds.mean.plugin_bernstein_lower`, after every observation, with i log(1
        + i) for n in the bet of observation i.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(sequence[t] <= mu for all t) >= 1 - alpha, for observations in [0, 1] with
    conditional mean mu given the earlier ones [1]_.

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
       betting, *Journal of the Royal Statistical Society B* 86 (2024) 1-27, Theorem 2.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import plugin_bernstein_sequence
    >>> plugin_bernstein_sequence([0.9, 1.0] * 50, 0.05)[[9, 99]].round(4)
    array([0.338 , 0.8878])
    """
    path = map_samples(
        kernels.plugin_bernstein_paths,
        check_sample(x),
        path=True,
        alpha=check_alpha(alpha),
        cap=check_unit("cap", cap, LARGEST_CAP),
    )
    return cast(FloatArray, path)


def betting_sequence(
    x: npt.ArrayLike, alpha: npt.ArrayLike, *, strategy: SequenceStrategyName = "portfolio"
) -> FloatArray:
    """Return the running betting lower bounds.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in order.
    alpha : float or array of float
        One-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.
    strategy : {"portfolio", "kt", "plugin", "agrapa"}, default "portfolio"
        A capital that stakes the share s_t at a candidate mean m is multiplied by
        1 - s_t + s_t x_t/m. "portfolio" holds twelve constant shares 0.99/2**j with weights
        proportional to 1/(j + 1); "kt" 24 quantiles of Beta(1/2, 1/2), the discretized
        Krichevsky-Trofimov universal portfolio; "plugin" and "agrapa" stake the predictable
        plug-in or the approximate growth-optimal bet times the mean so far, at most 1/2.

    Returns
    -------
    array of float, shape (..., n)
        Entry t: the infimum of the means that no capital up to time t has rejected, rounded
        down by less than 1e-9; 0 where nothing is rejected.

    Raises
    ------
    TypeError
        If an argument is not of its type.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(sequence[t] <= mu for all t) >= 1 - alpha, for observations in [0, 1] with
    conditional mean mu given the earlier ones [1]_. The shares know only the past and do not
    depend on m, so the capital falls with m and no rejected mean is overlooked.

    References
    ----------
    .. [1] F. Orabona and K.-S. Jun, Tight concentrations and confidence sequences from the
       regret of universal portfolio, *IEEE Transactions on Information Theory* 70 (2024)
       436-455.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import betting_sequence
    >>> betting_sequence([0.9, 1.0] * 50, 0.05)[[0, 9, 99]].round(4)
    array([0.0205, 0.6335, 0.911 ])
    """
    sample = check_sample(x)
    name = check_choice("strategy", strategy, (*MIXTURES, *PREDICTABLE))
    levels = check_alpha(alpha)
    if name in MIXTURES:
        shares, weights = MIXTURES[name]
        loop, constants = betting_path.mixture_paths, (shares[None, :], weights)
        path = map_samples(loop, sample, *constants, path=True, alpha=levels)
    else:
        code = PREDICTABLE[name]
        path = map_samples(
            betting_path.predictable_paths, sample, 0.5, code, path=True, alpha=levels
        )
    return cast(FloatArray, path)


def betting_interval_sequence(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: SequenceStrategyName = "portfolio",
    split: float = 0.5,
) -> Interval:
    """Return the running hedged betting confidence intervals.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in order.
    alpha : float or array of float
        Two-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.
    strategy : {"portfolio", "kt", "plugin", "agrapa"}, default "portfolio"
        As `betting_sequence`.
    split : float, default 0.5
        The share of `alpha` that the lower sequence spends, in (0, 1).

    Returns
    -------
    Interval
        ``lower`` and ``upper``, each of the shape of `x`. Where ``lower > upper``, which
        `Interval.empty` says, no mean is left at that time, nor at any later one: the
        intersection is never reset.

    Raises
    ------
    TypeError, ValueError
        As `betting_sequence`; ValueError if `split` is outside (0, 1).

    Notes
    -----
    *Guarantee.* P(lower[t] <= mu <= upper[t] for all t) >= 1 - alpha, under the assumptions of
    `betting_sequence`.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import betting_interval_sequence
    >>> lower, upper = betting_interval_sequence([0.4, 0.5, 0.6] * 40, 0.05)
    >>> print(f"{lower[-1]:.3f} {upper[-1]:.3f}")
    0.474 0.525
    """
    return interval_of(betting_sequence, x, alpha, split=split, strategy=strategy)


def kt_mixture_sequence(x: npt.ArrayLike, alpha: npt.ArrayLike) -> Interval:
    """Return the running Beta-binomial (KT) mixture confidence intervals of a proportion.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations, 0 or 1, in order.
    alpha : float or array of float
        Two-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.

    Returns
    -------
    Interval
        ``lower`` and ``upper``, each of the shape of `x`: the running intersection of
        {p : B(k + 1/2, t - k + 1/2) / (B(1/2, 1/2) p**k (1 - p)**(t - k)) < 1/alpha}, k the
        successes among the first t, rounded outward by less than 1e-9. An empty intersection
        has ``lower > upper`` and stays so.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(lower[t] <= p <= upper[t] for all t) >= 1 - alpha, for observations that are
    1 with conditional probability p given the earlier ones [1]_. Both sides share one
    `alpha`, so that neither of them alone is at alpha/2: for one side, use
    `betting_sequence` with ``strategy="kt"``, whose mixture bets on that side only.

    References
    ----------
    .. [1] H. Robbins, Statistical methods related to the law of the iterated logarithm,
       *Annals of Mathematical Statistics* 41 (1970) 1397-1409.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import kt_mixture_sequence
    >>> lower, upper = kt_mixture_sequence([1, 1, 1, 0] * 100, 0.05)
    >>> print(f"{lower[-1]:.3f} {upper[-1]:.3f}")
    0.671 0.821
    """
    sample = _check_binary(x)
    levels = check_alpha(alpha)
    lower, mirrored = (
        map_samples(kt.kt_paths, side, path=True, alpha=levels) for side in (sample, 1.0 - sample)
    )
    return Interval(lower, mirror(mirrored), check_alpha(alpha)[()])


def look_times(n: int) -> npt.NDArray[np.int64]:
    """Return the times up to n at which `clopper_pearson_sequence` looks: 1, then 1.1-fold."""
    times = [1]
    while times[-1] < n:
        times.append(max(times[-1] + 1, times[-1] * 11 // 10))
    return np.array([t for t in times if t <= n])


def clopper_pearson_sequence(x: npt.ArrayLike, alpha: npt.ArrayLike) -> FloatArray:
    """Return running Clopper-Pearson lower limits on a geometric schedule, by a union bound.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations, 0 or 1, in order.
    alpha : float or array of float
        One-sided failure probability of the whole sequence, in (0, 1); broadcasts with the
        batch shape of `x`.

    Returns
    -------
    array of float, shape (..., n)
        The largest Clopper-Pearson limit so far; the limit is taken at times t_1 = 1, t_{k+1} =
        max(t_k + 1, floor(1.1 t_k)), the k-th at level 5 alpha / ((k + 4)(k + 5)). For an upper
        sequence take one minus that of 1 - x.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(sequence[t] <= p for all t) >= 1 - alpha, for independent observations that
    are 1 with probability p: the levels sum to alpha over all k >= 1.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import clopper_pearson_sequence
    >>> clopper_pearson_sequence([1, 1, 1, 0] * 100, 0.05)[[9, 99, 399]].round(4)
    array([0.2883, 0.5695, 0.659 ])
    """
    sample = _check_binary(x)
    n = sample.shape[-1]
    levels = check_alpha(alpha)
    times = look_times(n)
    looks = np.arange(1, times.size + 1)
    counts = np.cumsum(sample, axis=-1)[..., times - 1].astype(np.int64)
    try:
        spent = np.broadcast_to(levels, np.broadcast_shapes(levels.shape, sample.shape[:-1]))
    except ValueError:
        raise ValueError(
            f"alpha of shape {levels.shape} must broadcast with the batch {sample.shape[:-1]} of x"
        ) from None
    # The product rounds by less than 4u; the factor keeps the sum of levels below alpha.
    shares = 5.0 * (1.0 - 1e-15) / ((looks + 4.0) * (looks + 5.0))
    level = share_of_alpha(spent[..., None], shares)
    limits = np.maximum.accumulate(np.asarray(clopper_pearson_lower(counts, times, level)), axis=-1)
    since = np.searchsorted(times, np.arange(1, n + 1), side="right") - 1
    return cast(FloatArray, limits[..., since])


BOUNDS = (
    Bound(
        "plugin_hoeffding_sequence",
        plugin_hoeffding_sequence,
        "mean",
        "lower",
        "sample",
        time_uniform=True,
        reference="mean:plugin_hoeffding_sequence",
    ),
    Bound(
        "plugin_bernstein_sequence",
        plugin_bernstein_sequence,
        "mean",
        "lower",
        "sample",
        time_uniform=True,
        reference="mean:plugin_bernstein_sequence",
    ),
    Bound(
        "betting_sequence",
        betting_sequence,
        "mean",
        "lower",
        "sample",
        time_uniform=True,
        reference="mean:betting_sequence",
    ),
    Bound(
        "betting_interval_sequence",
        betting_interval_sequence,
        "mean",
        "two-sided",
        "sample",
        time_uniform=True,
        reference="mean:betting_sequence",
    ),
    Bound(
        "kt_mixture_sequence",
        kt_mixture_sequence,
        "mean",
        "two-sided",
        "binary sample",
        time_uniform=True,
        reference="mean:kt_mixture_sequence",
    ),
    Bound(
        "clopper_pearson_sequence",
        clopper_pearson_sequence,
        "mean",
        "lower",
        "binary sample",
        time_uniform=True,
        reference="mean:clopper_pearson_sequence",
    ),
)
"""The bounds of this file."""
