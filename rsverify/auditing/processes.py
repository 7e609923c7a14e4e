"""What betting audits share: processes of samples, how they are called, and when."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rsverify._core.said import said
from rsverify._core.types import FloatArray
from rsverify.auditing.estimand import Data
from rsverify.auditing.one_sample import made_for_one

Process = Callable[[FloatArray, float, float], npt.ArrayLike]
"""A capital or bets: of samples (R, n), the mean bet against and alpha."""

PERTURBED_N = 1000  # observations, at most, of the samples whose future is changed
EARLY, LATE = 40, 12  # times at which it is: the first ones, then ever more apart
STREAM = "capital and bets"
ALPHAS = (0.97, 0.5, 1e-9)
"""Bets grow with log(1/alpha): far apart, as small bets leave no room to hide a look ahead."""


def asked(process: Process, x: FloatArray, m: float, alpha: float) -> FloatArray:
    """Return a capital or bets, (R, n); of a function of one sample, sample by sample."""
    try:
        value = np.asarray(process(x, m, alpha), dtype=np.float64)
        if value.shape == x.shape:
            return value
    except Exception:  # found again where it is the function's own
        value = None
    try:
        return np.array([process(row, m, alpha) for row in x], dtype=np.float64)
    except Exception:
        if value is None:
            raise
    return value


def of_tables(process: Process, alpha: float) -> Process:
    """Return a process of samples (R, n), called sample by sample if it is made for one."""
    x = np.random.default_rng(0).random((3, 5))

    def of_shape(some: Data) -> FloatArray | None:
        try:
            value = np.asarray(process(some.astype(np.float64), 0.5, alpha), dtype=np.float64)
        except Exception:  # found again, and told, by the audit
            return None
        return value if value.shape == some.shape else None

    if not made_for_one(of_shape, of_shape, x):
        return process
    return lambda x, m, alpha: np.array([process(row, m, alpha) for row in x])


def refuse_unusable(name: str, process: Process, alpha: float) -> None:
    """Raise where a process fails on every call, or returns another shape than that of x."""
    errors: list[Exception] = []
    rng = np.random.default_rng(0)
    for m in (0.5, 0.1, 0.9):
        x = rng.random((3, 5))
        try:
            shape = asked(process, x, m, alpha).shape
        except Exception as error:  # whatever it raises
            errors.append(error)
            continue
        if shape == x.shape:
            return
        errors.append(
            ValueError(f"returned shape {shape} for x of shape {x.shape}; it must have that shape")
        )
    text = f"{name} fails on every call: {type(errors[0]).__name__}: {said(errors[0])}"
    raise (TypeError if isinstance(errors[0], TypeError) else ValueError)(text) from None


def times(first: int, n: int) -> npt.NDArray[np.int64]:
    """Return `EARLY` times from `first` on and `LATE` ever later ones, all below n."""
    late = np.geomspace(max(first, 1), max(n - 1, 1), LATE).astype(np.int64)
    return np.unique(np.concatenate([np.arange(first, min(first + EARLY, n)), late]))
