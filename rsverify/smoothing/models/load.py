"""Models from files and from the names of functions.

Weights only, and ONNX files, are loaded without running anything that their file brings. Saved
programs are another matter, and must be allowed. A pickled module runs any code that it likes when
it is loaded. So does an exported program: torch unpickles entries of it without restriction, and
evaluates expressions that it holds as text. A TorchScript archive runs none of Python, but may read
and write files when it is called.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import joblib
import torch

from rsverify._core.check import shown
from rsverify._core.errors import DataError, cause_of
from rsverify._core.load_function import add_folder, load_named
from rsverify.smoothing.device import choose_device
from rsverify.smoothing.models.adapters import LimitedBatch, Scores, SelectedOutput, SklearnModel
from rsverify.smoothing.models.archive import kind_of, unsafe_globals
from rsverify.smoothing.models.binary import BinaryLogit
from rsverify.smoothing.models.checkpoint import load_weights
from rsverify.smoothing.models.hubs import hub_of, load_from_hub
from rsverify.smoothing.models.huggingface import HFModel
from rsverify.smoothing.models.mistaken import (
    check_model_file,
    code_of_module,
    is_no_model,
    module_in,
    no_model,
)
from rsverify.smoothing.models.onnx import load_onnx

__all__ = ["load_model", "load_module"]


def load_model(
    model: str | os.PathLike[str] | Callable[..., object],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    key: str | None = None,
    output: int | str | None = None,
    label: int | None = None,
    num_classes: int | None = None,
    arguments: Mapping[str, object] | None = None,
    allow_globals: Sequence[str] = (),
    allow_pickle: bool = False,
    device: str = "cpu",
) -> Scores:
    """Return a callable from batch to scores, on `device`, from a file, a function or a name.

    Parameters
    ----------
    model : path-like, str or callable
        A file: one of those of `load_module`, or an ``.onnx``. Or a function that returns the
        model, given itself or by name, as ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``.
        What it returns may be a module, a callable from batch to scores, or a fitted
        scikit-learn classifier. A module itself may take its place. Or a model of a collection:
        ``timm:NAME``, ``torchvision:NAME`` (both with trained weights, unless `checkpoint` or
        `arguments` say otherwise), ``hf:DIRECTORY`` of transformers' ``save_pretrained``.
    checkpoint, key, allow_globals : optional
        Weights to load into the module that a function or a name makes; see `load_weights`.
    output : int or str, optional
        Which part of the model's output holds the scores; see `SelectedOutput`.
    label : int, optional
        Which label of a multi-label model, or 0 for a model of one logit; see `BinaryLogit`.
    num_classes : int, optional
        Number of classes of a model of a collection.
    arguments : mapping, optional
        Arguments of the function or of the collection's model.
    allow_pickle : bool
        Allow saved programs: pickled modules, exported programs, TorchScript archives. They run
        code that the file chooses; allow it for files whose source you trust.
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
    UnavailableError
        If `device` is not there, or trained weights cannot be fetched; a ValueError.
    DataError
        If a file is damaged, is of another kind, or needs leave; a ValueError.
    ValueError, TypeError
        If a function does not give a model, or `checkpoint` or `arguments` do not go with it.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.load import load_model
    >>> def small(classes=3):
    ...     return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, classes))
    >>> load_model(small)(torch.zeros(5, 2, 2)).shape
    torch.Size([5, 3])
    >>> load_model(small, arguments={"classes": 7})(torch.zeros(5, 2, 2)).shape
    torch.Size([5, 7])
    """
    hub = None if callable(model) else hub_of(model)
    if callable(model) or hub is not None or names_a_function(model):
        given = dict(arguments or {})
        if hub is not None:
            name = str(model)
            made: object = load_from_hub(
                *hub,
                arguments=given,
                num_classes=None if label is not None else num_classes,
                trained=checkpoint is None,
            )
        else:
            function = model if callable(model) else load_named(str(model))
            name = getattr(function, "__name__", type(function).__name__)
            made = made_by(function, name, given)
        return as_model(
            made,
            name=name,
            checkpoint=checkpoint,
            key=key,
            output=output,
            label=label,
            allow_globals=allow_globals,
            allow_pickle=allow_pickle,
            device=device,
        )
    if checkpoint is not None:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} needs a function that returns its module, as "
            f"FILE.py:FUNCTION, in place of {str(model)!r}"
        )
    if arguments:
        raise ValueError(
            f"arguments={shown(dict(arguments))} must be left out: {model} is a file, not a "
            "function"
        )
    if Path(model).suffix == ".onnx":
        return _selected(load_onnx(model, output=output, device=device), None, label)
    check_model_file(model)
    loaded = _saved(Path(model), allow_pickle=allow_pickle, device=device)
    if hasattr(loaded, "predict_proba"):
        return _selected(SklearnModel(loaded), output, label)
    return _selected(module_in(loaded, Path(model)), output, label)


def made_by(function: object, name: str, arguments: Mapping[str, object]) -> object:
    """Return the model that a function of the user makes; what is no function is one itself."""
    if is_made(function):
        if arguments:
            raise ValueError(
                f"arguments={shown(dict(arguments))} must be left out: {name} is a model already"
            )
        return function
    assert callable(function), "it is made otherwise"
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:  # code of the user raises errors of all kinds
        raise ValueError(f"{name} failed: {cause_of(error)}") from error


def is_made(named: object) -> bool:
    """Return whether what a name stands for is no function to call, but what one would return."""
    ours = hasattr(named, "rsverify_hash") and not isinstance(named, type)
    return ours or isinstance(named, torch.nn.Module) or not callable(named)


def _selected(model: Scores, output: int | str | None, label: int | None) -> Scores:
    """Return the part of a model's output that holds the scores, or the label that is meant."""
    chosen = model if output is None else SelectedOutput(model, output)
    return chosen if label is None else BinaryLogit(chosen, label=label)


