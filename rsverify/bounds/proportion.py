"""Exact confidence limits for a proportion: Clopper-Pearson and its randomized version."""

from __future__ import annotations

from typing import overload

import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_alpha,
    check_broadcast,
    check_count,
    check_fraction,
    check_single,
    check_trials,
    share_of_alpha,
)
from rsverify._core.rows import map_rows
from rsverify._core.types import FloatLike, IntLike
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import Interval
from rsverify.bounds.uniforms import SeedLike, given_or_drawn
from rsverify.kernels.binomial import (
    clopper_pearson_lower_rows,
    clopper_pearson_upper_rows,
    randomized_lower_rows,
    randomized_upper_rows,
)

__all__ = [
    "clopper_pearson_interval",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "randomized_clopper_pearson_lower",
    "randomized_clopper_pearson_upper",
]

LARGEST_TRIALS = 10_000_000
"""The largest number of trials for which the limits' errors are measured."""


@overload
def clopper_pearson_lower(k: IntLike, n: IntLike, alpha: FloatLike) -> float: ...
@overload
def clopper_pearson_lower(
    k: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike
) -> FloatArray: ...
def clopper_pearson_lower(
    k: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike
) -> FloatArray | float:
    """Return the Clopper-Pearson lower confidence limit of a proportion.

    Parameters
    ----------
    k : int or array of int
        Number of successes, 0 to n.
    n : int or array of int
        Number of trials, 1 to 10,000,000.
    alpha : float or array of float
        One-sided failure probability, in (0, 1).

    Returns
    -------
    float or array of float
        The p with P(Bin(n, p) ≥ k) = alpha, and 0 where k = 0: a probability, of the
        shape to which the arguments broadcast. Rounded down, by less than 3e-12 of itself
        (4e-14 for alpha above 1e-3); below 1e-307 it is 0.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* Whatever the success probability p, P(limit ≤ p) ≥ 1 − alpha, for k
    successes in n independent trials of probability p, n fixed beforehand. No other limit
    that does not decrease with k is larger anywhere [1]_.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits
       illustrated in the case of the binomial, *Biometrika* 26 (1934) 404-413.

    Examples
    --------
    >>> from rsverify import clopper_pearson_lower
    >>> print(f"{clopper_pearson_lower(990, 1000, 0.001):.6f}")
    0.976036
    >>> clopper_pearson_lower([0, 5, 10], 10, 0.05).round(6)
    array([0.      , 0.222441, 0.741134])
    """
    trials = check_trials(n, LARGEST_TRIALS)
    counts = check_count("k", k, trials)
    return map_rows(clopper_pearson_lower_rows, k=counts, n=trials, alpha=check_alpha(alpha))


@overload
def clopper_pearson_upper(k: IntLike, n: IntLike, alpha: FloatLike) -> float: ...
@overload
def clopper_pearson_upper(
    k: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike
) -> FloatArray: ...
def clopper_pearson_upper(
    k: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike
) -> FloatArray | float:
    """Return the Clopper-Pearson upper confidence limit of a proportion.

    The limit for k successes is one minus the lower limit for n − k.

    Parameters
    ----------
    k : int or array of int
        Number of successes, 0 to n.
    n : int or array of int
        Number of trials, 1 to 10,000,000.
    alpha : float or array of float
        One-sided failure probability, in (0, 1).

    Returns
    -------
    float or array of float
        The p with P(Bin(n, p) ≤ k) = alpha, and 1 where k = n: a probability, of the
        shape to which the arguments broadcast. Rounded up, so that one minus it errs by
        less than 3e-12 of itself or by two neighboring floats.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* Whatever the success probability p, P(limit ≥ p) ≥ 1 − alpha, for k
    successes in n independent trials of probability p, n fixed beforehand [1]_.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits
       illustrated in the case of the binomial, *Biometrika* 26 (1934) 404-413.

    Examples
    --------
    >>> from rsverify import clopper_pearson_upper
    >>> print(f"{clopper_pearson_upper(0, 1000, 0.05):.6f}")
    0.002991
    """
    trials = check_trials(n, LARGEST_TRIALS)
    counts = check_count("k", k, trials)
    return map_rows(clopper_pearson_upper_rows, k=counts, n=trials, alpha=check_alpha(alpha))


