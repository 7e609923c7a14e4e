"""Which gain belongs to which function and method of torch.

Functions are looked up by identity, so that nothing else passes for one; methods by name.
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

Operands = Sequence[Any]
"""What an operation joins: tensors, forms of tensors, or numbers."""
Bounds = Sequence[float | None]
"""The constant of each argument so far, None for one that does not depend on the input."""

_SLOPE_ONE = (
    *("relu", "relu6", "tanh", "abs", "neg", "negative", "sin", "cos", "atan", "arctan"),
    *("logsigmoid", "softsign", "tanhshrink"),
)
DROPOUTS = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout"),
)
_ISOMETRIES = (
    *("flatten", "reshape", "view", "permute", "transpose", "swapaxes", "movedim", "contiguous"),
    *(
        "squeeze",
        "unsqueeze",
        "view_as",
        "reshape_as",
        "unflatten",
        "flip",
        "roll",
        "clone",
        "detach",
        "pos",
    ),
    *(
        "chunk",
        "split",
        "unbind",
        "narrow",
        "select",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
    ),
)
CASTS = ("to", "float", "double", "half", "bfloat16", "cpu", "cuda", "type_as")
_WIDENING = ("clamp", "clip", "clamp_min", "clamp_max", "expand", "expand_as", "repeat")

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
    **dict.fromkeys(DROPOUTS, gains.dropout),
    **dict.fromkeys(_ISOMETRIES, gains.isometry),
    **dict.fromkeys(CASTS, gains.cast),
    **dict.fromkeys(_WIDENING, gains.broadcast),
    "getitem": gains.index,
    "mean": gains.mean,
    "sum": gains.total,
    "amax": gains.extreme,
    "amin": gains.extreme,
    "max": gains.extreme,
    "min": gains.extreme,
    "linear": gains.linear,
    "pad": window_gains.padding,
    "batch_norm": gains.batch_norm,
    "instance_norm": gains.instance_norm,
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

REASONS = {
    "Hardshrink": "it jumps",
    "Threshold": "it jumps",
    "GLU": "it multiplies two functions of the input, whose slope has no limit",
    "Bilinear": "it multiplies two functions of the input, whose slope has no limit",
    "MultiheadAttention": "dot-product attention has no Lipschitz constant over all inputs",
    "TransformerEncoderLayer": "dot-product attention has no Lipschitz constant over all inputs",
}
"""Reasons against layers of torch.nn, by class."""

_ALIASES = {
    **{f"i{name}": name for name in ("add", "sub", "mul")},
    **dict.fromkeys(("truediv", "itruediv", "divide", "true_divide"), "div"),
    **{"subtract": "sub", "multiply": "mul", "concat": "cat", "concatenate": "cat", "mm": "matmul"},
}


_HOMES = ("torch", "_operator", "_VariableFunctions")


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
                # What was put in place of torch's own would not be what its name says.
                home = getattr(function, "__module__", None)
                if callable(function) and (home is None or home.split(".")[0] in _HOMES):
                    names[function] = _ALIASES.get(name, name)
    return names


def _sum(values: Operands, bounds: Bounds, out: torch.Tensor) -> float:
    """L(f ± g) ≤ L(f) + L(g), each widened to the shape of the result."""
    bound = 0.0
    for value, so_far in zip(values, bounds, strict=True):
        if so_far is not None:
            bound = math.nextafter(bound + times(so_far, gains.broadcast(value, out)), math.inf)
    return bound


def _product(values: Operands, bounds: Bounds, out: torch.Tensor) -> float:
    (x, other), (first, second) = values, bounds
    if first is None:
        x, other, first, second = other, x, second, first
    if first is None or second is not None:
        raise gains.UnsupportedError(
            "it multiplies two functions of the input, whose slope has no limit"
        )
    return times(first, gains.scale(x, out, other))


def _quotient(values: Operands, bounds: Bounds, out: torch.Tensor) -> float:
    (x, divisor), (first, second) = values, bounds
    if first is None or second is not None:
        raise gains.UnsupportedError("it divides by a function of the input")
    inverse = 1.0 / torch.as_tensor(divisor, dtype=torch.float64, device="cpu").detach()
    return times(first, round_up_relative(gains.scale(x, out, inverse), 2.0**-52))


def _matrix_product(values: Operands, bounds: Bounds, _out: torch.Tensor) -> float:
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


def _joined(_parts: Operands, bounds: Sequence[float | None], _out: torch.Tensor) -> float:
    """Parts of one vector: the root of the sum of the squares."""
    return _root_sum_squares([b for b in bounds if b is not None])


def _larger(values: Operands, bounds: Bounds, out: torch.Tensor) -> float:
    """|max(a, b) - max(a', b')|² ≤ |a - a'|² + |b - b'|², each widened to the result's shape."""
    pairs = zip(values, bounds, strict=True)
    return _root_sum_squares([times(b, gains.broadcast(v, out)) for v, b in pairs if b is not None])


def _root_sum_squares(bounds: Sequence[float]) -> float:
    return round_up_relative(math.hypot(*bounds), (len(bounds) + 4) * 2.0**-52)


COMBINATIONS: dict[str, Callable[[Operands, Bounds, torch.Tensor], float]] = {
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
