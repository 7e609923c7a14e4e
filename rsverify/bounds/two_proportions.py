"""Exact confidence limits that compare the proportions of two independent samples."""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_broadcast,
    check_choice,
    check_count,
    check_fraction,
    check_single,
    check_trials,
    share_of_alpha,
)
from rsverify._core.rows import map_rows
from rsverify._core.types import FloatLike, IntLike, TwoSampleName, TwoSampleOrderingName
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import Interval
from rsverify.kernels.two_proportions.limit import lower_rows

__all__ = ["two_proportion_interval", "two_proportion_lower", "two_proportion_upper"]

LARGEST_SAMPLE = 100_000
"""The largest number of trials of a sample."""

SMALLEST_ALPHA = 1e-12
"""The smallest failure probability: the tails are enclosed to a share of it."""

_ESTIMANDS: dict[TwoSampleName, int] = {"difference": 0, "ratio": 1, "odds-ratio": 2}
_ORDERINGS: dict[TwoSampleOrderingName, int] = {"likelihood-ratio": 0, "bonferroni": 1}


@overload
def two_proportion_lower(
    x1: IntLike,
    n1: IntLike,
    x2: IntLike,
    n2: IntLike,
    alpha: FloatLike,
    *,
    estimand: TwoSampleName = ...,
    ordering: TwoSampleOrderingName = ...,
) -> float: ...
@overload
def two_proportion_lower(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: TwoSampleName = ...,
    ordering: TwoSampleOrderingName = ...,
) -> FloatArray: ...
def two_proportion_lower(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: TwoSampleName = "difference",
    ordering: TwoSampleOrderingName = "likelihood-ratio",
) -> FloatArray | float:
    """Return the exact lower limit of a difference, ratio or odds ratio of two proportions.

    The outcomes of both samples are ordered once, and the limit is the largest c for which no
    p1 and p2 with a difference (ratio, odds ratio) of at most c give the outcomes ordered at the
    observed one or above a probability over `alpha`. That supremum is enclosed, not searched for.

    Parameters
    ----------
    x1, x2 : int or array of int
        Successes in the first and in the second sample, 0 to n1 and 0 to n2.
    n1, n2 : int or array of int
        Sizes of the samples, 1 to 100,000.
    alpha : float or array of float
        One-sided failure probability, in [1e-12, 1).
    estimand : {"difference", "ratio", "odds-ratio"}, default "difference"
        p1 - p2, p1 / p2, or p1 (1 - p2) / ((1 - p1) p2).
    ordering : {"likelihood-ratio", "bonferroni"}, default "likelihood-ratio"
        - ``"likelihood-ratio"``: by a likelihood-ratio limit, and by simpler ones where those
          are larger. The supremum leaves out what Clopper-Pearson limits at 2e-11 of alpha each
          exclude.
        - ``"bonferroni"``: by Bonferroni's limit. Among limits that never fall when it rises,
          none is larger.

    Returns
    -------
    float or array of float
        Lower limits, of the shape to which the arguments broadcast; in [-1, 1] for the
        difference, and at least 0 for ratios. 0 is returned for ratios where x1 = 0, and for the
        odds ratio where x2 = n2. Rounded down: never above the exact limit, and for alpha from
        1e-6 to 0.5 below it by less than 1e-9 (of itself, for ratios). At a smaller alpha it can
        be by more near the ends of the range (of 164 limits at 1e-10, 12 are, by up to 3e-6), and
        next to 1.

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` or `ordering` is not a string.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* Whatever p1 and p2, P(limit > estimand) <= alpha, for x1 successes in n1 and x2 in
    n2 independent trials of probabilities p1 and p2, the samples independent, n1 and n2 fixed
    beforehand. Where p1 = p2 = 0 the ratio is not defined, and the limit is 0 [1]_.

    It is never below Bonferroni's limit, from the Clopper-Pearson limits of p1 and p2 at alpha / 2
    each. The default's limit is larger than that of ``"bonferroni"`` at most outcomes, for the odds
    ratio at half of them and on average.

    At fixed n1 and n2 the limit does not fall when x1 rises or x2 falls, up to 1e-9 of rounding.
    Exchanging successes with failures in both samples, and the samples, leaves the limits of
    difference and odds ratio unchanged. Proofs: ``docs/theory-two-proportions.md``.

    References
    ----------
    .. [1] R. J. Buehler, Confidence intervals for the product of two binomial parameters,
       *Journal of the American Statistical Association* 52 (1957) 482-493.

    Examples
    --------
    >>> from rsverify import two_proportion_lower
    >>> print(f"{two_proportion_lower(24, 61, 10, 35, 0.025):.4f}")
    -0.0975
    >>> two_proportion_lower([24, 50], 61, 10, 35, 0.025, estimand="ratio").round(4)
    array([0.7654, 1.7779])
    """
    codes = _codes(estimand, ordering)
    first, second = _check_sample("1", x1, n1), _check_sample("2", x2, n2)
    return _limits(first, second, _check_alpha(alpha), codes)


