"""What the columns of a table of radii say of them, against what its reader takes them for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import IntArray, shown
from rsverify._core.errors import DataError
from rsverify._core.types import MeanBoundName, VoteBoundName
from rsverify.noise import Gaussian, parse_noise
from rsverify.tables.schema import count_columns

_ARGUMENTS = {"alpha": "stated_alpha"}
_OTHER_BOUNDS = {*get_args(VoteBoundName), *get_args(MeanBoundName), "anytime"} - {"cohen"}
_PLAIN = {"top_k": 1.0, "alpha_shares": 1.0, "noise_excess": 0.0}
"""Columns of numbers, and what is nothing special in them."""


def check_settings(table: pd.DataFrame, settings: Mapping[str, float]) -> None:
    """Raise where a column says another n, sigma or alpha than is given, or noise without sigma.

    Empty cells say nothing.
    """
    for column, value in settings.items():
        if column not in table:
            continue
        said = pd.to_numeric(table[column].astype(object), errors="coerce").to_numpy(np.float64)
        bad = ~(np.isnan(said) | (said == value))
        if bad.any():
            argument = _ARGUMENTS.get(column, column)
            raise ValueError(
                f"{argument}={value} contradicts the table, which says {said[bad][0]:.10g}"
            )
    if "sigma" not in settings or "noise" not in table:
        return
    for noise in pd.unique(table["noise"].dropna().astype(str)):
        if noise.strip() and _is_other_noise(noise.strip().lower()):
            raise ValueError(
                f"sigma={settings['sigma']} contradicts the table, which says noise={noise}"
            )


def check_totals(table: pd.DataFrame, counts: IntArray) -> None:
    """Raise where rows have another number of votes than they say: a class may be missing."""
    bad = rows_of_other_totals(table)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"n={table['n'].iloc[row]} of row {row} must be {counts[row].sum()}, its votes: is a "
            "column of counts missing?"
        )


def rows_of_other_totals(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which rows have another number of votes than their `n`, where both are known."""
    votes = count_columns(table)
    if "n" not in table or not votes:
        return np.zeros(len(table), dtype=bool)
    said = pd.to_numeric(table["n"].astype(object), errors="coerce").to_numpy(np.float64)
    total = table[votes].astype(np.float64).sum(axis=1).to_numpy()
    bad: npt.NDArray[np.bool_] = ~(np.isnan(said) | (said == total))
    return bad


def check_cohens(table: pd.DataFrame) -> None:
    """Raise where a column says that radii are not Cohen's, of Gaussian noise, at all of alpha."""
    for column in ("bound", "noise", "norm", "radius_kind", *_PLAIN):
        if column not in table:
            continue
        for value in pd.unique(table[column].dropna().astype(object)):
            if _is_other(column, str(value).strip()):
                raise DataError(
                    f"{column}={shown(value)} of the table must be that of Cohen's certificates "
                    "under Gaussian noise, whose votes follow from a radius: give a table with "
                    "vote counts, or leave the column out if it means something else"
                )


def _is_other(column: str, text: str) -> bool:
    """Return whether a word says something else than Cohen's certificates have there."""
    if text.lower() in ("", "nan", "none"):
        return False
    if column == "bound":
        return text in _OTHER_BOUNDS
    if column == "noise":
        return _is_other_noise(text.lower())
    if column == "norm":
        return text.lower() not in ("l2", "2")
    if column == "radius_kind":
        return text == "R1"
    number = pd.to_numeric(text, errors="coerce")
    return bool(number > _PLAIN[column])


def _is_other_noise(text: str) -> bool:
    try:
        noise = parse_noise(text)
    except ValueError:
        # Of another tool: a word, or sigma itself.
        known = text.startswith(("gauss", "normal")) or not np.isnan(
            pd.to_numeric(text, errors="coerce")
        )
        return not known
    return not (isinstance(noise, Gaussian) and np.ndim(noise.sigma) == 0)
