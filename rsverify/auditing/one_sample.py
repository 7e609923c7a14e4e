"""Whether a function that takes a table of samples is made for a single one.

What a loop over ``x`` makes of one sample it makes of a table too, whose rows it then takes for
observations, and what comes back has the shape of the table. It shows by a table of one row, which
such a function answers otherwise than the sample by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from rsverify._core.check import FloatArray
from rsverify.auditing.estimand import Data

Asked: TypeAlias = Callable[[Data], FloatArray | None]
"""Of a table, or of one sample: what a function returns, None where that has not the right shape.

Of a table the first axis is that of its rows.
"""


def made_for_one(of_table: Asked, of_sample: Asked, data: Data) -> bool:
    """Return whether a function of tables like `data` is to be called with one row at a time.

    That is so if it takes a row by itself, and answers otherwise in the table and, otherwise
    again or not at all, in a table of one row.
    """
    whole, again = of_table(data), of_table(data)
    if whole is None or again is None or not _alike(whole, again):
        return False
    single = [of_sample(row) for row in data]
    if any(each is None for each in single) or _alike(single, whole):
        return False
    alone = [of_table(row[None]) for row in data]
    if any(each is None for each in alone):
        return True
    rows = [each[0] for each in alone if each is not None]
    return not _alike(rows, single) and not _alike(rows, whole)


def _alike(one: object, other: object) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.shape == b.shape and bool(np.allclose(a, b, equal_nan=True))
