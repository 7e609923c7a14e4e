"""A page of HTML that needs nothing else: text, tables, and figures inside it.

One file to send to a colleague: no script, no font and no picture from outside, which its content
policy forbids besides; light or dark as the reader's system is; rows of tables become blocks on a
telephone. Every text is escaped.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rsverify._core.files import write_file
from rsverify._core.notebook import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone = Literal["good", "bad", "open", "plain"]
"""How a row or a badge is colored: as supported, refuted, inconclusive, or not at all."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2433;--soft:#5b6475;--line:#d8dce4;--paper:#fff;
--card:#f6f7f9;--good:#00619a;--bad:#b03a00;--open:#8a5a00;--mark:#fff1e6}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#a3abba;--line:#3a4150;
--paper:#14171c;--card:#1c2027;--good:#6cb8ea;--bad:#ff9a66;--open:#f0bd4f;--mark:#33241a}
figure img{filter:invert(.91) hue-rotate(180deg)}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1.2rem 3rem;max-width:64rem;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.35rem;line-height:1.3;margin:.4rem 0;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:2rem 0 .6rem}
.lead{font-size:1.1rem;max-width:46em;margin:.6rem 0 1.4rem;overflow-wrap:anywhere;
text-wrap:pretty}
.badge{display:inline-block;padding:.1rem .7rem;border-radius:1rem;border:1.5px solid;
font-weight:600;font-size:.9rem}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
figure{margin:1.2rem 0;padding:.4rem;background:transparent}
figure img{display:block;width:100%;min-width:34rem;max-width:52rem;height:auto;margin:0 auto}
figcaption{color:var(--soft);font-size:.9rem;max-width:46em;margin:.4rem auto 0}
.wide{overflow-x:auto}
.narrow{display:none;color:var(--soft);font-size:.85rem;margin:.3rem 0 0}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line);
vertical-align:top}
th:first-child{text-align:left;font-weight:normal;overflow-wrap:anywhere}
thead th,thead th:first-child{font-weight:600;color:var(--soft)}
tr.marked>*{background:var(--mark)}tr.marked>th{font-weight:600;border-left:4px solid var(--ink)}
table.rows td{white-space:nowrap}td.tone{font-weight:600}
.facts th{color:var(--soft);width:14rem}.facts td{text-align:left;overflow-wrap:anywhere}
ul{padding-left:1.2rem;max-width:52em}li{margin:.25rem 0;overflow-wrap:anywhere}
footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem}
@media(max-width:44rem){
table.rows thead{display:none}
table.rows,table.rows tbody,table.rows tr,table.rows th,table.rows td{display:block}
table.rows tr{border-bottom:1px solid var(--line);padding:.5rem 0}
table.rows th,table.rows td{border:none;padding:.1rem .5rem}
table.rows th{font-weight:600}
table.rows td{display:flex;justify-content:space-between;gap:1rem}
table.rows td::before{content:attr(data-of);color:var(--soft);font-weight:normal;
text-align:left;white-space:normal}
.facts th{width:8rem}
.narrow{display:block}figure img{min-width:0}
}
@media print{body{max-width:none}tr,figure{break-inside:avoid}}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    `tones` colors the last cell of each row; rows in `marked` stand out, and are to come first.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    tones: Sequence[Tone] = ()
    marked: Sequence[int] = ()

    def html(self) -> str:
        """Return the table; on a narrow screen each cell says of which column it is."""
        head = "".join(f'<th scope="col">{text(name)}</th>' for name in self.columns)
        body = "".join(self._row(i, row) for i, row in enumerate(self.rows))
        return (
            f'{_heading(self.heading)}<div class="wide"><table class="rows"><thead><tr>{head}</tr>'
            f"</thead><tbody>{body}</tbody></table></div>"
        )

    def _row(self, index: int, row: Sequence[str]) -> str:
        cells = [f'<th scope="row">{text(row[0])}</th>']
        last = len(row) - 1
        tone = self.tones[index] if self.tones else "plain"
        for i, (name, cell) in enumerate(zip(self.columns[1:], row[1:], strict=True), 1):
            shown = f' class="tone {tone}"' if i == last and tone != "plain" else ""
            cells.append(f'<td data-of="{text(name)}"{shown}>{text(cell)}</td>')
        marked = ' class="marked"' if index in self.marked else ""
        return f"<tr{marked}>{''.join(cells)}</tr>"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    rows: Sequence[tuple[str, str]]
    heading: str = ""

    def html(self) -> str:
        """Return a table of two columns."""
        body = "".join(
            f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
            for name, value in self.rows
        )
        return f'{_heading(self.heading)}<table class="facts"><tbody>{body}</tbody></table>'


@dataclass(frozen=True)
class Notes:
    """Sentences, one below the other."""

    lines: Sequence[str]
    heading: str = ""

    def html(self) -> str:
        """Return a list."""
        items = "".join(f"<li>{text(line)}</li>" for line in self.lines)
        return f"{_heading(self.heading)}<ul>{items}</ul>" if items else ""


@dataclass(frozen=True)
class Picture:
    """A figure, and in words what it shows, for those who do not see it."""

    figure: Figure
    words: str
    caption: str = ""

    def html(self) -> str:
        """Return the figure inside the page, as SVG."""
        below = f"<figcaption>{text(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure><div class="wide"><img alt="{text(self.words)}" '
            f'src="{figure_uri(self.figure)}"></div>'
            '<p class="narrow">Zoom in to read the figure: it stays sharp.</p>'
            f"{below}</figure>"
        )


Part = Table | Facts | Notes | Picture


@dataclass(frozen=True)
class Page:
    """What a page holds: title, one sentence that says what was found, and its parts."""

    title: str
    sentence: str
    parts: Sequence[Part]
    badge: str = ""
    tone: Tone = "plain"
    made_by: str = ""


def page_html(page: Page) -> str:
    """Return a page as one self-contained file.

    Examples
    --------
    >>> from rsverify._core.html_page import Page, Table, page_html
    >>> shown = page_html(Page("Two", "One is less.", [Table(["name", "value"], [["<a>", "1"]])]))
    >>> "&lt;a&gt;" in shown, "://" in shown
    (True, False)
    """
    badge = f'<span class="badge {page.tone}">{text(page.badge)}</span>' if page.badge else ""
    parts = "\n".join(part.html() for part in page.parts)
    footer = f"<footer>{text(page.made_by)}</footer>" if page.made_by else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'{badge}<h1>{text(page.title)}</h1>\n<p class="lead">{text(page.sentence)}</p>\n'
        f"{parts}\n</main>\n{footer}\n</body>\n</html>\n"
    )


def write_page(page: Page, path: str | os.PathLike[str] | None, *, force: bool = False) -> str:
    """Return a page, and write it to a file if one is named; FileExistsError where there is one."""
    content = page_html(page)
    if path is not None:
        write_file(path, content, force=force)
    return content


def figure_uri(figure: Figure) -> str:
    """Return a figure as an address that holds it: the same bytes for the same figure."""
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "rsverify"}):
        figure.savefig(content, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def _heading(words: str) -> str:
    return f"<h2>{text(words)}</h2>" if words else ""
