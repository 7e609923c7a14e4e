"""What the demo writes, checked before anything is loaded or trained."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rsverify._core.check import check_size
from rsverify._core.files import check_free
from rsverify.tables.metadata import check_table_free

HELD_OUT = 500
"""Images that the network is not trained on."""


class Outputs(NamedTuple):
    """Where the demo writes its files."""

    table: Path
    early: Path
    figure: Path


def check_outputs(out: Path, *, images: int, n: int, force: bool) -> Outputs:
    """Return the files of a demo in the folder `out`, or raise where it could not write them."""
    if not 1 <= images <= HELD_OUT:
        raise ValueError(f"images={images} must be between 1 and {HELD_OUT}")
    check_size("n", n)
    found = Outputs(out / "table.tsv", out / "early_stopping.tsv", out / "certified_accuracy.png")
    check_table_free(found.table, force=force)
    for path in (found.early, found.figure):
        check_free(path, force=force)
    return found