@overload
def two_proportion_upper(
    x1: IntLike,
    n1: IntLike,
    x2: IntLike,
    n2: IntLike,
    alpha: FloatLike,
    *,
    estimand: TwoSampleName = ...,
    ordering: TwoSampleOrderingName = ...,
) -> float: ...
@overload
def two_proportion_upper(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: TwoSampleName = ...,
    ordering: TwoSampleOrderingName = ...,
) -> FloatArray: ...
def two_proportion_upper(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: TwoSampleName = "difference",
    ordering: TwoSampleOrderingName = "likelihood-ratio",
) -> FloatArray | float:
    """Return the exact upper limit of a difference, ratio or odds ratio of two proportions.

    It is minus the lower limit of p2 - p1, or one over that of the ratio with the samples
    exchanged.

    Parameters
    ----------
    x1, x2 : int or array of int
        Successes in the first and in the second sample, 0 to n1 and 0 to n2.
    n1, n2 : int or array of int
        Sizes of the samples, 1 to 100,000.
    alpha : float or array of float
        One-sided failure probability, in [1e-12, 1).
    estimand : {"difference", "ratio", "odds-ratio"}, default "difference"
        p1 - p2, p1 / p2, or p1 (1 - p2) / ((1 - p1) p2).
    ordering : {"likelihood-ratio", "bonferroni"}, default "likelihood-ratio"
        As in `two_proportion_lower`.

    Returns
    -------
    float or array of float
        Upper limits, of the shape to which the arguments broadcast; in [-1, 1] for the
        difference. Infinite for ratios where x2 = 0, and for the odds ratio where x1 = n1.
        Rounded up.

    Raises
    ------
    TypeError, ValueError
        As `two_proportion_lower`.

    Notes
    -----
    *Guarantee.* Whatever p1 and p2, P(limit < estimand) <= alpha, under the assumptions of
    `two_proportion_lower`. Where p2 = 0 the limit of the ratio is infinite.

    Examples
    --------
    >>> from rsverify import two_proportion_upper
    >>> print(f"{two_proportion_upper(24, 61, 10, 35, 0.025):.4f}")
    0.2986
    >>> print(two_proportion_upper(3, 10, 0, 10, 0.025, estimand="ratio"))
    inf
    """
    codes = _codes(estimand, ordering)
    first, second = _check_sample("1", x1, n1), _check_sample("2", x2, n2)
    swapped = _limits(second, first, _check_alpha(alpha), codes)
    if estimand == "difference":
        return -swapped
    with np.errstate(divide="ignore"):
        upper = np.nextafter(1.0 / np.asarray(swapped), np.inf)
    return upper if isinstance(swapped, np.ndarray) else np.float64(upper)


