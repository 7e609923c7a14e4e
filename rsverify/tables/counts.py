"""Vote counts that come without certificates, as logs of experiments hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from rsverify._core.check import IntArray, check_integer, shown
from rsverify._core.errors import DataError, cause_of
from rsverify._core.optional import need
from rsverify._core.table_text import (
    SEPARATORS,
    TableText,
    is_quoted,
    read_text,
    split_line,
    width_hint,
    without_comments,
)
from rsverify.tables.cells import Places, parse_integer, parse_integers, read_cells
from rsverify.tables.count_columns import (
    check_beside,
    check_rows,
    check_totals,
    columns_of_file,
    find_counts,
    given_columns,
    is_number,
)

__all__ = ["read_counts"]

_CLASSES = "classes"
_THOUSAND = re.compile(r"[1-9][0-9]{0,2}\.000")
_INTEGERS = ("label", "idx")
"""Other columns of a file that are integers by their names."""


def read_counts(
    path: str | os.PathLike[str],
    *,
    label: int | None = None,
    columns: Sequence[str | int] | None = None,
) -> pd.DataFrame:
    r"""Return the vote counts of a file, one row per input.

    Parameters
    ----------
    path : path-like
        UTF-8 text, its fields separated by tabs, commas, semicolons or spaces; a ``.parquet`` file;
        or an array of integers in a ``.npy`` file. Lines that begin with # and come first are
        comments, the last of them a header if it has as many fields. With a header, the counts are
        the columns whose names differ by a number only, from 0 or 1 on without gaps:
        ``count_0, count_1, …`` where there are such, else ``c0, c1, …``, ``0, 1, …`` and the like.
        Without one, all columns of numbers are counts but that of `label`.
    label : int, optional
        Which column of a file without a header is the true class; −1 is the last one.
    columns : sequence of str or int, optional
        Which columns are counts, in the order of the classes: their names, where ``"votes_*"``
        stands for all that match; or their places in a file without a header, where ``"2-11"``
        is a range.

    Returns
    -------
    DataFrame
        Integer columns `count_0`, `count_1`, …, in the order of the classes; before them the
        other columns as text, but for an integer `label` and `idx`. Labels that are all names of
        columns of counts are the classes of these.

    Raises
    ------
    DataError
        If a line has the wrong number of fields or a count that is not a nonnegative integer,
        of which it names file, line and column; a ValueError.
    ValueError
        If the counts of no single set of columns can be meant; or, without a header, if rows add
        up to different numbers of votes and would not without some columns, which then are
        something else.
    ModuleNotFoundError
        For a ``.parquet`` file, if pyarrow is not installed.

    Notes
    -----
    *Guarantee*: none of its own; every row is read, or an error names it. That the votes are
    independent, their number fixed beforehand and the class not chosen by them is for whoever
    certifies them to know: the file does not say.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsverify import certify_table, read_counts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "votes.csv"
    ...     _ = path.write_text("image,label,c0,c1\nimg_0,0,980,20\n")
    ...     votes = read_counts(path)
    >>> votes.to_dict("records")
    [{'image': 'img_0', 'label': 0, 'count_0': 980, 'count_1': 20}]
    >>> certify_table(votes, sigma=0.5, alpha=0.001, y=0, bound="cohen")["radius"].round(4).tolist()
    [0.889]
    """
    given = given_columns(columns)
    ending = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else ""
    if ending in (".parquet", ".pq", ".npy"):
        frame = _read_parquet(path) if ending != ".npy" else _read_array(path)
        if label is not None:
            raise ValueError(f"label={label} is for text without a header; name the column 'label'")
        return counts_of_frame(frame, str(path), given)
    return _counts_of_text(read_text(path), label, given)


def _read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    need("pyarrow", extra="parquet")
    try:
        return pd.read_parquet(path)
    except OSError:
        raise
    except Exception as error:  # pyarrow raises errors of its own
        raise DataError(f"{path} is not a Parquet file ({cause_of(error)})") from error


def _read_array(path: str | os.PathLike[str]) -> pd.DataFrame:
    from rsverify._core.arrays import read_npy

    array = read_npy(Path(path))
    if array.ndim != 2:
        raise DataError(f"{path} of shape {array.shape} must hold one row of counts per input")
    return pd.DataFrame(array)


def _counts_of_text(
    text: TableText, label: int | None, given: Sequence[str] | None
) -> pd.DataFrame:
    if not text.lines:
        raise DataError(f"{text.path} is empty; it must hold vote counts")
    text = _without_comments(text)
    if not text.lines:
        raise DataError(f"{text.path} holds comments only; it must hold vote counts")
    separator = max(SEPARATORS, key=lambda s: text.lines[0].count(s))
    lines = text.lines
    if separator not in lines[0]:
        separator, lines = "\t", ["\t".join(line.split()) for line in lines]
    quoted = is_quoted(lines[0], separator)
    _check_widths(lines, text, separator, quoted=quoted)
    head = [split_line(line, separator, quoted=quoted, place=text.path) for line in lines[:3]]
    found = columns_of_file(head, text.path, label=label, given=given)
    start = int(found.has_header)
    if len(lines) == start:
        raise DataError(f"{text.path} has a header and no rows of counts")
    integers = [*found.counts, *(n for n in _INTEGERS if n in found.names)]
    cells = read_cells(lines[start:], found.names, integers, separator, quoted=quoted)
    places = Places(text.path, text.numbers[start:])
    if any(".000" in line for line in lines[start:]):
        # Read as integers, they would be ones.
        printed = read_cells(lines[start:], found.names, [], separator, quoted=quoted)
        _check_thousands(printed[found.counts], places)
    votes = _parsed(cells[found.counts], places)
    counts = pd.DataFrame(votes, columns=[f"count_{i}" for i in range(len(found.counts))])
    if not found.has_header and label is None and given is None:
        check_totals(votes, found.counts, text.path)
    if found.has_header and given is None:
        check_beside(cells.drop(columns=found.counts), found.counts, votes, text.path)
    totals = votes.sum(axis=1, dtype=np.float64)
    if not totals.all():
        number = places.numbers[int((totals == 0).argmax())]
        raise DataError(f"line {number} of {text.path} has no votes: it must have at least one")
    others = cells.drop(columns=found.counts)
    if not found.has_header and given is None:
        _check_texts(others, places)
    for name in _INTEGERS:
        if name in others:
            texts = [*map(str, others[name])]
            named = _classes_by_name(texts, found.counts) if name == "label" else None
            others[name] = parse_integers(texts, name, places) if named is None else named
    return _with_classes(pd.concat([others, counts], axis=1), found.counts)


def _without_comments(text: TableText) -> TableText:
    """Return the lines without comments before them; the last one may be a header (savetxt's)."""
    first = next((line for line in text.lines if not line.lstrip().startswith("#")), "")

    def is_header(line: str) -> bool:
        # Of a first row, which a header of its own is not.
        return any(
            len(line.split(s)) == len(fields := first.split(s)) > 1
            and any(is_number(field.strip(' "')) for field in fields)
            for s in (*SEPARATORS, None)
        )

    return without_comments(text, is_header)


def _with_classes(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the table with the names of the classes kept in its attributes."""
    table.attrs[_CLASSES] = list(names)
    return table


def classes_of(table: pd.DataFrame, column: str, where: str) -> IntArray:
    """Return the classes in a column of what `counts_of_frame` returns: numbers, or names."""
    named = None
    if not pd.api.types.is_numeric_dtype(table[column]):
        texts = table[column].astype(object).tolist()
        named = _classes_by_name(texts, table.attrs.get(_CLASSES, []))
    return integers_of(table[[column]], where)[:, 0] if named is None else named


def _classes_by_name(labels: Sequence[object], counts: Sequence[str]) -> IntArray | None:
    """Return labels that are names of the columns of counts as classes; None where one is not."""
    place = {name: i for i, name in enumerate(counts)}
    if not all(isinstance(label, str) and label in place for label in labels):
        return None
    return np.array([place[str(label)] for label in labels], dtype=np.int64)


def _parsed(cells: pd.DataFrame, places: Places) -> IntArray:
    """Return counts that were read as integers or as text, or raise naming line and column."""
    if all(dtype.kind == "i" for dtype in cells.dtypes.to_numpy()):
        votes = cells.to_numpy()
        if votes.min(initial=0) >= 0:
            return votes
    columns = [
        parse_integers([*map(str, cells[name])], str(name), places, least=0) for name in cells
    ]
    return np.stack(columns, axis=1)


def _check_thousands(cells: pd.DataFrame, places: Places) -> None:
    """Raise at a cell such as 1.000 where others have no point: it may be a thousand."""
    texts = cells.astype(str).to_numpy()
    pointed = np.char.find(texts.astype(str), ".") >= 0
    if pointed.all():
        return
    for row, column in np.argwhere(pointed):
        if _THOUSAND.fullmatch(text := texts[row, column].strip()):
            name = str(cells.columns[column])
            raise places.error(
                name, int(row), text, "may be a thousand: write counts without a point"
            )


def _check_texts(others: pd.DataFrame, places: Places) -> None:
    """Raise where a column that was not taken for counts holds numbers beside what is none.

    Of a file without a header, whose columns are told by their first cells: one of those may be a
    count that was damaged, and without its column a class would be missing.
    """
    for name in others.columns.difference(["label"], sort=False):
        numbers = np.array([is_number(str(text).strip()) for text in others[name]])
        if numbers.any():
            row = int(numbers.argmin())
            error = places.error(str(name), row, str(others[name].iloc[row]), "is not an integer")
            raise DataError(f"{error}; name the columns of counts by --columns (columns=)")


def _check_widths(lines: list[str], text: TableText, separator: str, *, quoted: bool) -> None:
    """Raise where a line has not as many fields as the first."""

    def fields(number: int, line: str) -> int:
        if quoted and '"' in line:
            place = f"line {number} of {text.path}"
            return len(split_line(line, separator, quoted=True, place=place))
        return line.count(separator) + 1

    wanted = fields(text.numbers[0], lines[0])
    for number, line in zip(text.numbers, lines, strict=True):
        if (width := fields(number, line)) != wanted:
            hint = width_hint(text, number, width, wanted)
            raise DataError(
                f"line {number} of {text.path} has {width} fields; it must have {wanted}{hint}"
            )


def counts_of_frame(
    frame: pd.DataFrame, where: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the counts of a data frame as `read_counts` returns those of a file.

    Nullable integers, and integers that are objects, are integers.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where} has two columns {twice!r}; it must have one")
    frame = frame.set_axis(names, axis=1)
    counted = find_counts(names, where, columns)
    levels = [level for level in frame.index.names if level is not None]
    if levels := [level for level in levels if str(level) not in names]:
        # As grouping and counting leaves them; those without a name number the rows only.
        frame = frame.reset_index(level=levels)
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    others = frame.drop(columns=counted).reset_index(drop=True)
    counts = integers_of(frame[counted], where)
    check_rows(counts, where)
    if columns is None:
        check_beside(others, counted, counts, where)
    votes = pd.DataFrame(counts, columns=[f"count_{i}" for i in range(len(counted))])
    # Of a file that was read before, the names that it had.
    names = frame.attrs.get(_CLASSES, counted)
    table = _with_classes(pd.concat([others, votes], axis=1), names)
    for name in _INTEGERS:
        if name in table:
            table[name] = classes_of(table, name, where)
    return table


def integers_of(frame: pd.DataFrame, where: str) -> IntArray:
    """Return the cells of columns of integers of any type, or raise naming row and column."""
    if all(isinstance(d, np.dtype) and d.kind == "i" for d in frame.dtypes):
        return np.ascontiguousarray(frame.to_numpy(dtype=np.int64))
    return np.stack([_integers(frame[name], where) for name in frame], axis=1)


def _integers(column: pd.Series, where: str) -> IntArray:
    values = column.to_numpy(dtype=object)
    try:
        if column.dtype.kind in "iu" and not column.isna().any():
            return check_integer(str(column.name), column.to_numpy())
    except (TypeError, ValueError):
        pass  # which one it is, is found below
    found = np.zeros(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        number = _integer(value)
        if number is None or not -(2**63) <= number < 2**63:
            label = column.index[row]
            named = "" if isinstance(label, int) and label == row else f" (index {shown(label)})"
            problem = "is missing" if value is pd.NA or value != value else f"is {shown(value)}"
            raise DataError(
                f"column {column.name!r} of {where} must hold integers: row {row}{named} {problem}"
            )
        found[row] = number
    return found


def _integer(value: object) -> int | None:
    """Return a number of any type as an integer, None where it is none."""
    if isinstance(value, bool | np.bool_) or value is pd.NA:
        return None
    if isinstance(value, str):
        return parse_integer(value.strip())
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating | Decimal | Fraction):
        try:
            return int(value) if int(value) == value else None
        except (ValueError, OverflowError):  # NaN and infinity
            return None
    return None
