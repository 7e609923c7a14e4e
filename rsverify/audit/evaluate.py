"""Calls the bound under audit. Whatever it does wrong is counted, nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._check import FloatArray
from rsverify.audit.estimand import Estimand

Bound = Callable[[Any, float], Any]
PROBE_ROWS = 7
SIDES = ("lower", "upper", "two-sided")


@dataclass(frozen=True)
class Failure:
    """One way in which the bound failed on data that it should have handled."""

    kind: str
    message: str
    example: Any  # the input that did it
    count: int = 1


class Limits(NamedTuple):
    """Per replication the limits to hold against the truth, and those at the last time.

    For a bound that returns a path, `lower` is the largest and `upper` the smallest over time:
    a path misses if it does so at any time. A failed replication has lower = inf.
    """

    lower: FloatArray
    upper: FloatArray
    last: FloatArray
    failures: list[Failure]


@dataclass(frozen=True)
class Caller:
    """A bound and how it is to be called."""

    bound: Bound
    alpha: float
    side: str
    space: tuple[float, float] = (-np.inf, np.inf)
    rowwise: bool = False
    sequential: bool = True

    def limits(self, data: npt.NDArray[Any]) -> Limits:
        """Return the limits of every row of `data`."""
        rows = len(data)
        if not self.rowwise:
            try:
                return self._checked(np.asarray(self._call(data)), data)
            except Exception as error:  # whatever the bound raises is its failure
                if rows == 1:
                    return self._failed(type(error).__name__, str(error), data)
        parts = [self._row(data[i : i + 1]) for i in range(rows)]
        return Limits(
            np.concatenate([p.lower for p in parts]),
            np.concatenate([p.upper for p in parts]),
            np.concatenate([p.last for p in parts]),
            merge_failures([f for p in parts for f in p.failures]),
        )

    def paths(self, data: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits at each time, (R, times); a failed row misses at all."""
        if not self.rowwise:
            try:
                value = np.asarray(self._call(data)).astype(np.float64)
                parts = self._split(value, len(data))
                if parts is not None and self._expected_times(parts, data):
                    bad = np.isnan(parts[0]).any(axis=1) | np.isnan(parts[1]).any(axis=1)
                    return (
                        np.where(bad[:, None], np.inf, parts[0]),
                        np.where(bad[:, None], -np.inf, parts[1]),
                    )
            except Exception:  # found again, and judged, row by row
                pass
        limits = self.limits(data)
        return limits.lower[:, None], limits.upper[:, None]

    def _call(self, data: npt.NDArray[Any]) -> Any:
        # A copy: a bound that sorts in place must not change what it is judged on.
        return self.bound(data.copy(), self.alpha)

    def _row(self, row: npt.NDArray[Any]) -> Limits:
        try:
            value = self._call(row[0] if self.rowwise else row)
            array = np.asarray(value, dtype=np.float64)
            return self._checked(array[None] if self.rowwise else array, row)
        except Exception as error:
            return self._failed(type(error).__name__, str(error), row)

    def _failed(self, kind: str, message: str, data: npt.NDArray[Any]) -> Limits:
        rows = len(data)
        miss = np.full(rows, np.inf)
        return Limits(miss, -miss, miss, [Failure(kind, message, _plain(data[0]), rows)])

    def _split(self, value: FloatArray, rows: int) -> tuple[FloatArray, FloatArray] | None:
        """Return the lower and upper limits as arrays (rows, times), None if misshapen."""
        free = np.full((rows, 1), np.inf)
        if self.side == "two-sided":
            if value.shape == (rows, 2):
                return value[:, :1], value[:, 1:]
            if value.shape == (2, rows):  # a pair of arrays
                return value[0][:, None], value[1][:, None]
            if value.ndim == 3 and value.shape[0] == 2 and value.shape[1] == rows:
                return value[0], value[1]
            return None
        if value.shape == (rows,):
            value = value[:, None]
        if value.ndim != 2 or len(value) != rows or value.shape[1] == 0:
            return None
        return (value, free) if self.side == "lower" else (-free, value)

    def _checked(self, value: npt.NDArray[Any], data: npt.NDArray[Any]) -> Limits:
        rows = len(data)
        parts = self._split(value.astype(np.float64), rows)
        if parts is None or not self._expected_times(parts, data):
            text = f"shape {value.shape} for {rows} replications"
            return self._failed("wrong shape", text, data)
        low, high = parts
        bad_nan = np.isnan(low).any(axis=1) | np.isnan(high).any(axis=1)
        lower, upper = low.max(axis=1), high.min(axis=1)
        last = (high if self.side == "upper" else low)[:, -1].copy()
        outside = ~bad_nan & self._outside(lower, upper)
        failures = []
        for kind, bad, message in (
            ("NaN", bad_nan, "the bound is NaN"),
            ("outside", outside, "the bound excludes the whole parameter space"),
        ):
            if bad.any():
                first = int(np.argmax(bad))
                failures.append(Failure(kind, message, _plain(data[first]), int(bad.sum())))
        lower[bad_nan], upper[bad_nan] = np.inf, -np.inf
        return Limits(lower, upper, last, failures)

    def _outside(self, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.bool_]:
        """Return where no value of the parameter space is left, were it unbounded."""
        above = (lower > self.space[1]) | (lower == np.inf)
        below = (upper < self.space[0]) | (upper == -np.inf)
        out: npt.NDArray[np.bool_] = above | below
        return out

    def _expected_times(
        self, parts: tuple[FloatArray, FloatArray], data: npt.NDArray[Any]
    ) -> bool:
        # A path has one bound an observation; (rows, 1) is one bound a replication.
        times = max(parts[0].shape[1], parts[1].shape[1])
        return times == 1 or (self.sequential and data.ndim > 1 and times == data.shape[1])


def _plain(row: npt.NDArray[Any]) -> Any:
    return row.tolist() if row.size <= 200 else [*row.ravel()[:200].tolist(), "..."]


def merge_failures(failures: list[Failure]) -> list[Failure]:
    """Return one line a kind and message, with the first input and the number of cases."""
    merged: dict[tuple[str, str], Failure] = {}
    for f in failures:
        key = (f.kind, f.message)
        seen = merged.get(key)
        count = f.count + (seen.count if seen else 0)
        merged[key] = Failure(f.kind, f.message, seen.example if seen else f.example, count)
    return list(merged.values())


def prepare(
    bound: Bound, data: npt.NDArray[Any], alpha: float, side: str, estimand: Estimand
) -> Caller:
    """Return how to call `bound`: on all rows at once, or, if it is scalar, on each.

    `data` are `PROBE_ROWS` rows (or fewer). A function that handles neither is called on all
    rows at once, so that its failures are counted row by row.
    """
    whole = Caller(bound, alpha, side, estimand.space, False, estimand.sequential)
    if _shape_fits(whole, data):
        return whole
    single = Caller(bound, alpha, side, estimand.space, True, estimand.sequential)
    handled = any(not single._row(data[i : i + 1]).failures for i in range(len(data)))
    return single if handled else whole


def _shape_fits(caller: Caller, data: npt.NDArray[Any]) -> bool:
    try:
        value = np.asarray(caller._call(data), dtype=np.float64)
    except Exception:  # found again, and counted, when the audit calls it
        return False
    parts = caller._split(value, len(data))
    return parts is not None and caller._expected_times(parts, data)
