"""Which columns of a table or file are vote counts: found by their names, or given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import pandas as pd

from rsverify._core.check import IntArray, shown
from rsverify._core.errors import DataError
from rsverify._core.types import AnyArray

_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?", re.I)
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_SELECTED = "selected_"
_MOST_NAMES = 8  # in a message


class Columns(NamedTuple):
    """What the columns of a file are."""

    names: list[str]
    """Of all columns; made up where the file has none."""
    counts: list[str]
    """Those of vote counts, in the order of the classes."""
    has_header: bool


def is_number(text: str) -> bool:
    """Return whether a field is a finite number as files hold them."""
    return _NUMBER.fullmatch(text) is not None


def numbered_columns(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the sets of names that differ by a number only, from 0 or 1 on without gaps.

    By what comes before the number; each set in the order of the numbers.
    """
    sets: dict[str, dict[int, str]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found:
            sets.setdefault(found[1], {})[int(found[2])] = name
    return {
        prefix: [numbered[i] for i in sorted(numbered)]
        for prefix, numbered in sets.items()
        if len(numbered) > 1 and sorted(numbered) == [*range(min(numbered), max(numbered) + 1)]
        if min(numbered) in (0, 1)
    }


def given_columns(columns: object) -> list[str] | None:
    """Return names or places of columns as text, or raise where they are none."""
    if columns is None:
        return None
    try:
        if isinstance(columns, Iterable) and not isinstance(columns, str):
            return [str(name) for name in columns]
    except TypeError:  # of an array of no dimensions
        pass
    raise TypeError(f"columns={shown(columns)} must be a sequence of names or places")


def find_counts(names: Sequence[str], where: str, given: Sequence[str] | None = None) -> list[str]:
    """Return the names of the columns of counts, or raise where they cannot be told.

    Those `given`; else ``count_0, count_1, …``; else the one set of `numbered_columns` that is not
    of a selection sample.
    """
    if given is not None:
        return _check_given(given, names, where)
    sets = numbered_columns(names)
    if "count_" in sets:
        return sets["count_"]
    if len(sets) > 1:
        sets.pop(_SELECTED, None)
    if len(sets) != 1:
        if {"predict", "radius"} <= set(names):
            raise DataError(
                f"{where} is a table of certificates without vote counts: `rsverify recertify` "
                "takes those"
            )
        problem = f"several ({', '.join(f'{p}…' for p in sets)})" if sets else "none"
        raise ValueError(
            f"{where} must have one set of columns numbered from 0 or 1, such as count_0, count_1; "
            f"it has {problem} among {_listed(names)}: name the columns of counts by --columns "
            "(columns=)"
        )
    return next(iter(sets.values()))


def _check_given(given: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    found = [name for each in given for name in _matching(each, names)]
    if len(found) < 2 or len(set(found)) < len(found):
        raise ValueError(f"columns={shown(found)} must be two or more different columns")
    absent = [name for name in found if name not in names]
    if absent:
        raise ValueError(
            f"columns={shown(absent[0])} must be a column of {where}: {_listed(names)}"
        )
    return found


def _matching(given: str, names: Sequence[str]) -> list[str]:
    """Return the column of this name, or those that ``votes_*`` stands for, in their order."""
    if given in names or "*" not in given:
        return [given]
    return [name for name in names if fnmatchcase(name, given)] or [given]


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(map(repr, names[:_MOST_NAMES]))
    return some if len(names) <= _MOST_NAMES else f"{some} … {names[-1]!r} ({len(names)} in all)"


def columns_of_file(
    rows: Sequence[Sequence[str]],
    where: str,
    *,
    label: int | None = None,
    given: Sequence[str] | None = None,
) -> Columns:
    """Return what the columns of a file are, from the fields of its first lines.

    The first line is a header where no field of it is a number, or where its names are numbered as
    those of counts are. Without one, columns are called by their place, and those that begin with
    a number are counts, but that of `label`.
    """
    first = [field.strip() for field in rows[0]]
    if _is_header(rows):
        if label is not None:
            raise ValueError(f"label={label} is for files without a header; {where} has one")
        names = [name or f"unnamed_{i}" for i, name in enumerate(first)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{where} has two columns {twice!r}; it must have one")
        return Columns(names, find_counts(names, where, given), True)
    names = [f"column {i}" for i in range(len(first))]
    if given is not None:
        asked = [names[place] for g in given for place in _places(g, len(names))]
        return Columns(_with_label(names, label), _check_given(asked, names, where), False)
    names = _with_label(names, label)
    counts = [
        name
        for name, field in zip(names, first, strict=True)
        if name != "label" and is_number(field)
    ]
    if len(counts) < 2:
        raise ValueError(f"{where} must hold at least two columns of vote counts")
    return Columns(names, counts, False)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    first = [field.strip() for field in rows[0]]
    numbers = [field for field in first if is_number(field)]
    if not numbers:
        return True
    if any(prefix for prefix in numbered_columns(first)):
        return True
    # Numbers alone count classes where they are 0, 1, 2, … or 1, 2, 3, …, unless the lines below
    # add up to the same number of votes: then it is a row of them.
    if "" not in numbered_columns(numbers) or len(set(numbers)) < len(numbers):
        return False
    totals = {sum(float(f) for f in row if is_number(f.strip())) for row in rows[1:]}
    return totals != {sum(map(float, numbers))}


def _with_label(names: list[str], label: int | None) -> list[str]:
    if label is None:
        return names
    place = _place("label", label, len(names))
    return [*names[:place], "label", *names[place + 1 :]]


def _places(given: str, columns: int) -> list[int]:
    """Return the place of a column, or those of a range such as 2-11."""
    found = _RANGE.fullmatch(given)
    if found is None:
        return [_place("columns", given, columns)]
    first, last = (_place("columns", end, columns) for end in found.groups())
    return list(range(first, last + 1))


def _place(argument: str, place: str | int, columns: int) -> int:
    try:
        number = int(place)
    except ValueError:
        number = columns
    if not -columns <= number < columns:
        raise ValueError(
            f"{argument}={shown(place)} must be a column between 0 and {columns - 1}, or −1, of a "
            "file without a header"
        )
    return number % columns


def check_totals(counts: IntArray, names: Sequence[str], where: str) -> None:
    """Raise where rows have different numbers of votes, and would not without some columns.

    Those are something else: a label, an index. Of a file without a header nothing else tells.
    """
    totals = counts.sum(axis=1)
    if counts.shape[1] < 3 or (totals == totals[0]).all():
        return
    last = counts.shape[1]
    for begin, end in ((0, last - 1), (1, last), (1, last - 1), (2, last), (0, last - 2)):
        if end - begin < 2:
            continue
        votes = counts[:, begin:end].sum(axis=1)
        if not (votes == votes[0]).all():
            continue
        places = [int(name.removeprefix("column ")) for name in names]
        left_out = [p for i, p in enumerate(places) if not begin <= i < end]
        remedy = f"give label={left_out[0]} if that is the true class"
        if len(left_out) > 1:
            kept = f"{places[begin]}-{places[end - 1]}"
            remedy = f"give columns=['{kept}'], and label= if one of the others is the true class"
        raise ValueError(
            f"the rows of {where} add up to different numbers of votes, without column "
            f"{' and '.join(map(str, left_out))} to {votes[0]}: {remedy}"
        )


def check_beside(others: pd.DataFrame, counts: Sequence[str], votes: IntArray, where: str) -> None:
    """Raise where a column beside the counts seems to be one of them: ``count_other``, say.

    Votes for a class that is left out are no votes at all: the others would be certified as if
    the model had never answered it. A column of the rows' totals is none of them.
    """
    found = _NUMBERED.fullmatch(counts[0])
    prefix = "" if found is None else found[1]
    if not re.search("count|vote", prefix, re.I):
        return
    for name in others:
        if not str(name).startswith(prefix):
            continue
        cells = pd.to_numeric(others[name], errors="coerce").to_numpy(dtype=np.float64)
        whole = (np.floor(cells) == cells) & (cells >= 0)
        if whole.all() and (cells != votes.sum(axis=1)).any():
            raise ValueError(
                f"{where} has a column {name!r} beside {counts[0]!r} … {counts[-1]!r}: name the "
                "columns of counts by --columns (columns=), with it or without it"
            )


def check_shape(counts: AnyArray, where: str) -> None:
    """Raise where counts are not those of one input a row, of two classes or more."""
    if counts.ndim != 2 or counts.shape[1] < 2 or len(counts) == 0:
        raise DataError(
            f"{where} of shape {counts.shape} must hold one row per input, and at least two classes"
        )


def check_rows(counts: IntArray, where: str) -> None:
    """Raise where rows of counts hold a negative one, or none at all, naming the place."""
    check_shape(counts, where)
    if counts.min() < 0:
        row, column = map(int, np.argwhere(counts < 0)[0])
        raise DataError(
            f"{where} has {counts[row, column]} in row {row}, class {column}; it must be at least 0"
        )
    totals = counts.sum(axis=1, dtype=np.float64)
    if not totals.all():
        raise DataError(f"{where} has no votes in row {int((totals == 0).argmax())}")
    if (totals >= 2.0**53).any():
        raise DataError(
            f"{where} has 2**53 votes or more in row {int((totals >= 2.0**53).argmax())}"
        )
