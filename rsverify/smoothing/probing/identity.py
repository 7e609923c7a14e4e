"""Whether a model is still the one that was probed: its code, hooks, flags and numbers."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping

import torch
from torch.nn.modules import module as hooks_of_all

_PLAIN = (bool, int, float, str, type(None))
_ITEMS = 64  # of a container


def identity(parts: list[tuple[str, object]]) -> Hashable:
    """Return what is equal as long as a model of these parts has the same code and settings.

    That are its modules and functions, hooks among them, by identity, and by value the numbers,
    flags and texts that objects, dictionaries, lists and closures hold, and which tensors are
    there at all. What tensors hold is left out, as weights do not let rows depend on each other.
    """
    found: list[Hashable] = [*map(id, _hooks_of_all_modules())]
    for name, part in [*parts, *_parts_of_classes(parts)]:
        if isinstance(part, torch.Tensor):
            continue
        if callable(part):
            found.append((name, id(part)))
        found += [(name, key, repr(value)) for key, value in _held(part) if type(value) in _PLAIN]
    return tuple(found)


def _hooks_of_all_modules() -> Iterator[object]:
    for kind in ("_global_forward_hooks", "_global_forward_pre_hooks"):
        yield from getattr(hooks_of_all, kind, {}).values()


def _parts_of_classes(parts: list[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield the classes of modules, their methods, and the dictionaries that these name."""
    classes = {type(part): None for _, part in parts if isinstance(part, torch.nn.Module)}
    for cls in classes:
        if cls.__module__.partition(".")[0] == "torch":
            continue
        yield cls.__name__, vars(cls)
        for name, method in vars(cls).items():
            if isinstance(method, types.FunctionType):
                yield name, method
                yield from (pair for pair in _held(method) if isinstance(pair[1], Mapping))


def _held(part: object) -> Iterable[tuple[str, object]]:
    """Return what an object, container or closure holds."""
    if isinstance(part, Mapping):
        return [(str(key), value) for key, value in list(part.items())[:_ITEMS]]
    if isinstance(part, list | tuple):
        return [(str(i), value) for i, value in enumerate(part[:_ITEMS])]
    own = getattr(part, "__dict__", None)  # of an object that answers to any name: anything
    held = dict(own) if isinstance(own, Mapping) else {}
    held.pop("training", None)  # as the probe sets it
    if isinstance(part, types.FunctionType):
        for name, cell in zip(part.__code__.co_freevars, part.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not yet assigned
                held[name] = cell.cell_contents
        names = part.__code__.co_names
        held |= {name: part.__globals__[name] for name in names if name in part.__globals__}
    return held.items()
