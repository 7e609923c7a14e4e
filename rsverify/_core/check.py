"""Argument checks: the only place where bad input raises.

Each check returns its argument as a numpy array of the type the kernels expect, or raises
an error of the form ``alpha=1.2 must be in (0, 1)``: name, value, what it must be.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from rsverify._core.errors import cause_of
from rsverify._core.types import AnyArray
from rsverify._core.types import FloatArray as FloatArray
from rsverify._core.types import IntArray as IntArray

_LEAST_SHARE = float(np.finfo(np.float64).smallest_normal)

LARGEST_SIZE = 2**53
"""Integers up to here are exact as floats."""

_LONGEST_SHOWN = 80

Choice = TypeVar("Choice", bound=str)


def _first(values: AnyArray, bad: npt.NDArray[np.bool_]) -> object:
    """Return the first offending value, for an error message."""
    value: object = values[bad].flat[0].item()
    return value


def shown(value: object) -> str:
    """Return a value as messages show it: on one line, and not too long."""
    try:
        text = repr(value)
    except Exception:  # of an object of the user's; or an integer of too many digits to print
        text = f"({type(value).__name__})"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _numbers(name: str, value: object, what: str) -> AnyArray:
    """Return `value` as an array of integers or floats, or raise where it holds anything else.

    Everything that numpy would change or lose in silence is refused here: masks, truth values,
    imaginary parts.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost: give {name}.compressed(), or "
            f"{name}.filled(…) with what is to stand there"
        )
    plain = isinstance(value, np.ndarray | np.generic | int | float)
    try:
        array = np.asarray(value) if plain else _as_array(value)
    except Exception as error:  # array-likes of other packages raise errors of all kinds
        raise TypeError(
            f"{name}={shown(value)} must be {what}: numpy cannot take it ({cause_of(error)})"
        ) from None
    if array.dtype.kind == "O":
        array = _unboxed(name, array, what)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}={shown(value)} must be {what}")
    return array


def _as_array(value: object) -> AnyArray:
    if isinstance(value, list | tuple):
        _check_elements(value)
    return np.asarray(value)


def _check_elements(values: list[object] | tuple[object, ...]) -> None:
    """Raise where numpy would change what a list holds: masks are lost, truth values count."""
    for kind in {*map(type, values)}:
        if issubclass(kind, bool | np.bool_):
            raise TypeError("a truth value is not a number")
        if issubclass(kind, np.ma.MaskedArray):
            raise TypeError("a mask would be lost: leave out what is masked, or fill it in")
    for value in values:
        if isinstance(value, list | tuple):
            _check_elements(value)


def _unboxed(name: str, array: AnyArray, what: str) -> AnyArray:
    """Return an array of Python numbers, as tables of other packages hold them, as one of numpy."""
    numbers = (int, float, np.integer, np.floating)
    for item in array.ravel().tolist():
        if not isinstance(item, numbers) or isinstance(item, bool):
            raise TypeError(f"{name}={shown(item)} must be {what}")
    integral = all(isinstance(item, int | np.integer) for item in array.ravel().tolist())
    try:
        return array.astype(np.int64 if integral else np.float64)
    except OverflowError:
        largest = max(array.ravel().tolist(), key=abs)
        raise ValueError(f"{name}={shown(largest)} is beyond what is computed with") from None


def check_real(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is not numeric or holds NaN."""
    real = _numbers(name, value, "a real number or an array of them").astype(np.float64)
    if np.isnan(real).any():
        raise ValueError(f"{name} contains NaN; it must hold real numbers only")
    return real


def check_integer(name: str, value: npt.ArrayLike) -> IntArray:
    """Return `value` as int64, or raise where it is not integral."""
    array = _numbers(name, value, "an integer or an array of integers")
    if array.dtype.kind == "f":
        bad = ~(np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**53))
        if bad.any():
            raise ValueError(f"{name}={_first(array, bad)} must be an integer")
    elif array.dtype == np.uint64:
        bad = array > np.uint64(np.iinfo(np.int64).max)
        if bad.any():
            raise ValueError(f"{name}={_first(array, bad)} is beyond what is computed with")
    return array.astype(np.int64)


def check_number(name: str, value: npt.ArrayLike) -> float:
    """Return `value` as float, or raise where it is not a single real number."""
    array = check_real(name, value)
    check_single(name, array)
    return float(array)


def check_single(name: str, array: AnyArray) -> None:
    """Raise where an argument that must be one number is an array of several."""
    if array.ndim:
        raise ValueError(f"{name} of shape {array.shape} must be a single number")


def check_size(name: str, value: object, smallest: int = 1, largest: int = LARGEST_SIZE) -> int:
    """Return `value` as int, or raise where it is not a single integer in a range."""
    size = check_integer(name, cast(npt.ArrayLike, value))
    check_single(name, size)
    if not smallest <= size <= largest:
        limits = f"between {smallest} and {largest}"
        # Where the largest is but what a computer holds, it is not spoken of to the others.
        allowed = f"at least {smallest}" if size < smallest and largest >= 2**24 else limits
        raise ValueError(f"{name}={int(size)} must be {allowed}")
    return int(size)


def check_seed(name: str, seed: object) -> None:
    """Raise where `seed` is nothing that numpy makes a stream of random numbers from."""
    if seed is None or isinstance(
        seed, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence
    ):
        return
    several = isinstance(seed, list | tuple) or (isinstance(seed, np.ndarray) and seed.ndim > 0)
    parts = list(cast(Iterable[object], seed)) if several else [seed]
    if not parts or not all(
        isinstance(part, int | np.integer) and not isinstance(part, bool) for part in parts
    ):
        raise TypeError(f"{name}={shown(seed)} must be an integer, a sequence of integers, or None")
    if any(cast(int, part) < 0 for part in parts):
        raise ValueError(f"{name}={shown(seed)} must not be negative")


def check_flag(name: str, value: object) -> bool:
    """Return `value` as bool, or raise where it is anything but True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={shown(value)} must be True or False")
    return bool(value)


def check_alpha(alpha: npt.ArrayLike, name: str = "alpha") -> FloatArray:
    """Return a level as float64, or raise where it is outside (0, 1)."""
    return check_fraction(name, alpha)


def check_level(alpha: npt.ArrayLike, name: str = "alpha") -> float:
    """Return a level as float, or raise where it is not a single number in (0, 1)."""
    level = check_fraction(name, alpha)
    check_single(name, level)
    return float(level)


def share_of_alpha(alpha: npt.ArrayLike, share: npt.ArrayLike, name: str = "") -> FloatArray:
    """Return `share` times `alpha`, or raise where float64 has no digits for so little."""
    level, part = np.broadcast_arrays(np.asarray(alpha), np.asarray(share))
    product: FloatArray = np.asarray(level * part)
    bad = ~(product >= _LEAST_SHARE)
    if bad.any():
        raise ValueError(
            f"alpha={_first(level, bad)} is too small: {_first(part, bad):g} of it must be at "
            f"least {_LEAST_SHARE:.3g}{f' (see {name})' if name else ''}"
        )
    return product


def check_trials(n: npt.ArrayLike, largest: int, name: str = "n") -> IntArray:
    """Return the number of trials `n` as int64, or raise where it is outside [1, largest]."""
    array = check_integer(name, n)
    bad = (array < 1) | (array > largest)
    if bad.any():
        raise ValueError(f"{name}={_first(array, bad)} must be between 1 and {largest}")
    return array


def check_count(name: str, k: npt.ArrayLike, n: IntArray, of: str = "n") -> IntArray:
    """Return the count `k` as int64, or raise where it is outside [0, n]; `of` is n's name."""
    array = check_integer(name, k)
    try:
        counts, trials = np.broadcast_arrays(array, n)
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} must broadcast with {of} of shape {n.shape}"
        ) from None
    bad = counts < 0
    if bad.any():
        raise ValueError(f"{name}={_first(counts, bad)} must be at least 0")
    bad = counts > trials
    if bad.any():
        raise ValueError(f"{name}={_first(counts, bad)} must be at most {of}={_first(trials, bad)}")
    return array


