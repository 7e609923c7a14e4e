"""Values that belong into no argument, and what is wrong with an answer to one of them."""

from __future__ import annotations

import dataclasses
import decimal
import math
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd


class BadArray:
    """An array-like that numpy cannot take."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("not today")


class BadRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


def hostile() -> dict[str, Callable[[], Any]]:
    return {
        "None": lambda: None,
        "a string": lambda: "0.05",
        "a numpy string": lambda: np.str_("exact"),
        "bytes": lambda: b"1",
        "True": lambda: True,
        "numpy's True": lambda: np.bool_(True),
        "a list with True": lambda: [True, 2],
        "NaN": lambda: float("nan"),
        "pandas' NA": lambda: pd.NA,
        "NaT": lambda: pd.NaT,
        "infinity": lambda: float("inf"),
        "minus infinity": lambda: float("-inf"),
        "negative zero": lambda: -0.0,
        "a negative number": lambda: -1,
        "a fraction": lambda: Fraction(1, 20),
        "a decimal": lambda: decimal.Decimal("0.05"),
        "a complex number": lambda: 1 + 2j,
        "a huge integer": lambda: 10**400,
        "a huge unsigned integer": lambda: np.uint64(2**64 - 3),
        "a large integer": lambda: 2**62,
        "the least float": lambda: 5e-324,
        "the largest float": lambda: 1.7976931348623157e308,
        "half": lambda: 0.5,
        "an array of one": lambda: np.array([1]),
        "a 0-d array": lambda: np.array(0.5),
        "an empty array": lambda: np.array([]),
        "an array of strings": lambda: np.array(["exact", "cohen"]),
        "an array of Python integers": lambda: np.array([3, 2], dtype=object),
        "an array of anything": lambda: np.array([None, {}], dtype=object),
        "a masked array": lambda: np.ma.array([0.1, 0.2], mask=[True, False]),
        "a list with a masked element": lambda: [np.ma.masked, 0.5],
        "a ragged list": lambda: [[1, 2], [3]],
        "complex array": lambda: np.array([0.1 + 1j]),
        "dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
        "a record": lambda: np.zeros(2, dtype=[("a", float)]),
        "nullable integers": lambda: pd.array([1, None], dtype="Int64"),
        "nullable integers, none missing": lambda: pd.Series([5, 3], dtype="Int64"),
        "a frame": lambda: pd.DataFrame({"a": [1.0]}),
        "what numpy cannot take": BadArray,
        "what has no name": BadRepr,
        "a dictionary": lambda: {"a": 1},
        "a set": lambda: {1, 2},
        "a generator": lambda: (i for i in range(3)),
        "a function": lambda: math.sin,
        "a class": lambda: int,
    }


def has_nan(value: Any) -> bool:
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return bool(np.isnan(value).any())
    if isinstance(value, pd.DataFrame):
        return False  # times, and what is not known
    if isinstance(value, tuple | list):
        return any(map(has_nan, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(has_nan(getattr(value, f.name)) for f in dataclasses.fields(value))
    return False


def outcome(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> str:
    """Return what is wrong with the answer, an empty string where nothing is."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)  # about what is valid
        try:
            result = function(**arguments)
        except (ValueError, TypeError) as error:
            message = str(error)
            if name not in message:
                return f"does not name it: {message}"
            if "\n" in message or len(message) > 600:
                return f"no line: {message[:300]}"
            if type(error) not in (ValueError, TypeError) and not type(error).__module__.startswith(
                "rsverify"
            ):
                return f"foreign: {type(error).__name__}: {message}"
            return ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "NaN" if has_nan(result) else ""
