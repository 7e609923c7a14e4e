"""What comes from files and options is shown, and never obeyed, by the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from rich.table import Table

from rsverify._core.text import printable
from rsverify.cli import app as cli
from rsverify.cli.console import PlainConsole, print_lines, print_warning

HOSTILE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x1bPq\x1b\\",
    "a\rb",
    "a\x08b",
    "line\nbreak",
    "\u202eright to left",
    "\u2066isolate",
    "\u2028separator",
    "[bold]",
    "[/x]",
    "[link=http://evil.example]click[/link]",
    "[red",
    ":smile:",
    "\\[x]",
]
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u2069]")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


@pytest.mark.parametrize("text", HOSTILE)
def test_lines_cells_and_titles_are_shown_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console = PlainConsole()
    console.print(text, soft_wrap=True)
    table = Table(title=text)
    table.add_column(text, no_wrap=True)
    table.add_row(text)
    console.print(table)
    print_lines(text.replace("\n", " "))
    print_warning(text)
    shown = capsys.readouterr()
    assert not OBEYED.search(shown.out + shown.err)
    assert shown.out.count(printable(text)) >= 4
    assert printable(text) in shown.err


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_of_files_and_tables(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "recertify", tmp_path / text)
    assert code == 66
    assert printable(str(Path(text))) in err
    path = tmp_path / f"{text.replace('/', '-')}.tsv"
    table = pd.DataFrame({"idx": range(20), "label": 1, "predict": 1, "radius": 0.3})
    table.assign(correct=1, time=0.0).to_csv(path, sep="\t", index=False)
    other = tmp_path / "other.tsv"
    other.write_bytes(path.read_bytes())
    for options in ((), ("--name", text, "--name", "b"), ("--markdown", tmp_path / f"{path}.md")):
        code, out, err = run(capsys, "analyze", path, other, *options)
        assert code == 0, err
        assert not OBEYED.search(out + err)
        assert printable(text.replace("/", "-" if "--name" not in options else "/"))[:6] in out
    code, out, err = run(capsys, "analyze", path, f"--{text}")
    assert code == 64
    assert not OBEYED.search(out + err)


def test_a_bound_of_a_hostile_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "[bold]\x1b[31m.py"
    path.write_text("def lower(x, alpha):\n    return 0 * x.sum(axis=1)\n")
    code, out, err = run(capsys, "audit", f"{path}:lower", "--n", 5, "--estimand", "proportion")
    assert code == 0, err
    assert not OBEYED.search(out + err)


def test_a_console_is_as_wide_as_columns_says_when_it_prints(monkeypatch):
    """Consoles are made on import, perhaps where COLUMNS is set: it does not hold for good."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    console = PlainConsole()
    for columns, lines in ((60, 20), (133, 50), (80, 24)):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        assert console.size == (columns, lines)
