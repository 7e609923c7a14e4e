"""The command ``rsverify merge``: tables of shares of one run -> one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsverify.cli.console import FormatOption, print_json, print_lines, print_written


def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="PARTS", help="Tables of shares of one run.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write, or to add to.")],
    format: FormatOption = "text",
) -> None:
    """Make one table of PARTS, which certify --share has written.

    They must be of one configuration: model, noise, inputs, options, seed and device. The rows go
    in the order of the inputs; a row that is there already is dropped if it says the same. The
    parts stay. certify goes on with the merged table, without --share, if inputs are missing.
    """
    from rsverify.tables.lines import complete_lines
    from rsverify.tables.merge import merge_tables
    from rsverify.tables.metadata import metadata_path, resumable_metadata

    for i, part in enumerate(parts):
        if part.resolve() in {other.resolve() for other in parts[:i]}:
            raise ValueError(f"parts={str(part)!r} must be given once: it is there twice")
        if not part.is_file():
            raise FileNotFoundError(2, "no such table", str(part))
        if part.resolve() == out.resolve():
            raise ValueError(f"out={str(out)!r} is one of the parts: name another table")
    merge_tables(parts, out)
    rows = len(complete_lines(out).rows)
    begun = resumable_metadata(out).get("configuration", {})
    inputs, skip = begun.get("inputs"), begun.get("skip", 1)
    written = [str(out), str(metadata_path(out))]
    if format == "json":
        found = {"parts": len(parts), "rows": rows, "inputs": inputs, "skip": skip}
        print_json({**found, "written": written})
        return
    of = "" if inputs is None else f" of {len(range(0, inputs, skip))} inputs"
    print_lines(f"{len(parts)} tables merged: rows of {rows}{of or ' inputs'}")
    print_written(written)
