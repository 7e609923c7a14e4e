"""Finished blocks of a simulation on disk, so that an interrupted audit goes on where it was.

One line of JSON a block, after a first line that holds the design; each ends in a checksum of
itself and the first line. Lines are only ever appended; a process killed in the middle of one
leaves a line without its end, which is cut off when the audit is resumed.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

from rsverify._core.checksum import checksum
from rsverify._core.errors import DataError
from rsverify._core.files import GrowingFile, check_free
from rsverify._core.lock import locked
from rsverify._core.types import Json
from rsverify.auditing.caller import Failure
from rsverify.auditing.estimand import Parameters
from rsverify.auditing.simulation.tally import Tally

FORMAT = 2
_FREE = ("replications",)  # may grow: more of them append blocks and change none
_COUNTS, _SUMS = ("misses", "runs", "finite"), ("slack", "squares")
_NUMBERS = ("misses", "runs", "slack", "squares", "finite")


def record_of(scenario: int, block: int, tally: Tally) -> str:
    """Return the record of a block: every number exactly as it is."""
    failures = [vars(f) for f in tally.failures]
    numbers = {k: getattr(tally, k) for k in _NUMBERS}
    record = {"scenario": scenario, "block": block, **numbers, "failures": failures}
    return json.dumps(record)


def _signed(record: str, first: str) -> str:
    """Return a record with its checksum as the last entry; `first` is that of the design."""
    return f'{record[:-1]}, "checksum": "{checksum(record.encode(), first.encode())}"}}'


def _read_signed(line: str, first: str) -> tuple[str, Json]:
    """Return the text and the content of a record, or raise where its checksum does not fit."""
    record = json.loads(line)
    if not isinstance(record, dict) or record.get("format", FORMAT) != FORMAT:
        raise ValueError(f"it must be of format {FORMAT}")
    text = line.rpartition(', "checksum": ')[0] + "}"
    if _signed(text, first or text) != line:
        raise ValueError("it does not match its checksum: it is damaged, or was edited")
    del record["checksum"]
    return text, record


def _tally(record: Json) -> Tally:
    """Return the tally of a record, or raise where a number is not of its kind."""
    if not all(type(record[k]) is int and record[k] >= 0 for k in ("scenario", "block", *_COUNTS)):
        raise TypeError(f"{', '.join(_COUNTS)} must be nonnegative integers")
    if not all(type(record[k]) in (int, float) for k in _SUMS):
        raise TypeError(f"{', '.join(_SUMS)} must be numbers")
    if max(record["misses"], record["finite"]) > record["runs"]:
        raise ValueError("misses and finite must not be more than runs")
    failures = [Failure(**f) for f in record["failures"]]
    return Tally(**{k: record[k] for k in _NUMBERS}, failures=failures)


class Store:
    """The blocks of one audit that are finished, in a file.

    Parameters
    ----------
    path : path-like
        The file; its folder is made where there is none.
    design : mapping
        All that determines the blocks, of JSON types.
    resume : bool
        Read an existing file and append to it. Its design must be the same but for
        `replications`, of which more (or fewer) may be asked for.

    Attributes
    ----------
    blocks : dict
        (scenario, block) to the tally of a finished block.

    Raises
    ------
    FileExistsError
        If the file exists and `resume` is false.
    OSError
        If another process is writing it.
    ValueError
        If the file is of another design, naming the difference, or does not exist.
    """

    def __init__(
        self, path: str | os.PathLike[str], design: Parameters, *, resume: bool = False
    ) -> None:
        self.path = Path(path)
        self.blocks: dict[tuple[int, int], Tally] = {}
        self._first = json.dumps({"format": FORMAT, **design})
        if not resume and os.path.lexists(self.path):
            raise FileExistsError(
                f"store={str(self.path)!r} exists already; resume it, or name another file"
            )
        check_free(self.path, force=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        # Without the lock two audits would cut off each other's last lines.
        self._lock.enter_context(locked(self.path))
        try:
            # Only now that it is known to be a store of this design a part of a line is cut off.
            self._file = GrowingFile(self.path, self._read())
            if self._file.size == 0:
                self._append(self._first)
        except BaseException:
            self._lock.close()
            raise

    def _read(self) -> int:
        """Take in the blocks; return how many bytes the complete lines take."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        complete = content.rfind(b"\n") + 1
        begun = _signed(self._first, self._first).encode()[: len(content)]
        if complete == 0 and content != begun:  # not even the design: some other file
            raise DataError(f"store={str(self.path)!r} line 1 is not of an audit")
        first = ""
        for number, line in enumerate(content[:complete].split(b"\n")[:-1], start=1):
            try:
                text, record = _read_signed(line.decode("utf-8"), first)
                if number > 1:
                    self.blocks[record["scenario"], record["block"]] = _tally(record)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    f"store={str(self.path)!r} line {number} is not of an audit: {error}"
                ) from error
            if number == 1:
                self._check_same(record, json.loads(self._first))
                first = self._first = text  # its number of replications may be another one
        return complete

    def _check_same(self, before: Json, now: Json) -> None:
        for key in sorted(before.keys() | now.keys()):
            if key not in _FREE and before.get(key) != now.get(key):
                raise ValueError(
                    f"{key}={now.get(key)!r} must be {before.get(key)!r} to resume "
                    f"{str(self.path)!r}; start another store for another design"
                )

    def add(self, scenario: int, block: int, tally: Tally) -> None:
        """Append a finished block; it is in the file when this returns."""
        self._append(record_of(scenario, block, tally))
        self.blocks[scenario, block] = tally

    def _append(self, record: str) -> None:
        self._file.append(_signed(record, self._first).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        finally:
            self._lock.close()
