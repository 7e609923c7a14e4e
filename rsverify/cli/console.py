"""What all commands print with: results to stdout, everything else to stderr.

Names of files, options and cells of tables may hold anything. What is printed here is shown as it
is, without markup, and what a terminal would obey instead of showing is written as an escape.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rsverify._core.text import printable


class PlainConsole(Console):
    """A console to which a string is one line of text and nothing else."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string, of a line or a cell of a table, as it is shown."""
        return super().render_str(printable(text), **options)


out_console = PlainConsole()
err_console = PlainConsole(stderr=True)


def print_lines(text: str) -> None:
    """Print the lines of a result, whatever their length."""
    for line in text.split("\n"):
        out_console.print(line, soft_wrap=True)


def plain_table(title: str) -> Table:
    """Return a table without rows and columns, in the style of all commands."""
    return Table(title=title, box=SIMPLE, title_style="bold", title_justify="left")


@contextmanager
def working(title: str) -> Iterator[None]:
    """Show a spinner while the body runs, on a terminal."""
    with err_console.status(title):
        yield


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print the package's own warnings as one line each, not as Python shows them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print_warning(message)


def print_warning(message: str) -> None:
    """Print one line to stderr."""
    err_console.print("warning:", style="yellow", end=" ")
    err_console.print(message, soft_wrap=True)
