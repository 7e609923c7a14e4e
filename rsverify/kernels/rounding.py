"""Outward rounding: turn a value and its error bound into a value on the safe side."""

from __future__ import annotations

import math

import numpy as np

from rsverify._core.jit import njit


@njit
def next_up(x: float) -> float:
    """Return the smallest float64 above `x`."""
    return float(np.nextafter(x, math.inf))


@njit
def next_down(x: float) -> float:
    """Return the largest float64 below `x`."""
    return float(np.nextafter(x, -math.inf))


@njit
def round_up_relative(x: float, relative: float) -> float:
    """Return a float64 at or above every number within `relative` of `x`.

    The step covers an error of `relative` times the true value too, for `relative` up to
    1e-4, and the roundings of the two operations here; one float64 is added for subnormals.
    """
    return float(np.nextafter(x + abs(x) * (1.0001 * relative + 4.5e-16), math.inf))


@njit
def round_down_relative(x: float, relative: float) -> float:
    """Return a float64 at or below every number within `relative` of `x`."""
    return float(np.nextafter(x - abs(x) * (1.0001 * relative + 4.5e-16), -math.inf))