def clopper_pearson_interval(
    k: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, split: float = 0.5
) -> Interval:
    """Return the Clopper-Pearson confidence interval of a proportion.

    Parameters
    ----------
    k : int or array of int
        Number of successes, 0 to n.
    n : int or array of int
        Number of trials, 1 to 10,000,000.
    alpha : float or array of float
        Failure probability of both sides together, in (0, 1).
    split : float, default 0.5
        The share of `alpha` that the lower limit spends, in (0, 1).

    Returns
    -------
    Interval
        `clopper_pearson_lower` at split alpha and `clopper_pearson_upper` at (1 - split) alpha,
        rounded outward.

    Raises
    ------
    TypeError, ValueError
        As `clopper_pearson_lower`; ValueError if `split` is outside (0, 1).

    Notes
    -----
    *Guarantee.* P(lower <= p <= upper) >= 1 - alpha whatever the success probability p, for k
    successes in n independent trials, n fixed beforehand; each limit alone fails with
    probability at most its share of alpha.

    Examples
    --------
    >>> from rsverify import clopper_pearson_interval
    >>> lower, upper = clopper_pearson_interval(306, 500, 0.05)
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.568 0.655
    """
    share = check_fraction("split", split)
    check_single("split", share)
    level = check_alpha(alpha)
    return Interval(
        clopper_pearson_lower(k, n, share_of_alpha(level, share, "split")),
        clopper_pearson_upper(k, n, share_of_alpha(level, 1.0 - share, "split")),
        level[()],
    )


@overload
def randomized_clopper_pearson_lower(
    k: IntLike,
    n: IntLike,
    alpha: FloatLike,
    *,
    u: FloatLike | None = ...,
    seed: SeedLike | None = ...,
) -> float: ...
@overload
def randomized_clopper_pearson_lower(
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    u: npt.ArrayLike | None = ...,
    seed: SeedLike | None = ...,
) -> FloatArray: ...
def randomized_clopper_pearson_lower(
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    u: npt.ArrayLike | None = None,
    seed: SeedLike | None = None,
) -> FloatArray | float:
    """Return the randomized Clopper-Pearson lower limit, whose level is exactly alpha.

    One independent uniform number u is added to the count, which makes it continuous. The
    limit lies between the plain ones for k (at u = 0) and for k + 1 (at u = 1).

    Parameters
    ----------
    k : int or array of int
        Number of successes, 0 to n.
    n : int or array of int
        Number of trials, 1 to 10,000,000.
    alpha : float or array of float
        One-sided failure probability, in (0, 1).
    u : float or array of float, optional
        The uniform number of each limit, in [0, 1]. It must be drawn independently of the
        trials, once: choosing among several u breaks the guarantee.
    seed : int or numpy.random.Generator, optional
        Where `u` is not given, it is drawn from ``numpy.random.default_rng(seed)``, one
        for each limit.

    Returns
    -------
    float or array of float
        The p with P(X > k) + (1 − u)·P(X = k) = alpha for X ~ Bin(n, p), 0 or 1 where
        there is none: a probability, of the shape to which the arguments broadcast.
        Rounded down, by less than 3e-12 of itself; below 1e-307 it is 0.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, the shapes do not broadcast, or both `u` and
        `seed` are given.

    Notes
    -----
    *Guarantee.* For every success probability 0 < p < 1, P(limit ≤ p) = 1 − alpha up to
    the rounding of the limit, over the k successes in n independent trials, n fixed
    beforehand, and over u, uniform and independent of them [1]_. The limit can be 1: where
    k = n and u ≥ 1 − alpha.

    References
    ----------
    .. [1] W. L. Stevens, Fiducial limits of the parameter of a discontinuous distribution,
       *Biometrika* 37 (1950) 117-129.

    Examples
    --------
    >>> from rsverify.bounds.proportion import randomized_clopper_pearson_lower
    >>> randomized_clopper_pearson_lower(5, 10, 0.05, u=[0.0, 0.5, 1.0]).round(6)
    array([0.222441, 0.251368, 0.303537])
    """
    trials = check_trials(n, LARGEST_TRIALS)
    counts = check_count("k", k, trials)
    level = check_alpha(alpha)
    uniform = given_or_drawn(u, seed, check_broadcast(k=counts, n=trials, alpha=level))
    return map_rows(randomized_lower_rows, k=counts, n=trials, alpha=level, u=uniform)


