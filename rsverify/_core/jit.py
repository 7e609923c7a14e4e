"""The one compile decorator of the package.

Every compiled function is float64 without ``fastmath`` (reassociation would break the
error bounds), releases the GIL so that rows can run on threads, and is cached on disk
(`compile_cache` says where). With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain
Python: slow, for debugging, with the same results.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import numba
import numpy as np

from rsverify._core.compile_cache import cache_folder

F = TypeVar("F", bound=Callable[..., object])

_LOCK = threading.RLock()


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """Let numba place the caches of the functions decorated meanwhile in `folder`.

    Numba reads ``NUMBA_CACHE_DIR`` and ``NUMBA_CACHE_LOCATOR_CLASSES`` as these two settings
    when a function is decorated. Other packages' functions keep what they have.
    """
    wanted = {"CACHE_DIR": folder, "CACHE_LOCATOR_CLASSES": ""}
    with _LOCK:
        # The second setting is new in numba 0.62.
        before = {
            name: getattr(numba.config, name) for name in wanted if hasattr(numba.config, name)
        }
        try:
            for name in before:
                setattr(numba.config, name, wanted[name])
            yield
        finally:
            for name, value in before.items():
                setattr(numba.config, name, value)


def njit(function: F) -> F:
    """Compile `function` to nopython machine code on its first call, cached on disk."""
    if getattr(numba.config, "DISABLE_JIT", False):
        return np.errstate(all="ignore")(function)  # as compiled code, without warnings
    folder = cache_folder()
    if folder is None or not hasattr(numba.config, "CACHE_DIR"):
        return cast(F, numba.njit(nogil=True, error_model="numpy")(function))
    with _cache_in(str(folder)):
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(F, compiled)
