"""Is a margin at least a threshold? Early decisions from the vote counts so far.

The evidence on either side of the threshold is the capital of bets on lines, at most a
martingale under what it speaks against (`rsverify.kernels.margin.line_bets`). It depends on the
counts alone, so that looks may be taken whenever one likes, and chosen as one goes.

Every other class counts, at the full level. That the margin is at least L is concluded when the
evidence against "less" over each other class has reached 1/alpha: if it is less, that of the true
runner-up has to have done so, which has probability at most alpha. That the margin is
below L is concluded from the weighted mean of the evidence against "the margin over j is at
least L", as that hypothesis makes all of them true. (The evidence on the class that happens
to have most votes, taken alone, is covered by neither argument.)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_number,
    check_real,
    check_size,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName
from rsverify.bounds.margin_sequence import LARGEST_VOTES, check_paths
from rsverify.kernels.margin import line_bets as kernels
from rsverify.kernels.margin.formulas import DIFFERENCE
from rsverify.kernels.margin.sequence import largest_margin
from rsverify.kernels.mean.closed_form import log_inverse
from rsverify.kernels.special import norm_isf

__all__ = ["Answer", "Bets", "Decision", "decide_margin", "line_bets"]


class Answer(IntEnum):
    """What is known about a threshold; each answer says what it means and what to do."""

    BELOW = -1
    """The margin is below the threshold."""
    UNDECIDED = 0
    """The votes so far do not say."""
    AT_LEAST = 1
    """The margin is at least the threshold."""
    FUTILE = 2
    """Undecided, and unlikely to be decided by the votes planned."""

    @property
    def message(self) -> str:
        """Cause and remedy, in a sentence."""
        return _MESSAGES[self]


_MESSAGES = {
    Answer.BELOW: "below the threshold",
    Answer.UNDECIDED: "undecided: draw more votes",
    Answer.AT_LEAST: "at least the threshold",
    Answer.FUTILE: "stopped for futility: a decision by the votes planned is unlikely; plan more "
    "votes, or ask for a threshold farther from the margin",
}
_NEAR_ZERO = 1e-9  # margins of quantiles closer to 0 than this are taken for it, on the safe side


class Decision(NamedTuple):
    """What was concluded about a margin, and after how many votes."""

    verdict: IntArray | np.int64
    """The values of `Answer`: 1, at least the threshold; -1, below it; 0, undecided; 2, undecided
    and unlikely to be decided by the votes planned."""
    votes: IntArray | np.int64
    """Votes at the look that decided, or at the last look where none did."""


class Bets(NamedTuple):
    """The bets on one side of a threshold."""

    logs: FloatArray
    """log(1 + b), shape (cells, bets, 3)."""
    weights: FloatArray
    """Log-weights, shape (cells, bets)."""
    exchanged: bool
    """Whether they are on the votes with the class certified and the runner-up exchanged."""


def decide_margin(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    threshold: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    below: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    prior: npt.ArrayLike | None = None,
    horizon: int = 100_000,
    futility: float = 0.0,
    ignore: Sequence[int] = (),
) -> Decision:
    """Decide at the first look that can whether a margin is at least a threshold or below it.

    Parameters
    ----------
    counts : array of int, shape (..., T, m)
        Votes for m >= 2 classes so far, at each of T looks: nondecreasing along T, at most
        10,000,000 in all. How many votes lie between looks is free and may depend on them.
    y : int or array of int
        The class certified, 0 to m - 1, fixed before the votes; broadcasts with (...).
    threshold : float or array of float
        What the margin is compared with; broadcasts with (...). In (-1, 1) for
        ``"difference"``, finite for the others.
    alpha : float or array of float
        Failure probability, in (0, 1); broadcasts with (...).
    estimand : {"difference", "probit", "laplace"}
        The margin: that of p_y over the largest other p_j.
    below : float or array of float, optional
        The threshold of the verdict -1, where it is to be another one.
    weights : array of float, shape (..., m), optional
        Of the other classes in the verdict -1, fixed before the votes (from a selection sample,
        say): nonnegative, the entry of y is not read. Default: equal.
    prior : array of int, shape (..., m), optional
        Votes of an earlier sample, independent of `counts` and not among them. They say
        where to bet; they are no evidence themselves, so the guarantee does not rest on
        them.
    horizon : int, default 100,000
        How many votes are planned at most. The smallest bets are best then. More votes may
        be given: the guarantee does not rest on it.
    futility : float, default 0
        Verdict 2 where, by the posterior given the votes, a decision at `horizon` votes has
        about this probability or less; in [0, 1), 0 for never. Not before a hundredth of
        `horizon`. It is not a claim about the margin and needs no share of `alpha`.
    ignore : sequence of int
        Classes fixed beforehand that the margin is not over; their votes count.

    Returns
    -------
    Decision
        ``verdict`` and ``votes``, of the broadcast shape (...).

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` is not a string.
    ValueError
        If an argument is out of its range, counts fall, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* If the margin is below the threshold, the verdict is 1 with probability at
    most alpha; if it is at least the threshold, -1 with probability at most alpha; both for
    independent votes, any number of looks and any stopping time [1]_, any number of classes
    and without knowing the runner-up. For one given margin only one of the two errors is
    possible, so a decision is wrong with probability at most alpha. A margin between `below`
    and a larger `threshold` makes both verdicts wrong: there it is at most 2 alpha. All
    arguments but the counts are fixed before the first look.

    References
    ----------
    .. [1] J. Ville, *Étude critique de la notion de collectif*, 1939. Proofs:
       ``docs/theory-scores.md``.

    Examples
    --------
    >>> from rsverify.bounds.margin_decision import decide_margin
    >>> counts = [[80, 10, 10], [820, 80, 100], [8100, 900, 1000]]
    >>> decide_margin(counts, 0, [0.6, 0.7, 0.8], 0.001, estimand="difference")
    Decision(verdict=array([ 1,  0, -1]), votes=array([ 1000, 10000,  1000]))
    """
    code = int(Margin.named(estimand))
    upper = check_threshold("threshold", threshold, estimand)
    lower = upper if below is None else check_threshold("below", below, estimand)
    planned, z = check_plan(horizon, futility)
    paths, (level, upper, lower) = check_paths(
        counts, y, weights, prior, ignore, alpha=check_alpha(alpha), threshold=upper, below=lower
    )
    verdict = np.empty(level.size, dtype=np.int64)
    look = np.empty(level.size, dtype=np.int64)
    for r in range(level.size):
        past = votes_of_pair(paths.prior[r])
        verdict[r], look[r] = kernels.decide_path(
            code,
            paths.first[r],
            paths.others[r],
            paths.votes[r],
            paths.weights[r],
            np.array(past, dtype=np.float64),
            (*line_bets(code, int(Answer.AT_LEAST), float(upper[r]), past, planned),),
            (*line_bets(code, int(Answer.BELOW), float(lower[r]), past, planned),),
            log_inverse(float(level[r])),
            planned,
            z,
        )
    votes = np.take_along_axis(paths.votes, look[:, np.newaxis], axis=1)[:, 0]
    return Decision(verdict.reshape(paths.batch)[()], votes.reshape(paths.batch)[()])


@lru_cache(maxsize=256)
def line_bets(code: int, side: int, limit: float, past: tuple[int, int, int], horizon: int) -> Bets:
    """Return bets that the margin is at least `limit` (side 1) or below it (side -1).

    `past` are the earlier votes of the class certified, of its runner-up and of the rest.
    """
    if code != DIFFERENCE and abs(limit) < _NEAR_ZERO:
        # Both margins are 0 on the same line. Move the limit away from what is to be shown.
        if side * limit <= 0.0:
            code, limit = DIFFERENCE, 0.0
        else:
            limit = side * _NEAR_ZERO
    votes = np.array(past, dtype=np.int64)
    exchanged = code != DIFFERENCE and limit < 0.0
    if exchanged:
        votes[:2] = votes[1::-1]
    if code == DIFFERENCE:
        bets, weights = kernels.difference_bets(limit, side, votes, horizon)
    elif (side > 0) != exchanged:
        if abs(limit) > largest_margin(code):  # nothing can show that it is reached
            return Bets(np.zeros((1, 1, 3)), np.zeros((1, 1)), exchanged)
        bets, weights = kernels.tangent_bets(code, abs(limit), votes, horizon)
    else:
        size = min(abs(limit), largest_margin(code))
        bets, weights = kernels.chord_bets(code, size, votes, horizon)
    return Bets(np.log1p(bets), weights, exchanged)


def votes_of_pair(prior: IntArray) -> tuple[int, int, int]:
    """Return the earlier votes of the class certified, of the runner-up and of the rest.

    The last of `prior` are of no runner-up.
    """
    first, second = int(prior[0]), int(prior[1:-1].max())
    return first, second, int(prior.sum()) - first - second


def check_threshold(name: str, threshold: npt.ArrayLike, estimand: MarginName) -> FloatArray:
    limit = check_real(name, threshold)
    bad = ~(np.abs(limit) < 1.0) if estimand == "difference" else ~np.isfinite(limit)
    if bad.any():
        allowed = "in (-1, 1)" if estimand == "difference" else "finite"
        raise ValueError(f"{name}={limit[bad].flat[0]} must be {allowed}")
    return limit


def check_plan(horizon: int, futility: float) -> tuple[int, float]:
    """Return the horizon and the normal quantile of half the probability in `futility`."""
    return check_size("horizon", horizon, largest=LARGEST_VOTES), float(
        norm_isf(0.5 * check_futility(futility))
    )


def check_futility(futility: float) -> float:
    """Return `futility` as float, or raise where it is not one number in [0, 1)."""
    chance = check_number("futility", futility)
    if not 0.0 <= chance < 1.0:
        raise ValueError(f"futility={shown(futility)} must be in [0, 1)")
    return chance
