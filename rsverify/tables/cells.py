"""The cells of a table: text to numbers, with the place of what is not one.

Every function returns all values or raises an error that names file, column and line.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.errors import DataError
from rsverify._core.table_text import SEPARATORS, TableText, is_quoted, split_line, width_hint

INTEGER_COLUMNS = frozenset(
    {
        "idx",
        "label",
        "predict",
        "correct",
        "base_predict",
        "position",
        "population",
        "y",
        "n",
        "n0",
        "alpha_shares",
        "precise",
    }
)
"""The columns of integers, beside `count_0`, …, and `selected_0`, …"""
REAL_COLUMNS = frozenset(
    {
        *("radius", "alpha", "sigma", "margin", "lipschitz", "target_radius", "radius_upper"),
        "noise_excess",
    }
)
"""The columns of real numbers; all but the radius may be unknown."""

_REAL = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.I
)
_TIME = re.compile(
    r"(?:(?P<days>-?[0-9]+) days?,? +\+?)?(?:(?P<hours>[0-9]+):)?"
    r"(?P<minutes>[0-9]+):(?P<seconds>[0-5][0-9](?:\.[0-9]*)?)"
)
_UNKNOWN = frozenset({"", "nan", "nat", "na", "<na>", "none", "null", "missing"})
"""How tools print what is not known, in lower case."""
_TRUTH = {"True": "1", "False": "0", "TRUE": "1", "FALSE": "0"}


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand in its file."""

    path: str
    numbers: Sequence[int]
    """The line of each row, from 1."""
    separator: str = "\t"

    def error(self, column: str, row: int, text: str, problem: str) -> DataError:
        """Return the error of a cell."""
        return DataError(
            f"column {column!r} of {self.path} must hold numbers: line {self.numbers[row]} has "
            f"{text!r}, which {problem}{_hint(text)}"
        )


def _hint(text: str) -> str:
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text):
        return "; a decimal point must be a point, and thousands are not separated"
    return ""


def is_integer_column(name: str) -> bool:
    """Return whether a column of this name holds integers."""
    return name in INTEGER_COLUMNS or name.startswith(("count_", "selected_"))


def check_widths(text: TableText, columns: Sequence[str], separator: str) -> None:
    """Raise where a line has not one field for each column, or two columns have one name."""
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise DataError(f"{text.path} has two columns {twice[0]!r}; it must have one")
    kind = "" if separator == "\t" else f" (separated by {SEPARATORS[separator]})"
    quoted = is_quoted(text.lines[0], separator)
    for number, line in zip(text.numbers[1:], text.lines[1:], strict=True):
        if quoted and '"' in line:
            place = f"line {number} of {text.path}"
            fields = len(split_line(line, separator, quoted=True, place=place))
        else:
            fields = line.count(separator) + 1
        if fields != len(columns):
            hint = width_hint(text, number, fields, len(columns))
            raise DataError(
                f"line {number} of {text.path}{kind} has {fields} fields; it must have "
                f"{len(columns)}{hint}"
            )


def read_cells(
    lines: Sequence[str],
    columns: Sequence[str],
    integers: Collection[str],
    separator: str,
    *,
    quoted: bool,
) -> pd.DataFrame:
    """Return the cells of lines whose widths are right: `integers` as such, others as text.

    Where a cell of them is none, some or all are text: `parse_integers` tells which it is.
    """

    def read(types: dict[str, type]) -> pd.DataFrame:
        # As bytes: text would take four of them for each character.
        body = io.BytesIO("\n".join(lines).encode())
        return pd.read_csv(
            body,
            sep=separator,
            header=None,
            names=list(columns),
            dtype=types,
            na_filter=False,
            index_col=False,
            lineterminator="\n",
            skip_blank_lines=False,
            skipinitialspace=separator != "\t",
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )

    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    kinds: dict[str, type] = dict.fromkeys(columns, object)
    votes = [name for name in integers if name.startswith(("count_", "selected_"))]
    for whole in (integers, votes):
        try:
            return read(kinds | dict.fromkeys(whole, np.int64))
        except (ValueError, OverflowError):
            continue  # True and False in `correct`, say, are no reason to read all as text
    return read(kinds)


