"""A compiled function as other compiled functions call it: code to be linked, never run itself.

Numba would make machine code of every kernel with all that it calls, and then again of the kernel
that calls it. Here an inner kernel stays LLVM's intermediate code, without the wrappers that Python
and C would need to call it; the kernel that Python calls optimizes the whole at once.

A constant argument is an argument like any other: numba would compile a kernel once more for each
literal integer that it is called with.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from llvmlite import binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.event import trigger_event
from numba.core.registry import CPUDispatcher
from numba.core.types.misc import unliteral

from rsverify._core.compile_cache import KernelCache

BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _Library(JITCodeLibrary):  # type: ignore[misc]  # numba is untyped
    """What a kernel was compiled to, without machine code."""

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel that this one is linked into; functions are optimized already."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class _Pipeline(Compiler):  # type: ignore[misc]  # numba is untyped
    """Numba's steps of a compilation, up to the intermediate code."""

    def __init__(self, typing: Any, target: Any, _library: None, *rest: Any) -> None:
        super().__init__(typing, target, _Library(target.codegen(), "linked"), *rest)
        self.state.flags.no_compile = True


class Linked(NamedTuple):
    """A kernel compiled for arguments of some types, as numba looks it up by `entry_point`."""

    signature: Any
    fndesc: Any
    environment: Any
    library: _Library
    entry_point: object
    objectmode: bool = False


class LinkedKernel(CPUDispatcher):  # type: ignore[misc]  # numba is untyped
    """A function for calls by other kernels."""

    def __init__(self, function: Any, options: dict[str, object]) -> None:
        super().__init__(function, targetoptions=options | BARE, pipeline_class=_Pipeline)

    @functools.cached_property
    def files(self) -> KernelCache:
        """What is kept on disk; looked for at the first call, when all it calls is defined."""
        return KernelCache(self.py_func, "linked", self.targetoptions)

    def get_call_template(self, args: tuple[Any, ...], kws: dict[str, Any]) -> object:
        """Return how numba types a call, after a compilation where there was none."""
        named = {name: unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(unliteral(kind) for kind in args), named)

    def compile(self, sig: tuple[Any, ...]) -> object:
        """Compile for arguments of these types, unless that is in memory or on disk."""
        with global_compiler_lock, self._compiling_counter:
            if sig not in self.overloads:
                linked = self._found(sig)
                self.targetctx.insert_user_function(
                    linked.entry_point, linked.fndesc, [linked.library]
                )
                self.overloads[sig] = linked
            return self.overloads[sig].entry_point

    def _found(self, sig: tuple[Any, ...]) -> Linked:
        """Return what is on disk, or compile it."""
        self.targetctx.refresh()
        kept = self.files.load(sig)
        if kept is not None:
            signature, fndesc, environment, code = kept
            library = _Library(self.targetctx.codegen(), "linked")
            library._final_module = llvm.parse_bitcode(code)
            library._finalized = True
            return Linked(signature, fndesc, environment, library, object())
        details = {"dispatcher": self, "args": sig, "return_type": None}
        with trigger_event("numba:compile", data=details):
            made = self._compiler.compile(sig, None)
        made.library._ensure_finalized()
        made.fndesc.typemap = made.fndesc.calltypes = None  # as numba does: not to be pickled
        linked = Linked(made.signature, made.fndesc, made.environment, made.library, object())
        if not (made.library.has_dynamic_globals or made.reload_init):
            self.files.save(sig, (*linked[:3], made.library._final_module.as_bitcode()))
        return linked
