"""Certification tables: one row an input, written as it is certified, read back and summed up.

A table is a tab-separated file. Its first six columns are those of the files that published
certificates come in, so that existing tools read it; the vote counts and everything else
that produced a row follow. A JSON file beside it holds the configuration and the versions.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, check_integer, check_real
from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.certificates.early import EarlyCertificate
from rsverify.certificates.radius import round_down_digits
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
from rsverify.tables.printed import RadiusFormat
from rsverify.tables.text import is_quoted, read_text, separator_of, split_line

COMMON_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
"""The columns of published certificates; `time` is in seconds, or h:mm:ss."""
ORIGIN_COLUMNS = (
    "status",
    "y",
    "n",
    "n0",
    "alpha",
    "bound",
    "ordering",
    "radius_kind",
    "lipschitz",
    "sigma",
    "margin",
    "seed",
)
"""What produced a row, before its vote counts `count_0`, …, and `selected_0`, …

Discrete noise adds `noise_excess`, the part of alpha that pays for it; an early certificate
`target_radius` and `decision`; a data set `base_predict`, what the model says without noise,
and `input`, a hash.
"""

_FORMAT = 1
# Enough that rounding down costs nothing that matters, short enough to read.
_RADIUS_DECIMALS = 6
_VERSIONED = ("rsverify", "numpy", "scipy", "numba", "torch")


class TruncatedTableWarning(UserWarning):
    """The last line of a table was cut off, and dropped."""


def count_columns(table: pd.DataFrame, prefix: str = "count_") -> list[str]:
    """Return the names of the vote count columns of `table`, in the order of the classes."""
    present = {name for name in table.columns if name.startswith(prefix)}
    ordered = [f"{prefix}{i}" for i in range(len(present))]
    if present != set(ordered):
        raise ValueError(f"columns {sorted(present)} must be {prefix}0, {prefix}1, … without gaps")
    return ordered


def table_row(idx: int, label: int, certificate: Certificate, **extra: Any) -> dict[str, Any]:
    """Return the row of `certificate`, column name to value.

    `label` is the true class, −1 where it is not known: the row then counts as not correct.
    Columns named by `extra` go before the vote counts.
    """
    c = certificate
    row: dict[str, Any] = {
        "idx": idx,
        "label": label,
        "predict": c.prediction,
        "radius": c.radius,
        "correct": int(c.prediction == label != ABSTAIN),
        "time": math.nan if c.seconds is None else c.seconds,
        "status": str(c.status),
        "y": c.y,
        "n": c.n,
        "n0": c.n0,
        "alpha": c.alpha,
        "bound": c.bound,
        "ordering": c.ordering,
        "radius_kind": c.radius_kind,
        "lipschitz": c.lipschitz,
        "sigma": c.sigma,
        "margin": c.margin,
        "seed": ",".join(map(str, c.seed)) if isinstance(c.seed, tuple) else c.seed,
    }
    if c.noise_excess:
        row["noise_excess"] = c.noise_excess
    if isinstance(c, EarlyCertificate):
        row |= {"target_radius": c.target_radius, "decision": c.decision}
    row |= extra
    row |= {f"count_{i}": k for i, k in enumerate(c.counts)}
    row |= {f"selected_{i}": k for i, k in enumerate(c.selection_counts or ())}
    return row


def row_text(row: Mapping[str, Any]) -> str:
    """Return one line of a table, with its line break."""
    return "\t".join(_field(k, v) for k, v in row.items()) + "\n"


def _field(column: str, value: Any) -> str:
    """Return the text of one value: a radius is rounded down, an unknown value is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if column == "radius":
        return _rounded_down(float(value))
    if column == "time":
        return f"{float(value):.3f}"
    text = repr(float(value)) if isinstance(value, float) else str(value)
    if "\t" in text or "\n" in text:
        raise ValueError(f"{column}={value!r} must hold neither tabs nor line breaks")
    return text


def _rounded_down(radius: float) -> str:
    """Return `radius` with six decimals, such that what is read back is not above it.

    A radius that was read from six decimals keeps them: its binary value may be a little
    below, and rounding that down would take another 1e-6 off with each copy of a table.
    """
    text = f"{radius:.{_RADIUS_DECIMALS}f}"
    return text if float(text) <= radius else round_down_digits(radius, _RADIUS_DECIMALS)


