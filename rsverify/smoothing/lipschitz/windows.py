"""Norms of pools and paddings: operators on windows, dimension by dimension.

Max pooling: |max a - max b| is at most max |a - b|, whose square is at most the sum over the
window; an entry is in m windows at most, so the operator is √m-Lipschitz, and that is reached.

Average pooling and padding are Kronecker products of one nonnegative matrix A a dimension, and the
norm of such a product is the product of the norms. For a nonnegative matrix B = AA' and any v > 0
the spectral radius is at most max (Bv)_i/v_i (Collatz and Wielandt: in the norm max |x_i|/v_i the
operator norm of B is that number). Each v gives a bound; v = Bv, normalized, soon a tight one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from rsverify._core.check import FloatArray, IntArray
from rsverify.kernels.rounding import round_up_relative

_UNIT = 2.0**-53
_STEPS = 60


def pool_windows(
    size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int = 1
) -> list[IntArray]:
    """Return the entries in each window of one dimension of a pool."""
    taps = np.arange(kernel) * dilation - padding
    windows = [taps + i * stride for i in range(outputs)]
    return [w[(w >= 0) & (w < size)] for w in windows]


def adaptive_windows(size: int, outputs: int) -> list[IntArray]:
    """Return the entries in each window of one dimension of an adaptive pool."""
    return [np.arange(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]


def padding_windows(size: int, before: int, after: int, mode: str) -> list[IntArray]:
    """Return the entry that each entry of a padded dimension shows, if any."""
    positions = np.arange(-before, size + after)
    if mode == "constant":
        return [p[(p >= 0) & (p < size)] for p in positions[:, None]]
    if mode == "circular":
        positions = positions % size
    elif mode == "replicate":
        positions = positions.clip(0, size - 1)
    else:  # reflect, by less than the size
        positions = (size - 1) - np.abs((size - 1) - np.abs(positions))
    return list(positions[:, None])


def largest_multiplicity(windows: Sequence[IntArray]) -> int:
    """Return in how many windows an entry is, at most."""
    entries = np.concatenate([*windows, np.zeros(0, dtype=np.int64)])
    return int(np.bincount(entries).max()) if entries.size else 0


def windows_norm_upper(windows: Sequence[IntArray], size: int, weights: FloatArray) -> float:
    """Return an upper bound on the norm of the sums over windows times `weights`, not negative."""
    counts = np.array([len(w) for w in windows], dtype=np.int64)
    entries = np.concatenate([*windows, np.zeros(0, dtype=np.int64)])
    starts = np.concatenate([[0], np.cumsum(counts)])
    shape = (len(windows), size)
    matrix = sparse.csr_array((np.repeat(weights, counts), entries, starts), shape=shape)
    transposed = matrix.T.tocsr()
    v = np.ones(len(windows))
    best = math.inf
    for _ in range(_STEPS):
        image = matrix @ (transposed @ v)
        best = min(best, float((image / v).max(initial=0.0)))
        if best == 0.0:
            return 0.0
        v = image / image.max() + 1e-6  # positive where a window is empty too
    # Sums of products of numbers that are not negative: no cancellation.
    terms = int(counts.max()) + largest_multiplicity(windows) + 8
    squared = round_up_relative(best, terms * _UNIT)
    return round_up_relative(math.sqrt(squared), 2 * _UNIT)
