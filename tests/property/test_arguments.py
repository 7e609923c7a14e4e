"""Every argument of every public function, given what does not belong there.

The answer is a valid result, or a ValueError or TypeError of one line that names the argument:
never another exception, a warning of numpy's, a hang or NaN.
"""

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
import pytest

import rsverify
from rsverify.bounds.buehler import buehler_lower
from rsverify.bounds.confidence_sequences import (
    betting_interval_sequence,
    clopper_pearson_sequence,
    kt_mixture_sequence,
    plugin_hoeffding_sequence,
)
from rsverify.bounds.mean import plugin_hoeffding_lower
from rsverify.bounds.proportion import (
    randomized_clopper_pearson_lower,
    randomized_clopper_pearson_upper,
)
from rsverify.certificates.certificate import level_of_bound, margin_lower_bounds
from rsverify.certificates.early import decide_looks
from rsverify.certificates.radius import (
    certified_radius_r1,
    certified_radius_r2,
    round_down_digits,
)
from rsverify.certificates.simplex import hardmax, scores_lipschitz, softmax, sparsemax
from rsverify.probit import probit as probit_of
from rsverify.probit import taylor_coefficients, taylor_probit, taylor_remainder
from rsverify.tables.limits import (
    mean_interval,
    mean_lower,
    proportion_interval,
    robust_lower,
    wrong_certificates_upper,
)
from rsverify.tables.reader import average_certified_radius, certified_accuracy
from rsverify.tables.recertify import recertify, recertify_radii


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


SAMPLE = np.linspace(0.1, 0.9, 20)
SCORES = np.stack([SAMPLE, 1 - SAMPLE], axis=1)
TABLE = pd.DataFrame(
    {
        "idx": range(30),
        "label": 1,
        "predict": 1,
        "radius": 0.2,
        "correct": 1,
        "time": 0.0,
        "count_0": 5,
        "count_1": 95,
        "n": 100,
        "n0": 0,
        "alpha": 0.001,
        "sigma": 0.5,
        "bound": "cohen",
        "radius_kind": "R2",
        "y": 1,
    }
)
BINARY = (SAMPLE > 0.3).astype(float)
VOTES: dict[str, Any] = {"k1": 60, "k2": 25, "n": 100, "alpha": 0.05, "estimand": "difference"}
MEAN: dict[str, Any] = {"x": SAMPLE, "alpha": 0.05}
COUNT: dict[str, Any] = {"k": 7, "n": 10, "alpha": 0.05}

CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    rsverify.clopper_pearson_lower: COUNT,
    rsverify.clopper_pearson_upper: COUNT,
    randomized_clopper_pearson_lower: COUNT | {"u": 0.5},
    randomized_clopper_pearson_upper: COUNT | {"u": 0.5},
    rsverify.cohen_margin_lower: {"k1": 60, "n": 100, "alpha": 0.05, "estimand": "probit"},
    rsverify.bonferroni_margin_lower: VOTES,
    rsverify.exact_margin_lower: VOTES | {"ordering": "difference"},
    buehler_lower: {
        "counts": [6, 3, 1],
        "alpha": 0.05,
        "estimand": "difference",
        "ordering": lambda x1, x2: x1 - x2,
    },
    rsverify.hoeffding_lower: MEAN,
    rsverify.hoeffding_upper: MEAN,
    rsverify.empirical_bernstein_lower: MEAN,
    rsverify.empirical_bernstein_upper: MEAN,
    rsverify.plugin_bernstein_lower: MEAN,
    rsverify.plugin_bernstein_upper: MEAN,
    plugin_hoeffding_lower: MEAN,
    rsverify.betting_lower: MEAN,
    rsverify.betting_upper: MEAN,
    rsverify.betting_interval: MEAN,
    rsverify.plugin_bernstein_sequence: MEAN,
    plugin_hoeffding_sequence: MEAN,
    rsverify.betting_sequence: MEAN,
    betting_interval_sequence: MEAN,
    kt_mixture_sequence: {"x": BINARY, "alpha": 0.05},
    clopper_pearson_sequence: {"x": BINARY, "alpha": 0.05},
    rsverify.score_margin_lower: {
        "scores": SCORES,
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
        "selection": SCORES[:5],
    },
    rsverify.margin_sequence: {
        "counts": [[3, 1], [8, 2]],
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
    },
    rsverify.decide_margin: {
        "counts": [[30, 10], [80, 20]],
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
        "threshold": 0.1,
        "horizon": 200,
    },
    rsverify.certify_counts: {
        "counts": [60, 30, 10],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "bound": "cohen",
        "radius": "R1",
        "lipschitz": 2.0,
    },
    rsverify.decide_counts: {
        "counts": [60, 30, 10],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "target_radius": 0.1,
        "horizon": 200,
        "futility": 0.1,
    },
    decide_looks: {
        "looks": [[30, 10], [80, 20]],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "target_radius": 0.1,
        "horizon": 200,
    },
    rsverify.certify_scores: {
        "scores": SCORES,
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "selection": SCORES[:5],
        "bound": "hoeffding",
    },
    margin_lower_bounds: {"counts": [60, 40], "y": 0, "alpha": 0.05, "estimand": "difference"},
    level_of_bound: {"alpha": 0.05, "noise_excess": 0.001},
    certified_radius_r1: {"margin": 0.5, "sigma": 0.5, "lipschitz": 1.0},
    certified_radius_r2: {"margin": 0.5, "sigma": 0.5},
    round_down_digits: {"radius": 0.5, "digits": 3},
    softmax: {"logits": [1.0, 2.0], "temperature": 1.0},
    sparsemax: {"logits": [1.0, 2.0], "temperature": 1.0},
    hardmax: {"logits": [1.0, 2.0]},
    scores_lipschitz: {"name": "softmax", "model_lipschitz": 2.0, "temperature": 1.0},
    probit_of: {"p": 0.3},
    taylor_probit: {"p": 0.3, "order": 3},
    taylor_remainder: {"p": 0.3, "order": 3},
    taylor_coefficients: {"order": 3},
    proportion_interval: {"k": 7, "n": 10, "alpha": 0.05},
    mean_lower: MEAN | {"low": 0.0, "high": 1.0},
    mean_interval: MEAN | {"low": 0.0, "high": 1.0},
    robust_lower: {"limit": 0.7, "certificate_alpha": 0.001},
    wrong_certificates_upper: {"n": 10, "alpha": 0.05, "certificate_alpha": 0.001},
    rsverify.analyze: {"table": TABLE, "radii": [0.1], "alpha": 0.05},
    rsverify.recertify: {"table": TABLE, "alpha": 0.01},
    recertify_radii: {
        "table": TABLE[["idx", "label", "predict", "radius", "correct", "time"]],
        "n": 100,
        "sigma": 0.5,
        "stated_alpha": 0.001,
    },
    certified_accuracy: {"table": TABLE, "radii": [0.1]},
    average_certified_radius: {"table": TABLE},
}

# Functions of the user's may stand there, and raise what they like.
_CALLABLES = {
    (buehler_lower, "estimand"),
    (buehler_lower, "ordering"),
    (rsverify.score_margin_lower, "mean_bound"),
}
# What is not one of numbers and options: a caller who gives something else for these has not
# mistaken a number, and no message is promised.
_NOT_WALKED = {"table", "progress", "name"}


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


def names_of(function: Callable[..., Any], arguments: dict[str, Any]) -> list[str]:
    import inspect

    parameters = inspect.signature(function).parameters
    return [name for name in parameters if name not in _NOT_WALKED] if parameters else [*arguments]


def outcome(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> str:
    """Return what is wrong with the answer, an empty string where nothing is."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", DeprecationWarning)
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


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_the_call_itself_is_valid(function: Callable[..., Any]) -> None:
    function(**CALLS[function])


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_what_does_not_belong_there_is_refused_by_name(function: Callable[..., Any]) -> None:
    faults = []
    for name in names_of(function, CALLS[function]):
        for kind, make in hostile().items():
            if (function, name) in _CALLABLES and callable(make()):
                continue
            found = outcome(function, CALLS[function] | {name: make()}, name)
            if found:
                faults.append(f"{name}: {kind}: {found}")
    assert not faults, "\n".join(faults)


def test_every_public_function_is_walked() -> None:
    apart = {"audit", "certify_dataset", "compare", "read_table"}  # in tests of their own
    public = {
        getattr(rsverify, name)
        for name in rsverify.__all__
        if name not in apart and not isinstance(getattr(rsverify, name), type | int)
    }
    assert public <= {*CALLS, rsverify.__version__}
