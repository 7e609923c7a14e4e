"""What all commands print with: results to stdout, everything else to stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

out_console = Console()
err_console = Console(stderr=True)


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
    for warning in caught:
        print_warning(str(warning.message))


def print_warning(message: str) -> None:
    """Print one line to stderr."""
    err_console.print("warning:", style="yellow", end=" ")
    err_console.print(message, markup=False, highlight=False, soft_wrap=True)
