"""The lines of a table as text: each with a checksum, in the last column.

The checksum of a line follows that of the header, so that a line does not pass under other
columns, and a header that was changed passes with no line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rsverify._core.checksum import checksum
from rsverify._core.errors import DataError

COLUMN = "checksum"
_MOST_DIGITS = 18  # of an idx, that it fits into 64 bits


class Lines(NamedTuple):
    """The complete lines of a table."""

    header: str
    """The first line, without its break; empty where there is none."""
    rows: dict[int, str]
    """The other lines, by their idx, in the order of the file."""
    size: int
    """How many bytes they take; what follows is a part of a line."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns, that of the checksums last."""
        return self.header.split("\t") if self.header else []

    def fields(self, idx: int) -> dict[str, str]:
        """Return the text of each field of a row, by its column."""
        return dict(zip(self.columns, self.rows[idx].split("\t"), strict=True))


def signed(line: str, header: str) -> str:
    """Return a line with its checksum; `line` ends before the last column, `header` after."""
    return f"{line}\t{checksum(line.encode(), header.encode())}"


def is_signed(line: str, header: str) -> bool:
    """Return whether a line has the checksum that it must have under this header."""
    return signed(line.rpartition("\t")[0], header) == line


def text_of(header: str, rows: Iterable[str]) -> bytes:
    """Return the bytes of a table."""
    return ("\n".join([header, *rows]) + "\n").encode()


def check_signed(
    lines: list[str], path: str | os.PathLike[str], numbers: Sequence[int] | None = None
) -> None:
    """Raise where a row does not match its checksum, if there is that column.

    Parameters
    ----------
    lines : list of str
        Header and rows, without line breaks.
    path : path-like
        For the message.
    numbers : sequence of int, optional
        Of each line, its number in the file, where there are others between them.
    """
    if not lines or lines[0].rpartition("\t")[2] != COLUMN:
        return
    places = range(1, len(lines) + 1) if numbers is None else numbers
    for number, line in zip(places[1:], lines[1:], strict=True):
        if not is_signed(line, lines[0]):
            raise DataError(
                f"line {number} of {path} does not match its checksum: it or line 1 is damaged, "
                f"or was edited (then leave out the column {COLUMN!r})"
            )


def complete_lines(path: str | os.PathLike[str]) -> Lines:
    """Return the complete lines of a table, each of them checked.

    Raises
    ------
    ValueError
        If a line is not text, does not match its checksum, or has an idx that is there twice.
        If the lines have no checksums.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return Lines("", {}, 0)
    size = content.rfind(b"\n") + 1
    try:
        lines = content[:size].decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: it is not UTF-8 at byte {error.start}") from None
    if not lines:
        return Lines("", {}, 0)
    if lines[0].split("\t")[-1] != COLUMN:
        raise DataError(
            f"{path} has no column {COLUMN!r} at the end of line 1: it is not a table that can "
            "be resumed, or it is damaged"
        )
    check_signed(lines, path)
    rows: dict[int, str] = {}
    for line in lines[1:]:
        text = line.partition("\t")[0]
        number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        if not number or str(idx := int(text)) != text:
            raise DataError(f"idx={text!r} of {path} must be a nonnegative integer")
        if idx in rows:
            raise DataError(f"{path} has two rows with idx={idx}; it must have one")
        rows[idx] = line
    return Lines(lines[0], rows, size)
