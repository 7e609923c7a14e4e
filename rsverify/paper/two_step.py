"""The paper's two-step bound of the probit margin by a Taylor polynomial, with correct levels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_broadcast, check_order
from rsverify.bounds.buehler import buehler_lower
from rsverify.bounds.margin import bonferroni_margin_lower, check_exact_alpha, check_votes
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.probit import MAX_ORDER, taylor_probit

LARGEST_N = 100_000
"""Largest number of votes."""


def taylor_margin(order: int) -> Callable[[npt.ArrayLike, npt.ArrayLike], FloatArray]:
    """Return the margin g_M(p_1, p_2) = Φ_M⁻¹(p_1) − Φ_M⁻¹(p_2)."""

    def margin(p1: npt.ArrayLike, p2: npt.ArrayLike) -> FloatArray:
        return np.asarray(taylor_probit(p1, order) - taylor_probit(p2, order))

    return margin


def taylor_ordering(n: int, order: int) -> Callable[[npt.ArrayLike, npt.ArrayLike], FloatArray]:
    """Return the ordering T(x_1, x_2) = Φ_M⁻¹(x_1/n) − Φ_M⁻¹(x_2/n) of n votes.

    The polynomial is mirrored about ½, so that (x_1, x_2) and (n − x_2, n − x_1), whose exact
    values agree, have equal floats. At M = 0 it is linear and the votes themselves are used.
    """
    x = np.arange(n + 1)
    low = np.asarray(taylor_probit(np.minimum(x, n - x) / n, order))
    table = x.astype(np.float64) if order == 0 else np.where(2 * x <= n, low, -low)

    def ordering(x1: npt.ArrayLike, x2: npt.ArrayLike) -> FloatArray:
        return np.asarray(table[np.asarray(x1)] - table[np.asarray(x2)])

    return ordering


def two_step_taylor_lower(
    k1: npt.ArrayLike, k2: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, order: int
) -> FloatArray | float:
    """Return the two-step lower bound of the probit margin, at level alpha in total.

    With p̲_1 the Clopper-Pearson lower limit of p_1 at alpha/2:

    * if p̲_1 ≥ ½, the exact (Buehler) bound at alpha/2 of the Taylor margin
      Φ_M⁻¹(p_1) − Φ_M⁻¹(p_2), ordered by its own estimate, which Lemma 2 places below the
      probit margin wherever p_1 ≥ ½;
    * else the Bonferroni bound at alpha, whose lower limit of p_1 is p̲_1 itself.

    The exact bound of the probit margin, `exact_margin_lower`, needs no Taylor polynomial and
    no second step; this one is here to compare with.

    Parameters
    ----------
    k1, k2 : array_like of int
        Votes of the class certified and of the runner-up, k1 + k2 at most n.
    n : array_like of int
        Number of votes, 1 to 100,000.
    alpha : array_like
        Total failure probability, in [2e-12, 1).
    order : int
        M, the last coefficient of the polynomial, in [0, 500].

    Returns
    -------
    float or ndarray
        Lower bounds of Φ⁻¹(p_1) − Φ⁻¹(p_2), of the broadcast shape of the arguments; −inf
        where nothing can be claimed.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee*: P(bound > margin) ≤ alpha for n independent votes, n fixed beforehand, with
    `k2` the votes of a fixed class or the largest other count of the same votes. The errors of
    the two steps do not add beyond alpha because the test and the fallback share p̲_1: for
    p_1 ≥ ½ the fallback can fail only through p_2, at alpha/2 (proof in ``docs/theory.md``).

    References
    ----------
    .. [1] R. J. Buehler, JASA 52 (1957) 482-493.

    Examples
    --------
    >>> value = two_step_taylor_lower(90, 5, 100, 0.001, order=10)
    >>> 1.3 < float(value) < 1.8
    True
    """
    m = check_order(order, MAX_ORDER)
    first, second, votes = check_votes(k1, k2, n, LARGEST_N)
    level = check_exact_alpha(alpha)
    shape = check_broadcast(k1=first, k2=second, n=votes, alpha=level)
    first, second, votes = (np.broadcast_to(a, shape).ravel() for a in (first, second, votes))
    level = np.broadcast_to(level, shape).ravel()

    out = np.array(bonferroni_margin_lower(first, second, votes, level, estimand="probit"), ndmin=1)
    passed = np.asarray(clopper_pearson_lower(first, votes, level / 2)) >= 0.5
    for size in np.unique(votes[passed]):
        rows = passed & (votes == size)
        counts = np.stack([first[rows], second[rows], size - first[rows] - second[rows]], axis=-1)
        out[rows] = buehler_lower(
            counts,
            level[rows] / 2,
            estimand=taylor_margin(m),
            ordering=taylor_ordering(int(size), m),
        )
    result: FloatArray | float = out.reshape(shape)[()]
    return result
