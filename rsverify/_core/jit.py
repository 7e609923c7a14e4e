"""The one compile decorator of the package.

Every compiled function is float64 without ``fastmath`` (reassociation would break the
error bounds), releases the GIL so that rows can run on threads, and is cached on disk.

Numba keys its cache on the file that holds a function, not on the files of the functions
that it inlines. A kernel changed in one file would go on running, stale, inside its
callers in another. The cache key here therefore covers all kernel sources together.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


@functools.cache
def kernel_digest() -> str:
    """Return a digest of every kernel source, part of each compiled function's cache key."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parents[1] / "kernels").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def njit(function: F) -> F:
    """Compile `function` to nopython machine code on its first call, cached on disk."""
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    cache_file = compiled._cache._cache_file
    cache_file._source_stamp = (cache_file._source_stamp, kernel_digest())
    return cast(F, compiled)
