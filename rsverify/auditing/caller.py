"""Calls the bound under audit. Whatever it does wrong is counted, nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MappingView
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify._core.said import said
from rsverify._core.types import Side
from rsverify.auditing.estimand import Data

Bound = Callable[..., Any]
Layout = Literal["rows", "pair"]
"""Two-sided limits of R replications: of shape (R, 2), or two arrays of R each."""

AGAIN = 8  # times that a difference must show before it is attributed to the other rows
NEAR = 1e-6  # a smaller difference is attributed to rounding
SIDES: tuple[Side, ...] = ("lower", "upper", "two-sided")
RECHECKED = 64  # rows of a batch, at most, that are asked again in other company
MOST_MESSAGES = 5  # of one kind of failure
OTHER_MESSAGES = "with other messages"
MIXED = "mixed replications"
MIXING = "the bound of a replication changes with the others"


@dataclass(frozen=True)
class Failure:
    """One way in which the bound failed on data that it should have handled."""

    kind: str
    message: str
    example: object  # the input that did it
    count: int = 1


class Limits(NamedTuple):
    """Per replication the limits to hold against the truth, and those at the last time.

    For a bound that returns a path, `lower` is the largest and `upper` the smallest over time:
    a path fails to cover if it does so at any time. A failed replication has lower = inf.
    """

    lower: FloatArray
    upper: FloatArray
    last: FloatArray
    failures: list[Failure]


Answer: TypeAlias = FloatArray | float | Limits
"""What a bound returned for one row; its failure where it returned nothing that could be read."""

Point = tuple[float, float, float]
"""The limits of one replication: lower, upper and last."""


@dataclass(frozen=True)
class Caller:
    """A bound and how it is to be called.

    `rowwise`: it takes one replication without the batch axis. `alone`: it takes a batch, but
    its answer for a row depends on what else is in it, so that each is handed to it as a batch
    of one. `steady`: it returned the same twice, so that a row must give the same alone as
    among others. `chunk`: a random bound gets at most that many rows at once, the number at
    which a row alone was compared with a row among others. `mixed`: how it was found that a
    row's bound changes with the contents of other rows. `placed`: it changes with the place in
    the batch, or with its size, whatever the others are.
    """

    bound: Bound
    alpha: float
    side: Side
    space: tuple[float, float] = (-np.inf, np.inf)
    rowwise: bool = False
    sequential: bool = True
    alone: bool = False
    steady: bool = False
    layout: Layout | None = None
    chunk: int | None = None
    mixed: Failure | None = None
    placed: bool = False

    @property
    def costly(self) -> bool:
        """Whether a call costs far more than its rows do: a process is started for each, say."""
        return bool(getattr(self.bound, "costly", False))

    def limits(self, data: Data, *, recheck: bool = True) -> Limits:
        """Return the limits of every row of `data`.

        With `recheck` some rows are asked again in other company, where that can be compared;
        without, of a bound whose calls are costly, none are.
        """
        if self.rowwise or self.alone:
            return self._in_turn(data)
        if self.chunk is None or len(data) <= self.chunk:
            return self._batch(data, recheck)
        return _joined(
            [self._batch(data[i : i + self.chunk]) for i in range(0, len(data), self.chunk)]
        )

    def paths(self, data: Data) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits at each time, (R, times); a failed row covers at none."""
        if not (self.rowwise or self.alone):
            try:
                value = self.call(data).astype(np.float64)
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

    def call(self, data: Data) -> Data:
        """Return what the bound returns, as an array."""
        return _numbers(self._told(data))

    def _told(self, data: Data) -> object:
        """Return what the bound returns."""
        # A copy: a bound that sorts in place must not change what it is judged on.
        try:
            return self.bound(data.copy(), self.alpha)
        except SystemExit as error:  # an audit must not end with it
            raise RuntimeError(f"the bound exits the program, with {error.code!r}") from error

    def fits(self, data: Data) -> Layout | None:
        """Return how limits of these rows are laid out, None where the shape is another."""
        try:
            value = self.call(data).astype(np.float64)
        except Exception:  # found again, and counted, when the audit calls it
            return None
        parts = self._split(value, len(data))
        if parts is None or not self._expected_times(parts, data):
            return None
        return "rows" if self.side != "two-sided" or value.shape == (len(data), 2) else "pair"

    def whole(self, data: Data) -> Limits:
        """Return the limits of one call on all rows; raises what the bound raises."""
        return self._checked(self.call(data), data)

    def apart(self, row: Data, copies: int = 2) -> Point | None:
        """Return the limits of a row without others, None where it cannot be asked so."""
        # Twice, as some functions drop a batch axis of length 1.
        try:
            return point(self.whole(np.stack([row] * copies)), 0)
        except Exception:  # found and counted where it is a failure
            return None

    def _batch(self, data: Data, recheck: bool = True) -> Limits:
        rows = len(data)
        try:
            whole = self.whole(data)
            look = self.steady and rows > 1 and (recheck or not self.costly)
            mixed = self._mixed_row(whole, data, recheck) if look else None
            if mixed is not None:
                return self._failed(MIXED, MIXING, data[mixed : mixed + 1], rows)
            return whole
        except Exception as error:  # whatever the bound raises is its failure
            if rows == 1:
                return self._failed(type(error).__name__, said(error), data)
        return _joined([self.row(data[i : i + 1]) for i in range(rows)])

    def _mixed_row(self, whole: Limits, data: Data, recheck: bool) -> int | None:
        """Return a row whose limits are others without the others, or in other company."""
        if self.mixes(whole, data, len(data) - 1):
            return len(data) - 1
        # The same choice for the same data: a block of a simulation replays bit for bit.
        some = np.random.default_rng(len(data)).permutation(len(data))
        some = some[: min(RECHECKED, len(data) // 8)]
        if some.size < 2 or not recheck:
            return None
        fewer = self.whole(data[some])
        alike = np.logical_and.reduce(
            [near(a, b[some]) for a, b in zip(fewer[:3], whole[:3], strict=True)]
        )
        for place in np.flatnonzero(~alike):
            row = int(some[place])
            if self._persists(whole, data, row, data[some], point(fewer, int(place)), int(place)):
                return int(row)
        return None

    def mixes(self, whole: Limits, data: Data, row: int) -> bool:
        """Return whether the limits of that row are other ones without the others."""
        for copies in (2, 1):  # a batch of one is how people call it
            alone = self.apart(data[row], copies)
            if alone is None or same(point(whole, row), alone):
                continue
            if self._persists(whole, data, row, np.stack([data[row]] * copies), alone, 0):
                return True
        return False

    def _persists(
        self,
        whole: Limits,
        data: Data,
        row: int,
        fewer: Data,
        seen: Point,
        place: int,
    ) -> bool:
        """Return whether a row differs in the same way each time between two batches."""
        # A bound that is random, but seldom, differs too: not every time in the same way.
        for _ in range(AGAIN):
            if point(self.whole(fewer), place) != seen:
                return False
            if point(self.whole(data), row) != point(whole, row):
                return False
        return True

    def row(self, row: Data) -> Limits:
        """Return the limits of one row, given as a batch of one."""
        return self._judged(self._answer(row), row)

    def _in_turn(self, data: Data) -> Limits:
        """Return the limits of rows that are asked for one by one.

        They are judged together where all are of one plain shape: judging takes longer than asking.
        """
        answers = [self._answer(data[i : i + 1]) for i in range(len(data))]
        whole = self._plain(answers)
        parts = None if whole is None else self._split(whole, len(data))
        if whole is not None and parts is not None and self._expected_times(parts, data):
            return self._checked(whole, data)
        return _joined([self._judged(each, data[i : i + 1]) for i, each in enumerate(answers)])

    def _answer(self, row: Data) -> Answer:
        """Return what the bound returns for a row, not judged yet, or its failure."""
        try:
            value = self._told(row[0] if self.rowwise else row)
            if type(value) is float or type(value) is np.float64:
                return value
            return _numbers(value).astype(np.float64)
        except Exception as error:  # whatever the bound raises is its failure
            return self._failed(type(error).__name__, said(error), row)

    def _plain(self, answers: list[Answer]) -> FloatArray | None:
        """Return the answers as those of one batch, None where that could be read in two ways."""
        if self.rowwise and self.side != "two-sided" and all(isinstance(a, float) for a in answers):
            return np.array(answers)
        shapes = {None if isinstance(a, Limits) else np.shape(a) for a in answers}
        shape = shapes.pop() if len(shapes) == 1 else None
        if shape is None or not (self.rowwise or shape[:1] == (1,)):
            return None
        if self.side == "two-sided" and (
            self.layout == "pair" or shape != ((2,) if self.rowwise else (1, 2))
        ):
            return None
        arrays = [np.asarray(a) for a in answers]
        return np.stack(arrays) if self.rowwise else np.concatenate(arrays)

    def _judged(self, answer: Answer, row: Data) -> Limits:
        """Return the limits of a row from what the bound returned."""
        if isinstance(answer, Limits):
            return answer
        array = np.asarray(answer)
        return self._checked(array[None] if self.rowwise else array, row)

    def _failed(self, kind: str, message: str, data: Data, rows: int | None = None) -> Limits:
        rows = len(data) if rows is None else rows
        miss = np.full(rows, np.inf)
        return Limits(miss, -miss, miss, [Failure(kind, message, plain_row(data[0]), rows)])

    def _split(self, value: FloatArray, rows: int) -> tuple[FloatArray, FloatArray] | None:
        """Return the lower and upper limits as arrays (rows, times), None if misshapen."""
        free = np.full((rows, 1), np.inf)
        if self.side == "two-sided":
            # Two rows of a table look like a pair of arrays: more rows have told which it is.
            if value.shape == (rows, 2) and self.layout != "pair":
                return value[:, :1], value[:, 1:]
            if value.shape == (2, rows):  # a pair of arrays
                return value[0][:, None], value[1][:, None]
            if value.ndim == 3 and value.shape[0] == 2 and value.shape[1] == rows:
                return value[0], value[1]
            if self.rowwise and value.ndim == 3 and value.shape[1] == 2:  # a pair of paths each
                return value[:, 0], value[:, 1]
            return None
        if value.shape == (rows,):
            value = value[:, None]
        if value.ndim != 2 or len(value) != rows or value.shape[1] == 0:
            return None
        return (value, free) if self.side == "lower" else (-free, value)

    def _checked(self, value: Data, data: Data) -> Limits:
        rows = len(data)
        parts = self._split(value.astype(np.float64), rows)
        if parts is None or not self._expected_times(parts, data):
            text = f"shape {value.shape} for {rows} replications{self.hint(value.shape, rows)}"
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
                failures.append(Failure(kind, message, plain_row(data[first]), int(bad.sum())))
        lower[bad_nan], upper[bad_nan] = np.inf, -np.inf
        return Limits(lower, upper, last, failures)

    def hint(self, shape: tuple[int, ...], rows: int) -> str:
        """Return the likely remedy of a wrong shape."""
        if self.side == "two-sided":
            return "; two-sided bounds return (R, 2) or a pair"
        return "; is it side='two-sided'?" if shape in ((rows, 2), (2, rows), (2,)) else ""

    def _outside(self, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.bool_]:
        """Return where no value of the parameter space is left, were it unbounded."""
        above = (lower > self.space[1]) | (lower == np.inf)
        below = (upper < self.space[0]) | (upper == -np.inf)
        out: npt.NDArray[np.bool_] = above | below
        return out

    def _expected_times(self, parts: tuple[FloatArray, FloatArray], data: Data) -> bool:
        # A path has one bound an observation; (rows, 1) is one bound a replication.
        times = max(parts[0].shape[1], parts[1].shape[1])
        return times == 1 or (self.sequential and data.ndim > 1 and times == data.shape[1])


def point(limits: Limits, row: int) -> Point:
    """Return the limits of one row."""
    return float(limits.lower[row]), float(limits.upper[row]), float(limits.last[row])


def _numbers(value: Any) -> Data:
    """Return what a bound returned as an array; raise where it holds something else."""
    if np.iscomplexobj(value):
        raise TypeError("the bound is complex")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError("the bound returned a masked array: fill what is masked")
    array = np.asarray(value)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"the bound returned {array.dtype} and no numbers")
    if array.dtype.kind == "O":
        _refuse_objects(array.ravel())
    return array


def _refuse_objects(values: Iterable[object]) -> None:
    """Raise where something is no number; exact ones of other types are."""
    for each in values:
        if each is None:
            raise TypeError("the bound returned None")
        if not hasattr(each, "__float__"):
            kind = "text" if isinstance(each, str) else type(each).__name__
            remedy = "; make a list of it" if isinstance(each, Iterator | MappingView) else ""
            raise TypeError(f"the bound returned {kind} and no numbers{remedy}")


def as_floats(value: object, thing: str) -> FloatArray:
    """Return what a function returned as floats; raise, about a `thing`, where it holds others."""
    try:
        return _numbers(value).astype(np.float64)
    except TypeError as error:
        raise TypeError(str(error).replace("the bound", f"the {thing}")) from None


def near(one: npt.ArrayLike, other: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return where limits agree; sums over other shapes may be rounded otherwise."""
    return np.isclose(one, other, rtol=NEAR, atol=NEAR, equal_nan=True)


def same(one: Point, other: Point) -> bool:
    """Return whether the limits of two rows agree."""
    return bool(near(one, other).all())


def name_of(bound: object) -> str:
    """Return how a bound is called in reports."""
    while isinstance(bound, partial):
        bound = bound.func
    try:
        return str(getattr(bound, "__name__", None) or type(bound).__name__)
    except Exception:  # of the bound's own attribute: the audit goes on
        return type(bound).__name__


def plain_row(row: Data) -> object:
    """Return a row as JSON can hold it, its beginning where it is long."""
    return row.tolist() if row.size <= 200 else [*row.ravel()[:200].tolist(), "..."]


def _joined(parts: list[Limits]) -> Limits:
    return Limits(
        np.concatenate([p.lower for p in parts]),
        np.concatenate([p.upper for p in parts]),
        np.concatenate([p.last for p in parts]),
        merge_failures([f for p in parts for f in p.failures]),
    )


def merge_failures(failures: list[Failure]) -> list[Failure]:
    """Return one line a kind and message, with the first input and the number of cases.

    Messages that tell of the data may be as many as there are replications: of each kind the first
    `MOST_MESSAGES` are kept, and the others are one line.
    """
    merged: dict[tuple[str, str], Failure] = {}
    for f in failures:
        key = (f.kind, f.message)
        if key not in merged and sum(kind == f.kind for kind, _ in merged) >= MOST_MESSAGES:
            key = (f.kind, OTHER_MESSAGES)
        seen = merged.get(key)
        count = f.count + (seen.count if seen else 0)
        merged[key] = Failure(*key, seen.example if seen else f.example, count)
    return list(merged.values())
