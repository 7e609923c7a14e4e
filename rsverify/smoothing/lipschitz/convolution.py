r"""Norms of convolutions, paddings and pools as operators, bounded from above with proof.

**A convolution on any input size.** y[i] = Σ_t W[t] x[s·i + D·t − p], stride s, dilation D, with
zeros outside the input, is a submatrix of the same operator T on the infinite lattice ℤ^d (rows
are the outputs computed, columns the inputs there are). So ‖T‖ bounds it for every input size
and every zero padding.

*Dilation.* (TT*)[i, i'] = Σ W[t] W[t']ᵀ over the taps with s·(i' − i) = D·(t − t'). Let
g = gcd(s, D). Then t − t' = (s/g)·l and i' − i = (D/g)·l for an integer l: TT* is, on each class
of outputs modulo D/g, that of stride s/g and dilation 1. They have the same norm, dimension by
dimension.

*Stride.* With dilation 1, the s phases of the input become channels: T is a convolution of stride
1 whose tap q joins the taps s·q, …, s·q + s − 1 of W.

*Frequencies.* Stride 1: by Parseval ‖T‖ = sup ‖K(θ)‖ over real θ, K(θ) = Σ_q W[q] e^{iθ·q}. For
a unit vector v, p(θ) = ‖K(θ)*v‖² is a real trigonometric polynomial, not negative, of degree
n = (taps − 1) in each dimension. Where p has its maximum M in one dimension, M. Riesz's lemma
for p − M/2 ∈ [−M/2, M/2] gives p(θ* + t) ≥ M/2 + M/2·cos(n t) = M cos²(n t/2) for n|t| ≤ π (Riesz,
Jahresbericht DMV 23 (1914) 354-368). Of N > n equally spaced θ one has |t| ≤ π/N, so M is at most
the maximum over the grid / cos²(π n/2N). Applied to one dimension after the other, and to the
best v:

    ‖T‖ ≤ max over the grid of ‖K(θ)‖ / Π_d cos(π n_d / 2N_d).

With N = 32 n the last factor is 1.0012 a dimension. No other part of the bound is above the
supremum by more than 1e-8; a finite image may stay below the supremum by some per cent.

*Rounding.* Each e^{iθ·q} is off by at most 128 u (angles, and products of at most three factors),
the sum over Q taps by another 8 (Q + 8) u Σ_q |W[q]|, entry by entry; the Frobenius norm of that
is added.

**Circular padding** on n points: the unstrided operator is a circulant, whose blocks are K(θ) at
the n-th roots of unity (a kernel longer than n folds, which is the same), so its norm is at most
sup ‖K(θ)‖. The outputs are rows of it, repeated m times at most where the padding is wider than
needed: a factor √m. Where s divides n and there are n/s outputs, the strided supremum holds.

**Other paddings** are matrices with one 1 a row: the norm is the root of the largest column sum,
multiplied over the dimensions (a Kronecker product).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from rsverify.kernels.rounding import round_down_relative, round_up_relative
from rsverify.smoothing.lipschitz.spectral import frobenius_upper, spectral_norm_upper

_UNIT = 2.0**-53
# Points of the grid for each degree, and the work (in multiplications) that a finer one may cost.
_DENSITIES = (32, 16, 8)
_WORK = 1e9
_CHUNK_NUMBERS = 2**21

# Norms found, by the content of the weights: a model is bounded again for every input, and its
# weights may have changed in place. Holds numbers alone.
_found: dict[tuple[object, ...], float] = {}


def matrix_norm_upper(weight: torch.Tensor) -> float:
    """Return an upper bound on the spectral norm of a matrix, computed once for the same one."""
    return _once(torch.atleast_2d(weight), (), spectral_norm_upper)


def convolution_norm_upper(
    weight: torch.Tensor,
    *,
    stride: Sequence[int] = (),
    dilation: Sequence[int] = (),
    groups: int = 1,
) -> float:
    r"""Return an upper bound on the norm of a convolution with zeros around its input.

    Parameters
    ----------
    weight : Tensor, shape (out, in/groups, \*kernel)
        As `torch.nn.functional.conv2d` takes it; any number of dimensions.
    stride, dilation : sequence of int
        One of each a dimension; 1 where empty.
    groups : int
        Number of groups: their operators are disjoint, so the largest norm counts.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a weight is not finite.

    Notes
    -----
    *Guarantee*: at least the norm of the operator on inputs of every size, with zero padding
    of every width; proof at the head of this module. Computed once for the same weights.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.lipschitz.convolution import convolution_norm_upper
    >>> difference = torch.tensor([[[-1.0, 1.0]]])  # |e^(iθ) - 1| is at most 2
    >>> print(f"{convolution_norm_upper(difference):.4f}")
    2.0024
    """
    dims = weight.ndim - 2
    given = zip(stride or (1,) * dims, dilation or (1,) * dims, strict=True)
    steps = tuple(s // math.gcd(s, d) for s, d in given)
    return _once(weight, (steps, groups), lambda values: _supremum(values, steps, groups))


def circular_convolution_norm_upper(
    weight: torch.Tensor,
    sizes: Sequence[int],
    outputs: Sequence[int],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> float:
    """Return an upper bound on the norm of a convolution of a circularly padded input.

    Parameters
    ----------
    weight, stride, dilation, groups
        As for `convolution_norm_upper`.
    sizes, outputs : sequence of int
        Spatial sizes of the input, before padding, and of the output.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a weight is not finite.
    """
    if all(n == s * m for n, s, m in zip(sizes, stride, outputs, strict=True)):
        return convolution_norm_upper(weight, stride=stride, dilation=dilation, groups=groups)
    repeats = 1
    for n, s, m in zip(sizes, stride, outputs, strict=True):
        residues = torch.arange(m, device="cpu") * s % n
        repeats *= int(torch.bincount(residues).max())
    return times(convolution_norm_upper(weight, groups=groups), root_upper(repeats))


def times(*factors: float) -> float:
    """Return the product of numbers that are not negative, rounded up; 0 if one is 0."""
    product = 1.0
    for factor in factors:
        if factor == 0.0:
            return 0.0
        if factor != 1.0:
            product = math.nextafter(product * factor, math.inf)
    return product


def root_upper(value: float) -> float:
    """Return the square root, rounded up unless it is exact."""
    root = math.sqrt(value)
    return root if root * root == value and root == int(root) else math.nextafter(root, math.inf)


def _once(
    weight: torch.Tensor, options: tuple[object, ...], norm: Callable[[torch.Tensor], float]
) -> float:
    values = weight.detach().to(device="cpu", dtype=torch.float64).contiguous()
    content = hashlib.blake2b(values.numpy().data, digest_size=32).digest()
    key = (content, tuple(values.shape), options)
    if key not in _found:
        _found[key] = norm(values)
    return _found[key]


def _supremum(weight: torch.Tensor, steps: tuple[int, ...], groups: int) -> float:
    """Return an upper bound on the largest ‖K(θ)‖, of the group where it is largest."""
    if weight.numel() == 0:
        return 0.0
    taps, kernel = _as_stride_one(weight, steps, groups)
    grid = _grid_sizes(taps, kernel.shape)
    flat = kernel.reshape(len(kernel), -1)
    bound = 0.0
    for phases in _phases(taps, grid, max(1, _CHUNK_NUMBERS // flat.shape[1])):
        symbols = (phases @ flat.to(phases.dtype)).reshape(-1, *kernel.shape[-2:])
        bound = spectral_norm_upper(symbols, at_least=bound)
    lost = frobenius_upper(kernel.abs().sum(dim=0)) * (128 + 8 * (len(kernel) + 8)) * _UNIT
    correction = 1.0
    for count, size in zip(taps, grid, strict=True):
        if count > 1:
            correction *= math.cos(math.pi * (count - 1) / (2 * size))
    return round_up_relative(
        (bound + 1.001 * lost) / round_down_relative(correction, 32 * _UNIT), 8 * _UNIT
    )


def _as_stride_one(
    weight: torch.Tensor, steps: tuple[int, ...], groups: int
) -> tuple[list[int], torch.Tensor]:
    """Return taps a dimension and the kernel (taps, groups, out/groups, in/groups · phases)."""
    outputs, inputs, *kernel = weight.shape
    dims = len(kernel)
    taps = [-(-k // s) for k, s in zip(kernel, steps, strict=True)]
    missing = [(0, q * s - k) for q, s, k in zip(taps, steps, kernel, strict=True)]
    padded = torch.nn.functional.pad(weight, [n for pair in reversed(missing) for n in pair])
    pairs = [n for pair in zip(taps, steps, strict=True) for n in pair]
    split = padded.reshape(groups, outputs // groups, inputs, *pairs)
    tap_axes = range(3, 3 + 2 * dims, 2)
    phase_axes = range(4, 4 + 2 * dims, 2)
    ordered = split.permute(*tap_axes, 0, 1, 2, *phase_axes)
    return taps, ordered.reshape(math.prod(taps), groups, outputs // groups, -1)


def _grid_sizes(taps: list[int], shape: torch.Size) -> list[int]:
    """Return the number of frequencies a dimension: the finest grid that the work allows."""
    smaller, larger = sorted(shape[-2:])
    each = shape[1] * smaller * smaller * (larger + 4 * smaller)
    sizes = []
    for density in _DENSITIES:
        sizes = [1 if count == 1 else density * (count - 1) for count in taps]
        if math.prod(sizes) * each <= 2 * _WORK:
            break
    return sizes


def _phases(taps: list[int], grid: list[int], rows: int) -> Iterator[torch.Tensor]:
    """Yield e^{iθ·q} for all taps q and for frequencies θ of the grid, some rows at a time.

    K(-θ) is the conjugate of K(θ), so half of the first dimension with a grid is enough. A
    single frequency, θ = 0, is real.
    """
    halved = next((d for d, size in enumerate(grid) if size > 1), None)
    if halved is None:
        yield torch.ones(1, math.prod(taps), dtype=torch.float64, device="cpu")
        return
    tables, ranges = [], []
    for d, (count, size) in enumerate(zip(taps, grid, strict=True)):
        points = torch.arange(size, dtype=torch.float64, device="cpu")
        steps = points[:, None] * torch.arange(count, device="cpu") % size
        angles = steps * (2.0 * math.pi / size)
        tables.append(torch.polar(torch.ones_like(angles), angles))
        ranges.append(range(size // 2 + 1 if d == halved else size))
    indices = itertools.product(*ranges)
    while chosen := list(itertools.islice(indices, rows)):
        phases = torch.ones(len(chosen), 1, dtype=torch.complex128, device="cpu")
        for table, index in zip(tables, torch.tensor(chosen, device="cpu").T, strict=True):
            phases = (phases[:, :, None] * table[index][:, None, :]).reshape(len(chosen), -1)
        yield phases