def two_proportion_interval(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: TwoSampleName = "difference",
    ordering: TwoSampleOrderingName = "likelihood-ratio",
    split: float = 0.5,
) -> Interval:
    """Return the exact confidence interval of a difference, ratio or odds ratio.

    Parameters
    ----------
    x1, x2 : int or array of int
        Successes in the first and in the second sample, 0 to n1 and 0 to n2.
    n1, n2 : int or array of int
        Sizes of the samples, 1 to 100,000.
    alpha : float or array of float
        Failure probability of both sides together, in (0, 1); each side's share must be at least
        1e-12.
    estimand : {"difference", "ratio", "odds-ratio"}, default "difference"
        p1 - p2, p1 / p2, or p1 (1 - p2) / ((1 - p1) p2).
    ordering : {"likelihood-ratio", "bonferroni"}, default "likelihood-ratio"
        As in `two_proportion_lower`.
    split : float, default 0.5
        The share of `alpha` that the lower limit spends, in (0, 1).

    Returns
    -------
    Interval
        `two_proportion_lower` at split alpha and `two_proportion_upper` at (1 - split) alpha.

    Raises
    ------
    TypeError, ValueError
        As `two_proportion_lower`; ValueError if `split` is outside (0, 1).

    Notes
    -----
    *Guarantee.* P(lower <= estimand <= upper) >= 1 - alpha whatever p1 and p2, under the
    assumptions of `two_proportion_lower`; each limit alone fails with probability at most its
    share of alpha. It is no statement about a ratio of 0/0.

    Examples
    --------
    >>> from rsverify import two_proportion_interval
    >>> lower, upper = two_proportion_interval(9, 11, 4, 12, 0.05)
    >>> print(f"{lower:.4f} {upper:.4f}")
    0.0616 0.7968
    """
    share = check_fraction("split", split)
    check_single("split", share)
    level = check_alpha(alpha)
    below = share_of_alpha(level, share, "split")
    above = share_of_alpha(level, 1.0 - share, "split")
    return Interval(
        two_proportion_lower(x1, n1, x2, n2, below, estimand=estimand, ordering=ordering),
        two_proportion_upper(x1, n1, x2, n2, above, estimand=estimand, ordering=ordering),
        level[()],
    )


def _codes(estimand: object, ordering: object) -> tuple[int, int]:
    """Return what the kernels call both, or raise."""
    compared = check_choice("estimand", estimand, _ESTIMANDS)
    return _ESTIMANDS[compared], _ORDERINGS[check_choice("ordering", ordering, _ORDERINGS)]


def _check_sample(which: str, x: npt.ArrayLike, n: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Return checked successes and size of the sample `which`, "1" or "2"."""
    trials = check_trials(n, LARGEST_SAMPLE, f"n{which}")
    return check_count(f"x{which}", x, trials, f"n{which}"), trials


def _check_alpha(alpha: npt.ArrayLike) -> FloatArray:
    """Return `alpha`, or raise where the enclosure of the tails cannot resolve it."""
    level = check_alpha(alpha)
    if (level < SMALLEST_ALPHA).any():
        raise ValueError(
            f"alpha={level.min()} must be at least {SMALLEST_ALPHA} (of each side of an interval)"
        )
    return level


def _limits(
    first: tuple[IntArray, IntArray],
    second: tuple[IntArray, IntArray],
    alpha: FloatArray,
    codes: tuple[int, int],
) -> FloatArray | float:
    """Return lower limits that compare the first sample's proportion with the second's."""
    check_broadcast(x1=first[0], n1=first[1], x2=second[0], n2=second[1], alpha=alpha)
    return map_rows(
        lower_rows,
        parallel=True,
        constants=codes,
        x1=first[0],
        n1=first[1],
        x2=second[0],
        n2=second[1],
        alpha=alpha,
    )


_COMPARED: tuple[TwoSampleName, ...] = ("difference", "ratio", "odds-ratio")
BOUNDS = (
    Bound(
        "two_proportion_lower",
        two_proportion_lower,
        _COMPARED,
        data="two counts",
        reference="two_proportions:two_proportion_lower",
    ),
    Bound(
        "two_proportion_upper",
        two_proportion_upper,
        _COMPARED,
        "upper",
        "two counts",
        reference="two_proportions:two_proportion_upper",
    ),
    Bound(
        "two_proportion_interval",
        two_proportion_interval,
        _COMPARED,
        "two-sided",
        "two counts",
        reference="two_proportions:two_proportion_lower",
    ),
)
"""The bounds of this file."""
