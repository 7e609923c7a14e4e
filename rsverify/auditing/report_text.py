"""A report of an audit as text: the verdict, a table that fits a screen, a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from rsverify._core.text import fitted_table, table_lines
from rsverify._core.types import VerdictName

if TYPE_CHECKING:
    from rsverify.auditing.report import AuditReport, Row

WIDTH = 80  # columns of a terminal as narrow as they come
WORST = ">"  # marks the worst row


class Line(NamedTuple):
    """A line of a printed report, and what it tells: a verdict, the worst row, or neither."""

    text: str
    verdict: VerdictName | None = None
    worst: bool = False


def as_text(report: AuditReport, width: int | None = None) -> str:
    """Return the report as it is printed; its table fits into `width`."""
    return "\n".join(line.text for line in report_lines(report, width))


def report_lines(report: AuditReport, width: int | None = None) -> list[Line]:
    """Return the lines of a report: verdict, the rows with the worst first, what was found."""
    rows = report.ranked
    cells = table_cells(report)
    full = table_lines(cells[0], cells[1:])
    if width is None or max(map(len, full)) <= width:
        table = [Line(text) for text in full[:2]]
        table += [Line(text, row.verdict) for text, row in zip(full[2:], rows, strict=True)]
    else:
        head, *parts = fitted_table(cells[0], cells[1:], width, broken=("mean gap",))
        table = [Line(text) for text in head]
        for part, row in zip(parts, rows, strict=True):
            table += [Line(text, row.verdict) for text in part]
    first = next(i for i, line in enumerate(table) if line.verdict is not None)
    marked = Line(WORST + table[first].text[1:], table[first].verdict, worst=True)
    table[first] = marked
    said = [Line(""), Line(report.conclusion, report.verdict)]
    below = [Line(text) for text in remarks(report)]
    return [Line(headline(report), report.verdict), *table, *below, *said]


def headline(report: AuditReport) -> str:
    """Return the verdict, and of what it is one."""
    return f"{report.verdict}: {asked(report)}"


def asked(report: AuditReport) -> str:
    """Return what was audited."""
    d = report.design
    return f"{d['bound']}, {d['estimand']}, n={d['n']}, alpha={levels_in_words(report)}"


def levels_in_words(report: AuditReport) -> str:
    """Return alpha, or all levels of a claim at several."""
    levels = report.design.get("levels") or [report.design["alpha"]]
    return ", ".join(f"{level:g}" for level in cast(list[float], levels))


def table_cells(report: AuditReport) -> list[list[str]]:
    """Return headings and rows, the worst first; a truth or a mean gap only where there is one."""
    e_values = report.design["kind"] == "e-value"
    heads = ["scenario", "truth", f"{_measured(report)} [interval]", "mean gap", "verdict"]
    # An e-value is simulated as a probability, which is to be alpha at most.
    cells = [_cells(r, 1.0 / r.allowed if e_values else 1.0) for r in report.ranked]
    left_out = [1] * (not _has_truth(report)) + [3] * all(row[3] == _NONE for row in cells)
    return [[cell for i, cell in enumerate(row) if i not in left_out] for row in [heads, *cells]]


_NONE = "—"
_WITHOUT_TRUTH = ("prediction set", "procedure")


def _has_truth(report: AuditReport) -> bool:
    """Return whether rows are about distributions that have an estimand."""
    d = report.design
    return d["kind"] not in _WITHOUT_TRUTH and (d["kind"] != "e-value" or "null" in d)


def _measured(report: AuditReport) -> str:
    """Return what rows measure, in the scale in which they are shown."""
    if report.design["kind"] != "e-value":
        return report.measure
    measures = {r.measure: r for r in report.rows if not r.replications}
    drawn = {1.0 / r.allowed for r in report.rows if r.replications}
    if drawn and not measures:
        return f"E[min(e, {drawn.pop():g})]" if len(drawn) == 1 else "E[min(e, 1/a)]"
    return "expectation" if drawn or len(measures) > 1 else report.measure


def _cells(r: Row, scale: float) -> list[str]:
    digits = 3 if r.replications else 4
    low, high = _digits(scale * r.low, "down", digits), _digits(scale * r.high, "up", digits)
    interval = f"{scale * r.miscoverage:.4g} [{low}, {high}]"
    known = r.replications and not math.isnan(r.gap)
    gap = f"{r.gap:.4g} ±{r.gap_error:.1g}" if known else _NONE
    return [r.scenario, f"{r.truth:.4g}", interval, gap, r.verdict]


def remarks(report: AuditReport) -> list[str]:
    """Return what stands below the table: of its rows, failures, a witness, and notes."""
    lines = [f"{r.scenario}: {r.note}" for r in report.ranked if r.note]
    lines += [
        f"failed {times_in_words(f.count)}: {f.kind}: {f.message}; for example {_short(f.example)}"
        for f in report.failures
    ]
    if report.witness is not None:
        lines.append(f"witness: {report.witness}")
    return [*lines, *report.notes]


def _digits(value: float, way: Literal["down", "up"], digits: int) -> str:
    """Return so many digits, rounded so that an interval keeps what it holds."""
    rounded = f"{value:.{digits}g}"
    if not math.isfinite(value) or value == 0.0:
        return rounded
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    if way == "down" and float(rounded) > value:
        rounded = f"{float(rounded) - unit:.{digits}g}"
    if way == "up" and float(rounded) < value:
        rounded = f"{float(rounded) + unit:.{digits}g}"
    return rounded


def times_in_words(count: int) -> str:
    """Return how often something happened."""
    return "once" if count == 1 else f"{count:,} times"


def _short(example: object) -> str:
    text = str(example)
    return text if len(text) <= 200 else text[:200] + " …"
