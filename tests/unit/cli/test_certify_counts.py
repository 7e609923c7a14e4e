"""Vote counts from a file, through one command, to a table."""

import json

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_table
from rsverify.cli.app import main
from rsverify.tables import margins
from rsverify.tables.reader import read_metadata, read_table

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
        (["--y", "0"], 64, "--sigma must be given"),
        (OPTIONS, 64, "the class is not said: give one of y"),
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
    assert run(tmp_path / "votes.csv", "--y", 0, *OPTIONS) != 0
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
