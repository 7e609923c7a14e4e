"""What all that works on the rows of a table in memory checks and changes alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rsverify._core.check import shown
from rsverify._core.errors import DataError
from rsverify.certificates.certificate import ABSTAIN


def check_table(table: object) -> None:
    """Raise where `table` is no data frame."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"table={shown(table)} must be a pandas.DataFrame, as rsverify.read_table returns it"
        )


def check_any_rows(table: pd.DataFrame) -> None:
    """Raise where there is no row."""
    if len(table) == 0:
        raise DataError("table has no rows; it must have at least one")


def check_unique_indices(table: pd.DataFrame) -> None:
    """Raise where an input has two rows."""
    if "idx" not in table.columns:
        return
    twice = table["idx"].duplicated()
    if twice.any():
        raise DataError(f"idx={table['idx'][twice].iloc[0]} occurs twice; each input must once")


def with_outcome(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return a copy of `table` with columns replaced, and `correct` made to agree."""
    new = table.assign(**columns)
    correct = (new["predict"] == new["label"]) & (new["predict"] != ABSTAIN)
    return new.assign(correct=correct.astype(np.int64))
