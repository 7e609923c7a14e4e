"""Lower limits of the margin of a class from vote counts, the runner-up read off the counts.

The class is fixed before the counts are seen. Every bound B(x_1, x_2) used here is nonincreasing
in the runner-up's votes x_2, and the most voted other class has at least as many votes as the truly
most probable other class, so B(x_y, max of the others) is at most the bound at the true runner-up
and holds with the same confidence, with no correction for the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_broadcast,
    check_choice,
    check_ignored,
    check_integer,
    check_real,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName, OrderingName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import (
    Taylor,
    bonferroni_margin_lower,
    cohen_margin_lower,
    exact_margin_lower,
)
from rsverify.certificates.radius import ESTIMANDS

__all__ = ["margin_lower_bounds"]

BOUNDS: tuple[VoteBoundName, ...] = get_args(VoteBoundName)
DEFAULT_ORDERING: OrderingName = "likelihood-ratio"


def level_of_bound(alpha: npt.ArrayLike, noise_excess: npt.ArrayLike) -> FloatArray:
    """Return what total levels leave to a bound once the noise's own error is paid for.

    Rounded down where anything is paid.

    Raises
    ------
    ValueError
        If alpha is outside (0, 1), or not more than twice the excess.
    """
    level = check_alpha(alpha)
    excess = check_real("noise_excess", noise_excess)
    bad = ~((excess >= 0) & (excess < 1))
    if bad.any():
        raise ValueError(f"noise_excess={excess[bad].flat[0]} must be in [0, 1)")
    check_broadcast(alpha=level, noise_excess=excess)
    small = level <= 2 * excess
    if small.any():
        level, excess = np.broadcast_arrays(level, excess)
        raise ValueError(
            f"alpha={level[small][0]} must be more than {2 * excess[small][0]:g}: the noise itself "
            f"is exact within noise_excess={excess[small][0]:g} only"
        )
    left: FloatArray = np.where(excess > 0, np.nextafter(level - excess, 0.0), level)
    return left


def margin_lower_bounds(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    bound: VoteBoundName | Bound = "exact",
    ordering: OrderingName | Taylor | None = None,
    ignore: Sequence[int] = (),
) -> FloatArray | float:
    r"""Return lower confidence limits for the margin of class y, one per row of counts.

    The runner-up is the most voted other class of the same row.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        Votes of m ≥ 2 classes; a row's sum is its n, at least 1.
    y : array_like of int
        The class of each row, 0 to m − 1, fixed before the counts were seen. Broadcasts
        with the shape (...).
    alpha : array_like of float
        Failure probability of each row, in (0, 1). Broadcasts likewise.
    estimand : {"difference", "probit", "laplace"}
        p_1 − p_2, Φ⁻¹(p_1) − Φ⁻¹(p_2), or that with the quantiles of the Laplace distribution; p_1
        is the probability of class y and p_2 the largest of the others.
    bound : {"exact", "bonferroni", "cohen"}
        See `exact_margin_lower`, `bonferroni_margin_lower`, `cohen_margin_lower`.
    ordering : str, optional
        Ordering of the exact bound, ``"likelihood-ratio"`` where not given.
    ignore : sequence of int
        Classes that are no runner-up, fixed before the counts were seen; their votes count in n.

    Returns
    -------
    ndarray of float64, or a float for one row
        Of the shape (...) broadcast with `y` and `alpha`; −∞ is possible but for "difference".

    Raises
    ------
    ValueError
        If a count is negative or not an integer, a row is empty, y is out of range, alpha is
        outside (0, 1), or an option is unknown or given to a bound that has none.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: each limit is at most the true margin with probability at least 1 − alpha,
    for independent votes, whatever m and whichever class is the true runner-up.

    Examples
    --------
    >>> from rsverify.certificates.margins import margin_lower_bounds
    >>> counts = [[600, 50, 350], [50, 900, 50]]
    >>> margin_lower_bounds(counts, [0, 1], 0.001, estimand="difference", bound="cohen").round(5)
    array([0.10215, 0.73493])
    """
    votes = check_counts("counts", counts)
    classes = check_integer("y", y)
    bad = (classes < 0) | (classes >= votes.shape[-1])
    if bad.any():
        raise ValueError(
            f"y={classes[bad].flat[0]} must be a class between 0 and {votes.shape[-1] - 1}"
        )
    level = check_alpha(alpha)
    Margin.named(estimand)
    if not isinstance(bound, Bound):
        check_choice("bound", bound, BOUNDS)
    if bound != "exact" and ordering is not None:
        raise ValueError(
            f"ordering={shown(ordering)} must be None for bound={name_of(bound)!r}: it has none"
        )

    n = votes.sum(axis=-1)
    try:
        classes, n = np.broadcast_arrays(classes, n)
    except ValueError:
        raise ValueError(
            f"y of shape {classes.shape} must broadcast with counts of shape {votes.shape}"
        ) from None
    votes = np.broadcast_to(votes, (*n.shape, votes.shape[-1]))
    is_y = np.arange(votes.shape[-1]) == classes[..., np.newaxis]
    k1 = np.where(is_y, votes, 0).sum(axis=-1)
    no_runner_up = is_y | np.isin(
        np.arange(votes.shape[-1]), check_ignored(ignore, votes.shape[-1])
    )
    if no_runner_up.all(axis=-1).any():
        raise ValueError(f"ignore={shown(ignore)} must leave a runner-up beside class y")
    k2 = np.where(no_runner_up, 0, votes).max(axis=-1)
    return limits_of_votes(k1, k2, n, level, estimand=estimand, bound=bound, ordering=ordering)


def limits_of_votes(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    *,
    estimand: MarginName,
    bound: VoteBoundName | Bound,
    ordering: OrderingName | Taylor | None,
) -> FloatArray | float:
    """Return the limits of `margin_lower_bounds`, from checked votes of y and its runner-up."""
    if isinstance(bound, Bound):
        return _own_limits(bound, estimand, k1, k2, n, alpha)
    if bound == "cohen":
        return cohen_margin_lower(k1, n, alpha, estimand=estimand)
    if bound == "bonferroni":
        return bonferroni_margin_lower(k1, k2, n, alpha, estimand=estimand)
    return exact_margin_lower(
        k1,
        k2,
        n,
        alpha,
        estimand=estimand,
        ordering=DEFAULT_ORDERING if ordering is None else ordering,
    )


def name_of(bound: VoteBoundName | Bound) -> str:
    """Return what a certificate calls the bound."""
    return bound.name if isinstance(bound, Bound) else bound


def _own_limits(
    bound: Bound, estimand: MarginName, k1: IntArray, k2: IntArray, n: IntArray, alpha: FloatArray
) -> FloatArray:
    """Return the limits of a caller's bound, or raise where it is none of this margin."""
    if bound.data != "votes" or bound.side != "lower" or bound.time_uniform:
        raise ValueError(
            f"bound={bound.name!r} must have data='votes', side='lower' and time_uniform=False, "
            f"not {bound.data!r}, {bound.side!r} and {bound.time_uniform}"
        )
    if estimand not in bound.estimands:
        radius = next(kind for kind, needed in ESTIMANDS.items() if needed == estimand)
        raise ValueError(
            f"bound={bound.name!r} bounds {' and '.join(bound.estimands)}: radius={radius!r} "
            f"needs {estimand!r}"
        )
    shape = np.broadcast_shapes(k1.shape, alpha.shape)
    limits = np.asarray(bound.limits_of(estimand)(k1, k2, n, alpha), dtype=np.float64)
    if limits.shape not in ((), shape) or np.isnan(limits).any():
        raise ValueError(
            f"bound={bound.name!r} must return limits of shape {shape} without NaN, got shape "
            f"{limits.shape}"
        )
    return np.broadcast_to(limits, shape).copy()


def check_counts(name: str, counts: npt.ArrayLike, ndim: int | None = None) -> IntArray:
    """Return votes of at least two classes, in rows that are not empty, or raise."""
    votes = check_integer(name, counts)
    if ndim is not None and votes.ndim != ndim:
        raise ValueError(f"{name} of shape {votes.shape} must have {ndim} dimension")
    if votes.ndim < 1 or votes.shape[-1] < 2:
        raise ValueError(f"{name} of shape {votes.shape} must hold at least two classes")
    if (votes < 0).any():
        raise ValueError(f"{name}={votes[votes < 0].flat[0]} must be at least 0")
    if (votes.sum(axis=-1, dtype=np.float64) >= 2.0**53).any():
        raise ValueError(f"{name} must sum to less than 2**53")
    if (votes.sum(axis=-1) == 0).any():
        raise ValueError(f"{name} must hold at least one vote in every row, found a row of zeros")
    return votes
