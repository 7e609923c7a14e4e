"""One writer a file, among processes and within one."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

ENDING = ".rsverify-lock"


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], *, wait: float = 0.0) -> Iterator[None]:
    """Keep every other writer from `path` while the body runs, also where it does not exist yet.

    The lock is a file of its own beside `path`, empty, hidden, and removed at the end: `path`
    itself is replaced while it is locked. It ends with the process, however that ends; the
    file that a killed process leaves locks nothing. Whoever else holds it is waited for, `wait`
    seconds at most.

    Raises
    ------
    BlockingIOError
        If another process, or another writer of this one, holds it.
    OSError
        If the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    # By way of links, so that two names of one file are one lock.
    real = Path(os.path.realpath(path))
    beside = real.with_name(f".{real.name}{ENDING}")
    lock = FileLock(beside, timeout=wait, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing it", str(path)) from (
            None
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield
    finally:
        # While it is held: who opened the file before finds that it has no name any more.
        with contextlib.suppress(OSError):  # an empty hidden file more does no harm
            beside.unlink()
        lock.release()
