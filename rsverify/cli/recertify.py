"""The command ``rsverify recertify``: a table at another level, bound or norm, not sampled."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsverify._core.files import Interrupted, remove_file
from rsverify._core.types import OrderingName, VoteBoundName
from rsverify.cli.console import FormatOption, print_json, print_written, working
from rsverify.cli.options import OutOption, noise_and_norm, one_out
from rsverify.cli.summary import (
    abstentions_content,
    print_abstentions,
    print_summary,
    read_rows,
    summary_content,
)

if TYPE_CHECKING:
    import pandas as pd

    from rsverify.bounds.margin import Taylor
    from rsverify.noise import Norm
    from rsverify.tables.recertify_radii import InconsistentRadiiError

_RADII_ONLY = "For a table of radii only"


def recertify(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="Table with vote counts, or with radii only.")
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Table to write; or give it by -o.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="New level.", show_default="the table's")
    ] = None,
    bound: Annotated[
        VoteBoundName | None, typer.Option(help="New bound.", show_default="the table's")
    ] = None,
    ordering: Annotated[
        str | None,
        typer.Option(
            help="Ordering of the exact bound: likelihood-ratio, nested, inductive, "
            "difference, bonferroni or taylor:ORDER.",
            show_default="likelihood-ratio",
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            help="Another norm of attacks, which the table's noise has radii in: l0, l1, l2, "
            "linf, lp:POWER, mahalanobis or edit.",
            show_default="the table's",
        ),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(
            help="How many numbers each input has, for norms that need it, as linf does.",
            show_default="that of the table's JSON",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option(help="Votes behind each radius.", rich_help_panel=_RADII_ONLY)
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the noise.", rich_help_panel=_RADII_ONLY),
    ] = None,
    stated_alpha: Annotated[
        float | None,
        typer.Option(help="Level that they were computed at.", rich_help_panel=_RADII_ONLY),
    ] = None,
    digits: Annotated[
        int | None,
        typer.Option(
            help="Significant digits that are printed.",
            show_default="those seen",
            rich_help_panel=_RADII_ONLY,
        ),
    ] = None,
    into: OutOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace OUT and its JSON; radii only: go on where they do not fit "
            "--stated-alpha.",
            rich_help_panel="Output",
        ),
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Certify TABLE again at another level, bound or norm, without sampling.

    A table of radii only (idx, label, predict, radius, correct, time) needs --n, --sigma and
    --stated-alpha, from which the votes behind each radius are recovered. Radii that cannot have
    come from --stated-alpha are an error, which names the level that they fit.
    """
    from rsverify.tables.metadata import check_table_free
    from rsverify.tables.reader import count_columns, read_metadata

    out = one_out(out, into)
    if out is not None:
        check_table_free(out, force=force)
    published = {"n": n, "sigma": sigma, "stated_alpha": stated_alpha, "digits": digits}
    with limits_kept(out) as store:
        with working("reading"):
            old = read_rows(table)
            made = read_metadata(table).get("configuration")  # damaged, it is told before the work
        if count_columns(old):
            if norm is not None or dimension is not None:
                dimension = _dimension(made, dimension)
            attack = noise_and_norm(None, norm)[1], dimension
            new = _from_counts(old, table, alpha, bound, ordering, published, store, attack)
        elif norm is not None or dimension is not None:
            raise ValueError(
                f"norm={norm!r} and dimension={dimension} must be left out: {table} has radii only"
            )
        else:
            with working("certifying again"):
                new = _from_radii(old, table, out, alpha, bound, force, published)
        written: list[str] = []
        if out is not None:
            asked: dict[str, object] = {
                "alpha": alpha,
                "bound": bound,
                "ordering": ordering,
                "norm": norm,
                "dimension": dimension,
                **published,
                "before": made,
            }
            written = _write(new, table, out, asked, force)
    if format == "json":
        content = summary_content({"before": old, "after": new})
        print_json({**content, "abstentions": abstentions_content(new), "written": written})
    else:
        print_summary({"before": old, "after": new})
        print_abstentions(new)
        print_written(written)


