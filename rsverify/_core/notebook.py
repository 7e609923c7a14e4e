"""Results as a notebook shows them: small tables of HTML in the colors of the notebook itself.

No script, no style sheet, nothing from outside; every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from rsverify._core.text import printable

_CELL = "padding:.2em .8em;vertical-align:top;border:none"
_LEFT, _RIGHT = f"text-align:left;{_CELL}", f"text-align:right;{_CELL}"
_RULE = "border-top:1px solid currentColor;opacity:.25;margin:.3em 0"


def text(content: str) -> str:
    """Return a text as HTML that shows it."""
    return html.escape(printable(content))


def facts(headline: str, rows: Iterable[tuple[str, str]], *notes: str) -> str:
    """Return a headline, a table of names and values, and sentences below it."""
    body = "".join(
        f'<tr style="background:none"><th scope="row" style="{_LEFT};font-weight:normal;'
        f'opacity:.7">{text(name)}</th><td style="{_LEFT}">{text(value)}</td></tr>'
        for name, value in rows
    )
    table = f'<table style="border-collapse:collapse;margin:0"><tbody>{body}</tbody></table>'
    return _block(headline, table, notes)


def table(headline: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *notes: str) -> str:
    """Return a headline, a table whose first column names the rows, and sentences below it."""
    head = "".join(
        f'<th scope="col" style="{_RIGHT if i else _LEFT}">{text(name)}</th>'
        for i, name in enumerate(columns)
    )
    body = "".join(
        '<tr style="background:none">'
        + "".join(
            f'<th scope="row" style="{_LEFT};font-weight:normal">{text(cell)}</th>'
            if i == 0
            else f'<td style="{_RIGHT};white-space:nowrap">{text(cell)}</td>'
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return _block(
        headline,
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:0">'
        f'<thead><tr style="background:none">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>",
        notes,
    )


def _block(headline: str, content: str, notes: Sequence[str]) -> str:
    below = "".join(
        f'<div style="opacity:.7;max-width:44em;margin-top:.3em">{text(note)}</div>'
        for note in notes
        if note
    )
    return (
        f'<div style="margin:.4em 0"><div style="font-weight:bold">{text(headline)}</div>'
        f'<div style="{_RULE}"></div>{content}{below}</div>'
    )
