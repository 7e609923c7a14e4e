"""The one compile decorator of the package.

Every compiled function is float64 without ``fastmath`` (reassociation would break the
error bounds), releases the GIL so that rows can run on threads, and is cached on disk
(`compile_cache` says where, and what makes it stale). With ``NUMBA_DISABLE_JIT=1`` the same
functions run as plain Python: slow, for debugging, with the same results.

A kernel that another kernel calls is compiled without what only Python needs (`linked`). Of
several processes that need the same kernel, one compiles it and the others wait.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher

from rsverify._core.compile_cache import KernelCache
from rsverify._core.linked import LinkedKernel
from rsverify._core.lock import locked

F = TypeVar("F", bound=Callable[..., object])

OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy", "boundscheck": None}
LONGEST_WAIT = 300.0  # seconds for another process's compilation; then this one does it too


class _Cache(KernelCache):
    """What numba asks of a cache."""

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def load_overload(self, sig: object, target_context: Any) -> object:
        """Return what was compiled for arguments of these types, None where nothing was."""
        target_context.refresh()
        kept = self.load(sig)
        return kept and CompileResult._rebuild(target_context, *kept)

    def save_overload(self, sig: object, compiled: Any) -> None:
        """Keep what was compiled for arguments of these types."""
        if not compiled.library.has_dynamic_globals:
            self.save(sig, compiled._reduce())


class Kernel(CPUDispatcher):  # type: ignore[misc]  # numba is untyped
    """A compiled function as Python calls it, with the one that other kernels call."""

    _cache: Any

    @functools.cached_property
    def linked(self) -> LinkedKernel:
        """The same function for calls by other kernels."""
        return LinkedKernel(self.py_func, self.targetoptions)

    def get_call_template(self, args: tuple[Any, ...], kws: dict[str, Any]) -> object:
        """Return how numba types a call by another kernel."""
        return self.linked.get_call_template(args, kws)

    def get_overload(self, sig: object) -> object:
        """Return what numba looks up the compiled function by that such a call runs."""
        return self.linked.get_overload(sig)

    def compile(self, sig: object) -> object:
        """Compile for arguments of these types, unless that is in memory or on disk."""
        # Not where it is decorated: what it calls may be defined below it.
        if not isinstance(self._cache, _Cache):
            self._cache = _Cache(self.py_func, "called", self.targetoptions)
        with _alone(self._cache, sig):
            entry = super().compile(sig)
            for compiled in self.overloads.values():
                for environment in compiled._find_referenced_environments():
                    compiled.codegen.set_env(environment.env_name, environment)
        return entry


@contextlib.contextmanager
def _alone(cache: KernelCache, sig: object) -> Iterator[None]:
    """Wait while another process compiles this, then run the body, which finds it on disk."""
    with contextlib.ExitStack() as stack:
        path = cache.path(sig)
        if path is not None and not path.exists():
            # Where the file system has no locks, or who has it takes too long: compile too.
            with contextlib.suppress(OSError, NotImplementedError):
                stack.enter_context(locked(path, wait=LONGEST_WAIT))
        yield


def njit(function: F) -> F:
    """Compile `function` to nopython machine code on its first call, cached on disk."""
    if getattr(numba.config, "DISABLE_JIT", False):
        return np.errstate(all="ignore")(function)  # as compiled code, without warnings
    return cast(F, Kernel(function, targetoptions=OPTIONS))
