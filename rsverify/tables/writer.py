"""Writing a table while its rows come in, going on after a stop, and merging parts of it.

What can be on disk at any moment: nothing, a JSON alone, or a JSON and a table of complete
rows after which a part of one more may stand. Each of these can be continued.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from rsverify._core.lock import lock
from rsverify.certificates.certificate import Certificate
from rsverify.tables.reader import read_metadata, replace_text, row_text, table_row, write_metadata

# What a power cut may take with it: rows are on the disk itself at least this often.
_SYNC_SECONDS = 1.0


class TableWriter:
    """Write certificates to a table, each row complete on disk before the next begins.

    Parameters
    ----------
    path : path-like
        The tab-separated file; its JSON takes the same name with the ending ``.json``.
    configuration : mapping
        What the run was asked to do, of JSON types; kept in the JSON file.
    resume : bool
        Continue an existing table: a last line that was cut off is removed, and `done` holds
        the indices that are there already. The configuration must be the one of the file.
    execution : mapping, optional
        How the run does it, of JSON types; kept in the JSON file, and may change on a resume.

    Raises
    ------
    FileExistsError
        If the table exists and `resume` is false.
    ValueError
        If a table is resumed with another configuration, or `path` ends in ``.json``.
    OSError
        If the table cannot be written, or another process is writing it.

    Notes
    -----
    *Guarantee*: a process killed at any time leaves a table that `read_table` reads, with
    every row that `write` has returned from. A full disk leaves the rows before the one that
    did not fit. If the machine itself stops, the rows of the last second may be lost.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsverify import certify_counts
    >>> from rsverify.tables.reader import read_table
    >>> from rsverify.tables.writer import TableWriter
    >>> certificate = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0, bound="cohen")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "table.tsv"
    ...     with TableWriter(path, configuration={"data": "two classes"}) as writer:
    ...         writer.write(0, 0, certificate)
    ...     print(read_table(path)[["idx", "label", "predict", "radius", "count_0"]])
       idx  label  predict   radius  count_0
    0    0      0        0  0.27862      900
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        configuration: Mapping[str, Any],
        resume: bool = False,
        execution: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix == ".json":
            raise ValueError(f"path={str(path)!r} must not end in .json: its JSON goes there")
        if self.path.exists() and not resume:
            raise FileExistsError(f"{self.path} exists already")
        if self.path.exists():
            check_same_configuration(self.path, configuration)
        write_metadata(self.path, configuration, execution)
        self._file: BinaryIO = self.path.open("ab", buffering=0)
        try:
            lock(self._file, self.path)
            self._repair()
        except BaseException:
            self._file.close()
            raise
        self._synced = time.monotonic()

    def _repair(self) -> None:
        """Cut off an incomplete last line, and learn the columns and the indices."""
        complete = self.path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(complete)
        self._size = complete
        header, rows = complete_lines(self.path)
        self._columns = header.split("\t") if complete else None
        self.done: set[int] = set()
        for idx, _ in rows:
            if idx in self.done:
                raise ValueError(f"{self.path} has two rows with idx={idx}; it must have one")
            self.done.add(idx)

    def write(self, idx: int, label: int, certificate: Certificate, **extra: Any) -> None:
        """Write the row of input `idx`, whose true class is `label`, with columns `extra`."""
        row = table_row(idx, label, certificate, **extra)
        text = row_text(row)
        if self._columns is None:
            self._columns = list(row)
            text = "\t".join(self._columns) + "\n" + text
        if list(row) != self._columns:
            raise ValueError(
                f"columns of row {idx} are {list(row)}; they must be {self._columns} as before"
            )
        self._append(text.encode())
        self.done.add(idx)

    def _append(self, data: bytes) -> None:
        """Append all of `data` or nothing: what a kill leaves of it is a prefix, see `_repair`."""
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._file.truncate(self._size)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._size += len(data)

    def sort(self) -> None:
        """Put the rows in the order of their indices, at once or not at all."""
        header, rows = complete_lines(self.path)
        indices = [idx for idx, _ in rows]
        if indices != sorted(indices):
            replace_text(self.path, "\n".join([header, *(line for _, line in sorted(rows))]) + "\n")

    def close(self) -> None:
        """Close the file."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_same_configuration(
    path: str | os.PathLike[str], configuration: Mapping[str, Any]
) -> None:
    """Raise where the table `path` was begun with another configuration, naming what differs."""
    content = read_metadata(path)
    if "configuration" not in content:
        raise ValueError(
            f"{path} has no {Path(path).with_suffix('.json').name} beside it, which says what "
            "its rows are: it cannot be resumed"
        )
    before = content["configuration"]
    # By way of JSON, so that a tuple equals the list that it was stored as.
    now = json.loads(json.dumps(dict(configuration)))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise ValueError(f"{key}={now.get(key)!r} must be {before.get(key)!r} to resume {path}")


def complete_lines(path: str | os.PathLike[str]) -> tuple[str, list[tuple[int, str]]]:
    """Return the header and, with their indices, the complete rows of a table as text."""
    text = Path(path).read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    if not lines:
        return "", []
    header, *rows = lines
    width = header.count("\t")
    for number, line in enumerate(rows, start=2):
        if line.count("\t") != width:
            raise ValueError(
                f"line {number} of {path} has {line.count(chr(9)) + 1} fields; it must have "
                f"{width + 1}"
            )
    return header, [(int(line.partition("\t")[0]), line) for line in rows]


def merge_tables(parts: Iterable[str | os.PathLike[str]], path: str | os.PathLike[str]) -> None:
    """Add the rows of `parts` to the table `path`, sorted, at once or not at all.

    Merging what has been merged before changes nothing: a row that is there already is
    dropped if it says the same, its time aside.

    Raises
    ------
    ValueError
        If the columns differ, or two rows of one index do.
    """
    header, merged = "", dict[int, str]()
    for part in (path, *parts):
        columns, rows = complete_lines(part) if Path(part).exists() else ("", [])
        if columns and header and columns != header:
            raise ValueError(f"columns of {part} must be those of {path}: {header.split()}")
        header = header or columns
        for idx, line in rows:
            if _timeless(header, merged.setdefault(idx, line)) != _timeless(header, line):
                raise ValueError(f"row idx={idx} of {part} differs from the one before it")
    if header:
        rows_text = (line for _, line in sorted(merged.items()))
        replace_text(Path(path), "\n".join([header, *rows_text]) + "\n")


def _timeless(header: str, line: str) -> list[str]:
    fields = line.split("\t")
    fields[header.split("\t").index("time")] = ""
    return fields
