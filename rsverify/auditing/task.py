"""An audit of coverage, step by step: exact where that is possible, simulated otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from rsverify._core.files import Interrupted
from rsverify._core.types import AuditMethodName
from rsverify.auditing.caller import MIXED, Bound, Caller, merge_failures
from rsverify.auditing.company import COMPANY, PROBE_ROWS, prepare
from rsverify.auditing.design import Design, Progress, Record
from rsverify.auditing.estimand import Data, Estimand, Parameters
from rsverify.auditing.exact.repeats import Answer, Table, shared_look
from rsverify.auditing.exact.trinomial import LARGEST_TRINOMIAL_N
from rsverify.auditing.fitting import fitting_estimand, probe
from rsverify.auditing.report import AuditReport, plain, with_mixing
from rsverify.auditing.reports.exact import (
    CLASSES,
    MARGINS,
    MORE_CLASSES,
    exact_report,
)
from rsverify.auditing.reports.simulation import simulation_report
from rsverify.auditing.scenario import Scenario, check_scenarios, default_scenarios
from rsverify.auditing.simulation.blocks import (
    FIRST_BLOCK,
    Replay,
    check_store,
    run_block,
    simulate,
)
from rsverify.auditing.simulation.discontinuities import beside_a_jump
from rsverify.auditing.simulation.search import Family, find_family, worst_laws
from rsverify.auditing.simulation.store import Store
from rsverify.auditing.simulation.tally import Tally
from rsverify.auditing.simulation.votes import worst_votes
from rsverify.auditing.verdict import combine

BATCHES = (2, PROBE_ROWS, 32, COMPANY)  # sizes at which a bound is audited that changes with them
PLACED = (
    "the bound of a row changes with its place in the batch or with the batch's size: rows 'in a "
    f"batch of …' are simulated so many at once ({', '.join(map(str, BATCHES))}), all others one a "
    "call"
)
PROBE = "how the bound is called"  # the random numbers of the rows that find it out


@dataclass(frozen=True)
class Task:
    """What is audited, and how."""

    bound: Bound
    estimand: Estimand
    design: Design
    method: AuditMethodName = "auto"
    steady: bool = False
    """Whether the bound is known to return the same for a row each time."""
    scenarios: Mapping[str, Parameters] | None = None
    family: Family | None = None
    n_jobs: int = 1
    store: str | os.PathLike[str] | None = None
    resume: bool = False
    progress: Progress | None = None

    def caller(self, data: Data) -> Caller:
        """Return how the bound is to be called, found out by these rows."""
        return prepare(
            self.bound,
            data,
            self.design.alpha,
            self.design.side,
            self.estimand,
            name=self.design.bound,
            steady=self.steady,
            false_alarm=self.design.false_alarm,
            suggest=self.suggestion,
        )

    def caller_for(self, suite: list[Scenario]) -> Caller:
        """Return how the bound is to be called, found out by rows of these scenarios."""
        return self.caller(probe(self.estimand, self.design, suite, COMPANY, PROBE))

    def suggestion(self) -> str:
        """Return which estimand fits a bound that does not take this one's data."""
        name = fitting_estimand(self.bound, self.design.side, self.design, self.estimand)
        return f"; estimand={name!r} fits: it takes such data" if name else ""


def answered(task: Task) -> AuditReport:
    """Return the report of an audit of coverage."""
    answer: Answer = "same"
    if task.method == "exact" or (task.method == "auto" and task.scenarios is None):
        report, answer = exact_report(
            task.caller,
            task.estimand,
            task.design,
            steady=task.steady,
            progress=task.progress,
        )
        if report is not None:
            return _completed(task, report)
        if task.method == "exact":
            d = task.design
            raise ValueError(
                f"method='exact' cannot do estimand={d.estimand!r}, side={d.side!r}, n={d.n} "
                "(or the bound is random); use method='simulation'"
            )
    return _with_hint(task, _simulated(task, answer))


def _completed(task: Task, report: AuditReport) -> AuditReport:
    """Return an exact report with what it leaves out."""
    if report.verdict != "refuted" and task.method == "auto" and task.estimand.name in MARGINS:
        report = _with_more_classes(task, report)
    if report.verdict != "refuted" and not task.steady:
        laws = default_scenarios(task.estimand, task.design.n, task.design.alpha, task.design.side)
        suite = [s for s in laws if np.asarray(s.parameters.get("p", 0)).size <= CLASSES]
        report = _with_places(task, report, suite, task.caller_for(suite))
    return _with_hint(task, report)


def _with_places(
    task: Task, report: AuditReport, suite: list[Scenario], caller: Caller
) -> AuditReport:
    """Return a report on rows called alone, with rows of a batch where its places differ.

    Limits that change with the place alone leave the replications of a batch independent, and
    their miscoverage is the mean over its places: above alpha it is so at one of them.
    """
    if not caller.placed:
        return report
    for size in BATCHES:
        batch = replace(caller, alone=False, chunk=size)
        laws = [
            replace(s, name=f"in a batch of {size}: {s.name}", stream=s.stream or s.name)
            for s in suite
        ]
        tallies = simulate(
            batch, task.estimand, laws, task.design, n_jobs=task.n_jobs, progress=task.progress
        )
        more = simulation_report(tallies, Replay(batch, task.estimand, laws, task.design), {})
        report = replace(
            report,
            verdict=combine([report.verdict, more.verdict]),
            rows=report.rows + more.rows,
            failures=merge_failures(report.failures + more.failures),
        )
    return replace(report, notes=[*report.notes, PLACED])


