"""What all commands print with: results to stdout, everything else to stderr.

Names of files, options and cells of tables may hold anything. What is printed here is shown as it
is, without markup, and what a terminal would obey instead of showing is written as an escape.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import IO, Annotated, Any, ClassVar, Literal

import typer
from rich.console import Console
from rich.text import Text

from rsverify._core.progress import is_live
from rsverify._core.text import printable, table_lines, unprintable_escaped

Format = Literal["text", "json"]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="How results are printed.", rich_help_panel="Output"),
]

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

    results: ClassVar[IO[str] | None] = None
    """Where results go while `results_apart` keeps what else is printed from there."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        # Otherwise COLUMNS and LINES as they were on import would hold for good.
        self._width = self._height = None

    @property
    def file(self) -> IO[str]:
        """Where this console prints."""
        if not self.stderr and PlainConsole.results is not None:
            return PlainConsole.results
        return super().file

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string, of a line or a cell of a table, as it is shown."""
        return super().render_str(printable(text), **options)


out_console = PlainConsole()
err_console = PlainConsole(stderr=True)


@contextmanager
def results_apart() -> Iterator[None]:
    """Send what a model or a bound of the user prints to stderr: stdout has results only."""
    before = PlainConsole.results
    PlainConsole.results = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        PlainConsole.results = before


def write_result(text: str) -> None:
    """Write text to the standard output as it is."""
    out_console.file.write(text)


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


def print_lines(text: str, style: str | None = None, *, hanging: int = 0) -> None:
    """Print the lines of a result, broken between words where they are wider than the screen.

    What is broken goes on below its own beginning, `hanging` columns further right. Into a pipe or
    a file each goes as one line, unless COLUMNS says how wide it is.
    """
    known = out_console.is_terminal or "COLUMNS" in os.environ
    for line in text.split("\n"):
        parts = _broken(printable(line), out_console.width, hanging) if known else [line]
        for part in parts:
            out_console.print(part, style=style, soft_wrap=True)


def _broken(line: str, width: int, hanging: int) -> list[str]:
    """Return the parts of a line; no word is broken."""
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + hanging)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def print_note(text: str) -> None:
    """Print what a result means."""
    print_lines(text, style="dim")


def print_json(content: object) -> None:
    """Print a result as JSON, and nothing else: what is not finite must be None by now."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_result(unprintable_escaped(text) + "\n")


def print_written(paths: Sequence[object]) -> None:
    """Print the names of the files that were written, one per line."""
    for path in paths:
        out_console.print(f"Written: {path}", soft_wrap=True)


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, folded where it is wider than the screen; no cell is ever cut."""
    print_lines(title, style="bold")
    out_console.print()
    for line in table_lines(headings, rows, out_console.width):
        out_console.print(line, soft_wrap=True)
    out_console.print()


@contextmanager
def working(title: str) -> Iterator[None]:
    """Show a spinner while the body runs, on a terminal."""
    with err_console.status(title) if is_live(err_console) else nullcontext():
        yield


@contextmanager
def starting(title: str) -> Iterator[None]:
    """Say at once, on a terminal or not, what a command that takes long begins with."""
    if not is_live(err_console):
        err_console.print(title, soft_wrap=True)
    with working(title):
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
