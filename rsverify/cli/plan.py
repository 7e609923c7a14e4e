"""The command ``rsverify plan``: how many votes, what they will certify, and how long it takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rsverify._core.files import check_free
from rsverify._core.types import Json
from rsverify.certificates.options import request_options
from rsverify.cli.certify import Planning, certify
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
from rsverify.cli.summary import read_rows

if TYPE_CHECKING:
    import pandas as pd

    from rsverify.tables.plan import Plan

# Of certify's options those that a plan has no use for.
_NOT_PLANNED = (
    "model", "data", "out", "into", "resume", "force", "record_time", "format", "dry_run", "share",
    "bound", "ordering", "scores", "temperature", "workers", "accuracy_within",
    "accuracy_radius", "accuracy_alpha",
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

    if json is not None:
        check_free(json, force=force)
    if figure is not None:
        check_figure(figure, force=force, option="figure")
    options = dict(certifying)
    own = {"probabilities": probabilities, "inputs": inputs, "passes_per_second": passes_per_second}
    if data is None:
        with working("planning"):
            votes = {"source": source, **own, "noise": noise, "norm": norm, "dimension": dimension}
            plans = [_from_votes(votes, options, probability)]
    else:
        own |= {"dimension": dimension}
        options |= {"noise": noise, "norm": norm}
        plans = _from_model(source, data, options, own, probability, pilot_seconds)
    for made in plans:
        if json is not None:
            made.to_json(json, force=force)
        if figure is not None:
            made.plot(figure, force=force)
        print_plan(made, format)
    if format == "text":
        print_written([path for path in (json, figure) if path is not None])


def _from_model(
    model: str | None,
    data: str,
    options: dict[str, object],
    unused: Mapping[str, object],
    probability: float,
    seconds: float,
) -> list[Plan]:
    """Return the plan of what certify would do with a model and data."""
    for name, value in unused.items():
        if value is not None:
            raise ValueError(f"{name}={value} must be left out with a model and data")
    sigmas = cast(Sequence[float] | None, options["sigma"])
    if sigmas is not None and len(sigmas) > 1:
        raise ValueError(f"sigma={list(sigmas)} must be one value: a plan is of one run")
    request = {
        name: options.pop(name, option.default) for name, option in request_options().items()
    }
    plans: list[Plan] = []
    inner = cast(Callable[..., None], inspect.unwrap(certify))
    inner(
        model=model,
        data=data,
        request=request,
        planning=Planning(plans.append, probability, seconds),
        **options,
    )
    return plans


def _from_votes(
    votes: Mapping[str, object], options: Mapping[str, object], probability: float
) -> Plan:
    """Return the plan from a pilot's votes, or from assumed probabilities."""
    from rsverify.tables.planning import plan_samples

    given: Json = dict(options)
    source, text = votes["source"], votes["probabilities"]
    if (source is None) == (text is None):
        given_both = "only one of them" if source is not None else "one of them"
        raise ValueError(
            "a model with DATA, the file of a pilot's votes, or --probabilities must be given: "
            f"{given_both}"
        )
    if given["target_radius"] is None:
        raise ValueError("target_radius must be given: the radius that is to be certified")
    for name in ("precision", "relative_precision"):
        if given[name] is not None:
            raise ValueError(f"{name}={given[name]} must be left out without a model and data")
    sigmas = given["sigma"] or [None]
    if len(sigmas) > 1:
        raise ValueError(f"sigma={list(sigmas)} must be one value: a plan is of one run")
    named: Json = dict(votes)
    noise, norm = noise_and_norm(named["noise"], named["norm"])
    lipschitz = given["lipschitz"]
    return plan_samples(
        probabilities=None if text is None else _numbers(str(text)),
        pilot=None if source is None else _votes_of(Path(str(source))),
        target_radius=given["target_radius"],
        alpha=given["alpha"],
        sigma=sigmas[0],
        noise=noise,
        norm=norm,
        dimension=named["dimension"],
        radius=given["radius"],
        lipschitz=None if lipschitz is None else float(lipschitz),
        n=given["n"],
        n0=0 if given["certify_label"] else given["n0"],
        inputs=named["inputs"],
        probability=probability,
        futility=given["futility"],
        passes_per_second=named["passes_per_second"],
        seed=given["seed"],
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"probabilities={text!r} must be numbers separated by commas") from None


def _votes_of(path: Path) -> pd.DataFrame:
    """Return the rows of a table of certificates, or of a file of counts."""
    from rsverify.tables.count_columns import find_counts
    from rsverify.tables.counts import read_counts

    if ":" in str(path) and not path.exists():
        raise ValueError(f"data must be given: {path} is a model, whose votes are drawn on DATA")

    if path.suffix in {".tsv", ".csv", ".txt"} and path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            if {"idx", "predict", "radius"} <= set(re.split("[\t,;]", file.readline().strip())):
                rows = read_rows(path)
                find_counts([*rows.columns], str(path))
                return rows
    return read_counts(path)
