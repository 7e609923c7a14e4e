"""Which layer it is that mixes rows, or does not repeat its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self, TypeGuard

import torch

from rsverify.smoothing.probing.randomness import Watch, sources

_Rows = slice | torch.Tensor
_Run = Callable[[torch.Tensor], torch.Tensor]
_Parts = list[tuple[str, object]]

_AXES = (
    "each row's scores must depend on that row alone, so look for statistics of the batch, a "
    "softmax, sum, sort or attention along dim=0, and padding to the batch's maximum"
)
PREPROCESS = "preprocess"
"""The name of preprocessing among the parts of a model, whose own is empty."""
_NORM = (
    "give it running statistics (track_running_stats=True, and train with them) or use "
    "GroupNorm or LayerNorm in its place"
)


class Layer(NamedTuple):
    """A layer, as a message names it."""

    name: str
    kind: str

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.kind})" if self.name else f"model {self.kind}"

    @property
    def cure(self) -> str:
        """What to change where a layer of this kind mixes rows."""
        return _NORM if "BatchNorm" in self.kind else _AXES

    @classmethod
    def of(cls, name: str, part: object) -> Self:
        """Return a layer by its path and itself."""
        return cls(name, str(getattr(part, "__name__", type(part).__name__)))

    @classmethod
    def outside(cls, parts: _Parts, *, of_model: bool) -> Self:
        """Return what runs outside all layers: preprocessing, or the model as a whole."""
        whole = {name: part for name, part in parts if name in ("", PREPROCESS)}
        name = "" if of_model or PREPROCESS not in whole else PREPROCESS
        return cls.of(name, whole[name])


class _Call(NamedTuple):
    """One call of a layer: its first tensor in, its first tensor out."""

    layer: Layer
    input: torch.Tensor | None
    output: torch.Tensor | None


def first_layer(
    run: _Run,
    parts: _Parts,
    first: tuple[torch.Tensor, _Rows],
    second: tuple[torch.Tensor, _Rows],
    tolerance: float,
) -> Layer:
    """Return the innermost layer whose outputs differ though its inputs do not.

    `first` and `second` are batches and the rows of each that are equal. Layers are taken in the
    order in which they finish, so a layer comes before the one that it is part of. Where none
    is found, it is the model as a whole.
    """
    before, after = (_calls(run, parts, batch) for batch, _ in (first, second))
    sizes = len(first[0]), len(second[0])
    for one, other in zip(before, after, strict=False):
        if one.layer != other.layer:
            break

        def differ(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
            rows = _rows(a, sizes[0], first[1]), _rows(b, sizes[1], second[1])
            return _differ(*rows, tolerance)

        if differ(one.output, other.output) and not differ(one.input, other.input):
            return one.layer
        if one.layer.name == "" and differ(one.input, other.input):
            return Layer.outside(parts, of_model=False)
    return Layer.outside(parts, of_model=True)


def drawing_layer(
    run: _Run, parts: _Parts, batch: torch.Tensor, device: torch.device
) -> Layer | None:
    """Return the innermost layer in which a generator of random numbers moves, if one does."""
    found: list[Layer] = []
    watched = sources(parts, device)
    started: list[Watch] = []

    def enter(_arguments: object) -> None:
        started.append(Watch(watched))

    def leave(layer: Layer, _output: object) -> None:
        if started.pop().moved():
            found.append(layer)

    whole = Watch(watched)
    with _hooked(parts, enter, leave):
        run(batch)
    if found:
        return found[0]
    hooked = any(name == "" and _takes_hooks(part) for name, part in parts)
    return Layer.outside(parts, of_model=not hooked) if whole.moved() else None


def _calls(run: _Run, parts: _Parts, batch: torch.Tensor) -> list[_Call]:
    calls: list[_Call] = []
    inputs: list[torch.Tensor | None] = []

    def enter(arguments: object) -> None:
        inputs.append(_copied(arguments))  # before the layer can overwrite it

    def leave(layer: Layer, output: object) -> None:
        calls.append(_Call(layer, inputs.pop(), _copied(output)))

    with _hooked(parts, enter, leave):
        run(batch)
    return calls


@contextmanager
def _hooked(
    parts: _Parts,
    enter: Callable[[object], None],
    leave: Callable[[Layer, object], None],
) -> Iterator[None]:
    """Have `enter` and `leave` called around each layer's forward."""
    handles = []
    for name, part in parts:
        if not _takes_hooks(part):
            continue
        layer = Layer.of(name, part)

        def before(_module: object, arguments: object) -> None:
            enter(arguments)

        def after(_module: object, _in: object, output: object, layer: Layer = layer) -> None:
            leave(layer, output)

        handles.append(part.register_forward_pre_hook(before))
        handles.append(part.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _takes_hooks(part: object) -> TypeGuard[torch.nn.Module]:
    return isinstance(part, torch.nn.Module) and not isinstance(part, torch.jit.ScriptModule)


def _copied(value: object) -> torch.Tensor | None:
    """Return a copy of the first tensor of numbers in what a layer was given or returned."""
    leaves = torch.utils._pytree.tree_leaves(value)
    tensor = next((t for t in leaves if isinstance(t, torch.Tensor) and not t.is_quantized), None)
    return None if tensor is None else tensor.detach().cpu().double()


def _rows(tensor: torch.Tensor | None, size: int, rows: _Rows) -> torch.Tensor | None:
    """Return the rows of an intermediate result, or None where it is not known which they are.

    The batch may be another dimension than the first, or be merged with the one after it, as
    tokens or windows are.
    """
    if tensor is None or tensor.ndim == 0:
        return None
    if size not in tensor.shape and tensor.shape[0] % size == 0:
        return tensor.reshape(size, -1)[rows]
    if size not in tensor.shape:
        return None
    dim = tensor.shape.index(size)
    return tensor.movedim(dim, 0).reshape(size, -1)[rows]


def _differ(a: torch.Tensor | None, b: torch.Tensor | None, tolerance: float) -> bool:
    if a is None or b is None or a.shape != b.shape or a.numel() == 0:
        return False
    apart = (a - b).abs().nan_to_num(nan=0.0, posinf=torch.inf)
    return bool(apart.max() > tolerance * a.abs().nan_to_num(nan=0.0, posinf=0.0).max())