def check_scale(name: str, value: npt.ArrayLike) -> float:
    """Return `value` as float, or raise where it is not a single positive finite number."""
    array = check_positive(name, value)
    check_single(name, array)
    return float(array)


def check_positive(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as float64, or raise where it is not positive and finite."""
    array = check_real(name, value)
    bad = ~((array > 0) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"{name}={_first(array, bad)} must be positive and finite")
    return array


MOST_JOBS = 1024


def check_jobs(n_jobs: object) -> int:
    """Return `n_jobs`, or raise where it is not a number of processes, nor -1 for all cores."""
    whole = isinstance(n_jobs, int) and not isinstance(n_jobs, bool)
    if not whole or n_jobs == 0 or abs(cast(int, n_jobs)) > MOST_JOBS:
        raise ValueError(
            f"n_jobs={shown(n_jobs)} must be a number of processes, or -1 for all cores"
        )
    return cast(int, n_jobs)


def check_named_callables(name: str, value: object, what: str) -> None:
    """Raise where a value is given that does not map names to callables."""
    if value is None:
        return
    if not isinstance(value, Mapping) or not value or not all(map(callable, value.values())):
        raise ValueError(f"{name}={shown(value)} must map names to {what}")


def check_seed_number(seed: int) -> int:
    """Return `seed`, or raise where it is not a nonnegative integer."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={shown(seed)} must be a nonnegative integer")
    return seed


def check_choice(name: str, value: object, choices: Iterable[Choice]) -> Choice:
    """Return `value`, or raise where it is not one of `choices`."""
    allowed = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name}={shown(value)} must be one of {', '.join(map(repr, allowed))}")
    for choice in allowed:
        if value == choice:
            return choice
    raise ValueError(f"{name}={shown(value)} must be one of {', '.join(map(repr, allowed))}")


def check_broadcast(**arrays: AnyArray) -> tuple[int, ...]:
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
        raise ValueError(f"order={shown(order)} must be an integer between 0 and {largest}")
    return int(array)


def check_callable(name: str, value: object) -> None:
    """Raise where `value` cannot be called."""
    if not callable(value):
        raise TypeError(f"{name}={shown(value)} must be a callable")


def check_text(name: str, value: object) -> str:
    """Return `value`, or raise where it is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={shown(value)} must be a text")
    return value


def check_takes(name: str, function: Callable[..., object], arguments: tuple[str, ...]) -> None:
    """Raise where `function` cannot be called with arguments like these."""
    try:
        signature = inspect.signature(function)
    except Exception:  # compiled functions may have none, others fail to tell: they are tried
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        taken = ", ".join(arguments)
        remedy = ""
        if "missing a required" in str(error):
            remedy = f"; fix what it needs besides, as in lambda {taken}: {name}(…)"
        raise TypeError(f"{name} must take ({taken}): {error}{remedy}") from None


def check_ignored(ignore: npt.ArrayLike, m: int) -> tuple[int, ...]:
    """Return classes that are no runner-up, rising, or raise where they are not classes."""
    if isinstance(ignore, Sequence) and len(ignore) == 0:
        return ()
    classes = np.atleast_1d(check_integer("ignore", ignore))
    if classes.ndim != 1 or ((classes < 0) | (classes >= m)).any():
        raise ValueError(f"ignore={shown(ignore)} must be classes between 0 and {m - 1}")
    return tuple(sorted({int(c) for c in classes}))
