"""Lower confidence bounds for the margin of a class over its runner-up, from vote counts.

Counts are trinomial: k1 votes for the class certified, k2 for its runner-up, n - k1 - k2 for
the rest. The margin is p1 - p2 (``estimand="difference"``), probit(p1) - probit(p2)
(``estimand="probit"``), or the same with the quantiles of the Laplace distribution
(``estimand="laplace"``), log 2p up to 1/2 and -log 2(1 - p) above; it rises with p1 and falls with
p2.
"""

from __future__ import annotations

from typing import cast, get_args, overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_broadcast,
    check_count,
    check_fraction,
    check_order,
    check_trials,
    share_of_alpha,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.rows import map_rows
from rsverify._core.types import FloatLike, IntLike, MarginName, OrderingName
from rsverify.bounds.bound import Bound
from rsverify.bounds.inductive import LARGEST_INDUCTIVE_TRIALS, inductive_table
from rsverify.bounds.proportion import LARGEST_TRIALS
from rsverify.kernels.margin.buehler import additive_rows, default_rows
from rsverify.kernels.margin.formulas import (
    bonferroni_rows,
    cohen_rows,
    limit_tables,
)
from rsverify.kernels.margin.nested import nested_rows
from rsverify.kernels.margin.staircase import LARGEST_ALPHA
from rsverify.probit import MAX_ORDER, taylor_probit

__all__ = ["Taylor", "bonferroni_margin_lower", "cohen_margin_lower", "exact_margin_lower"]

_ORDERING_CHOICES = (
    "'likelihood-ratio', 'nested', 'inductive', 'difference', 'bonferroni' and Taylor(order), "
    f"order 0 to {MAX_ORDER}"
)

LARGEST_EXACT_TRIALS = 1_000_000
"""The largest number of votes of the exact bounds."""

SMALLEST_EXACT_ALPHA = 1e-12
"""The smallest failure probability of the exact bounds: their enclosure is absolute."""


class Taylor(str):
    """The ordering by the margin of Taylor polynomials of the probit function.

    Parameters
    ----------
    order : int
        How many terms beyond the linear one, 0 to 500.

    Notes
    -----
    As text, in tables and on the command line, it is ``taylor:ORDER``.

    *Guarantee*: none of its own; it orders outcomes, and `exact_margin_lower` is valid for any
    ordering that rises with k1 and falls with k2.

    Examples
    --------
    >>> from rsverify import Taylor
    >>> print(Taylor(5), Taylor(5).order)
    taylor:5 5
    """

    order: int

    def __new__(cls, order: int) -> Taylor:
        """Return the ordering, or raise where `order` is out of range."""
        checked = check_order(order, MAX_ORDER)
        ordering = super().__new__(cls, f"taylor:{checked}")
        ordering.order = checked
        return ordering

    def __reduce__(self) -> tuple[type[Taylor], tuple[int]]:
        # What a pickle holds.
        return Taylor, (self.order,)


def find_ordering(ordering: object) -> OrderingName | Taylor:
    """Return the ordering that a user, a table or a command line names, or raise."""
    if not isinstance(ordering, str):
        raise TypeError(
            f"ordering={shown(ordering)} must be one of {_ORDERING_CHOICES}; "
            "buehler_lower takes a function"
        )
    if isinstance(ordering, Taylor):
        return ordering
    for name in get_args(OrderingName):
        if ordering == name:
            return cast(OrderingName, name)
    kind, _, order = ordering.partition(":")  # as a table or a command line has it
    if kind == "taylor" and order.isdecimal() and int(order) <= MAX_ORDER:
        return Taylor(int(order))
    raise ValueError(f"ordering={shown(ordering)} must be one of {_ORDERING_CHOICES}")


