"""The scores in what a model returns: taken by themselves where there is one choice, else named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch

_DEPTH = 4
_SHOWN = 6
_LOGITS = "logits"


def check_takes_numbers(model: object) -> None:
    """Raise where a model of text is given as it is: no noise can be added to token numbers."""
    if getattr(model, "main_input_name", None) == "input_ids":
        raise TypeError(
            f"model={type(model).__name__} takes token numbers, to which no noise can be added: "
            "give HFModel(model), whose inputs are embeddings, or ablation or deletion noise"
        )


def scores_in(output: object, num_classes: int, rows: int) -> object:
    """Return the scores in a model's output: itself, or the one part that can be meant.

    That is the part called ``logits``, else the only floating tensor of shape
    (`rows`, `num_classes`). What holds no tensor at all is returned as it is.

    Raises
    ------
    TypeError
        If no part of a larger output has that shape, or several have; the message names them.
    """
    if isinstance(output, torch.Tensor):
        return output
    parts = dict(_tensors(output, "", _DEPTH))
    if not parts:
        return output
    if _LOGITS in parts:
        return parts[_LOGITS]
    shape = (rows, num_classes)
    fitting = {k: t for k, t in parts.items() if t.shape == shape and t.is_floating_point()}
    if len({id(tensor) for tensor in fitting.values()}) == 1:
        return next(iter(fitting.values()))
    found = ", ".join(f"{k} of shape {tuple(t.shape)}" for k, t in list(parts.items())[:_SHOWN])
    found += ", …" * (len(parts) > _SHOWN)
    several = "more than one part has" if fitting else "no part has"
    example = next(iter(fitting or parts))
    raise TypeError(
        f"model returned {type(output).__name__}; it must return a tensor of scores of shape "
        f"{shape}, which {several}: {found}; name the scores by SelectedOutput(model, "
        f"{example!r}), or --output {example}, and check num_classes"
    )


def _tensors(value: object, name: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors in an output, with their names as `SelectedOutput` takes them."""
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if depth == 0:
        return
    for key, part in _parts(value):
        yield from _tensors(part, f"{name}.{key}" if name else key, depth - 1)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        names = getattr(value, "_fields", None) or range(len(value))
        yield from zip(map(str, names), value, strict=False)
    elif not isinstance(value, type):
        own = getattr(value, "__dict__", None)
        if own is None and dataclasses.is_dataclass(value):  # with slots
            own = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        yield from ((k, part) for k, part in (own or {}).items() if not k.startswith("_"))


def hint_for(scores: torch.Tensor, num_classes: int, rows: int) -> str:
    """Return what to do about scores of the wrong shape, where that can be told from it."""
    if scores.ndim > 2 and scores.shape[:2] == (rows, num_classes):
        return (
            ". These are scores of every position, as of a segmentation: one class per input is "
            "certified, such as that of one position, or of their mean"
        )
    if scores.ndim == 2 and len(scores) == rows and scores.shape[1] > 1:
        return f". The model has {scores.shape[1]} classes: give num_classes={scores.shape[1]}"
    one_each = scores.shape in ((rows,), (rows, 1))
    if not one_each:
        return ""
    if not scores.is_floating_point():
        return (
            ". These are labels: votes need scores, such as "
            f"torch.nn.functional.one_hot(labels, {num_classes}).float()"
        )
    if num_classes == 2:
        return ". One logit makes two classes by BinaryLogit(model), or --label 0"
    return (
        ". One number per input is a regression, or the logit of two classes: a regression has no "
        "class to certify, one logit makes two by BinaryLogit(model), or --label 0"
    )


def describe(value: object) -> str:
    """Say what a model returned and which parts it has."""
    kind = type(value).__name__
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {kind} with the keys {', '.join(map(repr, value)) or '(none)'}"
    names = list(getattr(value, "_fields", ())) or sorted(
        name for name in getattr(value, "__dict__", {}) if not name.startswith("_")
    )
    fields = f" with the attributes {', '.join(names)}" if names else ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {kind} of {len(value)}{fields}"
    return f"a {kind}{fields}"
