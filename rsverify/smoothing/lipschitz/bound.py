"""Guaranteed upper bounds of the ℓ2 Lipschitz constants of torch modules.

A module is run on an input and its operations are recorded. A bound is carried from the input
through each of them: multiplied by the operation's own constant, added where branches are added,
and so on. What an operation is not known for is refused and named, never guessed. So is whatever
could make the module do something else on other inputs or later: code that sees numbers, that
remembers, that asks a clock or draws. The constants, and what is proved, checked and assumed about
them, are on the page *Theory of Lipschitz constants*.

A bound of a deep network is usually much larger than its constant, as the layers' worst
directions do not meet. It pays for networks that were built or trained to have small norms.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from rsverify._core.check import (
    check_integer,
    shown,
)
from rsverify._core.progress import InputProgress
from rsverify._core.types import ScoreMapName
from rsverify.certificates.simplex import scores_lipschitz
from rsverify.smoothing.batches import evaluating
from rsverify.smoothing.device import choose_device
from rsverify.smoothing.lipschitz import gains, window_gains
from rsverify.smoothing.lipschitz.comparison import Sample, Subject
from rsverify.smoothing.lipschitz.convolution import times
from rsverify.smoothing.lipschitz.gains import UnsupportedError, each
from rsverify.smoothing.lipschitz.operations import COMBINATIONS, FUNCTIONS
from rsverify.smoothing.lipschitz.recording import (
    Args,
    Form,
    Kwargs,
    Node,
    Place,
    Recording,
    Refused,
    Step,
    leaves,
    mapped,
)
from rsverify.smoothing.lipschitz.tracing import TensorMap

__all__ = ["LayerBound", "lipschitz_bound", "lipschitz_report"]

# Norms that were found before take no time, and need no bar.
_PATIENCE = 1.0


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
        mode and left as found, but for what it sets up itself when first called. It may ask what
        a tensor is (its type, shape, device), but not for its numbers: no control flow on values.
    input_shape : sequence of int
        Shape of one input, without the batch dimension. Constants of poolings, paddings,
        means and of what is widened depend on it.
    device : torch.device or str, optional
        Where to run the module, on random inputs, in batches of up to 64 where inputs are
        small. By default where its parameters or buffers are.
    dtype : torch.dtype, optional
        Floating type of these inputs; by default that of the parameters or buffers.
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
        If no constant is known of one of the module's operations (which is named, with the
        reason), if it does anything that is not seen, differs between runs or batches, or fails,
        or if a weight is not finite.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: ‖f(x) − f(z)‖₂ ≤ bound · ‖x − z‖₂ for all inputs x and z of that shape, f the
    function of real numbers that the module's weights define; rounding in the module's own
    arithmetic is not part of it. The bound's own arithmetic is rounded up. Shown: the code meets
    no number of a tensor, so it calls the same operations for every input in a batch of one; its
    Python objects and tensors are the same after its calls. Compared on random inputs, near and
    far: recorded and not, again, in batches of other sizes. Assumed: that nothing else steers
    it, such as files, other threads' objects, or batch sizes that were not tried.

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
        raise TypeError(f"module={shown(module)} must be a torch.nn.Module or a callable")
    sizes = check_integer("input_shape", input_shape)
    if sizes.ndim != 1 or not sizes.size or (sizes < 1).any():
        raise ValueError(f"input_shape={shown(input_shape)} must hold positive sizes")
    tensors: list[torch.Tensor] = []
    if isinstance(module, torch.nn.Module):
        tensors = [*module.parameters(), *module.buffers()]
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype={shown(dtype)} must be a torch.dtype or None")
    place = None if device is None else choose_device(device)
    place = place or next((t.device for t in tensors), torch.device("cpu"))
    floating = (t.dtype for t in tensors if t.is_floating_point())
    kind = dtype or next(floating, torch.get_default_dtype())
    center = torch.zeros(*sizes.tolist(), device=place, dtype=kind)
    return _report({"": module}, Sample(center, 1.0), progress)


def scores_lipschitz_bound(
    model: TensorMap,
    preprocess: TensorMap | None,
    sample: Sample,
    scores: ScoreMapName,
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
    logits = _report({**stages, "": model}, sample, progress)[-1].bound
    if scores != "identity":
        logits = scores_lipschitz(scores, logits, temperature=temperature)
    # A constant network has 0, and any positive number as well.
    return max(logits, sys.float_info.min) if math.isfinite(logits) else None


def _report(stages: dict[str, TensorMap], sample: Sample, progress: bool) -> list[LayerBound]:
    with evaluating(*stages.values()):
        subject = Subject(stages)
        try:
            subject.record(sample.rows(1, seed=0))  # which may set up what later runs find there
            recording, _ = subject.record(sample.rows(1, seed=0))
            with InputProgress(
                "bounding the operations",
                len(recording.steps) + 1,
                shown=progress,
                patience=_PATIENCE,
                unit="operations",
            ) as bar:
                walk = _Walk(recording)
                walk.run(lambda: bar.advance(1))
            subject.compare(recording, sample, _bound_of, walk.rows[-1].bound)
        except Refused as error:
            raise _refusal(error.place, error.reason) from error.__cause__
    return walk.rows


def _bound_of(recording: Recording) -> float:
    walk = _Walk(recording)
    walk.run(lambda: None)
    return walk.rows[-1].bound


class _Walk:
    """Carries a bound through the steps of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._bounds: dict[int, float] = {0: 1.0}
        self._padded: dict[int, _Padded] = {}
        self.rows: list[LayerBound] = []

    def run(self, progress: Callable[[], None]) -> None:
        """Add a row for each step, or raise ValueError with the operation's name."""
        for step in self._recording.steps:
            with _named(step.place):
                self._add(step)
            progress()
        self.rows.append(LayerBound("", "output", 1.0, self._bounds[self._recording.output]))
        progress()

    def _add(self, step: Step) -> None:
        bounds = mapped(step.args, self._bound_of), mapped(step.kwargs, self._bound_of)
        args, kwargs = mapped(step.args, _form), mapped(step.kwargs, _form)
        gain, bound = _constants(step, args, kwargs, *bounds)
        first = step.args[0] if step.args and isinstance(step.args[0], Node) else None
        padded = None if first is None else self._padded.get(first.index)
        if padded is not None and step.place.operation == step.name.capitalize():
            # A layer that pads by itself is one operation.
            self.rows.pop()
            gain = padded.convolution_gain(args, kwargs, step.out)
            bound = times(padded.bound, gain)
        elif step.name == "pad" and first is not None:
            options = _bound_arguments(window_gains.padding, args, kwargs, step.out)
            if options["mode"] != "constant":
                self._padded[step.results[0]] = _Padded(
                    self._bounds[first.index], first.form, options["pad"], options["mode"]
                )
        self._bounds.update(dict.fromkeys(step.results, bound))
        self.rows.append(LayerBound(step.place.path, step.place.operation, gain, bound))

    def _bound_of(self, leaf: object) -> float | None:
        return self._bounds[leaf.index] if isinstance(leaf, Node) else None


