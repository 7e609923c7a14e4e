"""Whether a bound of counts answers the same each time, whatever else it is asked.

An exact audit asks each outcome once and sums probabilities: what it says holds for a bound
that is a function of the counts. One that answers otherwise with probability r fails to cover up to
r more often. So outcomes are asked again, in other company and another order, as often as it
takes to see randomness of a harmful probability with probability 1 - `false_alarm`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify.auditing.caller import AGAIN, Caller, Limits, near
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Data
from rsverify.auditing.simulation.blocks import generator

Answer = Literal["same", "random", "shared", "mixed"]
"""How a bound answers: "shared" if all rows of a call change together, "mixed" if others matter."""

REPEATED = 1000  # outcomes asked again before anything is concluded
CALLS = 8  # in which they are
STREAM = "outcomes asked again"
MOST_CALLS, MOST_ROWS = 10_000, 10_000_000
LEAST_SHARE = 0.25  # of alpha * tolerance: a probability below it is not looked for


class Table(NamedTuple):
    """The outcomes that were asked, one per row, and their limits."""

    outcomes: Data
    lower: FloatArray
    upper: FloatArray


def first_look(caller: Caller, table: Table, rng: np.random.Generator) -> tuple[Answer, int]:
    """Return how the bound answers `REPEATED` outcomes again, and which outcome shows it."""
    return _asked_again(caller, table, (REPEATED, CALLS), rng)


def long_look(
    caller: Caller, table: Table, certified: float, design: Design
) -> tuple[Answer, int, str]:
    """Return as many more answers as show what makes it fail to cover too often, and a note.

    `certified` is the miscoverage of what it answers mostly. With probability 1 - `false_alarm`
    this shows single rows that are answered otherwise with what is left of
    alpha (1 + tolerance), and calls whose rows all are with probability alpha.
    """
    alpha, share = design.alpha, design.tolerance
    needed = math.log(1.0 / design.false_alarm)
    harm = max(alpha * (1.0 + share) - certified, LEAST_SHARE * share * alpha)
    rows = min(math.ceil(needed / harm), MOST_ROWS)
    calls = min(math.ceil(needed / alpha), rows, MOST_CALLS)
    answer, where = _asked_again(caller, table, (rows, calls), generator(design.seed, STREAM, 0))
    rows, calls = -(-rows // calls) * calls, calls
    note = (
        f"{rows:,} outcomes asked again in {calls:,} calls: an answer that is another with "
        f"probability {needed / rows:.2g} (or {needed / calls:.2g} for whole calls) shows but "
        f"for a probability of {design.false_alarm:g}"
    )
    return answer, where, note


def shared_look(caller: Caller, table: Table, design: Design) -> bool:
    """Return whether all rows of a call change together with a probability of about alpha."""
    calls = min(math.ceil(math.log(1.0 / design.false_alarm) / design.alpha), MOST_CALLS)
    rng = generator(design.seed, STREAM, 1)
    rows = 8  # by which a call that changed is told from a row
    for _ in range(calls):
        unlike = _unlike(
            replace(caller, steady=False), table, rng.integers(len(table.outcomes), size=rows)
        )
        if unlike.mean() > 0.5:
            return True
    return False


def _asked_again(
    caller: Caller, table: Table, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Answer, int]:
    rows, calls = size
    plain = replace(caller, steady=False)  # what it looks for, this does itself
    each = math.ceil(rows / calls)
    for _ in range(calls):
        picks = rng.integers(len(table.outcomes), size=each)
        seen = plain.limits(table.outcomes[picks])
        unlike = ~_alike(seen, table.lower[picks], table.upper[picks])
        if not unlike.any():
            continue
        first = int(picks[np.argmax(unlike)])
        again = (plain.limits(table.outcomes[picks]) for _ in range(AGAIN))
        if all(_alike(other, seen.lower, seen.upper).all() for other in again):
            return "mixed", first
        return ("shared" if each > 3 and unlike.mean() > 0.5 else "random"), first
    return "same", 0


def _unlike(caller: Caller, table: Table, picks: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return where limits of these outcomes are others than before."""
    return ~_alike(caller.limits(table.outcomes[picks]), table.lower[picks], table.upper[picks])


def _alike(limits: Limits, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(near(limits.lower, lower) & near(limits.upper, upper))
