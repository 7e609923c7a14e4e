"""The acceptance script for GPUs runs on a CPU with small sizes, so that it cannot rot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).with_name("acceptance.py")
COMMITTED = Path(__file__).parents[2] / "coverage_studies" / "results" / "acceptance_cpu.json"

# A machine with a GPU has torch, numba, scipy, pandas and pytest, and nothing else of ours.
WITHOUT = """
import runpy, sys

for name in {missing!r}:
    sys.modules[name] = None  # neither imported nor found
sys.path.insert(0, {folder!r})
sys.argv = [{script!r}, "--device", "cpu", "--out", {out!r}]
runpy.run_path({script!r}, run_name="__main__")
"""
ABSENT = {"rich", "typer", "click", "joblib", "matplotlib", "sklearn", "hypothesis", "onnxruntime"}
NEEDS_A_GPU = {"contexts", "waits", "throughput, bf16, channels-last, compile"}


@pytest.mark.slow
def test_the_acceptance_script_runs_on_a_cpu_with_what_a_gpu_machine_has(tmp_path):
    out = tmp_path / "result.json"
    root = Path(__import__("rsverify").__file__).parents[1]
    program = WITHOUT.format(
        missing=ABSENT, folder=str(SCRIPT.parent), script=str(SCRIPT), out=str(out)
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )

    assert found.returncode == 0, found.stdout + found.stderr
    lines, _, text = found.stdout.partition("\n{")
    result = json.loads("{" + text)
    assert result == json.loads(out.read_text(encoding="utf-8"))
    assert result["stand_ins"] == ["joblib", "rich"]
    outcomes = {name: check["outcome"] for name, check in result["checks"].items()}
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == NEEDS_A_GPU
    assert set(outcomes.values()) == {"ok", "skipped"}
    assert len(lines.splitlines()) == len(outcomes)


def test_the_committed_result_is_that_of_the_checks_there_are():
    """And says of itself that it is of a CPU."""
    result = json.loads(COMMITTED.read_text(encoding="utf-8"))
    source = SCRIPT.read_text(encoding="utf-8")
    assert not result["on_a_gpu"]
    assert result["small"]
    assert result["device"]["device"] == "cpu"
    for name in result["checks"]:
        assert f'"{name.partition(",")[0]}' in source
    assert not any(check["outcome"] == "FAILED" for check in result["checks"].values())
