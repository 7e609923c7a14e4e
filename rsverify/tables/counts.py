"""Reading vote counts that come without certificates, as logs of experiments hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from rsverify.tables.cells import Places, parse_integers
from rsverify.tables.text import SEPARATORS, TableText, is_quoted, read_text, split_line

__all__ = ["read_counts"]

_NUMBERED = re.compile(r"(.*?)([0-9]+)")


def read_counts(path: str | os.PathLike[str], *, label: int | None = None) -> pd.DataFrame:
    r"""Return the vote counts of a file, one row per input.

    Parameters
    ----------
    path : path-like
        UTF-8 text, its fields separated by tabs, commas, semicolons or spaces. With a header,
        the counts are the columns whose names differ by a number only, from 0 or 1 on without
        gaps: ``count_0, count_1, …`` where there are such, else ``c0, c1, …`` and the like.
        Without one, all columns are counts but that of `label`.
    label : int, optional
        Which column of a file without a header is the true class; −1 is the last one.

    Returns
    -------
    DataFrame
        Integer columns `count_0`, `count_1`, …, in the order of the classes; before them the
        other columns as text, but for an integer `label`.

    Raises
    ------
    ValueError
        If a line has the wrong number of fields or a count that is not a nonnegative integer,
        of which it names file, line and column; if the counts of no single set of columns can
        be meant; or, without a header, if rows add up to different numbers of votes and would
        not without one column, which then is `label`.

    Notes
    -----
    *Guarantee*: none of its own; every row is read, or an error names it. That the votes are
    independent, their number fixed beforehand and the class not chosen by them is for whoever
    certifies them to know: the file does not say.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsverify import certify_counts
    >>> from rsverify.tables.counts import read_counts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "votes.csv"
    ...     _ = path.write_text("image,label,c0,c1\nimg_0,0,980,20\n")
    ...     votes = read_counts(path)
    >>> votes.to_dict("records")
    [{'image': 'img_0', 'label': 0, 'count_0': 980, 'count_1': 20}]
    >>> counts = votes.filter(like="count_").to_numpy()[0]
    >>> print(certify_counts(counts, sigma=0.5, alpha=0.001, y=0).prediction)
    0
    """
    text = read_text(path)
    if not text.lines:
        raise ValueError(f"{path} is empty; it must hold vote counts")
    rows = _fields(text)
    if all(re.fullmatch(r"[+-]?[0-9.]+(?:e[+-]?[0-9]+)?", field, re.I) for field in rows[0]):
        names, numbers = [f"column {i}" for i in range(len(rows[0]))], text.numbers
        if label is not None:
            names[_place(label, len(names))] = "label"
        counted = [name for name in names if name != "label"]
    else:
        if label is not None:
            raise ValueError(f"label={label} is for files without a header; {path} has one")
        names, rows, numbers = rows[0], rows[1:], text.numbers[1:]
        counted = _count_names(names, text.path)
    table = pd.DataFrame(rows, columns=names, dtype=object)
    places = Places(text.path, numbers)
    counts = {
        f"count_{i}": parse_integers(table[name].tolist(), name, places, least=0)
        for i, name in enumerate(counted)
    }
    if names[0] == "column 0" and label is None:
        _check_totals(np.stack(list(counts.values()), axis=1), text.path)
    others = {name: table[name] for name in names if name not in counted}
    if "label" in others:
        others["label"] = pd.Series(parse_integers(others["label"].tolist(), "label", places))
    return pd.DataFrame({**others, **counts})


def _fields(text: TableText) -> list[list[str]]:
    """Return the fields of all lines, each with as many as the first."""
    separator = max(SEPARATORS, key=lambda s: text.lines[0].count(s))
    rows: list[list[str]] = []
    quoted = is_quoted(text.lines[0], separator)
    for number, line in zip(text.numbers, text.lines, strict=True):
        if separator in text.lines[0]:
            place = f"line {number} of {text.path}"
            fields = split_line(line, separator, quoted=quoted, place=place)
        else:
            fields = line.split()
        if rows and len(fields) != len(rows[0]):
            raise ValueError(
                f"line {number} of {text.path} has {len(fields)} fields; it must have "
                f"{len(rows[0])}"
            )
        rows.append(fields)
    return rows


def _place(label: int, columns: int) -> int:
    if not -columns <= label < columns:
        raise ValueError(f"label={label} must be a column between 0 and {columns - 1}, or −1")
    return label


def _count_names(names: Sequence[str], path: str) -> list[str]:
    """Return the columns of a header that are numbered from 0 or 1 on, in their order."""
    sets: dict[str, dict[int, str]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found:
            sets.setdefault(found[1], {})[int(found[2])] = name
    whole = {
        prefix: [numbered[i] for i in sorted(numbered)]
        for prefix, numbered in sets.items()
        if len(numbered) > 1 and sorted(numbered) == [*range(min(numbered), max(numbered) + 1)]
        if min(numbered) in (0, 1)
    }
    if "count_" in whole:
        return whole["count_"]
    if len(whole) != 1:
        problem = f"several ({', '.join(f'{p}…' for p in whole)})" if whole else "none"
        raise ValueError(
            f"{path} must have one set of columns numbered from 0 or 1, such as count_0, count_1; "
            f"it has {problem} among {', '.join(map(repr, names))}"
        )
    return next(iter(whole.values()))


def _check_totals(counts: np.ndarray, path: str) -> None:
    """Raise where rows have different numbers of votes, but for one column that is a label."""
    totals = counts.sum(axis=1)
    if counts.shape[1] < 3 or (totals == totals[0]).all():
        return
    for column in (counts.shape[1] - 1, 0):
        rest = totals - counts[:, column]
        if (rest == rest[0]).all():
            raise ValueError(
                f"the rows of {path} add up to different numbers of votes, without column "
                f"{column} to {rest[0]}: give label={column} if that is the true class"
            )
