"""Arrays from files of numpy: no pickles, and one error whatever is wrong with the file."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from rsverify._core.errors import DataError, cause_of
from rsverify._core.types import AnyArray

# Of an archive that unpacks to more than this many times its size, or less than these bytes.
_LARGEST_RATIO = 200
_SMALL = 2**28


def read_npy(path: Path, *, mapped: bool = False) -> AnyArray:
    """Return the array in a ``.npy`` file, left on the disk where `mapped`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    DataError
        If it holds no array of numbers, or is damaged.
    """
    _check_there(path)
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
        array: AnyArray = np.load(path, mmap_mode="r" if mapped else None)
    except PermissionError:
        raise
    except Exception as error:  # numpy raises errors of many kinds for damaged files
        raise DataError(f"{path} is not a .npy file of numbers: {cause_of(error)}") from error
    return array


def read_npz(path: Path, *wanted: str) -> tuple[dict[str, AnyArray], list[str]]:
    """Return those of the arrays `wanted` that a ``.npz`` archive holds, and the names of all.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    DataError
        If it is not an archive of arrays of numbers, is damaged, or would unpack to far more than
        it is.
    """
    _check_there(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > max(_SMALL, _LARGEST_RATIO * path.stat().st_size):
            raise DataError(
                f"{path} of {path.stat().st_size:,} bytes would unpack to {unpacked:,}: save it "
                "with np.savez, without compression"
            )
        with np.load(path) as arrays:
            found = {name: _entry(path, arrays, name) for name in wanted if name in arrays.files}
            return found, sorted(arrays.files)
    except (DataError, PermissionError):
        raise
    except Exception as error:  # as above
        raise DataError(f"{path} is not a .npz archive of arrays: {cause_of(error)}") from error


def _entry(path: Path, arrays: NpzFile, name: str) -> AnyArray:
    try:
        array = arrays[name]
    except Exception as error:
        raise DataError(
            f"{path}: {name!r} is not an array of numbers: {cause_of(error)}"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {name!r} is not an array of numbers")
    return array


def _check_there(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: was it written completely?")