class _Padded(NamedTuple):
    """What was padded otherwise than with zeros, and how."""

    bound: float
    form: Form
    pad: Sequence[int]
    mode: str

    def convolution_gain(self, args: Args, kwargs: Kwargs, out: torch.Tensor) -> float:
        """Return the gain of the padding and the convolution of its result."""
        given = _bound_arguments(gains.convolution, args, kwargs, out)
        dims = out.ndim - 2
        options = {name: each(given[name], dims) for name in ("stride", "dilation")}
        return window_gains.padded_convolution(  # which asks for the shape alone
            self.form,
            out,
            given["weight"],
            self.pad,
            self.mode,
            {**options, "groups": given["groups"]},
        )


@contextmanager
def _named(place: Place) -> Iterator[None]:
    """Turn what goes wrong in finding a constant into an error that names the operation."""
    try:
        yield
    except UnsupportedError as error:
        raise _refusal(place, str(error)) from None
    except (
        *(ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError),
        *(TypeError, AssertionError),
    ) as error:
        reason = f"it is not known with these arguments ({type(error).__name__}: {error})"
        raise _refusal(place, reason) from error


def _refusal(place: Place, reason: str) -> ValueError:
    return ValueError(
        f"no Lipschitz constant for {place}: {reason}. Replace it, or give a number for "
        "lipschitz, or leave lipschitz out: smoothing has a constant of its own"
    )


def _constants(
    step: Step,
    args: Args,
    kwargs: Kwargs,
    arg_bounds: Args,
    kwarg_bounds: Kwargs,
) -> tuple[float | None, float]:
    """Return the gain of an operation on one function of the input, and the bound after it."""
    # The arguments that torch lets one name come first, as their rules expect them.
    for name in ("input", "tensors", "other"):
        if name in kwargs:
            args, arg_bounds = (*args, kwargs[name]), (*arg_bounds, kwarg_bounds[name])
    rest = {k: v for k, v in kwargs.items() if k not in ("input", "tensors", "other")}
    first = arg_bounds[0]
    known, out = step.name, step.out
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
    _bound_arguments(rule, args, rest, out)
    gain = rule(args[0], out, *args[1:], **rest)
    return gain, times(first, gain)


def _bound_arguments(rule: gains.Gain, args: Args, kwargs: Kwargs, out: object) -> Kwargs:
    """Return all arguments of a rule by name, with its defaults."""
    rest = {k: v for k, v in kwargs.items() if k != "input"}
    first = args[0] if args else kwargs.get("input")
    try:
        bound = inspect.signature(rule).bind(first, out, *args[1:], **rest)
    except TypeError as error:
        raise UnsupportedError(f"it is not known with these arguments ({error})") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def _form(leaf: object) -> object:
    return leaf.form if isinstance(leaf, Node) else leaf


def _numbers(value: object) -> list[float]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, float)]
