"""Where compiled functions are kept between processes, and what makes them stale.

Numba keys its cache on the file that holds a function: a comment or a line above it makes a new
key, and a change of the functions and constants that it takes up from other files makes none, so
that old machine code would go on running. Here a compiled function is one file whose name holds a
digest of what it was compiled from (`kernel_digest`): its own code and that of all it calls. The
folder it lies in is named after the versions of whatever compiles.

The folder lies in the first of these places that can be written to:

1. the directory that the environment variable ``NUMBA_CACHE_DIR`` names,
2. ``__pycache__`` of the installed package,
3. the user's cache directory (``~/.cache/rsverify``, or what the platform uses),
4. the system's temporary directory, in a folder that belongs to the user alone, with one
   warning, since a restart may empty it.

Where none can be, every process compiles for itself, and one warning says so.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import pickle
import platform
import shutil
import stat
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from rsverify._core.kernel_digest import kernel_digest

PACKAGE = Path(__file__).resolve().parents[1]
PREFIX = "compiled-"
STALE_SECONDS = 86400.0  # folders of other digests unused for so long are removed, and files
REMEDY = "set NUMBA_CACHE_DIR to a directory that lasts and can be written to"


class KernelCache:
    """The files of one compiled function, one for each combination of types of its arguments.

    `kind` tells two ways of compiling the same function apart.
    """

    def __init__(
        self, function: Callable[..., object], kind: str, options: Mapping[str, object]
    ) -> None:
        self._folder = cache_folder()
        digest = kernel_digest(function)
        whole = hashlib.sha256(f"{digest} {kind} {sorted(options.items())}".encode()).hexdigest()
        name = f"{function.__module__}.{function.__qualname__}-{kind}"
        self._name = name.replace("<", "").replace(">", "")  # not in the names of Windows' files
        self._stem = f"{self._name}-{whole[:24]}"

    def path(self, sig: object) -> Path | None:
        """Return the file for arguments of these types, None where nothing can be kept."""
        if self._folder is None:
            return None
        target = cpu_target.target_context.codegen().magic_tuple()
        types = hashlib.sha256(f"{sig!r} {target}".encode()).hexdigest()
        return self._folder / f"{self._stem}-{types[:16]}.nbc"

    def load(self, sig: object) -> Any:
        """Return what was compiled for arguments of these types, None where nothing was."""
        path = self.path(sig)
        if path is None:
            return None
        try:
            kept = pickle.loads(path.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):  # none, or what a full disk left of it
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # in use: not to be removed
        return kept

    def save(self, sig: object, compiled: object) -> None:
        """Keep what was compiled for arguments of these types, and remove what is stale."""
        path = self.path(sig)
        if path is None:
            return
        # Another process may read it, or write it too.
        beside = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            beside.write_bytes(dumps(compiled))
            beside.replace(path)
        except OSError:  # the disk is full, say: compiled again by the next process
            beside.unlink(missing_ok=True)
            return
        for other in path.parent.glob(glob.escape(self._name) + "-*"):
            if not other.name.startswith(self._stem) and _is_old(other):
                other.unlink(missing_ok=True)


@functools.cache
def versions_digest() -> str:
    """Return a digest of what compiles."""
    versions = (
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        platform.machine(),
    )
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:32]


@functools.cache
def cache_digest() -> str:
    """Return a digest of every source with compiled functions and of what compiles them.

    For results that are kept: unlike a kernel's own digest it changes with every line.
    """
    digest = hashlib.sha256(versions_digest().encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source:
            digest.update(f"\n{path.relative_to(PACKAGE).as_posix()}\n".encode() + source)
    return digest.hexdigest()[:32]


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled functions, None where nothing can be written.

    Warns, once a process, where it is temporary or where there is none.
    """
    name = PREFIX + versions_digest()
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
        f"anew (up to half a minute); {REMEDY}",
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
        if other != folder and _is_old(other) and other.is_dir() and not other.is_symlink():
            shutil.rmtree(other, ignore_errors=True)


def _is_old(path: Path) -> bool:
    """Return whether a file or folder was last used a day ago."""
    try:
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except OSError:
        return False
