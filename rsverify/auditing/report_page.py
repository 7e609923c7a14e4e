"""A report of an audit as a page of HTML, and as a notebook shows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rsverify._core import notebook
from rsverify._core.html_page import Facts, Notes, Page, Part, Picture, Table, Tone
from rsverify._core.optional import need
from rsverify._core.types import VerdictName
from rsverify.auditing.report_text import (
    asked,
    headline,
    levels_in_words,
    remarks,
    table_cells,
)

if TYPE_CHECKING:
    from rsverify.auditing.report import AuditReport

TONES: dict[VerdictName, Tone] = {"supported": "good", "refuted": "bad", "inconclusive": "open"}
SHOWN = 12  # rows in a notebook; the page has all
_NAMES = {
    "bound": "audited",
    "estimand": "of what",
    "false_alarm": "probability of a false verdict",
    "tolerance": "tolerated excess",
    "n": "sample size",
    "replications": "maximum replications",
    "kind": "kind of claim",
    "version": "rsverify",
}
_LEFT_OUT = (
    *("scenarios", "clause", "event", "expectation", "aim"),
    *("detectable", "expected_gaps"),  # remarks say them in words
)
_OF_DRAWS = ("seed", "replications")


def report_page(report: AuditReport) -> Page:
    """Return the page: sentence, figure, table, remarks, design."""
    heads, *rows = table_cells(report)
    parts: list[Part] = [*_picture(report)]
    tones = [TONES[row.verdict] for row in report.ranked]
    name = "Scenarios, the worst first" if len(rows) > 1 else "Result"
    parts.append(Table(heads, rows, name, tones, marked=(0,)))
    parts.append(Notes(remarks(report), "Remarks"))
    parts.append(Facts(_design(report), "What was asked"))
    parts.append(Notes(list(_MEANING.values()), "What a verdict means"))
    made = f"Made by rsverify {report.design.get('version', '')}".rstrip()
    return Page(
        asked(report), report.conclusion, parts, report.verdict, TONES[report.verdict], made
    )


_MEANING = {
    "refuted": "refuted: what was promised does not hold for some distribution; shown exactly, or "
    "by a sequential test of the stated error probability",
    "supported": "supported: it holds up to the tolerated excess, for every distribution of an "
    "exact audit or for the scenarios of a simulation; no claim is made for others",
    "inconclusive": "inconclusive: neither could be shown within the replications allowed",
}


def _picture(report: AuditReport) -> list[Part]:
    from rsverify.auditing.figures import figures_of

    if not figures_of(report):
        return []
    try:
        need("matplotlib")
    except ModuleNotFoundError as error:
        return [Notes([f"no figure: {error}"])]
    return [Picture(report.plot(), report.conclusion)]


def _design(report: AuditReport) -> list[tuple[str, str]]:
    facts = [("aim", str(report.ademp["aims"]))]
    left_out = {*_LEFT_OUT, *(() if any(r.replications for r in report.rows) else _OF_DRAWS)}
    if report.design["kind"] != "coverage":
        left_out.add("side")
    for name, value in report.design.items():
        if value is None or name in left_out or name == "levels":
            continue
        if name == "alpha":
            facts.append((name, levels_in_words(report)))
        elif name == "null":
            low, high = _listed(value)
            facts.append(("null hypothesis", _interval(float(low), float(high))))
        else:
            facts.append((_NAMES.get(name, name.replace("_", " ")), _shown(value)))
    return facts


def _listed(value: object) -> list[float]:
    return list(value) if isinstance(value, list | tuple) else []


def _interval(low: float, high: float) -> str:
    """Return in words which values of the estimand are in a null."""
    if low == high:
        return f"the estimand is {low:g}"
    ends = [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high)
    return f"the estimand is {' and '.join(ends) or 'any number'}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)


def notebook_view(report: AuditReport) -> str:
    """Return what a notebook shows: the sentence, and the first rows."""
    heads, *rows = table_cells(report)
    more = len(rows) - SHOWN
    left = f"and {more} more rows: to_html(path) has them all" if more > 0 else ""
    return notebook.table(
        headline(report), heads, rows[:SHOWN], left, report.conclusion, *report.notes
    )
