"""From rows of vote counts to what each certifies: margin, radius and status, all rows at once."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, IntArray, shown
from rsverify._core.progress import ProgressOption
from rsverify._core.types import OrderingName, RadiusName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import Taylor
from rsverify.certificates.abstention import statuses_of_rows
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.margins import level_of_bound, name_of
from rsverify.certificates.radius import ESTIMANDS, certified_radius_r1, certified_radius_r2
from rsverify.certificates.threat import Threat
from rsverify.tables.margins import LeadingVotes, RowBound, leading_votes, margins_of_rows
from rsverify.tables.threats import TableThreat


class Outcomes(NamedTuple):
    """What rows of counts certify: one entry a row."""

    votes: LeadingVotes
    margin: FloatArray
    radius: FloatArray
    predict: IntArray
    status: npt.NDArray[np.object_]


def outcomes_of_rows(
    counts: IntArray,
    y: IntArray,
    alpha: FloatArray,
    *,
    sigma: FloatArray,
    lipschitz: FloatArray | None,
    kind: RadiusName,
    bound: VoteBoundName | Bound,
    ordering: OrderingName | Taylor | None,
    store: str | os.PathLike[str] | None,
    progress: ProgressOption,
    threat: TableThreat | None = None,
    left_out: npt.NDArray[np.bool_] | None = None,
) -> Outcomes:
    """Return what checked rows certify for class y, at `alpha` each: what the bound is to have.

    `lipschitz` is infinite in rows that rest on the smoothing's own constant. With a `threat`,
    `sigma` and `kind` have no part in it.

    Raises
    ------
    ValueError
        If y is no class, or an ordering is given to a bound that has none.
    """
    bad = (y < 0) | (y >= counts.shape[1])
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"y={y[row]} of row {row} must be a class between 0 and {counts.shape[1] - 1}"
        )
    if bound != "exact" and ordering is not None:
        raise ValueError(
            f"ordering={shown(ordering)} must be None for bound={name_of(bound)!r}: it has none"
        )
    votes = leading_votes(counts, y, left_out)
    noise_margin = None if threat is None else Threat(*threat, kind, None).estimand
    row_bound = RowBound(noise_margin or ESTIMANDS[kind], bound, ordering)
    margin = margins_of_rows(votes, alpha, row_bound, store=store, progress=progress)
    if threat is not None:
        radius = np.asarray(Threat(*threat, kind, None).radius(margin), dtype=np.float64)
    elif kind == "R1":
        # Any huge number leaves a row with its own constant.
        given = None if lipschitz is None else np.minimum(lipschitz, np.finfo(np.float64).max)
        radius = certified_radius_r1(np.minimum(margin, 1.0), sigma=sigma, lipschitz=given)
    else:
        radius = certified_radius_r2(margin, sigma)
    return Outcomes(
        votes=votes,
        margin=margin,
        radius=np.asarray(radius),
        predict=np.where(margin > 0, y, ABSTAIN),
        status=statuses_of_rows(*votes, alpha, margin, row_bound.name, row_bound.limits),
    )


def level_of_class(alpha: FloatArray, shares: npt.ArrayLike) -> FloatArray:
    """Return the level of one of so many classes that share alpha, rounded down.

    Where the votes that certify a class have chosen it too, the bounds of all classes that they
    could have chosen must hold: each has an equal share of alpha.
    """
    each, parts = np.broadcast_arrays(alpha, np.asarray(shares, dtype=np.float64))
    return np.where(parts > 1, np.nextafter(each / parts, 0.0), each)


def levels_of_rows(table: pd.DataFrame, alpha: npt.ArrayLike) -> FloatArray:
    """Return what of the total `alpha` of each row of a table its bound has.

    The rest is the noise's, or that of other classes.
    """

    def column(name: str, otherwise: float) -> FloatArray:
        if name not in table.columns:
            return np.full(len(table), otherwise)
        return table[name].fillna(otherwise).to_numpy(dtype=np.float64)

    left = level_of_bound(alpha, column("noise_excess", 0.0))
    return level_of_class(left, column("alpha_shares", 1.0))
