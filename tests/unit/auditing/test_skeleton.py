"""`rsverify new-bound`: what it writes passes ruff, mypy, its own test and an audit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import rsverify
from rsverify._core.load_function import load_function
from rsverify._core.types import Side, SkeletonEstimandName
from rsverify.auditing.sample_call import sample_call
from rsverify.auditing.skeleton import write_skeleton

KINDS = [(e, s) for e in get_args(SkeletonEstimandName) for s in get_args(Side)]
PACKAGE = str(Path(rsverify.__file__).parents[1])


def name_of(estimand: str, side: str) -> str:
    return f"{estimand}_{side.replace('-', '_')}_bound"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a skeleton of every kind."""
    for estimand, side in KINDS:
        write_skeleton(tmp_path / f"{name_of(estimand, side)}.py", estimand=estimand, side=side)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    # mypy finds an installed package by itself, and refuses to be told of it.
    typed = "" if "site-packages" in PACKAGE else PACKAGE
    environment = os.environ | {"PYTHONPATH": PACKAGE, "MYPYPATH": typed, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ruff_has_nothing_to_say(folder):
    pytest.importorskip("ruff")
    rules = "E,F,W,I,B,UP,N,NPY,PT,RUF,SIM,C4,D,PERF"
    run(folder, "ruff", "check", "--isolated", "--line-length=88", f"--select={rules}",
        "--config=lint.pydocstyle.convention='numpy'", ".")  # fmt: skip
    run(folder, "ruff", "check", "--isolated", ".")
    run(folder, "ruff", "format", "--isolated", "--line-length=88", "--check", ".")


@pytest.mark.slow
def test_mypy_has_nothing_to_say(folder):
    pytest.importorskip("mypy")
    run(folder, "mypy", "--strict", "--config-file=", ".")


@pytest.mark.slow
def test_the_tests_pass(folder):
    out = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-rP")
    assert f"{5 * len(KINDS)} passed" in out
    assert "above alpha" in out
    assert "every excess over alpha would have been found" in out


@pytest.mark.parametrize(("estimand", "side"), KINDS)
def test_a_skeleton_takes_the_data_and_returns_limits(folder, estimand, side):
    name = name_of(estimand, side)
    bound = load_function(f"{folder / name}.py:{name}")
    call = sample_call(bound, estimand=estimand, n=12, alpha=0.05, side=side)
    assert call.given[0] == 7
    assert call.returned == ((7, 2) if side == "two-sided" else (7,))


def test_a_file_that_is_there_is_never_written_over(tmp_path):
    file, test = write_skeleton(tmp_path / "a_bound.py")
    before = file.read_text(), test.read_text()
    with pytest.raises(FileExistsError, match="exists already: name another"):
        write_skeleton(file, side="upper")
    file.unlink()
    with pytest.raises(FileExistsError, match="test_a_bound"):
        write_skeleton(file, side="upper")
    assert not file.exists()
    assert test.read_text() == before[1]


@pytest.mark.parametrize("name", ["bound.txt", "my-bound.py", "1bound.py", "class.py", "bound"])
def test_a_name_that_is_none_of_a_function_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="must be the name of a function"):
        write_skeleton(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
