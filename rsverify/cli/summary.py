"""What a table says at a glance, printed after it is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rsverify.cli.console import out_console, plain_table

if TYPE_CHECKING:
    import pandas as pd

_COLUMN = 8  # 0.123 and what stands between columns
_OTHER_COLUMNS = 30  # average radius, abstained and margins


def print_summary(tables: dict[str, pd.DataFrame]) -> None:
    """Print certified accuracy and average radius of tables of the same inputs."""
    from rsverify.tables.analysis import default_radii
    from rsverify.tables.reader import average_certified_radius, certified_accuracy

    sigmas = [float(t["sigma"].max()) for t in tables.values() if "sigma" in t]
    largest = max(float(t["radius"].max()) for t in tables.values())
    radii = default_radii(max(sigmas, default=None), largest)
    # Radii are left out, evenly, where the line has no room for all: no figure is ever cut.
    room = max(2, (out_console.width - max(map(len, tables)) - _OTHER_COLUMNS) // _COLUMN)
    radii = radii[:: math.ceil(len(radii) / room)]
    rows = len(next(iter(tables.values())))
    printed = plain_table(f"Certified accuracy of {rows} inputs within a radius")
    printed.add_column("", no_wrap=True)
    for r in radii:
        printed.add_column(f"{r:g}", justify="right")
    for heading in ("average radius", "abstained"):
        printed.add_column(heading, justify="right", min_width=len(heading.split()[0]))
    for name, table in tables.items():
        printed.add_row(
            name,
            *(f"{a:.3f}" for a in certified_accuracy(table, radii)),
            f"{average_certified_radius(table):.4f}",
            str(int((table["predict"] == -1).sum())),
        )
    out_console.print(printed)
