"""Saved torch modules, loaded without running code that the file brings unless allowed."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import torch


def load_module(
    path: str | os.PathLike[str], *, allow_pickle: bool = False, device: str = "cpu"
) -> torch.nn.Module:
    """Return the module saved at `path`, on `device`.

    Parameters
    ----------
    path : path-like
        A TorchScript archive (``torch.jit.save``), an exported program
        (``torch.export.save``), or a whole pickled module (``torch.save(module, path)``).
    allow_pickle : bool
        Allow a pickled module. Loading one runs code that the file chooses.
    device : str
        Where to put the module.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds a pickled module and `allow_pickle` is false, holds weights alone,
        or is none of the three kinds.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    entries: list[str] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
    if any("/code/" in name for name in entries):
        with warnings.catch_warnings():
            # torch discourages new TorchScript, but files of it remain.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            scripted: torch.nn.Module = torch.jit.load(path, map_location=device)
        return scripted
    if any(name.endswith("models/model.json") for name in entries):
        exported: torch.nn.Module = torch.export.load(path).module()
        return exported.to(device)
    return _load_pickled(path, allow_pickle=allow_pickle, device=device)


def _load_pickled(path: Path, *, allow_pickle: bool, device: str) -> torch.nn.Module:
    try:
        loaded = torch.load(path, map_location=device, weights_only=not allow_pickle)
    except pickle.UnpicklingError:
        if allow_pickle:
            raise ValueError(f"{path} is no saved torch module") from None
        raise ValueError(
            f"{path} is no TorchScript archive or exported program; a pickled module runs code "
            "of its own when loaded, which must be allowed explicitly (allow pickle)"
        ) from None
    except (AttributeError, ModuleNotFoundError) as error:
        raise ValueError(
            f"{path} needs the code that defines its module to be importable: {error}"
        ) from None
    if not isinstance(loaded, torch.nn.Module):
        raise ValueError(
            f"{path} holds a {type(loaded).__name__}; it must hold a whole module, as saved by "
            "torch.jit.save or torch.export.save"
        )
    return loaded
