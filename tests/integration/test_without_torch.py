"""What needs no torch is tested where there is none: by `.ci/versions` with other Pythons."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
"""


@pytest.mark.slow
def test_the_tests_for_other_pythons_are_collected_without_torch(tmp_path: Path) -> None:
    text = (ROOT / ".ci" / "versions").read_text("utf-8")
    folders = re.findall(r"\btests/[\w./]+", text)
    assert "tests/unit/certificates" in folders
    (tmp_path / "blocked.py").write_text(BLOCKED, "utf-8")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    options = ["-p", "blocked", "-o", "addopts=", "-q", "--collect-only", "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *folders],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "test_early_threats" in done.stdout
