"""Where compiled functions are kept between processes, and what makes them stale.

Numba keys its cache on the file that holds a function, not on the files of the functions
and constants that it inlines: a kernel changed in one file would go on running, as old machine
code, inside its callers in another. All compiled functions of one state of the package
therefore share a folder whose name is a digest of every compiled source and of the versions of
whatever compiles them. Another state of the package is another folder.

The folder lies in the first of these places that can be written to:

1. the directory that the environment variable ``NUMBA_CACHE_DIR`` names,
2. ``__pycache__`` of the installed package,
3. the user's cache directory (``~/.cache/rsverify``, or what the platform uses),
4. the system's temporary directory, in a folder that belongs to the user alone, with one
   warning, since a restart may empty it.

Where none can be, every process compiles for itself, and one warning says so.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import numba
import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]
PREFIX = "compiled-"
STALE_SECONDS = 86400.0  # folders of other digests unused for so long are removed
REMEDY = "set NUMBA_CACHE_DIR to a directory that lasts and can be written to"


def compiled_sources() -> list[Path]:
    """Return the files of the package that hold compiled functions."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if b"njit" in path.read_bytes()]


@functools.cache
def cache_digest() -> str:
    """Return a digest of every compiled source and of what compiles them."""
    versions = (
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        platform.machine(),
    )
    digest = hashlib.sha256("\n".join(versions).encode())
    for path in compiled_sources():
        digest.update(f"\n{path.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled functions, None where nothing can be written.

    Warns, once a process, where it is temporary or where there is none.
    """
    if not compiled_sources():
        return None  # imported from an archive: a change of the sources would not be seen
    name = PREFIX + cache_digest()
    for parent in _lasting_places():
        if _usable(parent / name):
            return parent / name
    temporary = _private_temporary_folder()
    if temporary is not None and _usable(temporary / name):
        warnings.warn(
            f"compiled functions are kept in {temporary}, which may not outlast a restart, because "
            f"neither the package nor the user's cache can be written to; {REMEDY}",
            RuntimeWarning,
            stacklevel=2,
        )
        return temporary / name
    warnings.warn(
        f"no directory for compiled functions can be written to, so every process compiles them "
        f"anew (about a minute); {REMEDY}",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _lasting_places() -> Iterator[Path]:
    """Yield the directories to try first."""
    chosen = getattr(numba.config, "CACHE_DIR", "")  # the environment's, or what a program has set
    if chosen:
        yield Path(chosen)
    yield PACKAGE / "__pycache__"
    # Installations share the user's directory, so that each gets a part of its own.
    part = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]
    try:
        yield _user_cache() / "rsverify" / part
    except RuntimeError:  # no home directory is known
        return


def _user_cache() -> Path:
    """Return the platform's directory for a user's caches."""
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"


def _private_temporary_folder() -> Path | None:
    """Return a folder in the temporary directory that nobody else can write to, or None.

    What is cached is machine code: a folder that another user could have filled is refused.
    """
    if not hasattr(os, "getuid"):  # Windows: the temporary directory is the user's own
        return Path(tempfile.gettempdir()) / "rsverify"
    try:
        path = Path(tempfile.gettempdir()) / f"rsverify-{os.getuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return path if own and not found.st_mode & 0o022 else None


def _usable(folder: Path) -> bool:
    """Make `folder` and return whether files can be written in it; tidy up beside a new one."""
    try:
        new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError:
        return False
    if new:
        _remove_stale(folder)
    return True


def _remove_stale(folder: Path) -> None:
    """Remove the folders of other digests beside `folder` that were last used a day ago."""
    for other in folder.parent.glob(PREFIX + "*"):
        try:
            old = time.time() - other.stat().st_mtime > STALE_SECONDS
        except OSError:
            continue
        if old and other != folder and other.is_dir() and not other.is_symlink():
            shutil.rmtree(other, ignore_errors=True)
