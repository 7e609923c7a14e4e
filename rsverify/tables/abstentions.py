"""Why rows of a table abstain: how many for which reason, and the votes that would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.types import MarginName, RadiusName, VoteBoundName
from rsverify.bounds.margin import LARGEST_EXACT_TRIALS, SMALLEST_EXACT_ALPHA, find_ordering
from rsverify.certificates.abstention import Status, samples_needed, smallest_certifying_n
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.margins import BOUNDS
from rsverify.certificates.radius import ESTIMANDS
from rsverify.certificates.threat import Threat
from rsverify.tables.margins import LeadingVotes, RowBound, leading_votes
from rsverify.tables.outcome import levels_of_rows
from rsverify.tables.reader import count_columns
from rsverify.tables.threats import left_out_of_table, threat_of_table

__all__ = ["Abstentions", "abstentions"]

NO_MAJORITY = "no majority, as Cohen's bound needs"
"""The reason of rows that another bound may certify at the same votes, or at more of them."""

NOT_SAID = "not said"
"""The reason of a table that names none."""

_NEEDED = {"y", "alpha", "bound", "radius_kind"}
_MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class Abstentions:
    """The rows of a table that abstain for one reason."""

    reason: str
    """A `Status`, `NO_MAJORITY`, or what the table says."""
    rows: int
    """How many."""
    n_for_half: int | None
    """About how many votes would certify half of them at their vote shares; None where no number
    does, or it is not known."""
    n_for_most: int | None
    """The same for nine of ten."""


def abstentions(table: pd.DataFrame) -> tuple[Abstentions, ...]:
    """Return why rows of a table abstain, the most frequent reason first.

    Parameters
    ----------
    table : DataFrame
        As `read_table` returns it. Without vote counts, or with scores, no number of votes is
        estimated.

    Returns
    -------
    tuple of Abstentions
        Empty where no row abstains.

    Notes
    -----
    *Guarantee*: none. The numbers are for the vote shares seen, which in other votes will differ;
    up to a million votes, the bound itself certifies the row that decides at that number.

    Examples
    --------
    >>> from rsverify import certify_table
    >>> from rsverify.tables.abstentions import abstentions
    >>> table = certify_table([[52, 48], [90, 10], [55, 45], [30, 70]], sigma=0.5, alpha=0.001, y=0)
    >>> for found in abstentions(table):
    ...     print(found.reason, found.rows, found.n_for_half)
    margin not positive 2 1100
    runner-up ahead 1 None
    """
    rows = table[table["predict"] == ABSTAIN].reset_index(drop=True)
    if len(rows) == 0:
        return ()
    reason = np.full(len(rows), NOT_SAID, dtype=object)
    if "status" in rows:
        reason = np.array(rows["status"].replace("", NOT_SAID), dtype=object)
    groups: list[_Group] = []
    if count_columns(rows) and set(rows) >= _NEEDED:
        for key, places in _parts(rows):
            group = _Group.of(rows, key, places)
            lost = places[group.is_lost]
            reason[lost[reason[lost] == str(Status.MARGIN_NOT_POSITIVE)]] = NO_MAJORITY
            groups.append(group)
    found = []
    for name, count in zip(*np.unique(reason.astype(str), return_counts=True), strict=True):
        half, most = (_votes_that_do(groups, reason == name, share) for share in (0.5, _MOST))
        found.append(
            Abstentions(reason=str(name), rows=int(count), n_for_half=half, n_for_most=most)
        )
    return tuple(sorted(found, key=lambda a: (-a.rows, a.reason)))


def _parts(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], IntArray]]:
    """Yield the places of the rows of each bound of votes, with its radius and ordering."""
    ordering = rows["ordering"].fillna("").astype(str) if "ordering" in rows else ""
    keys = pd.DataFrame(
        {"bound": rows["bound"].astype(str), "kind": rows["radius_kind"].astype(str)}
    ).assign(ordering=ordering)
    # Of tables of other origin: rows that do not say what a bound needs.
    known = rows[list(_NEEDED)].notna().all(axis=1) & (rows["alpha"] >= SMALLEST_EXACT_ALPHA)
    classes = rows[count_columns(rows)]
    keys = keys[known & (classes.sum(axis=1) > 0) & rows["y"].between(0, classes.shape[1] - 1)]
    for (bound, kind, name), part in keys.groupby(["bound", "kind", "ordering"], sort=False):
        if bound in BOUNDS and kind in ESTIMANDS:
            yield (str(bound), str(kind), str(name)), part.index.to_numpy()


@dataclass(frozen=True)
class _Group:
    """Rows of one bound that abstain."""

    places: IntArray
    votes: LeadingVotes
    level: FloatArray
    needed: FloatArray
    """About how many votes each would need; infinite where no number does."""
    is_lost: npt.NDArray[np.bool_]
    """Where Cohen's bound cannot certify, at any number of votes."""
    row_bound: RowBound

    @classmethod
    def of(cls, table: pd.DataFrame, key: tuple[str, str, str], places: IntArray) -> _Group:
        rows = table.iloc[places]
        bound, kind, ordering = key
        named = find_ordering(ordering) if ordering else None
        if named == "inductive":  # it has no limits of many votes: the default's tell how many
            named = None
        threat, counts = threat_of_table(rows), rows[count_columns(rows)].to_numpy()
        estimand: MarginName = ESTIMANDS[cast(RadiusName, kind)]
        if threat is not None:
            estimand = Threat(*threat, cast(RadiusName, kind), None).estimand
        row_bound = RowBound(estimand, cast(VoteBoundName, bound), named)
        left_out = left_out_of_table(rows, counts.shape[1])
        votes = leading_votes(counts, rows["y"].to_numpy(), left_out)
        level = levels_of_rows(rows, rows["alpha"].to_numpy())
        levels, place = np.unique(level, return_inverse=True)
        smallest = smallest_certifying_n(levels, row_bound.limits)[place]
        needed = np.maximum(samples_needed(*votes, level, bound), smallest)
        is_lost = (bound == "cohen") & (2 * votes.k1 <= votes.n)
        return cls(places, votes, level, needed, is_lost, row_bound)

    def enough(self, i: int) -> int:
        """Return a number of votes at which the row `i` certifies, at the shares that it has.

        The estimate, or more: by steps of a tenth, as long as bounds are computed for so many.
        """
        n = int(self.needed[i])
        k1, k2, before = (int(x[i]) for x in self.votes)
        while n <= LARGEST_EXACT_TRIALS:
            first, second = n * k1 // before, -(-n * k2 // before)
            a, b, of = np.array([[first], [second], [n]])
            if self.row_bound.limits(a, b, of, self.level[i : i + 1])[0] > 0:
                break
            step = 10 ** max(len(str(n)) - 2, 0)
            n += max(step, n // 10 // step * step)
        return n


def _votes_that_do(groups: list[_Group], chosen: npt.NDArray[np.bool_], share: float) -> int | None:
    """Return the votes that are enough for this share of the chosen rows, None where none are."""
    needed = np.full(chosen.size, np.nan)
    for group in groups:
        needed[group.places] = group.needed
    order = np.flatnonzero(chosen)[np.argsort(needed[chosen], kind="stable")]  # NaN comes last
    row = order[int(np.ceil(share * order.size)) - 1]
    if not np.isfinite(needed[row]):
        return None
    for group in groups:
        place = np.flatnonzero(group.places == row)
        if place.size:
            return group.enough(int(place[0]))
    raise AssertionError("a row with a number of votes has a bound")
