"""Which gain belongs to which module, function and method of torch.

A module is looked up by the class that defines its ``forward``, so that a subclass with a
``forward`` of its own never passes for its base; functions by identity, methods by name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from rsverify.kernels.rounding import round_up_relative
from rsverify.smoothing.lipschitz import gains, window_gains
from rsverify.smoothing.lipschitz.convolution import matrix_norm_upper, times

Bounds = Sequence[float | None]
"""The constant of each argument so far, None for one that does not depend on the input."""

_SLOPE_ONE = (
    *("relu", "relu6", "tanh", "abs", "neg", "negative", "sin", "cos", "atan", "arctan"),
    *("logsigmoid", "softsign", "tanhshrink"),
)
_DROPOUTS = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout"),
)
_ISOMETRIES = (
    *("flatten", "reshape", "view", "permute", "transpose", "swapaxes", "movedim", "contiguous"),
    *("squeeze", "unsqueeze", "unflatten", "flip", "roll", "clone", "detach", "pos"),
    *("chunk", "split", "unbind", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
)
_CASTS = ("to", "float", "double", "half", "bfloat16", "cpu", "cuda", "type_as")
_WIDENING = ("clamp", "clip", "clamp_min", "clamp_max", "expand", "repeat")

FUNCTIONS: dict[str, gains.Gain] = {
    **dict.fromkeys(_SLOPE_ONE, gains.slope(1.0)),
    "sigmoid": gains.slope(0.25),
    "hardsigmoid": gains.slope(math.nextafter(1 / 6, 1.0)),
    "hardswish": gains.slope(1.5),
    "silu": gains.slope(gains.SILU),
    "mish": gains.slope(gains.MISH),
    "selu": gains.slope(gains.SELU),
    "gelu": gains.gelu,
    "leaky_relu": gains.leaky,
    "prelu": gains.prelu,
    "rrelu": gains.rrelu,
    "elu": gains.elu,
    "celu": gains.celu,
    "softplus": gains.softplus,
    "hardtanh": gains.hardtanh,
    "softshrink": gains.softshrink,
    "softmax": gains.softmax,
    "softmin": gains.softmax,
    "log_softmax": gains.log_softmax,
    **dict.fromkeys(_DROPOUTS, gains.dropout),
    **dict.fromkeys(_ISOMETRIES, gains.isometry),
    **dict.fromkeys(_CASTS, gains.cast),
    **dict.fromkeys(_WIDENING, gains.broadcast),
    "getitem": gains.index,
    "mean": gains.mean,
    "sum": gains.total,
    "amax": gains.extreme,
    "amin": gains.extreme,
    "linear": gains.linear,
    "pad": window_gains.padding,
    "batch_norm": gains.batch_norm,
    "layer_norm": gains.layer_norm,
    "group_norm": gains.group_norm,
    "rms_norm": gains.rms_norm,
    **{f"conv{d}d": gains.convolution for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": gains.transposed_convolution for d in (1, 2, 3)},
    **{f"avg_pool{d}d": partial(window_gains.average_pool, dims=d) for d in (1, 2, 3)},
    **{f"max_pool{d}d": partial(window_gains.max_pool, dims=d) for d in (1, 2, 3)},
    **{
        f"adaptive_avg_pool{d}d": partial(window_gains.adaptive_average_pool, dims=d)
        for d in (1, 2, 3)
    },
    **{
        f"adaptive_max_pool{d}d": partial(window_gains.adaptive_max_pool, dims=d) for d in (1, 2, 3)
    },
}
"""Gains by the name that torch, torch.nn.functional, operator and Tensor have for them."""

_POOL = ("kernel_size", "stride", "padding")
_PADS = {"ConstantPad": "constant", "ZeroPad": "constant", "ReflectionPad": "reflect"}
_PADS |= {"ReplicationPad": "replicate", "CircularPad": "circular"}

_PLAIN = (
    *("ReLU", "ReLU6", "Tanh", "LogSigmoid", "Softsign", "Tanhshrink", "Sigmoid", "Hardsigmoid"),
    *("Hardswish", "SiLU", "Mish", "SELU", "Hardtanh", "Softshrink", "Softmax", "Softmin"),
    *("Flatten", "Unflatten"),
)
_DROPOUT_LAYERS = (
    *("Dropout", "Dropout1d", "Dropout2d", "Dropout3d"),
    *("AlphaDropout", "FeatureAlphaDropout"),
)

# By class: the function that it stands for, and the attributes that are its arguments.
_AS_FUNCTION: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (name.lower(), ()) for name in _PLAIN},
    "Softmax2d": ("softmax", ()),
    "LogSoftmax": ("log_softmax", ("dim",)),
    "GELU": ("gelu", ("approximate",)),
    "LeakyReLU": ("leaky_relu", ("negative_slope",)),
    "PReLU": ("prelu", ("weight",)),
    "RReLU": ("rrelu", ("lower", "upper", "training")),
    "ELU": ("elu", ("alpha",)),
    "CELU": ("celu", ("alpha",)),
    "Softplus": ("softplus", ("beta", "threshold")),
    "Identity": ("clone", ()),
    "PixelShuffle": ("pixel_shuffle", ()),
    "PixelUnshuffle": ("pixel_unshuffle", ()),
    "ChannelShuffle": ("channel_shuffle", ()),
    **dict.fromkeys(_DROPOUT_LAYERS, ("dropout", ("p", "training"))),
    "Linear": ("linear", ("weight",)),
    **{
        f"MaxPool{d}d": (f"max_pool{d}d", (*_POOL, "dilation", "ceil_mode", "return_indices"))
        for d in (1, 2, 3)
    },
    **{
        f"AvgPool{d}d": (
            f"avg_pool{d}d",
            (*_POOL, "ceil_mode", "count_include_pad", *(["divisor_override"] if d > 1 else [])),
        )
        for d in (1, 2, 3)
    },
    **{f"AdaptiveAvgPool{d}d": (f"adaptive_avg_pool{d}d", ("output_size",)) for d in (1, 2, 3)},
    **{
        f"AdaptiveMaxPool{d}d": (f"adaptive_max_pool{d}d", ("output_size", "return_indices"))
        for d in (1, 2, 3)
    },
    "LayerNorm": ("layer_norm", ("normalized_shape", "weight", "bias", "eps")),
    "GroupNorm": ("group_norm", ("num_groups", "weight", "bias", "eps")),
    "RMSNorm": ("rms_norm", ("normalized_shape", "weight", "eps")),
    **{
        f"ConvTranspose{d}d": (
            f"conv_transpose{d}d",
            ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
        )
        for d in (1, 2, 3)
    },
}

_REASONS = {
    "Hardshrink": "it jumps",
    "Threshold": "it jumps",
    "GLU": "it multiplies two functions of the input, whose slope has no limit",
    "Bilinear": "it multiplies two functions of the input, whose slope has no limit",
    "MultiheadAttention": "dot-product attention has no Lipschitz constant over all inputs",
    "TransformerEncoderLayer": "dot-product attention has no Lipschitz constant over all inputs",
}


def module_gain(module: nn.Module, x: torch.Tensor, out: torch.Tensor) -> float:
    """Return the gain of a module of torch.nn.

    Raises
    ------
    UnsupportedError
        If it has none that is known; the reason is the text.
    """
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise gains.UnsupportedError(
            "hooks, such as those of torch.nn.utils.weight_norm, may change what it computes: "
            "remove them, or use torch.nn.utils.parametrizations"
        )
    owner = next(c for c in type(module).__mro__ if "forward" in vars(c))
    known = _modules().get(owner)
    if known is None:
        reason = _REASONS.get(owner.__name__, "no Lipschitz constant of it is known here")
        raise gains.UnsupportedError(reason)
    return known(module, x, out)


@cache
def _modules() -> dict[type, Callable[[Any, torch.Tensor, torch.Tensor], float]]:
    table: dict[type, Callable[[Any, torch.Tensor, torch.Tensor], float]] = {}
    for name, (function, attributes) in _AS_FUNCTION.items():
        if hasattr(nn, name):  # RMSNorm, CircularPad and others are younger than torch 2.0
            table[getattr(nn, name)] = partial(_as_function, FUNCTIONS[function], attributes)
    for prefix, mode in _PADS.items():
        for d in (1, 2, 3):
            pad = getattr(nn, f"{prefix}{d}d", None)
            if pad is not None:
                table[_definer(pad)] = partial(window_gains.pad_module, mode=mode)
    for d in (1, 2, 3):
        table[getattr(nn, f"Conv{d}d")] = window_gains.padded_convolution
    table[_definer(nn.BatchNorm2d)] = _batch_norm
    table[_definer(nn.InstanceNorm2d)] = _instance_norm
    return {_definer(cls): gain for cls, gain in table.items()}


def _definer(cls: type) -> type:
    """Return the class that defines its ``forward``."""
    return next(c for c in cls.__mro__ if "forward" in vars(c))


def _as_function(
    gain: gains.Gain, attributes: Sequence[str], module: Any, x: torch.Tensor, out: torch.Tensor
) -> float:
    return gain(x, out, *(getattr(module, name) for name in attributes))


def _batch_norm(module: Any, x: torch.Tensor, out: torch.Tensor) -> float:
    statistics = module.running_mean, module.running_var
    options = {"training": module.training, "eps": module.eps}
    return gains.batch_norm(x, out, *statistics, module.weight, **options)


def _instance_norm(module: Any, x: torch.Tensor, out: torch.Tensor) -> float:
    if module.running_var is not None and not module.training:
        return _batch_norm(module, x, out)
    return gains.norm_of_slices(module.weight, module.eps)


_ALIASES = {
    **{f"i{name}": name for name in ("add", "sub", "mul")},
    **dict.fromkeys(("truediv", "itruediv", "divide", "true_divide"), "div"),
    **{"subtract": "sub", "multiply": "mul", "concat": "cat", "concatenate": "cat", "mm": "matmul"},
}


def name_of(target: object) -> str | None:
    """Return the name in the tables of a function or of a method's name, None for unknown ones."""
    if isinstance(target, str):
        plain = target.strip("_") if target.startswith("__") else target.removesuffix("_")
        name = _ALIASES.get(plain, plain)
        return name if name in FUNCTIONS or name in COMBINATIONS else None
    return _names().get(target) if callable(target) else None