def check_votes(
    k1: npt.ArrayLike, k2: npt.ArrayLike, n: npt.ArrayLike, largest: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return checked counts of the two classes and their number of votes."""
    votes = check_trials(n, largest)
    first = check_count("k1", k1, votes)
    second = check_count("k2", k2, votes)
    check_broadcast(k1=first, k2=second, n=votes)
    check_count("k1 + k2", first + second, votes)
    return first, second, votes


def check_ordering_range(ordering: object, votes: IntArray, level: FloatArray) -> None:
    """Raise where an ordering has no bound for so many votes, or at this level."""
    if ordering == "nested" and (level > LARGEST_ALPHA).any():
        raise ValueError(
            f"alpha={level.max()} must be at most {LARGEST_ALPHA} for ordering='nested'; "
            "'likelihood-ratio' takes any alpha below 1"
        )
    if ordering == "inductive" and (votes > LARGEST_INDUCTIVE_TRIALS).any():
        raise ValueError(
            f"n={votes.max()} must be at most {LARGEST_INDUCTIVE_TRIALS} for ordering='inductive'; "
            "'likelihood-ratio' takes more"
        )


def check_exact_alpha(alpha: npt.ArrayLike) -> FloatArray:
    """Return `alpha`, or raise where the enclosure of the exact bounds cannot resolve it."""
    level = check_alpha(alpha)
    if (level < SMALLEST_EXACT_ALPHA).any():
        raise ValueError(
            f"alpha={level.min()} must be at least {SMALLEST_EXACT_ALPHA} for an exact bound; "
            "bonferroni_margin_lower takes any alpha"
        )
    return level


@overload
def cohen_margin_lower(
    k1: IntLike, n: IntLike, alpha: FloatLike, *, estimand: MarginName
) -> float: ...
@overload
def cohen_margin_lower(
    k1: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, estimand: MarginName
) -> FloatArray: ...
def cohen_margin_lower(
    k1: npt.ArrayLike, n: npt.ArrayLike, alpha: npt.ArrayLike, *, estimand: MarginName
) -> FloatArray | float:
    """Return Cohen's lower bound of the margin, which spends all of alpha on p1.

    With p the Clopper-Pearson lower limit of p1 at `alpha`, the runner-up is taken to have
    all the rest: 2p - 1 (difference), or twice the quantile of p (probit, laplace).

    Parameters
    ----------
    k1 : int or array of int
        Votes for the class certified, 0 to n.
    n : int or array of int
        Number of votes, 1 to 10,000,000.
    alpha : float or array of float
        Failure probability, in (0, 1).
    estimand : {"difference", "probit", "laplace"}
        The margin bounded.

    Returns
    -------
    float or array of float
        Lower bounds, of the shape to which the arguments broadcast; in [-1, 1] for
        ``"difference"``, any real number or -inf (at k1 = 0) for the others. Rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` is not a string.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound > margin) <= alpha, for n independent votes, n fixed beforehand and
    the class fixed before the votes are seen; for any number of other classes [1]_.

    References
    ----------
    .. [1] J. Cohen, E. Rosenfeld and Z. Kolter, Certified adversarial robustness via
       randomized smoothing, *ICML* (2019), algorithm CERTIFY.

    Examples
    --------
    >>> from rsverify import cohen_margin_lower
    >>> print(f"{cohen_margin_lower(990, 1000, 0.001, estimand='probit'):.5f}")
    3.95602
    """
    code = int(Margin.named(estimand))
    votes = check_trials(n, LARGEST_TRIALS)
    first = check_count("k1", k1, votes)
    return map_rows(cohen_rows, constants=(code,), k1=first, n=votes, alpha=check_alpha(alpha))


@overload
def bonferroni_margin_lower(
    k1: IntLike,
    k2: IntLike,
    n: IntLike,
    alpha: FloatLike,
    *,
    estimand: MarginName,
    split: FloatLike = ...,
) -> float: ...
@overload
def bonferroni_margin_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    split: npt.ArrayLike = ...,
) -> FloatArray: ...
def bonferroni_margin_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    split: npt.ArrayLike = 0.5,
) -> FloatArray | float:
    """Return the margin of a lower limit of p1 and an upper limit of p2, sharing alpha.

    Clopper-Pearson limits, the lower one at ``split * alpha`` and the upper one at
    ``(1 - split) * alpha``; the upper one is at most what the lower one leaves.

    Parameters
    ----------
    k1, k2 : int or array of int
        Votes for the class certified and for its runner-up, k1 + k2 at most n.
    n : int or array of int
        Number of votes, 1 to 10,000,000.
    alpha : float or array of float
        Failure probability of both limits together, in (0, 1).
    estimand : {"difference", "probit", "laplace"}
        The margin bounded.
    split : float or array of float, default 0.5
        Share of alpha spent on p1, in (0, 1), fixed before the votes are seen.

    Returns
    -------
    float or array of float
        Lower bounds, of the shape to which the arguments broadcast; in [-1, 1] for
        ``"difference"``, any real number or -inf (at k1 = 0) for the others. Rounded down.

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` is not a string.
    ValueError
        If an argument is out of its range, a share of `alpha` is below the normal float64
        numbers, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound > margin) <= alpha, for n independent votes, n fixed beforehand and
    the class fixed before the votes are seen. `k2` may be the votes of a class fixed
    beforehand or the largest other count of the same votes; never those of a runner-up
    chosen on other data [1]_.

    References
    ----------
    .. [1] The margin is nonincreasing in k2 and the largest other count is at least the true
       runner-up's; ``docs/theory.md``, "The runner-up from the same data".

    Examples
    --------
    >>> from rsverify import bonferroni_margin_lower
    >>> print(f"{bonferroni_margin_lower(600, 50, 1000, 0.001, estimand='difference'):.5f}")
    0.47118
    """
    code = int(Margin.named(estimand))
    first, second, votes = check_votes(k1, k2, n, LARGEST_TRIALS)
    level, share = check_alpha(alpha), check_fraction("split", split)
    check_broadcast(k1=first, k2=second, n=votes, alpha=level, split=share)
    share_of_alpha(level, np.minimum(share, 1.0 - share), "split")
    return map_rows(
        bonferroni_rows,
        constants=(code,),
        k1=first,
        k2=second,
        n=votes,
        alpha=level,
        split=share,
    )


@overload
def exact_margin_lower(
    k1: IntLike,
    k2: IntLike,
    n: IntLike,
    alpha: FloatLike,
    *,
    estimand: MarginName,
    ordering: OrderingName | Taylor = ...,
) -> float: ...
@overload
def exact_margin_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    ordering: OrderingName | Taylor = ...,
) -> FloatArray: ...
def exact_margin_lower(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    ordering: OrderingName | Taylor = "likelihood-ratio",
) -> FloatArray | float:
    """Return the exact (Buehler) lower bound of the margin for an ordering of the outcomes.

    With t the ordering's value of the observed outcome, the bound is the largest L for which
    no q of margin at most L gives the outcomes ordered at t or above a probability over
    alpha. That supremum over the nuisance parameter is enclosed, not searched for, so the
    bound is rigorous. The default ordering leaves out the q that the votes themselves exclude,
    at a cost of 4e-11 of alpha, and its bound is the larger for it.

    Parameters
    ----------
    k1, k2 : int or array of int
        Votes for the class certified and for its runner-up, k1 + k2 at most n.
    n : int or array of int
        Number of votes, 1 to 1,000,000.
    alpha : float or array of float
        Failure probability, in [1e-12, 1).
    estimand : {"difference", "probit", "laplace"}
        The margin bounded.
    ordering : str or Taylor, default "likelihood-ratio"
        - ``"likelihood-ratio"``: by a likelihood-ratio limit with votes moved against the
          claim, and by Cohen's and Bonferroni's limits where those are larger. The default: on
          every outcome tried its bound is at least Cohen's and Bonferroni's, to the last digit.
          For alpha above 1/2 by the larger of these two alone, up to 1e-9.
        - ``"nested"``: by that of a fixed level near `alpha`, and no larger than at any larger
          fixed level: a smaller alpha never gives a larger bound, up to 1e-9 of rounding. For
          alpha up to 1/2; 5 to 12 times slower.
        - ``"inductive"``: outcomes one by one, each time the one that keeps the bound largest;
          for n up to 50. On average up to 1.5 % of the gap to the margin larger than the
          default, and not below Cohen's and Bonferroni's limits by more than 1e-9 in all that
          was tried.
        - ``"difference"``: by k1 - k2. Useless (-inf) for margins of quantiles where k1 <= k2.
        - ``"bonferroni"``: by Bonferroni's limit at the same alpha; the bound is never below
          that limit.
        - ``Taylor(order)``: by the margin of Taylor polynomials of the probit function.

    Returns
    -------
    float or array of float
        Lower bounds, of the shape to which the arguments broadcast; in [-1, 1] for
        ``"difference"``, any real number or -inf for the others. Never above the exact
        bound, and below it by less than 1e-9 for alpha up to 1/2 (2e-9 at n = 1,000,000 where
        k2 is 1 or so).

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` or `ordering` has the wrong type.
    ValueError
        If an argument is out of its range, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound > margin) <= alpha, for n independent votes, n fixed beforehand and
    the class fixed before the votes are seen. `k2` may be the votes of a class fixed
    beforehand or the largest other count of the same votes, whatever the number of classes.
    Among bounds that never decrease when the ordering rises, none is larger [1]_; the default
    ordering's bound, which depends on the votes in one more way, is above even that.

    At a fixed n more votes for the class or fewer for the runner-up never give a smaller bound,
    up to 1.2e-10 of rounding. From n votes to n + 1, the new one for the class, the default's
    ``"difference"`` bound can fall, by at most .027 in all that was tried (n = 30; .0023 beyond
    n = 100); its ``"probit"`` bound was not seen to.

    At a smaller alpha the default bound is smaller, but for some outcomes and levels close
    together: 3 % of outcomes at n = 100, by up to .011 (``"difference"``) and .04 (``"probit"``).
    ``"nested"``, ``"difference"`` and ``Taylor`` have no such outcomes.

    Rows run on all cores. Proofs: ``docs/theory.md``. Where the compiled functions are kept
    between processes: ``docs/certifying-at-scale.md``, "Compiled functions".

    References
    ----------
    .. [1] R. J. Buehler, Confidence intervals for the product of two binomial parameters,
       *Journal of the American Statistical Association* 52 (1957) 482-493.

    Examples
    --------
    >>> from rsverify import exact_margin_lower
    >>> print(f"{exact_margin_lower(600, 50, 1000, 0.001, estimand='difference'):.5f}")
    0.49046
    >>> exact_margin_lower([600, 900], 50, 1000, 0.001, estimand="probit").round(4)
    array([1.6295, 2.5814])
    """
    code = int(Margin.named(estimand))
    kind = find_ordering(ordering)
    first, second, votes = check_votes(k1, k2, n, LARGEST_EXACT_TRIALS)
    level = check_exact_alpha(alpha)
    check_ordering_range(kind, votes, level)
    if kind in ("likelihood-ratio", "nested"):
        return map_rows(
            nested_rows if kind == "nested" else default_rows,
            parallel=True,
            constants=(code,),
            k1=first,
            k2=second,
            n=votes,
            alpha=level,
        )
    shape = check_broadcast(k1=first, k2=second, n=votes, alpha=level)
    first, second, votes = (np.broadcast_to(a, shape).ravel() for a in (first, second, votes))
    level = np.broadcast_to(level, shape).ravel()
    out = np.empty(level.size)
    for size, risk in {(int(m), float(a)) for m, a in zip(votes, level, strict=True)}:
        rows = (votes == size) & (level == risk)
        if kind == "inductive":
            out[rows] = inductive_table(size, risk, code)[first[rows], second[rows]]
            continue
        tables = _ordering_tables(kind, size, risk, code)
        out[rows] = map_rows(
            additive_rows,
            parallel=True,
            constants=(size, risk, code, *tables),
            k1=first[rows],
            k2=second[rows],
        )
    result: FloatArray | float = out.reshape(shape)[()]
    return result


def _ordering_tables(
    ordering: OrderingName | Taylor, n: int, alpha: float, estimand: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the tables a, b, c of the ordering max(a[x1] - b[x2], c[x1])."""
    x = np.arange(n + 1)
    if ordering == "bonferroni":
        tables = np.empty((3, n + 1))
        limit_tables(n, alpha, estimand, tables)
        return tables[0], tables[1], tables[2]
    order = ordering.order if isinstance(ordering, Taylor) else 0
    if order == 0:
        votes = x.astype(np.float64)
    else:
        # Mirrored about n / 2, so that outcomes of equal value have bit-equal keys.
        low = np.asarray(taylor_probit(np.minimum(x, n - x) / n, order))
        votes = np.where(2 * x <= n, low, -low)
    return votes, votes, np.full(n + 1, -np.inf)


BOUNDS = (
    Bound(
        "cohen_margin_lower",
        cohen_margin_lower,
        ("difference", "probit", "laplace"),
        data="counts",
        reference="margin:cohen_margin_lower",
    ),
    Bound(
        "bonferroni_margin_lower",
        bonferroni_margin_lower,
        ("difference", "probit", "laplace"),
        reference="margin:bonferroni_margin_lower",
    ),
    Bound(
        "exact_margin_lower",
        exact_margin_lower,
        ("difference", "probit", "laplace"),
        reference="margin:exact_margin_lower",
    ),
)
"""The bounds of this file."""
