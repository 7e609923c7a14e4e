"""Weights only, loaded into a module that is at hand, without running code of the file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from rsverify._core.errors import DataError, cause_of
from rsverify._core.load_function import add_folder
from rsverify._core.optional import missing
from rsverify.smoothing.data.fingerprint import check_made
from rsverify.smoothing.models.allowed import allowing, names_in, refusal
from rsverify.smoothing.models.archive import check_file, check_torch, kind_of, unsafe_globals
from rsverify.smoothing.models.states import State, fitting_state

__all__ = ["load_weights"]

_WEIGHTS = "weights by name, as torch.save(module.state_dict(), …) or safetensors write them"
# The oldest files begin as anything might, and are told by trying.
_READABLE = ("a file of torch.save", "a pickle", "a tar archive", "a file of another kind")


def load_weights(
    module: torch.nn.Module,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    allow_globals: Sequence[str] = (),
    allow_pickle: bool = False,
) -> torch.nn.Module:
    """Load the weights in a checkpoint into `module`, all of them, and return it.

    Parameters
    ----------
    module : torch.nn.Module
        Of the architecture that the weights belong to. It is left as it was where they do
        not fit.
    path : path-like
        A state dict, or a dictionary that holds one, under ``"state_dict"``, ``"model"``,
        ``"ema"`` or any other name. Prefixes that wrappers put before all names are removed, and
        so are ``module.`` and ``_orig_mod.`` inside of names. Or a ``.safetensors`` file, for
        which safetensors must be installed.
    key : str, optional
        Which entry holds the weights, where several fit and differ: ``"ema"``,
        ``"ema.state_dict"``. It may go on with a prefix, ``"state_dict.backbone"``: then the
        names under that prefix are the weights, and all others are left.
    allow_globals : sequence of str
        Classes and functions that the file may use beside tensors and plain data, such as
        ``"numpy._core.multiarray.scalar"`` or ``"pathlib.PosixPath"``; the error for a file that
        needs some names them. They are called with what the file holds: name none that runs
        programs or writes files.
    allow_pickle : bool
        Allow a file that holds anything at all. Loading it runs code that the file chooses.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ModuleNotFoundError
        If safetensors is needed and not installed, or the module of a name in `allow_globals`.
    UnavailableError
        If the torch installed does not read files of weights safely; a ValueError.
    DataError
        If the file is damaged or holds no weights, they are not those of `module` (the message
        names which are missing, unexpected, or of another shape or kind of number), several
        entries fit and differ, or it needs `allow_globals`; a ValueError.
    ValueError
        If a name in `allow_globals` is not that of a class or function, or layers of `module` get
        their shape from the first batch, which they have not had.

    Warns
    -----
    UserWarning
        If weights of a loss or a metric beside the model's are left.

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
    check_made(module)
    own = module.state_dict()
    loaded = _load(path, allow_globals, allow_pickle)
    state, left = fitting_state(loaded, own, path, key, type(module).__name__)
    _check_fits(state, own, f"the weights in {path} are not those of {type(module).__name__}")
    try:
        module.load_state_dict(dict(state), strict=False)
    except Exception as error:  # modules may load their state by code of their own
        raise DataError(
            f"the weights in {path} are refused by {type(module).__name__}: {cause_of(error)}"
        ) from error
    if left:
        warnings.warn(
            f"{len(left)} weights in {path} are of a loss or a metric, and are left: {_some(left)}",
            UserWarning,
            stacklevel=2,
        )
    return module


def _check_fits(state: State, own: State, found: str) -> None:
    """Raise where weights are not those of a module."""
    # Normalization layers fill in the number of batches, which evaluation does not use.
    lacking = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    both = [k for k in own if k in state]
    faults = {
        "missing": lacking,
        "unexpected": [k for k in state if k not in own],
        "of another shape": [
            f"{k} of shape {tuple(state[k].shape)} for {tuple(own[k].shape)}"
            for k in both
            if state[k].shape != own[k].shape
        ],
        "of another kind of number": [
            f"{k} of {state[k].dtype} for {own[k].dtype}"
            for k in both
            if _kind(state[k]) != _kind(own[k])
        ],
    }
    told = [f"{len(names)} {kind}: {_some(names)}" for kind, names in faults.items() if names]
    if told:
        raise DataError(f"{found}, which has {len(own)}: {'; '.join(told)}")


def _load(path: Path, allow_globals: Sequence[str], allow_pickle: bool) -> object:
    if path.suffix == ".safetensors":
        return _safetensors(path)
    kind = kind_of(path)
    if kind in ("a TorchScript archive", "an exported program"):
        raise DataError(f"{path} is {kind}, a whole model: give it in place of MODEL")
    if not allow_pickle:
        check_torch(path)
    with allowing(allow_globals):
        return _unpickled(path, kind, allow_globals, allow_pickle)


def _unpickled(path: Path, kind: str, allowed: Sequence[str], allow_pickle: bool) -> object:
    if kind not in _READABLE:
        raise DataError(f"{path} is {kind}; it must hold {_WEIGHTS}")
    if allow_pickle:
        add_folder(Path.cwd())  # where the code may be that the file needs
    try:
        with warnings.catch_warnings():  # of pickles that torch did not write
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=not allow_pickle)
    except Exception as error:  # torch, and code of the file, raise errors of all kinds
        if allow_pickle or "weights_only" not in str(error).lower():
            raise DataError(
                f"{path} is {kind}, not a checkpoint that torch can load: {cause_of(error)}"
            ) from error
        names = unsafe_globals(path) or names_in(error)
        if not names and kind == "a file of another kind":
            raise DataError(f"{path} is {kind}, or damaged: it must hold {_WEIGHTS}") from None
        raise DataError(refusal(path, names, allowed)) from None


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


def _kind(tensor: torch.Tensor) -> str:
    """Return the kind of numbers of a tensor, and how it keeps them where that is unusual."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return str((tensor.device.type, tensor.layout, tensor.dtype))
    if tensor.is_floating_point():
        return "real"
    return "complex" if tensor.is_complex() else "integer"


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = [name if len(name) <= 80 else f"{name[:79]}…" for name in names]
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
