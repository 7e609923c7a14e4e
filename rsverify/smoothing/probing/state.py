"""What a model keeps from one call to the next, found by comparing it before and after.

Logs, counters and saved features change without any effect. So what has changed is set to
what it would be after many more calls, to see whether scores then change.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Generator, Iterator, MutableMapping
from functools import partial
from typing import NamedTuple

import torch

from rsverify.smoothing.probing.culprit import Layer

_CALLS = 10**6
# At the start, and at a round number: after, or before, the call counts itself.
_COUNTS = (0, _CALLS, _CALLS - 1)

_LENGTH = "the length of a list"

_Value = int | float | torch.Tensor


class _Slot(NamedTuple):
    """A place where a value is kept: of an object, a dictionary, a list or a closure."""

    name: str
    value: _Value
    put: Callable[[object], None]


class _Kept(NamedTuple):
    path: str
    layer: Layer
    part: object
    name: str
    before: _Value

    def changed(self) -> _Slot | None:
        """Return the same place as it is now; None where it holds what it did, or no number."""
        for slot in _slots(self.part):
            if slot.name == self.name and _changed(self.before, slot.value):
                return slot
        return None


class State:
    """Numbers and tensors that a model's parts keep, as they were."""

    def __init__(self, parts: list[tuple[str, object]]) -> None:
        self._kept: list[_Kept] = []
        for path, part in parts:
            layer = Layer.of(path, part)
            for slot in _slots(part):
                value = slot.value
                copied = value.detach().clone() if isinstance(value, torch.Tensor) else value
                self._kept.append(_Kept(path, layer, part, slot.name, copied))

    def changed(self) -> Iterator[Layer]:
        """Yield the layers that keep something which has changed."""
        yield from (kept.layer for kept in self._kept if kept.changed() is not None)

    def tried(self) -> set[str]:
        """Return the names of what has changed, which `extrapolations` tries: values and lists."""
        return {
            kept.path.rpartition(".")[2] if kept.name == _LENGTH else kept.name
            for kept in self._kept
            if kept.changed() is not None
        }

    def extrapolations(self) -> Generator[tuple[str, Layer], None, None]:
        """Set each value that has changed to later ones in turn; yield its name and layer.

        All are as they were when it is closed, which whoever stops early must do.
        """
        changed = [(kept, slot) for kept in self._kept if (slot := kept.changed()) is not None]
        try:
            for kept, slot in changed:
                for later in _later(kept.before, slot.value):
                    _assign(slot, later)
                    yield kept.name, kept.layer
                _assign(slot, kept.before)
        finally:
            for kept, slot in changed:
                _assign(slot, kept.before)


def _slots(part: object) -> Iterator[_Slot]:
    """Yield what an object keeps of numbers and floating tensors, its weights aside."""
    if isinstance(part, types.FunctionType):
        for name, cell in zip(part.__code__.co_freevars, part.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not yet assigned
                yield from _slot(name, cell.cell_contents, partial(setattr, cell, "cell_contents"))
        for name in part.__code__.co_names:
            if name in part.__globals__:
                put = partial(part.__globals__.__setitem__, name)
                yield from _slot(name, part.__globals__[name], put)
    if isinstance(part, MutableMapping):
        for key, value in list(part.items()):
            yield from _slot(str(key), value, partial(part.__setitem__, key))
    elif isinstance(part, list):
        yield from _slot(_LENGTH, len(part), partial(_resize, part, list(part)))
        for i, value in enumerate(part):
            yield from _slot(str(i), value, partial(part.__setitem__, i))
    if isinstance(part, torch.nn.Module):
        for name, buffer in part._buffers.items():
            yield from _slot(name, buffer, partial(setattr, part, name))
    for name, value in list(getattr(part, "__dict__", {}).items()):
        yield from _slot(name, value, partial(setattr, part, name))


def _slot(name: str, value: object, put: Callable[[object], None]) -> Iterator[_Slot]:
    if isinstance(value, torch.nn.Parameter | bool):
        return
    if isinstance(value, torch.Tensor):
        if value.dtype.is_floating_point and value.layout is torch.strided:
            yield _Slot(name, value, put)
    elif isinstance(value, int | float):
        yield _Slot(name, value, put)


def _resize(part: list[object], held: list[object], length: object) -> None:
    """Let a list hold the first of what it held, or its last again and again."""
    missing = int(str(length)) - len(held)
    part[:] = held[: len(held) + missing] if missing <= 0 else held + held[-1:] * missing


def _changed(before: _Value, now: _Value) -> bool:
    if isinstance(now, torch.Tensor) and isinstance(before, torch.Tensor):
        return now.shape == before.shape and not torch.equal(now, before)
    return type(now) is type(before) and bool(now != before)


def _later(before: _Value, now: _Value) -> Iterator[_Value]:
    """Yield what a value that has changed may be after many more calls."""
    if isinstance(now, int):
        yield from _COUNTS
    else:
        yield now + (now - before) * _CALLS


def _assign(slot: _Slot, value: _Value) -> None:
    if isinstance(slot.value, torch.Tensor):
        with torch.no_grad():
            slot.value.copy_(torch.as_tensor(value))
    else:
        slot.put(value)
