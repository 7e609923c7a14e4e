"""One writer a file, among processes."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import BinaryIO


def lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes from writing `file` until it is closed, or its process ends."""
    try:
        import fcntl
    except ImportError:  # not on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise OSError(error.errno, "another process is writing it", str(path)) from None
        # Some network file systems have no locks: do without.
