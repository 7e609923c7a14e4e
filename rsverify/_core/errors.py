"""Errors that the command line tells apart by its exit code; in Python they are ValueErrors."""

from __future__ import annotations


class DataError(ValueError):
    """A file does not hold what it must: exit code 65."""


class UnavailableError(ValueError):
    """A device, or a version of a package that is new enough, is not there: exit code 69."""


def cause_of(error: BaseException) -> str:
    """Return the kind of a foreign error and the first line that says anything."""
    lines = (line.strip() for line in str(error).splitlines())
    return ": ".join(filter(None, (type(error).__name__, next(filter(None, lines), ""))))
