"""`audit`: hand it a bound, learn whether it covers."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import get_args

from rsverify._core.check import (
    check_choice,
    check_flag,
    check_jobs,
    check_level,
    check_scale,
    check_seed_number,
    check_size,
    check_takes,
    shown,
)
from rsverify._core.types import AuditEstimandName, AuditKindName, AuditMethodName, Side
from rsverify.auditing.bets import audit_bets
from rsverify.auditing.caller import SIDES, name_of
from rsverify.auditing.capital import audit_capital
from rsverify.auditing.design import FLOAT_ERRORS, LARGEST_N, Design, Progress, check_told
from rsverify.auditing.estimand import Estimand, Parameters, find_estimand, renamed
from rsverify.auditing.registry import audited, find_bound
from rsverify.auditing.report import AuditReport
from rsverify.auditing.simulation.search import Family
from rsverify.auditing.task import Task, answered
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE
from rsverify.bounds.bound import Bound
from rsverify.bounds.registry import BOUNDS

__all__ = ["audit"]

METHODS: tuple[AuditMethodName, ...] = get_args(AuditMethodName)
KINDS: tuple[AuditKindName, ...] = get_args(AuditKindName)

_MOST_REPLICATIONS = 10**10


@FLOAT_ERRORS
def audit(
    bound: Callable[..., object] | Bound | str,
    *,
    estimand: AuditEstimandName | Estimand = "mean",
    n: int,
    alpha: float,
    side: Side | None = None,
    kind: AuditKindName | None = None,
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
    """Find out whether a confidence bound covers, with a stated error.

    Parameters
    ----------
    bound : callable, Bound or str
        ``bound(data, alpha)`` returns one bound for each row of `data`, or, for samples, one
        for each observation, which then must hold time-uniformly. A function of a single
        row that returns one bound is called row by row. A name is that of a bound of this
        package; margins are then audited over the class of column 1 (``":first"``), which
        covers any number of classes.
    estimand : str or Estimand, default "mean"
        "proportion" (data: counts (R, 2) of successes and failures), "difference" or "probit"
        (counts (R, m), column 0 the class certified; the margin over the most probable other class,
        or with ":first" over the class of column 1), "mean" (samples (R, n) in [0, 1]),
        "score-difference" or "score-probit" (scores (R, n, m)), another of
        `rsverify.auditing.estimand.ESTIMANDS`, or a caller's own `Estimand`.
    n : int
        Sample size per replication.
    alpha : float
        Failure probability that the bound claims, in (0, 1).
    side : {"lower", "upper", "two-sided"}, optional
        Which side the bound claims. Two-sided bounds return an array (R, 2) or a pair.
        Default: "lower", or the side of a bound given by name, which has no other.
    kind : {"coverage", "betting", "bets"}, optional
        Deprecated, and goes in the next version: call `audit_capital` for "betting" and
        `audit_bets` for "bets". Options that they do not use are refused.
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`. Default: the built-in suite. With
        scenarios the audit simulates unless ``method="exact"``.
    method : {"auto", "exact", "simulation", "search"}, default "auto"
        "auto": exact where data are counts, else simulation. Exact: proportions up to n =
        100,000; margins of three classes up to n = 400 (distributions of more classes are then
        simulated besides); with ":first", monotone margin bounds at chosen claims up to
        100,000. Bounds that are random are simulated. "search": look through a family of
        distributions for the worst ones, and simulate those with fresh randomness.
    family : (callable, int), optional
        For the search: a function from the unit cube of that dimension to the parameters of
        the estimand's `draw`. Default: two-point distributions of samples, three classes of votes,
        two rows of scores.
    replications : int, optional
        Maximum replications per scenario. Default: about 1000/alpha, at least 20,000.
    tolerance : float, default 0.2
        "supported" means a miscoverage of at most alpha (1 + tolerance).
    false_alarm : float, default 1e-3
        The probability of a false verdict, over all scenarios together.
    seed : int, default 0
        Every block of replications has its own generator, keyed by seed, scenario and block.
    n_jobs : int, default 1
        Processes, through joblib. The report does not depend on it.
    store : path-like, optional
        Where a simulation keeps its finished blocks, so that it can go on after an
        interruption. Exact audits keep nothing.
    resume : bool, default False
        Go on from an existing `store`. The design must be the same, but for `replications`: a
        larger budget continues. The report is that of an audit that was never interrupted.
    progress : callable, optional
        ``progress(done, total)`` is called after each block with the replications done, or
        not needed any more, and those of the whole budget; by an exact audit of a margin at
        n > 400 as its claims are worked through.

    Returns
    -------
    AuditReport
        `verdict`, `worst`, `rows`, `failures`, `witness`, `to_pandas()`, `to_json()`,
        `write(path)`, `plot(path)`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range. What the bound raises is not
        raised but counted as a failure to cover. A store of another design, or of another bound.
    FileExistsError
        If `store` exists and `resume` is false.

    Notes
    -----
    *Guarantee.* A bound that covers in every scenario is refuted with probability at most
    `false_alarm`, and never by an exact audit; a bound whose miscoverage in some scenario is
    above alpha (1 + tolerance) is supported with probability at most `false_alarm`. For
    distributions outside the scenarios of a simulation no claim is made; an exact audit covers
    all distributions.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit
    >>> def wald(counts, alpha):
    ...     n = counts.sum(axis=1)
    ...     p = counts[:, 0] / n
    ...     return p - 1.645 * np.sqrt(p * (1 - p) / n)
    >>> report = audit(wald, estimand="proportion", n=30, alpha=0.05)
    >>> print(report.verdict)
    refuted
    >>> print(audit("clopper_pearson_lower", estimand="proportion", n=30, alpha=0.05).verdict)
    supported
    """
    if kind is not None and _told(kind) != "coverage":
        _refuse_ignored(
            kind,
            estimand=(estimand, "mean"),
            side=(side, None),
            scenarios=(scenarios, None),
            method=(method, "auto"),
            family=(family, None),
            replications=(replications, None),
            tolerance=(tolerance, TOLERANCE),
            false_alarm=(false_alarm, FALSE_ALARM),
            n_jobs=(n_jobs, 1),
            store=(store, None),
            resume=(resume, False),
            progress=(check_told(progress), None),
        )
        auditor: Callable[..., AuditReport] = audit_capital if kind == "betting" else audit_bets
        return auditor(bound, n=n, alpha=alpha, seed=seed)
    progress = check_told(progress)
    check_choice("method", method, METHODS)
    if method == "search" and scenarios is not None:
        raise ValueError("scenarios must be None for method='search', which looks for its own")
    check_jobs(n_jobs)
    if check_flag("resume", resume) and store is None:
        raise ValueError("resume=True needs store, the file to resume from")
    known = find_bound(bound) if isinstance(bound, str) else bound
    function, thing, claimed = _asked(known, estimand, side)
    level = check_level(alpha)
    design = Design(
        bound=known.name if isinstance(known, Bound) else name_of(known),
        estimand=thing.name,
        side=claimed,
        n=check_size("n", n, largest=LARGEST_N),
        alpha=level,
        seed=check_seed_number(seed),
        replications=_budget(replications, level),
        tolerance=check_scale("tolerance", tolerance),
        false_alarm=check_level(false_alarm, "false_alarm"),
    )
    task = Task(
        function,
        thing,
        design,
        method,
        steady=isinstance(known, Bound) and BOUNDS.get(known.name) is known,
        scenarios=scenarios,
        family=family,
        n_jobs=n_jobs,
        store=store,
        resume=resume,
        progress=progress,
    )
    return answered(task)


def _told(kind: AuditKindName) -> AuditKindName:
    """Warn of an option that goes."""
    check_choice("kind", kind, KINDS)
    name = {"coverage": "audit", "betting": "audit_capital", "bets": "audit_bets"}[kind]
    text = f"kind={kind!r} goes in the next version: call rsverify.{name} without it"
    warnings.warn(text, DeprecationWarning, stacklevel=4)  # the caller, past numpy's decorator
    return kind


def _refuse_ignored(kind: AuditKindName, **options: tuple[object, object]) -> None:
    """Raise where an option is given that this kind of audit has no use for."""
    for name, (value, default) in options.items():
        if value is not default and value != default:
            raise ValueError(
                f"{name}={value!r} must be left out for kind={kind!r}, which does not use it"
            )


def _asked(
    bound: Callable[..., object] | Bound, estimand: AuditEstimandName | Estimand, side: Side | None
) -> tuple[Callable[..., object], Estimand, Side]:
    """Return the function, the estimand and the side that are audited."""
    if side is not None:
        check_choice("side", side, SIDES)
    if isinstance(bound, Bound):
        target = renamed(estimand) if isinstance(estimand, str) else find_estimand(estimand).name
        function, full, own = audited(bound, target)
        if side not in (None, own):
            raise ValueError(f"side={side!r} must be {own!r} for {bound.name}: leave it out")
        return function, find_estimand(full), own
    if not callable(bound):
        raise TypeError(f"bound={shown(bound)} must be a callable or the name of a bound")
    check_takes(name_of(bound), bound, ("data", "alpha"))
    return bound, find_estimand(estimand), side or "lower"


def _budget(replications: int | None, alpha: float) -> int:
    """Return the maximum replications per scenario."""
    if replications is None:
        return max(20_000, math.ceil(min(1000.0 / alpha, _MOST_REPLICATIONS)))
    if (
        isinstance(replications, bool)
        or not isinstance(replications, int)
        or not 1 <= replications <= _MOST_REPLICATIONS
    ):
        raise ValueError(
            f"replications={shown(replications)} must be an integer between 1 and 10**10"
        )
    return replications
