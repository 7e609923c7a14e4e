"""The audit of bets: whether they are fixed before what they are placed on.

A capital with room to spare may stay fair on all paths although its bets peek. Where the bets
are at hand the future is perturbed: changing X_t, X_{t+1}, .. must leave the bets 1 to t
bit-identical, against means all over (0, 1).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    check_callable,
    check_level,
    check_seed_number,
    check_size,
    check_takes,
    check_text,
)
from rsverify._core.said import said
from rsverify._core.types import FloatArray
from rsverify.auditing.caller import Failure, merge_failures, name_of
from rsverify.auditing.design import FLOAT_ERRORS, LARGEST_N, Record
from rsverify.auditing.exact.evidence import Futures
from rsverify.auditing.processes import (
    ALPHAS,
    PERTURBED_N,
    STREAM,
    Process,
    asked,
    of_tables,
    refuse_unusable,
    times,
)
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.simulation.blocks import generator
from rsverify.auditing.verdict import Verdict, combine

__all__ = ["audit_bets"]

PERTURBED_ROWS = 8
ROUNDED = 1e-9  # bets, and shares of them, that differ by less do so by rounding
HALF = 0.5
FIXED_MEANS = (0.1, 0.9, 0.02, 0.98, 0.3, 0.7, 0.002, 0.998, 1e-4, 1 - 1e-4, 1e-6, 1 - 1e-6)
PEEKED = "a bet changes with the future"


@FLOAT_ERRORS
def audit_bets(
    bets: Process, *, n: int, alpha: float, seed: int = 0, name: str | None = None
) -> AuditReport:
    """Find out whether bets are predictable: fixed before what they are placed on.

    Parameters
    ----------
    bets : callable
        ``bets(x, m, alpha)`` returns the bet on each observation, of the shape (R, n) of `x`,
        against the mean m in (0, 1). A function of a single sample is called sample by sample.
    n : int
        Observations, from 1 to 10,000,000, of which at most 1000 are used; against the mean 1/2 the
        future is changed at each, against others at the first 40 and at ever later ones.
    alpha : float
        In (0, 1). Besides it, 0.97, 0.5 and 1e-9 are tried.
    seed : int, default 0
        Of the samples, and of the means bet against.
    name : str, optional
        How the report calls it. Default: the name of the function.

    Returns
    -------
    AuditReport
        Under `miscoverage` its rows have 1 where a bet changed with the future, else 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range; if `bets` fails on every call, or
        returns another shape than that of `x`.

    Notes
    -----
    *Guarantee.* A refutation is exact: two samples with the same past and different bets. A
    difference of less than 1e-9, or of that share of the bet, is attributed to rounding.
    "supported" is about the samples and means tried, and about predictability alone: that the
    bets are within their limits is for the audit of the capital.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit_bets
    >>> print(audit_bets(lambda x, m, alpha: np.sign(x - m), n=10, alpha=0.05).verdict)
    refuted
    """
    check_callable("bets", bets)
    title = name_of(bets) if name is None else check_text("name", name)
    check_takes(title, bets, ("x", "m", "alpha"))
    level, total = check_level(alpha), check_size("n", n, largest=LARGEST_N)
    size = min(total, PERTURBED_N)
    rng = generator(check_seed_number(seed), STREAM, 1)
    refuse_unusable(title, bets, level)
    bets = of_tables(bets, level)
    shape = (PERTURBED_ROWS, size)
    samples = {
        "uniform": rng.random(shape),
        "0 or 1": np.round(rng.random(shape)),
        "near 0.9": 0.9 + 0.01 * rng.random(shape),
    }
    levels = [level, *sorted({*ALPHAS} - {level})]  # the one asked for comes first
    rows: list[Row] = []
    failures: list[Failure] = []
    shown: list[Futures] = []
    for several in (False, True):
        rows, failures, shown = [], [], []
        for (law, x), each in itertools.product(samples.items(), levels):
            row, failed, futures = _perturbed(bets, Sample(law, x, each), several, rng)
            rows.append(row)
            failures += failed
            if futures is not None and not shown:
                shown = [futures]
        if failures or any(row.verdict == "refuted" for row in rows):
            break  # more means would say the same
    record: Record = {
        "bound": title,
        "estimand": "bets",
        "n": total,
        "alpha": level,
        "seed": seed,
        "kind": "bets",
    }
    notes = ["predictability of the bets on these samples; nothing else is claimed"]
    verdict = combine([r.verdict for r in rows])
    evidence = shown[0] if shown else _unchanged(bets, samples["uniform"], level)
    failed = merge_failures(failures)
    return AuditReport(verdict, rows, failed, None, record, notes, evidence)


class Sample(NamedTuple):
    """A sample whose future is changed, at one level."""

    law: str
    x: FloatArray
    alpha: float


def _perturbed(
    bets: Process, sample: Sample, several: bool, rng: np.random.Generator
) -> tuple[Row, list[Failure], Futures | None]:
    """Return the row of one sample at one level, how the bets failed, and a changed bet."""
    law, x, alpha = sample
    title = f"{law}; n={x.shape[1]}, alpha={alpha:g}"
    note, failures, peek = "", [], None
    try:
        peek = _first_peek(bets, sample, several, rng)
    except Exception as error:  # whatever the bettor raises is its failure
        note = f"{type(error).__name__}: {said(error)}"
        failures = [Failure(type(error).__name__, said(error), {"law": law, "alpha": alpha})]
    if peek is not None:
        t, m = peek.t, peek.m
        note = f"bet {t} changes with observation {t} or a later one, against m={m:.4g}"
    verdict: Verdict = "refuted" if note else "supported"
    seen = float(bool(note))
    return (
        Row(
            title, 0.0, seen, seen, seen, 0, 0, math.nan, verdict, note, measure=PEEKED, allowed=0.0
        ),
        failures,
        peek,
    )


def _first_peek(
    bets: Process, sample: Sample, several: bool, rng: np.random.Generator
) -> Futures | None:
    """Return the first t (from 1) whose bet changes when X_t and later do; or None.

    Against the mean 1/2, or against several others: fixed ones, and one of its own for each
    time, spread over (0, 1).
    """
    law, x, alpha = sample
    if not several and (peek := _peek_at_any_time(bets, sample, rng)) is not None:
        return peek
    all_times = times(0, x.shape[1])
    spread = (rng.permutation(len(all_times)) + rng.random(len(all_times))) / len(all_times)
    pairs = [(t, m) for m in (FIXED_MEANS if several else (HALF,)) for t in all_times]
    if several:
        pairs += zip(all_times, spread.tolist(), strict=True)
    now = np.concatenate([x, x, x])
    base: dict[float, FloatArray] = {}
    for t, m in pairs:
        futures = np.concatenate([np.zeros_like(x), np.ones_like(x), rng.random(x.shape)])
        other = np.concatenate([now[:, :t], futures[:, t:]], axis=1)
        if m not in base:
            base[m] = _shaped(bets, now, m, alpha)
        changed = _shaped(bets, other, m, alpha)
        same = _alike(base[m], changed)[:, : t + 1].all(axis=1)
        if not same.all():
            i = int(np.argmin(same))
            pair = now[i], other[i], base[m][i], changed[i]
            return Futures(int(t) + 1, float(m), law, *pair)
    return None


def _peek_at_any_time(bets: Process, sample: Sample, rng: np.random.Generator) -> Futures | None:
    """Return a peek of one path at any of its times, each changed in a row of its own; or None."""
    law, x, alpha = sample
    now = np.repeat(x[:1], x.shape[1], axis=0)
    time = np.arange(len(now))
    past = time[:, None] > time
    base = _shaped(bets, now, HALF, alpha)
    for future in (
        np.where(now > HALF, 0.0, 1.0),
        np.broadcast_to(rng.random(len(now)), now.shape),
    ):
        other = np.where(past, now, future)
        changed = _shaped(bets, other, HALF, alpha)
        same = (_alike(base, changed) | (time[:, None] < time)).all(axis=1)
        if not same.all():
            i = int(np.argmin(same))
            return Futures(i + 1, HALF, law, now[i], other[i], base[i], changed[i])
    return None


def _alike(one: FloatArray, other: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where bets agree but for rounding: a sum less its last term depends on that term."""
    return np.asarray(np.isclose(one, other, rtol=ROUNDED, atol=ROUNDED, equal_nan=True))


def _unchanged(bets: Process, x: FloatArray, alpha: float) -> Futures | None:
    """Return one sample with two futures where no bet before them changed; None if bets fail."""
    t = x.shape[1] // 2
    other = x.copy()
    other[:, t:] = 1.0 - x[:, t:]
    try:
        pair = _shaped(bets, x, HALF, alpha)[0], _shaped(bets, other, HALF, alpha)[0]
    except Exception:  # a row of the report says it
        return None
    return Futures(t + 1, HALF, "uniform", x[0], other[0], *pair)


def _shaped(bets: Process, x: FloatArray, m: float, alpha: float) -> FloatArray:
    value = asked(bets, x, m, alpha)
    if value.shape != x.shape:
        raise ValueError(f"bets of shape {value.shape} must have the shape {x.shape} of x")
    return value
