"""Models by the names that collections give them: ``timm:NAME``, ``torchvision:NAME``, ``hf:DIR``.

Without a checkpoint, timm and torchvision are asked for trained weights: a network of random
weights is certified only where that is said.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Literal, get_args

import torch

from rsverify._core.errors import DataError, UnavailableError, cause_of
from rsverify._core.optional import missing, need
from rsverify.smoothing.models.huggingface import HFModel

HubName = Literal["timm", "torchvision", "hf"]


def hub_of(model: str | os.PathLike[str]) -> tuple[HubName, str] | None:
    """Return the collection and the name of ``COLLECTION:NAME``, or None where it is neither."""
    place, colon, name = str(model).partition(":")
    for hub in get_args(HubName):
        if place == hub and colon and name:
            return hub, name
    return None


def load_from_hub(
    hub: HubName,
    name: str,
    *,
    arguments: Mapping[str, object],
    num_classes: int | None,
    trained: bool,
) -> torch.nn.Module:
    """Return a model of a collection.

    Parameters
    ----------
    hub, name : str
        As `hub_of` returns them.
    arguments : mapping
        Further arguments of the function that makes the model.
    num_classes : int, optional
        Number of classes; of a model in a folder it must be its own.
    trained : bool
        Ask for trained weights, unless `arguments` say what is wanted.

    Raises
    ------
    ModuleNotFoundError
        If a package is not installed.
    UnavailableError
        If trained weights cannot be fetched; a ValueError.
    DataError, FileNotFoundError
        As `HFModel`.
    ValueError
        If the collection has no such model, or does not take the arguments.
    """
    if hub == "hf":
        return _huggingface(name, arguments, num_classes)
    need(hub, extra="hubs")
    given = dict(arguments)
    make: Callable[..., torch.nn.Module]
    package = _imported(hub)
    if hub == "timm":
        names, make, option = package, package.create_model, "pretrained"
    else:
        names, make, option = package.models, package.models.get_model, "weights"
    if trained:
        given.setdefault(option, True if hub == "timm" else "DEFAULT")
    if num_classes is not None:
        given.setdefault("num_classes", num_classes)
    return _made(make, names, hub, name, given, option)


def _imported(package: str) -> ModuleType:
    """Return a package, or say what it needs: torchvision must be made for the torch at hand."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise missing(error.name or package, "hubs") from None
    except Exception as error:  # of torch, where torchvision is of another version
        raise UnavailableError(
            f"{package} cannot be imported: {cause_of(error)}; install the torchvision that goes "
            f"with torch {torch.__version__}"
        ) from error


def _made(
    make: Callable[..., torch.nn.Module],
    names: ModuleType,
    hub: str,
    name: str,
    given: Mapping[str, object],
    option: str,
) -> torch.nn.Module:
    random = f"{option}={False if hub == 'timm' else None}"
    try:
        with _quiet():
            return make(name, **given)
    except Exception as error:  # of the collection: unknown names, arguments, downloads
        if given.get(option) and (isinstance(error, OSError) or _of_network(error)):
            raise UnavailableError(
                f"the trained weights of {hub}:{name} cannot be fetched: {cause_of(error)}; give "
                f"them as checkpoint (--checkpoint), or {random} for random ones "
                f"(--model-arg {random})"
            ) from error
        if "unknown model" in str(error).lower():
            near = _near(name, names.list_models())
            raise ValueError(
                f"model={f'{hub}:{name}'!r} must be a model of {hub}{near}: "
                f"{names.__name__}.list_models() has all names"
            ) from error
        remedy = ""
        if given.get(option) and "num_classes" in str(error):  # of torchvision
            remedy = (
                f"; trained weights have classes of their own: give as many, or {random} "
                f"(--model-arg {random}) with a checkpoint"
            )
        raise ValueError(
            f"{hub}:{name} cannot be made with "
            f"{', '.join(f'{k}={v!r}' for k, v in given.items()) or 'no arguments'}: "
            f"{cause_of(error).rstrip('.')}{remedy}"
        ) from error


def _near(name: str, known: Sequence[str]) -> str:
    """Return the names like one that is not known."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), lower, n=3)
    return f", such as {', '.join(lower[each] for each in close)}" if close else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Let what fetches weights not print each of its tries: the last one is told."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _of_network(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, is that something cannot be fetched."""
    while error is not None:
        if "huggingface_hub" in type(error).__module__ or isinstance(error, OSError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _huggingface(
    folder: str, arguments: Mapping[str, object], num_classes: int | None
) -> torch.nn.Module:
    given = dict(arguments)
    input = given.pop("input", None)
    if input is not None and not isinstance(input, str):
        raise TypeError(f"input={input!r} must be the name of an argument of the model")
    model = HFModel(folder, input=input, arguments=given)
    if num_classes not in (None, model.num_classes):
        raise DataError(
            f"num_classes={num_classes} must be {model.num_classes}, as {folder} states, or be "
            "left out"
        )
    return model
