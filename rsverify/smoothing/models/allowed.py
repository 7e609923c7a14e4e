"""Classes that a file of weights may use beside tensors: named by its error, allowed by the user.

Checkpoints of training frameworks hold numpy scalars, paths and settings beside the weights. torch
refuses such a file as a whole, since what a pickle calls can be anything. Here each thing is named,
and allowed by its name; what can run programs is not offered.
"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from rsverify._core.check import shown

# What can run programs, write files or reach any other name: never offered, and refused.
_PROGRAMS = {
    *("os", "posix", "nt", "sys", "subprocess", "shutil", "importlib", "runpy", "pty", "socket"),
    *("ctypes", "code", "codeop", "pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal"),
    *("operator", "_operator", "webbrowser", "timeit", "cProfile", "profile", "pdb", "bdb", "pip"),
    *("asyncio", "multiprocessing", "threading", "signal", "site", "inspect", "tempfile", "urllib"),
    *("commands", "pydoc", "doctest", "trace", "unittest", "http", "ftplib", "smtplib", "platform"),
    *("io.open", "io.FileIO", "io.open_code", "_io.open", "_io.FileIO", "_io.open_code", "gc"),
    *("types.FunctionType", "types.CodeType", "types.MethodType", "functools.reduce"),
    *("builtins.eval", "builtins.exec"),
    *("builtins.getattr", "builtins.setattr", "builtins.delattr", "builtins.compile"),
    *("builtins.open", "builtins.input", "builtins.__import__", "builtins.breakpoint"),
    *("builtins.map", "builtins.filter", "builtins.vars", "builtins.globals", "builtins.locals"),
    *("torch.load", "torch.hub", "torch.jit", "torch.utils.cpp_extension", "numpy.load"),
    *("numpy.testing", "numpy.f2py", "torch.serialization", "torch._inductor", "torch.package"),
}
_FOUND = re.compile(r"GLOBAL ([\w.]+)")


def refusal(path: Path, names: Sequence[str] | None, allowed: Sequence[str]) -> str:
    """Return why a file of weights is not loaded: what else it uses, and how to allow that."""
    if not names:
        return (
            f"{path} is damaged, or holds more than tensors and plain data, and what that is "
            "cannot be told without running it; save the weights only, as a state_dict or as "
            ".safetensors"
        )
    wanted = [name for name in names if name not in allowed]
    programs = [name for name in wanted if _is_program(name)]
    if programs:
        return (
            f"{path} holds more than tensors and plain data: {_some(programs)} can run programs or "
            "write files, or reach what can, and weights need nothing of the kind. Do not load it; "
            "ask for the weights only, as a state_dict or as .safetensors"
        )
    if not wanted:
        return (
            f"{path} uses {_some(names)} in another way than a class is made: save the weights "
            "only, as a state_dict or as .safetensors"
        )
    options = " ".join(f"--allow-global {name}" for name in wanted)
    return (
        f"{path} holds more than tensors and plain data: {_some(wanted)}. If you know "
        f"{'it' if len(wanted) == 1 else 'them'} and trust the file's source, give {options} "
        f"(allow_globals={wanted!r}); what is allowed is called with what the file holds"
    )


def names_in(error: BaseException) -> list[str]:
    """Return what an error of torch says that a file uses."""
    return _FOUND.findall(str(error))[:1]


@contextmanager
def allowing(names: Sequence[str]) -> Iterator[None]:
    """Let the files of weights that the body reads use what is named.

    Raises
    ------
    ValueError
        If a name is not that of a class or function, or is of one that can run programs.
    ModuleNotFoundError
        If its module is not installed.
    """
    if isinstance(names, str):
        raise TypeError(f"allow_globals={names!r} must be a sequence of names, such as [{names!r}]")
    if not names:
        yield
        return
    found = [entry for name in names for entry in _entries(name)]
    with torch.serialization.safe_globals(found):  # type: ignore[arg-type]
        yield


def _entries(name: str) -> list[tuple[object, str]]:
    """Return what a name stands for, and its parts that a file uses without naming them."""
    if _is_program(name):
        raise ValueError(
            f"allow_globals={name!r} must not name what can run programs: a file of weights needs "
            "none"
        )
    found: list[tuple[object, str]] = [(_resolved(name), name)]
    if found[0][0] is np.dtype:
        kinds = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
        found += [(kind, f"{kind.__module__}.{kind.__qualname__}") for kind in kinds]
    return found


def _is_program(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:i]) in _PROGRAMS for i in range(1, len(parts) + 1))


def _resolved(name: str) -> Callable[..., object]:
    """Return the class or function of a name, found where this version of its package has it."""
    for old, new in (("numpy.core.", "numpy._core."), ("pathlib._local.", "pathlib.")):
        if name.startswith(old) and importlib.util.find_spec(new.rstrip(".")):
            name = name.replace(old, new)
    # A path of one system cannot be made on another.
    if name == "pathlib.WindowsPath" and sys.platform != "win32":
        return pathlib.PureWindowsPath
    if name == "pathlib.PosixPath" and sys.platform == "win32":
        return pathlib.PurePosixPath
    module, _, rest = name.rpartition(".")
    parts = [rest]
    while module:
        try:
            value: object = importlib.import_module(module)
        except ModuleNotFoundError as error:
            outer, _, inner = module.rpartition(".")
            if not outer or error.name != module:
                raise
            module, parts = outer, [inner, *parts]
            continue
        for part in parts:
            value = getattr(value, part, None)
        if callable(value):
            return value
        break
    raise ValueError(
        f"allow_globals={shown(name)} must be the full name of a class or function, such as "
        "'pathlib.PosixPath'"
    )


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + ", …" * (len(names) > most)
