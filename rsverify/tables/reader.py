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
_REAL = {"radius", "alpha", "sigma", "margin", "lipschitz", "target_radius", "noise_excess"}
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
        fields or a field that is no number.

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
    _check_columns(columns, str(path))
    rows = [line.split("\t") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise ValueError(
                f"line {number} of {path} has {len(row)} fields; it must have {len(columns)}"
            )
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
        except ValueError as error:
            raise ValueError(f"column {name!r} of {path} must hold numbers: {error}") from None
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
    if len(table) == 0:
        raise ValueError("table has no rows; it must have at least one")
    correct = check_integer("correct", table["correct"].to_numpy())
    return correct == 1, check_real("radius", table["radius"].to_numpy())
