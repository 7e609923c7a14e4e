"""Lipschitz constants of what looks at windows: pools, paddings, padded convolutions."""
# ruff: noqa: ARG001, D401  (arguments are torch's own; docstrings give the constant's reason)

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from rsverify.smoothing.lipschitz.convolution import (
    circular_convolution_norm_upper,
    convolution_norm_upper,
    root_upper,
    times,
)
from rsverify.smoothing.lipschitz.gains import Sizes, UnsupportedError, each
from rsverify.smoothing.lipschitz.recording import Form, Kwargs
from rsverify.smoothing.lipschitz.windows import (
    adaptive_windows,
    largest_multiplicity,
    padding_windows,
    pool_windows,
    windows_norm_upper,
)


def padded_convolution(
    x: torch.Tensor | Form,
    out: torch.Tensor,
    weight: torch.Tensor,
    pad: Sequence[int],
    mode: str,
    options: Kwargs,
) -> float:
    """Padding, then a convolution; of valid bounds the smaller."""
    bound = times(padding(x, out, pad, mode), convolution_norm_upper(weight, **options))
    if mode != "circular":
        return bound
    dims = weight.ndim - 2
    sizes, outputs = x.shape[-dims:], out.shape[-dims:]
    return min(bound, circular_convolution_norm_upper(weight, sizes, outputs, **options))


def padding(
    x: torch.Tensor | Form,
    _out: object,
    pad: Sequence[int],
    mode: str = "constant",
    value: object = None,
) -> float:
    """Entries shown several times; constants add nothing, a negative width takes away."""
    if mode != "constant" and min(pad) < 0:
        raise UnsupportedError(f"with padding={tuple(pad)} and mode={mode!r} it is not known")
    gain = 1.0
    for d in range(len(pad) // 2):
        before, after = pad[2 * d], pad[2 * d + 1]
        windows = padding_windows(x.shape[-1 - d], before, after, mode)
        gain = times(gain, root_upper(largest_multiplicity(windows)))
    return gain


def average_pool(
    x: torch.Tensor,
    out: torch.Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dims: int,
) -> float:
    """One matrix a dimension, with torch's divisors: a last window may reach past the padding."""
    gain = 1.0
    kernels, pads = each(kernel_size, dims), each(padding, dims)
    for d, (k, s, p) in enumerate(
        zip(kernels, each(stride or kernel_size, dims), pads, strict=True)
    ):
        size, count = x.shape[d - dims], out.shape[d - dims]
        windows = pool_windows(size, count, k, s, p)
        if divisor_override is not None:
            divisors = np.ones(count)
        elif count_include_pad:
            starts = np.arange(count) * s - p
            divisors = (np.minimum(starts + k, size + p) - starts).astype(np.float64)
        else:
            divisors = np.array([max(len(w), 1) for w in windows], dtype=np.float64)
        gain = times(gain, windows_norm_upper(windows, size, 1.0 / divisors))
    if divisor_override is None:
        return gain
    return math.nextafter(gain / abs(divisor_override), math.inf)


def adaptive_average_pool(x: torch.Tensor, out: torch.Tensor, _size: object, *, dims: int) -> float:
    """As `average_pool`, with torch's windows."""
    gain = 1.0
    for d in range(-dims, 0):
        windows = adaptive_windows(x.shape[d], out.shape[d])
        weights = 1.0 / np.array([len(w) for w in windows])
        gain = times(gain, windows_norm_upper(windows, x.shape[d], weights))
    return gain


def max_pool(
    x: torch.Tensor,
    out: torch.Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    dims: int,
) -> float:
    """The root of how many windows an entry is in, at most."""
    if return_indices:
        raise UnsupportedError("it returns indices, which jump")
    options = [each(o, dims) for o in (kernel_size, stride or kernel_size, padding, dilation)]
    most = 1
    for d, (k, s, p, spread) in enumerate(zip(*options, strict=True)):
        windows = pool_windows(x.shape[d - dims], out.shape[d - dims], k, s, p, spread)
        most *= largest_multiplicity(windows)
    return root_upper(most)


def adaptive_max_pool(
    x: torch.Tensor, out: torch.Tensor, _size: object, return_indices: bool = False, *, dims: int
) -> float:
    """As `max_pool`."""
    if return_indices:
        raise UnsupportedError("it returns indices, which jump")
    shapes = [(x.shape[d], out.shape[d]) for d in range(-dims, 0)]
    return root_upper(math.prod(largest_multiplicity(adaptive_windows(*s)) for s in shapes))
