"""What was done to a tensor: steps, the places where they are called, and what refuses a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

import torch


@dataclass(frozen=True)
class Form:
    """What rules may know of a tensor that depends on the input: no values."""

    shape: torch.Size
    dtype: torch.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def numel(self) -> int:
        """Return the number of entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Node:
    """A tensor that depends on the input: its number and its form."""

    index: int
    form: Form


class Place(NamedTuple):
    """Where an operation is called."""

    path: str
    """Of the innermost module, empty for the outermost and for functions."""
    module: str
    """Its class, empty for functions."""
    operation: str
    """Class of the module where it is one of torch.nn, else the name of the function."""

    def __str__(self) -> str:
        if self.path:
            return f"{self.path} ({self.operation})"
        outer = "" if self.module in ("", self.operation) else f"{self.module}: "
        return f"{outer}{self.operation}"


Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
"""What a function of torch is called with: anything that it takes."""


@dataclass
class Step:
    """One operation on what depends on the input."""

    name: str
    """In the tables of `operations`."""
    place: Place
    """Where it is called."""
    args: Args
    """As called, with nodes for what depends on the input."""
    kwargs: Kwargs
    out: Any
    """Form of the result: one tensor, or several."""
    results: list[int]
    """Numbers of the resulting nodes."""
    call: Callable[..., object]
    """Computes the result from such arguments."""


@dataclass
class Recording:
    """All steps of one run."""

    steps: list[Step] = field(default_factory=list)
    output: int = -1
    constants: list[torch.Tensor] = field(default_factory=list)
    """Tensors that were there before, in the order of their first use."""


class Refused(ValueError):  # noqa: N818
    """A run that was ended, with what was refused and why."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason


def is_layer(module: torch.nn.Module) -> bool:
    """Return whether a module is one of torch's own that does something itself."""
    ours = type(module).__module__.startswith("torch.nn.")
    return ours and not isinstance(module, torch.nn.Sequential)


def module_of_frame(frame: FrameType | None, bottom: FrameType | None) -> torch.nn.Module | None:
    """Return the innermost module whose method a stack of calls is in, above `bottom`."""
    while frame is not None and frame is not bottom:
        if frame.f_code.co_varnames[:1] == ("self",):
            module = frame.f_locals.get("self")
            if isinstance(module, torch.nn.Module):
                return module
        frame = frame.f_back
    return None


def memory_of(tensor: torch.Tensor) -> int:
    """Return where the memory of a tensor begins, -1 where it has none to be asked for."""
    try:
        return int(tensor.untyped_storage().data_ptr()) or -1
    except (RuntimeError, NotImplementedError):  # a tensor of torch.func, a sparse one
        return -1


def identical(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Return whether two tensors hold the same numbers, NaN included."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return bool(torch.allclose(one, two, rtol=0.0, atol=0.0, equal_nan=one.is_floating_point()))


def tensors_in(value: object) -> list[torch.Tensor]:
    """Return all tensors in nested tuples, lists, dictionaries and slices."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, torch.Tensor)]


def leaves(value: object) -> Iterator[object]:
    """Yield what is in nested tuples, lists, dictionaries and slices."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    else:
        yield value


def mapped(value: object, change: Callable[[Any], Any]) -> Any:
    """Return nested tuples, lists, dictionaries and slices with every leaf changed."""
    if isinstance(value, tuple):
        return tuple(mapped(part, change) for part in value)
    if isinstance(value, list):
        return [mapped(part, change) for part in value]
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*(mapped(p, change) for p in (value.start, value.stop, value.step)))
    return change(value)


def mapped_tensors(value: object, change: Callable[[torch.Tensor], Any]) -> Any:
    """Return the same with every tensor changed."""
    return mapped(value, lambda leaf: change(leaf) if isinstance(leaf, torch.Tensor) else leaf)
