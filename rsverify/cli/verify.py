"""The command ``rsverify verify``: the radii of a table proved again from its votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsverify._core.files import Interrupted
from rsverify._core.optional import need
from rsverify._core.progress import InputProgress
from rsverify.cli.console import FormatOption, print_json, print_lines, print_note

if TYPE_CHECKING:
    from rsverify.verification.table import TableVerification

EXIT_CODES = {"proved": 0, "refuted": 1, "not proved": 2}
SHOWN = 20


def verify(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Table with vote counts.")],
    sample: Annotated[
        int | None, typer.Option(help="Rows to check, drawn at random.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    budget: Annotated[
        int, typer.Option(help="Probabilities that may be summed for one row.")
    ] = 20_000,
    same_version: Annotated[
        bool | None,
        typer.Option(
            "--same-version/--other-version",
            help="Whether this version of rsverify computed the rows: then a margin below what "
            "its bound gives is refuted as changed.",
            show_default="as the JSON beside TABLE says",
        ),
    ] = None,
    format: FormatOption = "text",
) -> None:
    """Prove the radii of TABLE again, by code that shares nothing with what computed them.

    From each radius back to the margin that it needs, in ball arithmetic. Exit 0: every row looked
    at is proved; 1: some row is refuted; 2: some row could not be decided.
    """
    need("flint")
    from rsverify.verification.table import verify_table

    with InputProgress("verifying", 0, unit="rows") as bar:
        try:
            found = verify_table(
                table,
                sample=sample,
                seed=seed,
                budget=budget,
                same_version=same_version,
                progress=bar.reach,
            )
        except KeyboardInterrupt:
            raise Interrupted("interrupted: no verdict; --sample ROWS checks fewer") from None
    if format == "json":
        print_json({"table": str(table), "sample": sample, "seed": seed, **found.to_dict()})
    else:
        _print(table, found)
    raise typer.Exit(EXIT_CODES[found.verdict])


def _print(table: Path, found: TableVerification) -> None:
    from rsverify.verification.checker import ASSUMPTIONS

    counts = ", ".join(f"{number} {name}" for name, number in found.counts.items())
    of = "" if len(found.rows) == found.size else f", a sample of {found.size}"
    print_lines(f"{table}: {found.verdict}; of {len(found.rows)} rows{of}: {counts}")
    for name in ("refuted", "not proved"):
        wrong = [(idx, row) for idx, row in found.rows.items() if row.verdict == name]
        for idx, row in wrong[:SHOWN]:
            print_lines(f"idx {idx}: {row}")
        if len(wrong) > SHOWN:
            print_lines(f"and {len(wrong) - SHOWN} more {name}; --format json names them all")
    below = [idx for idx, row in found.rows.items() if row.below_bound]
    if below:
        rows = "row states less than its" if len(below) == 1 else "rows state less than their"
        print_lines(
            f"{len(below)} proved {rows} bound gives, the first is idx {below[0]}: another version "
            "computed it, or a number was changed"
        )
    print_note("What a proof rests on: " + "; ".join(ASSUMPTIONS) + ".")
