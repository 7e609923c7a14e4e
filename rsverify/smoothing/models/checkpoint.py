"""Weights only, loaded into a module that is at hand, without running code of the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from rsverify._core.errors import DataError, cause_of
from rsverify._core.optional import missing
from rsverify.smoothing.models.archive import check_file, check_torch, kind_of, unsafe_globals

__all__ = ["load_weights"]

State = Mapping[str, torch.Tensor]

_NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "module")
"""Entries of a checkpoint that hold the weights, in the order they are looked for."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before all names: parallel training, compilation, training frameworks."""


def load_weights(
    module: torch.nn.Module, path: str | os.PathLike[str], *, allow_pickle: bool = False
) -> torch.nn.Module:
    """Load the weights in a checkpoint into `module`, all of them, and return it.

    Parameters
    ----------
    module : torch.nn.Module
        Of the architecture that the weights belong to. It is left as it was where they do
        not fit.
    path : path-like
        A state dict, or a dictionary that holds one under ``"state_dict"``, ``"model"`` or
        another of the usual names. Prefixes that wrappers put before all names are removed.
        Or a ``.safetensors`` file, for which safetensors must be installed.
    allow_pickle : bool
        Allow a file that holds more than tensors and plain data. Loading one runs code that
        the file chooses.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ModuleNotFoundError
        If safetensors is needed and not installed.
    UnavailableError
        If the torch installed does not read files of weights safely; a ValueError.
    DataError
        If the file is damaged or holds no weights, they are not those of `module` (the message
        names which are missing, unexpected, or of another shape or kind of number), or it needs
        `allow_pickle`; a ValueError.

    Examples
    --------
    >>> import tempfile, torch
    >>> from rsverify.smoothing.models.checkpoint import load_weights
    >>> trained = torch.nn.DataParallel(torch.nn.Linear(2, 3))
    >>> with tempfile.NamedTemporaryFile(suffix=".pt") as file:
    ...     torch.save({"epoch": 7, "state_dict": trained.state_dict()}, file.name)
    ...     load_weights(torch.nn.Linear(2, 3), file.name)
    Linear(in_features=2, out_features=3, bias=True)
    """
    path = Path(path)
    state = _state_of(_load(path, allow_pickle), path)
    own = module.state_dict()
    state = _without_prefixes(state, own)
    # Normalization layers fill in the number of batches, which evaluation does not use.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    both = [k for k in own if k in state]
    reshaped = [
        f"{k} of shape {tuple(state[k].shape)} for {tuple(own[k].shape)}"
        for k in both
        if state[k].shape != own[k].shape
    ]
    retyped = [
        f"{k} of {state[k].dtype} for {own[k].dtype}"
        for k in both
        if _kind(state[k]) != _kind(own[k])
    ]
    faults = [
        f"{len(found)} {kind}: {_some(found)}"
        for kind, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
            ("of another kind of number", retyped),
        )
        if found
    ]
    if faults:
        raise DataError(
            f"the weights in {path} are not those of {type(module).__name__}, which has "
            f"{len(own)}: {'; '.join(faults)}"
        )
    try:
        module.load_state_dict(dict(state), strict=False)
    except Exception as error:  # modules may load their state by code of their own
        raise DataError(
            f"the weights in {path} are refused by {type(module).__name__}: {cause_of(error)}"
        ) from error
    return module


def _load(path: Path, allow_pickle: bool) -> object:
    if path.suffix == ".safetensors":
        return _safetensors(path)
    kind = kind_of(path)
    if kind in ("a TorchScript archive", "an exported program"):
        raise DataError(f"{path} is {kind}, a whole model: give it in place of MODEL")
    if not allow_pickle:
        check_torch(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=not allow_pickle)
    except Exception as error:  # torch, and code of the file, raise errors of all kinds
        if allow_pickle or "weights_only" not in str(error).lower():
            raise DataError(
                f"{path} is {kind}, not a checkpoint that torch can load: {cause_of(error)}"
            ) from error
        names = unsafe_globals(path)
        named = f" ({', '.join(names[:3])}{', …' * (len(names) > 3)})" if names else ""
        raise DataError(
            f"{path} holds more than tensors and plain data{named}, or is damaged; loading more "
            "runs code that the file chooses: give allow_pickle=True (--allow-pickle) if you "
            "trust its source"
        ) from None


def _safetensors(path: Path) -> object:
    check_file(path)
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise missing("safetensors", "safetensors") from None
    try:
        return load_file(path)
    except Exception as error:  # its errors share no class of their own
        raise DataError(f"{path} is not a file of safetensors: {cause_of(error)}") from error


def _state_of(loaded: object, path: Path) -> State:
    """Return the weights in what a file held."""
    if isinstance(loaded, torch.nn.Module):
        return loaded.state_dict()
    if isinstance(loaded, Mapping):
        for value in (loaded, *(loaded[name] for name in _NESTED if name in loaded)):
            if isinstance(value, torch.nn.Module):
                return value.state_dict()
            if _is_state(value):
                state: State = value
                return state
        entries = f" with the entries {_some(map(str, loaded))}"
    else:
        entries = ""
    raise DataError(
        f"{path} holds a {type(loaded).__name__}{entries}; it must hold weights by name, at once "
        f"or under one of {', '.join(_NESTED)}"
    )


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(k, str) for k in value)
        and all(isinstance(v, torch.Tensor) for v in value.values())
    )


def _kind(tensor: torch.Tensor) -> str:
    """Return the kind of numbers of a tensor, and how it keeps them where that is unusual."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return str((tensor.device.type, tensor.layout, tensor.dtype))
    if tensor.is_floating_point():
        return "real"
    return "complex" if tensor.is_complex() else "integer"


def _without_prefixes(state: State, own: State) -> State:
    """Remove prefixes that all names have and that the module's own names do not all have."""
    for _ in range(4):
        for prefix in _PREFIXES:
            if all(k.startswith(prefix) for k in state) and not all(
                k.startswith(prefix) for k in own
            ):
                state = {k.removeprefix(prefix): v for k, v in state.items()}
    return state


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = [name if len(name) <= 80 else f"{name[:79]}…" for name in names]
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
