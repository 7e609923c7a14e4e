"""Lipschitz constants of single operations, in ℓ2, with shapes at hand.

A gain is the constant of the map from the operation's first argument to its result, all others
fixed; it takes that argument and the result (of one example input) for their shapes, then the
other arguments as torch takes them. A combination takes several arguments that depend on the
input, each with the constant it has so far. Constants are those of the functions in real
arithmetic; each is rounded up.
"""

# ruff: noqa: ARG001, D401  (arguments are torch's own; docstrings give the constant's reason)

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch

from rsverify.kernels.rounding import round_up_relative
from rsverify.smoothing.lipschitz.convolution import (
    convolution_norm_upper,
    matrix_norm_upper,
    root_upper,
)

Gain = Callable[..., float]
Sizes = int | Sequence[int]

_UNIT = 2.0**-53


class UnsupportedError(Exception):
    """An operation without a known constant; its text says why."""


# Largest slopes. relu6, hardtanh, tanh, softsign, ... have 1; the others, next float up, are
# Φ(√2) + √2 φ(√2) of gelu, and the largest derivatives of gelu's tanh form, silu, mish and selu
# (which is scale · alpha, at 0 from the left); the tests find them again with 30 digits.
GELU = 1.128904145185155
GELU_TANH = 1.128993068658772
SILU = 1.099839320128867
MISH = 1.088498161251728
SELU = 1.758099340847377


def slope(constant: float) -> Gain:
    """Return the gain of a function applied to each entry."""
    return lambda _x, _out, inplace=False: constant  # noqa: ARG005


def isometry(_x: object, _out: object, *args: object, **options: object) -> float:
    """Return 1, for what reorders, regroups or copies entries, each at most once."""
    if any(isinstance(a, torch.dtype) for a in (*args, *options.values())):
        raise UnsupportedError("it reads the same memory as other numbers")
    return 1.0


def cast(_x: object, _out: object, *_: object, **__: object) -> float:
    """Return 1, for another floating type or device (other types are refused everywhere)."""
    return 1.0


