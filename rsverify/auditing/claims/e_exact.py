"""Expectations of e-values by sums: over counts, over paths, over joint distributions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.said import said
from rsverify._core.types import EInputName
from rsverify.auditing.caller import Caller, Failure, merge_failures, plain_row
from rsverify.auditing.capital import all_paths
from rsverify.auditing.counts import CountModel
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Data, Parameters
from rsverify.auditing.exact.counts import collapses, in_digits, too_large, way
from rsverify.auditing.exact.enclosure import enclosed, missed_in_words, proved
from rsverify.auditing.exact.proportion import ROUNDING
from rsverify.auditing.exact.repeats import Table, first_look
from rsverify.auditing.processes import times
from rsverify.auditing.report import Row
from rsverify.auditing.scenario import Law
from rsverify.auditing.simulation.blocks import generator
from rsverify.auditing.two_counts import PairedModel
from rsverify.auditing.verdict import Verdict, Witness

MEASURE = "E[e]"
STOPPED = "E[e] at the best stopping time"
ERROR = ROUNDING  # of an expectation, that is attributed to rounding
MOST_PATHS, LONGEST = 4096, 12
MOST_POINTS = 3
MOST_LAWS = 60  # whose paths are summed
PERTURBED = 1000  # observations of samples whose future is changed
STREAM = "e-values"

NOT_FINITE = "the e-value is infinite", "the e-value is NaN"

Found = tuple[Row, list[Failure], Witness | None, str]


def _row(
    name: str,
    value: float,
    note: str = "",
    *,
    measure: str = MEASURE,
    high: float | None = None,
    allowed: float = 1.0 + ERROR,
) -> Row:
    top = value if high is None else high
    verdict: Verdict = "refuted" if value > 1.0 + ERROR or note else "inconclusive"
    if verdict != "refuted" and top <= allowed:
        verdict = "supported"
    return Row(
        name, 1.0, value, value, top, 0, 0, math.nan, verdict, note, measure=measure, allowed=1.0
    )


def count_row(caller: Caller, model: CountModel, design: Design) -> Found | None:
    """Return the row of the largest expectation over a model of counts; None if e is random."""
    if too_large(model):
        return None
    outcomes = model.outcomes
    rng = generator(design.seed, STREAM, 0)
    order = rng.permutation(len(outcomes))
    limits = caller.limits(outcomes[order])
    e = np.empty(len(order))
    e[order] = limits.lower
    table = Table(outcomes, e, np.full(len(e), np.inf))
    answer, _ = first_look(caller, table, rng)
    if answer in ("random", "shared") or not collapses(model, table):
        return None
    kept = model.groups if isinstance(model, PairedModel) else np.arange(len(outcomes))
    e, outcomes = e[kept], outcomes[kept]
    finite = e[np.isfinite(e)]
    most = float(finite.max(initial=1.0)) if finite.size == e.size else math.inf

    def payoff(least: FloatArray, largest: FloatArray) -> FloatArray:
        del largest
        return np.broadcast_to(e, (len(least), len(e)))

    def exactly(value: Fraction) -> FloatArray:
        del value
        return e

    found = enclosed(model, payoff, np.zeros(0), monotone=way(e), most=most)
    proof = proved(model, found, exactly, 1.0) if math.isfinite(most) else None
    attained = found.attained if proof is None else max(found.attained, float(proof.expectation))
    excess = attained > 1.0 + ROUNDING
    note = f"none is above {found.certified:.6g}"
    row = _row(
        f"largest over {model.scope}",
        attained if excess else min(attained, 1.0),
        high=max(found.certified, attained),
        allowed=1.0 + design.tolerance,
    )
    row = replace(row, note=note, truth=float(model.value(found.point[None])[0]))
    witness = None
    if excess:
        point = found.point.tolist() if proof is None else proof.point
        witness = Witness(
            {k: in_digits(Fraction(v)) for k, v in zip(model.names, point, strict=True)},
            row.truth if proof is None else float(proof.value),
            missed_in_words(outcomes, np.flatnonzero(e > 0.0)),
            attained,
            rational=proof is not None,
            event="have e > 0",
            quantity="expectation",
        )
    text = f"exact: the expectation is at most {found.certified:.6g} for {model.scope}"
    return row, _of_counts(limits.failures, attained), witness, text


def _of_counts(failures: list[Failure], expectation: float) -> list[Failure]:
    """Return the failures of e-values of counts: infinite ones where they have a probability."""
    told = [
        replace(f, kind="infinite", message=NOT_FINITE[0]) if f.kind == "outside" else f
        for f in failures
    ]
    return [f for f in told if f.kind != "infinite" or math.isinf(expectation)]


def values(caller: Caller, data: Data) -> FloatArray:
    """Return e-values (R, 1) or paths (R, n); infinite where the function failed."""
    if not (caller.rowwise or caller.alone):
        try:
            return _shaped(caller.call(data), len(data))
        except Exception:  # found again, and judged, row by row
            pass
    rows = [_of_row(caller, data[i]) for i in range(len(data))]
    width = max(len(r) for r in rows)
    return np.array([r if len(r) == width else np.full(width, np.inf) for r in rows])


def _shaped(value: Data, rows: int) -> FloatArray:
    out = value.astype(np.float64)
    if len(out) != rows or out.ndim > 2:
        raise ValueError(f"e-values of shape {out.shape} for {rows} replications")
    out = out[:, None] if out.ndim == 1 else out
    out[np.isnan(out).any(axis=1)] = np.inf
    return out


def _of_row(caller: Caller, row: Data) -> FloatArray:
    try:
        value = caller.call(row if caller.rowwise else row[None]).astype(np.float64)
    except Exception:  # whatever it raises is its failure
        return np.full(1, np.inf)
    value = np.atleast_1d(value if caller.rowwise else value[0])
    return np.full(len(value), np.inf) if np.isnan(value).any() else value


def path_rows(
    caller: Caller, suite: Mapping[str, Parameters], n: int, truth: Callable[..., float]
) -> tuple[list[Row], list[Failure]]:
    """Return the rows of distributions of few points, all of whose paths are summed.

    `truth` returns the value of the estimand.
    """
    rows: list[Row] = []
    failures: list[Failure] = []
    for name, parameters in suite.items():
        law = parameters.get("law")
        if not isinstance(law, tuple) or longest(law) == 0:
            continue
        row, failed = _of_paths(caller, name, law, n)
        failures += failed
        if row is not None:
            rows.append(replace(row, truth=float(truth(**parameters))))
        if len(rows) >= MOST_LAWS:
            break
    return rows, merge_failures(failures)


def longest(law: Law) -> int:
    """Return up to which length all paths of a distribution are summed, 0 if it is not one."""
    if law[0] != "points" or len(law[1]) > MOST_POINTS:
        return 0
    return LONGEST if len(law[1]) == 1 else int(math.log(MOST_PATHS) / math.log(len(law[1])))


def _of_paths(caller: Caller, name: str, law: Law, n: int) -> tuple[Row | None, list[Failure]]:
    points, chances = np.asarray(law[1], dtype=np.float64), tuple(map(float, law[2]))
    length = min(n, longest(law))
    which, weights = all_paths(tuple(range(len(points))), chances, length)
    # Later observations are given too, all alike: a process must not change with them.
    picks = np.zeros((len(which), n), dtype=np.int64)
    picks[:, :length] = which
    data = points[picks]  # numbers, or rows of scores
    e = values(caller, data)
    failures = _failures(e, data, lambda row: _why(caller, row))
    if e.shape[1] == 1 and n > 1:
        if length < n:
            return None, []  # a function of the whole sample: simulated
        return _row(f"{name}; all paths of n={n}", _sum(weights, e[:, 0])), failures
    ahead = _look_ahead(e[:, :length], len(points)) or _later(caller, points, picks, length)
    value = _snell(e[:, :length], np.array(chances))
    note = f"e_{ahead} changes with later observations" if ahead else ""
    measure = STOPPED if e.shape[1] > 1 else MEASURE
    return _row(f"{name}; paths of {length} of n={n}", value, note, measure=measure), failures


def _failures(e: FloatArray, data: Data, why: Callable[[Data], str]) -> list[Failure]:
    bad = ~np.isfinite(e).all(axis=1)
    if not bad.any():
        return []
    row = data[int(np.argmax(bad))]
    return [Failure("infinite", why(row), plain_row(row), int(bad.sum()))]


def _why(caller: Caller, row: Data) -> str:
    """Return what is wrong with the e-value of a row: what is raised, or not finite."""
    try:
        value = caller.call(row if caller.rowwise else row[None]).astype(np.float64)
    except Exception as error:  # the function's own
        return f"{type(error).__name__}: {said(error)}"
    return NOT_FINITE[1 if np.isnan(value).any() else 0]


def _sum(weights: FloatArray, e: FloatArray) -> float:
    """Return an expectation; what has probability 0 adds nothing."""
    kept = weights > 0.0
    return float(weights[kept] @ e[kept]) if np.isfinite(e[kept]).all() else math.inf


def _snell(e: FloatArray, chances: FloatArray) -> float:
    """Return the largest expectation over all stopping times, by backward induction.

    Paths are in lexical order: those with an equal beginning are neighbors.
    """
    points, steps = len(chances), e.shape[1]
    best = e[:, -1]
    kept = chances > 0.0
    for t in range(steps - 1, -1, -1):
        best = best.reshape(-1, points)[:, kept] @ chances[kept]  # given the first t
        if t > 0:
            now = e[:, t - 1].reshape(points**t, -1)[:, 0]
            best = np.maximum(best, now)
    return float(best.item())


def _look_ahead(e: FloatArray, points: int) -> int:
    """Return the first t whose e_t differs among paths that agree up to t, else 0."""
    for t in range(1, e.shape[1]):
        same = e[:, t - 1].reshape(points**t, -1)
        with np.errstate(invalid="ignore"):
            spread = same.max(axis=1) - same.min(axis=1)
        if (spread > ERROR * np.maximum(same.max(axis=1), 1e-300)).any():
            return t
    return 0


def _later(caller: Caller, points: FloatArray, picks: IntArray, length: int) -> int:
    """Return the first t whose e_t changes when what comes after t does, after `length`."""
    n = picks.shape[1]
    if n <= length:
        return 0
    rng = np.random.default_rng(n)
    base = rng.permuted(picks[:: max(1, len(picks) // 8)], axis=1)
    own = values(caller, points[base])
    if own.shape != base.shape:
        return 0
    for t in times(1, min(n, PERTURBED)):
        other = base.copy()
        other[:, t:] = rng.permuted(base, axis=1)[:, t:]
        new = values(caller, points[other])
        with np.errstate(invalid="ignore"):
            unlike = np.abs(new[:, :t] - own[:, :t]) > ERROR * np.abs(own[:, :t])
        if unlike.any():
            return int(np.flatnonzero(unlike.any(axis=0))[0]) + 1
    return 0


Joint = tuple[FloatArray, FloatArray]
"""Points (M, k) of e-values, and their probabilities."""


def combination_rows(
    rule: Callable[..., object], inputs: EInputName, k: int
) -> tuple[list[Row], list[Failure]]:
    """Return the rows of joint distributions of k e-values under which a rule is summed."""
    joints = _independent(k) | _sequential(k)
    if inputs == "independent e-values":
        joints = _independent(k)
    if inputs == "e-values":
        joints |= _dependent(k)
    rows: list[Row] = []
    failures: list[Failure] = []
    for name, (points, weights) in joints.items():
        try:
            e = _one_each(rule, points)
        except Exception as error:  # whatever the rule raises is its failure
            kind = type(error).__name__
            failures.append(Failure(kind, said(error), plain_row(points[0]), len(points)))
            rows.append(_row(name, math.inf, f"{kind}: {said(error)}"))
            continue
        failures += _failures(e[:, None], points, lambda _: f"{NOT_FINITE[0]} or NaN")
        rows.append(_row(name, _sum(weights, e)))
    return rows, merge_failures(failures)


def _one_each(rule: Callable[..., object], points: FloatArray) -> FloatArray:
    """Return the e-value that a rule makes of each point, whole and point by point."""
    # One more where there are as many points as e-values, so that shapes tell them apart.
    more = points if len(points) != points.shape[1] else np.concatenate([points, points[:1]])
    value = None
    try:
        value = np.asarray(rule(more.copy()), dtype=np.float64)
    except Exception:  # a rule for one point
        value = None
    if value is not None and value.shape == (len(more),):
        value = value[: len(points)]
    else:
        value = np.array([rule(p.copy()) for p in points], dtype=np.float64)
        if value.shape != (len(points),):
            raise ValueError(
                f"the rule returned shape {value.shape[1:]}; it must return one number"
            )
    if (value < 0.0).any():
        raise ValueError("an e-value is negative: is it the logarithm of one?")
    return np.where(np.isnan(value), np.inf, value)


MARGINALS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0 or 2": ((0.0, 2.0), (0.5, 0.5)),
    "0 or 10": ((0.0, 10.0), (0.9, 0.1)),
    "1/2 or 3/2": ((0.5, 1.5), (0.5, 0.5)),
    "0.1 or 100": ((0.1, 100.0), (1.0 - 0.9 / 99.9, 0.9 / 99.9)),
    "1": ((1.0,), (1.0,)),
}


def _product(laws: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> Joint:
    points = np.array(list(itertools.product(*(law[0] for law in laws))))
    weights = np.array([math.prod(w) for w in itertools.product(*(law[1] for law in laws))])
    return points, weights


def _independent(k: int) -> dict[str, Joint]:
    found = {f"independent, {name}": _product([law] * k) for name, law in MARGINALS.items()}
    kinds = list(MARGINALS.values())
    found["independent, of several kinds"] = _product([kinds[i % 4] for i in range(k)])
    found["independent, of several kinds, in another order"] = _product(
        [kinds[(3 * i + 2) % 5] for i in range(k)]
    )
    return found


def _sequential(k: int) -> dict[str, Joint]:
    """Return e-values whose distribution depends on those before, given which they are fair."""

    def grown(choose: Callable[[tuple[float, ...]], str]) -> Joint:
        paths: list[tuple[tuple[float, ...], float]] = [((), 1.0)]
        for _ in range(k):
            paths = [
                ((*past, value), weight * q)
                for past, weight in paths
                for value, q in zip(*MARGINALS[choose(past)], strict=True)
            ]
        return np.array([p for p, _ in paths]), np.array([w for _, w in paths])

    return {
        "sequential, bold after success": grown(
            lambda past: "0 or 10" if past and past[-1] > 1.0 else "1/2 or 3/2"
        ),
        "sequential, bold after failure": grown(
            lambda past: "0 or 10" if past and past[-1] < 1.0 else "0 or 2"
        ),
        "sequential, at rest after success": grown(
            lambda past: "1" if past and max(past) > 1.0 else "0 or 2"
        ),
    }


def _dependent(k: int) -> dict[str, Joint]:
    found: dict[str, Joint] = {}
    for name, (points, weights) in MARGINALS.items():
        found[f"all equal, {name}"] = np.repeat(np.array(points)[:, None], k, 1), np.array(weights)
    for j in range(1, k):
        sets = list(itertools.combinations(range(k), j))
        several = np.zeros((len(sets), k))
        for i, chosen in enumerate(sets):
            several[i, list(chosen)] = k / j
        found[f"exactly {j} of {k}"] = several, np.full(len(sets), 1.0 / len(sets))
    rare = np.concatenate([10.0 * k * np.eye(k), np.zeros((1, k))])
    found["at most one of them"] = rare, np.append(np.full(k, 0.1 / k), 0.9)
    sides = 2.0 * (np.arange(k) % 2 == 0)
    found["two opposed halves"] = np.array([sides, 2.0 - sides]), np.array([0.5, 0.5])
    return found
