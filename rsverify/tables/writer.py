"""Writing tables: row by row while they come in, going on after a stop, or as a whole.

What can be on disk at any moment: nothing, a JSON alone, or a JSON and a table of complete
rows after which a part of one more may stand. Each of these can be continued.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import pandas as pd

from rsverify._core.files import GrowingFile, remove_file, replace_file
from rsverify._core.lock import locked
from rsverify.certificates.certificate import Certificate
from rsverify.tables.lines import COLUMN, complete_lines, signed, text_of
from rsverify.tables.merge import merge_tables as merge_tables
from rsverify.tables.metadata import (
    check_same_configuration,
    check_table_free,
    check_table_name,
    metadata_path,
    write_metadata,
)
from rsverify.tables.schema import check_columns, row_fields, rows_of_fields, table_row

__all__ = ["TableWriter", "sort_table", "write_table"]


class TableWriter:
    """Write certificates to a table, each row complete on disk before the next begins.

    Parameters
    ----------
    path : str or os.PathLike
        The tab-separated file; its JSON goes where `metadata_path` says.
    configuration : mapping
        What the run was asked to do, of JSON types; kept in the JSON file.
    resume : bool
        Continue an existing table: a last line that was cut off is removed, and `done` holds
        the indices that are there already. The configuration must be the one of the file.
    execution : mapping, optional
        How the run does it, of JSON types; kept in the JSON file of a new table.
    held : bool
        The caller holds the lock of `path`. Else the writer takes it, until it is closed.

    Raises
    ------
    FileExistsError
        If the table or its JSON exists and `resume` is false.
    ValueError
        If a table is resumed with another configuration, or a line or the JSON of it does not
        match its checksum; if `path` ends in ``.json`` or is the name of a shard.
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
        configuration: Mapping[str, object],
        resume: bool = False,
        execution: Mapping[str, object] | None = None,
        held: bool = False,
    ) -> None:
        self.path = check_table_name(path)
        self._lock = contextlib.ExitStack()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not held:
            self._lock.enter_context(locked(self.path))
        try:
            if not resume:
                check_table_free(self.path)
            begun = self.path.exists() or metadata_path(self.path).exists()
            if begun:
                check_same_configuration(self.path, configuration)
            there = complete_lines(self.path)
            if not begun:
                write_metadata(self.path, configuration, execution)
            # A header alone is begun again: no row vouches for it.
            self._file = GrowingFile(self.path, there.size if there.rows else 0)
        except BaseException:
            self._lock.close()
            raise
        self._header = there.header if there.rows else None
        self.done = set(there.rows)

    def write(self, idx: int, label: int, certificate: Certificate, **extra: object) -> None:
        """Write the row of input `idx`, whose true class is `label`, with columns `extra`.

        Raises
        ------
        ValueError
            If the row is there already, or its columns are not those of the rows before.
        OSError
            If the table cannot be written, or another program has changed or moved it.
        """
        if idx in self.done:
            raise ValueError(f"idx={idx} is in {self.path} already")
        fields = row_fields(table_row(idx, label, certificate, **extra))
        header = "\t".join([*fields, COLUMN])
        if header != (self._header or header):
            raise ValueError(
                f"columns of row {idx} are {header.split()}; they must be "
                f"{(self._header or '').split()} as before"
            )
        line = signed("\t".join(fields.values()), header) + "\n"
        self._file.append((line if self._header else header + "\n" + line).encode())
        self._header = header
        self.done.add(idx)

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        finally:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sort_table(path: str | os.PathLike[str]) -> None:
    """Put the rows of a table in the order of their indices, at once or not at all.

    The caller holds the lock of `path`.
    """
    lines = complete_lines(path)
    if list(lines.rows) != sorted(lines.rows):
        replace_file(path, text_of(lines.header, (lines.rows[i] for i in sorted(lines.rows))))


def write_table(
    table: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    configuration: Mapping[str, object],
    force: bool = False,
) -> None:
    """Write a whole table and its JSON, each at once or not at all.

    Parameters
    ----------
    table : DataFrame
        With at least the six common columns; radii are rounded down to six decimals. A
        column `checksum` is made anew.
    path : str or os.PathLike
        The tab-separated file.
    configuration : mapping
        What produced the table, of JSON types.
    force : bool
        Replace a table or JSON that is there.

    Raises
    ------
    FileExistsError
        If the table or its JSON exists and `force` is false.
    ValueError
        If a common column is missing, or `path` does not name a table.
    OSError
        If the table cannot be written, or another process is writing it.
    """
    place = check_table_free(path, force=force)
    table = table.drop(columns=COLUMN, errors="ignore")
    check_columns(list(table.columns), place)
    header = "\t".join([*table.columns, COLUMN])
    rows = [signed(row, header) for row in rows_of_fields(table)]
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place):
        check_table_free(place, force=force)
        # In this order no table stands beside a JSON that says something else about it.
        remove_file(metadata_path(place))
        replace_file(place, text_of(header, rows))
        write_metadata(place, configuration)
