"""Text from outside, such as names of files and cells of tables, made harmless to show."""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from rsverify._core.decimals import EXACT

# Control characters, among them those that begin escape sequences of terminals; marks that
# change the direction of text, which make it read as something else; and halves of a pair.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Return `text` on one line, with what is not a character to look at written as an escape.

    Examples
    --------
    >>> from rsverify._core.text import printable
    >>> print(printable("a\x1b[31mb\n"))
    a\x1b[31mb\n
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found.group()), text)


def printable_lines(text: str) -> str:
    """Return `text` with its line breaks as they are, and each line as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def figure_label(name: str) -> str:
    """Return a name as matplotlib shows it unchanged."""
    # To matplotlib a pair of dollar signs is a formula, and a leading underscore hides.
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def unprintable_escaped(text: str) -> str:
    """Return JSON that says the same and holds no character that is not printable."""
    return "\n".join(
        _UNPRINTABLE.sub(lambda found: json.dumps(found.group())[1:-1], line)
        for line in text.split("\n")
    )


def number_text(value: float) -> str:
    """Return the shortest text that is read as the same number: no digit is rounded away.

    Examples
    --------
    >>> from rsverify._core.text import number_text
    >>> [number_text(v) for v in (0.25, 2.0, 1e-7, 0.123456789)]
    ['0.25', '2', '1e-07', '0.123456789']
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def complement_text(alpha: float, *, of: int = 1) -> str:
    """Return 1 − `alpha` as it is, not rounded to 1; with ``of=100`` in percent.

    Examples
    --------
    >>> from rsverify._core.text import complement_text
    >>> complement_text(0.001), complement_text(1e-7), complement_text(0.05, of=100)
    ('0.999', '0.9999999', '95')
    """
    rest = EXACT.multiply(Decimal(of), EXACT.subtract(Decimal(1), Decimal(number_text(alpha))))
    text = f"{rest:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has.

    Examples
    --------
    >>> from rsverify._core.text import duration
    >>> [duration(s) for s in (0.2, 59, 61, 3720, 200_000)]
    ['1 s', '59 s', '1 min 1 s', '1 h 2 min', '2 d 7 h']
    """
    whole = max(1, round(seconds))
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def table_lines(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    r"""Return the lines of a table whose first column names the rows.

    No cell is ever cut or broken: where the columns do not fit side by side into `width`, each
    row becomes lines of its own, one for each column.

    Examples
    --------
    >>> from rsverify._core.text import table_lines
    >>> print("\n".join(table_lines(["bound", "limit"], [["exact", "0.49"], ["Cohen", "0.1"]])))
      bound  limit
      ─────  ─────
      exact   0.49
      Cohen    0.1
    >>> print("\n".join(table_lines(["bound", "limit"], [["exact", "0.49"]], width=10)))
      exact
        limit  0.49
    """
    head = [printable(cell) for cell in headings]
    body = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_columns, column)) for column in zip(head, *body, strict=True)]
    if width is not None and sum(widths) + 2 * len(widths) > width:
        return _folded(head, body)
    rule = ["─" * w for w in widths]
    return [_line(cells, widths) for cells in (head, rule, *body)]


def fitted_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    broken: Sequence[str] = (),
) -> list[list[str]]:
    r"""Return a table of that width: the lines of its head, then those of each row.

    Headings, the first column and those in `broken` are broken between words; where that is not
    enough, each row becomes lines of its own, one for each column, below no head.

    Examples
    --------
    >>> from rsverify._core.text import fitted_table
    >>> rows = [["a bound of some length", "0.49"], ["Cohen", "0.1"]]
    >>> parts = fitted_table(["bound", "limit"], rows, 24)
    >>> print("\n".join(line for part in parts for line in part))
      bound            limit
      ───────────────  ─────
      a bound of some   0.49
        length
      Cohen              0.1
    """
    head = [printable(cell) for cell in headings]
    body = [[printable(cell) for cell in row] for row in rows]
    widths = []
    for i, name in enumerate(head):
        cells = [row[i] for row in body]
        parts = [p for cell in cells for p in cell.split()] if name in broken else cells
        widths.append(max(map(_columns, [*name.split(), *parts])))
    left = width - sum(widths[1:]) - 2 * len(widths)
    widths[0] = min(widths[0], left)
    if left < max([LEAST_NAME, *map(_columns, head[0].split())]):
        return [[], *(_folded(head, [row]) for row in body)]
    return [
        [*_stacked(head, widths), _line(["─" * w for w in widths], widths)],
        *(_stacked(row, widths) for row in body),
    ]


LEAST_NAME = 12  # columns into which the names of rows are broken, at least


def _stacked(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row, whose cells are broken between words."""
    parts = [
        textwrap.wrap(cell, w, subsequent_indent="  " if i == 0 else "") or [""]
        for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    deepest = max(map(len, parts))
    padded = [part + [""] * (deepest - len(part)) for part in parts]
    return [_line(line, widths) for line in zip(*padded, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line of a table: the first cell to the left, the others to the right."""
    spaces = [" " * (w - _columns(cell)) for cell, w in zip(cells, widths, strict=True)]
    first = cells[0] + spaces[0]
    rest = (space + cell for cell, space in zip(cells[1:], spaces[1:], strict=True))
    return ("  " + "  ".join([first, *rest])).rstrip()


def _folded(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    label = max(map(_columns, head[1:]), default=0)
    lines = []
    for row in body:
        # A number alone would not say what it is of.
        lines.append(f"  {head[0]} {row[0]}" if _is_number(row[0]) else f"  {row[0]}")
        for heading, cell in zip(head[1:], row[1:], strict=True):
            lines.append(f"    {heading}{' ' * (label - _columns(heading))}  {cell}".rstrip())
    return lines


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
