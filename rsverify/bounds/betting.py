"""Betting bounds for the mean of a sample in [0, 1] of fixed size: the tightest here.

A bettor who may only lose on average if the mean is at most m starts with capital 1; where
the capital reaches 1/alpha, m is rejected, with probability at most alpha if it should not be. The
strategies differ in how they bet. All have capital that is nonincreasing in m (proved in
`rsverify.kernels.mean.betting`), so that the rejected means are an interval, a search in a bracket
finds its end, and no mean below the bound was left out: the bound covers, it is not only
searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_alpha,
    check_choice,
)
from rsverify._core.types import FloatLike, StrategyName
from rsverify.bounds._samples import check_sample, check_unit, map_samples
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import Interval, interval_of, upper_of
from rsverify.bounds.mean import LARGEST_CAP
from rsverify.bounds.uniforms import SeedLike, given_or_drawn
from rsverify.kernels.mean import betting as kernels

__all__ = ["betting_interval", "betting_lower", "betting_upper"]

STRATEGIES = {"star": kernels.STAR, "plugin": kernels.PLUGIN, "agrapa": kernels.AGRAPA}
DEFAULT_CAP = {"star": 0.99, "plugin": 0.5, "agrapa": 0.5}


def last_step(u: npt.ArrayLike | None, seed: SeedLike | None, shape: tuple[int, ...]) -> FloatArray:
    """Return the uniforms in (0, 1] of the last step; 1, which changes nothing, by default."""
    if u is None and seed is None:
        return np.asarray(1.0)
    uniform = given_or_drawn(u, seed, shape)
    return check_unit("u", uniform) if seed is None else 1.0 - uniform


@overload
def betting_lower(
    x: Sequence[float],
    alpha: FloatLike,
    *,
    strategy: StrategyName = ...,
    cap: FloatLike | None = ...,
    u: FloatLike | None = ...,
    seed: SeedLike | None = ...,
) -> float: ...
@overload
def betting_lower(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: StrategyName = ...,
    cap: npt.ArrayLike | None = ...,
    u: npt.ArrayLike | None = ...,
    seed: SeedLike | None = ...,
) -> FloatArray | float: ...
def betting_lower(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: StrategyName = "star",
    cap: npt.ArrayLike | None = None,
    u: npt.ArrayLike | None = None,
    seed: SeedLike | None = None,
) -> FloatArray | float:
    """Return the betting lower confidence bound for a mean.

    Parameters
    ----------
    x : array of float, shape (..., n)
        Observations in [0, 1], in an order fixed before they were seen.
    alpha : float or array of float
        One-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.
    strategy : {"star", "plugin", "agrapa"}, default "star"
        How to bet. "star" steers the capital toward 1/alpha at time n, given what it has
        reached (STaR-Bets [1]_, with a variance estimate that does not depend on the
        candidate mean, bets kept for short blocks, and a prior of its own); the tightest in
        all comparisons. "plugin" is the predictable plug-in [2]_. "agrapa" is the approximate
        growth-optimal bet [2]_ against the mean about to be rejected.
    cap : float or array of float, optional
        The largest share of the capital that one bet may lose, in (0, 0.99]. Default: 0.99
        for "star", 0.5 for the others.
    u : float or array of float, optional
        A uniform variate in (0, 1], drawn independently of `x` once for each sample, for the
        randomized last step: a mean is also rejected if the last capital is at least u/alpha.
        Default: none, the bound is a function of `x` alone.
    seed : int or numpy.random.Generator, optional
        Where `u` is not given, it is drawn from ``numpy.random.default_rng(seed)``, one for each
        limit.

    Returns
    -------
    float or array of float
        The infimum of the means that are not rejected, rounded down by less than 1e-9 (0 if
        none is rejected).

    Raises
    ------
    TypeError
        If an argument is not of its type.
    ValueError
        If an argument is out of its range, `u` and `seed` are both given, or the shapes do not
        broadcast.

    Notes
    -----
    *Guarantee.* P(bound <= mu) >= 1 - alpha, for n observations, n fixed beforehand, in [0, 1]
    with conditional mean mu given the earlier ones (independent ones in particular); with `u`,
    over its draw too.

    References
    ----------
    .. [1] V. Voracek and F. Orabona, STaR-Bets: sequential target-recalculating bets for
       tighter confidence intervals, 2025, Algorithm 4.
    .. [2] I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
       betting, *Journal of the Royal Statistical Society B* 86 (2024) 1-27, Theorem 3 and
       Appendix B.

    Examples
    --------
    >>> from rsverify.bounds.betting import betting_lower
    >>> x = [0.9, 1.0] * 50
    >>> print(f"{betting_lower(x, 0.05):.4f} {betting_lower(x, 0.05, strategy='plugin'):.4f}")
    0.9199 0.8949
    """
    sample = check_sample(x)
    name = check_choice("strategy", strategy, STRATEGIES)
    levels = check_alpha(alpha)
    batch = np.broadcast_shapes(sample.shape[:-1], levels.shape) if seed is not None else ()
    return map_samples(
        kernels.betting_rows,
        sample,
        STRATEGIES[name],
        alpha=levels,
        cap=check_unit("cap", DEFAULT_CAP[name] if cap is None else cap, LARGEST_CAP),
        u=last_step(u, seed, batch),
    )


@overload
def betting_upper(
    x: Sequence[float],
    alpha: FloatLike,
    *,
    strategy: StrategyName = ...,
    cap: FloatLike | None = ...,
    u: FloatLike | None = ...,
    seed: SeedLike | None = ...,
) -> float: ...
@overload
def betting_upper(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: StrategyName = ...,
    cap: npt.ArrayLike | None = ...,
    u: npt.ArrayLike | None = ...,
    seed: SeedLike | None = ...,
) -> FloatArray | float: ...
def betting_upper(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: StrategyName = "star",
    cap: npt.ArrayLike | None = None,
    u: npt.ArrayLike | None = None,
    seed: SeedLike | None = None,
) -> FloatArray | float:
    """Return the betting upper confidence bound for a mean: the mirror of `betting_lower`.

    Parameters
    ----------
    x, alpha, strategy, cap, u, seed
        As `betting_lower`.

    Returns
    -------
    float or array of float
        1 - betting_lower(1 - x, alpha), rounded up.

    Raises
    ------
    TypeError, ValueError
        As `betting_lower`.

    Notes
    -----
    *Guarantee.* P(bound >= mu) >= 1 - alpha, under the assumptions of `betting_lower`.

    Examples
    --------
    >>> from rsverify.bounds.betting import betting_upper
    >>> print(f"{betting_upper([0.1, 0.0] * 50, 0.05):.4f}")
    0.0801
    """
    return upper_of(betting_lower, x, alpha, strategy=strategy, cap=cap, u=u, seed=seed)


def betting_interval(
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    strategy: StrategyName = "star",
    cap: npt.ArrayLike | None = None,
    split: float = 0.5,
) -> Interval:
    """Return the hedged betting confidence interval for a mean.

    A mean is rejected when the larger of split K and (1 - split) K' reaches 1/alpha, with K
    the capital bet on a higher and K' that bet on a lower mean: the lower bound at
    split alpha and the upper bound at (1 - split) alpha.

    Parameters
    ----------
    x, strategy, cap
        As `betting_lower`.
    alpha : float or array of float
        Two-sided failure probability, in (0, 1); broadcasts with the batch shape of `x`.
    split : float, default 0.5
        The share of `alpha` that the lower bound spends, in (0, 1).

    Returns
    -------
    Interval
        ``lower`` and ``upper``. Where ``lower > upper`` no mean is left: `Interval.empty`
        says so, and the bounds are returned as they are.

    Raises
    ------
    TypeError, ValueError
        As `betting_lower`; ValueError if `split` is outside (0, 1).

    Notes
    -----
    *Guarantee.* P(lower <= mu <= upper) >= 1 - alpha, under the assumptions of
    `betting_lower`.

    Examples
    --------
    >>> from rsverify.bounds.betting import betting_interval
    >>> lower, upper = betting_interval([0.4, 0.5, 0.6] * 40, 0.05)
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.478 0.522
    """
    return interval_of(betting_lower, x, alpha, split=split, strategy=strategy, cap=cap)


BOUNDS = (
    Bound(
        "betting_lower",
        betting_lower,
        "mean",
        "lower",
        "sample",
        reference="mean:betting_lower",
    ),
    Bound(
        "betting_upper",
        betting_upper,
        "mean",
        "upper",
        "sample",
        reference="mean:betting_lower",
    ),
    Bound(
        "betting_interval",
        betting_interval,
        "mean",
        "two-sided",
        "sample",
        reference="mean:betting_lower",
    ),
)
"""The bounds of this file."""
