"""Functions of files: found by name, and no file replaces a module that is named like it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from rsverify._core.load_function import load_function, portable_function

SHADOWING = ("random", "torch", "numpy", "json", "rsverify", "typing", "statistics", "pandas")
BODY = """
import dataclasses
import random
import numpy

@dataclasses.dataclass
class Pair:
    a: int = 1

def answer():
    return 42, Pair().a, random.Random(0).random(), numpy.float64(1.0)
"""


@pytest.mark.parametrize("name", SHADOWING)
def test_a_file_named_like_a_module_does_not_replace_it(name: str, tmp_path: Path) -> None:
    before = __import__(name)
    (tmp_path / f"{name}.py").write_text(BODY if name != "random" else BODY.replace("x", "x"))
    function = load_function(f"{tmp_path}/{name}.py:answer")
    assert function()[:2] == (42, 1)
    assert sys.modules[name] is before
    assert __import__(name) is before
    assert function.__module__ != name
    assert portable_function(f"{tmp_path}/{name}.py:answer")()[0] == 42


def test_a_module_that_is_not_loaded_yet_is_not_replaced(tmp_path: Path) -> None:
    name = "sndhdr_of_tests" if "wave" in sys.modules else "wave"
    (tmp_path / "wave.py").write_text(BODY)
    assert load_function(f"{tmp_path}/wave.py:answer")()[0] == 42
    import wave

    assert hasattr(wave, "Wave_read"), name


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    made = []
    for folder, value in (("a", 1), ("b", 2)):
        path = tmp_path / folder / "same_name_of_tests.py"
        path.parent.mkdir()
        path.write_text(f"VALUE = {value}\ndef answer():\n    return VALUE\n")
        made.append(load_function(f"{path}:answer"))
    assert [function() for function in made] == [1, 2]
    assert len({function.__module__ for function in made}) == 2
    assert all(pickle.loads(pickle.dumps(function)) is function for function in made)


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "changes_in_tests.py"
    for value in (10, 200):
        path.write_text(f"def answer():\n    return {value}\n")
        os.utime(path, (value, value))
        function = load_function(f"{path}:answer")
        assert function() == value
        assert function.__module__ == "changes_in_tests"


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    path = tmp_path / "fails_in_tests.py"
    for body in ("1 / 0", "import sys\nsys.exit(0)", "def answer(:\n"):
        path.write_text(body)
        with pytest.raises(ValueError, match=r"fails_in_tests\.py cannot be run: \w+: "):
            load_function(f"{path}:answer")
        assert "fails_in_tests" not in sys.modules


@pytest.mark.parametrize("name", ["torch", "random", "rich", "pandas"])
def test_files_in_the_current_folder_replace_no_module(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('replaced')\n")
    (tmp_path / "mine.py").write_text("def lower(x, alpha):\n    return 0 * x.sum(axis=1)\n")
    root = Path(__file__).parents[3]
    for bound in ("mine:lower", "mine.py:lower"):
        command = [sys.executable, "-m", "rsverify", "audit", bound, "--n", "4"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        assert "replaced" not in done.stderr, done.stderr
        assert done.returncode in (0, 2), done.stderr
