"""The commands ``rsverify bounds`` and ``rsverify estimands``: what there is to audit."""

from __future__ import annotations

from typing import Annotated

import typer

from rsverify._core.check import check_choice
from rsverify._core.text import table_lines
from rsverify.cli.console import FormatOption, out_console, print_json, print_lines


def bounds(
    estimand: Annotated[
        str | None,
        typer.Option(help="Only bounds of this estimand, of those that are printed."),
    ] = None,
    format: FormatOption = "text",
) -> None:
    """List the bounds of this package that audit and compare take by name."""
    from rsverify.auditing.catalog import bound_lines

    found = bound_lines()
    if estimand is not None:
        known = list(dict.fromkeys(e for line in found for e in line.estimands))
        check_choice("estimand", estimand, known)
        found = [line for line in found if estimand in line.estimands]
    if format == "json":
        print_json([line._asdict() for line in found])
        return
    groups: dict[str, list[list[str]]] = {}
    for line in found:
        rows = groups.setdefault(" or ".join(line.estimands), [])
        rows.append([line.name, line.side, line.data, "yes" if line.time_uniform else ""])
    for title, rows in groups.items():
        out_console.print(f"--estimand {title}", style="bold")
        heads = ["bound", "side", "data", "time-uniform"]
        print_lines("\n".join(table_lines(heads, rows, out_console.width)))
        out_console.print()
    print_lines("Your own: FILE.py:FUNCTION; rsverify new-bound FILE.py writes one to start from.")


def estimands(format: FormatOption = "text") -> None:
    """List what a bound can be audited for: the data it gets, the truth, and how."""
    from rsverify.auditing.catalog import estimand_lines

    found = estimand_lines()
    if format == "json":
        print_json([line._asdict() for line in found])
        return
    for line in found:
        out_console.print(line.name, style="bold")
        for label, text in (("data", line.data), ("truth", line.truth), ("audited", line.audited)):
            print_lines(f"  {label:<7}  {text}", hanging=11)
    print_lines(
        "\nR is the number of replications, n the sample size. Your own: rsverify.Estimand."
    )
