"""Guaranteed upper bounds of the ℓ2 Lipschitz constants of torch modules.

A module is traced by `torch.fx`, and a bound is carried from the input through each operation of
its graph: multiplied by the operation's own constant, added where branches are added, and so on.
What an operation is not known for is refused and named, never guessed. The constants, and what is
proved about them, are on the page *Theory of Lipschitz constants*.

A bound of a deep network is usually much larger than its constant, as the layers' worst
directions do not meet. It pays for networks that were built or trained to have small norms.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx
from torch.fx.node import map_aggregate

from rsverify._core.check import check_integer
from rsverify._core.progress import InputProgress
from rsverify.certificates.simplex import scores_lipschitz
from rsverify.smoothing.lipschitz.convolution import times
from rsverify.smoothing.lipschitz.gains import UnsupportedError
from rsverify.smoothing.lipschitz.operations import COMBINATIONS, FUNCTIONS, module_gain, name_of
from rsverify.smoothing.lipschitz.tracing import Stages, TensorMap, Tracer
from rsverify.smoothing.sampling.batches import evaluating

# Norms that were found before take no time, and need no bar.
_PATIENCE = 1.0
# What tells a shape or kind of tensor, not its values.
_SHAPE_METHODS = frozenset({"size", "dim", "numel", "is_floating_point", "stride"})
_SHAPE_ATTRIBUTES = frozenset({"shape", "ndim", "device", "dtype"})


class LayerBound(NamedTuple):
    """One operation of a module's graph."""

    name: str
    """Path of the module that it is, or is in, empty for the outermost."""
    operation: str
    """Class of the module, or name of the function."""
    gain: float | None
    """Constant of the operation itself, None where it joins several branches."""
    bound: float
    """Constant from the module's input to here."""


