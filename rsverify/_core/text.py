"""Text from outside, such as names of files and cells of tables, made harmless to show."""

from __future__ import annotations

import json
import re

# Control characters, among them those that begin escape sequences of terminals; marks that
# change the direction of text, which make it read as something else; and halves of a pair.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Return `text` on one line, with what is not a character to look at written as an escape.

    Examples
    --------
    >>> from rsverify._core.text import printable
    >>> print(printable("a\x1b[31mb\n"))
    a\x1b[31mb\n
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found.group()), text)


def printable_lines(text: str) -> str:
    """Return `text` with its line breaks as they are, and each line as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def figure_label(name: str) -> str:
    """Return a name as matplotlib shows it unchanged."""
    # To matplotlib a pair of dollar signs is a formula, and a leading underscore hides.
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def unprintable_escaped(text: str) -> str:
    """Return JSON that says the same and holds no character that is not printable."""
    return "\n".join(
        _UNPRINTABLE.sub(lambda found: json.dumps(found.group())[1:-1], line)
        for line in text.split("\n")
    )


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has.

    Examples
    --------
    >>> from rsverify._core.text import duration
    >>> [duration(s) for s in (0.2, 59, 61, 3720, 200_000)]
    ['1 s', '59 s', '1 min 1 s', '1 h 2 min', '2 d 7 h']
    """
    whole = max(1, round(seconds))
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
