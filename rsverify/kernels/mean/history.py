"""The log-capital of a long history at any candidate mean, at a cost that does not grow with it.

A capital with factors 1 + k y_i q, y_i >= 0, depends on the past through the y_i alone, in
any order. They are kept in cells: 16 to an octave, each with its count and the first moments
of e = y/c - 1, c the center of the cell, |e| <= 1/33. With u = k c q / (1 + k c q), which is
in [0, 1], an observation's part of the logarithm and of the sums of r = k y/(1 + k y q) is

    log(1 + k y q) = log(1 + k c q) + log(1 + u e),    r q = u (1 + e) / (1 + u e),

so that sums over a cell are short series in its moments.

Error: what the series leave out of the logarithm is less than 33**-10 / 10 of u for each
observation, 0.6 units; powers of r are off by at most 1e-11 relative (the first by 2e-15).
Observations below 2**-77 are taken as 0, which lowers the capital.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit

FloatArray = npt.NDArray[np.float64]

PER_OCTAVE = 16
LOWEST, HIGHEST = -76, 8
CELLS = (HIGHEST - LOWEST) * PER_OCTAVE
MOMENTS = 10
# BINOMIALS[k - 1, j]: the coefficient of (-z)**j in (1 + z)**-k.
POWERS = 6
BINOMIALS = np.array(
    [[math.comb(k + j, j) for j in range(MOMENTS)] for k in range(POWERS)], dtype=np.float64
)


@njit
def center_of(cell: int) -> float:
    """Return the center of a cell."""
    octave, part = divmod(cell, PER_OCTAVE)
    return math.ldexp(0.5 + (part + 0.5) / (2 * PER_OCTAVE), octave + LOWEST)


@njit
def put(y: float, cells: FloatArray) -> None:
    """Add the observation `y`, below 2**HIGHEST, to its cell."""
    mantissa, exponent = math.frexp(y)
    if y == 0.0 or exponent < LOWEST:
        return
    cell = (exponent - LOWEST) * PER_OCTAVE + int((mantissa - 0.5) * (2 * PER_OCTAVE))
    e, power = y / center_of(cell) - 1.0, 1.0
    for j in range(MOMENTS):
        cells[cell, j] += power
        power *= e


@njit
def add_history(
    q: float, ratios: FloatArray, cells: FloatArray, logs: FloatArray, sums: FloatArray
) -> None:
    """Add all cells at `q` to the logarithms and the sums of powers of r, one a ratio k.

    ``sums[p - 1]`` receives the sums of r**p, p up to POWERS.
    """
    mixed = np.empty((POWERS + 1, MOMENTS))
    for cell in range(cells.shape[0]):
        if cells[cell, 0] == 0.0:
            continue
        # mixed[p, j]: the sum of (1 + e)**p e**j, short of its last moments.
        mixed[0] = cells[cell]
        for p in range(1, POWERS + 1):
            for j in range(MOMENTS - 1):
                mixed[p, j] = mixed[p - 1, j] + mixed[p - 1, j + 1]
            mixed[p, MOMENTS - 1] = mixed[p - 1, MOMENTS - 1]
        for i in range(ratios.size):
            rise = ratios[i] * center_of(cell) * q
            u = rise / (1.0 + rise)
            series = 0.0
            for j in range(MOMENTS - 1, 0, -1):
                series = mixed[0, j] / j - u * series
            logs[i] += mixed[0, 0] * math.log1p(rise) + u * series
            power = 1.0
            for p in range(1, POWERS + 1):
                series = 0.0
                for j in range(MOMENTS - 1, -1, -1):
                    series = BINOMIALS[p - 1, j] * mixed[p, j] - u * series
                power *= u / q
                sums[p - 1, i] += power * series
