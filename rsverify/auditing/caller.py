"""Calls the bound under audit. Whatever it does wrong is counted, nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify.auditing.estimand import Estimand

Bound = Callable[[Any, float], Any]
PROBE_ROWS = 7
AGAIN = 8  # times that a difference must show before it is put down to the other rows
NEAR = 1e-6  # a smaller difference is put down to rounding
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


Point = tuple[float, float, float]
"""The limits of one replication: lower, upper and last."""


@dataclass(frozen=True)
class Caller:
    """A bound and how it is to be called.

    `rowwise`: it takes one replication without the batch axis. `alone`: it takes a batch, but
    mixes its rows, so that each is handed to it as a batch of one. `steady`: it returned the
    same twice, so that a row must give the same alone as among others.
    """

    bound: Bound
    alpha: float
    side: str
    space: tuple[float, float] = (-np.inf, np.inf)
    rowwise: bool = False
    sequential: bool = True
    alone: bool = False
    steady: bool = False

    def limits(self, data: npt.NDArray[Any]) -> Limits:
        """Return the limits of every row of `data`."""
        rows = len(data)
        if not (self.rowwise or self.alone):
            try:
                whole = self._checked(self._call(data), data)
                if self.steady and rows > 1 and self._mixes(whole, data, rows - 1):
                    text = "the bound of a replication changes with the others"
                    return self._failed("mixed replications", text, data[-1:], rows)
                return whole
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
        if not (self.rowwise or self.alone):
            try:
                value = self._call(data).astype(np.float64)
                parts = self._split(value, len(data))
                if parts is not None and self._expected_times(parts, data):
                    lower, upper = parts[0].copy(), parts[1].copy()
                    bad = np.isnan(lower).any(axis=1) | np.isnan(upper).any(axis=1)
                    lower[bad], upper[bad] = np.inf, -np.inf
                    return lower, upper
            except Exception:  # found again, and judged, row by row
                pass
        limits = self.limits(data)
        return limits.lower[:, None], limits.upper[:, None]

    def _call(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # A copy: a bound that sorts in place must not change what it is judged on.
        try:
            value = self.bound(data.copy(), self.alpha)
        except SystemExit as error:  # an audit must not end with it
            raise RuntimeError(f"the bound exits the program, with {error.code!r}") from error
        if np.iscomplexobj(value):
            raise TypeError("the bound is complex")
        if self.side == "two-sided" and isinstance(value, tuple) and np.ndim(value[0]) == 1:
            # A pair of arrays is told from an array of pairs here, as two rows of it look alike.
            return np.column_stack(value)
        return np.asarray(value)

    def _mixes(self, whole: Limits, data: npt.NDArray[Any], row: int) -> bool:
        """Return whether the limits of that row are other ones without the others."""
        alone = self._apart(data[row])
        if alone is None or _same(_at(whole, row), alone):
            return False
        # A bound that is random, but seldom, differs too: not every time in the same way.
        for _ in range(AGAIN):
            if self._apart(data[row]) != alone:
                return False
            if _at(self._checked(self._call(data), data), row) != _at(whole, row):
                return False
        return True

    def _apart(self, row: npt.NDArray[Any]) -> Point | None:
        """Return the limits of a row without others, None where it cannot be asked so."""
        # Twice, as some functions drop a batch axis of length 1.
        rows = np.stack([row, row])
        try:
            return _at(self._checked(self._call(rows), rows), 0)
        except Exception:  # found and counted where it is a failure
            return None

    def _row(self, row: npt.NDArray[Any]) -> Limits:
        try:
            value = self._call(row[0] if self.rowwise else row)
            array = value.astype(np.float64)
            return self._checked(array[None] if self.rowwise else array, row)
        except Exception as error:
            return self._failed(type(error).__name__, str(error), row)

    def _failed(
        self, kind: str, message: str, data: npt.NDArray[Any], rows: int | None = None
    ) -> Limits:
        rows = len(data) if rows is None else rows
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
            text = f"shape {value.shape} for {rows} replications{self._hint(value.shape, rows)}"
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

    def _hint(self, shape: tuple[int, ...], rows: int) -> str:
        """Return the likely remedy of a wrong shape."""
        if self.side == "two-sided":
            return "; two-sided bounds return (R, 2) or a pair"
        return "; is it side='two-sided'?" if shape in ((rows, 2), (2, rows)) else ""

    def _outside(self, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.bool_]:
        """Return where no value of the parameter space is left, were it unbounded."""
        above = (lower > self.space[1]) | (lower == np.inf)
        below = (upper < self.space[0]) | (upper == -np.inf)
        out: npt.NDArray[np.bool_] = above | below
        return out

    def _expected_times(self, parts: tuple[FloatArray, FloatArray], data: npt.NDArray[Any]) -> bool:
        # A path has one bound an observation; (rows, 1) is one bound a replication.
        times = max(parts[0].shape[1], parts[1].shape[1])
        return times == 1 or (self.sequential and data.ndim > 1 and times == data.shape[1])


def _at(limits: Limits, row: int) -> Point:
    return float(limits.lower[row]), float(limits.upper[row]), float(limits.last[row])


def _same(one: Point, other: Point) -> bool:
    """Return whether limits agree; sums over other shapes may be rounded otherwise."""
    return bool(np.isclose(one, other, rtol=NEAR, atol=NEAR, equal_nan=True).all())


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
    rows at once, so that its failures are counted row by row. One whose bound of a row changes
    with the other rows is given one row at a time: nobody who uses it has the others.
    """
    whole = Caller(bound, alpha, side, estimand.space, False, estimand.sequential)
    if _shape_fits(whole, data):
        once, twice = whole.limits(data), whole.limits(data)
        if not all(map(np.array_equal, once[:3], twice[:3])):
            return whole  # a random bound is not the same alone either
        mixed = any(whole._mixes(once, data, i) for i in range(len(data)))
        return replace(whole, alone=mixed, steady=not mixed)
    single = Caller(bound, alpha, side, estimand.space, True, estimand.sequential)
    handled = any(not single._row(data[i : i + 1]).failures for i in range(len(data)))
    return single if handled else whole


def _shape_fits(caller: Caller, data: npt.NDArray[Any]) -> bool:
    try:
        value = caller._call(data).astype(np.float64)
    except Exception:  # found again, and counted, when the audit calls it
        return False
    parts = caller._split(value, len(data))
    return parts is not None and caller._expected_times(parts, data)
