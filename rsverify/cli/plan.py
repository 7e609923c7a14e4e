"""The command ``rsverify plan``: how many votes, what they will certify, and how long it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, cast

import typer

from rsverify._core.files import check_free
from rsverify._core.types import RadiusName
from rsverify.cli.certify import certify
from rsverify.cli.console import Format, print_written, working
from rsverify.cli.options import (
    DimensionOption,
    Given,
    NoiseOption,
    NormOption,
    noise_and_norm,
    with_options_of,
)
from rsverify.cli.planned import print_plan

# Of certify's options those that a plan has no use for.
_NOT_PLANNED = (
    "model", "data", "out", "into", "resume", "force", "record_time", "format", "dry_run", "share",
    "bound", "ordering", "scores", "temperature", "workers",
)  # fmt: skip


@with_options_of(certify, without=_NOT_PLANNED)
def plan(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|VOTES",
            help="A model as for certify, with DATA; or a pilot's votes: a table of certificates "
            "or vote counts (.tsv, .csv, .parquet, .npy).",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Inputs, as for certify.", show_default=False),
    ] = None,
    probabilities: Annotated[
        str | None,
        typer.Option(
            help="Instead of votes: assumed probabilities of the classes, as 0.8,0.15,0.05."
        ),
    ] = None,
    probability: Annotated[
        float, typer.Option(help="With which probability a radius is to be certified.")
    ] = 0.9,
    inputs: Annotated[
        int | None, typer.Option(help="Inputs of the run.", show_default="those given")
    ] = None,
    passes_per_second: Annotated[
        float | None,
        typer.Option(help="Speed of the model, where it is not measured.", show_default="unknown"),
    ] = None,
    noise: NoiseOption = None,
    norm: NormOption = None,
    dimension: DimensionOption = None,
    *,
    certifying: Given,
    pilot_seconds: Annotated[
        float, typer.Option(help="About how long votes of MODEL are drawn.")
    ] = 5.0,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the plan as JSON.", rich_help_panel="Output"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw it (.png, .pdf, .svg).", rich_help_panel="Output"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files.", rich_help_panel="Output")
    ] = False,
    format: Annotated[
        Format, typer.Option("--format", help="How the plan is printed.", rich_help_panel="Output")
    ] = "text",
) -> None:
    """Print how many votes certify a radius, what share a run will certify, and how long it takes.

    From a MODEL and DATA, of which votes are drawn for a few seconds; from the votes of a pilot; or
    from assumed --probabilities. Nothing is certified, and no table is written.
    """
    from rsverify._core.figure import check_figure
    from rsverify.tables.plan import Plan

    if json is not None:
        check_free(json, force=force)
    if figure is not None:
        check_figure(figure, force=force)
    if data is not None:
        _none_with_model(
            probabilities=probabilities, inputs=inputs, passes_per_second=passes_per_second,
            noise=noise, norm=norm, dimension=dimension,
        )  # fmt: skip
        found: list[Plan] = []
        made = cast(Callable[..., None], certify)
        made(
            **_complete(certifying),
            model=source,
            data=data,
            dry_run=True,
            probability=probability,
            pilot_seconds=pilot_seconds,
            planned=found,
        )
        (result,) = found
    else:
        with working("planning"):
            result = _from_votes(
                source, probabilities, certifying, noise, norm, dimension,
                inputs=inputs, probability=probability, passes_per_second=passes_per_second,
            )  # fmt: skip
    if json is not None:
        result.to_json(json, force=force)
    if figure is not None:
        result.plot(figure, force=force)
    print_plan(result, format)
    print_written([path for path in (json, figure) if path is not None])
