"""`rsverify plan` and `certify --dry-run`: the three sources of a plan, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsverify.cli.app import main

ASKED = ["--sigma", "0.25", "--target-radius", "0.1", "--n", "500", "--alpha", "0.01"]
COUNTS = "label,c0,c1,c2\n0,180,15,5\n1,60,130,10\n2,70,65,65\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_assumed_probabilities(capsys: Any, tmp_path: Path) -> None:
    place = tmp_path / "plan.json"
    figure = tmp_path / "plan.png"
    arguments = ["plan", "--probabilities", "0.8,0.15,0.05", *ASKED, "--inputs", "100"]
    more = ["--passes-per-second", "1000", "--json", str(place), "--figure", str(figure)]
    code, out, err = run(capsys, *arguments, *more)
    assert (code, err) == (0, "")
    assert "Votes per input that certify with probability 0.9" in out
    assert f"Written: {figure}" in out
    plan = json.loads(place.read_text())
    assert plan["passes"] == 100 * 600
    assert plan["seconds"] == 60
    code, out, _ = run(capsys, *arguments, "--format", "json")
    assert json.loads(out)["needed"] == plan["needed"]
    code, _, err = run(capsys, *arguments, "--json", str(place))
    assert (code, "exists" in err) == (73, True)


def test_votes_of_a_pilot(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("counts.csv").write_text(COUNTS)
    code, out, _ = run(capsys, "plan", "counts.csv", *ASKED, "--format", "json")
    assert code == 0
    first = json.loads(out)
    assert first["source"] == "a pilot of 200 votes on 3 inputs"
    run(capsys, "certify-counts", "counts.csv", "t.tsv", "--sigma", "0.25", "--certify-label")
    code, out, _ = run(capsys, "plan", "t.tsv", *ASKED, "--format", "json")
    assert code == 0
    assert json.loads(out)["inputs"] == 3
    code, _, err = run(capsys, "plan", "counts.csv", *ASKED[2:], "--noise", "uniform:0.5")
    assert (code, err) == (0, "")


NET = """
import torch

def net():
    made = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(made.weight)
    return made
"""


def test_a_model_and_data(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    x = np.array([[1, 0], [0, 1], [0.5, 0]], dtype=np.float32)
    np.savez("data.npz", x=x, y=np.array([0, 1, 0]))
    before = sorted(tmp_path.iterdir())
    named = ["net.py:net", "data.npz", "--num-classes", "2"]
    quick = ["--pilot-seconds", "0.1", "--format", "json"]
    code, out, _ = run(capsys, "plan", *named, *ASKED, *quick)
    assert code == 0
    plan = json.loads(out)
    assert (plan["inputs"], plan["passes"]) == (3, 3 * 601)
    assert plan["cost"]["passes_per_second"] > 100
    code, out, _ = run(capsys, "certify", *named, *ASKED, "--dry-run")
    assert code == 0
    assert "Forward passes of 3 inputs" in out
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != "__pycache__"] == before
    code, out, err = run(capsys, "certify", *named, "t.tsv", *ASKED)
    assert code == 0
    assert "estimate: at most 1,803 forward passes, less than 5 s" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ASKED], "a model with DATA, the file of a pilot's votes, or --probabilities"),
        (["x.csv", "--probabilities", "1,0", *ASKED], "a model with DATA"),
        (["--probabilities", "0.5,half", *ASKED], "probabilities='0.5,half' must be numbers"),
        (["--probabilities", "0.5,0.5", "--sigma", "0.25"], "target_radius must be given"),
        (["m.py:f", "d.npz", "--inputs", "3", *ASKED], "inputs=3 must be left out with a model"),
        (["--probabilities", "1,0", *ASKED, "--sigma", "1"], "must be one value"),
        (["--probabilities", "1,0", *ASKED, "--precision", "0.1"], "precision=0.1 must be left"),
    ],
)
def test_what_is_refused(capsys: Any, arguments: list[str], message: str) -> None:
    code, _, err = run(capsys, "plan", *arguments)
    assert code == 64
    assert message in err
    assert len(err.strip().splitlines()) == 1
