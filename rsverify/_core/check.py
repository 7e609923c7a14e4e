"""Argument checks: the only place where bad input raises.

Each check returns its argument as a numpy array of the type the kernels expect, or raises
an error of the form ``alpha=1.2 must be in (0, 1)``: name, value, what it must be.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rsverify._core.types import FloatArray as FloatArray
from rsverify._core.types import IntArray as IntArray

_LEAST_SHARE = float(np.finfo(np.float64).smallest_normal)

Choice = TypeVar("Choice", bound=str)


def _first(values: npt.NDArray[Any], bad: npt.NDArray[np.bool_]) -> object:
    """Return the first offending value, for an error message."""
    value: object = values[bad].flat[0].item()
    return value


def check_real(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is not numeric or holds NaN."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}={value!r} must be a real number or an array of them")
    real = array.astype(np.float64)
    if np.isnan(real).any():
        raise ValueError(f"{name} contains NaN; it must hold real numbers only")
    return real


def check_integer(name: str, value: npt.ArrayLike) -> IntArray:
    """Return `value` as int64, or raise where it is not integral."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}={value!r} must be an integer or an array of integers")
    if array.dtype.kind == "f":
        bad = ~(np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**53))
        if bad.any():
            raise ValueError(f"{name}={_first(array, bad)} must be an integer")
    return array.astype(np.int64)


def check_alpha(alpha: npt.ArrayLike) -> FloatArray:
    """Return `alpha` as float64, or raise where it is outside (0, 1)."""
    return check_fraction("alpha", alpha)


def share_of_alpha(alpha: npt.ArrayLike, share: npt.ArrayLike) -> FloatArray:
    """Return `share` times `alpha`, or raise where float64 has no digits for so little."""
    level, part = np.broadcast_arrays(np.asarray(alpha), np.asarray(share))
    product: FloatArray = np.asarray(level * part)
    bad = ~(product >= _LEAST_SHARE)
    if bad.any():
        raise ValueError(
            f"alpha={_first(level, bad)} is too small: {_first(part, bad):g} of it must be at "
            f"least {_LEAST_SHARE:.3g}"
        )
    return product


def check_trials(n: npt.ArrayLike, largest: int) -> IntArray:
    """Return the number of trials `n` as int64, or raise where it is outside [1, largest]."""
    array = check_integer("n", n)
    bad = (array < 1) | (array > largest)
    if bad.any():
        raise ValueError(f"n={_first(array, bad)} must be between 1 and {largest}")
    return array


def check_count(name: str, k: npt.ArrayLike, n: IntArray) -> IntArray:
    """Return the count `k` as int64, or raise where it is outside [0, n]."""
    array = check_integer(name, k)
    try:
        counts, trials = np.broadcast_arrays(array, n)
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} must broadcast with n of shape {n.shape}"
        ) from None
    bad = counts < 0
    if bad.any():
        raise ValueError(f"{name}={_first(counts, bad)} must be at least 0")
    bad = counts > trials
    if bad.any():
        raise ValueError(f"{name}={_first(counts, bad)} must be at most n={_first(trials, bad)}")
    return array


def check_positive(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is not positive and finite."""
    array = check_real(name, value)
    bad = ~((array > 0) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"{name}={_first(array, bad)} must be positive and finite")
    return array


def check_seed(seed: int) -> int:
    """Return `seed`, or raise where it is no nonnegative integer."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r} must be a nonnegative integer")
    return seed


def check_choice(name: str, value: object, choices: Iterable[Choice]) -> Choice:
    """Return `value`, or raise where it is not one of `choices`."""
    allowed = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}")
    for choice in allowed:
        if value == choice:
            return choice
    raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}")


def check_broadcast(**arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return the common shape of the named arrays, or raise naming their shapes."""
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name}: {a.shape}" for name, a in arrays.items())
        raise ValueError(f"arguments must broadcast to one shape, got {shapes}") from None


def check_fraction(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is outside (0, 1)."""
    array = check_real(name, value)
    bad = ~((array > 0) & (array < 1))
    if bad.any():
        raise ValueError(f"{name}={_first(array, bad)} must be in (0, 1)")
    return array


def check_probability(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is outside [0, 1]."""
    array = check_real(name, value)
    bad = ~((array >= 0) & (array <= 1))
    if bad.any():
        raise ValueError(f"{name}={_first(array, bad)} must be in [0, 1]")
    return array


def check_order(order: int, largest: int) -> int:
    """Return the Taylor order as int, or raise where it is not an integer in [0, largest]."""
    array = check_integer("order", order)
    if array.ndim or not 0 <= array <= largest:
        raise ValueError(f"order={order} must be an integer between 0 and {largest}")
    return int(array)


def check_callable(name: str, value: object) -> None:
    """Raise where `value` cannot be called."""
    if not callable(value):
        raise TypeError(f"{name}={value!r} must be a callable")


def check_takes(name: str, function: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """Raise where `function` cannot be called with arguments like these."""
    try:
        signature = inspect.signature(function)
    except Exception:  # compiled functions may have none, others fail to tell: they are tried
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{name} must take ({', '.join(arguments)}): {error}") from None