@cache
def _names() -> dict[object, str]:
    names: dict[object, str] = {}
    spaces = (operator, torch, nn.functional)
    for name in (*FUNCTIONS, *COMBINATIONS, *_ALIASES):
        for space in spaces:
            for spelling in (name, f"{name}_"):
                function = getattr(space, spelling, None)
                if callable(function):
                    names[function] = _ALIASES.get(name, name)
    return names


def _sum(values: Sequence[Any], bounds: Bounds, out: torch.Tensor) -> float:
    """L(f ± g) ≤ L(f) + L(g), each widened to the shape of the result."""
    bound = 0.0
    for value, so_far in zip(values, bounds, strict=True):
        if so_far is not None:
            bound = math.nextafter(bound + times(so_far, gains.broadcast(value, out)), math.inf)
    return bound


def _product(values: Sequence[Any], bounds: Bounds, out: torch.Tensor) -> float:
    (x, other), (first, second) = values, bounds
    if first is None:
        x, other, first, second = other, x, second, first
    if first is None or second is not None:
        raise gains.UnsupportedError(
            "it multiplies two functions of the input, whose slope has no limit"
        )
    return times(first, gains.scale(x, out, other))


def _quotient(values: Sequence[Any], bounds: Bounds, out: torch.Tensor) -> float:
    (x, divisor), (first, second) = values, bounds
    if first is None or second is not None:
        raise gains.UnsupportedError("it divides by a function of the input")
    inverse = 1.0 / torch.as_tensor(divisor, dtype=torch.float64, device="cpu").detach()
    return times(first, round_up_relative(gains.scale(x, out, inverse), 2.0**-52))


