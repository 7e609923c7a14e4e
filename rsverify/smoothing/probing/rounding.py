"""What rounding does to a model's scores, so that it is not taken for a dependence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_INT8 = 2.0**-8
# In units of rounding: what numbers are moved by to see what it does.
_MOVED_BY = 4.0
_MOVES = 16

_Parts = list[tuple[str, object]]
_Run = Callable[[torch.Tensor], torch.Tensor]


def difference(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return by how much each row's scores differ; NaN equals NaN, and infinity itself."""
    same = (first == second) | (first.isnan() & second.isnan())
    apart = (first - second).abs().nan_to_num(nan=torch.inf)
    return apart.masked_fill(same, 0.0).amax(dim=1)


def relative_difference(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the differences of rows relative to the size of their scores."""
    finite = torch.where(first.isfinite(), first.abs(), 0.0).amax(dim=1)
    scale = torch.maximum(finite, finite.median()).clamp(min=1e-300)
    return difference(first, second) / scale


def spread(
    run: _Run, parts: _Parts, batch: torch.Tensor, scores: torch.Tensor, unit: float
) -> torch.Tensor:
    """Return by how much each row's scores move when numbers move within rounding.

    The batch is moved, and every second time the outputs of all layers too: kernels of other
    shapes round these otherwise, and where they are large and cancel, or are compared, that is
    more than what moves of the input do.
    """
    generator = torch.Generator().manual_seed(0)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():  # tokens
            return tensor
        drawn = torch.randint(0, 2, tensor.shape, generator=generator, device="cpu")
        signs = drawn.to(tensor.device)
        size = torch.maximum(tensor.abs(), tensor.abs().mean()) * (tensor != 0)
        return tensor + (_MOVED_BY * unit * size * (signs * 2 - 1)).to(tensor.dtype)

    most = torch.zeros(len(batch), dtype=torch.float64, device="cpu")
    for i in range(_MOVES):
        with _layers_moved(parts if i % 2 else [], moved):
            most = torch.maximum(most, difference(scores, run(moved(batch))))
    # A row may happen to round in the same way each time: it is not better than most.
    return torch.maximum(most, most.median())


@contextmanager
def _layers_moved(parts: _Parts, moved: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    def hook(_module: object, _in: object, output: object) -> object:
        def move(leaf: object) -> object:
            plain = isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.numel()
            return moved(leaf) if plain else leaf  # type: ignore[arg-type]

        return torch.utils._pytree.tree_map(move, output)

    layers = [
        part
        for _, part in parts
        if isinstance(part, torch.nn.Module) and not isinstance(part, torch.jit.ScriptModule)
    ]
    handles = [m.register_forward_hook(hook) for m in layers if not any(m.children())]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Precision(TorchDispatchMode):
    """Finds the coarsest floating type that operations compute in."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = 0.0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing here is compiled, and the compiler takes seconds to import."""
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = func(*args, **(kwargs or {}))
        if func.namespace == "quantized":
            self.unit = max(self.unit, _INT8)
        for part in output if isinstance(output, tuple | list) else (output,):
            if isinstance(part, torch.Tensor):
                self.unit = max(self.unit, _unit(part.dtype))
        return output


def rounding_unit(
    run: _Run, parts: _Parts, batch: torch.Tensor, autocast: torch.dtype | None
) -> tuple[float, torch.Tensor | None]:
    """Return the unit roundoff of the coarsest type that a model computes in, and its scores.

    Quantized layers round to eight bits, and the tensor cores of a GPU to the 11 of TF32 where
    that is allowed. Of what is not torch's own only the type of its scores is known, unless it
    says so by an attribute ``rounding``.
    """
    known = [getattr(part, "rounding", None) for _, part in parts]
    units = [_unit(batch.dtype), *(value for value in known if isinstance(value, float))]
    units += [_unit(t.dtype) for _, part in parts for t in _tensors(part)]
    if autocast is not None:
        units.append(_unit(autocast))
    if batch.device.type == "cuda" and (
        torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    ):
        units.append(_unit(torch.float16))
    if torch.get_float32_matmul_precision() == "medium":
        units.append(_unit(torch.bfloat16))
    seen, scores = _Precision(), None
    try:
        with seen:
            scores = run(batch)
    except Exception:  # some fused operations cannot be watched: what is known must do
        units.append(_unit(torch.get_default_dtype()))
    return max(*units, seen.unit), scores


def _unit(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point else 0.0


def _tensors(part: object) -> list[torch.Tensor]:
    """Return the tensors of a module itself."""
    if not isinstance(part, torch.nn.Module):
        return []
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]
