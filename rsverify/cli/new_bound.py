"""The command ``rsverify new-bound``: a bound to start from, with its test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsverify._core.types import Side, SkeletonEstimandName
from rsverify.cli.console import FormatOption, print_json, print_lines, print_written


def new_bound(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Where to write the bound, such as my_bound.py.",
            show_default=False,
        ),
    ],
    estimand: Annotated[SkeletonEstimandName, typer.Option(help="What is bounded.")] = "mean",
    side: Annotated[Side, typer.Option(help="Side of the bound.")] = "lower",
    format: FormatOption = "text",
) -> None:
    """Write a bound to start from, and its pytest beside it; never over a file that is there."""
    from rsverify.auditing.skeleton import write_skeleton

    bound, test = write_skeleton(file, estimand=estimand, side=side)
    if format == "json":
        print_json({"bound": str(bound), "test": str(test)})
        return
    print_written([bound, test])
    print_lines(
        f"Next: pytest {test}\n"
        f"      rsverify audit {bound}:{bound.stem} --estimand {estimand} --side {side} --n 40"
    )
