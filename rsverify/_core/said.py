"""The message of an error, whatever it does when asked for it."""

from __future__ import annotations

LONGEST = 500  # characters of a message that are kept


def told_of(error: BaseException) -> str:
    """Return the type of an error and its message, the type alone where there is none."""
    return ": ".join(filter(None, (type(error).__name__, said(error))))


def said(error: BaseException) -> str:
    """Return the message of an error in one line; an error may even fail to say what it is."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # of the error's own __str__: the audit goes on
        return "(its message cannot be read)"
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
