"""Reading certification tables, and what they say in total."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, check_integer, check_real
from rsverify._core.table_text import (
    SEPARATORS,
    TableText,
    is_quoted,
    read_text,
    separator_of,
    split_line,
    without_comments,
)
from rsverify._core.types import AnyArray
from rsverify.tables.cells import (
    REAL_COLUMNS,
    Places,
    check_widths,
    is_integer_column,
    is_last_line_whole,
    parse_integers,
    parse_radii,
    parse_reals,
    parse_times,
    read_cells,
)
from rsverify.tables.lines import COLUMN as CHECKSUM
from rsverify.tables.lines import check_signed, is_signed
from rsverify.tables.metadata import read_metadata as read_metadata
from rsverify.tables.metadata import write_metadata as write_metadata
from rsverify.tables.printed import RadiusFormat
from rsverify.tables.rows import check_any_rows
from rsverify.tables.schema import COMMON_COLUMNS as COMMON_COLUMNS
from rsverify.tables.schema import ORIGIN_COLUMNS as ORIGIN_COLUMNS
from rsverify.tables.schema import check_cells
from rsverify.tables.schema import count_columns as count_columns
from rsverify.tables.schema import table_row as table_row
from rsverify.tables.writer import write_table as write_table

__all__ = ["TruncatedTableWarning", "average_certified_radius", "certified_accuracy", "read_table"]


class TruncatedTableWarning(UserWarning):
    """The last line of a table was cut off, and dropped."""


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the rows of a table, one per input.

    Parameters
    ----------
    path : path-like
        A file written here, or one that has the six common columns: UTF-8 text, perhaps with a
        byte-order mark, blank lines, any line breaks, and lines that begin with # before the
        header. The fields are separated by tabs; by commas or semicolons if its header says so,
        and may then be quoted.

    Returns
    -------
    DataFrame
        Integer `idx`, `label`, `predict` (−1 where abstained), `correct` (0 or 1) and counts,
        `radius` in input units, `time` in seconds. Other columns are text. How the radii were
        printed is kept in its attributes, for `recertify_radii`.

    Raises
    ------
    ValueError
        If the file is not UTF-8, if a common column is missing, or if a line has the wrong
        number of fields or a field that is not a number or out of its range, of which it names
        line and column. If the last column is `checksum`, as in tables written here, and a line
        does not match it.

    Warns
    -----
    TruncatedTableWarning
        If the last line does not end in a line break, and may not be whole: its writer was
        stopped, and what it holds may be a part of a number. The line is dropped.
    """
    text = without_comments(read_text(path), _is_header)
    header = text.lines[0] if text.lines else ""
    separator = separator_of(header, COMMON_COLUMNS, str(path))
    quoted = is_quoted(header, separator)
    columns = split_line(header, separator, quoted=quoted, place=f"line 1 of {path}")
    if lost := sorted(set(COMMON_COLUMNS) - set(columns)):
        raise ValueError(
            f"line 1 of {path} has a quote in the wrong place: it must have a column {lost[0]!r}"
        )
    if not text.is_ended and not _is_last_line_whole(text, columns, separator):
        text = text.without_last()
        warnings.warn(
            f"the last line of {path} was cut off and is dropped",
            TruncatedTableWarning,
            stacklevel=2,
        )
    check_widths(text, columns, separator)
    check_signed(text.lines, path, text.numbers)
    integers = [name for name in columns if is_integer_column(name)]
    cells = read_cells(text.lines[1:], columns, integers, separator, quoted=quoted)
    radii = cells["radius"].tolist()
    table = _parsed(cells, Places(str(path), text.numbers[1:]))
    check_cells(table, path)
    positive = np.isfinite(table["radius"]) & (table["radius"] > 0)
    shown = RadiusFormat.of_texts(t for t, p in zip(radii, positive, strict=True) if p)
    table.attrs.update(shown.to_attributes())
    return table


def _is_header(line: str) -> bool:
    names = (set(split_line(line, s, quoted=False, place="")) for s in SEPARATORS)
    return any(found.issuperset(COMMON_COLUMNS) for found in names)


def _is_last_line_whole(text: TableText, columns: list[str], separator: str) -> bool:
    if columns[-1] == CHECKSUM and len(text.lines) > 1:
        return is_signed(text.lines[-1], text.lines[0])
    return is_last_line_whole(text, columns, separator)


def _parsed(cells: pd.DataFrame, places: Places) -> pd.DataFrame:
    """Return the columns as the types that their names stand for, without the checksums."""
    table = cells.drop(columns=CHECKSUM, errors="ignore")
    parse: dict[str, Callable[..., AnyArray]] = {"radius": parse_radii, "time": parse_times}
    for name, dtype in zip(table.columns, table.dtypes.to_numpy(), strict=True):
        if dtype.kind == "i":
            continue  # an integer column, read as such
        if is_integer_column(name):
            table[name] = parse_integers(table[name].tolist(), name, places)
        elif name in REAL_COLUMNS and name != "radius":
            table[name] = parse_reals(table[name].tolist(), name, places, unknown=True)
        elif name in parse:
            table[name] = parse[name](table[name].tolist(), name, places)
    return table


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
    check_any_rows(table)
    correct = check_integer("correct", table["correct"].to_numpy())
    return correct == 1, check_real("radius", table["radius"].to_numpy())
