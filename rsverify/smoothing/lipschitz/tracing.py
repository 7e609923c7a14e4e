"""What a module does to a tensor: recorded while it runs, on real tensors.

The module's code is not given stand-ins. It runs as it does when sampled, and torch itself tells
of each operation, at two levels: functions and methods as the code calls them (a
`TorchFunctionMode`), whose constants are known, and the kernels that anything runs in the end
(a `TorchDispatchMode`), which compiled, scripted and foreign code cannot avoid. What the first
level has not announced may not touch what depends on the input.

Whatever takes numbers out of such a tensor (a branch on values, ``.item()``, NumPy) is refused, so
the code cannot know which input it has been given, and calls the same operations for all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from rsverify.smoothing.lipschitz.names import (
    ATTRIBUTES,
    FACTORIES,
    FORM_ATTRIBUTES,
    FORM_METHODS,
    JUMPS,
    LIKE,
    READS,
    REVERSED,
    spelling,
    table_name,
)
from rsverify.smoothing.lipschitz.operations import DROPOUTS, REASONS
from rsverify.smoothing.lipschitz.recording import (
    Args,
    Form,
    Kwargs,
    Node,
    Place,
    Recording,
    Refused,
    Step,
    identical,
    is_layer,
    leaves,
    mapped_tensors,
    memory_of,
    module_of_frame,
    tensors_in,
)

TensorMap = Callable[[torch.Tensor], torch.Tensor]

# Writes the statistics of the module back unchanged where it does not take them from the input.
_WRITES_BACK = "instance_norm"
# Random in training mode alone, of which their rules ask: that says which operations have noise.
_RANDOM_IN_TRAINING = frozenset({"rrelu", *DROPOUTS})
# bfloat16: what is coarser is not a rounding of the model's own function any more.
_COARSEST = torch.finfo(torch.bfloat16).eps
_ORDINARY = (torch.Tensor, torch.nn.Parameter)
_PLAIN = (
    *(int, float, complex, bool, str, type(None), type(...)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


class Refusal(Exception):  # noqa: N818  (it ends a run, it is not an error of the module)
    """Ends a run at what is refused; kept by the recorder, as the code may catch it."""


def record(function: TensorMap, x: torch.Tensor, paths: dict[int, str]) -> tuple[Recording, Any]:
    """Run a function and return what it did to `x`, and what it returned.

    Parameters
    ----------
    function : callable
        Run once.
    x : Tensor
        Its argument.
    paths : dict of int to str
        Names of modules by their identity.

    Raises
    ------
    Refused
        At the first thing whose effect on the input is not known.
    """
    recorder = _Recorder(x, paths, sys._getframe())
    try:
        with recorder.kernels, recorder:
            result = function(x)
    except Exception:
        if recorder.refused is None:  # an error of the module's own
            raise
    if recorder.refused is not None:
        raise recorder.refused
    recorder.finish(result)
    return recorder.recording, result


class _Recorder(TorchFunctionMode):
    """Sees functions and methods of torch, as code calls them."""

    def __init__(self, x: torch.Tensor, paths: dict[int, str], bottom: FrameType) -> None:
        super().__init__()
        self.paths, self._bottom = paths, bottom
        self.recording = Recording()
        self.refused: Refused | None = None
        self.kernels = _Kernels(self)
        self.running: str | None = None  # the operation under way, "" for one of constants
        self.written: list[torch.Tensor] = []
        self._count = 0
        self._nodes: dict[int, Node] = {}
        self._stale: set[int] = set()
        self._values: dict[int, torch.Tensor] = {}
        self._kept: list[torch.Tensor] = []  # so that no identity is used twice
        self._made: set[int] = set()
        self.memory: dict[int, bool] = {}  # of what was made here: does it hold the input?
        self._add_node(x)

    # -- what is known of tensors ------------------------------------------------------------

    def _add_node(self, tensor: torch.Tensor) -> int:
        self._kept.append(tensor)
        self._nodes[id(tensor)] = Node(self._count, Form(tensor.shape, tensor.dtype))
        self._stale.discard(id(tensor))
        with self.kernels.off():
            self._values[id(tensor)] = tensor.detach().clone()
        self._count += 1
        self.memory[memory_of(tensor)] = True
        return self._count - 1

    def add_constant(self, tensor: torch.Tensor) -> None:
        """Remember what an operation on constants has made."""
        self._kept.append(tensor)
        self._made.add(id(tensor))

    def own(self, results: list[torch.Tensor], given: list[torch.Tensor]) -> None:
        """Remember memory that an operation has allocated."""
        before = {memory_of(t) for t in given}
        for tensor in results:
            if memory_of(tensor) not in before:
                self.memory.setdefault(memory_of(tensor), False)

    def touches_input(self, tensors: list[torch.Tensor]) -> bool:
        """Return whether one of the tensors reads memory that depends on the input."""
        return any(self.memory.get(memory_of(t), False) for t in tensors)

    def _dependent(self, tensors: list[torch.Tensor]) -> bool:
        return any(id(t) in self._nodes for t in tensors)

    # -- refusing ----------------------------------------------------------------------------

    def refuse(self, operation: str, reason: str) -> Refusal:
        """Keep why the run cannot go on, and return what ends it."""
        place, module = self._place(operation)
        if isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.training:
            reason = "it uses statistics of the batch: put it in evaluation mode"
        if self.refused is None:
            self.refused = Refused(place, reason)
        return Refusal(reason)

    def _place(self, operation: str) -> tuple[Place, torch.nn.Module | None]:
        """Return where an operation is called, and the innermost module."""
        module = module_of_frame(sys._getframe(1), self._bottom)
        if module is None:
            return Place("", "", operation), None
        cls = type(module)
        path = self.paths.get(id(module), "")
        if is_layer(module):
            return Place(path, cls.__name__, cls.__name__), module
        return Place(path, cls.__name__, operation), module

    # -- recording ---------------------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Args = (),
        kwargs: Kwargs | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = tensors_in((args, kwargs))
        spelled, attribute = spelling(func)
        like = spelled in LIKE and not kwargs
        if (
            not self._dependent(given)
            or spelled in FACTORIES
            or (like and not self._dependent(tensors_in(args[0])))
        ):
            return self._on_constants(func, args, kwargs, given)
        if spelled in (FORM_ATTRIBUTES if attribute else FORM_METHODS):
            return func(*args, **kwargs)
        if spelled == "__iter__":
            return iter(self.__torch_function__(torch.Tensor.unbind, types, (args[0], 0)))
        name = ATTRIBUTES.get(spelled) if attribute else table_name(func, spelled, args, kwargs)
        if name is None:
            raise self.refuse(spelled, self._reason(spelled))
        self._check_arguments(name, given)
        self._check_others(name, (args[:1] if attribute else args, kwargs))
        # A getter is given its owner's class beside the tensor, which is not an argument.
        arguments = args[:1] if attribute else (args[::-1] if spelled in REVERSED else args)
        call = _forward_of(func) if spelled in REVERSED else func
        recorded = mapped_tensors(
            (arguments[:1] if like else arguments, kwargs), self._kept_argument
        )
        out = self._run(name, func, args, kwargs)
        self._step(name, recorded, out, _like(out) if like else call)
        return out

    def _kept_argument(self, tensor: torch.Tensor) -> Node | torch.Tensor:
        """Return the node of an argument; constants made here might be changed later."""
        if (node := self._nodes.get(id(tensor))) is not None:
            return node
        return tensor if memory_of(tensor) not in self.memory else tensor.clone()

    def _reason(self, spelled: str) -> str:
        if spelled in READS:
            return (
                "it takes numbers out of a tensor that depends on the input, and what the code "
                "does with them is not seen"
            )
        if spelled in JUMPS:
            return "its result is not a tensor of a floating type: it jumps, or tells of values"
        place, _ = self._place(spelled)
        return REASONS.get(place.operation, "no Lipschitz constant of it is known here")

    def _on_constants(
        self,
        func: Callable[..., object],
        args: Args,
        kwargs: Kwargs,
        given: list[torch.Tensor],
    ) -> object:
        spelled, _ = spelling(func)
        before = self.running
        # What takes the form of a tensor that depends on the input may be given that tensor.
        self.running = spelled if self._dependent(given) else ""
        try:
            out = func(*args, **kwargs)
        finally:
            self.running = before
        made = tensors_in(out)
        for tensor in made:
            if any(tensor is t for t in given):
                continue
            if type(tensor) in _ORDINARY and self.touches_input([tensor]):
                raise self.refuse(spelled, "it reads a tensor under a name that is not known")
            self.add_constant(tensor)
        self._note_free([t for t in given if id(t) not in self._nodes])
        return out

    def _note_free(self, given: list[torch.Tensor]) -> None:
        """Keep the constants that no operation here has made."""
        for tensor in given:
            if id(tensor) not in self._made and id(tensor) not in self._nodes:
                self._made.add(id(tensor))
                self._kept.append(tensor)
                self.recording.constants.append(tensor)

    def _check_arguments(self, name: str, given: list[torch.Tensor]) -> None:
        for tensor in given:
            if type(tensor) not in _ORDINARY or tensor.layout is not torch.strided:
                raise self.refuse(
                    name,
                    f"one of its arguments is a {type(tensor).__name__}, {tensor.layout}, "
                    "which may have operations of its own",
                )
            if memory_of(tensor) == -1 and tensor.numel():
                raise self.refuse(
                    name, "a transform of torch.func is active (vmap, grad), which is not seen"
                )
        if any(id(t) in self._nodes and not t.is_floating_point() for t in given):
            raise self.refuse(name, "one of its arguments holds indices, which jump")
        if any(id(t) in self._stale for t in given):
            raise self.refuse(
                name,
                "it reads a tensor that was changed in place since: use the result of the "
                "operation in place, or an operation that is not",
            )
        for tensor in given:
            self._check_unchanged(name, tensor)
        self._note_free(given)

    def _check_others(self, name: str, arguments: object) -> None:
        """Refuse what may have operations of its own: objects, modes that are not ours."""
        for leaf in leaves(arguments):
            if not isinstance(leaf, torch.Tensor | np.generic) and type(leaf) not in _PLAIN:
                raise self.refuse(
                    name,
                    f"one of its arguments is a {type(leaf).__name__}, which may have operations "
                    "of its own",
                )
        others = [*_get_current_function_mode_stack(), *_get_current_dispatch_mode_stack()]
        for mode in others:
            if mode is not self.kernels and not isinstance(mode, DeviceContext):
                raise self.refuse(
                    name, f"a {type(mode).__name__} is active, which may change what it does"
                )

    def _check_unchanged(self, name: str, tensor: torch.Tensor) -> None:
        """Refuse what was changed by something that was not seen: another thread, NumPy."""
        known = self._values.get(id(tensor))
        with self.kernels.off():
            changed = known is not None and not identical(known, tensor)
        if changed:
            raise self.refuse(name, "it reads a tensor that was changed by what is not seen")

    def _run(self, name: str, func: Callable[..., object], args: Args, kwargs: Kwargs) -> object:
        before, self.running, self.written = self.running, name, []
        try:
            return func(*args, **kwargs)
        finally:
            self.running = before

    def _step(
        self,
        name: str,
        recorded: tuple[Args, Kwargs],
        out: object,
        call: Callable[..., object],
    ) -> None:
        """Add an operation that was run."""
        results = tensors_in(out)
        if not results:
            raise self.refuse(name, "its result is not a tensor of a floating type")
        for tensor in results:
            if type(tensor) not in _ORDINARY:
                raise self.refuse(name, f"its result is a {type(tensor).__name__}")
        self._mark_overwritten(name, results)
        indices = name in ("max", "min") and len(results) == 2
        floating = results[:1] if indices else results
        if not all(t.is_floating_point() for t in floating):
            raise self.refuse(name, "its result is not a tensor of a floating type")
        if any(torch.finfo(t.dtype).eps > _COARSEST for t in floating):
            raise self.refuse(
                name, f"its result is of {floating[0].dtype}, so coarse that it jumps"
            )
        numbers = [self._add_node(t) for t in results]
        place, _ = self._place(name)
        forms = mapped_tensors(out, lambda t: self._nodes[id(t)].form)
        args, kwargs = recorded
        self.recording.steps.append(Step(name, place, args, kwargs, forms, numbers, call))

    def _mark_overwritten(self, name: str, results: list[torch.Tensor]) -> None:
        """Remember which tensors hold what an operation in place has changed."""
        changed = {memory_of(t) for t in self.written}
        if not changed:
            return
        for tensor in self._kept:
            if memory_of(tensor) in changed and not any(tensor is t for t in results):
                if id(tensor) not in self._nodes:
                    raise self.refuse(name, "it changes a constant of the module in place")
                self._stale.add(id(tensor))

    def _output(self) -> Place:
        return Place("", "", "output")

    def finish(self, result: object) -> None:
        """Keep which node the result is."""
        if not isinstance(result, torch.Tensor):
            reason = f"it returns a {type(result).__name__}; wrap it to return one tensor"
            raise Refused(self._output(), reason)
        node = self._nodes.get(id(result))
        if node is None or not node.form.dtype.is_floating_point:
            reason = "what is returned does not come from the input by operations that were seen"
            raise Refused(self._output(), reason)
        if id(result) in self._stale:
            reason = "what is returned was changed in place under another name"
            raise Refused(self._output(), reason)
        if not identical(self._values[id(result)], result):
            reason = "what is returned was changed by what is not seen"
            raise Refused(self._output(), reason)
        self.recording.output = node.index


def _forward_of(func: Callable[..., object]) -> Callable[..., object]:
    """Return a reflected method as a function of its operands in the order in which they stand."""
    return lambda one, two: func(two, one)


def _like(out: object) -> Callable[..., object]:
    """Return what gives a tensor the shape that another one gave it."""
    shape = out.shape if isinstance(out, torch.Tensor) else torch.Size()

    def shaped(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(shape) if x.numel() == shape.numel() else x.expand(shape)

    return shaped


class _Kernels(TorchDispatchMode):
    """Sees the kernels that are run, whoever calls them."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._off = False

    @contextmanager
    def off(self) -> Iterator[None]:
        """Let the recorder's own operations pass."""
        before, self._off = self._off, True
        try:
            yield
        finally:
            self._off = before

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing here is compiled, and the compiler takes seconds to import."""
        return False

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: object,
        args: Args = (),
        kwargs: Kwargs | None = None,
    ) -> object:
        with torch._C.DisableTorchFunction():
            if self._off:
                return func(*args, **(kwargs or {}))
            return self._watched(func, args, kwargs or {})

    def _watched(self, func: torch._ops.OpOverload, args: Args, kwargs: Kwargs) -> object:
        recorder = self._recorder
        operation = recorder.running or func.__name__.partition(".")[0]
        given = tensors_in((args, kwargs))
        if not recorder.running and recorder.touches_input(given):
            raise recorder.refuse(
                operation,
                "it is called below Python, by compiled, scripted or exported code: "
                "give the original torch.nn.Module",
            )
        random = torch.Tag.nondeterministic_seeded in func.tags
        if random and recorder.running not in _RANDOM_IN_TRAINING:
            raise recorder.refuse(
                operation, "it is random: put it in evaluation mode, or take it out"
            )
        self._check_written(func, args, kwargs, operation)
        out = func(*args, **kwargs)
        if func is torch.ops.aten.lift_fresh.default:  # made of numbers in Python
            made = given
            recorder.own(made, [])
        else:
            made = [t for t in tensors_in(out) if not any(t is g for g in given)]
            recorder.own(made, given)
        if recorder.running is None:
            for tensor in made:
                recorder.add_constant(tensor)
        return out

    def _check_written(
        self, func: torch._ops.OpOverload, args: Args, kwargs: Kwargs, operation: str
    ) -> None:
        recorder = self._recorder
        for i, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            value = kwargs.get(argument.name, args[i] if i < len(args) else None)
            for tensor in tensors_in(value):
                if memory_of(tensor) not in recorder.memory and recorder.running != _WRITES_BACK:
                    raise recorder.refuse(
                        operation,
                        "it changes a tensor of the module in place, and so what the module "
                        "computes",
                    )
                recorder.written.append(tensor)
