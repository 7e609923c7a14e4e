"""Models from files and from the names of functions.

Weights alone are loaded without running anything that their file brings. Whole models are
programs: a pickled module runs any code that it likes when it is loaded, which must be allowed,
and torch warns that its loaders of TorchScript archives and exported programs, too, are made
for files whose source is trusted.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rsverify._core.load_function import load_function
from rsverify.smoothing.models.adapters import LimitedBatch, Model, SelectedOutput, SklearnModel
from rsverify.smoothing.models.checkpoint import load_weights
from rsverify.smoothing.models.onnx import load_onnx


def load_model(
    model: str | os.PathLike[str] | Callable[[], Any],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    output: int | str | None = None,
    allow_pickle: bool = False,
    device: str = "cpu",
) -> Model:
    """Return a callable from batch to scores, on `device`, from a file or a function.

    Parameters
    ----------
    model : path-like, str or callable
        A file: one of those of `load_module`, or an ``.onnx``. Or a function without
        arguments that returns the model, given itself or by name, as ``FILE.py:FUNCTION`` or
        ``package.module:FUNCTION``. What it returns may be a module, a callable from batch to
        scores, or a fitted scikit-learn classifier. A module itself may take its place.
    checkpoint : path-like, optional
        Weights to load into the module that a function returns; see `load_weights`.
    output : int or str, optional
        Which part of the model's output holds the scores; see `SelectedOutput`.
    allow_pickle : bool
        Allow files that are pickled. Loading one runs code that the file chooses.
    device : str
        Where to put the model.

    Returns
    -------
    callable
        For `SmoothedClassifier`.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ModuleNotFoundError
        If a package is not installed.
    ValueError, TypeError
        If a file or function does not give a model, or `checkpoint` does not go with it.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.load import load_model
    >>> def small():
    ...     return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> load_model(small)(torch.zeros(5, 2, 2)).shape
    torch.Size([5, 3])
    """
    if callable(model) or names_a_function(model):
        function = model if callable(model) else load_function(str(model))
        name = getattr(function, "__name__", type(function).__name__)
        try:
            made = function if isinstance(function, torch.nn.Module) else function()
        except Exception as error:
            raise ValueError(f"{name} failed: {type(error).__name__}: {error}") from error
        return as_model(
            made,
            name=name,
            checkpoint=checkpoint,
            output=output,
            allow_pickle=allow_pickle,
            device=device,
        )
    if checkpoint is not None:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} needs a function that returns its module, as "
            f"FILE.py:FUNCTION, in place of {str(model)!r}"
        )
    if Path(model).suffix == ".onnx":
        return load_onnx(model, output=output, device=device)
    loaded = load_module(model, allow_pickle=allow_pickle, device=device)
    return loaded if output is None else SelectedOutput(loaded, output)


def names_a_function(model: str | os.PathLike[str]) -> bool:
    """Return whether `model` has the form ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``."""
    # A colon is also in the paths of one system, after a single letter.
    place, _, name = str(model).rpartition(":")
    return len(place) > 1 and name.isidentifier() and not Path(model).exists()


def as_model(
    made: Any,
    *,
    name: str,
    checkpoint: str | os.PathLike[str] | None = None,
    output: int | str | None = None,
    allow_pickle: bool = False,
    device: str = "cpu",
) -> Model:
    """Return a callable from batch to scores of what a function called `name` has returned.

    Parameters and errors are those of `load_model`.
    """
    if checkpoint is not None:
        if not isinstance(made, torch.nn.Module):
            raise TypeError(
                f"{name} returned a {type(made).__name__}; a checkpoint needs a torch.nn.Module"
            )
        load_weights(made, checkpoint, allow_pickle=allow_pickle)
    if isinstance(made, torch.nn.Module):
        loaded: Model = made.to(device)
    elif hasattr(made, "predict_proba"):
        loaded = SklearnModel(made)
    elif callable(made):
        loaded = made
    else:
        raise TypeError(
            f"{name} returned a {type(made).__name__}; it must return a model: a module, a "
            "callable from batch to scores, or a fitted classifier with predict_proba"
        )
    return loaded if output is None else SelectedOutput(loaded, output)


def load_module(
    path: str | os.PathLike[str], *, allow_pickle: bool = False, device: str = "cpu"
) -> torch.nn.Module:
    """Return the module saved at `path`, on `device`.

    Parameters
    ----------
    path : path-like
        A TorchScript archive (``torch.jit.save``), an exported program
        (``torch.export.save``), or a whole pickled module (``torch.save(module, path)``). A
        program exported for one batch size, or a range of them, is given batches of any size
        split and filled up.
    allow_pickle : bool
        Allow a pickled module. Loading one runs code that the file chooses. (Of the other
        kinds no code of Python is run on purpose, but they are programs: trust their source.)
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
        return _exported(torch.export.load(path), device)
    return _load_pickled(path, allow_pickle=allow_pickle, device=device)


def _exported(program: torch.export.ExportedProgram, device: str) -> torch.nn.Module:
    """Return the module of a program, made to take batches of any size."""
    module = _moved(program, torch.device(device)).module().to(device)
    inputs = program.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in inputs]
    if len(shapes) != 1 or not shapes[0]:
        raise ValueError(
            f"the exported program takes {len(inputs)} inputs; it must take one tensor whose first "
            "dimension is the batch"
        )
    size = shapes[0][0]
    if isinstance(size, int):
        return LimitedBatch(module, size, size)
    limits = program.range_constraints.get(size.node.expr)
    if limits is None:
        return module
    smallest = max(int(limits.lower), 1)
    largest = int(limits.upper) if limits.upper.is_Integer else 2**62
    return module if (smallest, largest) == (1, 2**62) else LimitedBatch(module, smallest, largest)


def _moved(
    program: torch.export.ExportedProgram, device: torch.device
) -> torch.export.ExportedProgram:
    """Return a program whose new tensors are made on `device` too.

    A program keeps the devices it was exported on in its graph, where moving its weights does
    not change them.
    """
    nodes = [
        node
        for part in program.graph_module.modules()
        if isinstance(part, torch.fx.GraphModule)
        for node in part.graph.nodes
    ]
    named = {str(node.kwargs["device"]) for node in nodes if node.kwargs.get("device")}
    baked = {name for name in named if torch.device(name) != device}
    if not baked:
        return program
    try:
        from torch.export.passes import move_to_device_pass
    except ImportError:
        raise ValueError(
            f"the program was exported on {', '.join(sorted(baked))} and makes tensors there: use "
            f"that device, export it on {device}, or use torch 2.6 or later, which moves it"
        ) from None
    return move_to_device_pass(program, str(device))


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
            "torch.jit.save or torch.export.save. Weights alone are a checkpoint of a module "
            "that a function returns"
        )
    return loaded
