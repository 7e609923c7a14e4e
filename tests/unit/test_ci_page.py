"""The workflow of the page *Audit in CI*: it is a workflow, and its commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import rsverify
from rsverify.auditing.skeleton import write_skeleton

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "audit-in-ci.md"


def workflow():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return yaml.safe_load(text)


def commands() -> dict[str, str]:
    (job,) = workflow()["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "python"
    environment = os.environ | {"PYTHONPATH": str(Path(rsverify.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_it_is_a_workflow_that_runs_on_every_push():
    found = workflow()
    # YAML 1.1 reads the key `on` as true.
    assert "push" in found.get("on", found.get(True))
    (job,) = found["jobs"].values()
    assert job["runs-on"] == "ubuntu-latest"
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
    extras = re.search(r"rsverify\[(.*?)\]", commands()["Install"])
    assert extras is not None
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in known for extra in extras[1].split(","))


@pytest.mark.slow
def test_its_commands_pass_for_a_new_bound_and_fail_for_a_wrong_one(tmp_path):
    pytest.importorskip("matplotlib")
    file, _ = write_skeleton(tmp_path / "my_bound.py")
    for name in ("Test", "Audit"):
        done = run(commands()[name], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "audit.html").stat().st_size > 10_000
    assert "supported" in (tmp_path / "audit.json").read_text()
    file.write_text(file.read_text().replace("estimate - width", "estimate - 0.3 * width"))
    for name, out in (("Test", "refuted"), ("Audit", "")):
        done = run(f"{commands()[name]}{' --force' if name == 'Audit' else ''}", tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert out in done.stdout
