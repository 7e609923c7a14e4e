"""The public names: listed once, documented, and what a type checker sees of them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rsverify

SUPPORT = Path(__file__).parents[1] / "support"
GOOD, BAD = SUPPORT / "user_code.py", SUPPORT / "user_mistakes.py"


def test_every_public_name_loads_and_is_documented() -> None:
    for name in rsverify.__all__:
        value = getattr(rsverify, name)
        assert value is not None
        if callable(value):
            assert inspect.getdoc(value), name


def test_audit_is_a_function() -> None:
    assert inspect.isfunction(rsverify.audit)


def test_user_code_uses_every_public_name() -> None:
    text = GOOD.read_text()
    assert [n for n in rsverify.__all__ if f"rsverify.{n}" not in text] == []


def checked(*files: Path, folder: Path) -> list[str]:
    """Return the lines of ``mypy --strict`` on the files."""
    pytest.importorskip("mypy")
    package = Path(rsverify.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder), "--config-file", ""]
        + [str(f) for f in files],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"MYPYPATH": "" if "site-packages" in str(package) else str(package), "PATH": ""},
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def short(revealed: str) -> str:
    """Return a revealed type as `user_code.py` writes it."""
    array = "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]"
    interval = (
        f"tuple[{array} | float, {array} | float, fallback=rsverify.bounds.interval.Interval]"
    )
    revealed = revealed.replace("'] | Literal['", "', '")
    return revealed.replace(interval, "Interval").replace(array, "array")


@pytest.mark.slow
def test_a_type_checker_sees_real_types_and_refuses_mistakes(tmp_path: Path) -> None:
    lines = checked(GOOD, BAD, folder=tmp_path)

    revealed = {
        int(m[1]): short(m[2])
        for line in lines
        if (m := re.search(r'user_code\.py:(\d+): note: Revealed type is "(.*)"', line))
    }
    wanted = {
        number: line.rpartition("  # ")[2]
        for number, line in enumerate(GOOD.read_text().splitlines(), 1)
        if line.lstrip().startswith("reveal_type(")
    }
    assert revealed == wanted
    assert [line for line in lines if "user_code.py" in line and "error" in line] == []

    refused = {
        int(m[1]) for line in lines if (m := re.search(r"user_mistakes\.py:(\d+): error", line))
    }
    mistakes = {
        number
        for number, line in enumerate(BAD.read_text().splitlines(), 1)
        if "rsverify." in line and not line.startswith(("import", "from", "def", '"""'))
    }
    assert refused == mistakes
