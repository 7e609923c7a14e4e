"""`audit`: hand it a bound, learn whether it covers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify import __version__
from rsverify._check import check_alpha, check_choice, check_fraction, check_positive, check_trials
from rsverify.audit import exact, exact_margin, exact_staircase
from rsverify.audit.estimand import Estimand, find_estimand
from rsverify.audit.evaluate import PROBE_ROWS, SIDES, Caller, merge_failures, prepare
from rsverify.audit.martingale import audit_bets, audit_capital
from rsverify.audit.names import all_outcomes, named_bound, outcome_table
from rsverify.audit.report import AuditReport, Row
from rsverify.audit.scenario import Scenario, check_scenarios
from rsverify.audit.simulate import Design, Tally, block_size, generator, simulate
from rsverify.audit.verdict import (
    FALSE_ALARM,
    TOLERANCE,
    Verdict,
    combine,
    detectable,
    miscoverage_interval,
    runs_to_settle,
)

METHODS = ("auto", "exact", "simulation")
KINDS = ("coverage", "betting", "bets")
LARGEST_N = 10_000_000
PROBE_KEY = 1 << 20  # the scenario number of the draw that finds out how a bound is called


def audit(
    bound: Callable[..., Any] | str,
    *,
    estimand: str | Estimand = "mean",
    n: int,
    alpha: float,
    side: str = "lower",
    kind: str = "coverage",
    scenarios: Mapping[str, Mapping[str, Any]] | None = None,
    method: str = "auto",
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    n_jobs: int = 1,
) -> AuditReport:
    """Find out whether a confidence bound covers, with a stated error.

    Parameters
    ----------
    bound : callable or str
        ``bound(data, alpha)`` returns one bound for each row of `data`, or, for samples, one
        for each observation, which then must hold at all times at once. A function of a single
        row that returns one bound is called row by row. A name is that of a bound of this
        package; margins are then audited over the class of column 1 (``":first"``), which
        covers any number of classes.
    estimand : str or Estimand, default "mean"
        "proportion" (data: counts (R, 2) of hits and misses), "difference" or "probit" (counts
        (R, m), column 0 the class certified; the margin over the most probable other class, or
        with ":first" over the class of column 1), "mean" (samples (R, n) in [0, 1]), or a
        caller's own `Estimand`.
    n : int
        Observations a replication.
    alpha : float
        Failure probability that the bound claims, in (0, 1).
    side : {"lower", "upper", "two-sided"}, default "lower"
        Which side the bound claims. Two-sided bounds return an array (R, 2) or a pair.
        Ignored for a bound given by name.
    kind : {"coverage", "betting", "bets"}, default "coverage"
        "betting" audits not a bound but its capital: ``bound(x, m, alpha)`` returns for each
        row of `x` the capital after each observation, when betting against the mean m.
        "bets": it returns the bets, whose predictability is audited. See
        `rsverify.audit.martingale`.
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`. Default: the built-in suite. With
        scenarios the audit simulates unless ``method="exact"``.
    method : {"auto", "exact", "simulation"}, default "auto"
        Exact where data are counts: proportions up to n = 100,000; margins of three classes
        up to n = 400; with ":first", monotone margin bounds at chosen claims up to 100,000.
        Bounds that are not a function of the data alone are simulated.
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

    Returns
    -------
    AuditReport
        `verdict`, `worst`, `rows`, `failures`, `witness`, `to_pandas()`, `to_json()`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range. What the bound raises is not
        raised but counted as a miss.

    Notes
    -----
    *Guarantee.* A bound that covers in every scenario is refuted with probability at most
    `false_alarm`, and never by an exact audit; a bound whose miscoverage in some scenario is
    above alpha (1 + tolerance) is supported with probability at most `false_alarm`. For laws
    that are no scenario of a simulation nothing is claimed; an exact audit is about all laws.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify.audit import audit
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
    name = bound if isinstance(bound, str) else _name_of(bound)
    if kind != "coverage":
        if not callable(bound):
            raise TypeError(f"bound={bound!r} must be a callable for kind={kind!r}")
        auditor = audit_capital if kind == "betting" else audit_bets
        return auditor(bound, n=size, alpha=level, name=name)
    if isinstance(bound, str):
        target = estimand if isinstance(estimand, str) else estimand.name
        bound, estimand, side = named_bound(bound, target)
    if not callable(bound):
        raise TypeError(f"bound={bound!r} must be a callable or the name of a bound")
    thing = find_estimand(estimand)
    default = max(20_000, math.ceil(1000.0 / level))
    limit = int(check_trials(default if replications is None else replications, 10**10))
    design = Design(level, size, seed, limit, share, alarm, block_size(size, limit))
    caller_of = partial(prepare, bound, alpha=level, side=side, estimand=thing)
    described = {
        "version": __version__,
        "bound": name,
        "estimand": thing.name,
        "side": side,
        "kind": kind,
        **{k: v for k, v in asdict(design).items() if k != "replications"},
        "replications": limit,
    }
    if method == "exact" or (method == "auto" and scenarios is None):
        report = _exact(caller_of, thing, design, side, described)
        if report is not None:
            return report
        if method == "exact":
            raise ValueError(
                f"method='exact' cannot do estimand={thing.name!r}, side={side!r}, n={size} "
                "(or the bound is random); use method='simulation'"
            )
    suite = check_scenarios(scenarios, thing, size, level)
    first = thing.draw(generator(seed, PROBE_KEY, 0), PROBE_ROWS, size, **suite[0].parameters)
    tallies = simulate(caller_of(data=first), thing, suite, design, n_jobs)
    return _simulated(thing, suite, tallies, design, described)


def _name_of(bound: Any) -> str:
    return str(getattr(bound, "__name__", type(bound).__name__))


def _simulated(
    estimand: Estimand,
    suite: list[Scenario],
    tallies: list[Tally],
    design: Design,
    described: dict[str, Any],
) -> AuditReport:
    """Return the report of a simulation."""
    settings = (design.alpha, design.tolerance, design.false_alarm, len(suite))
    rows = []
    for scenario, tally in zip(suite, tallies, strict=True):
        low, high = miscoverage_interval(tally.misses, tally.runs)
        note = ""
        if tally.verdict == "inconclusive":
            wanted = runs_to_settle(tally.misses, tally.runs, *settings)
            note = (
                f"about {wanted} replications in all would settle it"
                if wanted
                else ("no number of replications settles a miscoverage like this one")
            )
        truth = float(estimand.truth(**scenario.parameters))
        mean_slack = tally.slack / tally.finite if tally.finite else math.nan
        rate = tally.misses / tally.runs
        rows.append(
            Row(
                scenario.name,
                truth,
                rate,
                low,
                high,
                tally.runs,
                tally.misses,
                mean_slack,
                tally.verdict,
                note,
            )
        )
    smallest = detectable(design.replications, *settings)
    notes = [
        f"false alarms: at most {design.false_alarm:g} over all {len(suite)} scenarios; "
        f"a miscoverage of {smallest:.4g} is refuted with probability at least 95 %",
        "simulation: nothing is claimed about laws outside the table",
    ]
    failures = merge_failures([f for t in tallies for f in t.failures])
    verdict = combine([r.verdict for r in rows])
    described |= {"method": "simulation", "detectable": smallest}
    return AuditReport(verdict, rows, failures, None, described, notes)


def _exact(
    caller_of: Callable[..., Caller],
    estimand: Estimand,
    design: Design,
    side: str,
    described: dict[str, Any],
) -> AuditReport | None:
    """Return the report of exact coverage, None where the data or the bound do not allow it."""
    base, _, first = estimand.name.partition(":")
    n = design.n
    if first and side == "lower" and n > exact_margin.LARGEST_TRINOMIAL_N:
        return _on_staircases(caller_of, base, estimand, design, described)
    if base == "proportion" and n <= exact.LARGEST_PROPORTION_N:
        k = np.arange(n + 1)
        outcomes = np.column_stack([k, n - k])
    elif base in exact_margin_names and n <= exact_margin.LARGEST_TRINOMIAL_N and side == "lower":
        outcomes = all_outcomes(n)
    else:
        return None
    if estimand is not find_estimand(estimand.name):
        return None
    caller = caller_of(data=outcomes[:: max(1, len(outcomes) // PROBE_ROWS)][:PROBE_ROWS])
    limits = caller.limits(outcomes)
    if _random(caller, outcomes, limits.lower, limits.upper):
        return None
    if base == "proportion":
        worst = exact.proportion_worst(limits.lower, limits.upper, design.alpha)
        scope = "every p"
    else:
        table = outcome_table(limits.lower, n)
        worst = exact_margin.margin_worst(table, base, not first, design.alpha)
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
    described |= {"method": "exact"}
    return AuditReport(verdict, [row], limits.failures, worst.witness, described, notes)


def _on_staircases(
    caller_of: Callable[..., Caller],
    margin: str,
    estimand: Estimand,
    design: Design,
    described: dict[str, Any],
) -> AuditReport | None:
    """Return the report of exact coverage at chosen claims, None for what is not monotone."""
    n = design.n
    if n > exact_staircase.LARGEST_STAIRCASE_N or estimand is not find_estimand(estimand.name):
        return None
    # Rows that differ in every column, so that a bound that mixes or draws is found out.
    part = np.arange(1, PROBE_ROWS + 1) * (n // (3 * PROBE_ROWS + 3))
    outcomes = np.column_stack([n - 2 * part, part, part])
    caller = caller_of(data=outcomes)
    limits = caller.limits(outcomes)
    if _random(caller, outcomes, limits.lower, limits.upper):
        return None
    found = exact_staircase.audit_staircases(caller, n, margin, design.alpha)
    if found is None:
        return None
    rows = [
        exact_staircase.row_of(level, i == found.refuted, design.alpha, design.tolerance)
        for i, level in enumerate(found.levels)
    ]
    notes = exact_staircase.notes_of(found)
    described |= {"method": "exact", "evaluated": found.evaluated}
    verdict = combine([r.verdict for r in rows])
    return AuditReport(verdict, rows, found.failures, found.witness, described, notes)


exact_margin_names = ("difference", "probit")


def _random(caller: Caller, outcomes: npt.NDArray[Any], lower: Any, upper: Any) -> bool:
    """Return whether a second call on (some of) the same outcomes gives other bounds."""
    rows = slice(None, None, max(1, len(outcomes) // 1000))
    again = caller.limits(outcomes[rows])
    return not (
        np.array_equal(again.lower, lower[rows]) and np.array_equal(again.upper, upper[rows])
    )


def _exact_verdict(worst: exact.Worst, design: Design) -> Verdict:
    if worst.witness.probability > design.alpha * (1.0 + exact.ROUNDING):
        return "refuted"
    within = worst.certified <= design.alpha * (1.0 + design.tolerance)
    return "supported" if within else "inconclusive"
