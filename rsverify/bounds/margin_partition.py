r"""On which side of each of several thresholds is a margin? All answers at one level.

Thresholds L_1 < … < L_K cut the line into K + 1 cells, of which exactly one holds the margin. Each
cell is a hypothesis, and evidence against it, with mean at most one under it at any stopping time,
is at hand from each of its ends: against "below L_k" and against "at least L_k"
(`rsverify.bounds.margin_decision`). The mean of the two is such evidence too. So every cell is
tested at the full level: the one that holds the margin is ever rejected with probability at most
alpha, and only then an answer can be wrong. Nothing is paid for the number of thresholds, and a
cell between two of them costs log 2 in the logarithm of its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray, check_alpha, shown
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName
from rsverify.bounds.margin_decision import (
    Answer,
    Decision,
    check_plan,
    check_threshold,
    line_bets,
    votes_of_pair,
)
from rsverify.bounds.margin_sequence import Paths, check_paths
from rsverify.kernels.margin import line_bets as kernels
from rsverify.kernels.mean.closed_form import log_inverse

__all__ = ["decide_margins"]

_HALF = float(np.nextafter(np.log(0.5), -1.0)) - 1e-15
"""The logarithm of one half, rounded down with what a sum of two logarithms is rounded by."""


def decide_margins(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    thresholds: npt.ArrayLike,
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
    """Decide at the first look that can on which side of each threshold a margin lies.

    Parameters
    ----------
    counts, y, alpha, estimand, weights, prior, horizon, futility, ignore
        As for `decide_margin`.
    thresholds : array of float, shape (K,)
        What the margin is compared with, rising. In (-1, 1) for ``"difference"``, finite for
        the others.
    below : array of float, shape (K,), optional
        The thresholds of the verdict -1, where they are to be other ones, at most `thresholds`.

    Returns
    -------
    Decision
        ``verdict`` of shape (..., K), and ``votes`` of shape (...): those at the first look at
        which no verdict is 0, or at the last look where there is none.

    Raises
    ------
    TypeError, ValueError
        As for `decide_margin`, and if the thresholds do not rise.

    Notes
    -----
    *Guarantee.* The probability that any verdict is wrong, 1 at a threshold above the margin or
    -1 at one (of `below`) that is not, is at most alpha in all: for independent votes, any number
    of thresholds, looks and classes and any stopping time. A margin between a `below` and its
    larger threshold makes both of these verdicts wrong: there it is at most 2 alpha. With one
    threshold these are the verdicts of `decide_margin`. All arguments but the counts are fixed
    before the first look. Proofs: ``docs/theory-scores.md``.

    Examples
    --------
    >>> from rsverify.bounds.margin_partition import decide_margins
    >>> counts = [[80, 10, 10], [820, 80, 100], [8100, 900, 1000]]
    >>> found = decide_margins(counts, 0, [0.5, 0.6, 0.8], 0.001, estimand="difference")
    >>> found.verdict, int(found.votes)
    (array([ 1,  1, -1]), 1000)
    """
    code = int(Margin.named(estimand))
    upper = _check_thresholds("thresholds", thresholds, estimand)
    lower = upper if below is None else _check_thresholds("below", below, estimand)
    if lower.shape != upper.shape or (lower > upper).any():
        raise ValueError(
            f"below={shown(below)} must hold one number for each threshold, at most that"
        )
    planned, z = check_plan(horizon, futility)
    paths, (level,) = check_paths(counts, y, weights, prior, ignore, alpha=check_alpha(alpha))
    verdicts = np.empty((level.size, upper.size), dtype=np.int64)
    look = np.empty(level.size, dtype=np.int64)
    for r in range(level.size):
        evidence = _evidence(code, paths, r, upper, lower, planned, z)
        found = _verdicts(evidence, log_inverse(float(level[r])))
        known = np.flatnonzero((found != Answer.UNDECIDED).all(axis=1))
        look[r] = known[0] if known.size else len(found) - 1
        verdicts[r] = found[look[r]]
    votes = np.take_along_axis(paths.votes, look[:, np.newaxis], axis=1)[:, 0]
    shape = (*paths.batch, upper.size)
    return Decision(verdicts.reshape(shape), votes.reshape(paths.batch)[()])


def _evidence(
    code: int, paths: Paths, r: int, upper: FloatArray, lower: FloatArray, planned: int, z: float
) -> FloatArray:
    """Return the log-evidence of `evidence_path` at each threshold, shape (K, T, 4)."""
    past = votes_of_pair(paths.prior[r])
    out = np.empty((upper.size, paths.votes.shape[1], 4))
    for k in range(upper.size):
        kernels.evidence_path(
            code,
            paths.first[r],
            paths.others[r],
            paths.votes[r],
            paths.weights[r],
            np.array(past, dtype=np.float64),
            (*line_bets(code, int(Answer.AT_LEAST), float(upper[k]), past, planned),),
            (*line_bets(code, int(Answer.BELOW), float(lower[k]), past, planned),),
            planned,
            z,
            out[k],
        )
    return out


def _verdicts(evidence: FloatArray, needed: float) -> IntArray:
    """Return the verdict on each threshold at each look, shape (T, K)."""
    at_least, under, rising, falling = np.moveaxis(evidence, 2, 0)
    rejected = _cells(at_least, under) >= needed
    # At least L_k if all cells below it are rejected, below it if all others are.
    up = np.logical_and.accumulate(rejected[:-1], axis=0)
    down = np.logical_and.accumulate(rejected[:0:-1], axis=0)[::-1]
    likely = _cells(rising, falling) >= needed
    futile = ~likely[:-1] & ~likely[1:]
    verdict = np.select(
        [up, down, futile],
        [np.int64(Answer.AT_LEAST), np.int64(Answer.BELOW), np.int64(Answer.FUTILE)],
        np.int64(Answer.UNDECIDED),
    )
    return verdict.T


def _cells(at_least: FloatArray, under: FloatArray) -> FloatArray:
    """Return the log-evidence against each cell, shape (K + 1, T), rounded down."""
    between = np.logaddexp(at_least[1:], under[:-1])
    with np.errstate(invalid="ignore"):
        rounded = between + _HALF - 1e-14 * np.abs(between)
    inner = np.where(np.isinf(between), between, rounded)
    return np.concatenate([at_least[:1], inner, under[-1:]])


def _check_thresholds(name: str, values: npt.ArrayLike, estimand: MarginName) -> FloatArray:
    limits = check_threshold(name, values, estimand)
    if limits.ndim != 1 or limits.size == 0:
        raise ValueError(f"{name} of shape {limits.shape} must hold one or more numbers")
    if (np.diff(limits) <= 0).any():
        raise ValueError(f"{name}={limits.tolist()} must rise from one to the next")
    return limits
