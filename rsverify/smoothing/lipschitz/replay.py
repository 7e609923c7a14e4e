"""What was recorded, computed again in float64: rounding must not be what a module computes.

A constant is that of a function of real numbers. In a module's own arithmetic ``(x + c) - c`` with
a large c rounds x, and so jumps. In float64 it nearly is x: the two are told apart.
"""

from __future__ import annotations

from typing import Any

import torch

from rsverify.smoothing.lipschitz.operations import CASTS
from rsverify.smoothing.lipschitz.recording import Node, Recording, Step, leaves, mapped, tensors_in


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
    def taken(leaf: Any) -> Any:
        """Return the value of a node, and in float64 what is in another type."""
        if isinstance(leaf, Node):
            return values[leaf.index].clone()  # which the operation may change in place
        if isinstance(leaf, torch.Tensor):
            return leaf.double() if leaf.is_floating_point() else leaf
        if isinstance(leaf, torch.dtype):
            return torch.float64 if leaf.is_floating_point else leaf
        return leaf

    if step.name in CASTS:
        return taken(step.args[0])
    return step.call(*mapped(step.args, taken), **mapped(step.kwargs, taken))
