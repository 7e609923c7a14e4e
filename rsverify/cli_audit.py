"""The command ``rsverify audit``: a bound by name or from a file -> verdict and exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsverify._factories import load_function

EXIT_CODES = {"supported": 0, "refuted": 1, "inconclusive": 2}


def audit(
    bound: Annotated[
        str, typer.Argument(help="Name of a bound of this package, or FILE.py:FUNCTION.")
    ],
    n: Annotated[int, typer.Option(help="Observations a replication.")],
    estimand: Annotated[
        str, typer.Option(help="proportion, difference, probit (also with :first) or mean.")
    ] = "mean",
    alpha: Annotated[float, typer.Option(help="Failure probability that the bound claims.")] = 0.05,
    side: Annotated[str, typer.Option(help="lower, upper or two-sided.")] = "lower",
    kind: Annotated[
        str, typer.Option(help="coverage, betting (capital) or bets (predictability).")
    ] = "coverage",
    method: Annotated[str, typer.Option(help="auto, exact or simulation.")] = "auto",
    replications: Annotated[
        int | None, typer.Option(help="Most replications a scenario [default: 1000/alpha].")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Supported means at most alpha (1 + tolerance).")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; the report does not depend on it.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the report here as JSON.")] = None,
) -> None:
    """Find out whether a BOUND covers: exit 0 supported, 1 refuted, 2 inconclusive."""
    from rsverify.audit import audit as run_audit

    report = run_audit(
        load_function(bound) if ":" in bound else bound,
        estimand=estimand,
        n=n,
        alpha=alpha,
        side=side,
        kind=kind,
        method=method,
        replications=replications,
        tolerance=tolerance,
        seed=seed,
        n_jobs=jobs,
    )
    typer.echo(str(report))
    if json is not None:
        report.to_json(json)
    raise typer.Exit(EXIT_CODES[report.verdict])
