"""The martingale audit: whether the capital of a betting bound is fair and blind to the future.

Coverage simulation does not see every fault of a betting bound: where the bound is loose, a
capital that is not a supermartingale can still cover. Two exact checks see them:

- *fairness*: E[K] over all paths of two- and three-point distributions, the mean being the
  one bet against, at large and small log(1/alpha), must be at most 1;
- *no look ahead*: K_1..K_t must not change when X_{t+1}.. do, and the bet on X_t must be
  fixed before X_t: E[K_t | X_1..X_{t-1}] <= K_{t-1} on every path, not only on average.

Paths longer than can be enumerated are tried one step at a time: after random pasts of up to n
observations, the mean over the next one is exact, and what comes later differs.

A capital with room to spare may stay fair on all of these although its bets peek. Where the
bets themselves are at hand, `audit_bets` perturbs the future: changing X_t, X_{t+1}, .. must
leave the bets 1 to t bit-identical.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify.auditing.caller import Failure
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.verdict import Verdict, combine

Capital = Callable[[FloatArray, float, float], npt.ArrayLike]

PERTURBED_N = 1000  # observations, at most, of the samples whose future is changed
EARLY, LATE = 40, 12  # times at which it is: the first ones, then ever more apart
PASTS = 16  # random pasts after which a step is enumerated
PERTURBED_ROWS = 8
LARGEST_PATH = 12  # of two-point distributions; three points get a third less
ERROR = 1e-9
"""Excess of E[K] over 1 that is put down to rounding."""
ALPHAS = (0.97, 0.5, 1e-9)
"""Bets grow with log(1/alpha): far apart, as small bets leave no room to hide a look ahead."""

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


def capital_from_bets(bets: Capital) -> Capital:
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


def _asked(process: Capital, x: FloatArray, m: float, alpha: float) -> FloatArray:
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


def _checked(capital: Capital, x: FloatArray, m: float, alpha: float) -> FloatArray:
    value = _asked(capital, x, m, alpha)
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

    Paths are in lexical order: those with equal X_1..X_t are neighbours, so that a reshape
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


def audit_capital(capital: Capital, *, n: int, alpha: float, name: str = "capital") -> AuditReport:
    """Return the martingale audit of a capital process, as ``audit(..., kind="betting")``.

    Parameters
    ----------
    capital : callable
        ``capital(x, m, alpha)`` returns the capital after each observation, of the shape
        (R, n) of `x`, of a bettor against the mean m who starts with 1. A function of a single
        sample is called sample by sample.
    n : int
        Observations; paths of at most 12 (two points) and 8 (three points) are enumerated, and
        single steps after random pasts of up to 1000.
    alpha : float
        Besides it, 0.97, 0.5 and 1e-9 are tried, as bets depend on log(1/alpha).
    name : str
        How the report calls it.

    Notes
    -----
    A refutation is exact, up to 1e-9. "supported" is about the distributions in the table.
    """
    rows, failures = [], []
    for (law, (values, probabilities)), level in itertools.product(
        DISTRIBUTIONS.items(), sorted({*ALPHAS, alpha})
    ):
        size = min(n, LARGEST_PATH if len(values) == 2 else 2 * LARGEST_PATH // 3)
        paths, _ = all_paths(values, probabilities, size)
        m = float(np.dot(values, probabilities))
        title = f"{law}; n={size}, alpha={level:g}"
        try:
            path = _checked(capital, paths, m, level)
        except Exception as error:  # whatever the bettor raises is its failure
            kind = type(error).__name__
            failures.append(Failure(kind, str(error), {"law": law, "m": m, "alpha": level}))
            rows.append(Row(title, 1.0, math.inf, 0.0, math.inf, 0, 0, math.nan, "refuted", kind))
            continue
        rows.append(_judge(title, *_excess(path, probabilities, size)))
        if n > size:
            late = f"{law}; after random pasts up to n={min(n, PERTURBED_N)}, alpha={level:g}"
            rows.append(_late(capital, late, values, probabilities, (min(n, PERTURBED_N), level)))
    notes = ["exact: expectations over all paths; claimed for the distributions in the table"]
    design: dict[str, Any] = {
        "bound": name,
        "estimand": "capital",
        "n": n,
        "alpha": alpha,
        "kind": "betting",
        "method": "exact",
    }
    return AuditReport(combine([r.verdict for r in rows]), rows, failures, None, design, notes)


def _times(first: int, n: int) -> npt.NDArray[np.int64]:
    """Return `EARLY` times from `first` on and `LATE` ever later ones, all below n."""
    late = np.geomspace(max(first, 1), max(n - 1, 1), LATE).astype(np.int64)
    return np.unique(np.concatenate([np.arange(first, min(first + EARLY, n)), late]))


def _late(
    capital: Capital,
    title: str,
    values: tuple[float, ...],
    probabilities: tuple[float, ...],
    setting: tuple[int, float],
) -> Row:
    """Return the row of steps after random pasts: their growth on average, their look ahead."""
    n, level = setting
    rng = np.random.default_rng(np.random.SeedSequence(n))
    points, m = len(values), float(np.dot(values, probabilities))
    growth, ahead = 0.0, 0.0
    past = rng.choice(values, (PASTS, n), p=probabilities)
    for t in _times(LARGEST_PATH // 2, n):
        x = np.repeat(past, points, axis=0)
        x[:, t] = np.tile(values, PASTS)
        x[:, t + 1 :] = rng.choice(values, (len(x), n - t - 1), p=probabilities)
        try:
            path = _checked(capital, x, m, level)
        except Exception as error:  # whatever the bettor raises is its failure
            text = f"{type(error).__name__}: {error}"
            return Row(title, 1.0, math.inf, 0.0, math.inf, 0, 0, math.nan, "refuted", text)
        before = path[:, t - 1].reshape(PASTS, points)
        spread = before.max(axis=1) - before.min(axis=1)
        ahead = max(ahead, float((spread / np.maximum(before.max(axis=1), 1e-300)).max()))
        rise = path[:, t].reshape(PASTS, points) @ np.array(probabilities) - before[:, 0]
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
    return Row(title, 1.0, expected, expected, expected, 0, 0, math.nan, verdict, "; ".join(faults))


def audit_bets(bets: Capital, *, n: int, alpha: float, name: str = "bets") -> AuditReport:
    """Return whether bets are predictable, as ``audit(..., kind="bets")``.

    Parameters
    ----------
    bets : callable
        ``bets(x, m, alpha)`` returns the bet on each observation, of the shape (R, n) of `x`.
    n : int
        Observations, of which at most 1000 are used; the future is changed at the first 40
        and at ever later ones.
    alpha : float
        Besides it, 0.97, 0.5 and 1e-9 are tried.
    name : str
        How the report calls it.

    Notes
    -----
    A refutation is exact: two samples with the same past and different bets. "supported" is
    about the samples tried, and about predictability alone: that the bets are within their
    limits is for the audit of the capital.
    """
    size = min(n, PERTURBED_N)
    rng = np.random.default_rng(np.random.SeedSequence(size))
    shape = (PERTURBED_ROWS, size)
    samples = {
        "uniform": rng.random(shape),
        "0 or 1": np.round(rng.random(shape)),
        "near 0.9": 0.9 + 0.01 * rng.random(shape),
    }
    rows, failures = [], []
    for (law, x), level in itertools.product(samples.items(), sorted({*ALPHAS, alpha})):
        title = f"{law}; n={size}, alpha={level:g}"
        note = ""
        try:
            first = _first_peek(bets, x, level, rng)
        except Exception as error:  # whatever the bettor raises is its failure
            first, note = 0, type(error).__name__
            failures.append(Failure(note, str(error), {"law": law, "alpha": level}))
        verdict: Verdict = "supported" if first is None else "refuted"
        if first is not None and not note:
            note = f"bet {first} changes with observation {first} or a later one"
        rows.append(
            Row(title, 0.0, float(first is not None), 0.0, 1.0, 0, 0, math.nan, verdict, note)
        )
    design = {"bound": name, "estimand": "bets", "n": n, "alpha": alpha, "kind": "bets"}
    notes = ["predictability of the bets on these samples; nothing else is claimed"]
    return AuditReport(combine([r.verdict for r in rows]), rows, failures, None, design, notes)


def _first_peek(bets: Capital, x: FloatArray, alpha: float, rng: np.random.Generator) -> int | None:
    """Return the first t (from 1) whose bet changes when X_t and later do, or None."""
    base = _shaped(bets, x, alpha)
    for t in _times(0, x.shape[1]):
        for future in (np.zeros_like(x), np.ones_like(x), rng.random(x.shape)):
            other = np.concatenate([x[:, :t], future[:, t:]], axis=1)
            if not np.array_equal(base[:, : t + 1], _shaped(bets, other, alpha)[:, : t + 1]):
                return int(t) + 1
    return None


def _shaped(bets: Capital, x: FloatArray, alpha: float) -> FloatArray:
    value = _asked(bets, x, 0.5, alpha)
    if value.shape != x.shape:
        raise ValueError(f"bets of shape {value.shape} must have the shape {x.shape} of x")
    return value
