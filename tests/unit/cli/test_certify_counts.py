"""Vote counts from a file, through one command, to a table."""

import json

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_table
from rsverify.cli.app import main
from rsverify.noise import Ablation, Deletion, Gaussian, Lp, Uniform
from rsverify.tables import margins
from rsverify.tables.reader import read_metadata, read_table, write_table

VOTES = np.array([[980, 15, 5], [400, 350, 250], [20, 950, 30], [3, 0, 0]])
LABELS = [0, 0, 1, 0]
OPTIONS = ["--sigma", "0.5", "--bound", "cohen"]


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["certify-counts", *map(str, arguments)])
    return end.value.code


def files(folder):
    """One table of counts as six files, with the options that each needs."""
    frame = pd.DataFrame(VOTES, columns=["c0", "c1", "c2"])
    full = frame.assign(label=LABELS, image=[f"img_{i}" for i in range(len(VOTES))])
    full.to_csv(folder / "header.csv", index=False)
    full.to_csv(folder / "index.tsv", sep="\t")
    full.to_parquet(folder / "votes.parquet")
    np.savetxt(folder / "plain.txt", np.c_[VOTES, LABELS], fmt="%d")
    renamed = full.rename(columns={"c0": "cat", "c1": "dog", "c2": "eel", "label": "truth"})
    renamed.to_csv(folder / "names.csv", sep=";", index=False)
    full[["image", "label", "c0", "c1", "c2"]].to_csv(
        folder / "bare.csv", index=False, header=False
    )
    return {
        "header.csv": [],
        "index.tsv": [],
        "votes.parquet": [],
        "plain.txt": ["--label", "-1"],
        "names.csv": ["--columns", "cat,dog,eel", "--label", "truth"],
        "bare.csv": ["--label", "1"],
    }


@pytest.mark.parametrize("name", ["header.csv", "index.tsv", "votes.parquet", "plain.txt",
                                  "names.csv", "bare.csv"])  # fmt: skip
def test_every_kind_of_file_becomes_the_same_table(name, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    options = files(tmp_path)[name]
    out = tmp_path / "certified.tsv"
    assert run(tmp_path / name, "-o", out, "--certify-label", *OPTIONS, *options) == 0

    expected = certify_table(VOTES, sigma=0.5, alpha=0.001, y=LABELS, label=LABELS, bound="cohen")
    found = read_table(out)
    columns = ["idx", "label", "predict", "correct", "status", "y", "n", "margin", "count_1"]
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False)
    assert read_metadata(out)["configuration"]["command"] == "certify-counts"
    assert "Certified accuracy of 4 inputs" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir() if "rsverify" in p.name] == []  # nothing is left


def test_the_class_to_certify(tmp_path):
    files(tmp_path)
    out = tmp_path / "certified.tsv"
    for options, y in (
        (["--y", "1"], [1, 1, 1, 1]),
        (["--y", "label"], LABELS),
        (["--winner"], [0, 0, 1, 0]),
    ):
        assert run(tmp_path / "header.csv", out, "--force", *options, *OPTIONS) == 0
        assert read_table(out)["y"].tolist() == y


def test_without_labels_nothing_is_called_correct(tmp_path, capsys):
    np.savetxt(tmp_path / "plain.csv", VOTES, fmt="%d", delimiter=",")
    assert run(tmp_path / "plain.csv", "--y", 0, *OPTIONS) == 0
    printed = capsys.readouterr().out
    assert "Fraction of 4 inputs certified within a radius, right or wrong" in printed
    assert "runner-up ahead" in printed
    assert "too few samples for alpha" in printed

    assert run(tmp_path / "plain.csv", "--y", 0, "--format", "json", *OPTIONS) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["has_labels"] is False
    reasons = {a["reason"]: a["n_for_half"] for a in content["abstentions"]}
    assert reasons["runner-up ahead"] is None
    assert reasons["too few samples for alpha"] == 10


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--y", "0"], 64, "--sigma or --noise must be given"),
        (["--y", "0", "--sigma", "1", "--noise", "uniform:1"], 64, "exactly one must be given"),
        (["--y", "0", "--noise", "uniform"], 64, "noise='uniform' must have its parameters"),
        (["--y", "0", "--noise", "ablation:0.5,784"], 64, "keep=0.5 must"),
        (["--y", "0", "--noise", "deletion:2"], 64, "probability=2.0 must be"),
        (
            ["--y", "0", "--noise", "uniform:1", "--norm", "linf"],
            64,
            "dimension=None must be given",
        ),
        (["--y", "0", "--noise", "ablation:4,9", "--norm", "l2"], 64, "norm='l2' must be one of"),
        ([*OPTIONS, "--y", "0", "--norm", "lp:0"], 64, "norm='lp:0' must be one of"),
        ([*OPTIONS, "--y", "0", "--ignore", "9"], 64, "ignore=[9] must be classes between 0 and 2"),
        ([*OPTIONS, "--y", "0", "--ignore", "0"], 64, "y=0 must not be one of ignore=(0,)"),
        ([*OPTIONS, "--y", "0", "--top-k", "2"], 64, "top_k=2 needs selection"),
        (OPTIONS, 64, "the class is not said: give one of y (--y, --certify-label"),
        (
            [*OPTIONS, "--y", "c0"],
            64,
            "y='c0' must be the number of a class, from 0, or a column beside the counts: ",
        ),
        ([*OPTIONS, "--y", "0", "--winner"], 64, "y and winner are both given"),
        ([*OPTIONS, "--y", "0", "--certify-label"], 64, "--y and --certify-label are both given"),
        ([*OPTIONS, "--y", "7"], 64, "y=7 of row 0 must be a class between 0 and 2"),
        ([*OPTIONS, "--y", "0", "--columns", "c0,c9"], 64, "columns='c9' must be a column of"),
    ],
)
def test_wrong_options_are_one_line(options, code, message, tmp_path, capsys):
    files(tmp_path)
    assert run(tmp_path / "header.csv", *options) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_bad_cell_is_one_line_with_its_place(tmp_path, capsys):
    (tmp_path / "votes.csv").write_text("c0,c1\n980,20\n97O,30\n")
    assert run(tmp_path / "votes.csv", "--y", 0, *OPTIONS) == 65
    assert "column 'c0' of " in (printed := capsys.readouterr().err)
    assert "line 3 has '97O', which is not an integer" in printed


