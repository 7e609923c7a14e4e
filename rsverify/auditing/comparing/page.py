"""A comparison of bounds as a page of HTML, and as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsverify._core import notebook
from rsverify._core.html_page import Facts, Notes, Page, Part, Picture, Table, Tone
from rsverify._core.optional import need
from rsverify.auditing.comparing.text import (
    headline,
    remarks,
    scenario_cells,
    speed_cells,
    title_of,
)

if TYPE_CHECKING:
    from rsverify.auditing.comparing.result import BoundComparison

_COLUMNS = [
    "miscoverage: probability that the limit is on the wrong side of the truth; ! where it is "
    "shown to be above alpha",
    "mean gap: mean distance of the limit from the truth, on the side where it covers (of an "
    "interval, its mean width)",
    "to the first: mean gap less that of the first bound on the same data, in percent of it",
    "share: what part of the gap no valid bound can avoid at this distribution",
]


def comparison_page(found: BoundComparison) -> Page:
    """Return the page: sentence, figure, a table for each distribution, speed, design."""
    parts: list[Part] = [*_picture(found)]
    for scenario in found.scenarios:
        heads, *rows = scenario_cells(found, scenario)
        tones: list[Tone] = [
            "plain" if found.of(scenario, bound).covers else "bad" for bound in found.bounds
        ]
        parts.append(Table(heads, rows, title_of(found, scenario), tones))
    if found.speeds:
        heads, *rows = speed_cells(found.speeds)
        parts.append(Table(heads, rows, "Processor time per replication"))
    parts.append(Notes([*remarks(found), *found.notes], "Remarks"))
    parts.append(Notes(_COLUMNS, "What the columns say"))
    facts = [(k, str(v)) for k, v in found.design.items() if k not in ("scenarios", "version")]
    parts.append(Facts(facts, "What was asked"))
    made = f"Made by rsverify {found.design['version']}"
    return Page(headline(found), found.conclusion, parts, made_by=made)


def _picture(found: BoundComparison) -> list[Part]:
    try:
        need("matplotlib")
    except ModuleNotFoundError as error:
        return [Notes([f"no figure: {error}"])]
    return [Picture(found.plot(), found.conclusion)]


def notebook_view(found: BoundComparison) -> str:
    """Return what a notebook shows: the sentence, and a row for each bound and distribution."""
    rows = []
    heads: list[str] = []
    for scenario in found.scenarios:
        heads, *cells = scenario_cells(found, scenario)
        rows += [[f"{scenario}: {row[0]}", *row[1:]] for row in cells]
    return notebook.table(headline(found), heads, rows, found.conclusion, *remarks(found))
