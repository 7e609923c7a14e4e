"""What all commands print with: results to stdout, everything else to stderr.

Names of files, options and cells of tables may hold anything. What is printed here is shown as it
is, without markup, and what a terminal would obey instead of showing is written as an escape.
"""

from __future__ import annotations

import codecs
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rsverify._core.text import printable, unprintable_escaped

Format = Literal["text", "json"]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="How results are printed.", rich_help_panel="Output"),
]

_GAP = "  "
# What we print, for terminals and files whose encoding lacks it; other characters as escapes.
_PLAIN = {
    "Φ": "Phi",
    "⁻": "^-",
    "¹": "1",
    "σ": "sigma",
    "α": "alpha",
    "ℓ": "l",
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "∞": "inf",
    "±": "+-",
    "×": "x",
    "’": "'",
}


class PlainConsole(Console):
    """A console to which a string is one line of text and nothing else."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string, of a line or a cell of a table, as it is shown."""
        return super().render_str(printable(text), **options)


out_console = PlainConsole()
err_console = PlainConsole(stderr=True)


def allow_any_encoding() -> None:
    """Let the streams write what their encoding lacks in other words, instead of failing."""

    def plain(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        characters = error.object[error.start : error.end]
        escaped = (
            _PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in characters
        )
        return "".join(escaped), error.end

    codecs.register_error("rsverify-plain", plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="rsverify-plain")


def print_lines(text: str) -> None:
    """Print the lines of a result, whatever their length."""
    for line in text.split("\n"):
        out_console.print(line, soft_wrap=True)


def print_note(text: str) -> None:
    """Print what a result means, wrapped at spaces."""
    out_console.print(text, style="dim")


def print_json(content: object) -> None:
    """Print a result as JSON, and nothing else: what is not finite must be None by now."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(unprintable_escaped(text) + "\n")


def print_written(paths: Sequence[object]) -> None:
    """Print the names of the files that were written, one per line."""
    for path in paths:
        out_console.print(f"Written: {path}", soft_wrap=True)


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column names the rows.

    No cell is ever cut or broken: where the columns do not fit side by side, each row becomes
    lines of its own, one for each column.
    """
    head = [printable(cell) for cell in headings]
    body = [[printable(cell) for cell in row] for row in rows]
    out_console.print(title, style="bold")
    out_console.print()
    columns = zip(head, *body, strict=True)
    widths = [max(map(cell_len, column)) for column in columns]
    if sum(widths) + len(_GAP) * len(widths) <= out_console.width:
        _print_side_by_side(head, body, widths)
    else:
        _print_folded(head, body)
    out_console.print()


def _print_side_by_side(head: list[str], body: list[list[str]], widths: list[int]) -> None:
    def line(cells: Sequence[str], fill: str = " ") -> str:
        padded = [fill * (w - cell_len(c)) for c, w in zip(cells, widths, strict=True)]
        first = cells[0] + padded[0]
        rest = (space + cell for cell, space in zip(cells[1:], padded[1:], strict=True))
        return (_GAP + _GAP.join([first, *rest])).rstrip()

    out_console.print(line(head), soft_wrap=True)
    out_console.print(line([""] * len(head), "─"), style="dim", soft_wrap=True)
    for row in body:
        out_console.print(line(row), soft_wrap=True)


def _print_folded(head: list[str], body: list[list[str]]) -> None:
    """Print each row as its name, and below it its cells with what they are."""
    label = max(map(cell_len, head[1:]), default=0)
    for row in body:
        out_console.print(f"{_GAP}{row[0]}", style="bold", soft_wrap=True)
        for heading, cell in zip(head[1:], row[1:], strict=True):
            space = " " * (label - cell_len(heading))
            out_console.print(f"{_GAP * 2}{heading}{space}{_GAP}{cell}", soft_wrap=True)


@contextmanager
def working(title: str) -> Iterator[None]:
    """Show a spinner while the body runs, on a terminal."""
    with err_console.status(title):
        yield


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print each warning once and at once, as one line, not as Python shows them."""
    told: set[str] = set()

    def show(message: Warning | str, *_where: object, **_more: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            print_warning(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def print_warning(message: str) -> None:
    """Print one line to stderr."""
    err_console.print("warning:", style="yellow", end=" ")
    err_console.print(message, soft_wrap=True)
