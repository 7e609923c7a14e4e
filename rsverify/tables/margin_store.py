"""Limits that are computed already, in a file that grows: what an interrupted run goes on from.

A line holds a digest of the bound, its options and the compiled code; the votes of the class and
its runner-up, their number, alpha and the limit, the two floats in hexadecimal so that they come
back bit by bit; and a checksum that follows the first line. Limits of another bound or another
version of the code stay in the file and are not used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray, shown
from rsverify._core.compile_cache import cache_digest
from rsverify._core.errors import DataError
from rsverify._core.files import GrowingFile
from rsverify._core.lock import locked
from rsverify.tables.lines import is_signed, signed

_HEADER = "rsverify limits of rows 1"


class MarginStore:
    """The limits of one bound with its options in a file, which may hold others.

    Parameters
    ----------
    path : path-like
        Made where there is none; else limits are added to it.
    estimand, bound, ordering : str
        What the limits are of.

    Raises
    ------
    ValueError
        If the file is none of these, or a line of it is damaged.
    OSError
        If it cannot be read or written, or another process is writing it.
    """

    def __init__(
        self, path: str | os.PathLike[str], estimand: str, bound: str, ordering: str
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"store={shown(path)} must be a str or a pathlib.Path")
        self.path = Path(path)
        named = "\t".join((estimand, bound, ordering, cache_digest()))
        self._digest = hashlib.sha256(named.encode()).hexdigest()[:16]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._stack.enter_context(locked(self.path))
        try:
            lines, size = _complete_lines(self.path)
            self._limits = dict(self._known(lines))
            self._file = GrowingFile(self.path, size)
            if not lines:
                self._file.append((_HEADER + "\n").encode())
        except BaseException:
            self._stack.close()
            raise

    def _known(self, lines: list[str]) -> Iterator[tuple[tuple[int, ...], float]]:
        for number, line in enumerate(lines[1:], start=2):
            if not is_signed(line, _HEADER):
                raise DataError(
                    f"line {number} of {self.path} does not match its checksum: remove the file"
                )
            digest, k1, k2, n, alpha, limit, _ = line.split("\t")
            if digest == self._digest:
                level = int(np.float64(float.fromhex(alpha)).view(np.int64))
                yield (int(k1), int(k2), int(n), level), float.fromhex(limit)

    def fill(self, rows: IntArray, found: FloatArray) -> npt.NDArray[np.bool_]:
        """Set the limits of `rows` that are known in `found`, and return which they are."""
        known = np.zeros(len(rows), dtype=bool)
        for i, row in enumerate(map(tuple, rows.tolist() if self._limits else ())):
            if row in self._limits:
                found[i], known[i] = self._limits[row], True
        return known

    def add(self, rows: IntArray, limits: FloatArray) -> None:
        """Add the limits of rows of k1, k2, n and the bits of alpha."""
        tag = self._digest
        levels = rows[:, 3].copy().view(np.float64).tolist()
        lines = [
            signed(f"{tag}\t{k1}\t{k2}\t{n}\t{level.hex()}\t{limit.hex()}", _HEADER) + "\n"
            for (k1, k2, n, _), level, limit in zip(
                rows.tolist(), levels, limits.tolist(), strict=True
            )
        ]
        self._file.append("".join(lines).encode())

    def close(self) -> None:
        """Bring the file to the disk, and close it."""
        try:
            self._file.close()
        finally:
            self._stack.close()


def _complete_lines(path: Path) -> tuple[list[str], int]:
    """Return the lines that end in a line break, and how many bytes they are."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    size = content.rfind(b"\n") + 1
    # A first line may have been cut off.
    if not f"{_HEADER}\n".encode().startswith(content[: len(_HEADER) + 1]):
        raise ValueError(f"store={str(path)!r} does not hold limits of rows: name another file")
    try:
        return content[:size].decode("ascii").split("\n")[:-1], size
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged at byte {error.start}: remove the file") from None
