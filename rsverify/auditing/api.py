"""`audit`: hand it a bound, learn whether it covers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify import __version__
from rsverify._core.check import (
    check_alpha,
    check_choice,
    check_fraction,
    check_positive,
    check_takes,
    check_trials,
    shown,
)
from rsverify._core.files import Interrupted
from rsverify.auditing.caller import PROBE_ROWS, SIDES, Caller, Limits, merge_failures, prepare
from rsverify.auditing.capital import audit_bets, audit_capital
from rsverify.auditing.estimand import ESTIMANDS, Estimand, find_estimand
from rsverify.auditing.exact import proportion as exact
from rsverify.auditing.exact import trinomial as exact_margin
from rsverify.auditing.exact.evidence import MarginClaims, ProportionLimits
from rsverify.auditing.exact.staircase import LARGEST_STAIRCASE_N
from rsverify.auditing.exact.staircase_report import staircase_report
from rsverify.auditing.registry import all_outcomes, audited, find_bound, outcome_table
from rsverify.auditing.report import AuditReport, Row, plain
from rsverify.auditing.scenario import Scenario, check_scenarios, default_scenarios
from rsverify.auditing.simulation.blocks import (
    Design,
    Progress,
    Replay,
    check_store,
    generator,
    simulate,
)
from rsverify.auditing.simulation.discontinuities import beside_a_jump
from rsverify.auditing.simulation.report import simulation_report
from rsverify.auditing.simulation.search import Family, find_family, worst_laws
from rsverify.auditing.simulation.store import Store
from rsverify.auditing.simulation.tally import Tally
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE, Verdict, combine
from rsverify.bounds.bound import Bound

METHODS = ("auto", "exact", "simulation", "search")
KINDS = ("coverage", "betting", "bets")
LARGEST_N = 10_000_000
CLASSES = 3  # of the laws that an exact audit of a margin is about
MORE_CLASSES = "more classes are not spoken of: audit them with method='simulation'"
REPEATED = 1000  # outcomes asked twice, to find out whether the bound is random
PROBE_KEY = 1 << 20  # the scenario number of the draw that finds out how a bound is called

_MOST_JOBS = 1024


def audit(
    bound: Callable[..., Any] | Bound | str,
    *,
    estimand: str | Estimand = "mean",
    n: int,
    alpha: float,
    side: str = "lower",
    kind: str = "coverage",
    scenarios: Mapping[str, Mapping[str, Any]] | None = None,
    method: str = "auto",
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
        for each observation, which then must hold at all times at once. A function of a single
        row that returns one bound is called row by row. A name is that of a bound of this
        package; margins are then audited over the class of column 1 (``":first"``), which
        covers any number of classes.
    estimand : str or Estimand, default "mean"
        "proportion" (data: counts (R, 2) of hits and misses), "difference" or "probit" (counts
        (R, m), column 0 the class certified; the margin over the most probable other class, or
        with ":first" over the class of column 1), "mean" (samples (R, n) in [0, 1]),
        "score-difference" or "score-probit" (scores (R, n, m)), another of
        `rsverify.auditing.estimand.ESTIMANDS`, or a caller's own `Estimand`.
    n : int
        Observations a replication.
    alpha : float
        Failure probability that the bound claims, in (0, 1).
    side : {"lower", "upper", "two-sided"}, default "lower"
        Which side the bound claims. Two-sided bounds return an array (R, 2) or a pair.
        A bound given by name has its own.
    kind : {"coverage", "betting", "bets"}, default "coverage"
        "betting" audits not a bound but its capital: ``bound(x, m, alpha)`` returns for each
        row of `x` the capital after each observation, when betting against the mean m.
        "bets": it returns the bets, whose predictability is audited. See
        `rsverify.auditing.capital`.
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`. Default: the built-in suite. With
        scenarios the audit simulates unless ``method="exact"``.
    method : {"auto", "exact", "simulation", "search"}, default "auto"
        "auto": exact where data are counts, else simulation. Exact: proportions up to n =
        100,000; margins of three classes up to n = 400 (laws of more classes are then
        simulated besides); with ":first", monotone margin bounds at chosen claims up to
        100,000. Bounds that are random are simulated. "search": look through a family of laws
        for the worst ones, and simulate those with fresh randomness.
    family : (callable, int), optional
        For the search: a function from the unit cube of that dimension to the parameters of
        the estimand's `draw`. Default: two-point laws of samples, three classes of votes, two
        rows of scores.
    replications : int, optional
        The most replications a scenario. Default: about 1000/alpha, at least 20,000.
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
        raised but counted as a miss. A store of another design, or of another bound.
    FileExistsError
        If `store` exists and `resume` is false.

    Notes
    -----
    *Guarantee.* A bound that covers in every scenario is refuted with probability at most
    `false_alarm`, and never by an exact audit; a bound whose miscoverage in some scenario is
    above alpha (1 + tolerance) is supported with probability at most `false_alarm`. For laws
    that are no scenario of a simulation nothing is claimed; an exact audit is about all laws.

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
    check_choice("kind", kind, KINDS)
    check_choice("method", method, METHODS)
    check_choice("side", side, SIDES)
    size = int(check_trials(n, LARGEST_N))
    level = float(check_alpha(alpha))
    share = float(check_positive("tolerance", tolerance))
    alarm = float(check_fraction("false_alarm", false_alarm))
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r} must be a nonnegative integer")
    whole = isinstance(n_jobs, int) and not isinstance(n_jobs, bool)
    if not whole or n_jobs == 0 or abs(n_jobs) > _MOST_JOBS:
        raise ValueError(
            f"n_jobs={shown(n_jobs)} must be a number of processes, or -1 for all cores"
        )
    if resume and store is None:
        raise ValueError("resume=True needs store, the file to resume from")
    if isinstance(bound, str):
        bound = find_bound(bound)
    name = bound.name if isinstance(bound, Bound) else _name_of(bound)
    if kind != "coverage":
        if not callable(bound):
            raise TypeError(f"bound={bound!r} must be a callable for kind={kind!r}")
        check_takes(_name_of(bound), bound, ("x", "m", "alpha"))
        auditor = audit_capital if kind == "betting" else audit_bets
        return auditor(bound, n=size, alpha=level, name=name)
    if isinstance(bound, Bound):
        target = estimand if isinstance(estimand, str) else estimand.name
        asked = side
        bound, estimand, side = audited(bound, target)
        if asked not in ("lower", side):  # "lower" is what nobody asked for
            raise ValueError(f"side={asked!r} must be {side!r} for {name}")
    if not callable(bound):
        raise TypeError(f"bound={bound!r} must be a callable or the name of a bound")
    check_takes(_name_of(bound), bound, ("data", "alpha"))
    thing = find_estimand(estimand)
    default = max(20_000, math.ceil(1000.0 / level))
    limit = default if replications is None else replications
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 10**10:
        raise ValueError(f"replications={limit!r} must be an integer between 1 and 10**10")
    design = Design(level, size, seed, limit, share, alarm)
    described = {
        "version": __version__,
        "bound": name,
        "estimand": thing.name,
        "side": side,
        "kind": kind,
        **asdict(design),
    }
    if method == "exact" or (method == "auto" and scenarios is None):
        caller_of = partial(prepare, bound, alpha=level, side=side, estimand=thing)
        report = _exact(caller_of, thing, design, side, described, progress)
        if report is not None and method == "auto" and report.verdict != "refuted":
            return _with_more_classes(report, caller_of, thing, design, n_jobs, progress)
        if report is not None:
            return report
        if method == "exact":
            raise ValueError(
                f"method='exact' cannot do estimand={thing.name!r}, side={side!r}, n={size} "
                "(or the bound is random); use method='simulation'"
            )
    if method == "search":
        if scenarios is not None:
            raise ValueError("scenarios must be None for method='search', which looks for its own")
        laws, dimensions = find_family(family, thing)
        probe = Scenario("", laws(np.full(dimensions, 0.5)))
        caller = prepare(bound, _probe(thing, design, probe), level, side, thing)
        scenarios = worst_laws(
            caller, thing, design, (laws, dimensions), n_jobs=n_jobs, progress=progress
        )
    suite = check_scenarios(scenarios, thing, size, level, side)
    caller = prepare(bound, _probe(thing, design, suite[0]), level, side, thing)
    if scenarios is None:
        suite += beside_a_jump(caller, thing, design)
    described |= {
        "method": "search" if method == "search" else "simulation",
        "scenarios": plain({s.name: s.parameters for s in suite}),
    }
    tallies = _stored(caller, thing, suite, design, described, n_jobs, store, resume, progress)
    replay = Replay(caller, thing, suite, design)
    return simulation_report(tallies, replay, described)


def _with_more_classes(
    report: AuditReport,
    caller_of: Callable[..., Caller],
    estimand: Estimand,
    design: Design,
    n_jobs: int,
    progress: Progress | None,
) -> AuditReport:
    """Return an exact report on three classes with the laws of more classes simulated."""
    if estimand.name not in exact_margin_names:
        return report
    suite = [
        s
        for s in default_scenarios(estimand, design.n, design.alpha)
        if len(s.parameters["p"]) > CLASSES
    ]
    data = _probe(estimand, design, suite[0])
    caller = caller_of(data=data)
    kinds = {f.kind for f in caller.limits(data).failures} - {"NaN", "outside"}
    if kinds:
        notes = [*report.notes, f"the bound does not take more than three classes: {kinds.pop()}"]
        return replace(report, notes=notes)
    tallies = simulate(caller, estimand, suite, design, n_jobs=n_jobs, progress=progress)
    more = simulation_report(tallies, Replay(caller, estimand, suite, design), report.design)
    exact_notes = [note for note in report.notes if note != MORE_CLASSES]
    return replace(
        report,
        verdict=combine([report.verdict, more.verdict]),
        rows=report.rows + more.rows,
        failures=merge_failures(report.failures + more.failures),
        notes=exact_notes + more.notes,
    )


def _probe(estimand: Estimand, design: Design, scenario: Scenario) -> Any:
    """Return the data that find out how a bound is called."""
    rng = generator(design.seed, PROBE_KEY, 0)
    return estimand.draw(rng, PROBE_ROWS, design.n, **scenario.parameters)


def _stored(
    caller: Caller,
    estimand: Estimand,
    suite: list[Scenario],
    design: Design,
    described: dict[str, Any],
    n_jobs: int,
    path: str | os.PathLike[str] | None,
    resume: bool,
    progress: Progress | None,
) -> list[Tally]:
    """Return the tallies, with the blocks kept in a store where a path is given."""
    run = partial(simulate, caller, estimand, suite, design, n_jobs=n_jobs, progress=progress)
    if path is None:
        return run()
    with closing(Store(path, described, resume=resume)) as store:
        try:
            check_store(store, caller, estimand, suite, design)
            return run(store=store)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {len(store.blocks)} finished blocks are in {path}; go on with "
                "--resume (resume=True)"
            ) from None


def _name_of(bound: Any) -> str:
    return str(getattr(bound, "__name__", type(bound).__name__))


def _exact(
    caller_of: Callable[..., Caller],
    estimand: Estimand,
    design: Design,
    side: str,
    described: dict[str, Any],
    progress: Progress | None,
) -> AuditReport | None:
    """Return the report of exact coverage, None where the data or the bound do not allow it."""
    base, _, first = estimand.name.partition(":")
    n = design.n
    if first and side == "lower" and n > exact_margin.LARGEST_TRINOMIAL_N:
        if n > LARGEST_STAIRCASE_N or estimand is not ESTIMANDS.get(estimand.name):
            return None
        return staircase_report(caller_of, base, design, described, progress)
    if base == "proportion" and n <= exact.LARGEST_PROPORTION_N:
        k = np.arange(n + 1)
        outcomes = np.column_stack([k, n - k])
    elif base in exact_margin_names and n <= exact_margin.LARGEST_TRINOMIAL_N and side == "lower":
        outcomes = all_outcomes(n)
    else:
        return None
    if estimand is not ESTIMANDS.get(estimand.name):
        return None  # a caller's own that has the name of a built-in one
    caller = caller_of(data=outcomes[:: max(1, len(outcomes) // PROBE_ROWS)][:PROBE_ROWS])
    limits = caller.limits(outcomes)
    if _random(caller, outcomes, limits):
        return None
    if base == "proportion":
        worst = exact.proportion_worst(limits.lower, limits.upper, design.alpha)
        evidence: Any = ProportionLimits(limits.lower, limits.upper)
        scope = "every p"
    else:
        table = outcome_table(limits.lower, n)
        worst = exact_margin.margin_worst(table, base, not first, design.alpha)
        evidence = MarginClaims(table, base, not first)
        scope = "all trinomial laws" if first else "all laws of three classes"
    verdict = _exact_verdict(worst, design)
    row = Row(
        f"worst case over {scope}",
        worst.witness.truth,
        worst.attained,
        worst.attained,
        worst.certified,
        0,
        0,
        math.nan,
        verdict,
        "" if worst.monotone else "the bound is not monotone in the counts",
    )
    notes = [
        f"exact: the miscoverage is at most {worst.certified:.6g} for {scope}",
        f"an excess of less than {exact.ROUNDING:g} of alpha is put down to rounding",
    ]
    if "three classes" in scope:
        notes.append(MORE_CLASSES)
    described |= {"method": "exact"}
    return AuditReport(verdict, [row], limits.failures, worst.witness, described, notes, evidence)


exact_margin_names = ("difference", "probit")


def _random(caller: Caller, outcomes: npt.NDArray[Any], limits: Limits) -> bool:
    """Return whether calls on (some of) the same outcomes give other bounds, `REPEATED` times."""
    rows = slice(None, None, max(1, len(outcomes) // REPEATED))
    for _ in range(math.ceil(REPEATED / len(outcomes))):
        again = caller.limits(outcomes[rows])
        pairs = zip(again[:2], limits[:2], strict=True)
        if not all(np.array_equal(new, old[rows]) for new, old in pairs):
            return True
    return False


def _exact_verdict(worst: exact.Worst, design: Design) -> Verdict:
    if worst.witness.probability > design.alpha * (1.0 + exact.ROUNDING):
        return "refuted"
    within = worst.certified <= design.alpha * (1.0 + design.tolerance)
    return "supported" if within else "inconclusive"