def _with_hint(task: Task, report: AuditReport) -> AuditReport:
    """Return a report that names the estimand that fits a bound which never fits this one."""
    outside = sum(f.count for f in report.failures if f.kind == "outside")
    asked = sum(r.replications for r in report.rows) or task.design.n + 1
    if report.verdict != "refuted" or 2 * outside < asked:
        return report
    hint = task.suggestion().removeprefix("; ")
    return replace(report, notes=[*report.notes, hint]) if hint else report


def _with_more_classes(task: Task, report: AuditReport) -> AuditReport:
    """Return an exact report on three classes with distributions of more classes simulated."""
    estimand, design = task.estimand, task.design
    suite = [
        s
        for s in default_scenarios(estimand, design.n, design.alpha)
        if len(cast(Sequence[float], s.parameters["p"])) > CLASSES
    ]
    try:
        caller = task.caller_for(suite)
    except (TypeError, ValueError) as error:
        text = f"the bound does not take more than three classes: {error}"
        return replace(report, notes=[*report.notes, text])
    tallies = simulate(caller, estimand, suite, design, n_jobs=task.n_jobs, progress=task.progress)
    more = simulation_report(tallies, Replay(caller, estimand, suite, design), report.design)
    exact_notes = [note for note in report.notes if note != MORE_CLASSES]
    methods = "exact (three classes) and simulation (more classes: the rows with replications)"
    whole = replace(
        report,
        verdict=combine([report.verdict, more.verdict]),
        rows=report.rows + more.rows,
        failures=merge_failures(report.failures + more.failures),
        design={**more.design, "method": methods},
        notes=exact_notes + more.notes,
    )
    return with_mixing(whole, caller.mixed)


def _simulated(task: Task, answer: Answer) -> AuditReport:
    """Return the report of a simulation, of scenarios that are given, built in or searched."""
    estimand, design = task.estimand, task.design
    suite, caller = _suite(task, answer)
    if caller.mixed is not None:  # refuted by that: the rows show what it does alone
        design = replace(design, replications=min(design.replications, FIRST_BLOCK))
    record: Record = design.record(
        method="search" if task.method == "search" else "simulation",
        scenarios=plain({s.name: s.parameters for s in suite}),
    )
    tallies = _stored(task, design, caller, suite, record)
    report = simulation_report(tallies, Replay(caller, estimand, suite, design), record)
    if caller.steady and _rows_change_together(task, caller, suite, tallies):
        # The blocks that are stored are of rows that changed together: they are not used again.
        return _simulated(replace(task, store=None, resume=False), "shared")
    if any(f.kind == MIXED for f in report.failures):
        report = replace(report, verdict="refuted")
    if report.verdict != "refuted":
        report = _with_places(task, report, suite, caller)
    return with_mixing(report, caller.mixed)


def _suite(task: Task, answer: Answer) -> tuple[list[Scenario], Caller]:
    """Return the scenarios, and how the bound is to be called."""
    estimand, design = task.estimand, task.design
    if task.method == "search":
        laws, dimensions = find_family(task.family, estimand)
        points = np.random.default_rng(design.seed).random((8, dimensions))
        caller = _called(task, [Scenario(str(i), laws(u)) for i, u in enumerate(points)], answer)
        found = worst_laws(
            caller,
            estimand,
            design,
            (laws, dimensions),
            n_jobs=task.n_jobs,
            progress=task.progress,
        )
        return [Scenario(name, parameters) for name, parameters in found.items()], caller
    suite = check_scenarios(task.scenarios, estimand, design.n, design.alpha, design.side)
    caller = _called(task, suite, answer)
    if task.scenarios is None:
        suite += beside_a_jump(caller, estimand, design)
        votes = estimand.name.split(":")[0] in MARGINS and not estimand.scenarios
        if task.method == "auto" and votes and design.n > LARGEST_TRINOMIAL_N:
            suite += worst_votes(caller, estimand, design)
    return suite, caller


def _called(task: Task, suite: list[Scenario], answer: Answer) -> Caller:
    """Return how the bound is to be called: alone where rows of a call change together."""
    caller = task.caller_for(suite)
    return replace(caller, alone=True, steady=False) if answer == "shared" else caller


def _rows_change_together(
    task: Task, caller: Caller, suite: list[Scenario], tallies: list[Tally]
) -> bool:
    """Return whether a bound seldom answers otherwise, and then on all rows of a call at once.

    Then replications are not independent, and a verdict of them is none.
    """
    refuted = [i for i, tally in enumerate(tallies) if tally.verdict == "refuted"]
    if refuted:
        return any(_missed_together(task, caller, suite[i], tallies[i].peak) for i in refuted)
    data = probe(task.estimand, task.design, suite, COMPANY, PROBE)
    limits = caller.limits(data)
    return shared_look(caller, Table(data, limits.lower, limits.upper), task.design)


def _missed_together(task: Task, caller: Caller, scenario: Scenario, peak: tuple[int, int]) -> bool:
    """Return whether most failures to cover do not come again; `peak`: a block and their number."""
    block, misses = peak
    again = run_block(caller, task.estimand, scenario, task.design, block)
    return 2 * (misses - again.misses) > again.runs


def _stored(
    task: Task, design: Design, caller: Caller, suite: list[Scenario], record: Record
) -> list[Tally]:
    """Return the tallies, with the blocks kept in a store where a path is given."""
    estimand = task.estimand
    run = partial(
        simulate,
        caller,
        estimand,
        suite,
        design,
        n_jobs=task.n_jobs,
        progress=task.progress,
    )
    if task.store is None:
        return run()
    with closing(Store(task.store, record, resume=task.resume)) as store:
        try:
            check_store(store, caller, estimand, suite, design)
            return run(store=store)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {len(store.blocks)} finished blocks are in {task.store}; go on "
                "with --resume (resume=True)"
            ) from None
