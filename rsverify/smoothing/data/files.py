"""Inputs and classes from files of numpy, whatever their arrays are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rsverify._core.arrays import read_npy, read_npz
from rsverify._core.errors import DataError
from rsverify._core.types import AnyArray
from rsverify.smoothing.data.convert import INPUT_NAMES, LABEL_NAMES


def read_arrays(
    path: Path, split: str | None = None, *, x: str | None = None, y: str | None = None
) -> AnyArray | tuple[AnyArray, AnyArray]:
    """Return the inputs in a ``.npy`` or ``.npz``, and their classes if they are there.

    Parameters
    ----------
    path : Path
        A ``.npy`` has the inputs alone, and is left on the disk.
    split : str, optional
        Arrays are called ``x_test`` or ``test_images``, if it is ``"test"``.
    x, y : str, optional
        Which array has the inputs, which the classes. By default ``x`` and ``y``, or the only
        ones with a usual name, such as ``images`` and ``labels``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is damaged, or holds no inputs; a ValueError.
    ValueError
        If several arrays can be meant, `x` or `y` is none of them, or `split` is given for one.
    """
    if path.suffix == ".npy":
        if split is not None:
            raise ValueError(f"split={split!r} must be left out: {path} holds one array")
        return read_npy(path, mapped=True)
    _, names = read_npz(path)
    inputs = _name_of("x", x, INPUT_NAMES, names, split, path)
    if inputs is None:
        raise DataError(
            f"{path} holds {', '.join(names) or 'nothing'}; it must hold {_called('x', split)}, "
            f"and {_called('y', split)} if it is known{_remedy(names, split)}"
        )
    labels = _name_of("y", y, LABEL_NAMES, names, split, path)
    found, _ = read_npz(path, *filter(None, (inputs, labels)))
    return found[inputs] if labels is None else (found[inputs], found[labels])


def _called(name: str, split: str | None) -> str:
    return name if split is None else f"{name}_{split}"


def _name_of(
    option: str,
    wanted: str | None,
    usual: Sequence[str],
    names: Sequence[str],
    split: str | None,
    path: Path,
) -> str | None:
    """Return the array that is wanted, else the one called `option`, else the only usual one."""
    if wanted is not None:
        if wanted not in names:
            raise ValueError(f"{option}={wanted!r} must be an array of {path}: {', '.join(names)}")
        return wanted
    if _called(option, split) in names:
        return _called(option, split)
    found = [name for name in names if name.lower() in _with_split(usual, split)]
    if len(found) > 1:
        raise ValueError(
            f"{option} must name one of {', '.join(found)} of {path} (--{option} {found[0]})"
        )
    return found[0] if found else None


def _with_split(usual: Iterable[str], split: str | None) -> set[str]:
    if split is None:
        return set(usual)
    low = split.lower()
    return {each for name in usual for each in (f"{name}_{low}", f"{low}_{name}")}


def _remedy(names: Sequence[str], split: str | None) -> str:
    """Return which splits there are, or how to name the arrays."""
    splits = set()
    for name in names:
        first, _, last = name.lower().partition("_")
        if first in INPUT_NAMES:
            splits.add(last)
        elif last in INPUT_NAMES:
            splits.add(first)
    found = sorted(filter(None, splits))
    if found and split not in found:
        return f"; --split can be {' or '.join(found)}"
    if split is not None and any(name.lower() in INPUT_NAMES for name in names):
        return "; it holds one data set: leave --split out"
    return f"; name them by --x and --y, as --x {names[0]}" if names else ""
