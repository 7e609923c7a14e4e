"""What tables of the same inputs say at a glance, printed after they are made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rsverify._core.errors import DataError
from rsverify._core.text import number_text
from rsverify.cli.console import print_table

if TYPE_CHECKING:
    import pandas as pd


class Summary(NamedTuple):
    """Certified accuracy and average radius of one table."""

    inputs: int
    certified_accuracy: dict[float, float]
    """Radius -> fraction of the inputs that are certified correct within it."""
    average_radius: float
    abstained: int


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of a table, or raise an error that is one of the file."""
    from rsverify.tables.reader import read_table

    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty: was it written completely?")
    try:
        return read_table(path)
    except ValueError as error:
        raise DataError(str(error)) from error


def summarize(tables: dict[str, pd.DataFrame]) -> dict[str, Summary]:
    """Return a summary of each table, all at the same radii."""
    from rsverify.tables.analysis import default_radii
    from rsverify.tables.reader import average_certified_radius, certified_accuracy

    # Of other noise and norms sigma is not the scale of a radius, or there is none.
    plain = [t for t in tables.values() if "sigma" in t and "noise" not in t]
    sigmas = [float(t["sigma"].max()) for t in plain]
    largest = max(float(t["radius"].max()) for t in tables.values())
    radii = default_radii(max(sigmas, default=None), largest)
    return {
        name: Summary(
            len(table),
            dict(zip(radii, map(float, certified_accuracy(table, radii)), strict=True)),
            float(average_certified_radius(table)),
            int((table["predict"] == -1).sum()),
        )
        for name, table in tables.items()
    }


def print_summary(
    tables: dict[str, pd.DataFrame],
    *,
    title: str = "Certified accuracy of {} inputs within a radius",
) -> None:
    """Print certified accuracy, average radius and abstentions, one column per table."""
    found = summarize(tables)
    first = next(iter(found.values()))
    rows = [
        [number_text(r), *(f"{s.certified_accuracy[r]:.3f}" for s in found.values())]
        for r in first.certified_accuracy
    ]
    rows.append(["average radius", *(f"{s.average_radius:.4f}" for s in found.values())])
    rows.append(["abstained", *(str(s.abstained) for s in found.values())])
    print_table(title.format(first.inputs), ["radius", *found], rows)


def summary_content(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    """Return the same as `print_summary` prints, for JSON."""
    return {
        name: {
            "inputs": s.inputs,
            "certified_accuracy": {number_text(r): a for r, a in s.certified_accuracy.items()},
            "average_radius": s.average_radius,
            "abstained": s.abstained,
        }
        for name, s in summarize(tables).items()
    }


def print_abstentions(table: pd.DataFrame) -> None:
    """Print why inputs abstain, and the votes that would do; nothing where none abstains."""
    from rsverify.tables.abstentions import abstentions

    found = abstentions(table)
    if not found:
        return
    total = sum(a.rows for a in found)
    rows = [
        [
            a.reason,
            str(a.rows),
            *("—" if n is None else f"{n:,}" for n in (a.n_for_half, a.n_for_most)),
        ]
        for a in found
    ]
    title = f"Why {total} of {len(table)} inputs abstain, and about how many votes would do"
    print_table(title, ["reason", "inputs", "n for half", "n for 90 %"], rows)


def abstentions_content(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return the same as `print_abstentions` prints, for JSON."""
    from rsverify.tables.abstentions import abstentions

    return [asdict(a) for a in abstentions(table)]
