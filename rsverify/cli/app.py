"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args

import typer
from rich.progress import track
from typer.core import TyperGroup

from rsverify._core.errors import DataError, UnavailableError, cause_of
from rsverify._core.files import Interrupted
from rsverify._core.optional import need
from rsverify._core.types import MarginName, OrderingName, RadiusName, VoteBoundName
from rsverify.cli import analyze as cli_analyze
from rsverify.cli import audit as cli_audit
from rsverify.cli import certify as cli_certify
from rsverify.cli.console import (
    err_console,
    out_console,
    plain_table,
    print_lines,
    warnings_as_lines,
    working,
)
from rsverify.cli.summary import print_summary

if TYPE_CHECKING:
    from rsverify.bounds.margin import Taylor
    from rsverify.tables.recertify_radii import InconsistentRadiiError

# From sysexits.h: what a script can tell apart.
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_CANNOT_CREATE = 73
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141  # as the shell has it for a process that writes where nobody reads


class _StoppedError(Exception):
    """A command was interrupted, and the message says what is kept; or a file ended too early."""


class _Commands(TyperGroup):
    """The commands; what ends one gets through with its message, which typer would not tell."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            said = str(error) if isinstance(error, Interrupted) else "interrupted"
            raise _StoppedError(said) from error
        except EOFError as error:  # of code of the user, or of a damaged file
            raise _StoppedError("a file ended too early") from error


app = typer.Typer(
    cls=_Commands,
    name="rsverify",
    help="Exact confidence bounds and certified radii for randomized smoothing.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Alpha = Annotated[float, typer.Option(help="Total failure probability of one certificate.")]
Bound = Annotated[str, typer.Option(help="exact, bonferroni or cohen.")]
Ordering = Annotated[
    str | None, typer.Option(help="Ordering of the exact bound.", show_default="likelihood-ratio")
]


_OTHER_ORDERINGS = ("difference", "bonferroni", "taylor:5")


def _version(asked: bool) -> None:
    if asked:
        from rsverify import __version__

        print(f"rsverify {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error came from.")
    ] = False,
) -> None:
    pass


@app.command()
def bound(
    counts: Annotated[list[int], typer.Argument(help="Votes of each class; their sum is n.")],
    y: Annotated[int, typer.Option(help="Class to certify, chosen without these counts; from 0.")],
    alpha: Alpha = 0.001,
    sigma: Annotated[
        float | None, typer.Option(help="Standard deviation of the noise: adds the radii.")
    ] = None,
) -> None:
    """Bound the margin of class Y from vote COUNTS, by every method side by side."""
    from rsverify.bounds.margin import find_ordering
    from rsverify.certificates.certificate import certify_counts, margin_lower_bounds
    from rsverify.certificates.radius import round_down_digits

    methods: list[tuple[str, VoteBoundName, OrderingName | Taylor | None]] = [
        ("Cohen", "cohen", None),
        ("Bonferroni", "bonferroni", None),
        ("exact (likelihood-ratio)", "exact", None),
        *((f"exact ({o})", "exact", find_ordering(o)) for o in _OTHER_ORDERINGS),
    ]
    n = sum(counts)
    table = plain_table(f"Class {y}: {_of(counts, y)} of {n} votes, alpha = {alpha:g}")
    table.add_column("lower limit", no_wrap=True)
    for heading in ("p1 − p2", "Φ⁻¹(p1) − Φ⁻¹(p2)", *(("R1", "R2") if sigma else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    with working("bounding"):
        for name, bound, ordering in methods:
            cells = [
                _down(
                    float(
                        margin_lower_bounds(
                            counts, y, alpha, estimand=e, bound=bound, ordering=ordering
                        )
                    )
                )
                for e in get_args(MarginName)
            ]
            if sigma is not None:
                for kind in get_args(RadiusName):
                    certificate = certify_counts(
                        counts,
                        sigma=sigma,
                        alpha=alpha,
                        y=y,
                        bound=bound,
                        radius=kind,
                        ordering=ordering,
                    )
                    certified = certificate.radius > 0
                    cells.append(round_down_digits(certificate.radius, 5) if certified else "—")
            table.add_row(name, *cells)
    out_console.print(table)
    out_console.print(
        f"Each limit is at most the true value with probability at least {1 - alpha:g}. "
        "Use one, chosen in advance: the largest of several has no such guarantee.",
        style="dim",
    )


def _of(counts: list[int], y: int) -> int:
    if not 0 <= y < len(counts):
        raise ValueError(f"y={y} must be a class between 0 and {len(counts) - 1}")
    return counts[y]


def _down(value: float) -> str:
    """Return five decimals, rounded down whatever the sign."""
    from decimal import ROUND_FLOOR, Decimal

    if value == float("-inf"):
        return "−∞"
    return f"{Decimal(value).quantize(Decimal('0.00001'), rounding=ROUND_FLOOR):f}"


@contextmanager
def _whole_or_not(out: Path | None) -> Iterator[None]:
    """Say how an interrupted command goes on: its table is moved into place as a whole."""
    try:
        yield
    except KeyboardInterrupt:
        target = "" if out is None else f" before {out} was complete"
        raise Interrupted(f"interrupted{target}; run the same again") from None


@app.command()
def recertify(
    table: Annotated[Path, typer.Argument(help="Table with vote counts, or with radii only.")],
    out: Annotated[Path | None, typer.Argument(help="Table to write.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="New level.", show_default="the table's")
    ] = None,
    bound: Annotated[
        str | None, typer.Option(help="exact, bonferroni or cohen.", show_default="the table's")
    ] = None,
    ordering: Ordering = None,
    n: Annotated[int | None, typer.Option(help="Radii only: votes behind each.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Radii only: noise of the table.")] = None,
    stated_alpha: Annotated[
        float | None, typer.Option(help="Radii only: level that they were computed at.")
    ] = None,
    digits: Annotated[
        int | None, typer.Option(help="Radii only: significant digits.", show_default="seen")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace OUT and its JSON; radii only: go on where they do not fit "
            "--stated-alpha.",
        ),
    ] = False,
) -> None:
    """Certify TABLE again at another level or bound, without sampling.

    A table of radii only (idx, label, predict, radius, correct, time) needs --n, --sigma and
    --stated-alpha, from which the votes behind each radius are recovered. Radii that cannot have
    come from --stated-alpha are an error, which names the level that they fit.
    """
    from rsverify._core.check import check_choice
    from rsverify.bounds.margin import find_ordering
    from rsverify.certificates.certificate import BOUNDS
    from rsverify.tables.metadata import check_table_free, metadata_path
    from rsverify.tables.reader import count_columns, read_metadata, read_table, write_table
    from rsverify.tables.recertify import recertify as from_counts
    from rsverify.tables.recertify_radii import InconsistentRadiiError, recertify_radii

    if out is not None:
        check_table_free(out, force=force)
    published = {"n": n, "sigma": sigma, "stated_alpha": stated_alpha}
    with _whole_or_not(out), working("certifying again"), warnings_as_lines():
        old = read_table(table)
        if count_columns(old):
            given = [k for k, v in {**published, "digits": digits}.items() if v is not None]
            if given:
                raise ValueError(f"{given[0]} is for tables of radii only; {table} has counts")
            new = from_counts(
                old,
                alpha=alpha,
                bound=None if bound is None else check_choice("bound", bound, BOUNDS),
                ordering=None if ordering is None else find_ordering(ordering),
            )
        else:
            if bound not in (None, "cohen"):
                raise ValueError(
                    f"bound={bound!r} must be 'cohen' for a table of radii only: the votes of "
                    "the runner-up are not in it"
                )
            if n is None or sigma is None or stated_alpha is None:
                absent = next(k for k, v in published.items() if v is None)
                raise ValueError(
                    f"{table} has radii only: --{absent.replace('_', '-')} must be given"
                )
            try:
                new = recertify_radii(
                    old,
                    n=n,
                    sigma=sigma,
                    stated_alpha=stated_alpha,
                    alpha=alpha,
                    digits=digits,
                    force=force,
                )
            except InconsistentRadiiError as error:
                level = stated_alpha if alpha is None else alpha
                raise ValueError(_remedy(error, table, out, level, digits)) from error
    print_summary({"before": old, "after": new})
    if out is not None:
        configuration = {
            "command": "recertify",
            "table": str(table),
            "alpha": alpha,
            "bound": bound,
            "ordering": ordering,
            **published,
            "before": read_metadata(table).get("configuration"),
        }
        with _whole_or_not(out):
            write_table(new, out, configuration=configuration, force=force)
        out_console.print(f"Written: {out} and {metadata_path(out).name}", soft_wrap=True)


def _remedy(
    error: InconsistentRadiiError, table: Path, out: Path | None, level: float, digits: int | None
) -> str:
    """Return what is wrong with published radii, and the command that would be right."""
    import shlex

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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the table and the figure.")] = Path("demo"),
    images: Annotated[int, typer.Option(help="Held-out images to certify.")] = 120,
    n: Annotated[int, typer.Option(help="Votes per image.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Fixes training and noise.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the files of an earlier demo.")
    ] = False,
) -> None:
    """Train a small network on real digits; certify held-out images with every available bound."""
    need("torch", "sklearn", extra="demo")
    from rsverify.demo.rows import PLANNED
    from rsverify.demo.run import early_summary, explanation, run_demo, summary

    result = run_demo(out, images=images, n=n, seed=seed, force=force, track=_progress)
    found = summary({**result.tables, **result.soft_tables})
    table = plain_table(f"Fraction of {images} held-out images certified correct within a radius")
    table.add_column("bound", min_width=max(map(len, " ".join(map(str, found.index)).split())))
    for name in found.columns:
        table.add_column(name, justify="right", min_width=max(5, *map(len, name.split())))
    for name, (*accuracies, average) in zip(found.index, found.to_numpy(), strict=True):
        table.add_row(str(name), *(f"{a:.3f}" for a in accuracies), f"{average:.4f}")
    out_console.print(table)
    answers = plain_table(f"Is the radius at least r? Samples until a decision, {images} images")
    for name in ("r", "yes", "no", "undecided", "votes", f"of {PLANNED * n:,}"):
        answers.add_column(name, justify="right", min_width=5)
    for target, (yes, no, open_, votes, share) in early_summary(result.early, n).iterrows():
        answers.add_row(
            f"{target:g}", f"{yes:g}", f"{no:g}", f"{open_:g}", f"{votes:,.0f}", f"{share:.1%}"
        )
    out_console.print(answers)
    print_lines(explanation(result))


def _progress(items: Iterable[object], title: str) -> Iterable[object]:
    hidden = not err_console.is_terminal
    return track(
        list(items), description=title, console=err_console, transient=True, disable=hidden
    )


app.command()(cli_certify.certify)
app.command()(cli_analyze.analyze)
app.command()(cli_audit.audit)
app.command("audit-paper")(cli_audit.audit_paper)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; an error is one line and a code of 64 or above."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(given, standalone_mode=False)
    except (_StoppedError, KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error.__cause__, EOFError):
            _fail_with(error.__cause__, given)
        _fail(str(error) or "interrupted", EXIT_INTERRUPTED)
    except (Exception, SystemExit) as error:
        if _reader_has_left(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush
            sys.exit(EXIT_PIPE)
        _fail_with(error, given)
    sys.exit(status if isinstance(status, int) else 0)


def _reader_has_left(error: BaseException | None) -> bool:
    """Return whether what reads our output, `head` say, has closed its end."""
    while error is not None and not isinstance(error, BrokenPipeError):
        error = error.__cause__ or error.__context__
    return error is not None


def _fail_with(error: BaseException, given: list[str]) -> NoReturn:
    """Exit with the line and the code of an error."""
    if "--traceback" in given:
        traceback.print_exception(error)
    # Errors of the command line parser have this method; which class they are depends on
    # the version of typer.
    parsed = getattr(error, "format_message", None)
    if parsed is not None:
        _fail(parsed(), EXIT_USAGE)
    code = _exit_code(error)
    if code == EXIT_INTERNAL:
        _fail(
            f"internal error: {cause_of(error)}; with rsverify --traceback … it says where, for a "
            "report",
            code,
        )
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        message = f"{where}{error.strerror}"
    _fail(message or cause_of(error), code)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, OSError):
        return EXIT_NO_INPUT if _cannot_be_read(error) else EXIT_CANNOT_CREATE
    for kinds, code in (
        (ModuleNotFoundError | UnavailableError, EXIT_UNAVAILABLE),
        (DataError | UnicodeDecodeError, EXIT_DATA),
        (ValueError | TypeError, EXIT_USAGE),
    ):
        if isinstance(error, kinds):
            return code
    return EXIT_INTERNAL


def _cannot_be_read(error: OSError) -> bool:
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return True
    place = error.filename
    return isinstance(place, str) and os.path.exists(place) and not os.access(place, os.R_OK)


def _fail(message: str, code: int) -> NoReturn:
    if message:  # empty where the parser has printed the help instead
        err_console.print("error:", style="red", end=" ")
        err_console.print(message, soft_wrap=True)
    sys.exit(code)
