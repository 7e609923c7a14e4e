"""The command ``rsverify audit``: a bound by name or from a file -> verdict and exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from rsverify._core.check import check_choice
from rsverify._core.files import Interrupted, check_free, write_file
from rsverify._core.load_function import UserFunction, portable_function
from rsverify._core.optional import need
from rsverify._core.progress import InputProgress
from rsverify._core.types import AuditEstimandName, AuditKindName, AuditMethodName, Side
from rsverify.cli.console import (
    FormatOption,
    err_console,
    out_console,
    print_json,
    print_lines,
    print_written,
    working,
)

if TYPE_CHECKING:
    from rsverify.auditing.report_text import Line

USED_BY_KINDS = {"context", "bound", "n", "alpha", "seed", "kind", "out", "force", "format"}
_METHOD, _OUTPUT = "Method", "Output"
_BY_STORE = "; --store FILE keeps the finished blocks of a simulation"
STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
EXIT_CODES = {"supported": 0, "refuted": 1, "inconclusive": 2}


@contextmanager
def _hint(store: Path | None, *, kept: str = "") -> Iterator[None]:
    """Say what an interrupted audit leaves; one that has a store open says it itself."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        how = f"nothing is kept, run the same again{kept}"
        if store is not None:
            there = "what was finished before is" if store.exists() else "no block is"
            how = f"{there} in {store}; go on with --resume"
        raise Interrupted(f"interrupted: {how}") from None


def _check_outputs(paths: Sequence[Path], store: Path | None, force: bool) -> None:
    """Raise before any work where a report could not be written, or not be kept."""
    from rsverify._core.figure import check_figure
    from rsverify.auditing.design import FIGURES
    from rsverify.auditing.report import check_ending

    taken = set() if store is None else {store.resolve()}
    for path in paths:
        ending = check_ending(path)
        if ending == ".parquet":
            need("pyarrow")
        if ending in FIGURES:
            check_figure(path, force=force)
        check_free(path, force=force)
        if path.resolve() in taken:
            raise ValueError(f"--out {path} is given twice, or is the store; name another file")
        taken.add(path.resolve())


def _style(line: Line) -> str | None:
    """Return how a line of a report looks on a terminal: its verdict as a color."""
    if line.verdict is None:
        return None
    return f"bold {STYLES[line.verdict]}" if line.worst else STYLES[line.verdict]