def test_interrupted_it_says_what_is_kept_and_goes_on(tmp_path, monkeypatch, capsys):
    counts = np.random.default_rng(0).multinomial(1000, [0.8, 0.1, 0.1], 300)
    np.savetxt(tmp_path / "votes.csv", counts, fmt="%d", delimiter=",")
    out, calls = tmp_path / "new" / "out.tsv", []
    original = margins.RowBound.limits

    def limits(self, k1, *rest):
        calls.append(k1.size)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, k1, *rest)

    monkeypatch.setattr(margins.RowBound, "limits", limits)
    arguments = [tmp_path / "votes.csv", out, "--y", 0, "--sigma", "0.5", "--bound", "bonferroni"]
    assert run(*arguments) == 130
    printed = capsys.readouterr().err
    assert "interrupted: 16 of " in printed
    assert "are kept in" in printed
    assert "run the same again" in printed
    assert [p.name for p in out.parent.iterdir()] == [".out.tsv.rsverify-limits"]
    assert run(*arguments) == 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.json", "out.tsv"]
    expected = certify_table(counts, sigma=0.5, alpha=0.001, y=0, bound="bonferroni")
    assert read_table(out)["margin"].tolist() == expected["margin"].tolist()


SELECTED = np.array([[95, 4, 1], [40, 45, 15], [3, 95, 2], [1, 0, 0]])
NOISE = [
    ("--noise uniform:0.5", {"noise": Uniform(0.5)}),
    (
        "--noise uniform:0.5 --norm linf --dimension 784",
        {"noise": Uniform(0.5), "norm": "linf", "dimension": 784},
    ),
    ("--noise ablation:45,784 --ignore 2", {"noise": Ablation(45, 784), "ignore": [2]}),
    ("--noise deletion:0.97 --top-k 2", {"noise": Deletion(0.97), "top_k": 2}),
    (
        "--noise gaussian:0.5,2 --norm mahalanobis",
        {"noise": Gaussian([0.5, 2.0]), "norm": "mahalanobis"},
    ),
    ("--sigma 0.5 --norm lp:4 --dimension 12", {"sigma": 0.5, "norm": Lp(4), "dimension": 12}),
    ("--sigma 0.5 --top-k 2", {"sigma": 0.5, "top_k": 2}),
]


@pytest.mark.parametrize(("options", "python"), NOISE, ids=[options for options, _ in NOISE])
def test_noise_norm_and_runner_up_are_those_of_python(options, python, tmp_path, capsys):
    """Certified, certified again and analyzed: every command takes what is written."""
    chosen = pd.DataFrame(SELECTED, columns=["selected_0", "selected_1", "selected_2"])
    frame = pd.DataFrame(VOTES, columns=["c0", "c1", "c2"]).join(chosen).assign(label=LABELS)
    frame.to_csv(tmp_path / "votes.csv", index=False)
    out = tmp_path / "certified.tsv"
    assert run(tmp_path / "votes.csv", "-o", out, "--bound", "cohen", *options.split()) == 0
    printed = capsys.readouterr().out

    expected = certify_table(frame, alpha=0.001, bound="cohen", **python)
    write_table(expected, tmp_path / "python.tsv", configuration={})
    pd.testing.assert_frame_equal(read_table(out), read_table(tmp_path / "python.tsv"))
    assert "noise" in expected or "top_k" in expected
    asked = read_metadata(out)["configuration"]
    assert asked["noise"] == (str(python["noise"]) if "noise" in python else None)
    assert asked["ignore"] == list(python.get("ignore", []))
    average = f"{read_table(out)['radius'].mean():.4f}"
    assert average in printed
    for command in ("recertify", "analyze"):
        with pytest.raises(SystemExit) as end:
            main([command, str(out)])
        assert end.value.code == 0
        assert average in capsys.readouterr().out or command == "analyze"
