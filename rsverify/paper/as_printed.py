"""The design paper's formulas for vote counts exactly as printed, kept so that audits can run them.

**None of these is a bound to rely on**: each docstring says what is wrong and gives a witness,
a distribution under which the formula fails, computed exactly in the tests. The corrected
procedures are in `rsverify.bounds.margin` and `rsverify.paper.two_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_broadcast,
    check_integer,
    check_order,
)
from rsverify._core.margin import Margin
from rsverify._core.types import AnyArray, ScoreMarginName
from rsverify.bounds.buehler import MarginFunction, Ordering, buehler_lower
from rsverify.bounds.margin import check_exact_alpha, check_votes
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.paper.two_step import taylor_margin, taylor_ordering
from rsverify.probit import MAX_ORDER, taylor_probit

LARGEST_N = 2000
"""Largest n of the formulas that compare the estimates of all outcomes."""


def _shaped(values: AnyArray) -> FloatArray | float:
    """Return a float for a scalar, else the array."""
    result: FloatArray | float = values[()]
    return result


def printed_bonferroni_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: ScoreMarginName,
) -> FloatArray | float:
    """Evaluate (4)-(6) as printed: Clopper-Pearson at α/2 for each class, then the margin.

    What is wrong: nothing that breaks coverage, if the classes are fixed in advance or the
    second is the one with most votes in the same sample. (4) is undefined at k1 = 0 and (5)
    at k2 = n; their limits 0 and 1 are used. p̄_B may exceed 1 − p̲_A, which only loses.

    Parameters
    ----------
    k1, k2 : array_like of int
        Votes of the class certified and of the runner-up, k1 + k2 at most n.
    n : array_like of int
        Number of votes.
    alpha : array_like
        Failure probability, in (0, 1).
    estimand : {"difference", "probit"}
        p_1 − p_2 or Φ⁻¹(p_1) − Φ⁻¹(p_2).

    Returns
    -------
    float or ndarray
        Of the broadcast shape of the arguments; may be −inf for "probit".

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee*: P(bound > margin) ≤ α for n independent votes, up to rounding to nearest.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.

    Examples
    --------
    >>> round(float(printed_bonferroni_lower(600, 50, 1000, 0.001, estimand="difference")), 5)
    0.47118
    """
    Margin.of_scores(estimand)
    first, second, trials = check_votes(k1, k2, n, 2**53)
    half = check_alpha(alpha) / 2
    check_broadcast(k1=first, k2=second, n=trials, alpha=half)
    with np.errstate(divide="ignore"):
        lower = np.where(first > 0, betaincinv(np.maximum(first, 1), trials - first + 1, half), 0.0)
        rest = np.maximum(trials - second, 1)
        upper = np.where(second < trials, betaincinv(second + 1, rest, 1 - half), 1.0)
    if estimand == "difference":
        return _shaped(lower - upper)
    return _shaped(ndtri(lower) - ndtri(upper))


def estimate_table(n: int, estimand: ScoreMarginName) -> FloatArray:
    """Return θ̂ of every outcome as an (n+1, n+1) table indexed by (x_1, x_2).

    Entries with x_1 + x_2 > n mean nothing. Φ⁻¹ is mirrored about ½ so that outcomes with
    equal margins have equal floats; the undefined margin at (0, 0) is taken as 0.
    """
    x = np.arange(n + 1)
    if estimand == "difference":
        value = x.astype(np.float64)
    else:
        low = ndtri(np.minimum(x, n - x) / n)
        value = np.where(2 * x <= n, low, -low)
    with np.errstate(invalid="ignore"):
        table: FloatArray = value[:, None] - value[None, :]
    table[0, 0] = 0.0
    return table


def _next_outcome(table: FloatArray, k1: int, k2: int) -> tuple[int, int] | None:
    """Return an outcome with the smallest θ̂ above the observed one, or None."""
    x = np.arange(len(table))
    above = np.argwhere((table > table[k1, k2]) & (x[:, None] + x < len(table)))
    if above.size == 0:
        return None
    x1, x2 = above[np.argmin(table[above[:, 0], above[:, 1]])]
    return int(x1), int(x2)


def _table_ordering(table: FloatArray) -> Ordering:
    """Return the ordering that looks outcomes up in a table."""

    def ordering(x1: IntArray, x2: IntArray) -> FloatArray:
        values: FloatArray = table[x1, x2]
        return values

    return ordering


def _rows(
    k1: IntArray, k2: IntArray, n: IntArray, alpha: FloatArray, shape: tuple[int, ...]
) -> list[tuple[int, int, int, float]]:
    """Return the broadcast arguments as one tuple a row."""
    flat = (np.broadcast_to(a, shape).ravel().tolist() for a in (k1, k2, n, alpha))
    return list(zip(*flat, strict=True))


def _strict_bound(
    rows: Iterable[tuple[int, int, int, float]],
    make_table: Callable[[int], FloatArray],
    estimand: ScoreMarginName | MarginFunction,
    largest: float,
) -> list[float]:
    """Return (7) and (8) per row: the Buehler bound of the next larger estimate."""
    tables: dict[int, FloatArray] = {}
    known: dict[tuple[tuple[int, int], int, float], float] = {}
    out = []
    for k1, k2, n, alpha in rows:
        if n not in tables:
            tables[n] = make_table(n)
        table = tables[n]
        larger = _next_outcome(table, k1, k2)
        if larger is None:
            out.append(largest)
            continue
        key = (larger, n, alpha)
        if key not in known:
            x1, x2 = larger
            known[key] = float(
                buehler_lower(
                    [x1, x2, n - x1 - x2],
                    alpha,
                    estimand=estimand,
                    ordering=_table_ordering(table),
                )
            )
        out.append(known[key])
    return out


def printed_margin_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: ScoreMarginName,
) -> FloatArray | float:
    """Evaluate (7) and (8) as printed, for either radius.

    Π(L) = 1 − inf_{g(p) ≤ L} P_p(θ̂ ≤ θ̃) and θ̲ = inf{L : Π(L) = α}. The first is
    sup P_p(θ̂ > θ̃): the observed outcome is not in its own tail.

    What is wrong: a Buehler bound needs P(θ̂ ≥ θ̃). Without the observed outcome the bound is
    the correct one of the next larger estimate, and where the estimate is the largest
    possible nothing is left: Π is 0 for every L and the claim is the largest margin there is.
    All n votes for class 1 then "prove" p_1 − p_2 ≥ 1; for "probit" every outcome with
    x_2 = 0 < x_1 has θ̂ = +∞, so a single vote for class 1 in n "proves" an infinite radius.

    Witness: n = 5, p = (0.99, 0.01, 0), any α. The outcome (5, 0, 0) has probability 0.951
    and claims 1 against the true 0.98.

    Parameters
    ----------
    k1, k2 : array_like of int
        Votes of the class certified and of the runner-up, k1 + k2 at most n.
    n : array_like of int
        Number of votes, at most 2000: the estimates of all outcomes are compared.
    alpha : array_like
        Failure probability claimed, in (0, 1).
    estimand : {"difference", "probit"}
        p_1 − p_2 or Φ⁻¹(p_1) − Φ⁻¹(p_2), which also orders the outcomes.

    Returns
    -------
    float or ndarray
        Of the broadcast shape of the arguments; 1 respectively +inf where Π is 0 throughout.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee*: none.

    References
    ----------
    .. [1] R. J. Buehler, JASA 52 (1957) 482-493, for the bound that is meant.

    Examples
    --------
    >>> float(printed_margin_lower(5, 0, 5, 0.001, estimand="difference"))
    1.0
    >>> float(printed_margin_lower(1, 0, 5, 0.001, estimand="probit"))
    inf
    """
    Margin.of_scores(estimand)
    first, second, trials = check_votes(k1, k2, n, LARGEST_N)
    level = check_exact_alpha(alpha)
    shape = check_broadcast(k1=first, k2=second, n=trials, alpha=level)
    rows = _rows(first, second, trials, level, shape)
    largest = 1.0 if estimand == "difference" else np.inf
    out = _strict_bound(rows, lambda m: estimate_table(m, estimand), estimand, largest)
    return _shaped(np.reshape(out, shape))


def printed_taylor_lower(
    k1: npt.ArrayLike, k2: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, order: int
) -> FloatArray | float:
    """Evaluate (7) and (8) as printed with the Taylor margin of (11).

    What is wrong: as in `printed_margin_lower`, the observed outcome is not in its own tail;
    (n, 0) claims the largest Taylor margin there is, whatever n and alpha. And where p_1 < ½
    the Taylor margin can exceed the probit margin.

    Witness: n = 5, p = (0.98, 0.015, 0.005), M = 10, any α. The outcome (5, 0, 0) has
    probability 0.904 and claims 4.56 against the true 4.22.

    Parameters
    ----------
    k1, k2 : array_like of int
        Votes of the class certified and of the runner-up, k1 + k2 at most n.
    n : array_like of int
        Number of votes, at most 2000.
    alpha : array_like
        Failure probability claimed, in (0, 1).
    order : int
        M, the last coefficient of the polynomial, in [0, 500].

    Returns
    -------
    float or ndarray
        Of the broadcast shape of the arguments; 2 Φ_M⁻¹(1) where Π is 0 throughout.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee*: none.

    References
    ----------
    .. [1] R. J. Buehler, JASA 52 (1957) 482-493, for the bound that is meant.

    Examples
    --------
    >>> round(float(printed_taylor_lower(5, 0, 5, 0.001, order=10)), 2)
    4.56
    """
    m = check_order(order, MAX_ORDER)
    first, second, trials = check_votes(k1, k2, n, LARGEST_N)
    level = check_exact_alpha(alpha)
    shape = check_broadcast(k1=first, k2=second, n=trials, alpha=level)

    def table(size: int) -> FloatArray:
        x = np.arange(size + 1)
        return taylor_ordering(size, m)(x[:, None], x[None, :])

    largest = 2.0 * float(taylor_probit(1.0, m))
    rows = _rows(first, second, trials, level, shape)
    return _shaped(np.reshape(_strict_bound(rows, table, taylor_margin(m), largest), shape))


def printed_two_step_lower(
    k1: npt.ArrayLike, k2: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, order: int
) -> FloatArray | float:
    """Evaluate the two-step procedure of 4.3 and 5.3 as printed.

    p_1 ≥ ½ is tested by Clopper-Pearson at α/2. If the test succeeds the bound is (11) with
    (7) and (8) at α/2, the level that the text leaves open; else it is (4)-(6) at α.

    What is wrong: (7), as in `printed_taylor_lower`. The fallback at its full α looks wrong
    too, 3α/2 by a union bound, but is not: its lower limit is the test's, so that for
    p_1 ≥ ½ it can fail only through p_2, at α/2 (``docs/theory.md``).

    Witness: that of `printed_taylor_lower` with n = 5, α ≥ 0.07, where five votes pass the
    test: miscoverage at least 0.904.

    Parameters
    ----------
    k1, k2 : array_like of int
        Votes of the class certified and of the runner-up, k1 + k2 at most n.
    n : array_like of int
        Number of votes, at most 2000.
    alpha : array_like
        Failure probability claimed, in (0, 1).
    order : int
        M, the last coefficient of the polynomial, in [0, 500].

    Returns
    -------
    float or ndarray
        Of the broadcast shape of the arguments.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or not numeric.

    Notes
    -----
    *Guarantee*: none.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.

    Examples
    --------
    >>> round(float(printed_two_step_lower(5, 0, 5, 0.1, order=10)), 2)
    4.56
    """
    m = check_order(order, MAX_ORDER)
    first, second, trials = check_votes(k1, k2, n, LARGEST_N)
    level = check_exact_alpha(alpha)
    shape = check_broadcast(k1=first, k2=second, n=trials, alpha=level)
    first, second, trials = (np.broadcast_to(a, shape) for a in (first, second, trials))
    level = np.broadcast_to(level, shape)
    out = np.array(printed_bonferroni_lower(first, second, trials, level, estimand="probit"))
    passed = np.asarray(clopper_pearson_lower(first, trials, level / 2)) >= 0.5
    out[passed] = printed_taylor_lower(
        first[passed], second[passed], trials[passed], level[passed] / 2, order=m
    )
    return _shaped(out)


def printed_selected_runner_up_lower(
    selection: npt.ArrayLike,
    counts: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    y: int,
    estimand: ScoreMarginName,
) -> FloatArray | float:
    """Evaluate (4)-(6) with the runner-up chosen on other data, as 3.3 permits.

    The runner-up is the class other than `y` with most votes in `selection` (the first of
    equals); the margin of the two classes is then bounded from `counts`.

    What is wrong: 3.3 argues that "the maximum over all other classes will always be greater
    than or equal to the score of the second-highest class", which bounds the margin from
    *above*. If the selection picks j with p_j below the largest, the claim is about the
    larger margin p_y − p_j, and more votes only make it surer. Taking the largest *other*
    count of `counts` itself is right, without any correction.

    Witness: n0 = 1, n = 500, α = 0.05, p = (0.5, 0.3, 0.2). The bound for "difference" is
    above the true margin 0.2 with probability 0.149, because the one selection vote goes to
    class 3 one time in five; as n grows the probability tends to more than that.

    Parameters
    ----------
    selection : array_like of int, shape (..., m)
        Votes per class of the selection sample.
    counts : array_like of int, shape (..., m)
        Votes per class of the estimation sample; the leading shapes broadcast.
    alpha : array_like
        Failure probability claimed, in (0, 1).
    y : int
        The class certified, in [0, m).
    estimand : {"difference", "probit"}
        p_y − p_j or Φ⁻¹(p_y) − Φ⁻¹(p_j).

    Returns
    -------
    float or ndarray
        Of the broadcast leading shape.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, of the wrong shape or not numeric.

    Notes
    -----
    *Guarantee*: for the margin to the class selected; none for the margin to the runner-up.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.

    Examples
    --------
    >>> float(printed_selected_runner_up_lower(
    ...     [0, 0, 1], [500, 300, 200], 0.05, y=0, estimand="difference")) > 0.2
    True
    """
    chosen = _check_votes("selection", selection)
    votes = _check_votes("counts", counts)
    if chosen.shape[-1] != votes.shape[-1]:
        raise ValueError(
            f"selection of shape {chosen.shape} must have as many classes as counts "
            f"of shape {votes.shape}"
        )
    label = int(check_integer("y", y))
    if not 0 <= label < votes.shape[-1]:
        raise ValueError(f"y={y} must be in [0, {votes.shape[-1]})")
    others = chosen.copy()
    others[..., label] = -1
    runner_up = np.argmax(others, axis=-1)[..., None]
    shape = np.broadcast_shapes(runner_up.shape[:-1], votes.shape[:-1])
    votes = np.broadcast_to(votes, (*shape, votes.shape[-1]))
    second = np.take_along_axis(votes, np.broadcast_to(runner_up, (*shape, 1)), axis=-1)[..., 0]
    return printed_bonferroni_lower(
        votes[..., label], second, votes.sum(axis=-1), alpha, estimand=estimand
    )


def _check_votes(name: str, value: npt.ArrayLike) -> IntArray:
    """Return votes per class as int64, or raise unless they have two classes and a vote."""
    array = check_integer(name, value)
    if array.ndim == 0 or array.shape[-1] < 2:
        raise ValueError(f"{name} of shape {array.shape} must have at least 2 classes last")
    if (array < 0).any():
        raise ValueError(f"{name} holds {int(array.min())}; every count must be at least 0")
    if (array.sum(axis=-1) == 0).any():
        raise ValueError(f"{name} holds a row without votes; each needs at least one")
    return array
