"""Shows each parameter with its own default and, where a docstring names no type, its own type.

Read alone, a docstring gives all parameters that one line names the default and the type of the
first, and a parameter with choices its first choice as a default, required or not.
"""

from __future__ import annotations

import re
from ast import literal_eval
from contextlib import suppress
from typing import Any

import griffe

_LINE = re.compile(r"^(\w+(?:, \*{0,2}\w+)*)(?: : (.+))?$")
_STATED = re.compile(r", default (.+)$")


class Signatures(griffe.Extension):
    """Corrects the parsed docstrings of a package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Correct every function and class of it."""
        _correct(pkg)


def _correct(holder: griffe.Module | griffe.Class) -> None:
    for member in holder.members.values():
        if isinstance(member, griffe.Function | griffe.Class) and member.docstring is not None:
            _as_signed(member, member.docstring)
        if isinstance(member, griffe.Module | griffe.Class):
            _correct(member)


def _as_signed(member: griffe.Function | griffe.Class, docstring: griffe.Docstring) -> None:
    signed = {parameter.name: parameter for parameter in member.parameters}
    lines = [found for line in docstring.lines if (found := _LINE.match(line))]
    types = {name: found[2] for found in lines for name in found[1].split(", ")}
    for section in docstring.parsed:
        if not isinstance(section, griffe.DocstringSectionParameters):
            continue
        for shown in section.value:
            if (parameter := signed.get(shown.name)) is None:
                continue
            stated = _STATED.search(types.get(shown.name) or "")
            shown.value = stated[1] if stated else _in_figures(parameter.default, member)
            if types.get(shown.name) is None:
                shown.annotation = parameter.annotation


def _in_figures(default: Any, member: griffe.Object) -> Any:
    """Return a default, or the value of the constant that it names."""
    with suppress(KeyError, ValueError, SyntaxError, griffe.AliasResolutionError):
        if str(default).isupper() or str(default).replace("_", "").isupper():
            named = member.module[str(default)]
            value = str(named.final_target.value if named.is_alias else named.value)
            literal_eval(value)
            return value
    return default
