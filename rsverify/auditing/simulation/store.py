"""Finished blocks of a simulation on disk, so that an interrupted audit goes on where it was.

One line of JSON a block, after a first line that holds the design. Lines are only ever
appended; a process killed in the middle of one leaves a line without its end, which is cut off
when the audit is resumed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from rsverify._core.lock import lock
from rsverify.auditing.caller import Failure
from rsverify.auditing.estimand import Parameters
from rsverify.auditing.simulation.tally import Tally

FORMAT = 1
_FREE = ("replications",)  # may grow: more of them append blocks and change none
_NUMBERS = ("misses", "runs", "slack", "squares", "finite")


def record_of(scenario: int, block: int, tally: Tally) -> str:
    """Return the line of a block: every number exactly as it is."""
    failures = [vars(f) for f in tally.failures]
    numbers = {k: getattr(tally, k) for k in _NUMBERS}
    record = {"scenario": scenario, "block": block, **numbers, "failures": failures}
    return json.dumps(record)


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
        If the file is of another design, naming the difference, or is no such file.
    """

    def __init__(
        self, path: str | os.PathLike[str], design: Parameters, *, resume: bool = False
    ) -> None:
        self.path = Path(path)
        self.blocks: dict[tuple[int, int], Tally] = {}
        header = json.loads(json.dumps({"format": FORMAT, **design}))
        if self.path.exists() and not resume:
            raise FileExistsError(
                f"store={str(self.path)!r} exists already; resume it, or name another file"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without the lock two audits would cut off each other's last lines.
        self._file: BinaryIO = self.path.open("ab")
        try:
            lock(self._file, self.path)
            self._read(header)
        except BaseException:
            self._file.close()
            raise
        if self._file.tell() == 0:
            self._append(json.dumps(header))

    def _read(self, header: dict[str, Any]) -> None:
        content = self.path.read_bytes()
        complete = content.rfind(b"\n") + 1
        begun = json.dumps(header).encode()[: len(content)]
        if complete == 0 and content != begun:  # not even the design: some other file
            raise ValueError(f"store={str(self.path)!r} line 1 is not of an audit")
        lines = content[:complete].decode("utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines):
            try:
                record = json.loads(line)
                if number == 0:
                    self._check_same(record, header)
                else:
                    key = int(record["scenario"]), int(record["block"])
                    failures = [Failure(**f) for f in record["failures"]]
                    self.blocks[key] = Tally(**{k: record[k] for k in _NUMBERS}, failures=failures)
            except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
                raise ValueError(
                    f"store={str(self.path)!r} line {number + 1} is not of an audit: {error!r}"
                ) from error
        if complete < len(content):  # only now that it is known to be a store of this design
            os.truncate(self.path, complete)
            self._file.seek(0, os.SEEK_END)

    def _check_same(self, before: dict[str, Any], now: dict[str, Any]) -> None:
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

    def _append(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
