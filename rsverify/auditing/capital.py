"""The martingale audit: whether the capital of a betting bound is fair and blind to the future.

Coverage simulation does not see every fault of a betting bound: where the bound is loose, a
capital that is not a supermartingale can still cover. Two exact checks see them:

- *fairness*: E[K] over all paths of two- and three-point distributions, the mean being the
  one bet against, at large and small log(1/alpha), must be at most 1;
- *no look ahead*: K_1..K_t must not change when X_{t+1}.. do, and the bet on X_t must be
  fixed before X_t: E[K_t | X_1..X_{t-1}] <= K_{t-1} on every path, not only on average.

Paths longer than can be enumerated are tried one step at a time: after random pasts of up to n
observations, the mean over the next one is exact, and what comes later differs. A fault may show
against some means only: beside eight distributions at every level, many more are drawn, of means
all over (0, 1), each at one level.

A capital with room to spare may stay fair on all of these although its bets peek. Where the
bets themselves are at hand, `rsverify.auditing.bets` perturbs the future.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from rsverify._core.check import (
    FloatArray,
    check_callable,
    check_level,
    check_seed_number,
    check_size,
    check_takes,
    check_text,
)
from rsverify._core.said import said
from rsverify.auditing.caller import Failure, merge_failures, name_of
from rsverify.auditing.design import FLOAT_ERRORS, LARGEST_N, Record
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

__all__ = ["audit_capital"]

PASTS = 16  # random pasts after which a step is enumerated
LARGEST_PATH = 12  # of two-point distributions; three points get a third less
DRAWN_PATH = 8  # of those that are drawn
MEANS = 40  # that are drawn, beside some near 0 and 1
EXPECTED = "expected capital"
ERROR = 1e-9
"""Excess of E[K] over 1 that is attributed to rounding."""

DISTRIBUTIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0, 1 fair": ((0.0, 1.0), (0.5, 0.5)),
    "0 rarely, 1": ((0.0, 1.0), (0.1, 0.9)),
    "0, 1 rarely": ((0.0, 1.0), (0.99, 0.01)),
    "0.45, 0.55": ((0.45, 0.55), (0.3, 0.7)),
    "0, 0.2": ((0.0, 0.2), (0.2, 0.8)),
    "0.1, 1 rarely": ((0.1, 1.0), (0.95, 0.05)),
    "0, 1/2, 1": ((0.0, 0.5, 1.0), (0.25, 0.5, 0.25)),
    "0 rarely, 0.9, 1": ((0.0, 0.9, 1.0), (0.02, 0.9, 0.08)),
}


def all_paths(
    values: tuple[float, ...], probabilities: tuple[float, ...], n: int
) -> tuple[FloatArray, FloatArray]:
    """Return every sample of size n and its probability."""
    index = np.array(list(itertools.product(range(len(values)), repeat=n)))
    return np.array(values)[index], np.array(probabilities)[index].prod(axis=1)


def capital_from_bets(bets: Process) -> Process:
    """Return the capital of a bettor given by its bets: prod (1 + lambda_t (x_t - m)).

    Parameters
    ----------
    bets : callable
        ``bets(x, m, alpha)`` returns the bet on each observation, of the shape of `x`.
    """

    def capital(x: FloatArray, m: float, alpha: float) -> FloatArray:
        factors = 1.0 + np.asarray(bets(x, m, alpha)) * (x - m)
        return np.asarray(np.cumprod(factors, axis=-1), dtype=np.float64)

    return capital


def _checked(capital: Process, x: FloatArray, m: float, alpha: float) -> FloatArray:
    value = asked(capital, x, m, alpha)
    if value.shape != x.shape:
        raise ValueError(f"capital of shape {value.shape} must have the shape {x.shape} of x")
    if np.isnan(value).any():
        raise ValueError("capital is NaN")
    if (value < -ERROR).any():
        raise ValueError(f"capital {value.min():.4g} is negative")
    return value


def _excess(
    capital: FloatArray, probabilities: tuple[float, ...], n: int
) -> tuple[float, float, float]:
    """Return E[K_n], the largest growth of a conditional mean, the largest look ahead.

    Paths are in lexical order: those with equal X_1..X_t are neighbors, so that a reshape
    groups them.
    """
    points = len(probabilities)
    growth, ahead = 0.0, 0.0
    before = np.ones(1)
    for t in range(n):
        blocks = capital[:, t].reshape(points ** (t + 1), -1)
        spread = blocks.max(axis=1) - blocks.min(axis=1)
        ahead = max(ahead, float((spread / np.maximum(blocks.max(axis=1), 1e-300)).max()))
        now = blocks[:, 0]
        mean = now.reshape(-1, points) @ np.array(probabilities)
        # Relative growth; a lost capital must stay lost.
        rise = (mean - before) / np.maximum(before, 1e-12)
        growth = max(growth, float(rise.max()))
        before = now
    weights = np.ones(1)
    for _ in range(n):
        weights = np.outer(weights, probabilities).ravel()
    return float(weights @ capital[:, -1]), growth, ahead


@FLOAT_ERRORS
def audit_capital(
    capital: Process, *, n: int, alpha: float, seed: int = 0, name: str | None = None
) -> AuditReport:
    """Find out whether a capital process is fair and blind to the future.

    Parameters
    ----------
    capital : callable
        ``capital(x, m, alpha)`` returns the capital after each observation, of the shape
        (R, n) of `x`, of a bettor against the mean m in (0, 1) who starts with 1. A function of
        a single sample is called sample by sample.
    n : int
        Observations, from 1 to 10,000,000; paths of at most 12 (two points) and 8 (three points)
        are enumerated, and single steps after random pasts of up to 1000.
    alpha : float
        In (0, 1). Besides it, 0.97, 0.5 and 1e-9 are tried, as bets depend on log(1/alpha).
    seed : int, default 0
        Of the means that are drawn, and of random pasts.
    name : str, optional
        How the report calls it. Default: the name of the function.

    Returns
    -------
    AuditReport
        Under `miscoverage` its rows have the expected capital: see `Row.measure`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range; if `capital` fails on every call,
        or returns another shape than that of `x`.

    Notes
    -----
    *Guarantee.* A refutation is exact, up to 1e-9. "supported" is about the distributions and
    means in the table.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit_capital
    >>> def fair(x, m, alpha):
    ...     return np.cumprod(1 + 0.5 * (x - m), axis=1)
    >>> print(audit_capital(fair, n=10, alpha=0.05).verdict)
    supported
    """
    check_callable("capital", capital)
    title = name_of(capital) if name is None else check_text("name", name)
    check_takes(title, capital, ("x", "m", "alpha"))
    size, level = check_size("n", n, largest=LARGEST_N), check_level(alpha)
    rng = generator(check_seed_number(seed), STREAM, 0)
    refuse_unusable(title, capital, level)
    capital = of_tables(capital, level)
    rows: list[Row] = []
    failures: list[Failure] = []
    for bets in (_listed(size, level), _drawn(size, level, rng)):
        for bet in bets:
            found, failed = _enumerated(capital, bet)
            rows.append(found)
            failures += failed
            if size > bet.size and not failed:
                rows.append(_late(capital, bet, min(size, PERTURBED_N)))
        if any(row.verdict == "refuted" for row in rows):
            break  # more means would say the same
    notes = ["exact: expectations over all paths; claimed for the distributions in the table"]
    record: Record = {
        "bound": title,
        "estimand": "capital",
        "n": size,
        "alpha": level,
        "seed": seed,
        "kind": "betting",
        "method": "exact",
    }
    verdict = combine([r.verdict for r in rows])
    return AuditReport(verdict, rows, merge_failures(failures), None, record, notes)


class Bet(NamedTuple):
    """A distribution whose mean is bet against, at one level, over paths of one length."""

    law: str
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    alpha: float
    size: int

    @property
    def m(self) -> float:
        """The mean, which is bet against."""
        return float(np.dot(self.values, self.probabilities))


def _listed(n: int, alpha: float) -> list[Bet]:
    """Return the distributions that are always tried, each at every level."""
    bets = []
    for (law, (values, chances)), level in itertools.product(
        DISTRIBUTIONS.items(), sorted({*ALPHAS, alpha})
    ):
        size = min(n, LARGEST_PATH if len(values) == 2 else 2 * LARGEST_PATH // 3)
        bets.append(Bet(law, values, chances, level, size))
    return bets


def _drawn(n: int, alpha: float, rng: np.random.Generator) -> list[Bet]:
    """Return two-point distributions whose means are spread over (0, 1), one level each."""
    levels = sorted({*ALPHAS, alpha})
    low_edges = [1e-6, 1e-5, 1e-4, 0.001, 0.003, 0.01, 0.03]
    edges = [*low_edges, *(1.0 - m for m in low_edges[::-1])]
    means = [*edges, *((np.arange(MEANS) + rng.random(MEANS)) / MEANS)]
    bets = []
    for i, m in enumerate(means):
        low, high = (0.0, 1.0) if i % 2 else (m * rng.random(), m + (1.0 - m) * rng.random())
        if not low < m < high:
            low, high = 0.0, 1.0
        share = float((m - low) / (high - low))
        law = f"{low:.3g} or {high:.3g}, mean {m:.4g}"
        level = levels[(i // 2) % len(levels)]
        size = min(n, DRAWN_PATH)
        bets.append(Bet(law, (float(low), float(high)), (1.0 - share, share), level, size))
    return bets


def _failed(title: str, error: Exception, bet: Bet, measure: str) -> tuple[Row, list[Failure]]:
    """Return the row of a call that raised, and the failure."""
    kind = type(error).__name__
    example = {"law": bet.law, "m": bet.m, "alpha": bet.alpha}
    row = Row(
        title,
        1.0,
        math.inf,
        0.0,
        math.inf,
        0,
        0,
        math.nan,
        "refuted",
        f"{kind}: {said(error)}",
        measure=measure,
        allowed=1.0,
    )
    return row, [Failure(kind, said(error), example)]


def _enumerated(capital: Process, bet: Bet) -> tuple[Row, list[Failure]]:
    """Return the row of all paths of one distribution, and how the capital failed."""
    title = f"{bet.law}; n={bet.size}, alpha={bet.alpha:g}"
    paths, _ = all_paths(bet.values, bet.probabilities, bet.size)
    try:
        path = _checked(capital, paths, bet.m, bet.alpha)
    except Exception as error:  # whatever the bettor raises is its failure
        return _failed(title, error, bet, EXPECTED)
    return _judge(title, *_excess(path, bet.probabilities, bet.size)), []


def _late(capital: Process, bet: Bet, n: int) -> Row:
    """Return the row of steps after random pasts: their growth on average, their look ahead."""
    title = f"{bet.law}; after random pasts up to n={n}, alpha={bet.alpha:g}"
    rng = np.random.default_rng(np.random.SeedSequence(n))
    values, chances = bet.values, np.array(bet.probabilities)
    points = len(values)
    growth, ahead = 0.0, 0.0
    past = rng.choice(values, (PASTS, n), p=chances)
    for t in times(LARGEST_PATH // 2, n):
        x = np.repeat(past, points, axis=0)
        x[:, t] = np.tile(values, PASTS)
        x[:, t + 1 :] = rng.choice(values, (len(x), n - t - 1), p=chances)
        try:
            path = _checked(capital, x, bet.m, bet.alpha)
        except Exception as error:  # whatever the bettor raises is its failure
            return _failed(title, error, bet, EXPECTED)[0]
        before = path[:, t - 1].reshape(PASTS, points)
        spread = before.max(axis=1) - before.min(axis=1)
        ahead = max(ahead, float((spread / np.maximum(before.max(axis=1), 1e-300)).max()))
        rise = path[:, t].reshape(PASTS, points) @ chances - before[:, 0]
        growth = max(growth, float((rise / np.maximum(before[:, 0], 1e-12)).max()))
    return _judge(title, 1.0 + growth, growth, ahead)


def _judge(title: str, expected: float, growth: float, ahead: float) -> Row:
    """Return the row of one distribution: its E[K] stands where a miscoverage would."""
    faults = []
    if expected > 1.0 + ERROR:
        faults.append(f"E[K] = {expected:.6g} is above 1")
    if growth > ERROR:
        faults.append(f"the capital grows by {growth:.3g} on average after some path")
    if ahead > ERROR:
        faults.append("K_t depends on later observations")
    verdict: Verdict = "refuted" if faults else "supported"
    note = "; ".join(faults)
    return Row(
        title,
        1.0,
        expected,
        expected,
        expected,
        0,
        0,
        math.nan,
        verdict,
        note,
        measure=EXPECTED,
        allowed=1.0,
    )
