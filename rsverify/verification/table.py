"""Verdicts on the rows of a table, which is read here as the text it is.

A radius is checked with the digits that the file shows. What is no table of text is refused as
everywhere; no number is read, and nothing computed, by what certifies.
"""

from __future__ import annotations

import json
import os
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from flint import ctx

from rsverify import __version__
from rsverify._core.check import check_flag, check_size, shown
from rsverify._core.errors import DataError
from rsverify._core.table_text import (
    SEPARATORS,
    is_quoted,
    read_text,
    split_line,
    width_hint,
    without_comments,
)
from rsverify.verification.checker import (
    ASSUMPTIONS,
    BUDGET,
    Verification,
    VerificationName,
    verify_claim,
)
from rsverify.verification.claims import Claim, claim_of_fields
from rsverify.verification.supremum import BITS

__all__ = ["TableVerification", "verify_table"]

CHECKSUM = "checksum"
_WHOLE = re.compile(r"0*([0-9]+)(?:\.0*)?$")
"""An idx as other software writes it: 7, 07 and 7.0 are one."""
NEEDED = ("idx", "predict", "radius", "n", "sigma", "alpha", "bound", "radius_kind")


@dataclass(frozen=True)
class TableVerification:
    """The verdicts on the rows of a table.

    *Guarantee*: that of `Verification`, of each row looked at; of the others nothing is said.
    """

    rows: dict[str, Verification]
    """Of each row looked at, by its idx as printed."""
    size: int
    """How many rows the table has."""

    @property
    def counts(self) -> dict[VerificationName, int]:
        """How many rows have each verdict."""
        found = Counter(row.verdict for row in self.rows.values())
        names: tuple[VerificationName, ...] = ("proved", "refuted", "not proved")
        return {name: found[name] for name in names}

    @property
    def verdict(self) -> VerificationName:
        """``"refuted"`` if any row is, ``"proved"`` if all looked at are."""
        counts = self.counts
        return (
            "refuted" if counts["refuted"] else "not proved" if counts["not proved"] else "proved"
        )

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON types."""
        return {
            "verdict": self.verdict,
            "counts": self.counts,
            "size": self.size,
            "assumptions": list(ASSUMPTIONS),
            "rows": {idx: row.to_dict() for idx, row in self.rows.items()},
        }


def verify_table(
    path: str | os.PathLike[str],
    *,
    sample: int | None = None,
    seed: int = 0,
    budget: int = BUDGET,
    same_version: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TableVerification:
    """Check the certificates of a table by a second way that shares no code with the first.

    Parameters
    ----------
    path : path-like
        A table of this package with vote counts, or of Cohen's certificates with `votes`.
    sample : int, optional
        How many rows to look at, drawn at random; all where not given or more than there are.
    seed : int, default 0
        Of the draw.
    budget : int, default 20000
        How many probabilities may be summed for a row.
    same_version : bool, optional
        Whether this version of the package computed the rows, as `verify_certificate` says. By
        default as the JSON beside the table has it, and yes where there is none.
    progress : callable, optional
        Called with the number of rows done and of all to do.

    Returns
    -------
    TableVerification
        As `verify_certificate` says it of each row, with the digits of the file. A row that does
        not match its checksum is refuted.

    Raises
    ------
    DataError
        If the file is not a table, lacks vote counts, or a field is not a number. A ValueError.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        If python-flint is not installed: ``pip install 'rsverify[verify]'``.

    Notes
    -----
    *Guarantee*: that of `verify_certificate` for each row that is proved.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rsverify import certify_counts, verify_table
    >>> from rsverify.tables.writer import TableWriter
    >>> certificate = certify_counts([60, 5, 35], sigma=0.25, alpha=0.001, y=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "table.tsv"
    ...     with TableWriter(path, configuration={}) as writer:
    ...         writer.write(0, 0, certificate)
    ...     print(verify_table(path).counts)
    {'proved': 1, 'refuted': 0, 'not proved': 0}
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path={shown(path)} must be the path of a table")
    rows = _read(path)
    picked = list(range(len(rows)))
    if sample is not None:
        size = check_size("sample", sample)
        if size < len(rows):
            picked = sorted(random.Random(seed).sample(picked, size))
    budget = check_size("budget", budget)
    same = (
        _computed_here(path) if same_version is None else check_flag("same_version", same_version)
    )
    known: dict[Claim, Verification] = {}
    found: dict[str, Verification] = {}
    with ctx.workprec(BITS):
        for done, i in enumerate(picked):
            if progress is not None:
                progress(done, len(picked))
            row = rows[i]
            try:
                claim = claim_of_fields(row.fields)
            except DataError as error:
                raise DataError(f"{path}, idx={row.idx}: {error}") from None
            if not row.intact:
                flaw = (
                    "the line does not match its checksum: it was changed after it was written "
                    f"(leave out the column {CHECKSUM!r} of a table that was edited)"
                )
                claim = replace(claim, flaws=(*claim.flaws, flaw))
            if claim not in known:
                known[claim] = verify_claim(claim, budget, same)
            found[row.idx] = known[claim]
    if progress is not None:
        progress(len(picked), len(picked))
    return TableVerification(found, len(rows))


def _computed_here(path: str | os.PathLike[str]) -> bool:
    """Return whether the JSON beside a table names this version, or no version is known."""
    table = Path(path)
    named = table.name.removesuffix(".tsv")
    beside = table.with_name(named + (".json" if named != table.name else ".meta.json"))
    try:
        found = json.loads(beside.read_text("utf-8"))["versions"]["rsverify"]
    except (OSError, ValueError, KeyError, TypeError):
        return True  # no JSON of a table of this package, or nothing in it about the version
    return bool(found == __version__)


class _Row(NamedTuple):
    idx: str
    fields: dict[str, str]
    intact: bool


def _read(path: str | os.PathLike[str]) -> list[_Row]:
    """Return the rows of a table; a last line that is not whole is one that its fields tell."""
    text = without_comments(read_text(path), lambda line: "radius_kind" in line)
    header = text.lines[0] if text.lines else ""
    separator, quoted, columns = _columns(header, path)
    # Other software writes the rows anew where it separates or encloses fields in another way.
    signed = columns[-1] == CHECKSUM and separator == "\t" and not quoted
    rows, seen = [], set[str]()
    for number, line in zip(text.numbers[1:], text.lines[1:], strict=True):
        place = f"line {number} of {path}"
        record = split_line(line, separator, quoted=quoted, place=place)
        if len(record) != len(columns):
            hint = width_hint(text, number, len(record), len(columns))
            raise DataError(f"{place} has {len(record)} fields, which must be {len(columns)}{hint}")
        fields = dict(zip(columns, record, strict=True))
        idx = _WHOLE.sub(r"\1", fields["idx"])
        if idx in seen:
            raise DataError(f"{path} has two rows with idx={idx}; it must have one")
        seen.add(idx)
        intact = True
        if signed:
            # CRC-32 of the line before its last column, continued from that of the header.
            body = line.rpartition(separator)[0]
            intact = f"{zlib.crc32(body.encode(), zlib.crc32(header.encode())):08x}" == record[-1]
        rows.append(_Row(idx, fields, intact))
    if not rows:
        raise DataError(f"{path} has no rows, so that nothing can be proved")
    return rows


def _columns(header: str, path: str | os.PathLike[str]) -> tuple[str, bool, list[str]]:
    """Return what separates the fields, whether quotes enclose them, and the names of all."""
    names = {s: {name.strip(' "') for name in header.split(s)} for s in SEPARATORS}
    separator = max(names, key=lambda s: len(names[s].intersection(NEEDED)))
    quoted = is_quoted(header, separator)
    columns = split_line(header, separator, quoted=quoted, place=f"line 1 of {path}")
    if not {"count_0", "votes"} & set(columns):
        raise DataError(
            f"{path} has no certificates with vote counts, so that nothing can be proved: radii "
            "only can be certified again (rsverify recertify), vote counts alone certified "
            "(rsverify certify-counts), and then be verified"
        )
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it must have {', '.join(NEEDED)}")
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise DataError(f"{path} has two columns {twice[0]!r}; it must have one")
    return separator, quoted, columns
