"""How a bound is to be called, and whether its answer for a row depends on the other rows.

A bound that pools its batch may never fail to cover among a thousand replications, and fail to
cover often where it is called as people call it, on one sample. So rows alone are compared with
rows in company: value by value where the bound returns the same twice, in distribution where it is
random. In the same way a row is asked again after other rows: what keeps something from call to
call may cover in one long audit, whose replications are alike, and not after a user's other data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
from scipy.special import chdtri

from rsverify._core.check import FloatArray
from rsverify._core.said import told_of
from rsverify._core.types import Side
from rsverify.auditing.caller import (
    MIXED,
    MIXING,
    Bound,
    Caller,
    Failure,
    Limits,
    Point,
    plain_row,
    point,
    same,
)
from rsverify.auditing.estimand import Data, Estimand
from rsverify.auditing.one_sample import made_for_one
from rsverify.auditing.verdict import FALSE_ALARM

PROBE_ROWS = 7  # by which it is found out how a bound is called
COMPANY = 128  # rows at once that a random bound gets
CROWD = 1024  # rows at once, to see whether it pools larger batches
CALLS, CROWD_CALLS = 60, 16
BEFORE = 3  # rows that are asked before a row that is asked again
COPIES, COPIED_CALLS = 64, 24
SHARE = 0.01  # of `false_alarm`, spent on the tests of a random bound's rows
REMEMBERING = (
    "the bound of a replication changes with those asked before it: it keeps something from call "
    "to call"
)
VALUES = ("NaN", "outside")  # failures of a value, not of a call


def prepare(
    bound: Bound,
    data: Data,
    alpha: float,
    side: Side,
    estimand: Estimand,
    *,
    name: str = "bound",
    steady: bool = False,
    false_alarm: float = FALSE_ALARM,
    suggest: Callable[[], str] = lambda: "",
) -> Caller:
    """Return how to call `bound`: on all rows at once, or, if it is scalar, on each.

    Parameters
    ----------
    bound : callable
        ``bound(data, alpha)``.
    data : array
        Rows of several distributions, so that rows differ.
    alpha, side, estimand
        Of the audit.
    name : str
        How messages call the bound.
    steady : bool
        Whether it is known to return the same for a row each time, whatever the others.
    false_alarm : float
        A share of it is the probability that a random bound is wrongly found to mix its rows.
    suggest : callable
        Returns the end of the message where the bound fails on every row.

    Raises
    ------
    TypeError, ValueError
        If the bound fails on every row, or returns another shape than limits have.
    """
    first = data[: rows_of_a_probe(data)]
    whole = Caller(bound, alpha, side, estimand.space, sequential=estimand.sequential)
    layout = whole.fits(first)
    if layout is None:
        caller = scalar(whole, first, data, name, suggest)
    elif not steady and _of_one_path(whole, first):
        caller, layout = replace(whole, rowwise=True), None
    else:
        caller = whole
    if steady:
        return replace(caller, layout=layout)
    if layout is not None:
        caller = _of_batches(replace(whole, layout=layout), first, data, false_alarm)
    if caller.mixed is not None or caller.costly:  # a process for each call remembers nothing
        return caller
    row = _remembering_row(caller, first, false_alarm)
    if row is None:
        return caller
    return replace(caller, alone=not caller.rowwise, mixed=_mixing(first[row], REMEMBERING))


def _of_batches(whole: Caller, first: Data, data: Data, false_alarm: float) -> Caller:
    """Return how to call a bound that takes all rows at once."""
    once, twice = whole.limits(first), whole.limits(first)
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(once[:3], twice[:3], strict=True)):
        return _of_steady(whole, once, first)
    return _of_random(whole, data, false_alarm)


def rows_of_a_probe(data: Data) -> int:
    """Return a number of rows that no other axis has: shapes tell rows from observations."""
    rows = PROBE_ROWS
    while rows in data.shape[1:]:
        rows += 1
    return rows


def _of_one_path(whole: Caller, data: Data) -> bool:
    """Return whether a bound with one limit per observation is made for a single sample."""
    if not whole.sequential or data.ndim < 2:
        return False

    def asked(some: Data, rows: tuple[int, ...]) -> FloatArray | None:
        try:
            value = whole.call(some).astype(np.float64)
        except Exception:  # found again, and counted, by the audit
            return None
        shape = (*rows, data.shape[1])
        if whole.side != "two-sided":
            return value if value.shape == shape else None
        return np.moveaxis(value, 0, -1) if value.shape == (2, *shape) else None

    return made_for_one(lambda some: asked(some, (len(some),)), lambda row: asked(row, ()), data)


def scalar(whole: Caller, first: Data, data: Data, name: str, suggest: Callable[[], str]) -> Caller:
    """Return how to call a bound that does not take all rows at once, or raise."""
    single = replace(whole, rowwise=True)
    if _works(single, first):
        return single
    if not _answers(whole, first):
        if _works(whole, first):
            return whole
        if _works(single, data):  # it fails on all the first rows, not on all
            return single
        if _works(whole, data):
            return whole
    text = f"bound={name} {_complaint(whole, single, first)}{suggest()}"
    try:
        whole.call(first)
    except TypeError:
        raise TypeError(text) from None
    except Exception:  # the message tells of it
        raise ValueError(text) from None
    raise ValueError(text)


def _works(caller: Caller, data: Data) -> bool:
    """Return whether the bound takes some row: returns limits, be they wrong."""
    parts = (caller.row(data[i : i + 1]) for i in range(len(data)))
    return any(all(f.kind in VALUES for f in part.failures) for part in parts)


def _answers(caller: Caller, data: Data) -> bool:
    """Return whether the bound returns something for all rows: of the wrong shape, it is then."""
    try:
        caller.call(data)
    except Exception:  # of the bound: it takes rows one at a time, perhaps
        return False
    return True


def _complaint(whole: Caller, single: Caller, data: Data) -> str:
    """Return what a bound did on every call, and what was wanted."""
    rows = len(data)
    wanted = f"({rows},), one limit per replication"
    if whole.sequential and data.ndim > 1:
        wanted += f", or ({rows}, {data.shape[1]}), one per observation"
    if whole.side == "two-sided":
        wanted = f"({rows}, 2) or a pair of arrays of length {rows}"
    asked = f"data of shape {data.shape}"
    try:
        shape = whole.call(data).shape
    except Exception as error:  # the bound's own
        text = f"fails on every call, given {asked}: {told_of(error)}"
        return f"{text}{_of_one(single, data[0], error)}; it must return shape {wanted}"
    hint = whole.hint(shape, rows)
    with suppress(Exception):  # it does not take one replication either
        hint = hint or single.hint(single.call(data[0]).shape, 1)
    return f"returned shape {shape} for {asked}; it must return shape {wanted}{hint}"


def _of_one(single: Caller, row: Data, error: Exception) -> str:
    """Return what came of a single replication, where several raise an error, if it is another."""
    if single.costly:  # a program, which takes several only
        return ""
    try:
        shape = single.call(row).astype(np.float64).shape
    except Exception as other:  # the bound's own
        same_error = told_of(other) == told_of(error)
        return "" if same_error else f"; given one replication: {told_of(other)}"
    hint = single.hint(shape, 1)
    return f"; given one replication it returned shape {shape}, not one limit{hint}"


def _of_steady(whole: Caller, once: Limits, data: Data) -> Caller:
    """Return how to call a bound that returned the same twice."""
    rows = [i for i in range(len(data)) if whole.mixes(once, data, i)]
    if not rows:
        return replace(whole, steady=True)
    found = next((i for i in rows if _contents_matter(whole, once, data, i)), None)
    if found is None:  # its place among them matters: a generator seeded inside, say
        return replace(whole, alone=True, placed=True)
    return replace(whole, alone=True, mixed=_mixing(data[found]))


def _mixing(row: Data, how: str = MIXING) -> Failure:
    return Failure(MIXED, how, plain_row(row))


def _remembering_row(caller: Caller, data: Data, false_alarm: float) -> int | None:
    """Return a row whose limits follow from the rows asked before it, None if none is seen.

    Asked are the rows of the smallest, a middle and the largest limit, for one that remembers may
    let the largest count, or the smallest.
    """
    values = np.array([_alone(caller, each)[caller.side == "upper"] for each in data])
    order = np.argsort(values, kind="stable")
    rows = (int(order[0]), int(order[len(order) // 2]), int(order[-1]))
    level = SHARE * false_alarm / (2 * len(rows))
    return next((row for row in rows if _remembers(caller, data, row, values, level)), None)


def _remembers(caller: Caller, data: Data, row: int, values: FloatArray, level: float) -> bool:
    """Return whether a row's limits follow from the rows asked before it.

    Those are of the smallest limit, of the largest, and of the smallest again: whether the last or
    the most extreme is remembered, one of the two changes shows it.
    """
    strangers = _strangers(values, data, row)
    if not strangers:
        return False
    most, least = strangers

    def after(other: int) -> Point:
        for _ in range(BEFORE):
            _alone(caller, data[other])
        return _alone(caller, data[row])

    first = after(least)
    if all(same(first, after(other)) for other in (most, least)):
        return False
    asked = [[after(other) for _ in range(CALLS)] for other in (least, most, least)]
    return any(_differ(asked[i], asked[i + 1], level) for i in (0, 1))


def _other_contents(data: Data, row: int, by: int) -> Data:
    """Return data of the same shape: that row as it is, the others copies of row `by`."""
    other = np.repeat(data[by : by + 1], len(data), axis=0)
    other[row] = data[row]
    return other


def _strangers(values: FloatArray, data: Data, row: int) -> list[int]:
    """Return the rows of the largest and the smallest value that are not like `row`."""
    order = np.argsort(values, kind="stable")
    unlike = [int(i) for i in order if not np.array_equal(data[i], data[row])]
    return [unlike[-1], unlike[0]] if unlike else []


def _contents_matter(whole: Caller, once: Limits, data: Data, row: int) -> bool:
    values = once.lower if whole.side != "upper" else once.upper
    for by in _strangers(values, data, row):
        other = whole.limits(_other_contents(data, row, by))
        if not same(point(other, row), point(once, row)):
            return True
    return False


def _of_random(whole: Caller, data: Data, false_alarm: float) -> Caller:
    """Return how to call a bound that returns other limits each time.

    It is compared in distribution: a row alone, and the same row among others. Randomness that
    rows of one call share would make replications dependent: then, too, each is called alone.
    """
    level = SHARE * false_alarm
    least, most = data[:COMPANY], np.resize(data, (min(CROWD, 8 * len(data)), *data.shape[1:]))
    for company, calls in ((least, CALLS), (most, CROWD_CALLS)):
        found = _unlike_alone(whole, company, calls, level)
        if found is not None:
            row, contents = found
            return replace(whole, alone=True, mixed=_mixing(company[row]) if contents else None)
    if _shares_randomness(whole, data[0], level):
        return replace(whole, alone=True)
    return replace(whole, chunk=len(least))


def _shares_randomness(whole: Caller, row: Data, level: float) -> bool:
    """Return whether equal rows of one call differ less than those of different calls."""
    from scipy.stats import rankdata  # a third of a second, and seldom needed

    copies = np.repeat(row[None], COPIES, axis=0)
    limits = [whole.limits(copies) for _ in range(COPIED_CALLS)]
    for side in (0, 1):
        ranks = rankdata([each[side] for each in limits]).reshape(COPIED_CALLS, COPIES)
        between, within = ranks.mean(axis=1).var(ddof=1), ranks.var(axis=1, ddof=1).mean()
        freedom = COPIED_CALLS - 1
        if between * COPIES > within * chdtri(freedom, level) / freedom:
            return True
    return False


def _unlike_alone(
    whole: Caller, company: Data, calls: int, level: float
) -> tuple[int, bool] | None:
    """Return a row whose limits have another distribution alone, and whether contents did it."""
    among = [whole.limits(company) for _ in range(calls)]
    first = among[0].lower if whole.side != "upper" else among[0].upper
    order = np.argsort(first, kind="stable")
    rows = sorted({int(order[0]), int(order[-1]), len(company) // 2})
    level /= 2 * len(rows)
    for row in rows:
        here = [point(each, row) for each in among]
        alone = [_alone(whole, company[row]) for _ in range(calls)]
        if not _differ(here, alone, level):
            continue
        for by in _strangers(first, company, row):
            other = _other_contents(company, row, by)
            there = [point(whole.limits(other), row) for _ in range(calls)]
            if _differ(here, there, level):
                return row, True
        return row, False
    return None


def _alone(whole: Caller, row: Data) -> Point:
    limits = whole.row(row[None])
    if any(f.kind not in VALUES for f in limits.failures):  # it drops a batch axis of length 1
        return whole.apart(row) or point(limits, 0)
    return point(limits, 0)


def _differ(one: list[Point], other: list[Point], level: float) -> bool:
    """Return whether lower or upper limits differ in distribution, a false alarm being `level`.

    Two samples of one size n have empirical distribution functions at most d apart but for a
    probability of e exp(-n d^2), ties or not: F. Wei and R. M. Dudley, Two-sample
    Dvoretzky-Kiefer-Wolfowitz inequalities, Statistics & Probability Letters 82 (2012) 636-644.
    """
    for side in (0, 1):
        a, b = (np.sort([p[side] for p in each]) for each in (one, other))
        both = np.concatenate([a, b])
        below = [np.searchsorted(each, both, side="right") for each in (a, b)]
        distance = float(np.abs(below[0] - below[1]).max()) / a.size
        if math.exp(1.0 - a.size * distance**2) < level:
            return True
    return False
