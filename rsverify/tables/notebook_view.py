"""Analyses and comparisons as a notebook shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsverify._core import notebook
from rsverify._core.text import complement_text
from rsverify.tables.formatting import RADIUS_DECIMALS, estimate_text, explanation, to_frame

if TYPE_CHECKING:
    from rsverify.tables.analysis import Analysis
    from rsverify.tables.comparison import Comparison


def analysis_html(a: Analysis) -> str:
    """Return an analysis as a notebook shows it."""
    frame = to_frame([a])
    rows = [(str(label), str(cells[0])) for label, *cells in frame.itertuples()]
    headline = f"{a.name}: estimates with {complement_text(a.alpha, of=100)} % confidence intervals"
    return notebook.table(headline, ["", ""], rows, *a.notes, explanation([a]))


def comparison_html(c: Comparison) -> str:
    """Return a comparison as a notebook shows it."""
    rows = [
        ("inputs in both", str(c.inputs)),
        ("radius larger, smaller, equal", f"{c.larger}, {c.smaller}, {c.equal}"),
        ("change of the average radius", estimate_text(c.difference, RADIUS_DECIMALS)),
    ]
    if c.gains is not None:
        g = c.gains
        named = {
            "smallest gain": g.smallest,
            "nine of ten gain at least": g.tenth,
            "median gain": g.median,
            "one of ten gains at least": g.nine_tenths,
            "largest gain": g.largest,
        }
        rows += [(name, f"{value:+.6f}") for name, value in named.items()]
        rows.append(("newly certified, no longer", f"{g.newly_certified}, {g.no_longer_certified}"))
    said = "" if c.gains is None else c.gains.said
    return notebook.facts(f"{c.second} compared with {c.first}", rows, said, *c.notes)
