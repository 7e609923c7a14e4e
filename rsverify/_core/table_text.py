"""The text of a table file: its encoding, its lines, and what separates their fields.

Tables come from many tools. What can be read without a guess is read; anything else is an
error that names the file and the line.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rsverify._core.check import shown
from rsverify._core.errors import DataError

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}
"""What may separate the fields of a line, and its name."""

_OTHER_FILES = {
    b"\x1f\x8b": "compressed by gzip: decompress it",
    b"PK\x03\x04": "a zip archive or a spreadsheet: save it as .csv",
    b"PAR1": "a Parquet file: give it the ending .parquet (vote counts), or save it as .csv",
    b"\x93NUMPY": "an array of numpy: give it the ending .npy",
    b"ARROW1": "a Feather file: save it as .parquet or .csv",
    b"\x89HDF": "an HDF5 file: save it as .parquet or .csv",
    b"\x80": "a pickle, which is not read: save it as .parquet or .csv",
    b"[": "JSON, or a list as Python prints it: save it as .csv",
    b"{": "JSON: give the table that it belongs to, or save it as .csv",
}
_SEP_LINE = re.compile(r'"?sep=[\t,;|]"?', re.I)
"""The first line by which a file tells Excel what separates its fields."""
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


@dataclass(frozen=True)
class TableText:
    """The lines of a file that hold something."""

    path: str
    lines: list[str]
    """Without their line breaks and without blank lines."""
    numbers: list[int]
    """Of each of `lines`, its number in the file, from 1."""
    is_ended: bool
    """Whether the last of `lines` ends in a line break."""

    def without_last(self) -> TableText:
        """Return all lines but the last."""
        return TableText(self.path, self.lines[:-1], self.numbers[:-1], is_ended=True)


def read_text(path: str | os.PathLike[str]) -> TableText:
    """Return the lines of a file.

    Raises
    ------
    DataError
        If the file is not UTF-8 text; a byte-order mark is allowed.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path={shown(path)} must be a str or a pathlib.Path")
    content = Path(path).read_bytes()
    for begin, what in _OTHER_FILES.items():
        if content.startswith(begin):
            raise DataError(f"{path} is {what}")
    if content.startswith(_UTF_16_OR_32):
        raise DataError(f"{path} is encoded as UTF-16 or UTF-32: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            # The writer was stopped within a character: what is left of its line is cut off.
            return _lines(str(path), content[: error.start].decode("utf-8-sig"))
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} of {path} is not UTF-8 (byte 0x{content[error.start]:02x}): save the "
            "file as UTF-8"
        ) from None
    return _lines(str(path), text)


def _lines(path: str, text: str) -> TableText:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"line {line} of {path} holds a NUL character: it is not UTF-8 text")
    if "\r" in text:
        text = re.sub(r"\r+\n", "\n", text)
        # Where no line ends in \n, a carriage return ends it.
        text = text if "\n" in text else text.replace("\r", "\n")
    numbered = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if not _blank(line)]
    if numbered and _SEP_LINE.fullmatch(numbered[0][1].strip(" ")):
        numbered = numbered[1:]
    return TableText(
        path=path,
        lines=[line for _, line in numbered],
        numbers=[i for i, _ in numbered],
        is_ended=not numbered or numbered[-1][0] <= text.count("\n"),
    )


def without_comments(text: TableText, is_header: Callable[[str], bool]) -> TableText:
    """Return the lines without those before them that begin with #.

    The last of these is the header if `is_header` says so, as ``numpy.savetxt`` writes one.
    """
    begin = next((i for i, s in enumerate(text.lines) if not s.lstrip().startswith("#")), None)
    if begin is None:
        begin = len(text.lines)
    if begin == 0:
        return text
    last = text.lines[begin - 1].lstrip().lstrip("#").strip()
    kept = int(is_header(last))
    lines = [last] * kept + text.lines[begin:]
    return replace(text, lines=lines, numbers=text.numbers[begin - kept :])


def width_hint(text: TableText, number: int, fields: int, header: int) -> str:
    """Return what the error of a first row with a field more than the header adds.

    R writes the names of rows without one of their column.
    """
    first = number == text.numbers[1] and fields == header + 1
    if not first or text.lines[1].rstrip(" ").endswith(tuple(SEPARATORS)):
        return ""
    return " (names of rows, as R writes them, need one: write with row.names=FALSE)"


def _blank(line: str) -> bool:
    # A spreadsheet writes the separators of an empty row.
    return not line.strip(" \t,;|\r")


def separator_of(header: str, columns: Sequence[str], path: str) -> str:
    """Return what separates the fields of a header that holds `columns`.

    Raises
    ------
    DataError
        If no separator of `SEPARATORS` gives all of the columns.
    """
    found = {s: {name.strip(' "') for name in header.split(s)} for s in SEPARATORS}
    for separator, names in found.items():
        if names.issuperset(columns):
            return separator
    if {name.strip('"') for name in header.split()} >= set(columns):
        raise DataError(f"{path} is separated by spaces: it must be separated by tabs or commas")
    best = max(found, key=lambda s: len(found[s].intersection(columns)))
    missing = next(name for name in columns if name not in found[best])
    kind = "" if best == "\t" else f" (separated by {SEPARATORS[best]})"
    raise DataError(
        f"{path}{kind} has no column {missing!r}; it must have {tuple(columns)} "
        "(vote counts alone are read by rsverify certify-counts, or read_counts)"
    )


def is_quoted(header: str, separator: str) -> bool:
    """Return whether quotes enclose fields; in tables separated by tabs they are mostly text."""
    return separator != "\t" or header.lstrip().startswith('"')


def split_line(line: str, separator: str, *, quoted: bool, place: str) -> list[str]:
    """Return the fields of a line, without spaces around them.

    `place` names the line in an error.
    """
    if not quoted or '"' not in line:
        return [field.strip() for field in line.split(separator)]
    try:
        (fields,) = csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True)
    except csv.Error as error:
        raise DataError(f"{place} has a quote in the wrong place: {error}") from None
    return [field.strip() for field in fields]
