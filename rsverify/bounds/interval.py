"""From a lower bound for the mean of a sample in [0, 1], or a sequence of them, the other sides.

A lower bound for the mean of 1 - x is an upper bound for that of x. Every lower bound and
sequence of `rsverify.bounds.mean`, `rsverify.bounds.betting` and
`rsverify.bounds.confidence_sequences` can be turned round here; those used most have an upper
bound of their own name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_alpha,
    check_single,
    share_of_alpha,
    shown,
)
from rsverify.bounds._samples import check_sample, check_unit

__all__ = ["Interval", "interval_of", "upper_of"]


class _Limits(NamedTuple):
    lower: FloatArray | float
    upper: FloatArray | float


class Interval(_Limits):
    """A lower and an upper confidence limit; ``lower > upper`` means that the set is empty.

    Unpacks as ``lower, upper``; `alpha` is the failure probability of both together.
    """

    alpha: FloatArray | float

    def __new__(
        cls, lower: FloatArray | float, upper: FloatArray | float, alpha: FloatArray | float
    ) -> Interval:
        """Return the interval of two limits at level `alpha`."""
        interval = super().__new__(cls, lower, upper)
        interval.alpha = alpha
        return interval

    def __repr__(self) -> str:
        """Return the call that makes it, of plain numbers."""
        plain = (v.tolist() if np.ndim(v) == 0 else v for v in map(np.asarray, (*self, self.alpha)))
        return "Interval(lower={!r}, upper={!r}, alpha={!r})".format(*plain)

    def __eq__(self, other: object) -> bool:
        """Return whether two have the same limits at the same level, or a pair these limits."""
        if not isinstance(other, tuple) or len(other) != len(self):
            return False
        pairs = zip(self, other, strict=True)
        same_level = not isinstance(other, Interval) or _same(self.alpha, other.alpha)
        return same_level and all(_same(mine, its) for mine, its in pairs)

    def __ne__(self, other: object) -> bool:
        """Return whether they differ."""
        return not self == other

    def __hash__(self) -> int:
        """Return the hash of the limits, if they are numbers."""
        return super().__hash__()

    def __getnewargs__(self) -> tuple[FloatArray | float, ...]:
        # What a pickle holds.
        return (self.lower, self.upper, self.alpha)

    @property
    def empty(self) -> npt.NDArray[np.bool_] | np.bool_:
        """Return where the interval is empty: its coverage failed, or its assumptions did."""
        return np.greater(self.lower, self.upper)


def _same(first: object, second: object) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


def mirror(lower: FloatArray | float) -> FloatArray | float:
    """Return 1 - `lower`, rounded up: the upper bound that a mirrored sample's lower one is."""
    # The subtraction rounds to nearest; one step outward covers it.
    upper = np.minimum(np.nextafter(1.0 - lower, 2.0), 1.0)
    return upper if isinstance(lower, np.ndarray) else np.float64(upper)


def upper_of(
    bound: Callable[..., FloatArray | float],
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    **options: object,
) -> FloatArray | float:
    """Return the upper bound that mirrors a lower one.

    Parameters
    ----------
    bound : callable
        ``bound(x, alpha, **options)``: a lower bound for the mean of samples in [0, 1], or a
        sequence of them.
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        One-sided failure probability, in (0, 1).
    **options
        Passed on to `bound`.

    Returns
    -------
    float or array of float
        1 - bound(1 - x, alpha, ...), rounded up.

    Raises
    ------
    TypeError, ValueError
        As `bound`.

    Notes
    -----
    *Guarantee.* That of `bound` with the inequality turned round, for distributions that allow it
    for 1 - x.

    *Rounding.* The last subtraction is rounded up. The first, 1 - x, is exact for x >= 1/2 and
    for all multiples of 2**-53, and elsewhere off by at most 2**-54; so what is guaranteed is
    an upper bound of one minus the mean of the numbers that `bound` was given, within 2**-54 of
    mu. The bounds of this package give that and more away by their own rounding; of one that
    gives nothing away the mirror may be too low by as much.

    Examples
    --------
    >>> from rsverify.bounds.confidence_sequences import plugin_bernstein_sequence
    >>> from rsverify.bounds.mean import bernstein_lower
    >>> from rsverify.bounds.interval import upper_of
    >>> x = [0.1, 0.0] * 50
    >>> print(f"{upper_of(bernstein_lower, x, 0.05, variance=0.0025):.4f}")
    0.0758
    >>> upper_of(plugin_bernstein_sequence, x, 0.05)[[9, 99]].round(4)
    array([0.662 , 0.1122])
    """
    return mirror(bound(1.0 - check_sample(x), alpha, **options))


def interval_of(
    bound: Callable[..., FloatArray | float],
    x: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    split: float = 0.5,
    **options: object,
) -> Interval:
    """Return the confidence interval of a lower bound and its mirror image.

    Parameters
    ----------
    bound : callable
        As in `upper_of`.
    x : array of float, shape (..., n)
        Observations in [0, 1].
    alpha : float or array of float
        Two-sided failure probability, in (0, 1).
    split : float, default 0.5
        The share of `alpha` that the lower bound spends, in (0, 1).
    **options
        Passed on to `bound`, for both sides.

    Returns
    -------
    Interval
        ``lower`` at split alpha and ``upper`` at (1 - split) alpha. Where ``lower > upper``,
        which `Interval.empty` says, no mean is left; the bounds are returned as they are.

    Raises
    ------
    TypeError, ValueError
        As `bound`; ValueError if `split` is outside (0, 1), or a share of `alpha` is below
        the normal float64 numbers.

    Notes
    -----
    *Guarantee.* P(lower <= mu <= upper) >= 1 - alpha, for distributions that allow `bound` for x
    and for 1 - x; for a sequence, time-uniformly.

    Examples
    --------
    >>> from rsverify.bounds.mean import empirical_bernstein_lower
    >>> from rsverify.bounds.interval import interval_of
    >>> lower, upper = interval_of(empirical_bernstein_lower, [0.4, 0.5, 0.6] * 40, 0.05)
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.392 0.608
    """
    share = check_unit("split", split)
    check_single("split", share)
    if share == 1.0:
        raise ValueError(f"split={shown(split)} must be in (0, 1)")
    levels = check_alpha(alpha)
    return Interval(
        bound(x, share_of_alpha(levels, share, "split"), **options),
        upper_of(bound, x, share_of_alpha(levels, 1.0 - share, "split"), **options),
        levels[()],
    )
