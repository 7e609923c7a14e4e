"""Writing files: whole ones at once or not at all, growing ones line by line.

Nothing that exists is replaced unless the caller says so. Everything goes through the calls of
`os`, one for each step that a crash can come between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from rsverify._core.lock import locked

AnyPath = str | os.PathLike[str]

# What a power cut may take with it: lines are on the disk itself at least this often.
_SYNC_SECONDS = 1.0
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Interrupted(KeyboardInterrupt):
    """The user stopped the work; the message says what is kept, and how to go on."""


def check_free(path: AnyPath, *, force: bool = False) -> None:
    """Raise where something is at `path` that a new file would replace, unless `force`.

    And where there is no folder that it could be in. A terminal, a pipe and /dev/null are
    written to, not replaced.
    """
    place = Path(path)
    if place.is_dir():
        raise FileExistsError(f"{place} is a directory: name a file in it")
    if _is_stream(place):
        return
    above = next(folder for folder in place.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    if not force and os.path.lexists(place):
        raise FileExistsError(
            f"{place} exists already: name another file, or give --force (force=True)"
        )


def _is_stream(path: Path) -> bool:
    if str(path).startswith("/dev/"):  # also where the standard output is a file
        return True
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)


def write_file(path: AnyPath, content: str | bytes, *, force: bool = False) -> None:
    """Write a whole file at once or not at all, making its folder where there is none.

    Raises
    ------
    FileExistsError
        If there is a file already and `force` is false.
    OSError
        If it cannot be written, or another process is writing it.
    """
    place = Path(path)
    data = content.encode() if isinstance(content, str) else content
    check_free(place, force=force)
    if _is_stream(place):
        place.write_bytes(data)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place):
        check_free(place, force=force)
        replace_file(place, data)


def replace_file(path: AnyPath, data: bytes) -> None:
    """Write `data` beside `path`, whose lock the caller holds, and move it there.

    No reader sees a part of it, and after a crash the old file is there or the new one. What
    is left of an earlier try, a hidden file, is written over.
    """
    place = Path(os.path.realpath(path))
    partial = partial_path(place)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)  # before the move, or a power cut could leave an empty file
        finally:
            os.close(descriptor)
        os.replace(partial, place)
        sync_folder(place.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what counts is the first error
            partial.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def partial_path(path: Path) -> Path:
    """Return where the bytes of a file are before it is moved into place."""
    return path.with_name(f".{path.name}.rsverify-partial")


def remove_file(path: AnyPath) -> None:
    """Remove a file where it is there, and what is left of an earlier try to write it."""
    for each in (Path(path), partial_path(Path(path))):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class GrowingFile:
    """A file that grows by whole pieces, each there in full or not at all.

    The caller holds the lock of `path`.

    Parameters
    ----------
    path : path-like
        The file; made where there is none.
    keep : int
        How many bytes of it to keep: what a killed process left of one more piece is cut off.
    """

    def __init__(self, path: AnyPath, keep: int) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None
        with self._named():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY
            self._descriptor = os.open(self.path, flags, 0o666)
            try:
                if os.fstat(self._descriptor).st_size > keep:
                    os.ftruncate(self._descriptor, keep)
            except BaseException:
                os.close(self._descriptor)
                raise
            if not keep:
                sync_folder(Path(os.path.realpath(self.path)).parent)  # the name may be new
        self.size = keep
        self._synced = time.monotonic()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in the errors of the system."""
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def append(self, data: bytes) -> None:
        """Append all of `data` or nothing."""
        descriptor = self._check_mine()
        with self._named():
            try:
                _write_all(descriptor, data)
                if time.monotonic() - self._synced > _SYNC_SECONDS:
                    os.fsync(descriptor)
                    self._synced = time.monotonic()
            except BaseException:
                # Where that fails too, the next run cuts it off.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, self.size)
                raise
        self.size += len(data)

    def _check_mine(self) -> int:
        """Return the descriptor, or raise where somebody else has changed or moved the file."""
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        mine = os.fstat(self._descriptor)
        try:
            there: os.stat_result | None = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise OSError(
                f"{self.path} was removed or replaced by another program while it was written: "
                "its last lines went with it; run the same again"
            )
        if mine.st_size != self.size:
            raise OSError(
                f"{self.path} was changed by another program while it was written; run the same "
                "again"
            )
        return self._descriptor

    def close(self) -> None:
        """Bring it to the disk, and close it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with self._named():
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
