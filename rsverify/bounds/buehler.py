"""The exact (Buehler) lower bound for a caller's own margin and own ordering of outcomes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_broadcast,
    check_integer,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName
from rsverify.bounds.margin import LARGEST_EXACT_TRIALS, check_exact_alpha, check_votes
from rsverify.kernels.margin.buehler import staircase_limit, tail_rows
from rsverify.kernels.margin.trinomial import tail_relative_error

__all__ = ["buehler_lower"]

Ordering = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.ArrayLike]
MarginFunction = Callable[[FloatArray, FloatArray], npt.ArrayLike]

RESOLUTION = 1e-3  # share of alpha to which the supremum of a caller's margin is enclosed
BISECTIONS = 60


def buehler_lower(
    counts: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName | MarginFunction,
    ordering: Ordering,
) -> FloatArray | float:
    """Return the exact lower bound of a margin for a caller's own ordering of the outcomes.

    With t the ordering's value of the observed counts, the bound is the largest L for which
    no q of margin at most L gives the outcomes ordered at t or above a probability over
    alpha.

    Parameters
    ----------
    counts : array of int, shape (..., 3)
        Votes for the class certified, for its runner-up, and for all other classes together;
        their sum n is 1 to 1,000,000. More classes must be collapsed by the caller.
    alpha : float or array of float, shape (...)
        Failure probability, in [1e-12, 1).
    estimand : {"difference", "probit", "laplace"} or callable
        The margin bounded. A callable g(p1, p2) takes arrays and returns their margins; it
        must rise with p1 and fall with p2, and be finite inside the simplex.
    ordering : callable
        T(x1, x2) takes integer arrays with x1 + x2 <= n and returns numbers; it must not
        fall when x1 grows nor rise when x2 grows. Equal outcomes must get equal numbers.

    Returns
    -------
    float or array of float, shape (...)
        Lower bounds; the margin's lower end (-1, -inf, or g(0, 1)) where nothing can be
        claimed. For a callable margin the supremum over the nuisance parameter is enclosed
        to 1e-3 of alpha and the bound taken from its upper value.

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` or `ordering` is of the wrong type.
    ValueError
        If an argument is out of its range, the shapes do not fit, the ordering returns NaN
        or the wrong shape, or is found not to be monotone.

    Notes
    -----
    *Guarantee.* P(bound > g(p)) <= alpha, for n independent votes, n fixed beforehand, and
    an ordering and a margin fixed before the votes are seen. Among bounds that never decrease
    when the ordering rises, none is larger [1]_.

    The ordering is checked on every outcome for n up to 300 and on 20,000 outcomes
    above; its monotonicity is the caller's promise.

    References
    ----------
    .. [1] R. J. Buehler, Confidence intervals for the product of two binomial parameters,
       *Journal of the American Statistical Association* 52 (1957) 482-493.

    Examples
    --------
    >>> from rsverify import buehler_lower
    >>> bound = buehler_lower(
    ...     [60, 5, 35], 0.001, estimand="difference", ordering=lambda x1, x2: x1 - 2 * x2
    ... )
    >>> print(f"{bound:.4f}")
    0.3382
    """
    rows, votes, level, shape = _check_rows(counts, alpha)
    if not callable(ordering):
        raise TypeError(f"ordering={shown(ordering)} must be a function of x1 and x2")
    margin = estimand if callable(estimand) else Margin.named(estimand)
    for size in np.unique(votes):
        _check_ordering(ordering, int(size))
    out = np.empty(votes.size)
    for i, (x1, x2, _) in enumerate(rows):
        steps = ordering_steps(ordering, int(x1), int(x2), int(votes[i]))
        if isinstance(margin, Margin):
            out[i] = staircase_limit(steps, int(margin), float(level[i]))
        else:
            out[i] = _callable_limit(steps, margin, float(level[i]))
    result: FloatArray | float = out.reshape(shape)[()]
    return result


def _check_rows(
    counts: npt.ArrayLike, alpha: npt.ArrayLike
) -> tuple[IntArray, IntArray, FloatArray, tuple[int, ...]]:
    """Return rows (k1, k2, rest), their sums, their levels and the result's shape."""
    table = check_integer("counts", counts)
    if table.ndim == 0 or table.shape[-1] != 3:
        raise ValueError(
            f"counts of shape {table.shape} must have three columns on its last axis: votes "
            "for the class, for its runner-up, and for all others together"
        )
    if (table < 0).any():
        raise ValueError(f"counts={table.min()} must be at least 0")
    votes = table.sum(axis=-1)
    check_votes(table[..., 0], table[..., 1], votes, LARGEST_EXACT_TRIALS)
    level = check_exact_alpha(alpha)
    shape = check_broadcast(counts=votes, alpha=level)
    rows = np.broadcast_to(table, (*shape, 3)).reshape(-1, 3)
    return rows, rows.sum(axis=-1), np.broadcast_to(level, shape).ravel(), shape


def _values(ordering: Ordering, x1: IntArray, x2: IntArray) -> FloatArray:
    """Return the ordering of outcomes, checked for shape and NaN."""
    values = np.asarray(ordering(x1, x2), dtype=np.float64)
    if values.shape != x1.shape:
        raise ValueError(
            f"ordering returned shape {values.shape} for outcomes of shape {x1.shape}; it must "
            "return one number an outcome"
        )
    if np.isnan(values).any():
        at = int(np.flatnonzero(np.isnan(values))[0])
        raise ValueError(f"ordering returned NaN at x1={x1[at]}, x2={x2[at]}")
    return values


def _check_ordering(ordering: Ordering, n: int) -> None:
    """Raise where the ordering falls with x1 or rises with x2 at a place looked at."""
    if n <= 300:
        x1, x2 = (a.ravel() for a in np.indices((n, n)))
        keep = x1 + x2 < n
        x1, x2 = x1[keep].astype(np.int64), x2[keep].astype(np.int64)
    else:
        rng = np.random.default_rng(n)
        x1 = rng.integers(0, n, 20_000)
        x2 = np.minimum(rng.integers(0, n, 20_000), n - 1 - x1)
    here = _values(ordering, x1, x2)
    wrong = (_values(ordering, x1 + 1, x2) < here) | (_values(ordering, x1, x2 + 1) > here)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"ordering must not fall with x1 nor rise with x2, but it does next to "
            f"x1={x1[at]}, x2={x2[at]}"
        )


def ordering_steps(ordering: Ordering, x1: int, x2: int, n: int) -> IntArray:
    """Return the staircase {T >= T(x1, x2)}: the smallest x1 of each row x2, else n + 1.

    One bisection of all rows at once.
    """
    rows = np.arange(n + 1)
    observed = _values(ordering, np.full(n + 1, x1), np.full(n + 1, x2))[0]
    low = np.full(n + 1, -1)  # the ordering is below the observed value here
    high = n - rows + 1  # and at or above it here, or the row ended
    while (high - low > 1).any():
        middle = (low + high) // 2
        open_rows = high - low > 1
        at = np.where(open_rows, middle, 0)
        reached = _values(ordering, at, rows) >= observed
        high = np.where(open_rows & reached, middle, high)
        low = np.where(open_rows & ~reached, middle, low)
    return np.where(high <= n - rows, high, n + 1).astype(np.int64)


def _callable_limit(steps: IntArray, margin: MarginFunction, alpha: float) -> float:
    """Return a proved lower value of the bound for a caller's margin, by bisection."""

    def value(p1: float, p2: float) -> float:
        return float(np.asarray(margin(np.array([p1]), np.array([p2])))[0])

    with np.errstate(all="ignore"):  # the margin may be infinite at the simplex's corners
        low, high = value(0.0, 1.0), value(1.0, 0.0)
    lowest = low
    low, high = max(low, -1e3), min(high, 1e3)
    if not low < high or not _proves(steps, margin, low, alpha):
        return lowest
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if _proves(steps, margin, middle, alpha):
            low = middle
        else:
            high = middle
        if high - low <= 1e-10 * max(1.0, abs(low)):
            break
    return low


def _first_at_limit(margin: MarginFunction, limit: float, p2: FloatArray) -> FloatArray:
    """Return the largest p1 <= 1 - p2 with g(p1, p2) <= limit, rounded up; 0 where none is."""
    low, high = np.zeros_like(p2), 1.0 - p2
    with np.errstate(all="ignore"):
        inside = np.asarray(margin(high, p2)) <= limit
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = np.asarray(margin(middle, p2)) <= limit
            low = np.where(below, middle, low)
            high = np.where(below, high, middle)
    return np.where(inside, 1.0 - p2, high)


def _reaches(margin: MarginFunction, limit: float, p2: FloatArray) -> npt.NDArray[np.bool_]:
    """Return whether any p1 at p2 has margin at most `limit`."""
    with np.errstate(all="ignore"):
        return ~(np.asarray(margin(np.zeros_like(p2), p2)) > limit)


def _tails(steps: IntArray, p1: FloatArray, p2: FloatArray, alpha: float) -> FloatArray:
    """Return upper values of the tail at each (p1, p2)."""
    out = np.empty(p1.size)
    neglect = 1e-6 * alpha
    tail_rows(steps, p1, p2, np.maximum(0.0, 1.0 - p1 - p2), neglect, out)
    return out * (1.0 + tail_relative_error(steps.size - 1)) + neglect


def _proves(steps: IntArray, margin: MarginFunction, limit: float, alpha: float) -> bool:
    """Show by corners that the tail is at most alpha wherever the margin is at most `limit`.

    Over p2 in [a, b] the tail is at most the one at (p1(b), a), where p1(b) is the largest
    p1 of margin `limit` at b: the margin falls with p2, so p1 grows with it. Where the simplex
    ends before the margin reaches `limit` at b, p1 is only known to be at most 1 - a. Cells are
    halved until they are settled or their two corners agree to `RESOLUTION`.
    """
    a, b = np.linspace(0.0, 1.0, 65)[:-1], np.linspace(0.0, 1.0, 65)[1:]
    while a.size:
        inside = _reaches(margin, limit, b)  # elsewhere the cell has no such point at all
        a, b = a[inside], b[inside]
        first = _first_at_limit(margin, limit, b)
        first = np.where(first >= 1.0 - b, 1.0, first)
        upper = _tails(steps, np.minimum(first, 1.0 - a), a, alpha)
        a, b, first, upper = (v[upper > alpha] for v in (a, b, first, upper))
        if not a.size:
            return True
        inner = _tails(steps, np.minimum(_first_at_limit(margin, limit, a), 1.0 - a), a, alpha)
        inner = np.where(_reaches(margin, limit, a), inner, -np.inf)
        if (inner > alpha).any() or (upper - inner <= RESOLUTION * alpha).any():
            return False
        middle = 0.5 * (a + b)
        if ((middle <= a) | (middle >= b)).any():
            return False
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
    return True
