"""The command ``rsverify certify-counts``: vote counts from a file to a table of certificates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from rsverify._core.types import RadiusName, VoteBoundName
from rsverify.cli.console import FormatOption, print_json, print_written, working
from rsverify.cli.options import (
    DimensionOption,
    NoiseOption,
    NormOption,
    OutOption,
    noise_and_norm,
    one_out,
)
from rsverify.cli.recertify import limits_kept
from rsverify.cli.summary import (
    abstentions_content,
    print_abstentions,
    print_summary,
    summary_content,
)

if TYPE_CHECKING:
    import pandas as pd

_CLASS, _RUNNER_UP, _FILE = "Class to certify: one of these", "Its runner-up", "File"


def certify_counts(
    counts: Annotated[
        Path,
        typer.Argument(
            metavar="COUNTS", help="Vote counts (.csv, .tsv, .parquet, .npy), one row per input."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            help="Table to write, or by -o; its JSON goes beside it.",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of Gaussian noise, input units; or give --noise."),
    ] = None,
    noise: NoiseOption = None,
    norm: NormOption = None,
    dimension: DimensionOption = None,
    alpha: Annotated[
        float, typer.Option(help="Total failure probability of one certificate.")
    ] = 0.001,
    bound: Annotated[VoteBoundName, typer.Option(help="Bound of the margin.")] = "exact",
    radius: Annotated[RadiusName, typer.Option(help="Which radius.")] = "R2",
    lipschitz: Annotated[
        float | None,
        typer.Option(help="For R1: a Lipschitz constant of the vote probabilities."),
    ] = None,
    ordering: Annotated[
        str | None,
        typer.Option(
            help="Ordering of the exact bound: likelihood-ratio, nested, inductive, "
            "difference, bonferroni or taylor:ORDER.",
            show_default="likelihood-ratio",
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y",
            help="The class of every row, or the column that holds it; fixed without these counts.",
            rich_help_panel=_CLASS,
        ),
    ] = None,
    certify_label: Annotated[
        bool,
        typer.Option("--certify-label", help="The true class.", rich_help_panel=_CLASS),
    ] = False,
    winner: Annotated[
        bool,
        typer.Option(
            "--winner",
            help="The class with the most of these votes; all classes then share ALPHA.",
            rich_help_panel=_CLASS,
        ),
    ] = False,
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            metavar="CLASS",
            help="A class that is no runner-up, as unknown may be; from 0. Repeatable.",
            rich_help_panel=_RUNNER_UP,
        ),
    ] = None,
    top_k: Annotated[
        int,
        typer.Option(
            help="Certify that the class stays among so many most probable ones; above 1 needs "
            "columns selected_0, selected_1, ….",
            rich_help_panel=_RUNNER_UP,
        ),
    ] = 1,
    label: Annotated[
        str | None,
        typer.Option(
            help="Column of the true class; in a file without a header its place from 0, and -1 is "
            "the last one.",
            show_default="label",
            rich_help_panel=_FILE,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of counts in the order of the classes: cat,dog,… or votes_*; places 2-11 "
            "without a header.",
            show_default="numbered ones",
            rich_help_panel=_FILE,
        ),
    ] = None,
    into: OutOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace OUT and its JSON.", rich_help_panel="Output"),
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Certify the vote COUNTS of a file, one row per input, and write a table to OUT.

    Columns of counts are named c0, c1, … or the like; without a header all columns of numbers are
    counts but that of --label. Other columns are kept. Columns selected_0, selected_1, … are votes
    of a separate sample: their winner is the class to certify where no option says another.
    """
    from rsverify.bounds.margin import find_ordering
    from rsverify.tables.certify import certify_table
    from rsverify.tables.counts import read_counts
    from rsverify.tables.metadata import check_table_free

    out = one_out(out, into)
    if out is not None:
        check_table_free(out, force=force)
    if sigma is None and noise is None:
        raise ValueError("--sigma or --noise must be given: counts do not say their noise")
    drawn, measured = noise_and_norm(noise, norm)
    if certify_label and y is not None:
        raise ValueError("--y and --certify-label are both given: only one may say the class")
    place = _number(label)
    with limits_kept(out) as store:
        with working("reading"):
            named = None if columns is None else [name.strip() for name in columns.split(",")]
            votes = read_counts(counts, label=place, columns=named)
        truth = "label" if label is None or place is not None else label
        number = _number(y)
        given: int | str | None = y if number is None or y in votes else number
        table = certify_table(
            votes,
            sigma=sigma,
            noise=drawn,
            norm=measured,
            dimension=dimension,
            alpha=alpha,
            y=truth if certify_label else given,
            winner=winner,
            label=None if truth == "label" else truth,
            ignore=ignore or (),
            top_k=top_k,
            bound=bound,
            radius=radius,
            lipschitz=lipschitz,
            ordering=None if ordering is None else find_ordering(ordering),
            store=store,
            progress=True,
        )
        asked: dict[str, object] = {
            "y": y,
            "certify_label": certify_label,
            "winner": winner,
            "label": label,
        }
        asked |= {"columns": columns, "sigma": sigma, "alpha": alpha, "bound": bound}
        asked |= {"noise": noise, "norm": norm, "dimension": dimension}
        asked |= {"ignore": ignore or [], "top_k": top_k}
        asked |= {"radius": radius, "lipschitz": lipschitz, "ordering": ordering}
        written = [] if out is None else _write(table, counts, out, asked, force)
    _print(table, bound, written, as_json=format == "json")


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _write(
    table: pd.DataFrame, counts: Path, out: Path, asked: dict[str, object], force: bool
) -> list[str]:
    from rsverify.tables.metadata import metadata_path
    from rsverify.tables.reader import write_table

    configuration = {"command": "certify-counts", "counts": str(counts), **asked}
    write_table(table, out, configuration=configuration, force=force)
    return [str(out), str(metadata_path(out))]


def _print(table: pd.DataFrame, bound: str, written: list[str], *, as_json: bool) -> None:
    title = "Certified accuracy of {} inputs within a radius"
    shown = table
    if (table["label"] == -1).all():
        # Nothing is known to be right: what is certified is counted.
        shown = table.assign(correct=(table["predict"] != -1).astype(np.int64))
        title = "Fraction of {} inputs certified within a radius, right or wrong: no labels"
    if as_json:
        content = {**summary_content({bound: shown}), "abstentions": abstentions_content(table)}
        print_json({**content, "has_labels": shown is table, "written": written})
        return
    print_summary({bound: shown}, title=title)
    print_abstentions(table)
    print_written(written)
