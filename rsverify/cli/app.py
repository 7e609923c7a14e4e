"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from rsverify._core.files import Interrupted
from rsverify.cli.analyze import analyze
from rsverify.cli.audit import audit, audit_paper
from rsverify.cli.bound import bound
from rsverify.cli.catalog import bounds, estimands
from rsverify.cli.certify import certify
from rsverify.cli.certify_counts import certify_counts
from rsverify.cli.compare import compare
from rsverify.cli.console import (
    allow_any_encoding,
    err_console,
    results_apart,
    warnings_as_lines,
)
from rsverify.cli.demo import demo
from rsverify.cli.errors import (
    EXIT_INTERRUPTED,
    EXIT_PIPE,
    StoppedError,
    end_of,
    print_trace,
    reader_has_left,
)
from rsverify.cli.help import HelpfulCommand, HelpfulGroup, Parsed
from rsverify.cli.info import info
from rsverify.cli.merge import merge
from rsverify.cli.new_bound import new_bound
from rsverify.cli.plan import plan
from rsverify.cli.recertify import recertify
from rsverify.cli.verify import verify

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Start": {"demo": demo, "info": info},
    "Certify": {
        "plan": plan,
        "certify": certify,
        "certify-counts": certify_counts,
        "merge": merge,
        "recertify": recertify,
        "bound": bound,
    },
    "Read results": {"analyze": analyze, "verify": verify},
    "Check a bound": {
        "audit": audit,
        "compare": compare,
        "bounds": bounds,
        "estimands": estimands,
        "new-bound": new_bound,
        "audit-paper": audit_paper,
    },
}
"""Heading in the help -> name -> command."""

NOTHING_KEPT = "interrupted: no file is left half-written; run the same command again"


class _ExitError(Exception):
    """Code that a command ran asked Python to exit."""


class _Commands(HelpfulGroup):
    """The commands; what ends one gets through with its message, which typer would not tell."""

    def invoke(self, ctx: Parsed) -> Parsed:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            said = str(error) if isinstance(error, Interrupted) else NOTHING_KEPT
            raise StoppedError(said) from error
        except (EOFError, SystemExit) as error:  # of code of the user, or of a damaged file
            raise _ExitError from error


class _Command(HelpfulCommand):
    """A command; what the parser prints is not its own, and goes where it belongs."""

    def invoke(self, ctx: Parsed) -> Parsed:
        """Run the command."""
        with results_apart(), warnings_as_lines():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    name="rsverify",
    help="Exact confidence bounds and certified radii for randomized smoothing.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from rsverify import __version__

        print(f"rsverify {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error came from.")
    ] = False,
) -> None:
    pass


for _heading, _commands in COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=_Command, rich_help_panel=_heading)(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; an error is one line and a code of 64 or above."""
    given = sys.argv[1:] if arguments is None else arguments
    allow_any_encoding()
    try:
        status = app(given, prog_name="rsverify", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk can still be told
    except (StoppedError, KeyboardInterrupt, typer.Abort) as error:
        _fail(str(error) or NOTHING_KEPT, EXIT_INTERRUPTED)
    except Exception as error:
        if reader_has_left(error):
            _drop_stdout()
            sys.exit(EXIT_PIPE)
        cause = error.__cause__ if isinstance(error, _ExitError) else None
        if "--traceback" in given:
            print_trace(cause or error)
        if isinstance(error, OSError):
            _drop_stdout()
        end = end_of(cause or error)
        if not end.message:
            print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        _fail(*end)
    sys.exit(status if isinstance(status, int) else 0)


def _drop_stdout() -> None:
    """Let what standard output still holds go, where it could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    if message:  # empty where the help is printed instead
        err_console.print("error:", style="red", end=" ")
        err_console.print(message, soft_wrap=True)
    sys.exit(code)
