"""The command ``rsverify analyze``: tables to figures with limits, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rsverify._core.arrays import read_npy
from rsverify._core.errors import DataError
from rsverify._core.files import check_free, write_file
from rsverify._core.optional import need
from rsverify._core.text import complement_text
from rsverify._core.types import AnyArray
from rsverify.cli.console import (
    FormatOption,
    err_console,
    out_console,
    print_note,
    print_table,
    print_warning,
    working,
    write_result,
)
from rsverify.cli.summary import read_rows

if TYPE_CHECKING:
    from rsverify.tables.analysis import Analysis
    from rsverify.tables.comparison import Comparison

T = TypeVar("T")

_STDOUT = Path("-")
_FIGURES = (".png", ".pdf", ".svg", ".eps", ".ps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_EACH = "once for all tables, or once for each"
_BY_ENDING = {".md": "markdown", ".tex": "latex", ".json": "json"}
_RADII_ONLY = "For tables of radii only"
_OUTPUT = "Output"


def analyze(
    tables: Annotated[list[Path], typer.Argument(metavar="TABLES", help="Tables of certificates.")],
    radii: Annotated[
        str | None, typer.Option(help="Radii, such as 0,0.25,0.5.", show_default="by sigma")
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Failure probability of each pair of limits printed.")
    ] = 0.05,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name of a table, once for each.", show_default="its file's"),
    ] = None,
    base: Annotated[
        list[Path] | None,
        typer.Option(
            help=f".npy with the base model's class for input i at place i; {_EACH}. "
            "Not needed where a table has the column base_predict."
        ),
    ] = None,
    n: Annotated[
        list[int] | None,
        typer.Option(help=f"Votes behind each radius; {_EACH}.", rich_help_panel=_RADII_ONLY),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            help=f"Standard deviation of the noise; {_EACH}.", rich_help_panel=_RADII_ONLY
        ),
    ] = None,
    stated_alpha: Annotated[
        list[float] | None,
        typer.Option(
            help=f"Failure probability of a certificate; {_EACH}.", rich_help_panel=_RADII_ONLY
        ),
    ] = None,
    largest_radius: Annotated[
        list[float] | None,
        typer.Option(
            help=f"What no radius can exceed, for limits of the average radius; {_EACH}.",
            show_default="from n, sigma and alpha",
            rich_help_panel=_RADII_ONLY,
        ),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the estimates here, in the format that the ending names: .md, .tex, "
            ".json, or .png, .pdf, .svg for a figure. Repeatable.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Write the estimates as Markdown; - is standard output.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    latex: Annotated[
        Path | None,
        typer.Option(
            help="Write them as a LaTeX tabular; - is standard output.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write all of them as JSON; - is standard output.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw certified accuracy and predictions (.png, .pdf).", rich_help_panel=_OUTPUT
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="Print, and write as Markdown and LaTeX, a row per sigma and bound and a column "
            "per radius, as papers do.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    picture: Annotated[Path | None, typer.Option(hidden=True)] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace files that are there.", rich_help_panel=_OUTPUT),
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Print what TABLES say about a data set, with confidence limits; compare several.

    Accuracies, certified and of the predictions alone, abstentions, average radius and the
    distribution of predictions. A second and further table is compared with the first one
    input by input. Warnings name what makes figures mean less than they seem to.
    """
    figure = figure or picture
    written = {"markdown": markdown, "latex": latex, "json": json, "figure": figure}
    _add_by_ending(written, out or [])
    if format == "json":
        _add(written, "json", _STDOUT, "--format json")
    _check_outputs(written, tables, force)
    if picture is not None:
        print_warning("--picture is now --figure; the old name goes in the next version")
    options: dict[str, list[Any]] = {
        "name": _names(tables, name),
        "base": [
            None if path is None else _read_base(path) for path in _each("base", base, tables)
        ],
        "n": _each("n", n, tables),
        "sigma": _each("sigma", sigma, tables),
        "stated_alpha": _each("stated-alpha", stated_alpha, tables),
        "largest_radius": _each("largest-radius", largest_radius, tables),
    }
    with working("analyzing"):
        analyses = _analyses(tables, _numbers("radii", radii), alpha, options)
        comparisons = _comparisons(analyses, alpha)
    for warning in _warnings(analyses, comparisons):
        print_warning(warning)
    stdout_taken = _STDOUT in written.values()
    _write(analyses, comparisons, written, paper, force)
    if not stdout_taken:
        _print(analyses, comparisons, paper)
    console = err_console if stdout_taken else out_console
    for path in written.values():
        if path is not None and path != _STDOUT:
            console.print(f"Written: {path}", soft_wrap=True)


def _add_by_ending(written: dict[str, Path | None], out: Sequence[Path]) -> None:
    """Add the files of ``-o`` to those of the options that name a format."""
    for path in out:
        ending = path.suffix.lower()
        option = "figure" if ending in _FIGURES else _BY_ENDING.get(ending)
        if option is None:
            known = ", ".join([*_BY_ENDING, *_FIGURES])
            raise ValueError(f"out={str(path)!r} must end in one of {known}")
        _add(written, option, path, f"--out {path}")


def _add(written: dict[str, Path | None], option: str, path: Path, given: str) -> None:
    other = written[option]
    if other not in (None, path):
        raise ValueError(f"{given} must be left out: --{option} {other} is given already")
    written[option] = path