def hardtanh(
    _x: object, _out: object, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> float:
    """A projection on an interval."""
    return 1.0


def softshrink(_x: object, _out: object, lambd: float = 0.5) -> float:
    """Toward 0 by at most `lambd`."""
    return 1.0


def leaky(
    _x: torch.Tensor, _out: torch.Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> float:
    """Slope 1 on one side of 0, `negative_slope` on the other."""
    return max(1.0, abs(float(negative_slope)))


def prelu(_x: torch.Tensor, _out: torch.Tensor, weight: torch.Tensor) -> float:
    """Slope 1 on one side of 0, one of `weight` on the other."""
    return max(1.0, _largest(weight))


def rrelu(
    _x: torch.Tensor,
    _out: torch.Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> float:
    """Slope (lower + upper)/2 below 0 in evaluation mode."""
    _only_evaluation(training)
    return max(1.0, abs(lower), abs(upper))


def elu(_x: torch.Tensor, _out: torch.Tensor, alpha: float = 1.0, inplace: bool = False) -> float:
    """Slope alpha eˣ below 0."""
    return max(1.0, abs(float(alpha)))


def celu(_x: torch.Tensor, _out: torch.Tensor, alpha: float = 1.0, inplace: bool = False) -> float:
    """Slope e^(x/alpha) below 0."""
    if not alpha > 0:
        raise UnsupportedError(f"with alpha={alpha} its slope is not bounded")
    return 1.0


def gelu(_x: torch.Tensor, _out: torch.Tensor, approximate: str = "none") -> float:
    """See the constants."""
    return GELU if approximate == "none" else GELU_TANH


def softplus(
    _x: torch.Tensor, _out: torch.Tensor, beta: float = 1.0, threshold: float = 20.0
) -> float:
    """Slope of log(1 + e^(beta x))/beta; at a threshold of 20 or more the jump is rounding."""
    if threshold < 20:
        raise UnsupportedError(f"with threshold={threshold} it jumps; 20 or more is needed")
    return 1.0


def softmax(
    _x: torch.Tensor, _out: torch.Tensor, dim: object = None, *_: object, **__: object
) -> float:
    """See `rsverify.certificates.simplex`: diag(p) - pp' has norm at most 1/2, slice by slice."""
    return 0.5


def log_softmax(
    x: torch.Tensor, _out: torch.Tensor, dim: int | None = None, *_: object, **__: object
) -> float:
    """The Jacobian 1 - 1p' is a projection of norm √m ‖p‖, at most √m for m classes."""
    return root_upper(max(x.shape) if dim is None else x.shape[dim])


def dropout(
    _x: torch.Tensor,
    _out: torch.Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> float:
    """Nothing in evaluation mode."""
    _only_evaluation(training and p > 0.0)
    return 1.0


def mean(
    x: torch.Tensor,
    out: torch.Tensor,
    dim: object = None,
    keepdim: bool = False,
    dtype: object = None,
) -> float:
    """Of N entries each: by Cauchy and Schwarz 1/√N."""
    return round_up_relative(1.0 / math.sqrt(x.numel() / out.numel()), 2 * _UNIT)


def total(
    x: torch.Tensor,
    out: torch.Tensor,
    dim: object = None,
    keepdim: bool = False,
    dtype: object = None,
) -> float:
    """Of N entries each: √N."""
    return root_upper(x.numel() / out.numel())


def extreme(_x: torch.Tensor, _out: torch.Tensor, dim: object = (), keepdim: bool = False) -> float:
    """Largest or smallest of disjoint slices: 1, as for max pooling."""
    return 1.0


def broadcast(x: torch.Tensor, out: torch.Tensor, *_: object, **__: object) -> float:
    """Each entry shown N times: √N. For clamp too, whose limits may widen its argument."""
    return root_upper(out.numel() / x.numel())


def index(x: object, _out: object, key: object) -> float:
    """Take a part; with one list of places, as of channels, each as often as it is named."""
    keys = key if isinstance(key, tuple) else (key,)
    places = [k for k in keys if isinstance(k, list | tuple)]
    others = [k for k in keys if not isinstance(k, list | tuple)]
    if not all(k is None or k is Ellipsis or isinstance(k, int | slice) for k in others):
        raise UnsupportedError("an index that is a tensor may take an entry twice")
    if not places:
        return 1.0
    if len(places) > 1 or not all(type(p) is int for p in places[0]):
        raise UnsupportedError("an index of lists may take an entry twice")
    counts = Counter(places[0])
    # A place may be named from both ends.
    forward = max((n for p, n in counts.items() if p >= 0), default=0)
    backward = max((n for p, n in counts.items() if p < 0), default=0)
    return root_upper(forward + backward)


def linear(
    _x: torch.Tensor, _out: torch.Tensor, weight: torch.Tensor, bias: object = None
) -> float:
    """The spectral norm of the weights."""
    return matrix_norm_upper(weight)


def convolution(
    _x: torch.Tensor,
    _out: torch.Tensor,
    weight: torch.Tensor,
    bias: object = None,
    stride: Sizes = 1,
    padding: object = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> float:
    """See `.convolution`; the width of zero padding makes no difference."""
    dims = weight.ndim - 2
    return convolution_norm_upper(
        weight, stride=each(stride, dims), dilation=each(dilation, dims), groups=groups
    )


def transposed_convolution(
    x: torch.Tensor,
    out: torch.Tensor,
    weight: torch.Tensor,
    bias: object = None,
    stride: Sizes = 1,
    padding: object = 0,
    output_padding: object = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> float:
    """The adjoint of a convolution of the same weights, which has the same norm."""
    return convolution(x, out, weight, None, stride, 0, dilation, groups)


def batch_norm(
    _x: torch.Tensor,
    _out: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: object = None,
    training: bool = False,
    momentum: object = 0.1,
    eps: float = 1e-5,
) -> float:
    """A multiplication of each channel by weight/√(var + eps), in evaluation mode."""
    if training or running_var is None:
        raise UnsupportedError("it uses statistics of the batch: put it in evaluation mode")
    deviation = (running_var.detach().cpu().double() + eps).sqrt()
    factors = 1.0 / deviation if weight is None else weight.detach().cpu().double() / deviation
    return round_up_relative(_largest(factors), 8 * _UNIT)


def norm_of_slices(weight: torch.Tensor | None, eps: float | None) -> float:
    """Layer, group, instance and RMS normalization over slices of n entries: weight/√eps.

    z ↦ z/√(‖z‖²/n + eps) has the Jacobian (I - zz'/(n s²))/s with s = √(‖z‖²/n + eps), whose
    eigenvalues are 1/s and eps/s³, both at most 1/√eps, reached at z = 0; centering before it is
    a projection. Constants of these layers are large, as small inputs are blown up.
    """
    if not eps:
        raise UnsupportedError(f"with eps={eps} it is not Lipschitz")
    return round_up_relative(
        (1.0 if weight is None else _largest(weight)) / math.sqrt(eps), 4 * _UNIT
    )


def instance_norm(
    x: torch.Tensor,
    out: torch.Tensor,
    running_mean: torch.Tensor | None = None,
    running_var: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    bias: object = None,
    use_input_stats: bool = True,
    momentum: object = 0.1,
    eps: float = 1e-5,
) -> float:
    """As batch normalization with the module's statistics, else see `norm_of_slices`."""
    if not use_input_stats:
        return batch_norm(x, out, running_mean, running_var, weight, eps=eps)
    if running_var is not None:
        raise UnsupportedError("it changes statistics of its own: put it in evaluation mode")
    return norm_of_slices(weight, eps)


def layer_norm(
    _x: torch.Tensor,
    _out: torch.Tensor,
    shape: object,
    weight: torch.Tensor | None = None,
    bias: object = None,
    eps: float = 1e-5,
) -> float:
    """See `norm_of_slices`."""
    return norm_of_slices(weight, eps)


def group_norm(
    _x: torch.Tensor,
    _out: torch.Tensor,
    groups: object,
    weight: torch.Tensor | None = None,
    bias: object = None,
    eps: float = 1e-5,
) -> float:
    """See `norm_of_slices`."""
    return norm_of_slices(weight, eps)


def rms_norm(
    _x: torch.Tensor,
    _out: torch.Tensor,
    shape: object,
    weight: torch.Tensor | None = None,
    eps: float | None = None,
) -> float:
    """See `norm_of_slices`."""
    return norm_of_slices(weight, eps)


def scale(x: torch.Tensor, out: torch.Tensor, factor: torch.Tensor | float) -> float:
    """Return the gain of x ↦ factor · x, entry by entry, either widened to the other's shape.

    The square of the gain is the largest sum of squared factors over the results that one
    entry of x is in.
    """
    factors = torch.as_tensor(factor, dtype=torch.float64, device="cpu").detach()
    most = _largest(factors)
    if x.numel() == out.numel() or most == 0.0 or math.isinf(most):
        return most
    squares = (factors / most).square().broadcast_to(out.shape).sum_to_size(x.shape)
    relative = (out.numel() // x.numel() + 16) * _UNIT
    return round_up_relative(most * math.sqrt(float(squares.max())), relative)


def _only_evaluation(training: bool) -> None:
    if training:
        raise UnsupportedError("it is random in training mode: put it in evaluation mode")


def _largest(values: torch.Tensor) -> float:
    largest = float(values.detach().abs().max()) if values.numel() else 0.0
    if math.isnan(largest):
        raise UnsupportedError("one of its weights is NaN")
    return largest


def each(value: Sizes, dims: int) -> tuple[int, ...]:
    """Return one size a dimension."""
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * dims if len(sizes) == 1 else sizes
