"""The command ``rsverify compare``."""

import json

import pytest

from rsverify.cli import app as cli

FILE = """
def wald(counts, alpha):
    n = counts.sum(axis=1)
    p = counts[:, 0] / n
    return p - 1.645 * (p * (1 - p) / n) ** 0.5
"""
QUICK = ["--estimand", "proportion", "--n", "20", "--no-time"]


@pytest.fixture
def wald(tmp_path):
    path = tmp_path / "own_bounds.py"
    path.write_text(FILE)
    return f"{path}:wald"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_names_and_functions_are_compared(capsys, tmp_path, wald):
    outs = [tmp_path / f"a.{ending}" for ending in ("html", "json", "csv", "svg")]
    options = [part for out in outs for part in ("--out", out)]
    code, out, err = run(capsys, "clopper_pearson_lower", wald, *QUICK, *options)
    assert (code, err) == (0, "")
    assert out.startswith("2 lower bounds, proportion, n=20, alpha=0.05")
    assert "wald does not cover at" in " ".join(out.split())
    assert all(str(path) in out and path.stat().st_size > 100 for path in outs)
    code, out, err = run(capsys, "clopper_pearson_lower", *QUICK, "--out", outs[0])
    assert (code, out) == (73, "")
    assert "exists already" in err
    code, out, _ = run(capsys, "clopper_pearson_lower", wald, *QUICK, "--format", "json")
    assert json.loads(out)["rows"][0]["bound"] == "clopper_pearson_lower"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no_bound"], 64, "bound='no_bound'"),
        (["clopper_pearson_lower", "clopper_pearson_upper"], 64, "must be of one side"),
        (["clopper_pearson_lower", "--estimand", "modus"], 64, "estimand='modus'"),
        (["clopper_pearson_lower", "--out", "a.txt"], 64, "must end in one of"),
        (["nowhere.py:bound"], 66, "no such file"),
        (["nowhere.py"], 64, "must say which function"),
        (["clopper_pearson_lower", "--replications", "0"], 64, "replications=0"),
    ],
)
def test_wrong_use_is_one_line(capsys, arguments, code, message):
    found = run(capsys, *QUICK, *arguments)
    assert found[:2] == (code, "")
    assert message in found[2]
    assert found[2].count("\n") == 1
