"""Every command at 80 columns is as its kept screen, and loses nothing at any width."""

from __future__ import annotations

import json
import math
import re
import shlex

import pytest
import typer

pytest.importorskip("torch")

from tests.support.screens import (
    FOLDER,
    NAMES,
    WIDTH,
    folder_of_files,
    kept,
    show,
    wanted,
)

REMEDY = "run: python -m tests.support.screens (see docs/contributing.md)"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
HELPS = [name for name in wanted() if name.endswith("help")]
RESULTS = [name for name in wanted() if not name.endswith("help")]
SLOW = {"audit-paper": pytest.mark.slow}
WITHOUT_NUMBERS = {"bounds", "new-bound"}
# The names of types in a help text are typer's, and change with it.
KNOWN_TYPER = "0.29.2"


def marked(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=SLOW.get(name, ())) for name in names]


@pytest.fixture(autouse=True)
def files():
    with folder_of_files():
        yield


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_a_screen_of_its_help_and_of_a_result(command):
    commands = [shlex.split(line)[0] for name, line in kept().items() if not name.endswith("help")]
    assert command in commands, f"no screen of {command}; {REMEDY}"
    assert f"{command}.help" in kept(), f"no help of {command}; {REMEDY}"


def test_no_screen_is_of_a_command_that_is_gone():
    of = {shlex.split(line)[0] for line in kept().values()}
    assert of <= {*NAMES, "--help"}


@pytest.mark.parametrize("name", [*HELPS, *marked(RESULTS)])
def test_the_screen_is_as_it_is_kept(name):
    if name in HELPS and typer.__version__ != KNOWN_TYPER:
        pytest.skip(f"typer {typer.__version__} names types otherwise than {KNOWN_TYPER}")
    command = wanted()[name]
    found = show(command).text(command)
    assert found == (FOLDER / f"{name}.txt").read_text("utf-8"), REMEDY


@pytest.mark.parametrize("name", HELPS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_fits_and_keeps_every_default(name, width):
    found = show(wanted()[name], width)
    assert found.code == 0
    assert max(map(len, found.out.splitlines())) <= width
    command = typer.main.get_command(__import__("rsverify.cli.app").cli.app.app)
    if name != "help":
        command = command.commands[name.removesuffix(".help")]
    text = " ".join(found.out.split())
    for option in command.params:
        if getattr(option, "hidden", False):
            continue
        if option.opts[0].startswith("-"):
            assert max(option.opts, key=len) in text
        default, shown = option.default, getattr(option, "show_default", False)
        if isinstance(shown, str):
            assert f"[default: ({shown})" in text
        elif shown and default is not None and not isinstance(default, bool):
            assert f"[default: {default}" in text, option.name


@pytest.mark.parametrize("name", marked([n for n in RESULTS if n != "audit-paper"]))
def test_every_number_is_there_at_every_width_and_in_a_pipe(name):
    command = wanted()[name]
    numbers = {}
    for width in (60, 80, 120, None):
        with folder_of_files():
            found = show(command, width)
        assert "…" not in found.out
        numbers[width] = set(NUMBER.findall(found.out))
        if width is not None:
            for line in found.out.splitlines():
                # A longer line is one word: the name of a file, say.
                assert len(line) <= width or len(line.split()) <= 2, line
    assert len(numbers[WIDTH]) >= 2 or name in WITHOUT_NUMBERS
    assert len({frozenset(found) for found in numbers.values()}) == 1


@pytest.mark.parametrize("name", marked(RESULTS))
def test_json_is_all_that_is_printed(name):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    command = wanted()[name]
    found = show(f"{command} --format json")
    content = json.loads(found.out, parse_constant=refuse)
    assert content
    assert found.code == show_code(name)
    for number in numbers_of(content):
        assert math.isfinite(number)


def show_code(name: str) -> int:
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    return int(text.rpartition("--- exit code ")[2]) if "--- exit code " in text else 0


def numbers_of(content: object) -> list[float]:
    if isinstance(content, dict):
        return [x for value in content.values() for x in numbers_of(value)]
    if isinstance(content, list):
        return [x for value in content for x in numbers_of(value)]
    return [content] if isinstance(content, float) else []
