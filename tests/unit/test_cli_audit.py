"""The command ``rsverify audit``: its exit codes are its verdict."""

import json

import pytest

from rsverify import cli
from rsverify._factories import load_function

FILE = """
import numpy as np

def point(counts, alpha):
    return counts[:, 0] / counts.sum(axis=1)

number = 3
"""


@pytest.fixture
def bounds(tmp_path):
    path = tmp_path / "bounds_under_test.py"
    path.write_text(FILE)
    return path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["audit", *map(str, arguments)])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_supported_is_0(capsys, tmp_path):
    report = tmp_path / "report.json"
    options = ["--estimand", "proportion", "--n", 30, "--json", report]
    code, out, _ = run(capsys, "clopper_pearson_lower", *options)
    assert code == 0
    assert out.startswith("supported: clopper_pearson_lower, proportion, n=30, alpha=0.05")
    assert json.loads(report.read_text())["verdict"] == "supported"


def test_refuted_is_1(capsys, bounds):
    code, out, _ = run(capsys, f"{bounds}:point", "--estimand", "proportion", "--n", 30)
    assert code == 1
    assert "witness: at p=" in out


def test_inconclusive_is_2(capsys):
    """64 replications without a miss are too few to support a level of 0.05."""
    options = ["--estimand", "proportion", "--n", 5, "--method", "simulation"]
    code, out, _ = run(capsys, "clopper_pearson_lower", *options, "--replications", 64)
    assert code == 2
    assert "inconclusive" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no_such_bound", "--n", 5], 64, "must be a callable or one of"),
        (["betting_lower", "--n", 5, "--alpha", 2], 64, "alpha=2.0 must be in"),
        (["betting_lower"], 64, "--n"),
        (["missing.py:f", "--n", 5], 66, "missing.py"),
        (["no_such_module_at_all:f", "--n", 5], 69, "no_such_module_at_all"),
    ],
)
def test_usage_errors_are_64_and_up(capsys, arguments, code, message):
    assert run(capsys, *arguments)[0] == code
    assert message in " ".join(run(capsys, *arguments)[2].split())


def test_load_function(bounds, tmp_path):
    assert load_function(f"{bounds}:point").__name__ == "point"
    assert load_function("rsverify.bounds.mean:hoeffding_lower").__name__ == "hoeffding_lower"
    with pytest.raises(ValueError, match="has no function 'number'"):
        load_function(f"{bounds}:number")
    broken = tmp_path / "broken_bounds.py"
    broken.write_text("1 / 0")
    with pytest.raises(ValueError, match="cannot be run: ZeroDivisionError"):
        load_function(f"{broken}:f")
