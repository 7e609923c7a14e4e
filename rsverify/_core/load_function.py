"""Functions named on the command line."""

from __future__ import annotations

import errno
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from rsverify._core.errors import cause_of

UserFunction = Callable[..., Any]
"""A function of the user's: what it takes and returns is found out by calling it."""


def load_function(target: str) -> UserFunction:
    """Return FUNCTION of ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``; see `load_named`."""
    function = load_named(target)
    if not callable(function):
        place, _, name = target.rpartition(":")
        raise ValueError(f"{place} has no function {name!r}")
    return function


def load_named(target: str) -> object:
    """Return what ``FILE.py:NAME`` or ``package.module:NAME`` names, a function or not.

    The file may import its neighbors, and a module may be in the current folder. A file that is
    named like a module, such as ``torch.py``, does not replace it.
    """
    place, _, name = target.rpartition(":")
    file = Path(place) if place.endswith(".py") else None
    if file is not None and not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", place)
    add_folder(Path.cwd() if file is None else file.resolve().parent)
    try:
        module = importlib.import_module(place) if file is None else _run_file(file)
    except ModuleNotFoundError:
        raise
    except (Exception, SystemExit) as error:  # code of the user raises errors of all kinds
        raise ValueError(f"{place} cannot be run: {cause_of(error)}") from error
    if not hasattr(module, name):
        raise ValueError(f"{place} has no function {name!r}")
    found: object = getattr(module, name)
    return found


def add_folder(folder: Path) -> None:
    """Let modules in `folder` be imported; one that is there already keeps its name."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


class FileFunction:
    """A function of a file, which every process that gets it loads for itself."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = str(path)
        self.__name__ = name

    def __call__(self, *arguments: object) -> object:
        """Call the function."""
        return self.__wrapped__(*arguments)

    @property
    def __wrapped__(self) -> UserFunction:
        """The function, from which `inspect` takes the signature."""
        return _loaded(f"{self.path}:{self.__name__}")


def portable_function(target: str) -> UserFunction:
    """Return the function as `load_function` does, but one that worker processes can take."""
    function = load_function(target)
    place, _, name = target.rpartition(":")
    return FileFunction(Path(place).resolve(), name) if place.endswith(".py") else function


@lru_cache
def _loaded(target: str) -> UserFunction:
    return load_function(target)


def _run_file(path: Path) -> object:
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path) -> str:
    """Return the name of a file as a module: its stem, unless another module is called so."""
    stem = path.stem
    loaded = sys.modules.get(stem)
    try:
        known = loaded.__spec__ if loaded is not None else importlib.util.find_spec(stem)
    except (ImportError, ValueError, AttributeError):
        known = None
    origin = getattr(loaded, "__file__", None) or (None if known is None else known.origin)
    ours = origin is not None and Path(origin).resolve() == path.resolve()
    if ours or (loaded is None and known is None):
        return stem
    return f"{stem}_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