def parse_integers(
    texts: Sequence[str], column: str, places: Places, *, least: int = -(2**63)
) -> IntArray:
    """Return the integers of a column, `least` or more; one may be written as 3.0."""
    # Integers beyond 64 bits are no texts in pandas 2.1, whatever is asked of it.
    values = [_TRUTH.get(t, t) if column == "correct" else str(t) for t in texts]
    parsed = np.zeros(len(values), dtype=np.int64)
    for row, text in enumerate(values):
        value = parse_integer(text.strip())
        if value is None:
            raise places.error(column, row, text, "is not an integer")
        if not least <= value < 2**63:
            raise places.error(
                column, row, text, "is too small" if value < least else "is too large"
            )
        parsed[row] = value
    return parsed


def parse_integer(text: str) -> int | None:
    """Return the integer that a text says, None where it is none; 3.0 is 3."""
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text) if len(text) <= 20 else 2**63
    if not _REAL.fullmatch(text):
        return None
    value = float(text)
    return int(value) if value.is_integer() else None


def parse_reals(
    texts: Sequence[str], column: str, places: Places, *, unknown: bool = False
) -> FloatArray:
    """Return the real numbers of a column; where `unknown` is allowed, NaN for an empty cell."""
    return _parse(texts, column, places, lambda text: _real(text, unknown=unknown))


def _real(text: str, *, unknown: bool) -> float | None:
    if unknown and text.lower() in _UNKNOWN:
        return math.nan
    return float(text) if _REAL.fullmatch(text) else None


def parse_radii(texts: Sequence[str], column: str, places: Places) -> FloatArray:
    """Return the radii of a column: not negative, perhaps infinite."""
    radii = parse_reals(texts, column, places)
    bad = ~(radii >= 0)
    if bad.any():
        row = int(bad.argmax())
        raise places.error(column, row, texts[row], "must not be negative or NaN")
    return radii


def parse_times(texts: Sequence[str], column: str, places: Places) -> FloatArray:
    """Return times in seconds: 13.7, m:ss, h:mm:ss, h:mm:ss.ffffff or 1 day, h:mm:ss."""
    return _parse(texts, column, places, seconds)


def seconds(text: str) -> float | None:
    """Return a time in seconds, NaN for an empty one, None where it is not one.

    Examples
    --------
    >>> from rsverify.tables.cells import seconds
    >>> seconds("16.6"), seconds("1:02"), seconds("0:00:13.5"), seconds("1 day, 0:00:01")
    (16.6, 62.0, 13.5, 86401.0)
    """
    if text.lower() in _UNKNOWN:
        return math.nan
    if _REAL.fullmatch(text):
        return float(text) if math.isfinite(float(text)) else None
    found = _TIME.fullmatch(text)
    if found is None or (found["hours"] and not int(found["minutes"]) < 60):
        return None
    minutes = 60 * (24 * int(found["days"] or 0) + int(found["hours"] or 0))
    return 60.0 * (minutes + int(found["minutes"])) + float(found["seconds"])


def _parse(
    texts: Sequence[str],
    column: str,
    places: Places,
    convert: Callable[[str], float | None],
) -> npt.NDArray[np.float64]:
    parsed = np.zeros(len(texts), dtype=np.float64)
    for row, text in enumerate(texts):
        value = convert(text.strip())
        if value is None:
            raise places.error(column, row, text, "is not a number")
        parsed[row] = value
    return parsed


def is_last_line_whole(text: TableText, columns: Sequence[str], separator: str) -> bool:
    """Return whether a last line without a line break holds all of its row.

    A writer that is stopped leaves a part of a line, which may end in a part of a number. Of a
    table with votes they add up to their number. Of others, a line that lacks nothing but
    digits of its time lacks nothing that matters.
    """
    if len(text.lines) < 2:
        return True
    quoted = is_quoted(text.lines[0], separator)
    try:
        fields = split_line(text.lines[-1], separator, quoted=quoted, place="")
    except ValueError:  # a quote without its end
        return False
    if len(fields) != len(columns):
        return False
    row = dict(zip(columns, fields, strict=True))
    last = columns[-1]
    if "status" in row and "n" in row:
        return last.startswith(("count_", "selected_")) and all(
            _votes(row, prefix) == parse_integer(row[total])
            for prefix, total in (("count_", "n"), ("selected_", "n0"))
            if last.startswith(prefix) or prefix == "count_"
        )
    if last == "time":
        return seconds(fields[-1]) is not None
    return last == "correct" or not (is_integer_column(last) or last in REAL_COLUMNS)


def _votes(row: dict[str, str], prefix: str) -> int | None:
    """Return the sum of the votes of a row, None where one is not a number."""
    votes = [parse_integer(text) for name, text in row.items() if name.startswith(prefix)]
    return None if None in votes else sum(v for v in votes if v is not None)
