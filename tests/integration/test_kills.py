"""A run that is killed at random moments ends in the same table, and loses no row."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from rsverify.tables.reader import read_table

SCRIPT = Path(__file__).parents[1] / "support" / "kill_runs.py"
if not hasattr(__import__("os"), "fork"):
    pytest.skip("needs fork", allow_module_level=True)


@pytest.mark.parametrize("seed", [1])
def test_twenty_kills_at_random_moments(tmp_path, seed):
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "20", str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    rows = [int(line) for line in found.stdout.split()]
    assert len(rows) == 20
    assert rows == sorted(rows), "a row was lost"
    assert any(0 < k < 120 for k in rows), "no kill in the middle: move the moments"
    assert (tmp_path / "killed.tsv").read_bytes() == (tmp_path / "undisturbed.tsv").read_bytes()
    assert read_table(tmp_path / "killed.tsv")["idx"].tolist() == list(range(120))
