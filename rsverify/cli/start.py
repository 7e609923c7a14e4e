"""Where the program starts: the command line is an extra, and this says so where it is missing."""

from __future__ import annotations

import sys

from rsverify._core.optional import missing


def main() -> None:
    """Run the command line, or say how to install what it needs."""
    try:
        from rsverify.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        print(f"rsverify: {missing('typer')}", file=sys.stderr)
        sys.exit(69)
    run()
