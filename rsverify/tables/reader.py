"""Reading certification tables, and what they say in total."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, check_integer, check_real
from rsverify.tables.lines import COLUMN as CHECKSUM
from rsverify.tables.lines import check_signed
from rsverify.tables.metadata import read_metadata as read_metadata
from rsverify.tables.metadata import write_metadata as write_metadata
from rsverify.tables.schema import COMMON_COLUMNS as COMMON_COLUMNS
from rsverify.tables.schema import ORIGIN_COLUMNS as ORIGIN_COLUMNS
from rsverify.tables.schema import check_cells, check_columns
from rsverify.tables.schema import count_columns as count_columns
from rsverify.tables.schema import table_row as table_row
from rsverify.tables.writer import write_table as write_table

_REAL = {"radius", "alpha", "sigma", "margin", "lipschitz", "target_radius", "noise_excess"}


class TruncatedTableWarning(UserWarning):
    """The last line of a table was cut off, and dropped."""


def _seconds(text: str) -> float:
    """Return a time of the form 13.7 or 0:00:13.7 or 1 day, 0:00:13 in seconds."""
    if not text:
        return math.nan
    if ":" not in text:
        return float(text)
    return float(pd.to_timedelta(text.replace(",", "")).total_seconds())


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the rows of a table, one an input.

    Parameters
    ----------
    path : path-like
        A file written here, or one that has the six common columns alone.

    Returns
    -------
    DataFrame
        Integer `idx`, `label`, `predict` (−1 where abstained), `correct` (0 or 1) and counts,
        `radius` in input units, `time` in seconds.

    Raises
    ------
    ValueError
        If a common column is missing, or if a row before the last has the wrong number of
        fields, a field that is not a number or one out of its range, or if the last column is
        `checksum`, as in tables written here, and a line does not match it.

    Warns
    -----
    TruncatedTableWarning
        If the last line does not end in a line break: its writer was stopped, and what it
        holds may be a part of a number. The line is dropped.
    """
    text = Path(path).read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        warnings.warn(
            f"the last line of {path} was cut off and is dropped",
            TruncatedTableWarning,
            stacklevel=2,
        )
    lines = text.splitlines()
    columns = lines[0].split("\t") if lines else []
    check_columns(columns, path)
    rows = [line.split("\t") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise ValueError(
                f"line {number} of {path} has {len(row)} fields; it must have {len(columns)}"
            )
    check_signed(lines, path)
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    integer = {"idx", "label", "predict", "correct", "base_predict", "y", "n", "n0"}
    for name in columns:
        try:
            if name in integer or name.startswith(("count_", "selected_")):
                table[name] = table[name].astype(np.int64)
            elif name in _REAL:
                # An empty field is an unknown value; a radius is never unknown.
                known = table[name] if name == "radius" else table[name].replace("", "nan")
                table[name] = known.astype(np.float64)
            elif name == "time":
                table[name] = table[name].map(_seconds).astype(np.float64)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"column {name!r} of {path} must hold numbers: {error}") from None
    check_cells(table, path)
    return table.drop(columns=CHECKSUM, errors="ignore")


def certified_accuracy(table: pd.DataFrame, radii: npt.ArrayLike) -> FloatArray:
    """Return the fraction of inputs that are classified correctly within each radius.

    Parameters
    ----------
    table : DataFrame
        At least one row, with the columns `correct` and `radius`.
    radii : array_like of float
        In input units, not negative.

    Returns
    -------
    ndarray of float64
        Of the shape of `radii`; abstentions count as wrong.

    Raises
    ------
    ValueError
        If the table is empty or a radius is negative or NaN.

    Notes
    -----
    *Guarantee*: each row's certificate fails with probability at most its alpha, so on
    average over the sampling the result exceeds the true certified accuracy by alpha at most.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.reader import certified_accuracy
    >>> table = pd.DataFrame({"correct": [1, 1, 0, 0], "radius": [0.5, 0.2, 0.9, 0.0]})
    >>> certified_accuracy(table, [0.0, 0.25, 1.0])
    array([0.5 , 0.25, 0.  ])
    """
    asked = check_real("radii", radii)
    if (asked < 0).any():
        raise ValueError(f"radii={asked[asked < 0].flat[0]} must not be negative")
    correct, radius = _correct_and_radius(table)
    # Sorted, so that as many radii as rows can be asked for.
    certified = np.sort(radius[correct])
    below = np.searchsorted(certified, asked, side="left")
    return np.asarray((certified.size - below) / len(table))


def average_certified_radius(table: pd.DataFrame) -> float:
    """Return the mean over all rows of the radius, counting wrong and abstained rows as 0.

    Parameters
    ----------
    table : DataFrame
        At least one row, with the columns `correct` and `radius`.

    Raises
    ------
    ValueError
        If the table is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.reader import average_certified_radius
    >>> average_certified_radius(pd.DataFrame({"correct": [1, 0], "radius": [0.5, 0.9]}))
    0.25
    """
    correct, radius = _correct_and_radius(table)
    return float(np.mean(np.where(correct, radius, 0.0)))


def _correct_and_radius(table: pd.DataFrame) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    if len(table) == 0:
        raise ValueError("table has no rows; it must have at least one")
    correct = check_integer("correct", table["correct"].to_numpy())
    return correct == 1, check_real("radius", table["radius"].to_numpy())
