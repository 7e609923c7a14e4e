"""What kind of file a model was saved to, found out without running anything that it holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from rsverify._core.errors import DataError, UnavailableError, cause_of

SOUND_TORCH = (2, 10)
"""Before 2.6 a file of weights could run code, and before 2.10 corrupt memory (CVE-2025-32434,
CVE-2026-24747)."""

# Archives of models are not compressed, so that these limits leave room to spare.
_LARGEST_RATIO = 100
_SMALL = 2**28


def check_torch(path: Path) -> None:
    """Raise where the weights in a file cannot be read safely by the torch installed."""
    version = str(torch.__version__)
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < SOUND_TORCH:
        raise UnavailableError(
            f"{path} is not read by torch {version}: up to 2.5.1 a file of weights can run code, "
            "before 2.10 corrupt memory; run: pip install 'torch>=2.10', or give the weights as "
            ".safetensors"
        )


def check_file(path: Path) -> None:
    """Raise where there is no file at `path`, or nothing in it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: was it written completely?")


def archive_entries(path: Path) -> list[str]:
    """Return the names of the entries of a zip archive, none where the file is not one.

    Raises
    ------
    DataError
        If the archive is damaged, or would unpack to far more than a model holds.
    """
    with path.open("rb") as file:
        begins = file.read(4) == b"PK\x03\x04"
    if not zipfile.is_zipfile(path):
        if begins:
            raise DataError(f"{path} is a damaged archive: its end is missing")
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # zipfile raises errors of many kinds for damaged archives
        raise DataError(f"{path} is a damaged archive: {cause_of(error)}") from error
    if begins and min((entry.header_offset for entry in entries), default=0) > 0:
        raise DataError(f"{path} is a damaged archive: its end is missing")  # one inside was found
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(_SMALL, _LARGEST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path} of {path.stat().st_size:,} bytes would unpack to {unpacked:,}: it is not "
            "read, as files made to exhaust memory look so; save it without compression"
        )
    return [entry.filename for entry in entries]


def kind_of(path: Path) -> str:
    """Return what the file at `path` looks like, in words: a guess, and no promise.

    Raises
    ------
    FileNotFoundError, DataError
        As `check_file` and `archive_entries`.
    """
    check_file(path)
    entries = archive_entries(path)
    if any("/code/" in f"/{name}" for name in entries):
        return "a TorchScript archive"
    if any("/models/" in f"/{name}" and name.endswith(".json") for name in entries):
        return "an exported program"
    if "serialized_exported_program.json" in entries:
        return "an exported program"
    if any("/data/aotinductor/" in f"/{name}" for name in entries):
        return "a compiled program"
    if any(name.endswith(".npy") for name in entries):
        return "an archive of numpy arrays"
    if any(name.endswith("data.pkl") for name in entries):
        return "a file of torch.save"
    if entries:
        return "a zip archive of another kind"
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"\x93NUMPY"):
        return "a numpy array"
    if head[257:262] == b"ustar":
        return "a tar archive"
    # Protocols 2 to 5; those before begin with an opcode, and anything might.
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a pickle"
    return "a file of another kind"


def unsafe_globals(path: Path) -> list[str] | None:
    """Return the names beyond tensors and plain data that a file of torch.save refers to.

    None where they cannot be told; nothing of the file is run.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # of another format, or damaged: loading it says more
        return None
