"""Functions named on a command line, from a file or an importable module."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def load_function(target: str) -> Callable[..., Any]:
    """Return FUNCTION of ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``."""
    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such file", place)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{place} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # pickling by workers looks it up there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"{place} cannot be run: {type(error).__name__}: {error}") from error
    else:
        module = importlib.import_module(place)
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{place} has no function {name!r}")
    function: Callable[..., Any] = getattr(module, name)
    return function