def lipschitz_bound(
    module: TensorMap,
    input_shape: Sequence[int],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> float:
    r"""Return an upper bound of the ℓ2 Lipschitz constant of a module.

    Parameters
    ----------
    module : torch.nn.Module or callable
        Maps a batch (b, \*input_shape) to a tensor, each row by itself. Taken in evaluation
        mode and left as found. `torch.fx` must be able to trace it: no control flow on values
        or shapes.
    input_shape : sequence of int
        Shape of one input, without the batch dimension. Constants of poolings, paddings,
        means and of what is widened depend on it.
    device : torch.device or str, optional
        Where to run the module, once, on zeros, for the shapes. By default where its
        parameters or buffers are.
    dtype : torch.dtype, optional
        Floating type of that input; by default that of the parameters or buffers.
    progress : bool
        Show progress on standard error, if that is a terminal and it takes over a second:
        a convolution of 64 channels takes about one, the first time.

    Returns
    -------
    float
        At least 0; infinity where only the float range ends.

    Raises
    ------
    ValueError
        If `torch.fx` cannot trace the module, if no constant is known of one of its
        operations (which is named, with the reason), or if a weight is not finite.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: ‖f(x) − f(z)‖₂ ≤ bound · ‖x − z‖₂ for all inputs x and z of that shape, f the
    function of real numbers that the module's weights define; rounding in the module's own
    arithmetic is not part of it. The bound's own arithmetic is rounded up.

    Not exact in general: constants of layers are multiplied [1]_. See `lipschitz_report`.

    References
    ----------
    .. [1] Szegedy et al., *Intriguing properties of neural networks*, ICLR 2014, section 4.3.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.lipschitz.bound import lipschitz_bound
    >>> layer = torch.nn.Linear(2, 2)
    >>> layer.weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> print(f"{lipschitz_bound(torch.nn.Sequential(layer, torch.nn.ReLU()), (2,)):.6f}")
    4.000000
    """
    rows = lipschitz_report(module, input_shape, device=device, dtype=dtype, progress=progress)
    return rows[-1].bound


def lipschitz_report(
    module: TensorMap,
    input_shape: Sequence[int],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> list[LayerBound]:
    r"""Return the bound after each operation of a module, in order; the last is the module's.

    Parameters
    ----------
    module, input_shape, device, dtype, progress
        As for `lipschitz_bound`.

    Returns
    -------
    list of LayerBound
        Named tuples (name, operation, gain, bound).

    Raises
    ------
    ValueError, TypeError
        As for `lipschitz_bound`.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.lipschitz.bound import lipschitz_report
    >>> layers = torch.nn.Sequential(torch.nn.AvgPool1d(4), torch.nn.Sigmoid())
    >>> for row in lipschitz_report(layers, (1, 8)):
    ...     print(f"{row.name}: {row.operation}, {row.gain:.3f}, {row.bound:.3f} so far")
    0: AvgPool1d, 0.500, 0.500 so far
    1: Sigmoid, 0.250, 0.125 so far
    : output, 1.000, 0.125 so far
    """
    if not callable(module):
        raise TypeError(f"module={module!r} must be a torch.nn.Module or a callable")
    sizes = check_integer("input_shape", list(input_shape))
    if sizes.ndim != 1 or (sizes < 1).any():
        raise ValueError(f"input_shape={tuple(input_shape)} must hold positive sizes")
    tensors: list[torch.Tensor] = []
    if isinstance(module, torch.nn.Module):
        tensors = [*module.parameters(), *module.buffers()]
    place = device or next((t.device for t in tensors), torch.device("cpu"))
    floating = (t.dtype for t in tensors if t.is_floating_point())
    kind = dtype or next(floating, torch.get_default_dtype())
    sample = torch.zeros(1, *sizes.tolist(), device=place, dtype=kind)
    return _report({"": module}, sample, progress)


def scores_lipschitz_bound(
    model: TensorMap,
    preprocess: TensorMap | None,
    sample: torch.Tensor,
    scores: str,
    temperature: float,
    progress: bool,
) -> float | None:
    """Return a bound for the scores of a smoothed classifier, None where there is none.

    The scores are s(model(preprocess(x))/T). Gaussian smoothing averages translates of x ↦ F(x),
    each with F's constant, so the mean scores have it too. For ``scores="hardmax"``, as for
    votes, F jumps: only the smoothing itself gives a constant.

    Raises
    ------
    ValueError, TypeError
        As `lipschitz_bound`.
    """
    if scores == "hardmax":
        return None
    stages = {} if preprocess is None else {"preprocess": preprocess}
    logits = _report({**stages, "": model}, torch.zeros_like(sample)[None], progress)[-1].bound
    if scores != "identity":
        logits = scores_lipschitz(scores, logits, temperature=temperature)
    # A constant network has 0, and any positive number as well.
    return max(logits, sys.float_info.min) if math.isfinite(logits) else None


def _report(stages: dict[str, TensorMap], sample: torch.Tensor, progress: bool) -> list[LayerBound]:
    with evaluating(*stages.values()):
        root = Stages(stages)
        tracer = Tracer()
        try:
            graph = tracer.trace(root)
        except Exception as error:
            raise ValueError(
                f"torch.fx cannot trace the module ({type(error).__name__}: {error}): write it "
                "without control flow on values or shapes, give the original torch.nn.Module "
                "in place of a compiled or exported one, or give a number for lipschitz"
            ) from error
        operations = len(graph.nodes)
        try:
            with InputProgress(
                "bounding the operations", operations, shown=progress, patience=_PATIENCE
            ) as bar:
                walk = _Walk(tracer.root, graph, bar)
                walk.run(sample)
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(
                f"the module does not take an input of shape {tuple(sample.shape[1:])} and "
                f"{sample.dtype}, in a batch of one: {error}"
            ) from error
    return walk.rows


class _Walk(fx.Interpreter):
    """Runs the graph on one input, for the shapes, and carries a bound to each node."""

    def __init__(self, root: torch.nn.Module, graph: fx.Graph, bar: InputProgress) -> None:
        super().__init__(root, graph=graph)
        self._bar = bar
        self.extra_traceback = False  # an error's message is for the user, not for torch.fx
        self.rows: list[LayerBound] = []
        self.bounds: dict[fx.Node, float] = {}
        self.overwritten: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        try:
            value = self._run_node(n)
        except UnsupportedError as error:
            name, operation = self._label(n)
            where = f"{name} ({operation})" if name else operation
            raise ValueError(
                f"no Lipschitz constant for {where}: {error}. Replace it, or give a number for "
                "lipschitz, or leave lipschitz out: smoothing has a constant of its own"
            ) from None
        self._bar.advance(1)
        return value

    def _run_node(self, n: fx.Node) -> Any:
        module = self.fetch_module(n)
        if isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.training:
            # Running it would change its statistics.
            raise UnsupportedError("it uses statistics of the batch: put it in evaluation mode")
        if self.overwritten.intersection(n.all_input_nodes):
            raise UnsupportedError(
                "it reads a tensor that was changed in place since: use the result of the "
                "operation in place, or an operation that is not"
            )
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        given = _tensors((args, kwargs))
        versions = [t._version for t in given]
        value = getattr(self, n.op)(n.target, args, kwargs)
        changed = [t for t, version in zip(given, versions, strict=True) if t._version != version]
        self._mark_overwritten(changed)
        self._record(n, args, kwargs, value)
        return value

    def _mark_overwritten(self, changed: list[torch.Tensor]) -> None:
        """Remember which nodes hold what an operation in place has changed, views included."""
        memory = {t.untyped_storage().data_ptr() for t in changed}
        for node, value in self.env.items():
            if any(t.untyped_storage().data_ptr() in memory for t in _tensors(value)):
                self.overwritten.add(node)
                if node not in self.bounds:
                    raise UnsupportedError("it changes a constant of the module in place")

    def _record(self, n: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Add the node's bound, if it depends on the input, or raise `UnsupportedError`."""
        if n.op == "placeholder":
            self.bounds[n] = 1.0
            return
        if not any(node in self.bounds for node in n.all_input_nodes):
            return  # made of constants alone
        if n.op == "output":
            if not isinstance(out, torch.Tensor):
                raise UnsupportedError(
                    f"it returns a {type(out).__name__}; wrap it to return one tensor"
                )
            self.rows.append(LayerBound("", "output", 1.0, self.bounds[n.all_input_nodes[0]]))
            return
        if _asks_for_shape(n):
            return
        if not all(t.is_floating_point() for t in _tensors(out)) or not _tensors(out):
            raise UnsupportedError("its result is not a tensor of a floating type")
        bounds = map_aggregate((n.args, n.kwargs), self._bound_of)
        gain, bound = _constants(n, self.fetch_module(n), args, kwargs, *bounds, out)
        self.bounds[n] = bound
        self.rows.append(LayerBound(*self._label(n), gain, bound))

    def _bound_of(self, argument: object) -> float | None:
        return self.bounds.get(argument) if isinstance(argument, fx.Node) else None

    def fetch_module(self, n: fx.Node) -> torch.nn.Module | None:
        """Return the module that a node calls, if it calls one."""
        if n.op != "call_module":
            return None
        module: torch.nn.Module = self.fetch_attr(str(n.target))
        return module

    def _label(self, n: fx.Node) -> tuple[str, str]:
        module = self.fetch_module(n)
        inside = [path for path, _ in n.meta.get("nn_module_stack", {}).values()]
        path = str(n.target) if module is not None else (inside[-1] if inside else "")
        operation = type(module).__name__ if module is not None else _function_name(n)
        return path.removeprefix("model").removeprefix("."), operation


def _constants(
    n: fx.Node,
    module: torch.nn.Module | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    arg_bounds: tuple[Any, ...],
    kwarg_bounds: dict[str, Any],
    out: Any,
) -> tuple[float | None, float]:
    """Return the gain of an operation on one function of the input, and the bound after it."""
    # The arguments that torch lets one name come first, as their rules expect them.
    for name in ("input", "tensors", "other"):
        if name in kwargs:
            args, arg_bounds = (*args, kwargs[name]), (*arg_bounds, kwarg_bounds[name])
    rest = {k: v for k, v in kwargs.items() if k not in ("input", "tensors", "other")}
    first = arg_bounds[0]
    if module is not None:
        gain = module_gain(module, args[0], out)
        if rest or len(args) != 1 or not isinstance(first, float):
            raise UnsupportedError("it is known for one tensor only")
        return gain, times(first, gain)
    known = name_of(n.target)
    if known is None:
        raise UnsupportedError("no Lipschitz constant of it is known here")
    if known in COMBINATIONS:
        joins = known in ("cat", "stack")
        values, bounds = (args[0], arg_bounds[0]) if joins else (args, arg_bounds)
        if isinstance(bounds, float):  # parts of one tensor
            bounds = [bounds] * len(values)
        if len(args) > 2 or (rest and not (joins and rest.keys() <= {"dim", "axis"})):
            raise UnsupportedError("it is not known with these arguments")
        return None, COMBINATIONS[known](values, bounds, out)
    others = [*_numbers(arg_bounds[1:]), *_numbers([kwarg_bounds[k] for k in rest])]
    if others or not isinstance(first, float):
        raise UnsupportedError("another argument than the first depends on the input")
    rule = FUNCTIONS[known]
    try:
        inspect.signature(rule).bind(args[0], out, *args[1:], **rest)
    except TypeError as error:
        raise UnsupportedError(f"it is not known with these arguments ({error})") from None
    gain = rule(args[0], out, *args[1:], **rest)
    return gain, times(first, gain)


def _asks_for_shape(n: fx.Node) -> bool:
    if n.op == "call_method":
        return n.target in _SHAPE_METHODS
    return n.target is getattr and n.args[1] in _SHAPE_ATTRIBUTES


def _function_name(n: fx.Node) -> str:
    known = name_of(n.target)
    return known or str(getattr(n.target, "__name__", n.target))


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    else:
        yield value


def _tensors(value: object) -> list[torch.Tensor]:
    return [leaf for leaf in _leaves(value) if isinstance(leaf, torch.Tensor)]


def _numbers(value: object) -> list[float]:
    return [leaf for leaf in _leaves(value) if isinstance(leaf, float)]
