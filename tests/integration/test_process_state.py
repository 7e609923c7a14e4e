"""What belongs to the whole process is the caller's: first calls, failures and Ctrl-C leave it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


@pytest.mark.slow
def test_nothing_of_the_process_is_changed_for_good(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SUPPORT / "process_state.py", tmp_path / "tables"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")},
    )
    assert done.returncode == 0, done.stderr
    # The compiler of torch, which is slow to import and sets variables of its own, is not needed.
    assert done.stdout.split() == ["False", "13"]