def _check_outputs(written: dict[str, Path | None], tables: Sequence[Path], force: bool) -> None:
    """Raise before any work where an output would be lost, or would replace an input."""
    figure = written["figure"]
    to_stdout = [option for option, path in written.items() if path == _STDOUT]
    if "figure" in to_stdout:
        raise ValueError("figure='-' must be a file")
    if len(to_stdout) > 1:
        raise ValueError(f"only one of --{' and --'.join(to_stdout)} can be the standard output")
    if figure is not None and figure.suffix.lower() not in _FIGURES:
        raise ValueError(f"figure={str(figure)!r} must end in one of {', '.join(_FIGURES)}")
    if written["latex"] is not None:
        need("jinja2")
    inputs = {path.resolve() for path in tables}
    taken: dict[Path, str] = {}
    for option, path in written.items():
        if path is None or path == _STDOUT:
            continue
        if path.resolve() in inputs:
            raise ValueError(f"--{option} {path} would replace a table that is analyzed")
        if path.resolve() in taken:
            raise ValueError(f"--{option} and --{taken[path.resolve()]} are both {path}")
        taken[path.resolve()] = option
        if option == "figure":
            from rsverify._core.figure import check_figure

            check_figure(path, force=force)
        else:
            check_free(path, force=force)


def _each(option: str, values: Sequence[T] | None, tables: Sequence[Path]) -> list[T | None]:
    """Return one value a table, of an option that was given never, once, or for each."""
    if not values:
        return [None] * len(tables)
    if len(values) == 1:
        return [values[0]] * len(tables)
    if len(values) != len(tables):
        raise ValueError(
            f"--{option} is given {len(values)} times for {len(tables)} tables; it must be {_EACH}"
        )
    return list(values)


def _names(tables: Sequence[Path], given: Sequence[str] | None) -> list[str]:
    if given:
        if len(given) != len(tables):
            raise ValueError(f"--name is given {len(given)} times for {len(tables)} tables")
        names = list(given)
    else:
        names = [path.stem for path in tables]
        if len(set(names)) < len(names):
            names = [str(path) for path in tables]
    if len(set(names)) < len(names):
        twice = next(x for x in names if names.count(x) > 1)
        raise ValueError(f"two tables are called {twice!r}; tell them apart with --name")
    return names


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option}={text!r} must be numbers separated by commas") from None


def _read_base(path: Path) -> AnyArray:
    if path.suffix != ".npy":
        raise ValueError(f"base={str(path)!r} must end in .npy")
    return read_npy(path)


def _analyses(
    tables: Sequence[Path], radii: list[float] | None, alpha: float, options: dict[str, list[Any]]
) -> list[Analysis]:
    from rsverify.tables.analysis import analyze, default_radii

    frames = [read_rows(path) for path in tables]
    if radii is None:
        # The same for all, so that they stand side by side.
        # Of other noise and norms sigma is not the scale of a radius, or there is none.
        plain = [f for f in frames if "sigma" in f and "noise" not in f]
        sigmas = [*chain(*(f["sigma"] for f in plain)), *options["sigma"]]
        known = [sigma for sigma in sigmas if sigma is not None and math.isfinite(sigma)]
        seen = [r for r in chain(*(f["radius"] for f in frames)) if math.isfinite(r)]
        largest = float(max(seen, default=0.0))
        radii = list(default_radii(max(known, default=None), largest))
    found = []
    for i, (path, frame) in enumerate(zip(tables, frames, strict=True)):
        own = {option: values[i] for option, values in options.items()}
        try:
            found.append(analyze(frame, radii=radii, alpha=alpha, **own))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return found


def _comparisons(analyses: Sequence[Analysis], alpha: float) -> list[Comparison]:
    """Return the comparisons with the first table, of those that are of the same inputs."""
    from rsverify.tables.comparison import NotComparableError, compare

    found = []
    for other in analyses[1:]:
        try:
            found.append(compare(analyses[0], other, alpha=alpha))
        except NotComparableError as error:
            print_warning(f"{error}; they are not compared input by input")
    return found


def _warnings(analyses: Sequence[Analysis], comparisons: Sequence[Comparison]) -> list[str]:
    own = [f"{a.name}: {note}" for a in analyses for note in a.notes]
    return [*own, *(note for c in comparisons for note in c.notes)]


def _write(
    analyses: Sequence[Analysis],
    comparisons: Sequence[Comparison],
    written: dict[str, Path | None],
    paper: bool,
    force: bool,
) -> None:
    from rsverify.tables.formatting import to_frame, to_json, to_latex, to_markdown
    from rsverify.tables.paper_table import paper_table

    def put(path: Path, text: str) -> None:
        if path == _STDOUT:
            write_result(text)
        else:
            write_file(path, text, force=force)

    frame = paper_table(analyses) if paper else to_frame(analyses, comparisons)
    if written["markdown"] is not None:
        put(written["markdown"], to_markdown(frame))
    if written["latex"] is not None:
        put(written["latex"], to_latex(frame))
    if written["json"] is not None:
        put(written["json"], to_json(analyses, comparisons))
    if written["figure"] is not None:
        from rsverify.tables.plot import plot_analyses

        plot_analyses(analyses, written["figure"], force=force)


def _print(analyses: Sequence[Analysis], comparisons: Sequence[Comparison], paper: bool) -> None:
    from rsverify.tables.formatting import explanation, to_frame
    from rsverify.tables.paper_table import paper_table

    if paper:
        frame = paper_table(analyses)
        title = "Certified accuracy in percent at each radius"
    else:
        frame = to_frame(analyses, comparisons)
        level = complement_text(analyses[0].alpha, of=100)
        title = f"Estimates with {level} % confidence intervals"
    print_table(
        title,
        [str(frame.index.name or ""), *frame.columns],
        [[str(cell) for cell in row] for row in frame.itertuples()],
    )
    if not paper:
        print_note(explanation(analyses, comparisons))