@contextmanager
def limits_kept(out: Path | None) -> Iterator[Path | None]:
    """Yield a hidden file beside OUT that limits are kept in; it goes once OUT is written.

    Says how an interrupted command goes on: its table is moved into place as a whole.
    """
    lasts = out is not None and not str(out).startswith("/dev/")
    store = out.with_name(f".{out.name}.rsverify-limits") if out is not None and lasts else None
    try:
        yield store
    except Interrupted:
        raise
    except KeyboardInterrupt:
        target = "" if out is None else f" before {out} was complete"
        raise Interrupted(f"interrupted{target}; run the same again") from None
    if store is not None:
        remove_file(store)


def _from_counts(
    old: pd.DataFrame,
    table: Path,
    alpha: float | None,
    bound: VoteBoundName | None,
    ordering: str | None,
    published: dict[str, int | float | None],
    store: Path | None,
    attack: tuple[Norm | None, int | None],
) -> pd.DataFrame:
    from rsverify.bounds.margin import find_ordering
    from rsverify.tables.recertify import recertify as from_counts

    given = [name for name, value in published.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} is for tables of radii only; {table} has counts")
    chosen: OrderingName | Taylor | None = None if ordering is None else find_ordering(ordering)
    norm, dimension = attack
    return from_counts(
        old,
        alpha=alpha,
        bound=bound,
        ordering=chosen,
        norm=norm,
        dimension=dimension,
        store=store,
        progress=True,
    )


def _dimension(made: object, given: int | None) -> int | None:
    """Return how many numbers the inputs have, as the run that sampled has kept it, or as given.

    Raises
    ------
    ValueError
        If the two differ: fewer numbers would have larger radii.
    """
    while isinstance(made, dict):  # of a table made from another one, the one before
        if isinstance(size := made.get("dimension"), int):
            if given not in (None, size):
                raise ValueError(
                    f"dimension={given} must be {size}, which the table's JSON says its inputs "
                    "have: leave it out"
                )
            return size
        made = made.get("before")
    return given


def _from_radii(
    old: pd.DataFrame,
    table: Path,
    out: Path | None,
    alpha: float | None,
    bound: VoteBoundName | None,
    force: bool,
    published: dict[str, int | float | None],
) -> pd.DataFrame:
    from rsverify.tables.recertify_radii import InconsistentRadiiError, recertify_radii

    if bound not in (None, "cohen"):
        raise ValueError(
            f"bound={bound!r} must be 'cohen' for a table of radii only: the votes of the "
            "runner-up are not in it"
        )
    n, sigma, stated_alpha, digits = published.values()
    if n is None or sigma is None or stated_alpha is None:
        absent = next(name for name, value in published.items() if value is None)
        raise ValueError(f"{table} has radii only: --{absent.replace('_', '-')} must be given")
    digits = None if digits is None else int(digits)
    try:
        return recertify_radii(
            old,
            n=int(n),
            sigma=sigma,
            stated_alpha=stated_alpha,
            alpha=alpha,
            digits=digits,
            force=force,
        )
    except InconsistentRadiiError as error:
        level = stated_alpha if alpha is None else alpha
        raise ValueError(_remedy(error, table, out, level, digits)) from error


def _remedy(
    error: InconsistentRadiiError, table: Path, out: Path | None, level: float, digits: int | None
) -> str:
    """Return what is wrong with published radii, and the command that would be right."""
    right = error.misfit.explanation
    if right is None:
        remedy = "correct --n, --sigma or --stated-alpha, or add"
    else:
        asked = [str(path) for path in (table, out) if path is not None]
        options = {
            "--n": right.n,
            "--sigma": right.sigma,
            "--stated-alpha": right.alpha,
            "--alpha": level,
            "--digits": digits,
        }
        asked += [s for k, v in options.items() if v is not None for s in (k, f"{v:.12g}")]
        if right.possible < error.misfit.radii:
            asked.append("--force")
        remedy = f"run `{shlex.join(['rsverify', 'recertify', *asked])}`, or add"
    lost = f"the rows that do not fit ({error.misfit.impossible}) become abstentions"
    return f"{table}: {error.misfit.message}: {remedy} --force, with which {lost}"


def _write(
    new: pd.DataFrame, table: Path, out: Path, asked: dict[str, object], force: bool
) -> list[str]:
    """Write the new table and how it was made; return the names of the files."""
    from rsverify.tables.metadata import metadata_path
    from rsverify.tables.reader import write_table

    asked.pop("digits")
    configuration = {"command": "recertify", "table": str(table), **asked}
    write_table(new, out, configuration=configuration, force=force)
    return [str(out), str(metadata_path(out))]