def names_a_function(model: str | os.PathLike[str]) -> bool:
    """Return whether `model` has the form ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``."""
    # A colon is also in the paths of one system, after a single letter.
    place, _, name = str(model).rpartition(":")
    return len(place) > 1 and name.isidentifier() and not Path(model).exists()


def as_model(
    made: object,
    *,
    name: str,
    checkpoint: str | os.PathLike[str] | None = None,
    key: str | None = None,
    output: int | str | None = None,
    label: int | None = None,
    allow_globals: Sequence[str] = (),
    allow_pickle: bool = False,
    device: str = "cpu",
) -> Scores:
    """Return a callable from batch to scores of what a function called `name` has returned.

    Parameters and errors are those of `load_model`.
    """
    if checkpoint is not None:
        if not isinstance(made, torch.nn.Module):
            raise TypeError(
                f"{name} returned a {type(made).__name__}; a checkpoint needs a torch.nn.Module"
            )
        load_weights(
            made.model if isinstance(made, HFModel) else made,
            checkpoint,
            key=key,
            allow_globals=allow_globals,
            allow_pickle=allow_pickle,
        )
    elif key is not None or allow_globals:
        option = "key" if key is not None else "allow_globals"
        raise ValueError(f"{option} must be left out without checkpoint")
    if isinstance(made, torch.nn.Module):
        if not isinstance(made, HFModel) and _is_of_transformers(made):
            made = HFModel(made)  # takes its input by name
        loaded: Scores = made.to(choose_device(device))
    elif is_no_model(made):
        raise no_model(made, name)
    elif hasattr(made, "predict_proba") or (hasattr(made, "fit") and not callable(made)):
        loaded = SklearnModel(made)
    elif callable(made):
        loaded = made
    else:
        raise no_model(made, name)
    return _selected(loaded, output, label)


def _is_of_transformers(module: torch.nn.Module) -> bool:
    """Return whether a module is a classifier of transformers, which takes inputs by name."""
    return hasattr(module, "main_input_name") and hasattr(
        getattr(module, "config", None), "num_labels"
    )


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
        Allow all of them. They run code that the file chooses: the pickled module and the
        exported program any code, when they are loaded; TorchScript may write files, when it
        is called.
    device : str
        Where to put the module.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    UnavailableError
        If `device` is not there; a ValueError.
    DataError
        If `allow_pickle` is false, or the file is damaged, holds only weights, or is none of
        the three kinds; a ValueError.
    """
    return module_in(_saved(Path(path), allow_pickle=allow_pickle, device=device), Path(path))


def _saved(path: Path, *, allow_pickle: bool, device: str) -> object:
    """Return what the program saved at `path` is; errors are those of `load_module`."""
    kind = kind_of(path)
    if not allow_pickle:
        raise DataError(_refusal(path, kind))
    place = choose_device(device)
    add_folder(Path.cwd())  # where the code may be that defines the module
    try:
        return _loaded(path, kind, place)
    except (AttributeError, ModuleNotFoundError) as error:
        raise code_of_module(path, error) from None
    except Exception as error:  # torch, and code of the file, raise errors of all kinds
        raise DataError(f"{path} is {kind} that cannot be loaded: {cause_of(error)}") from error


def _refusal(path: Path, kind: str) -> str:
    """Say why a file is not loaded without leave, and what to do."""
    allow = "allow_pickle=True (--allow-pickle) if you trust its source"
    if kind == "a TorchScript archive":
        return f"{path} is {kind}, a program that can write files when it is called: give {allow}"
    if kind == "an exported program":
        return f"{path} is {kind}, which can run any code when it is loaded: give {allow}"
    if path.suffix == ".safetensors":
        return f"{path} holds only weights: give FILE.py:FUNCTION of its module, and a checkpoint"
    if kind in ("a file of torch.save", "a pickle", "a tar archive"):
        names = unsafe_globals(path)
        if names == []:
            return (
                f"{path} holds only weights, a checkpoint of a module: give FILE.py:FUNCTION that "
                "returns the module, and the weights as checkpoint (--checkpoint)"
            )
        named = "" if names is None else f" ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
        return (
            f"{path} is {kind}, which runs code of its own{named} when it is loaded: give {allow}"
        )
    return (
        f"{path} is {kind}; it must hold a saved module, be an .onnx, or be given as "
        "FILE.py:FUNCTION"
    )


def _loaded(path: Path, kind: str, device: torch.device) -> object:
    with warnings.catch_warnings():
        # torch discourages new TorchScript, but files of it remain.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        if kind == "a TorchScript archive":
            return torch.jit.load(path, map_location=device)
        if kind == "an exported program":
            return _exported(torch.export.load(path), device)
        if kind == "a pickle":
            return _unpickled(path, device)
        return torch.load(path, map_location=device, weights_only=False)


def _unpickled(path: Path, device: torch.device) -> object:
    """Return what is in a pickle: of torch before its archives, of pickle itself, or of joblib."""
    try:
        return torch.load(path, map_location=device, weights_only=False)
    except (RuntimeError, pickle.UnpicklingError):  # which are alike in their first bytes
        found: object = joblib.load(path)
        if isinstance(found, torch.nn.Module):
            return found.to(device)
        if hasattr(found, "predict_proba"):
            return found
        raise


def _exported(program: torch.export.ExportedProgram, device: torch.device) -> torch.nn.Module:
    """Return the module of a program, made to take batches of any size."""
    module = _moved(program, device).module().to(device)
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