def _matrix_product(values: Sequence[Any], bounds: Bounds, _out: torch.Tensor) -> float:
    """Multiply each row, or column, by one fixed matrix."""
    (a, b), (first, second) = values, bounds
    matrix, so_far = (b, first) if second is None else (a, second)
    if so_far is None or (first is not None and second is not None):
        raise gains.UnsupportedError(
            "it multiplies two functions of the input, whose slope has no limit"
        )
    if matrix.ndim > 2:
        raise gains.UnsupportedError("the fixed factor must be one matrix")
    return times(so_far, matrix_norm_upper(matrix if matrix.ndim == 2 else matrix[None]))


def _joined(_parts: Sequence[Any], bounds: Sequence[float | None], _out: torch.Tensor) -> float:
    """Parts of one vector: the root of the sum of the squares."""
    return _root_sum_squares([b for b in bounds if b is not None])


def _larger(values: Sequence[Any], bounds: Bounds, out: torch.Tensor) -> float:
    """|max(a, b) - max(a', b')|² ≤ |a - a'|² + |b - b'|², each widened to the result's shape."""
    pairs = zip(values, bounds, strict=True)
    return _root_sum_squares([times(b, gains.broadcast(v, out)) for v, b in pairs if b is not None])


def _root_sum_squares(bounds: Sequence[float]) -> float:
    return round_up_relative(math.hypot(*bounds), (len(bounds) + 4) * 2.0**-52)


COMBINATIONS: dict[str, Callable[[Sequence[Any], Bounds, torch.Tensor], float]] = {
    "add": _sum,
    "sub": _sum,
    "mul": _product,
    "div": _quotient,
    "matmul": _matrix_product,
    "maximum": _larger,
    "minimum": _larger,
    "cat": _joined,
    "stack": _joined,
}
"""Constants of what joins several functions of the input, by name."""
