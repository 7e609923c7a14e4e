"""`audit_test`: hand it a p-value, learn whether it is one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from rsverify._core.check import FloatArray, check_choice, check_flag, check_takes, shown
from rsverify._core.types import AuditEstimandName, AuditMethodName
from rsverify.auditing.caller import as_floats, name_of
from rsverify.auditing.claims.levels import Levels, Options, Words, at_levels, check_levels
from rsverify.auditing.claims.null import (
    Null,
    check_null,
    null_family,
    null_scenarios,
    restricted,
)
from rsverify.auditing.design import FLOAT_ERRORS, Progress, Record, check_told
from rsverify.auditing.estimand import Data, Estimand, Parameters, find_estimand
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.simulation.search import Family
from rsverify.auditing.task import Task, answered
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE

__all__ = ["audit_test"]

METHODS: tuple[AuditMethodName, ...] = ("auto", "exact", "simulation", "search")
LEVELS = (0.01, 0.05, 0.1)
BUDGET = 4  # a good test is near its level: times the replications of other audits
LEAST_P = 1e-300  # smaller ones are as small
WORDS = Words(
    "test",
    "p-value",
    "P(p <= {a:g})",
    "whether the p-value is at most a with probability at most a under the null",
    "P(p <= a)",
    "are rejected",
    "the p-value is at most {a:g}",
    pair="; is it a statistic and its p-value? return the p-value alone",
)


@FLOAT_ERRORS
def audit_test(
    test: Callable[..., object],
    *,
    null: Null,
    estimand: AuditEstimandName | Estimand = "mean",
    n: int,
    alpha: Levels = LEVELS,
    scenarios: Mapping[str, Parameters] | None = None,
    method: AuditMethodName = "auto",
    family: Family | None = None,
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    n_jobs: int = 1,
    store: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> AuditReport:
    """Find out whether a p-value is valid: P(p <= a) <= a under the null, with a stated error.

    Parameters
    ----------
    test : callable
        ``test(data)`` returns one p-value for each row of `data`. A function of a single row is
        called row by row; what it returns, or each of a list, may have an attribute ``pvalue``.
    null : float or (float, float)
        The null hypothesis: a value of the estimand, or the ends of an interval of values, both
        part of it, None where it has no end. ``(None, 0.5)`` is "at most 0.5".
    estimand : str or Estimand, default "mean"
        What the null is about, and how data look: as `rsverify.audit` takes it.
    n : int
        Sample size per replication.
    alpha : float or sequence of float, default (0.01, 0.05, 0.1)
        The levels a, each in (0, 1), at which P(p <= a) is held against a.
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`, all in the null. Default: a built-in
        suite, moved to the ends of the null, or the estimand's own scenarios that are in the null.
    method : {"auto", "exact", "simulation", "search"}, default "auto"
        "auto": exact where data are counts of a built-in model (proportions, two proportions,
        pairs, Poisson, hypergeometric) and the p-value is a function of them, else simulation.
        "search": look in the null for the distributions of the smallest p-values.
    family : (callable, int), optional
        For the search: from the unit cube of that dimension to parameters in the null.
    replications : int, optional
        Maximum replications per scenario and level. Default: about 4000/a, at least 80,000.
    tolerance : float, default 0.2
        "supported" means P(p <= a) at most a (1 + tolerance).
    false_alarm : float, default 1e-3
        The probability of a false verdict, over all scenarios and levels together.
    seed : int, default 0
        Of the random numbers.
    n_jobs : int, default 1
        Processes, through joblib. The report does not depend on it.
    store : path-like, optional
        Where finished blocks are kept; needs a single level.
    resume : bool, default False
        Go on from an existing `store`.
    progress : callable, optional
        ``progress(done, total)``, level by level.

    Returns
    -------
    AuditReport
        Under `miscoverage` its rows have P(p <= a).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range, or the test fails on every call.

    Notes
    -----
    *Guarantee.* A valid p-value is refuted with probability at most `false_alarm`, and never by
    an exact audit; one with P(p <= a) above a (1 + tolerance) at a level asked, in a scenario
    of the null, is supported with probability at most `false_alarm`. An exact audit is about
    every distribution of the model in the null; a simulation about its scenarios. NaN, errors and
    p-values below 0 count as p = 0; a p-value above 1 rejects nothing.

    Examples
    --------
    >>> from scipy.stats import binom, norm
    >>> from rsverify import audit_test
    >>> def exact(counts):
    ...     return binom.sf(counts[:, 0] - 1, counts.sum(axis=1), 0.5)
    >>> def normal(counts):
    ...     n = counts.sum(axis=1)
    ...     return norm.sf((counts[:, 0] - n / 2) / (n / 4) ** 0.5)
    >>> null = {"null": (None, 0.5), "estimand": "proportion", "n": 30, "alpha": 0.05}
    >>> print(audit_test(exact, **null).verdict, audit_test(normal, **null).verdict)
    supported supported
    >>> print(audit_test(normal, **null | {"alpha": 0.04}).verdict)
    refuted
    """
    if not callable(test):
        raise TypeError(f"test={shown(test)} must be a callable")
    check_takes(name_of(test), test, ("data",))
    check_choice("method", method, METHODS)
    levels = check_levels(alpha)
    if check_flag("resume", resume) and store is None:
        raise ValueError("resume=True needs store, the file to resume from")
    if store is not None and len(levels) > 1:
        raise ValueError(f"alpha={list(levels)} must be a single level where a store is given")
    if method == "search" and scenarios is not None:
        raise ValueError("scenarios must be None for method='search', which looks for its own")
    thing = find_estimand(estimand)
    region = check_null(null, thing.space)
    progress = check_told(progress)
    options = Options(n, replications, tolerance, false_alarm, seed, n_jobs, progress)
    suite = null_scenarios(thing, region, n, min(levels), scenarios)
    look = null_family(thing, region, family) if method == "search" else None
    exact = method == "exact" or (method == "auto" and scenarios is None)
    name = name_of(test)

    def audited(level: float, share: float) -> AuditReport:
        claim = replace(
            restricted(thing, region, -math.log(level)),
            truth=lambda **_: -math.log(level),
            scenarios=suite,
            space=(-math.inf, math.inf),
            name=f"p-value, {thing.name}",
            sequential=False,
        )
        task = Task(
            _Rejecting(test),
            claim,
            options.design(name, claim.name, level, share, BUDGET),
            method if method in ("exact", "search") else "auto" if exact else "simulation",
            family=look,
            n_jobs=n_jobs,
            store=store,
            resume=resume,
            progress=progress,
        )
        return answered(task)

    def with_truth(row: Row) -> Row:
        known = suite.get(row.scenario)
        return row if known is None else replace(row, truth=float(thing.truth(**known)))

    record: Record = {"null": list(region), "estimand": f"{thing.name}, null {_shown(region)}"}
    return at_levels(levels, audited, WORDS, record, with_truth)


def _shown(region: tuple[float, float]) -> str:
    low, high = region
    if low == high:
        return f"{low:g}"
    return f"at most {high:g}" if low == -math.inf else f"[{low:g}, {high:g}]"


def _p_values(value: object) -> object:
    """Return the p-values of what a test returned: of a result, or of a list of results."""
    if isinstance(value, list | tuple) and not hasattr(value, "pvalue"):
        of_each = [getattr(each, "pvalue", None) for each in value]
        return of_each if value and all(p is not None for p in of_each) else value
    return getattr(value, "pvalue", value)


class _Rejecting:
    """A test as a lower limit: minus the logarithm of its p-value, of the truth minus log a.

    It fails to cover where p <= a: with the tie, as limits are above the truth there by less
    than what is attributed to rounding.
    """

    def __init__(self, test: Callable[..., object]) -> None:
        self.test = test

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        p = as_floats(_p_values(self.test(data)), "p-value")
        if (p < 0.0).any():
            raise ValueError("a p-value is below 0: is it the logarithm of one?")
        with np.errstate(invalid="ignore"):
            limits = -np.log(np.clip(p, LEAST_P, 1.0))
        return np.asarray(limits * (1.0 + 4e-12) + 2e-12)
