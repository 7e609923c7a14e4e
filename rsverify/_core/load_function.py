"""Functions named on the command line."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any


def load_function(target: str) -> Callable[..., Any]:
    """Return FUNCTION of ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``.

    The file may import its neighbours, and a module may be in the current folder.
    """
    place, _, name = target.rpartition(":")
    file = Path(place) if place.endswith(".py") else None
    if file is not None and not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", place)
    folder = str(Path.cwd() if file is None else file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(place) if file is None else _run_file(file)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{place} cannot be run: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{place} has no function {name!r}")
    function: Callable[..., Any] = getattr(module, name)
    return function


class FileFunction:
    """A function of a file, which every process that gets it loads for itself."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = str(path)
        self.__name__ = name

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.__wrapped__(*arguments)

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function, from which `inspect` takes the signature."""
        return _loaded(f"{self.path}:{self.__name__}")


def portable_function(target: str) -> Callable[..., Any]:
    """Return the function as `load_function` does, but one that worker processes can take."""
    function = load_function(target)
    place, _, name = target.rpartition(":")
    return FileFunction(Path(place).resolve(), name) if place.endswith(".py") else function


@lru_cache
def _loaded(target: str) -> Callable[..., Any]:
    return load_function(target)


def _run_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickle look it up there
    spec.loader.exec_module(module)
    return module
