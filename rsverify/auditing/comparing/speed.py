"""How long a bound takes for a replication, and how that grows with the sample size."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from rsverify._core.equal import EqualNaN
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Data, Estimand
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import generator

__all__ = ["Speed"]

STREAM = "speed"
NUMBERS = 1 << 15  # in a call at the largest size: more, and memory takes the time
ROWS = 256
REPEATS = 7
BUDGET = 1.0  # seconds for one size
FACTOR = 4  # from one size to the next


@dataclass(frozen=True, eq=False)
class Speed(EqualNaN):
    """How fast a bound is.

    Attributes
    ----------
    bound : str
        Its name.
    seconds : float
        Processor time per replication at the n of the comparison; NaN where it was not measured.
    exponent : float
        Time grows like n to this power, between n/4 and 4n or as far as it was measured.
    sizes : dict of int to float
        Sample size to seconds per replication.
    """

    bound: str
    seconds: float
    exponent: float
    sizes: dict[int, float]


def measure_speed(
    name: str, caller: Caller, estimand: Estimand, scenario: Scenario, design: Design
) -> Speed:
    """Return the least processor time of a few calls, at n/4, n and 4n."""
    found: dict[int, float] = {}
    n = design.n
    for size in dict.fromkeys((n, max(1, n // FACTOR), FACTOR * n)):
        if size > n and found.get(n, math.inf) * ROWS * FACTOR**2 > BUDGET:
            continue
        seconds = _seconds(caller, estimand, scenario, design, size)
        if seconds is not None:
            found[size] = seconds
    exponent = math.nan
    if len(found) > 1 and min(found.values()) > 0.0:
        small, large = min(found), max(found)
        exponent = math.log(found[large] / found[small]) / math.log(large / small)
    return Speed(name, found.get(n, math.nan), exponent, dict(sorted(found.items())))


def _seconds(
    caller: Caller, estimand: Estimand, scenario: Scenario, design: Design, n: int
) -> float | None:
    rows = max(4, min(ROWS, NUMBERS // (FACTOR * design.n)))  # as many at each size
    rng = generator(design.seed, STREAM, n)
    try:
        data = estimand.draw(rng, rows, n, **scenario.parameters)
        best = math.inf
        for _ in range(REPEATS + 1):  # the first may compile
            start = time.process_time()
            done = _call(caller, data)
            spent = time.process_time() - start
            best = min(best, spent / done)
            if spent > BUDGET / REPEATS:
                break
    except Exception:  # the bound, or the estimand, does not take this size: nothing to tell
        return None
    return best


def _call(caller: Caller, data: Data) -> int:
    """Call a bound as it is called, and return for how many replications."""
    if not (caller.rowwise or caller.alone):
        caller.bound(data, caller.alpha)
        return len(data)
    start = time.process_time()
    for i, row in enumerate(data, 1):
        caller.bound(row if caller.rowwise else row[None], caller.alpha)
        if time.process_time() - start > BUDGET:
            return i
    return len(data)
