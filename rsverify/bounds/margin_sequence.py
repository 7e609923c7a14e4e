"""Confidence sequences for a margin, from the vote counts so far.

Evidence against "the margin over class j is at most L" is an e-value of the counts of y, j
and the rest, with mean at most one at any stopping time: the likelihood of a Dirichlet(1/2,
1/2, 1/2) mixture over the largest likelihood that the hypothesis allows. It depends on the
counts alone, so that looks may be taken whenever one likes, and chosen as one goes.

Every other class counts, at the full level: see `rsverify.bounds.margin_decision`, whose evidence
on one threshold is sharper. This one falls in L and so gives limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_ignored,
    check_integer,
    check_probability,
    check_real,
    check_single,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.rows import map_rows, sealed
from rsverify._core.types import MarginName
from rsverify.bounds.bound import Bound
from rsverify.bounds.interval import Interval
from rsverify.bounds.margin import check_votes
from rsverify.kernels.margin import sequence as kernels
from rsverify.kernels.mean.closed_form import log_inverse

__all__ = ["log_e_at_most", "margin_sequence"]

LARGEST_VOTES = 10_000_000
"""The largest number of votes; rounding then takes 3e-7 from the log of an e-value."""


class Paths(NamedTuple):
    """Checked counts: rows x looks, and rows x looks x other classes that may be ahead."""

    first: IntArray
    others: IntArray
    votes: IntArray
    prior: IntArray
    """Of the class certified, of each of the others, and of those that are ignored together."""
    weights: FloatArray
    batch: tuple[int, ...]


def margin_sequence(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    weights: npt.ArrayLike | None = None,
    prior: npt.ArrayLike | None = None,
    split: float = 0.5,
    ignore: Sequence[int] = (),
) -> Interval:
    r"""Return running lower and upper confidence limits of a margin, valid at all looks at once.

    Parameters
    ----------
    counts : array of int, shape (..., T, m)
        Votes for m >= 2 classes so far, at each of T looks: nondecreasing along T, at most
        10,000,000 in all. How many votes lie between looks is free and may depend on them.
    y : int or array of int
        The class certified, 0 to m - 1, fixed before the votes; broadcasts with (...).
    alpha : float or array of float
        Failure probability of both sides together, in (0, 1), over the whole sequence;
        broadcasts with (...).
    estimand : {"difference", "probit", "laplace"}
        The margin bounded: that of p_y over the largest other p_j.
    weights : array of float, shape (..., m), optional
        Of the other classes in the upper limits, fixed before the votes (from a selection sample,
        say): nonnegative, the entry of y is not read. Default: equal.
    prior : array of int, shape (..., m), optional
        Votes of an earlier sample, independent of `counts` and not among them. They sharpen
        the mixture: with 100 of them about a fifth fewer votes are needed. They are no
        evidence themselves, so the guarantee does not rest on them.
    split : float, default 0.5
        The share of alpha that the lower limits spend, in [0, 1]; at 1 there are no upper ones.
    ignore : sequence of int
        Classes fixed beforehand that the margin is not over; their votes count.

    Returns
    -------
    Interval
        ``lower`` and ``upper``, shape (..., T): running limits, so that lower ones never fall
        and upper ones never rise. Without evidence -1 and 1 (difference), -inf and inf
        (probit). ``lower > upper`` is possible, with probability at most alpha.

    Raises
    ------
    TypeError
        If an argument is not numeric, or `estimand` is not a string.
    ValueError
        If an argument is out of its range, counts fall, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(lower[t] <= margin for all t) >= 1 - split alpha and P(upper[t] >= margin for
    all t) >= 1 - (1 - split) alpha, so that both hold with probability at least 1 - alpha, for
    independent votes, at any looks and any stopping time [1]_, without knowing the runner-up and
    for any number of classes.

    References
    ----------
    .. [1] L. Wasserman, A. Ramdas and S. Balakrishnan, Universal inference, *PNAS* 117
       (2020) 16880-16890, section 8, with a mixture for the running estimate. Proofs:
       ``docs/theory-scores.md``.

    Examples
    --------
    >>> from rsverify.bounds.margin_sequence import margin_sequence
    >>> counts = [[80, 10, 10], [820, 80, 100], [8100, 900, 1000]]
    >>> limits = margin_sequence(counts, 0, 0.002, estimand="difference")
    >>> limits.lower.round(3), limits.upper.round(3)
    (array([0.307, 0.603, 0.672]), array([0.916, 0.815, 0.746]))
    """
    code = int(Margin.named(estimand))
    paths, (level,) = check_paths(counts, y, weights, prior, ignore, alpha=check_alpha(alpha))
    share = check_probability("split", split)
    check_single("split", share)
    lower, upper = np.empty(paths.votes.shape), np.empty(paths.votes.shape)
    votes = paths.first, paths.others, paths.votes, paths.prior
    kernels.lower_paths(*votes, _thresholds(share * level), code, lower)
    kernels.upper_paths(*votes, paths.weights, _thresholds((1.0 - share) * level), code, upper)
    shape = (*paths.batch, paths.votes.shape[1])
    return Interval(lower.reshape(shape), upper.reshape(shape), level.reshape(paths.batch)[()])


def log_e_at_most(
    k1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n: npt.ArrayLike,
    limit: npt.ArrayLike,
    *,
    estimand: MarginName,
    prior: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] = (0, 0, 0),
) -> FloatArray | float:
    """Return the log e-value of counts against "the margin of class 1 over 2 is at most limit".

    Parameters
    ----------
    k1, k2 : int or array of int
        Votes for the two classes, k1 + k2 at most n.
    n : int or array of int
        Number of votes, 1 to 10,000,000.
    limit : float or array of float
        The largest margin of the hypothesis.
    estimand : {"difference", "probit", "laplace"}
        The margin.
    prior : tuple of three ints or arrays of int
        Votes for the two classes and for the rest in an earlier, independent sample, each
        at most 10,000,000.

    Returns
    -------
    float or array of float
        Of the broadcast shape, rounded down; infinite only where no q of the hypothesis
        allows the counts.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range.

    Notes
    -----
    *Guarantee.* Under the hypothesis its exponential has mean at most 1 at every stopping
    time, for independent votes.

    Examples
    --------
    >>> from rsverify.bounds.margin_sequence import log_e_at_most
    >>> print(log_e_at_most(90, 5, 100, 0.5, estimand="difference").round(4))
    7.1034
    """
    code = int(Margin.named(estimand))
    first, second, votes = check_votes(k1, k2, n, LARGEST_VOTES)
    bound = check_real("limit", limit)
    if not isinstance(prior, tuple | list) or len(prior) != 3:
        raise ValueError(f"prior={shown(prior)} must be a tuple of three counts")
    past = [check_integer("prior", s) for s in prior]
    if any(((s < 0) | (s > LARGEST_VOTES)).any() for s in past):
        raise ValueError(
            f"prior={shown(prior)} must be counts of at least 0, at most {LARGEST_VOTES}"
        )
    return map_rows(
        kernels.log_e_rows,
        constants=(code,),
        x1=first,
        x2=second,
        n=votes,
        limit=bound,
        s1=past[0],
        s2=past[1],
        s3=past[2],
    )


def _thresholds(level: FloatArray) -> FloatArray:
    return np.array([log_inverse(float(a)) if a > 0.0 else np.inf for a in level])


def check_paths(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    prior: npt.ArrayLike | None,
    ignore: Sequence[int] = (),
    **values: FloatArray,
) -> tuple[Paths, list[FloatArray]]:
    """Return the checked paths as rows, and `values` as one number a row."""
    table = check_integer("counts", counts)
    if table.ndim < 2 or table.shape[-1] < 2 or 0 in table.shape:
        raise ValueError(
            f"counts of shape {table.shape} must have shape (..., T, m) with T >= 1 looks at "
            "m >= 2 classes"
        )
    if (table < 0).any():
        raise ValueError(f"counts={table[table < 0].flat[0]} must be at least 0")
    if (np.diff(table, axis=-2) < 0).any():
        raise ValueError("counts must be those so far: none may fall from one look to the next")
    if (table.sum(axis=-1, dtype=np.float64) > LARGEST_VOTES).any():
        raise ValueError(f"counts must sum to at most {LARGEST_VOTES} at every look")
    classes = table.shape[-1]
    label = check_integer("y", y)
    bad = (label < 0) | (label >= classes)
    if bad.any():
        raise ValueError(f"y={label[bad].flat[0]} must be a class between 0 and {classes - 1}")
    ignored = _check_ignored(ignore, label, classes)
    mass = _check_weights(weights, classes)
    past = _check_prior(prior, classes)
    shapes = [table.shape[:-2], label.shape, mass.shape[:-1], past.shape[:-1]]
    shapes += [v.shape for v in values.values()]
    named = ["counts", "y", "weights", "prior", *values]
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError:
        names = ", ".join(["counts (...)", "y", "weights (...)", "prior (...)", *values])
        raise ValueError(f"{names} must broadcast, got {', '.join(map(str, shapes))}") from None
    if 0 in batch:
        empty = next(n for n, s in zip(named, shapes, strict=True) if 0 in s)
        raise ValueError(f"{empty} is an empty array; it must hold at least one number")
    rows = np.broadcast_to(table, (*batch, *table.shape[-2:])).reshape(-1, *table.shape[-2:])
    label = np.broadcast_to(label, batch).reshape(-1)
    rivals = np.delete(np.arange(classes), ignored)
    others = np.array([rivals[rivals != c] for c in label])
    mass = np.broadcast_to(mass, (*batch, classes)).reshape(-1, classes)
    mass = np.take_along_axis(mass, others, axis=1)
    mass = mass / np.maximum(mass.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    total = mass.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ValueError("weights must have a positive sum over the classes that may be ahead of y")
    past = np.broadcast_to(past, (*batch, classes)).reshape(-1, classes)
    ordered = np.concatenate([label[:, np.newaxis], others], axis=1)
    grouped = np.take_along_axis(past, ordered, axis=1)
    grouped = np.column_stack([grouped, past[:, ignored].sum(axis=1)])
    first = np.take_along_axis(rows, label[:, None, None], axis=2)[:, :, 0]
    other = np.take_along_axis(rows, others[:, None, :], axis=2)
    # Slightly below one in sum, so that rounding cannot make a mean of e-values more.
    share = mass / total * (1.0 - 1e-14)
    paths = Paths(
        sealed(first, first.shape),
        sealed(other, other.shape),
        sealed(rows.sum(axis=-1), first.shape),
        sealed(grouped, grouped.shape),
        sealed(share, share.shape),
        batch,
    )
    return paths, [np.broadcast_to(v, batch).reshape(-1).copy() for v in values.values()]


def _check_ignored(ignore: Sequence[int], label: IntArray, classes: int) -> list[int]:
    """Return the ignored classes, or raise where one is certified or no other is left."""
    ignored = list(check_ignored(ignore, classes))
    if np.isin(label, ignored).any():
        raise ValueError(f"ignore={shown(ignore)} must not hold y={shown(label)}")
    if len(ignored) >= classes - 1:
        raise ValueError(f"ignore={shown(ignore)} must leave a runner-up of the {classes} classes")
    return ignored


def _check_weights(weights: npt.ArrayLike | None, classes: int) -> FloatArray:
    if weights is None:
        return np.ones(classes)
    mass = check_real("weights", weights)
    if mass.ndim < 1 or mass.shape[-1] != classes:
        raise ValueError(f"weights of shape {mass.shape} must have one entry for {classes} classes")
    bad = ~((mass >= 0.0) & np.isfinite(mass))
    if bad.any():
        raise ValueError(f"weights={mass[bad].flat[0]} must be nonnegative and finite")
    return mass


def _check_prior(prior: npt.ArrayLike | None, classes: int) -> IntArray:
    if prior is None:
        return np.zeros(classes, dtype=np.int64)
    past = check_integer("prior", prior)
    if past.ndim < 1 or past.shape[-1] != classes:
        raise ValueError(f"prior of shape {past.shape} must have one entry for {classes} classes")
    if (past < 0).any() or (past.sum(axis=-1, dtype=np.float64) > LARGEST_VOTES).any():
        raise ValueError(f"prior must be counts of at least 0, at most {LARGEST_VOTES} in all")
    return past


BOUNDS = (
    Bound(
        "margin_sequence",
        margin_sequence,
        ("difference", "probit", "laplace"),
        "two-sided",
        "vote path",
        time_uniform=True,
        reference="anytime_counts:log_e_at_most",
    ),
)
"""The bounds of this file."""
