"""What was recorded, computed again in float64: rounding must not be what a module computes.

A constant is that of a function of real numbers. In a module's own arithmetic ``(x + c) - c`` with
a large c rounds x, and so jumps. In float64 it nearly is x: the two are told apart.
"""

from __future__ import annotations

from typing import Any

import torch

from rsverify.smoothing.lipschitz.operations import CASTS
from rsverify.smoothing.lipschitz.recording import Node, Recording, Step, leaves, tensors_in


def in_float64(recording: Recording, x: torch.Tensor) -> torch.Tensor:
    """Return the result of a recording for the batch that was recorded, computed in float64."""
    values = {0: x.double()}
    last = _last_uses(recording)
    for i, step in enumerate(recording.steps):
        results = tensors_in(_again(step, values))
        values.update(zip(step.results, results, strict=True))
        for index in [index for index in values if last.get(index, -1) <= i]:
            del values[index]
    return values[recording.output]


def coarsest(recording: Recording) -> torch.dtype:
    """Return the floating type of a recording's results that rounds most."""
    kinds = {node.dtype for step in recording.steps for node in _forms(step.out)}
    floating = [kind for kind in kinds if kind.is_floating_point]
    return max(floating, key=lambda kind: torch.finfo(kind).eps, default=torch.float64)


def _forms(out: Any) -> list[Any]:
    return [leaf for leaf in leaves(out) if hasattr(leaf, "dtype")]


def _last_uses(recording: Recording) -> dict[int, int]:
    """Return the last step that each node is an argument of."""
    last = {recording.output: len(recording.steps)}
    for i, step in enumerate(recording.steps):
        for leaf in leaves((step.args, step.kwargs)):
            if isinstance(leaf, Node):
                last[leaf.index] = max(last.get(leaf.index, -1), i)
    return last


def _again(step: Step, values: dict[int, torch.Tensor]) -> object:
    if step.name in CASTS:
        return _taken(step.args[0], values)
    args = tuple(_taken(value, values) for value in step.args)
    kwargs = {key: _taken(value, values) for key, value in step.kwargs.items()}
    return step.call(*args, **kwargs)


def _taken(value: Any, values: dict[int, torch.Tensor]) -> Any:
    """Return an argument with the values of nodes, and in float64 what is in another type."""
    if isinstance(value, Node):
        return values[value.index].clone()  # which the operation may change in place
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    if isinstance(value, tuple | list):
        return type(value)(_taken(part, values) for part in value)
    if isinstance(value, dict):
        return {key: _taken(part, values) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*(_taken(part, values) for part in (value.start, value.stop, value.step)))
    return value
