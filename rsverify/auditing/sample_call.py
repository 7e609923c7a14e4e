"""One call of a bound, before an audit starts: what it was given, and what came back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rsverify._core.check import check_choice, check_level, check_size, check_takes
from rsverify._core.types import AuditEstimandName, Side
from rsverify.auditing.caller import SIDES, Caller, Limits, name_of
from rsverify.auditing.company import PROBE_ROWS, rows_of_a_probe, scalar
from rsverify.auditing.design import FLOAT_ERRORS, LARGEST_N, Design
from rsverify.auditing.estimand import Data, Estimand, Parameters, find_estimand
from rsverify.auditing.fitting import probe
from rsverify.auditing.scenario import check_scenarios

__all__ = ["SampleCall", "sample_call"]

STREAM = "sample call"


@dataclass(frozen=True)
class SampleCall:
    """What one call of a bound was given, and what came back.

    Attributes
    ----------
    given : tuple of int
        Shape of the data: replications first.
    returned : tuple of int or None
        Shape of what came back; None where the call failed.
    reading : str
        How an audit reads it.
    first : str
        The limits of the first replication.
    seconds : float
        What the call took.

    Notes
    -----
    *Guarantee.* None: an audit finds out by more calls how a bound is to be called.
    """

    given: tuple[int, ...]
    returned: tuple[int, ...] | None
    reading: str
    first: str
    seconds: float

    def __str__(self) -> str:
        back = "failed" if self.returned is None else f"returned shape {self.returned}"
        return (
            f"one call with data of shape {self.given} {back}: {self.reading}; the first is "
            f"{self.first}"
        )


@FLOAT_ERRORS
def sample_call(
    bound: Callable[..., object],
    *,
    estimand: AuditEstimandName | Estimand = "mean",
    n: int,
    alpha: float,
    side: Side | None = None,
    scenarios: Mapping[str, Parameters] | None = None,
) -> SampleCall:
    """Call a bound once, and say what came back and how an audit would read it.

    Parameters
    ----------
    bound : callable
        As `rsverify.audit` takes it: ``bound(data, alpha)``.
    estimand, n, alpha, side, scenarios
        As `rsverify.audit` takes them.

    Returns
    -------
    SampleCall
        ``print`` says it in a line.

    Raises
    ------
    TypeError, ValueError
        If what comes back has another shape than limits have, or every replication fails: with
        what was returned, and what was expected.

    Notes
    -----
    *Guarantee.* None: one call shows a shape, an audit whether the bound covers.

    Examples
    --------
    >>> from rsverify.auditing.sample_call import sample_call
    >>> call = sample_call(lambda x, alpha: x.mean(axis=1) - 0.3, n=20, alpha=0.05)
    >>> call.given, call.returned, call.reading
    ((7, 20), (7,), 'one lower limit for each of 7 replications')
    """
    check_takes(name_of(bound), bound, ("data", "alpha"))
    thing = find_estimand(estimand)
    claimed: Side = "lower" if side is None else check_choice("side", side, SIDES)
    size, level = check_size("n", n, largest=LARGEST_N), check_level(alpha)
    design = Design(name_of(bound), thing.name, claimed, size, level)
    suite = check_scenarios(scenarios, thing, size, level, claimed)
    data = probe(thing, design, suite, PROBE_ROWS + 1, STREAM)
    data = data[: rows_of_a_probe(data)]
    whole = Caller(bound, level, claimed, thing.space, sequential=thing.sequential)
    return _of_batch(whole, data) or _of_row(whole, data)


def _of_batch(caller: Caller, data: Data) -> SampleCall | None:
    """Return the call on all rows at once, None where it is no use."""
    start = time.perf_counter()
    try:
        value = caller.call(data)
    except Exception:  # told by the call on a single row
        return None
    seconds = time.perf_counter() - start
    layout = caller.fits(data)
    if layout is None:
        return None
    rows = len(data)
    many = value.ndim > 1 and caller.side != "two-sided" and value.shape[1] > 1
    limit = _what(caller)
    reading = f"one {limit} for each of {rows} replications"
    if many:
        reading = f"one {limit} for each of {value.shape[1]} observations of {rows} replications"
    elif layout == "pair":
        reading = f"lower limits, then upper limits, of {rows} replications"
    limits = caller.row(data[:1])
    return SampleCall(data.shape, value.shape, reading, _shown(caller, limits), seconds)


def _of_row(whole: Caller, data: Data) -> SampleCall:
    """Return the call on a single replication; raise where nothing works."""
    start = time.perf_counter()
    single = scalar(whole, data, data, name_of(whole.bound), lambda: "")
    row = data[:1]
    limits = single.row(row)
    seconds = time.perf_counter() - start
    if single.rowwise:
        given, reading = row.shape[1:], f"one {_what(whole)}; it takes one replication at a time"
    else:
        given, reading = row.shape, f"one {_what(whole)}; other rows of a batch fail"
    try:
        returned = single.call(row[0] if single.rowwise else row).shape
    except Exception:  # of some rows: the audit counts it
        returned = None
    return SampleCall(given, returned, reading, _shown(single, limits), seconds)


def _what(caller: Caller) -> str:
    return "interval" if caller.side == "two-sided" else f"{caller.side} limit"


def _shown(caller: Caller, limits: Limits) -> str:
    """Return the limits of the first replication."""
    if limits.failures:
        return f"a failure ({limits.failures[0].message})"
    low, high = float(limits.lower[0]), float(limits.upper[0])
    if caller.side == "two-sided":
        return f"[{low:.4g}, {high:.4g}]"
    return f"{low if caller.side == 'lower' else high:.4g}"
