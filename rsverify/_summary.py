"""What a table says at a glance, printed after it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsverify._console import out_console, plain_table

if TYPE_CHECKING:
    import pandas as pd

_RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)


def print_summary(tables: dict[str, pd.DataFrame]) -> None:
    """Print certified accuracy and average radius of tables of the same inputs."""
    from rsverify.table import average_certified_radius, certified_accuracy

    rows = len(next(iter(tables.values())))
    printed = plain_table(f"Certified accuracy of {rows} inputs within a radius")
    printed.add_column("", no_wrap=True)
    for r in _RADII:
        printed.add_column(f"{r:g}", justify="right")
    for heading in ("average radius", "abstained"):
        printed.add_column(heading, justify="right", min_width=len(heading.split()[0]))
    for name, table in tables.items():
        printed.add_row(
            name,
            *(f"{a:.3f}" for a in certified_accuracy(table, _RADII)),
            f"{average_certified_radius(table):.4f}",
            str(int((table["predict"] == -1).sum())),
        )
    out_console.print(printed)
