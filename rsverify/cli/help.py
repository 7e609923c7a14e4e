"""Help of the command line as plain text: options in groups, with their choices and defaults.

Nothing is cut at any width, and nothing in it is markup that could be eaten.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

Parsed = Any
"""Of the parser, whose classes depend on the version of typer."""

_LONGEST = 38  # of an option with its choices on the line of the option itself
_NARROW = 70  # columns; where fewer, help begins further left
_HYPHEN, _SPACE = "\u2011", "\u00a0"  # at which no line is broken


def panel_of(element: Parsed, otherwise: str) -> str:
    """Return the heading under which a command or an option is listed."""
    return getattr(element, "rich_help_panel", None) or otherwise


def _record(parameter: Parsed, context: Parsed) -> tuple[str, str] | None:
    """Return an option and its help; many choices are wrapped with the help, not on one line."""
    record: tuple[str, str] | None = parameter.get_help_record(context)
    if record is None:
        return None
    name, help = record[0], record[1].replace("\\[", "[")  # as typer before 0.25 has it
    name = re.sub(r"list\[(\w+)\]", lambda found: found[1].lower(), name, flags=re.IGNORECASE)
    listed = re.search(r"[<\[]([^<\[]*\|[^>\]]*)[>\]]$", name)
    if listed is None or len(name) <= _LONGEST:
        return name, help
    choices = listed[1].split("|")
    told = "" if all(choice in help for choice in choices) else f" One of {', '.join(choices)}."
    return f"{name[: listed.start()]}<name>", help + told


def _write_groups(
    rows: list[tuple[str, tuple[str, str]]], formatter: Parsed, *, first: tuple[str, ...] = ()
) -> None:
    """Write rows under their headings, which come in the order of their first rows."""
    headings = dict.fromkeys([*first, *(heading for heading, _ in rows)])
    for heading in headings:
        listed = [(name, _held(help)) for own, (name, help) in rows if own == heading]
        if listed:
            with formatter.section(heading):
                formatter.write_dl(listed, col_max=30 if formatter.width > _NARROW else 18)
    formatter.buffer[:] = [_let_go(text) for text in formatter.buffer]


def _held(text: str) -> str:
    """Return a text that is not broken inside a name such as likelihood-ratio, or a default."""
    return re.sub(r"(?<=\w)-(?=\w)", _HYPHEN, text).replace("[default: ", f"[default:{_SPACE}")


def _let_go(text: str) -> str:
    return text.replace(_HYPHEN, "-").replace(_SPACE, " ")


class HelpfulCommand(TyperCommand):
    """A command whose options are listed in groups."""

    def format_options(self, ctx: Parsed, formatter: Parsed) -> None:
        """Write arguments, then the options by groups; what all commands have comes last."""
        rows = []
        for parameter in self.get_params(ctx):
            record = _record(parameter, ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                rows.append((panel_of(parameter, kind), record))
        _write_groups(rows, formatter, first=("Arguments",))


class HelpfulGroup(TyperGroup):
    """The commands in groups, each with its whole first sentence."""

    def format_options(self, ctx: Parsed, formatter: Parsed) -> None:
        """Write the commands, then the options of all of them."""
        rows = []
        for name in self.list_commands(ctx):
            command: Parsed = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                sentence = " ".join((command.help or "").split("\n\n")[0].split())
                rows.append((panel_of(command, "Commands"), (name, sentence)))
        _write_groups(rows, formatter)
        options = [("Options", _record(p, ctx)) for p in self.get_params(ctx)]
        _write_groups([(h, r) for h, r in options if r is not None], formatter)

    def format_commands(self, ctx: Parsed, formatter: Parsed) -> None:
        """Write nothing more: `format_options` has written them."""
