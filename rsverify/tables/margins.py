"""The limits of many rows of votes: equal rows once, with progress, kept where interrupted.

A limit depends on the votes of the class certified, those of its runner-up, their number and
alpha. Rows that agree in these share one limit.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.files import Interrupted
from rsverify._core.progress import InputProgress, ProgressOption
from rsverify._core.types import MarginName, OrderingName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import Taylor
from rsverify.certificates.margins import limits_of_votes, name_of
from rsverify.tables.margin_store import MarginStore

# Rows of counts looked at together: a temporary array is a small part of the table.
_ROWS = 1024
# Between two steps of the progress, and what is lost at most when a process is killed.
_SECONDS = 1.0
_FIRST_ROWS = 16
_PATIENCE = 2.0


class LeadingVotes(NamedTuple):
    """What of rows of counts a bound depends on: one entry a row."""

    k1: IntArray
    """Votes of the class certified."""
    k2: IntArray
    """Votes of the other class with the most."""
    n: IntArray
    """Votes of all classes."""


@dataclass(frozen=True)
class RowBound:
    """A bound with its options: one for all rows."""

    estimand: MarginName
    bound: VoteBoundName | Bound
    ordering: OrderingName | Taylor | None

    @property
    def name(self) -> str:
        """The name of the bound."""
        return name_of(self.bound)

    def limits(self, k1: IntArray, k2: IntArray, n: IntArray, alpha: FloatArray) -> FloatArray:
        """Return the limits of rows, on all cores."""
        limits = limits_of_votes(
            k1, k2, n, alpha, estimand=self.estimand, bound=self.bound, ordering=self.ordering
        )
        return np.asarray(limits)


def leading_votes(
    counts: IntArray, y: IntArray, left_out: npt.NDArray[np.bool_] | None = None
) -> LeadingVotes:
    """Return the votes of class y of each row, of its runner-up and of all.

    Parameters
    ----------
    counts : ndarray of int64, shape (N, m)
        Checked votes.
    y : ndarray of int64, shape (N,)
        A class of each row.
    left_out : ndarray of bool, shape (N, m), optional
        Which classes are no runner-up.

    Raises
    ------
    ValueError
        If no runner-up is left.
    """
    k1 = np.take_along_axis(counts, y[:, np.newaxis], axis=1)[:, 0]
    k2 = np.empty_like(k1)
    for begin in range(0, len(counts), _ROWS):
        rows = counts[begin : begin + _ROWS].copy()
        if left_out is not None:
            rows[left_out[begin : begin + _ROWS]] = -1
        np.put_along_axis(rows, y[begin : begin + _ROWS, np.newaxis], -1, axis=1)
        k2[begin : begin + _ROWS] = rows.max(axis=1)
    if (k2 < 0).any():
        row = int((k2 < 0).argmax())
        raise ValueError(f"row {row} has no runner-up: all classes beside y={y[row]} are left out")
    return LeadingVotes(k1, k2, counts.sum(axis=1))


def margins_of_rows(
    votes: LeadingVotes,
    alpha: FloatArray,
    row_bound: RowBound,
    *,
    store: str | os.PathLike[str] | None = None,
    progress: ProgressOption = None,
) -> FloatArray:
    """Return the lower limit of each row's margin, at `alpha` each.

    Raises
    ------
    Interrupted
        On Ctrl-C, with what is kept; a KeyboardInterrupt.
    ValueError
        If `store` holds limits of another bound or version, or is damaged.
    """
    k1, k2, n = votes
    if row_bound.bound == "cohen":
        k2 = np.zeros_like(k2)  # makes no difference to it
    rows = np.stack([k1, k2, n, alpha.view(np.int64)], axis=1)
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    if isinstance(row_bound.bound, Bound):  # whose cost and code are not known: all at once
        found = row_bound.limits(*_arguments(distinct))
    else:
        found = _limits_in_steps(distinct, row_bound, store, progress)
    margins: FloatArray = found[place.reshape(-1)]
    return margins


def _arguments(rows: IntArray) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    k1, k2, n, level = (np.ascontiguousarray(column) for column in rows.T)
    return k1, k2, n, level.view(np.float64)


def _limits_in_steps(
    rows: IntArray,
    row_bound: RowBound,
    store: str | os.PathLike[str] | None,
    progress: ProgressOption,
) -> FloatArray:
    """Return the limits of different rows, in steps of about a second."""
    found = np.empty(len(rows))
    kept = (
        None
        if store is None
        else MarginStore(store, row_bound.estimand, row_bound.name, str(row_bound.ordering))
    )
    known = np.zeros(len(rows), dtype=bool) if kept is None else kept.fill(rows, found)
    # In random order, so that the time that is left can be told from what has passed.
    todo = np.random.default_rng(0).permutation(np.flatnonzero(~known))
    size, done = _FIRST_ROWS, 0
    try:
        with InputProgress(
            "bounding", todo.size, shown=progress, patience=_PATIENCE, unit="different rows"
        ) as told:
            while done < todo.size:
                begin = time.monotonic()
                step = todo[done : done + size]
                found[step] = row_bound.limits(*_arguments(rows[step]))
                done += step.size
                if kept is not None and done < todo.size:
                    kept.add(rows[step], found[step])
                told.advance(step.size)
                took = max(time.monotonic() - begin, 1e-6)
                size = max(_FIRST_ROWS, int(step.size * min(_SECONDS / took, 16.0)))
    except KeyboardInterrupt:
        total = int(known.sum()) + done
        where = (
            f"{total} of {len(rows)} different rows are kept in {store}; run the same again"
            if kept is not None
            else f"{total} of {len(rows)} different rows were done, and are lost: give store=FILE "
            "to keep them"
        )
        raise Interrupted(f"interrupted: {where}") from None
    finally:
        if kept is not None:
            kept.close()
    return found
