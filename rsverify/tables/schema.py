"""What a table consists of: its columns, and the text of a row.

A table is a tab-separated file, one row an input. Its first six columns are those of the files
that published certificates come in, so that existing tools read it; the vote counts and
everything else that produced a row follow. Of a table written here, the last column is a
checksum of its line.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rsverify._core.errors import DataError
from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.certificates.early import EarlyCertificate
from rsverify.certificates.interval import IntervalCertificate
from rsverify.certificates.radius import round_down_digits
from rsverify.certificates.several import RadiiCertificate
from rsverify.tables.threats import threat_fields

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

Discrete noise adds `noise_excess`, the part of alpha that pays for it; a class that was chosen by
the votes that certify it `alpha_shares`, the classes that share alpha; an early certificate
`target_radius` and `decision`, of several targets `decision_0.25` and so on, with a precision
`radius_upper` and `precise`; a data set `base_predict`, what the model says without noise,
and `input`, a hash. Of a run in random order `position`, from 1, and `population`, of how many.
"""

# Enough that rounding down costs nothing that matters, short enough to read.
_RADIUS_DECIMALS = 6
# Enough that the work on a part of a table is not that of making the part.
_ROWS_AT_ONCE = 1024


def check_columns(columns: list[str], path: str | os.PathLike[str]) -> None:
    """Raise where a common column is missing, naming the file."""
    missing = [name for name in COMMON_COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it must have {COMMON_COLUMNS}")


def check_cells(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Raise where a number is out of the range of its column, naming the file and the row.

    An unknown number, NaN, is in the range of a column of reals.
    """
    votes = [name for name in table.columns if name.startswith(("count_", "selected_"))]
    negative = bool(votes) and table[votes].to_numpy().min(initial=0) < 0
    for name in table.columns if negative else table.columns.difference(votes, sort=False):
        if name in ("sigma", "lipschitz", "target_radius"):
            valid, wanted = (table[name] > 0) & np.isfinite(table[name]), "positive and finite"
        elif name == "alpha":
            valid, wanted = (table[name] > 0) & (table[name] < 1), "in (0, 1)"
        elif name == "correct":
            valid, wanted = table[name].isin([0, 1]), "0 or 1"
        elif name == "alpha_shares":
            valid, wanted = table[name] >= 1, "at least 1"
        elif name in ("n", "n0") or name in votes:
            valid, wanted = table[name] >= 0, "nonnegative"
        else:
            continue
        bad = ~(valid | table[name].isna())
        if bad.any():
            value, idx = table.loc[bad, name].iloc[0], table.loc[bad, "idx"].iloc[0]
            raise DataError(f"{name}={value} of idx={idx} in {path} must be {wanted}")


def count_columns(table: pd.DataFrame, prefix: str = "count_") -> list[str]:
    """Return the names of the vote count columns of `table`, in the order of the classes."""
    present = {name for name in table.columns if name.startswith(prefix)}
    ordered = [f"{prefix}{i}" for i in range(len(present))]
    if present != set(ordered):
        raise ValueError(f"columns {sorted(present)} must be {prefix}0, {prefix}1, … without gaps")
    return ordered


def table_row(idx: int, label: int, certificate: Certificate, **extra: object) -> dict[str, object]:
    """Return the row of `certificate`, column name to value.

    `label` is the true class, −1 where it is not known: the row then counts as not correct.
    Columns named by `extra` go before the vote counts.
    """
    c = certificate
    row: dict[str, object] = {
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
    row |= threat_fields(c)
    if isinstance(c, EarlyCertificate):
        row |= {"target_radius": c.target_radius, "decision": c.decision}
    elif isinstance(c, RadiiCertificate):
        row |= {
            f"decision_{radius!r}": answer
            for radius, answer in zip(c.target_radii, c.decisions, strict=True)
        }
    elif isinstance(c, IntervalCertificate):
        row |= {"radius_upper": c.radius_upper, "precise": int(c.precise)}
    row |= extra
    row |= {f"count_{i}": k for i, k in enumerate(c.counts)}
    row |= {f"selected_{i}": k for i, k in enumerate(c.selection_counts or ())}
    return row


def row_fields(row: Mapping[str, object]) -> dict[str, str]:
    """Return the text of each field of a row, by its column."""
    return {column: field(column, value) for column, value in row.items()}


def rows_of_fields(table: pd.DataFrame) -> Iterator[str]:
    """Yield the text of each row, its fields as `field` has them, separated by tabs."""
    # Integers, as most columns are, are all written alike; any other column is one of its own.
    kinds = [
        dtype.str if isinstance(dtype, np.dtype) and dtype.kind in "iu" else i
        for i, dtype in enumerate(table.dtypes)
    ]
    for begin in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[begin : begin + _ROWS_AT_ONCE]
        texts, place = [], 0
        for kind, group in itertools.groupby(kinds):
            width = len(list(group))
            cells = part.iloc[:, place : place + width]
            if isinstance(kind, str):
                texts.append(["\t".join(map(repr, row)) for row in cells.to_numpy().tolist()])
            else:
                name = str(cells.columns[0])
                texts.append([field(name, value) for value in cells.iloc[:, 0].tolist()])
            place += width
        yield from map("\t".join, zip(*texts, strict=True))


def field(column: str, value: Any) -> str:
    """Return the text of one value: a radius is rounded down, an unknown value is empty."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if column == "radius":
        return _rounded_down(float(value))
    if column == "time":
        return f"{float(value):.3f}"
    text = repr(float(value)) if isinstance(value, float) else str(value)
    if "\t" in text or text.splitlines() not in ([], [text]):
        raise ValueError(f"{column}={value!r} must hold neither tabs nor line breaks")
    return text


def _rounded_down(radius: float) -> str:
    """Return `radius` with six decimals, such that what is read back is not above it.

    A radius that was read from six decimals keeps them: its binary value may be a little
    below, and rounding that down would take another 1e-6 off with each copy of a table.
    """
    text = f"{radius:.{_RADIUS_DECIMALS}f}"
    return text if float(text) <= radius else round_down_digits(radius, _RADIUS_DECIMALS)
