"""Claims at several levels: each audited as an event of that probability, then put together."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from rsverify._core.check import (
    FloatArray,
    check_jobs,
    check_level,
    check_scale,
    check_seed_number,
    check_size,
)
from rsverify.auditing.caller import merge_failures
from rsverify.auditing.design import LARGEST_N, Design, Progress, Record
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.verdict import combine

Levels = float | Sequence[float] | FloatArray


def check_levels(alpha: Levels) -> tuple[float, ...]:
    """Return the levels in order, or raise where one is outside (0, 1)."""
    several = as_sequence(alpha)
    if several is not None:
        if not several:
            raise ValueError("alpha=() must hold at least one level in (0, 1)")
        return tuple(sorted({check_level(cast(float, a)) for a in several}))
    return (check_level(cast(float, alpha)),)


def as_sequence(value: object) -> Sequence[object] | None:
    """Return a sequence, or an array of one axis as one; None where it is neither."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return cast(Sequence[object], value.tolist())
    return None


@dataclass(frozen=True)
class Words:
    """How the audit of a claim is told: what is judged, and what a limit of an audit is here."""

    kind: str  # "test", ...
    thing: str  # "p-value"
    event: str  # "P(p <= {a:g})"
    aim: str
    measure: str
    witness: str  # what outcomes do that are counted
    clause: str = ""  # "the p-value is at most {a:g}": what has the probability, in a sentence
    expectation: bool = False  # not a probability but an expectation follows it
    argument: str = ""  # "predict": how the audit calls what it audits
    numbers: bool = True  # a number per replication is what it returns, and not something else
    pair: str = ""  # what two numbers in place of one are likely to be

    def told(self, text: str) -> str:
        """Return a message about bounds as one about this claim."""
        text = text.replace("; is it side='two-sided'?", self.pair)
        if not self.numbers:
            text = re.sub(r", given data of shape \([^)]*\)|; it must return shape .*", "", text)
        return (
            text.replace("the bound of a replication", f"the {self.thing} of a replication")
            .replace("the bound of a row", f"the {self.thing} of a row")
            .replace("the bound is", f"the {self.thing} is")
            .replace("every row is of the bound", f"every row is of the {self.kind}")
            .replace("the bound", f"the {self.thing}")
            .replace("bound=", f"{self.argument or self.kind}=")
            .replace("one limit per replication", f"one {self.thing} per replication")
            .replace("not one limit", f"not one {self.thing}")
            .replace("miscoverage", "probability")
            .replace("non-coverage", "probability")
        )


@dataclass(frozen=True)
class Options:
    """What every audit of a claim is asked beside the claim itself."""

    n: int
    replications: int | None
    tolerance: float
    false_alarm: float
    seed: int
    n_jobs: int
    progress: Progress | None

    def __post_init__(self) -> None:
        """Raise where a number is out of its range, before anything depends on it."""
        check_size("n", self.n, largest=LARGEST_N)
        check_jobs(self.n_jobs)

    def design(
        self, name: str, estimand: str, level: float, share: float, budget: int = 1
    ) -> Design:
        """Return the design at one level, with that share of the false alarms.

        `budget` times the usual replications are for claims that are mostly near their limit.
        """
        budget *= max(20_000, int(min(1000.0 / level, 1e9)))
        return Design(
            bound=name,
            estimand=estimand,
            side="lower",
            n=check_size("n", self.n, largest=LARGEST_N),
            alpha=level,
            seed=check_seed_number(self.seed),
            replications=budget if self.replications is None else self._asked(self.replications),
            tolerance=check_scale("tolerance", self.tolerance),
            false_alarm=share * check_level(self.false_alarm, "false_alarm"),
        )

    @staticmethod
    def _asked(replications: int) -> int:
        return check_size("replications", replications, largest=10**10)


def at_levels(
    levels: tuple[float, ...],
    audited: Callable[[float, float], AuditReport],
    words: Words,
    record: Record,
    truth: Callable[[Row], Row] = lambda row: row,
) -> AuditReport:
    """Return the report of a claim at several levels.

    `audited` takes a level and the share of false alarms that it may spend; `truth` puts the
    estimand's value into a row.
    """
    share = 1.0 / len(levels)
    reports: list[AuditReport] = []
    for level in levels:
        try:
            reports.append(told(audited(level, share), words))
        except (TypeError, ValueError) as error:
            raise type(error)(words.told(str(error))) from error
    rows = [
        _row(truth(row), level, words, several=len(levels) > 1)
        for level, report in zip(levels, reports, strict=True)
        for row in report.rows
    ]
    # Witness and sentence are about the level of the worst row.
    worst = AuditReport("inconclusive", rows, [], None, {}, []).worst
    first = reports[levels.index(worst.allowed)]
    witness = first.witness if first.verdict == "refuted" else None
    of_all = [note for note in reports[0].notes if all(note in r.notes for r in reports)]
    notes = [
        f"{words.event.format(a=level)}: {note}"
        for level, report in zip(levels, reports, strict=True)
        for note in report.notes
        if note not in of_all
    ]
    failures = [f for report in reports for f in report.failures]
    methods = {str(r.design["method"]) for r in reports}
    design: Record = {
        **first.design,
        **record,
        "kind": words.kind,
        "alpha": levels[0] if len(levels) == 1 else first.design["alpha"],
        "levels": list(levels),
        "false_alarm": float(str(first.design["false_alarm"])) * len(levels),
        "method": " and ".join(sorted(methods)),
        "aim": words.aim,
        "clause": words.clause,
        "event": words.event,
        "expectation": words.expectation,
    }
    return AuditReport(
        combine([r.verdict for r in reports]),
        rows,
        merge_failures(failures),
        None if witness is None else replace(witness, event=words.witness),
        design,
        [*notes, *of_all],
        first.evidence if len(levels) == 1 else None,
    )


def told(report: AuditReport, words: Words) -> AuditReport:
    """Return a report whose failures and notes are about this claim, and not about bounds."""
    failures = [replace(f, message=words.told(f.message)) for f in report.failures]
    return replace(report, failures=failures, notes=[words.told(note) for note in report.notes])


def _row(row: Row, level: float, words: Words, *, several: bool) -> Row:
    name = f"{words.event.format(a=level)}; {row.scenario}" if several else row.scenario
    return replace(
        row,
        scenario=name,
        measure=words.measure,
        allowed=level,
        note=words.told(row.note),
        gap=math.nan,
        gap_error=math.nan,
    )
