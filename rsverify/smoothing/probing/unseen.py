"""What a model asks of the world, or takes from a stream: noticed, as it cannot be tried."""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path

import torch

from rsverify.smoothing.lipschitz.state import state_of, streams_of, watched

_STANDARD = Path(os.__file__).parent
_PACKAGES = {"site-packages", "dist-packages"}


def unseen(
    model: object,
    preprocess: object,
    run: Callable[[torch.Tensor], object],
    batch: torch.Tensor,
    tried: Collection[str],
) -> str:
    """Return what a model does when it is run whose later effect cannot be tried; else nothing.

    That is to ask the system for random numbers, or a clock, other than in an installed package,
    whose own are for its threads and logs; to go on in an iterator from call to call; and to keep
    what changes, unless that is a number or list of a name in `tried`. Both are looked for without
    going through the code of such a package.
    """
    roots = {"model": model, "preprocess": preprocess}
    streams, before = streams_of(roots, _of_package), state_of(roots, _of_package)
    with watched(_is_installed) as asked:
        run(batch)
    after = streams_of(roots, _of_package)
    moved = next((path for path, place in streams.items() if after.get(path) != place), None)
    if moved is not None:
        return f"takes the next of {moved} when it is called"
    if asked.what in ("a clock", "random numbers"):
        return f"asks the system for {asked.what} when it is called"
    changed = _changed(before, state_of(roots, _of_package), tried)
    return f"keeps {changed}, which changes when it is called" if changed else ""


def _changed(before: Mapping[str, str], after: Mapping[str, str], tried: Collection[str]) -> str:
    """Return where something has changed that was not tried and is no generator watched."""
    for path in {**before, **after}:
        if before.get(path) == after.get(path) or path.startswith("the generator of "):
            continue
        # An item of a list is of the list.
        if re.findall(r"\w+", re.sub(r"(\[\d+\])+$", "", path))[-1] not in tried:
            return path
    return ""


def _of_package(value: object) -> bool:
    """Return whether a function or class is of an installed package, or of this one."""
    return isinstance(value, types.FunctionType | type) and _in_package(str(value.__module__))


@lru_cache
def _in_package(module: str) -> bool:
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return True  # where it runs from a folder too
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and bool(_PACKAGES & set(Path(file).parts))


def _is_installed(frame: types.FrameType) -> bool:
    """Return whether code that asks is of an installed package, called by it or by Python's own."""
    caller: types.FrameType | None = frame
    while caller is not None and _STANDARD in Path(caller.f_code.co_filename).parents:
        if _PACKAGES & set(Path(caller.f_code.co_filename).parts):
            return True
        caller = caller.f_back
    return caller is not None and bool(_PACKAGES & set(Path(caller.f_code.co_filename).parts))
