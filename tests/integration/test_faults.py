"""A run that is killed, or fails, at any call of the system ends in the bytes it would have had.

All calls that change a file or a folder are broken one after the other: open, write (before it
and after half of it), fsync, ftruncate, close, replace, unlink, mkdir; by a kill, and by an
error after which a disk stays full. Then the same is done again, undisturbed. The tables have
no times (``record_time=False``); all else, names of files included, must be the same.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[1] / "support" / "fault_runs.py"
if not hasattr(__import__("os"), "fork"):
    pytest.skip("needs fork", allow_module_level=True)


def break_every(step, work, tmp_path):
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), work, str(step)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize("work", ["run", "merge", "resumed store"])
def test_broken_at_some_calls(tmp_path, work):
    calls = break_every(7, work, tmp_path)
    assert {"open", "write", "fsync", "close", "unlink"} <= set(calls.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        "run",
        "resume",
        "sort",
        "merge",
        "force",
        "store",
        "resumed store",
        "whole table",
        "replaced table",
    ],
)
def test_broken_at_every_call(tmp_path, work):
    break_every(1, work, tmp_path)
