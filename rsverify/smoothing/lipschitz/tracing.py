"""Graphs of modules by torch.fx, with what changes tensors in place kept visible."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

TensorMap = Callable[[torch.Tensor], torch.Tensor]


class Stages(torch.nn.Module):
    """Functions applied one after the other, so that one trace goes through all of them."""

    def __init__(self, stages: dict[str, TensorMap]) -> None:
        super().__init__()
        # What torch.compile returns holds the module that it runs.
        self.stages = [getattr(stage, "_orig_mod", stage) for stage in stages.values()]
        for name, stage in zip(stages, self.stages, strict=True):
            if isinstance(stage, torch.nn.Module):
                self.add_module(name or "model", stage)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the stages one after the other."""
        for stage in self.stages:
            x = stage(x)
        return x


class Proxy(fx.Proxy):
    """Records ``x += y`` as an operation in place, where torch.fx would record ``x = x + y``."""

    def _in_place(self, function: Callable[..., Any], other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __iadd__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)


class Tracer(fx.Tracer):
    """Traces into everything but torch's own layers, also modules that functions close over."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the stand-in of a node."""
        return Proxy(node, self)

    def path_of_module(self, mod: torch.nn.Module) -> str:
        """Return the name of a module, also of one that a function closes over."""
        try:
            return super().path_of_module(mod)
        except NameError:
            name = f"function_{len(list(self.root.children()))}"
            self.root.add_module(name, mod)
            if self.submodule_paths is not None:
                self.submodule_paths[mod] = name
            return name
