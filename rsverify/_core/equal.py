"""Equality of records whose missing numbers are NaN."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any


class EqualNaN:
    """Base of data classes with ``eq=False``: equal where all fields are, and NaN equals NaN.

    Python before 3.13 takes two records with the same NaN object for equal, later ones do not, and
    none does after one of them was pickled.
    """

    def __eq__(self, other: object) -> bool:
        """Return whether another record is of this type and has the same fields."""
        if type(other) is not type(self):
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        """Return the hash of the fields."""
        return hash(_compared(self))


def _compared(record: Any) -> tuple[object, ...]:
    """Return the fields, with one object for every NaN: tuples compare that by identity."""
    values = (getattr(record, f.name) for f in fields(record) if f.compare)
    return tuple(math.nan if isinstance(v, float) and math.isnan(v) else v for v in values)
