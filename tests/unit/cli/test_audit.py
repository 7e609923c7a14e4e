"""The command ``rsverify audit``: its exit codes are its verdict."""

import json
import math
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

from rsverify._core.load_function import load_function, portable_function
from rsverify.cli import app as cli

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
    report = tmp_path / "new" / "report.json"
    options = ["--estimand", "proportion", "--n", 30, "--out", report]
    options += ["--out", tmp_path / "a.parquet", "--out", tmp_path / "a.csv"]
    options += ["--out", tmp_path / "a.png", "--out", tmp_path / "a.html"]
    code, out, _ = run(capsys, "clopper_pearson_lower", *options)
    assert code == 0
    assert out.startswith("supported: clopper_pearson_lower, proportion, n=30, alpha=0.05")
    assert json.loads(report.read_text())["verdict"] == "supported"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_parquet(tmp_path / "a.parquet")) == 1
    assert len(pd.read_csv(tmp_path / "a.csv")) == 1
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert "As promised: the bound fails to cover the proportion" in out


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


def test_a_file_is_found_by_workers_in_other_processes(capsys, tmp_path):
    """They neither share the folder it is run from nor the modules that it imports."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "helper_of_a_bound.py").write_text("shift = 0.5")
    path = tmp_path / "folder" / "bound_with_helper.py"
    path.write_text(
        "import helper_of_a_bound\n"
        "def lower(x, alpha):\n    return x.mean(axis=-1) - helper_of_a_bound.shift\n"
    )
    options = [f"{path}:lower", "--n", 20, "--replications", 400]
    code, out, _ = run(capsys, *options, "--jobs", 2)
    assert code == 0
    assert run(capsys, *options)[1] == out


def test_an_interrupted_audit_says_how_to_go_on(capsys, tmp_path):
    path, store = tmp_path / "interrupted_bound.py", tmp_path / "blocks.jsonl"
    path.write_text("def lower(x, alpha):\n    raise KeyboardInterrupt\n")
    store.write_text("")
    options = [f"{path}:lower", "--n", 5, "--store", store, "--resume"]
    code, _, err = run(capsys, *options)
    assert code == 130
    assert "go on with --resume" in err


def test_the_bar_is_shown_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rsverify._core.progress.is_live", lambda _console: True)
    code, out, err = run(capsys, "hoeffding_lower", "--n", 50, "--replications", 1000)
    assert code == 0
    assert "auditing" in err
    assert "auditing" not in out


def test_store_and_resume(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    store = tmp_path / "blocks.jsonl"
    options = ["empirical_bernstein_lower", "--n", 20, "--replications", 300, "--store", store]
    code, out, err = run(capsys, *options)
    assert (code, err) == (0, "")  # no bar where nobody looks
    assert run(capsys, *options, "--resume") == (0, out, "")
    code, _, err = run(capsys, *options)
    assert code == 73
    assert "exists already" in err
    code, _, err = run(capsys, *options, "--resume", "--seed", 1)
    assert code == 64
    assert "seed=1 must be 0 to resume" in " ".join(err.split())


def test_search(capsys):
    options = ["--method", "search", "--n", 5, "--replications", 300]
    code, out, _ = run(capsys, "hoeffding_lower", *options)
    assert code == 0
    rows = [line[2:] for line in out.splitlines() if line[:2] in ("  ", "> ")]
    assert sum(row.startswith("found ") for row in rows) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["hoeffding_lower", "--n", 5, "--out", "report.doc"], 64, "must end in one of"),
        (["hoeffding_lower", "--n", 5, "--resume"], 64, "needs store"),
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


def test_functions_of_files_can_be_sent_to_other_processes(bounds):
    function = pickle.loads(pickle.dumps(portable_function(f"{bounds}:point")))
    counts = np.array([[3, 7]])
    assert function.__name__ == "point"
    np.testing.assert_array_equal(
        function(counts, 0.05), load_function(f"{bounds}:point")(counts, 0.05)
    )
    assert portable_function("math:sqrt") is math.sqrt


def test_load_function(bounds, tmp_path):
    assert load_function(f"{bounds}:point").__name__ == "point"
    assert load_function("rsverify.bounds.mean:hoeffding_lower").__name__ == "hoeffding_lower"
    with pytest.raises(ValueError, match="has no function 'number'"):
        load_function(f"{bounds}:number")
    broken = tmp_path / "broken_bounds.py"
    broken.write_text("1 / 0")
    with pytest.raises(ValueError, match="cannot be run: ZeroDivisionError"):
        load_function(f"{broken}:f")


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), AssertionError])
def test_an_internal_error_is_70_and_no_verdict(capsys, monkeypatch, error):
    from rsverify.auditing import task

    def broken(*_a, **_k):
        raise error

    monkeypatch.setattr(task, "simulate", broken)
    code, out, err = run(capsys, "hoeffding_lower", "--n", 5)
    assert code == 70
    assert "internal error: " in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_an_internal_error_of_the_audit_of_the_paper_is_70(capsys, monkeypatch):
    from rsverify.paper import audit as paper

    def broken(**_k):
        raise RuntimeError
        yield

    monkeypatch.setattr(paper, "audit_paper", broken)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["audit-paper"])
    assert stopped.value.code == 70
    assert "internal error" in capsys.readouterr().err


def test_usage_errors_of_a_bound_are_64(capsys, tmp_path):
    path = tmp_path / "useless_bounds.py"
    path.write_text(
        "import numpy as np\n"
        "def two(x, alpha):\n    return np.zeros((len(x), 2))\n"
        "def sample(x, alpha):\n    return x.mean(axis=-1) / 0\n"
        "def fails(x, alpha):\n    raise KeyError('no such thing')\n"
        "def bets(x, m, alpha):\n    return 0 * x\n"
    )
    for name, text in (("two", "returned shape (7, 2)"), ("fails", "KeyError: 'no such thing'")):
        code, _, err = run(capsys, f"{path}:{name}", "--n", 20)
        assert code == 64
        assert text in err
    code, _, err = run(capsys, f"{path}:bets", "--n", 5, "--kind", "bets", "--method", "exact")
    assert (code, "--method must be left out" in err) == (64, True)
    assert run(capsys, f"{path}:bets", "--n", 5, "--kind", "bets", "--seed", 3)[0] == 0
    options = ["clopper_pearson_upper", "--n", 5, "--estimand", "proportion"]
    assert run(capsys, *options)[0] == 0
    assert run(capsys, *options, "--side", "lower")[0] == 64


PROGRAM = """
import sys
for line in sys.stdin:
    k, l = map(int, line.split(","))
    if k == 3:
        sys.exit("three is not known")
    print(k / (k + l) - 0.4)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return f"{sys.executable} {path}"


