"""The command ``rsverify compare``: several bounds on the same data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args

import typer

from rsverify._core.check import check_choice
from rsverify._core.files import check_free
from rsverify._core.load_function import portable_function
from rsverify._core.progress import InputProgress
from rsverify._core.types import AuditEstimandName, Side
from rsverify.cli.console import (
    FormatOption,
    out_console,
    print_json,
    print_lines,
    print_written,
    working,
)

_OUTPUT, _METHOD = "Output", "Method"


def compare(
    bounds: Annotated[
        list[str],
        typer.Argument(
            metavar="BOUND",
            help="Names of bounds of this package, or FILE.py:FUNCTION; the first is what the "
            "others are compared with.",
            show_default=False,
        ),
    ],
    n: Annotated[int, typer.Option(help="Sample size per replication.")],
    estimand: Annotated[
        str, typer.Option(help="What is bounded: see rsverify estimands.")
    ] = "mean",
    alpha: Annotated[float, typer.Option(help="Failure probability that the bounds claim.")] = 0.05,
    side: Annotated[
        Side | None,
        typer.Option(help="Side of the functions.", show_default="that of named bounds, or lower"),
    ] = None,
    replications: Annotated[
        int,
        typer.Option(
            help="Per distribution, where data are simulated; few outcomes of counts are summed.",
            rich_help_panel=_METHOD,
        ),
    ] = 2000,
    limit: Annotated[
        bool,
        typer.Option(
            "--limit/--no-limit",
            help="Compute the least gap of any valid bound, where it is known.",
            rich_help_panel=_METHOD,
        ),
    ] = True,
    timing: Annotated[
        bool,
        typer.Option("--time/--no-time", help="Measure the bounds' time.", rich_help_panel=_METHOD),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of random numbers.", rich_help_panel=_METHOD)] = 0,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the comparison here: .html, .json, .csv or a figure. Repeatable.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace files that are there.", rich_help_panel=_OUTPUT),
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Compare BOUNDS: coverage, mean gap on the same data, the limit of any bound, speed."""
    with working("loading"):
        from rsverify._core.figure import check_figure
        from rsverify.auditing.comparing.api import compare_bounds
        from rsverify.auditing.comparing.result import check_ending
        from rsverify.auditing.comparing.text import as_text
        from rsverify.auditing.design import FIGURES
        from rsverify.auditing.estimand import renamed

    estimands: tuple[AuditEstimandName, ...] = get_args(AuditEstimandName)
    asked = check_choice("estimand", renamed(estimand), estimands)
    for path in out or []:
        if check_ending(path) in FIGURES:
            check_figure(path, force=force)
        check_free(path, force=force)
    for bound in bounds:
        if bound.endswith(".py"):
            raise ValueError(f"bound={bound!r} must say which function of it: {bound}:FUNCTION")
    bar = InputProgress("comparing", 0, unit="distributions", early=True)
    with bar:
        found = compare_bounds(
            [portable_function(bound) if ":" in bound else bound for bound in bounds],
            asked,
            n,
            alpha,
            side=side,
            replications=replications,
            limit=limit,
            timing=timing,
            seed=seed,
            progress=bar.reach,
        )
    for path in out or []:
        found.write(path, force=force)
    if format == "json":
        print_json(json.loads(found.to_json()))
    else:
        print_lines(as_text(found, out_console.width))
        print_written(out or [])