def write_table(
    table: pd.DataFrame, path: str | os.PathLike[str], *, configuration: Mapping[str, Any]
) -> None:
    """Write a whole table and its JSON, each replacing an older file at once or not at all.

    Parameters
    ----------
    table : DataFrame
        With at least the six common columns; radii are rounded down to six decimals.
    path : path-like
        The tab-separated file.
    configuration : mapping
        What produced the table, of JSON types.

    Raises
    ------
    ValueError
        If a common column is missing.
    """
    _check_columns(list(table.columns), str(path))
    rows = ("\t".join(map(_field, table.columns, row)) for row in table.itertuples(index=False))
    write_metadata(path, configuration)
    replace_text(Path(path), "\n".join(["\t".join(table.columns), *rows]) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write `text` beside `path` and move it there, so that no reader sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # before the move, or a power cut could leave an empty file
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    partial.replace(path)


def write_metadata(
    path: str | os.PathLike[str],
    configuration: Mapping[str, Any],
    execution: Mapping[str, Any] | None = None,
) -> None:
    """Write the JSON beside the table `path`: format, configuration and versions.

    The configuration decides what a row says; `execution` is how the rows were computed, and
    may change when a table is continued.
    """
    content = {"format": _FORMAT, "configuration": dict(configuration), "versions": _versions()}
    if execution is not None:
        content["execution"] = dict(execution)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    replace_text(Path(path).with_suffix(".json"), text + "\n")


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # torch is optional
    return versions


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON beside the table `path`, empty where there is none."""
    beside = Path(path).with_suffix(".json")
    if not beside.exists():
        return {}
    content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    return content


def _check_columns(columns: list[str], path: str) -> None:
    missing = [name for name in COMMON_COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it must have {COMMON_COLUMNS}")


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the rows of a table, one an input.

    Parameters
    ----------
    path : path-like
        A file written here, or one that has the six common columns: UTF-8 text, perhaps with a
        byte-order mark, blank lines and any line breaks. The fields are separated by tabs; by
        commas or semicolons if its first line says so, and may then be quoted.

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
        number of fields or a field that is not a number, of which it names line and column.

    Warns
    -----
    TruncatedTableWarning
        If the last line does not end in a line break, and may not be whole: its writer was
        stopped, and what it holds may be a part of a number. The line is dropped.
    """
    text = read_text(path)
    header = text.lines[0] if text.lines else ""
    separator = separator_of(header, COMMON_COLUMNS, str(path))
    quoted = is_quoted(header, separator)
    columns = split_line(header, separator, quoted=quoted, place=f"line 1 of {path}")
    if not text.is_ended and not is_last_line_whole(text, columns, separator):
        text = text.without_last()
        warnings.warn(
            f"the last line of {path} was cut off and is dropped",
            TruncatedTableWarning,
            stacklevel=2,
        )
    check_widths(text, columns, separator)
    cells = read_cells(text, columns, separator)
    places = Places(str(path), text.numbers[1:])
    radii = cells["radius"].tolist()
    table = pd.DataFrame({name: _parsed(name, cells[name], places) for name in columns})
    positive = np.isfinite(table["radius"]) & (table["radius"] > 0)
    shown = RadiusFormat.of_texts(t for t, p in zip(radii, positive, strict=True) if p)
    table.attrs.update(shown.to_attributes())
    return table


def _parsed(name: str, cells: pd.Series, places: Places) -> pd.Series:
    """Return a column as the type that its name stands for."""
    if is_integer_column(name):
        if pd.api.types.is_integer_dtype(cells):
            return cells
        return pd.Series(parse_integers(cells.tolist(), name, places))
    if name == "radius":
        return pd.Series(parse_radii(cells.tolist(), name, places))
    if name in REAL_COLUMNS:
        return pd.Series(parse_reals(cells.tolist(), name, places, unknown=True))
    if name == "time":
        return pd.Series(parse_times(cells.tolist(), name, places))
    return cells


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
