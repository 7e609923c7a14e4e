"""The JSON beside a table: its configuration, how it was computed, and the versions."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from rsverify import __version__
from rsverify._core.checksum import checksum
from rsverify._core.errors import DataError
from rsverify._core.files import check_free, replace_file
from rsverify._core.types import Json

FORMAT = 2
"""2: each line of the table, and its JSON, has a checksum. 1: neither has."""

LARGEST_BATCH = 2**31 - 1
_OLDER = 1
_KEYS = ("configuration", "versions", "execution")
_VERSIONED = ("numpy", "scipy", "numba", "torch")


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """Return where the JSON of the table `path` is.

    ``table.tsv`` has ``table.json``; any other name all of it and ``.meta.json``, so that
    sigma_0.25 and sigma_0.50, or a.tsv and a.csv, have one each.
    """
    table = Path(path)
    if table.suffix == ".tsv":
        return table.with_suffix(".json")
    return table.with_name(table.name + ".meta.json")


def check_table_name(path: str | os.PathLike[str]) -> Path:
    """Return `path`, or raise where a table of this name would meet files of another one."""
    table = Path(path)
    if not table.name:
        raise ValueError(f"path={str(path)!r} must be the name of a file")
    if table.is_dir():
        raise FileExistsError(f"{table} is a directory: name a file in it")
    if table.exists() and not table.is_file():  # it would be replaced, not written to
        raise FileExistsError(f"{table} is not a file but a device or a pipe: name a file")
    for ending in (".json", ".meta.tsv"):
        if table.name.lower().endswith(ending):
            raise ValueError(
                f"path={str(path)!r} must not end in {ending}: the JSON of a table goes there"
            )
    return table


def check_table_free(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Return `path`, or raise where a new table or its JSON would replace a file."""
    table = check_table_name(path)
    check_free(table, force=force)
    check_free(metadata_path(table), force=force)
    return table


def write_metadata(
    path: str | os.PathLike[str],
    configuration: Mapping[str, object],
    execution: Mapping[str, object] | None = None,
) -> None:
    """Write the JSON beside the table `path`, whose lock the caller holds.

    The configuration decides what a row says; `execution` is how the first rows were
    computed, and is not compared when a table is continued.
    """
    content: Json = {"format": FORMAT, "configuration": dict(configuration)}
    content["versions"] = _versions()
    if execution is not None:
        content["execution"] = dict(execution)
    beside = metadata_path(path)
    beside.parent.mkdir(parents=True, exist_ok=True)
    replace_file(beside, _data(content))


def _data(content: Mapping[str, object]) -> bytes:
    """Return the bytes of a JSON file, with the checksum of all that comes before it."""
    whole = {**content, "checksum": checksum(_dumped(content))}
    return _dumped(whole) + b"\n"


def _dumped(content: Mapping[str, object]) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    # What is not text, of a path that is not, is written as JSON escapes it.
    return text.encode("utf-8", "backslashreplace")


@functools.cache
def _versions() -> dict[str, str]:
    # Its own is known where it runs from a folder too, without being installed.
    versions = {"python": platform.python_version(), "rsverify": __version__}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # torch is optional
    return versions


def read_metadata(path: str | os.PathLike[str]) -> Json:
    """Return the JSON of the table `path`, empty where there is none.

    Raises
    ------
    ValueError
        If it is damaged, or not the JSON of a table, naming the file.
    """
    own = metadata_path(path)
    if own.exists():
        return _checked(own)
    # Where older versions put it: there a file may be anybody's.
    older = Path(path).with_suffix(".json")
    if older.exists() and Path(path).exists():
        try:
            content = _loaded(older)
        except ValueError:
            return {}
        if isinstance(content, dict) and type(content.get("format")) is int:
            return _checked(older)
    return {}


def _loaded(beside: Path) -> object:
    try:
        return json.loads(beside.read_bytes())
    except RecursionError:
        raise DataError(f"{beside} is nested too deeply to be the JSON of a table") from None
    except ValueError as error:
        raise DataError(f"{beside} is not the JSON of a table: {error}") from error


def _checked(beside: Path) -> Json:
    """Return the content of a JSON file, every part of its type, or raise naming the file."""
    content = _loaded(beside)
    if not isinstance(content, dict) or "format" not in content:
        raise DataError(f"{beside} is not the JSON of a table: it has no format")
    number = content["format"]
    if type(number) is not int or number not in (_OLDER, FORMAT):
        raise DataError(f"format={number!r} of {beside} must be {FORMAT}: of another version")
    for key in _KEYS:
        if not isinstance(content.get(key, {}), dict):
            raise DataError(f"{key} of {beside} must be an object, and is {_short(content[key])}")
    if "configuration" not in content:
        raise DataError(f"{beside} has no configuration; it must have one")
    if number == FORMAT:
        signed = {key: value for key, value in content.items() if key != "checksum"}
        if beside.read_bytes() != _data(signed):
            raise DataError(f"{beside} is damaged, or was edited: it does not match its checksum")
    size = content.get("execution", {}).get("batch_size")
    if size is not None and (type(size) is not int or not 1 <= size <= LARGEST_BATCH):
        raise DataError(
            f"batch_size={_short(size)} of {beside} must be between 1 and {LARGEST_BATCH}"
        )
    return content


def as_json(configuration: Mapping[str, object]) -> Json:
    """Return a configuration as it is read back, so that a tuple equals the list it becomes."""
    content: Json = json.loads(_dumped(configuration))
    return content


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def resumable_metadata(path: str | os.PathLike[str]) -> Json:
    """Return the JSON of the table `path`, or raise where rows cannot be added to it."""
    content = read_metadata(path)
    if not content:
        raise DataError(
            f"{path} has no {metadata_path(path).name} beside it, which says what its rows are: "
            "it cannot be resumed; name another table, or give --force (force=True)"
        )
    if content["format"] != FORMAT:
        raise DataError(
            f"{path} was begun by an older version, whose lines have no checksums: it can be "
            "read, but not resumed; begin another table"
        )
    return content


def check_same_configuration(
    path: str | os.PathLike[str], configuration: Mapping[str, object], to: str | None = None
) -> Json:
    """Return the JSON of the table `path`, or raise where it has another configuration.

    The message names what differs.
    """
    content = resumable_metadata(path)
    before = content["configuration"]
    now = as_json(configuration)
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            if to is not None and (key not in before or key not in now):
                has = "has no" if key not in before else "has an"
                raise ValueError(
                    f"{path} {has} entry {key!r} in its configuration, which it must have alike "
                    f"{to}: it was written in another way"
                )
            if to is not None:
                raise ValueError(
                    f"{key}={before.get(key)!r} of {path} must be {now.get(key)!r} {to}"
                )
            raise ValueError(
                f"{key}={now.get(key)!r} must be {before.get(key)!r} to resume {path}; "
                "--force (force=True) begins anew"
            )
    return content
