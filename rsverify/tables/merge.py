"""Merging tables: rows of the parts into one, at once or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from rsverify._core.check import shown
from rsverify._core.files import replace_file
from rsverify._core.lock import locked
from rsverify._core.types import Json
from rsverify.tables.answers import check_answers
from rsverify.tables.lines import Lines, complete_lines, text_of
from rsverify.tables.metadata import (
    check_same_configuration,
    check_table_name,
    metadata_path,
    resumable_metadata,
    write_metadata,
)

__all__ = ["merge_tables"]

PathLike = str | os.PathLike[str]


def merge_tables(
    parts: Iterable[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    held: bool = False,
) -> None:
    """Add the rows of `parts` to the table `path`, sorted, at once or not at all.

    Merging what has been merged before changes nothing: a row that is there already is
    dropped if it says the same, its time aside. A new table has the JSON of the first part.

    Parameters
    ----------
    parts : iterable of path-like
        Tables of one configuration, written here.
    path : path-like
        The table that they go to; made where there is none.
    held : bool
        The caller holds the locks of `path` and the parts.

    Raises
    ------
    TypeError
        If `parts` is one path.
    ValueError
        If configurations, models or columns differ, two rows of one index do, or a line does not
        match its checksum. Nothing is written then.
    OSError
        If the table cannot be written, or another process is writing it or a part.

    Notes
    -----
    *Guarantee*: each row is one of the parts', byte for byte, with the guarantee that it has
    there: the checksum of every line is checked, and configurations are equal. Models gave the
    same scores for the same noisy inputs, where their tables keep scores, as those of
    `certify_dataset` do.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsverify import certify_counts, merge_tables, read_table
    >>> from rsverify.tables.writer import TableWriter
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> certificate = certify_counts([90, 10], sigma=0.5, alpha=0.01, y=0)
    >>> for i in (0, 1):
    ...     with TableWriter(folder / f"{i}.tsv", configuration={"seed": 0}) as part:
    ...         part.write(i, 0, certificate)
    >>> merge_tables(folder.glob("?.tsv"), folder / "table.tsv")
    >>> read_table(folder / "table.tsv")["idx"].tolist()
    [0, 1]
    """
    if isinstance(parts, str | bytes | os.PathLike) or not isinstance(parts, Iterable):
        raise TypeError(f"parts={shown(parts)} must be several paths: give a list of them")
    target, sources = check_table_name(path), list(parts)
    if not sources:
        return
    with ExitStack() as locks:
        for each in () if held else (target, *sources):
            locks.enter_context(locked(each))
        first = resumable_metadata(sources[0])
        begun = target.exists() or metadata_path(target).exists()
        for each in (*sources[1:], *([target] if begun else [])):
            check_same_configuration(
                each, first["configuration"], f"to be merged with {os.fspath(sources[0])}"
            )
            _check_same_model(first, sources[0], each)
        header, merged = _union(target, sources)
        if not begun:
            write_metadata(target, first["configuration"], first.get("execution"))
        if header:
            replace_file(target, text_of(header, (merged[i] for i in sorted(merged))))


def _check_same_model(first: Json, begun: PathLike, other: PathLike) -> None:
    """Raise where a part was made with another model, or of other inputs, than the first.

    Neither is in the configuration alone: the hash of a model does not see the code of functions.
    """
    where = f"when {os.fspath(begun)} was begun"
    kept, found = (
        content.get("execution", {}).get("answers")
        for content in (first, resumable_metadata(other))
    )
    if kept is None and found is None:
        return  # of tables that no model was asked for
    if not isinstance(kept, Mapping) or not isinstance(found, Mapping):
        raise ValueError(
            f"{os.fspath(begun if kept is None else other)} keeps no answers of its model, so that "
            "it is not known whether its rows are of the same model: certify it anew"
        )
    try:
        check_answers(kept, found, where, "merge tables of one model only, preprocessing included")
    except ValueError as error:
        raise ValueError(f"{os.fspath(other)} is no part of the same table: {error}") from None


def _union(
    target: str | os.PathLike[str], sources: list[str | os.PathLike[str]]
) -> tuple[str, dict[int, str]]:
    """Return header and rows of all of them."""
    header, merged = "", dict[int, str]()
    for part in (target, *sources):
        lines = complete_lines(part)
        if not lines.rows:
            continue
        if header and lines.header != header:
            raise ValueError(f"columns of {part} must be those of {target}: {header.split()}")
        header = lines.header
        known = Lines(header, merged, 0)
        for idx, line in lines.rows.items():
            if idx in merged and _timeless(known, idx) != _timeless(lines, idx):
                raise ValueError(f"row idx={idx} of {part} differs from the one before it")
            merged.setdefault(idx, line)
    return header, merged


def _timeless(lines: Lines, idx: int) -> dict[str, str]:
    """Return what a row says; its checksum depends on its time too."""
    return lines.fields(idx) | {"time": "", "checksum": ""}