@overload
def randomized_clopper_pearson_upper(
    k: IntLike,
    n: IntLike,
    alpha: FloatLike,
    *,
    u: FloatLike | None = ...,
    seed: SeedLike | None = ...,
) -> float: ...
@overload
def randomized_clopper_pearson_upper(
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    u: npt.ArrayLike | None = ...,
    seed: SeedLike | None = ...,
) -> FloatArray: ...
def randomized_clopper_pearson_upper(
    k: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    u: npt.ArrayLike | None = None,
    seed: SeedLike | None = None,
) -> FloatArray | float:
    """Return the randomized Clopper-Pearson upper limit, whose level is exactly alpha.

    With one `u` for both, it is never below the lower limit while their levels add to at
    most 1. The limit lies between the plain ones for k − 1 (at u = 0) and k (at u = 1).

    Parameters
    ----------
    k : int or array of int
        Number of successes, 0 to n.
    n : int or array of int
        Number of trials, 1 to 10,000,000.
    alpha : float or array of float
        One-sided failure probability, in (0, 1).
    u : float or array of float, optional
        The uniform number of each limit, in [0, 1]. It must be drawn independently of the
        trials, once: choosing among several u breaks the guarantee.
    seed : int or numpy.random.Generator, optional
        Where `u` is not given, it is drawn from ``numpy.random.default_rng(seed)``, one
        for each limit.

    Returns
    -------
    float or array of float
        The p with P(X < k) + u·P(X = k) = alpha for X ~ Bin(n, p), 1 or 0 where there is
        none: a probability, of the shape to which the arguments broadcast. Rounded up.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, the shapes do not broadcast, or both `u` and
        `seed` are given.

    Notes
    -----
    *Guarantee.* For every success probability 0 < p < 1, P(limit ≥ p) = 1 − alpha up to
    the rounding of the limit, over the k successes in n independent trials, n fixed
    beforehand, and over u, uniform and independent of them [1]_. The limit can be 0: where
    k = 0 and u ≤ alpha.

    References
    ----------
    .. [1] W. L. Stevens, Fiducial limits of the parameter of a discontinuous distribution,
       *Biometrika* 37 (1950) 117-129.

    Examples
    --------
    >>> from rsverify.bounds.proportion import randomized_clopper_pearson_upper
    >>> print(f"{randomized_clopper_pearson_upper(5, 10, 0.05, u=0.5):.6f}")
    0.748632
    """
    trials = check_trials(n, LARGEST_TRIALS)
    counts = check_count("k", k, trials)
    level = check_alpha(alpha)
    uniform = given_or_drawn(u, seed, check_broadcast(k=counts, n=trials, alpha=level))
    return map_rows(randomized_upper_rows, k=counts, n=trials, alpha=level, u=uniform)


BOUNDS = (
    Bound(
        "clopper_pearson_lower",
        clopper_pearson_lower,
        "proportion",
        data="counts",
        reference="proportion:clopper_pearson_lower",
    ),
    Bound(
        "clopper_pearson_upper",
        clopper_pearson_upper,
        "proportion",
        "upper",
        "counts",
        reference="proportion:clopper_pearson_upper",
    ),
    Bound(
        "clopper_pearson_interval",
        clopper_pearson_interval,
        "proportion",
        "two-sided",
        "counts",
        reference="proportion:clopper_pearson_lower",
    ),
    Bound(
        "randomized_clopper_pearson_lower",
        randomized_clopper_pearson_lower,
        "proportion",
        data="randomized counts",
        reference="proportion:randomized_clopper_pearson_lower",
    ),
    Bound(
        "randomized_clopper_pearson_upper",
        randomized_clopper_pearson_upper,
        "proportion",
        "upper",
        "randomized counts",
        reference="proportion:randomized_clopper_pearson_upper",
    ),
)
"""The bounds of this file."""
