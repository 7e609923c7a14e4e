"""A comparison of bounds as text: a table for each distribution, speed, and a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rsverify._core.text import fitted_table, table_lines
from rsverify.auditing.report_text import times_in_words

if TYPE_CHECKING:
    from rsverify.auditing.comparing.result import BoundComparison, ComparedBound
    from rsverify.auditing.comparing.speed import Speed

NONE = "—"
FAILS = "does not cover"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def as_text(found: BoundComparison, width: int | None = None) -> str:
    """Return a comparison as it is printed; its tables fit into `width`."""
    lines = [headline(found)]
    for scenario in found.scenarios:
        heads, *rows = scenario_cells(found, scenario)
        lines += ["", title_of(found, scenario), *_table(heads, rows, width)]
    if found.speeds:
        heads, *rows = speed_cells(found.speeds)
        lines += ["", "processor time per replication", *_table(heads, rows, width)]
    lines += ["", *remarks(found), *found.notes, "", found.conclusion]
    return "\n".join(lines)


def _table(heads: list[str], rows: list[list[str]], width: int | None) -> list[str]:
    full = table_lines(heads, rows)
    if width is None or max(map(len, full)) <= width:
        return full
    return [line for part in fitted_table(heads, rows, width) for line in part]


def headline(found: BoundComparison) -> str:
    """Return what was compared."""
    d = found.design
    side = "intervals" if d["side"] == "two-sided" else f"{d['side']} bounds"
    return f"{len(found.bounds)} {side}, {d['estimand']}, n={d['n']}, alpha={d['alpha']:g}"


def title_of(found: BoundComparison, scenario: str) -> str:
    """Return the heading of a distribution: the truth, and what any valid bound must leave."""
    row = found.of(scenario, found.bounds[0])
    known = ""
    if row.limit is not None:
        known = f"; the {found.measure} of a valid bound is at least {row.limit:.4g}"
    return f"{scenario}: truth {row.truth:.4g}{known}"


def scenario_cells(found: BoundComparison, scenario: str) -> list[list[str]]:
    """Return headings and rows of one distribution."""
    rows = [found.of(scenario, bound) for bound in found.bounds]
    heads = ["bound", "miscoverage", found.measure, "to the first", "share"]
    cells = [
        [row.bound, _miscoverage(row), _gap(row), _difference(row, rows[0]), _share(row)]
        for row in rows
    ]
    keep = [0, 1, 2]
    if len(rows) > 1:
        keep.append(3)
    if any(row[4] != NONE for row in cells):
        keep.append(4)
    return [[row[i] for i in keep] for row in (heads, *cells)]


def _miscoverage(row: ComparedBound) -> str:
    text = f"{row.miscoverage:.3g}"
    return text if row.covers else f"{text} !"


def _gap(row: ComparedBound) -> str:
    if math.isnan(row.gap):
        return NONE
    error = f" ±{row.gap_error:.1g}" if row.replications and row.gap_error > 0.0 else ""
    return f"{row.gap:.3g}{error}" if row.replications else f"{row.gap:.4g}"


def _difference(row: ComparedBound, first: ComparedBound) -> str:
    """Return the paired difference from the first bound in percent of its gap."""
    if row is first or not first.gap > 0.0 or not math.isfinite(row.difference):
        return NONE
    share = 100.0 * row.difference / first.gap
    error = 100.0 * row.difference_error / first.gap
    shown = f" ±{error:.1g}" if row.replications and error > 0.0 else ""
    return f"{share:+.3g}{shown} %"


def _share(row: ComparedBound) -> str:
    if math.isnan(row.share):
        return NONE
    return f"{100.0 * row.share:.3g} %{' !' if row.too_near else ''}"


def speed_cells(speeds: list[Speed]) -> list[list[str]]:
    """Return headings and rows of the times."""
    heads = ["bound", "time", "grows as"]
    cells = []
    for speed in speeds:
        grows = NONE if math.isnan(speed.exponent) else f"n^{speed.exponent:.1f}"
        cells.append([speed.bound, duration_of(speed.seconds), grows])
    return [heads, *cells]


def duration_of(seconds: float) -> str:
    """Return a time in a unit that fits it."""
    if math.isnan(seconds):
        return NONE
    for unit, name in _UNITS:
        if seconds >= unit or unit == _UNITS[-1][0]:
            return f"{seconds / unit:.3g} {name}"
    return NONE


def remarks(found: BoundComparison) -> list[str]:
    """Return what stands below the tables."""
    lines = []
    if any(row.replications for row in found.rows):
        drawn = max(row.replications for row in found.rows)
        lines.append(
            f"simulated: {drawn:,} replications of each distribution, the same for every bound; "
            "± is a standard error"
        )
    else:
        lines.append("exact: summed over all outcomes")
    if any(not math.isnan(row.share) for row in found.rows):
        what = "width" if found.measure == "mean width" else "gap"
        lines.append(f"share: of the mean {what}, what no valid bound can avoid")
    if any(not row.covers for row in found.rows):
        lines.append("! at a miscoverage: it is above alpha, so that the gap is no merit")
    if any(row.too_near for row in found.rows):
        lines.append("! at a share: no valid bound is that near the truth; it fails elsewhere")
    for bound, failures in found.failures.items():
        lines += [
            f"{bound} failed {times_in_words(f.count)}: {f.kind}: {f.message}" for f in failures
        ]
    return lines


def conclusion(found: BoundComparison) -> str:
    """Return what was found, in a sentence."""
    scenarios, bounds = found.scenarios, found.bounds
    wrong = [b for b in bounds if any(not found.of(s, b).covers for s in scenarios)]
    near = [b for b in bounds if b not in wrong and any(found.of(s, b).too_near for s in scenarios)]
    right = [b for b in bounds if b not in (*wrong, *near)]
    said = []
    if len(right) > 1:
        said.append(_nearest(found, right))
    elif right and (wrong or near):
        said.append(f"{right[0]} is the only one that was not seen to fail to cover")
    said += [_where_wrong(found, bound) for bound in wrong]
    said += [
        f"{b} is nearer to the truth than any valid bound can be: it is not valid" for b in near
    ]
    if not said:
        (only,) = bounds
        said.append(f"{only} was not seen to fail to cover{_of_limit(found, only)}")
    return "; ".join(said) + "."


def _where_wrong(found: BoundComparison, bound: str) -> str:
    """Return at how many distributions a bound does not cover, and how far it is off."""
    rows = [found.of(s, bound) for s in found.scenarios]
    wrong = [row for row in rows if not row.covers]
    worst = max(row.miscoverage for row in wrong)
    return (
        f"{bound} does not cover at {len(wrong)} of {len(rows)} distributions, where it fails up "
        f"to {100.0 * worst:.3g} % of the time"
    )


def _nearest(found: BoundComparison, right: list[str]) -> str:
    """Return which bound has the least gap most often, among those that may cover."""
    scenarios = found.scenarios
    wins = dict.fromkeys(right, 0)
    for scenario in scenarios:
        known = {b: found.of(scenario, b).gap for b in right}
        known = {b: gap for b, gap in known.items() if not math.isnan(gap)}
        if known:
            wins[min(known, key=lambda b: known[b])] += 1
    best = max(wins, key=lambda b: wins[b])
    what = "narrowest" if found.measure == "mean width" else "nearest to the truth"
    return (
        f"{best} is {what} at {wins[best]} of {len(scenarios)} distributions"
        f"{_of_limit(found, best)}"
    )


def _of_limit(found: BoundComparison, bound: str) -> str:
    shares = [found.of(s, bound).share for s in found.scenarios]
    shares = [s for s in shares if not math.isnan(s)]
    if not shares:
        return ""
    low, high = 100.0 * min(shares), 100.0 * max(shares)
    what = "width" if found.measure == "mean width" else "gap"
    return f", where {low:.0f} to {high:.0f} % of its {what} is what no valid bound can avoid"
