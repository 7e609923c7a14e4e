"""How probable the certified class is, input by input: what an average radius does not show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsverify._core.check import FloatArray
from rsverify.bounds.proportion import LARGEST_TRIALS, clopper_pearson_lower
from rsverify.certificates.margins import BOUNDS
from rsverify.tables.outcome import levels_of_rows
from rsverify.tables.schema import count_columns

__all__ = ["VoteLimits", "vote_limits"]

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the inputs, the hardest first."""
_NEEDED = {"y", "alpha", "bound", "label", "radius", "correct"}


@dataclass(frozen=True, kw_only=True)
class VoteLimits:
    """The distribution over inputs of lower limits of p_y, and who carries the average radius.

    *Guarantee*: each single limit is at most the probability of a vote for the class certified,
    with probability at least 1 − alpha of its row. The quantiles describe the table.
    """

    shares: tuple[float, ...]
    """Shares of the inputs, rising."""
    quantiles: tuple[float, ...]
    """Of these shares of the inputs no limit is larger; 0 where the answer is wrong."""
    easiest_tenth: float | None
    """What share of the sum of all radii the tenth of the inputs with the largest ones has; None
    where no radius is positive."""


def vote_limits(rows: pd.DataFrame) -> VoteLimits | None:
    """Return the limits of p_y, by Clopper and Pearson; None where the table cannot say them.

    They need vote counts of a fixed number of votes: not those of early decisions, nor of scores.
    """
    if not set(rows) >= _NEEDED or not count_columns(rows):
        return None
    if not rows["bound"].isin(BOUNDS).all() or rows[list(_NEEDED)].isna().any(axis=None):
        return None
    counts = rows[count_columns(rows)].to_numpy()
    y, n = rows["y"].to_numpy(), counts.sum(axis=1)
    if ((y < 0) | (y >= counts.shape[1]) | (n < 1) | (n > LARGEST_TRIALS)).any():
        return None
    level = levels_of_rows(rows, rows["alpha"].to_numpy())
    votes = counts[np.arange(len(rows)), y]
    limits = np.asarray(clopper_pearson_lower(votes, n, level))
    known = rows["label"].to_numpy() != -1
    right = np.where(known, y == rows["label"].to_numpy(), not known.any())
    sizes = np.quantile(np.where(right, limits, 0.0), SHARES, method="lower")
    return VoteLimits(
        shares=SHARES,
        quantiles=tuple(sizes.tolist()),
        easiest_tenth=share_of_easiest(
            np.where(rows["correct"].to_numpy() == 1, rows["radius"].to_numpy(), 0.0)
        ),
    )


def share_of_easiest(radii: FloatArray, part: float = 0.1) -> float | None:
    """Return what share of the sum of radii the part of the inputs with the largest ones has."""
    total = float(radii.sum())
    if total <= 0.0:
        return None
    count = int(np.ceil(part * radii.size))
    return float(np.sort(radii)[-count:].sum() / total)