def test_a_program_is_audited(capsys, program):
    options = ["--estimand", "proportion", "--n", 12, "--command", program]
    code, out, err = run(capsys, *options, "--alpha", 0.05)
    assert code == 1
    said = " ".join(out.split())
    assert said.startswith(f"refuted: {program}, proportion")
    assert "CommandCrashError: exit code 1: three is not known; for example [3, 9]" in said
    assert "one lower limit for each of 7 replications" in err or "other rows of a batch" in err


def test_wrong_use_of_a_program(capsys, program):
    options = ["--estimand", "proportion", "--n", 12]
    for more, message in (
        (["--command", program, "hoeffding_lower"], "bound='hoeffding_lower' must be left out"),
        (["--command", program, "--jobs", 2], "jobs=2 must be 1 with --command"),
        ([], "bound=None must name a bound"),
        (["--command", program, "--timeout", 0], "timeout=0"),
        (["--command", "echo 1"], "must print one line for each of 7 lines"),
        (["--command", program, "--kind", "bets"], "must be left out with --kind bets"),
    ):
        code, out, err = run(capsys, *options, *more)
        assert (code, out) == (64, ""), more
        assert message in err
        assert err.count("\n") == 1
    code, _, err = run(capsys, *options, "--command", "no-such-program x")
    assert code == 66
    assert "no-such-program" in err


def test_one_call_is_told_before_the_audit(capsys, bounds):
    _, _, err = run(capsys, f"{bounds}:point", "--estimand", "proportion", "--n", 30)
    assert "one call with data of shape (7, 2) returned shape (7,): one lower limit for" in err
    _, _, err = run(capsys, "clopper_pearson_lower", "--estimand", "proportion", "--n", 30)
    assert "one call" not in err
