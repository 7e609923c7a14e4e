"""What is given in place of a model: named, with what to give instead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from rsverify._core.errors import DataError

KINDS_OF_MODEL = (
    "a saved module, an .onnx, FILE.py:FUNCTION, MODULE:FUNCTION, timm:NAME, torchvision:NAME, or "
    "hf:DIRECTORY"
)
_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def check_model_file(model: str | os.PathLike[str]) -> None:
    """Raise where a path cannot be that of a saved model: absent, a folder, or a program's text.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is a folder; a ValueError.
    ValueError
        If it is a file of Python, whose function is not named.
    """
    place = str(model).removesuffix(":")
    if place.endswith(".py") and Path(place).is_file():
        raise ValueError(
            f"model={str(model)!r} must say which function of it makes the model: {place}:FUNCTION"
        )
    if not Path(model).exists():
        raise FileNotFoundError(f"{model} does not exist: a model is {KINDS_OF_MODEL}")
    if Path(model).is_dir():
        raise DataError(
            f"{model} is not a file: a folder of save_pretrained is given as hf:{model}"
        )


def no_model(made: object, name: str) -> TypeError:
    """Return the error for what a function called `name` has returned, which is no model."""
    if isinstance(made, type):
        return TypeError(
            f"{name} returned the class {made.__name__}; it must return a model of that class, "
            f"{made.__name__}(…)"
        )
    if _is_of_weights(made):
        return TypeError(
            f"{name} returned weights by name; it must return the module that they belong to: "
            "module.load_state_dict(weights), or give their file as checkpoint (--checkpoint)"
        )
    owner = getattr(made, "__self__", None)
    if owner is not None:
        return TypeError(
            f"{name} returned the method {getattr(made, '__name__', '')} of "
            f"{_a(owner)}; it must return the classifier itself"
        )
    return TypeError(
        f"{name} returned {_a(made)}; it must return a model: a module, a "
        "callable from batch to scores, or a fitted classifier with predict_proba"
    )


def is_no_model(made: object) -> bool:
    """Return whether something can be called, and is no model all the same."""
    owner = getattr(made, "__self__", None)
    own_method = hasattr(owner, "fit") and getattr(made, "__name__", "") in _METHODS
    return isinstance(made, type) or own_method


def module_in(loaded: object, path: Path) -> torch.nn.Module:
    """Return the module that a file holds, at once or as the only one of a dictionary.

    Raises
    ------
    DataError
        If it holds none, or several.
    """
    if isinstance(loaded, torch.nn.Module):
        return loaded
    entries = loaded if isinstance(loaded, Mapping) else {}
    modules = {str(k): v for k, v in entries.items() if isinstance(v, torch.nn.Module)}
    if len({id(module) for module in modules.values()}) == 1:
        return next(iter(modules.values()))
    if modules:
        raise DataError(
            f"{path} holds more than one module: {', '.join(list(modules)[:5])}; give "
            "FILE.py:FUNCTION that loads it and returns one of them"
        )
    raise DataError(
        f"{path} holds {_a(loaded)}; it must hold a whole module, as saved by "
        "torch.jit.save or torch.export.save. Weights only are a checkpoint of a module "
        "that a function returns: FILE.py:FUNCTION with checkpoint (--checkpoint)"
    )


def code_of_module(path: Path, error: Exception) -> DataError:
    """Return the error for a saved module whose class is not found."""
    if "__main__" in str(error):
        return DataError(
            f"{path} needs the code that defines its module to be importable: its class was part "
            "of a program that was run itself (__main__); put the class into a file that the "
            "program imports, or save the weights only (state_dict) and give FILE.py:FUNCTION "
            "with checkpoint (--checkpoint)"
        )
    return DataError(
        f"{path} needs the code that defines its module to be importable: {error}; start in the "
        "folder of its file"
    )


def _is_of_weights(made: object) -> bool:
    return (
        isinstance(made, Mapping)
        and bool(made)
        and all(isinstance(value, torch.Tensor) for value in made.values())
    )


def _a(value: object) -> str:
    """Return the kind of a value with its article."""
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'AEIOUaeiou' else 'a'} {kind}"