def _refuse_ignored(context: typer.Context, kind: str) -> None:
    """Raise where an option is given that this kind of audit has no use for."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT" and name not in USED_BY_KINDS:
            raise ValueError(
                f"--{name.replace('_', '-')} must be left out with --kind {kind}, "
                "which does not use it"
            )


def _function(
    bound: str | None, command: str | None, side: Side | None, timeout: float, jobs: int
) -> UserFunction | str:
    """Return what is audited: a function, a program, or the name of a bound."""
    if command is not None:
        from rsverify.auditing.command import as_bound

        if bound is not None:
            raise ValueError(f"bound={bound!r} must be left out with --command")
        if jobs != 1:
            raise ValueError(f"jobs={jobs} must be 1 with --command, which starts processes itself")
        return as_bound(shlex.split(command), side, timeout)
    if bound is None:
        raise ValueError("bound=None must name a bound, FILE.py:FUNCTION, or give --command")
    if bound.endswith(".py"):
        raise ValueError(f"bound={bound!r} must say which function of it: {bound}:FUNCTION")
    return portable_function(bound) if ":" in bound else bound


def _tell_one_call(
    function: Callable[..., object],
    estimand: AuditEstimandName,
    n: int,
    alpha: float,
    side: Side | None,
) -> None:
    """Say what one call returns, so that a wrong shape shows before the audit has begun."""
    from rsverify.auditing.command import CommandBound, try_command
    from rsverify.auditing.sample_call import sample_call

    if isinstance(function, CommandBound):
        call = try_command(function, estimand=estimand, n=n, alpha=alpha)
    else:
        call = sample_call(function, estimand=estimand, n=n, alpha=alpha, side=side)
    err_console.print(str(call), style="dim", soft_wrap=True)


def audit(
    context: typer.Context,
    n: Annotated[int, typer.Option(help="Sample size per replication.")],
    bound: Annotated[
        str | None,
        typer.Argument(
            metavar="BOUND",
            help="Name of a bound of this package, or FILE.py:FUNCTION; or give --command.",
            show_default=False,
        ),
    ] = None,
    estimand: Annotated[
        str,
        typer.Option(
            help=f"What is bounded: {', '.join(get_args(AuditEstimandName))}; with :first, over "
            "the class of column 1."
        ),
    ] = "mean",
    alpha: Annotated[float, typer.Option(help="Failure probability that the bound claims.")] = 0.05,
    side: Annotated[
        Side | None,
        typer.Option(help="Side of the bound.", show_default="lower, or that of a named bound"),
    ] = None,
    kind: Annotated[
        AuditKindName,
        typer.Option(help="What is audited: coverage, capital (betting) or predictability (bets)."),
    ] = "coverage",
    command: Annotated[
        str | None,
        typer.Option(
            help='Instead of BOUND, a program in any language, such as "Rscript bound.R": it reads '
            "replications as lines of CSV, prints a limit for each, and gets alpha as its last "
            "argument."
        ),
    ] = None,
    method: Annotated[
        AuditMethodName, typer.Option(help="How failures are looked for.", rich_help_panel=_METHOD)
    ] = "auto",
    replications: Annotated[
        int | None,
        typer.Option(
            help="Maximum replications per scenario.",
            show_default="about 1000/alpha",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Supported means at most alpha (1 + tolerance).", rich_help_panel=_METHOD
        ),
    ] = 0.2,
    false_alarm: Annotated[
        float,
        typer.Option(
            help="Probability of a false verdict, over all scenarios together.",
            rich_help_panel=_METHOD,
        ),
    ] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.", rich_help_panel=_METHOD)] = 0,
    jobs: Annotated[
        int,
        typer.Option(help="Processes; the report does not depend on it.", rich_help_panel=_METHOD),
    ] = 1,
    timeout: Annotated[
        float,
        typer.Option(help="Seconds that a process of COMMAND may take.", rich_help_panel=_METHOD),
    ] = 600.0,
    store: Annotated[
        Path | None,
        typer.Option(help="Keep finished blocks of a simulation here.", rich_help_panel=_OUTPUT),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue from the blocks in STORE.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the report here: .html, .json, .parquet, .csv or a figure. Repeatable.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace reports that are there.", rich_help_panel=_OUTPUT),
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Find out whether a BOUND covers: exit 0 supported, 1 refuted, 2 inconclusive."""
    with working("loading"):
        from rsverify.auditing.api import audit as run_audit
        from rsverify.auditing.bets import audit_bets
        from rsverify.auditing.capital import audit_capital
        from rsverify.auditing.command import CommandBound
        from rsverify.auditing.estimand import renamed
        from rsverify.auditing.report_text import report_lines

    estimands: tuple[AuditEstimandName, ...] = get_args(AuditEstimandName)
    asked = check_choice("estimand", renamed(estimand), estimands)
    if kind != "coverage":
        _refuse_ignored(context, kind)
    _check_outputs(out or [], store, force)
    function = _function(bound, command, side, timeout, jobs)
    if kind == "coverage" and not isinstance(function, str):
        with _hint(store, kept=_BY_STORE):
            _tell_one_call(function, asked, n, alpha, side)
    bar = InputProgress("auditing", 0, unit="steps", early=True)
    with bar, _hint(store, kept=_BY_STORE):
        if kind != "coverage":
            if isinstance(function, str):
                raise ValueError(f"bound={bound!r} must be FILE.py:FUNCTION with --kind {kind}")
            auditor = audit_capital if kind == "betting" else audit_bets
            report = auditor(function, n=n, alpha=alpha, seed=seed)
        else:
            report = run_audit(
                function,
                estimand=asked,
                n=n,
                alpha=alpha,
                side=side,
                method=method,
                replications=replications,
                tolerance=tolerance,
                false_alarm=false_alarm,
                seed=seed,
                n_jobs=jobs,
                store=store,
                resume=resume,
                progress=bar.reach,
            )
    if isinstance(function, CommandBound) and function.stopped is not None:
        raise function.stopped
    for path in out or []:
        report.write(path, force=force)
    if format == "json":
        print_json(json.loads(report.to_json()))
    else:
        for line in report_lines(report, out_console.width):
            print_lines(line.text, _style(line))
        print_written(out or [])
    raise typer.Exit(EXIT_CODES[report.verdict])


def audit_paper(
    seed: Annotated[int, typer.Option(help="Seed of the simulations.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; the verdicts do not depend on it.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write all reports here as JSON.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    format: FormatOption = "text",
) -> None:
    """Audit the formulas of the paper as it prints them, and show where they fail."""
    with working("loading"):
        from rsverify import __version__
        from rsverify.paper.audit import PRINTED, audit_paper, summary

    if out is not None:
        check_free(out, force=force)
    reports = {}
    bar = InputProgress("auditing the paper", len(PRINTED), unit="formulas")
    with bar, _hint(None):
        for done, (formula, report) in enumerate(audit_paper(seed=seed, n_jobs=jobs), 1):
            if format == "text":
                bar.hide()
                print_lines(summary(formula, report))
            reports[formula.place] = json.loads(report.to_json())
            bar.reach(done, len(PRINTED))
    record = {"version": __version__, "seed": seed, "audits": reports}
    if out is not None:
        write_file(out, json.dumps(record, indent=1) + "\n", force=force)
    if format == "json":
        print_json(record)
    else:
        refuted = sum(r["verdict"] == "refuted" for r in reports.values())
        print_lines(f"{refuted} of {len(PRINTED)} formulas are refuted.")
        print_written([] if out is None else [out])
