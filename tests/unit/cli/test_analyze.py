"""The command ``rsverify analyze``."""

import json

import numpy as np
import pytest

from rsverify.certificates.counts import certify_counts
from rsverify.cli import app as cli
from rsverify.tables.analysis import analyze
from rsverify.tables.reader import read_table
from rsverify.tables.recertify import recertify
from rsverify.tables.writer import TableWriter, write_table

COUNTS = [[1000, 0, 0], [510, 490, 0], [20, 30, 950], [900, 60, 40]]


@pytest.fixture
def tables(tmp_path):
    """Two tables of the same inputs, at two levels, and a published one."""
    for name, alpha in (("strict", 0.001), ("loose", 0.05)):
        with TableWriter(tmp_path / f"{name}.tsv", configuration={}) as writer:
            for i, k in enumerate(COUNTS * 3):
                y = int(np.argmax(k))
                certificate = certify_counts(k, sigma=0.25, alpha=alpha, y=y, bound="cohen")
                writer.write(i, y, certificate)
    rows = ["0\t3\t3\t0.486\t1\t0:00:13.7", "20\t7\t7\t1.84\t1\t17.2", "40\t4\t-1\t0.0\t0\t1:02:03"]
    published = tmp_path / "published.tsv"
    published.write_text("\n".join(["idx\tlabel\tpredict\tradius\tcorrect\ttime", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def run(capsys, tables, monkeypatch):
    monkeypatch.chdir(tables)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["analyze", *map(str, arguments)])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run


def test_figures_of_a_table(run):
    code, out, err = run("strict.tsv", "--radii", "0,0.3")
    expected = analyze(read_table("strict.tsv"), radii=[0, 0.3])

    assert (code, err) == (0, "")
    lines = {line[:27].strip(): line[27:].strip() for line in out.splitlines()}
    assert lines["inputs"] == "12"
    for label, e in zip(("at 0", "at 0.3"), expected.certified, strict=True):
        assert lines[f"certified accuracy {label}"].startswith(f"{e.value:.3f} [")
    assert "with 95 % confidence intervals" in out


def test_tables_are_compared_and_their_levels_noted(run):
    code, out, err = run("strict.tsv", "loose.tsv", "--name", "a", "--name", "b [x]")

    assert code == 0
    assert "reference" in out
    assert "b [x]" in out
    assert err.startswith("warning: certificates of a fail with probability at most 0.001")
    assert err.count("\n") == 1


def test_tables_of_other_inputs_stand_side_by_side_uncompared(run):
    code, out, err = run("strict.tsv", "published.tsv")

    assert code == 0
    assert "different labels" in err
    assert "they are not compared input by input" in err
    assert "reference" not in out


def test_published_table(run):
    settings = ("--n", 100_000, "--sigma", 0.5, "--stated-alpha")
    code, out, err = run("published.tsv", *settings, 0.001)
    assert (code, err) == (0, "")
    assert "robust accuracy at 1.75" in out

    code, _, err = run("published.tsv", *settings, 0.000001)
    assert code == 0
    assert "radius 1.84 is above" in err
    assert "cannot have come from alpha=1e-06" in err


def test_cut_off_table_is_read_with_a_warning(run, tables):
    path = tables / "strict.tsv"
    path.write_bytes(path.read_bytes()[:-3])
    code, out, err = run("strict.tsv")

    assert code == 0
    assert "was cut off and is dropped" in err
    assert "11" in out


def test_base_predictions_from_a_file(run, tables):
    np.save(tables / "base.npy", np.array([0, 0, 2, 2] * 3))
    code, out, _ = run("strict.tsv", "--base", "base.npy")

    assert code == 0
    assert "base accuracy" in out
    assert "0.750 [" in next(line for line in out.splitlines() if "base accuracy" in line)


def test_files_are_written(run, tables):
    code, out, _ = run(
        *("strict.tsv", "--radii", "0.1", "--markdown", "new/a.md", "--latex", "a.tex"),
        *("--json", "a.json", "--figure", "a.png", "--alpha", 0.1),
    )

    assert code == 0
    assert out.count("Written: ") == 4
    assert "| certified accuracy at 0.1 |" in (tables / "new" / "a.md").read_text()
    assert r"\toprule" in (tables / "a.tex").read_text()
    content = json.loads((tables / "a.json").read_text())["tables"][0]
    expected = analyze(read_table("strict.tsv"), radii=[0.1], alpha=0.1).to_dict()
    assert content == expected | {"name": "strict"}
    assert (tables / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--markdown", "--latex", "--json"])
def test_standard_output_has_nothing_else(run, option):
    code, out, err = run("strict.tsv", option, "-", "--figure", "a.png")

    assert code == 0
    assert "Written: a.png" in err
    ends = {
        "--markdown": ("|", "|"),
        "--latex": ("\\begin{tabular}", "\\end{tabular}"),
        "--json": ("{", "}"),
    }
    assert out.startswith(ends[option][0])
    assert out.endswith(ends[option][1] + "\n")


def test_same_file_names_are_told_apart(run, tables):
    (tables / "more").mkdir()
    (tables / "more" / "strict.tsv").write_bytes((tables / "strict.tsv").read_bytes())
    code, out, err = run("strict.tsv", "more/strict.tsv", "--json", "-")

    assert (code, err) == (0, "")
    assert [t["name"] for t in json.loads(out)["tables"]] == ["strict.tsv", "more/strict.tsv"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 64, "Missing argument"),
        (["absent.tsv"], 66, "absent.tsv: No such file"),
        (["strict.tsv", "--alpha", "2"], 64, "alpha=2.0 must be in (0, 1)"),
        (["strict.tsv", "--radii", "0,x"], 64, "radii='0,x' must be numbers separated by commas"),
        (["strict.tsv", "--radii=-1"], 64, "strict.tsv: radii=-1.0 must not be negative"),
        (["strict.tsv", "--sigma", "0.5"], 64, "contradicts the table, which says 0.25"),
        (["strict.tsv", "--n", "1", "--n", "2"], 64, "--n is given 2 times for 1 tables"),
        (["strict.tsv", "--name", "a", "--name", "b"], 64, "--name is given 2 times for 1 tables"),
        (["strict.tsv", "strict.tsv"], 64, "two tables are called 'strict.tsv'"),
        (["strict.tsv", "--base", "strict.tsv"], 64, "must end in .npy"),
        (["strict.tsv", "--markdown", "strict.tsv"], 64, "would replace a table that is analyzed"),
        (["strict.tsv", "--markdown", "-", "--json", "-"], 64, "only one of --markdown and --json"),
        (["strict.tsv", "--markdown", "a", "--json", "a"], 64, "--json and --markdown are both a"),
        (["strict.tsv", "--figure", "-"], 64, "figure='-' must be a file"),
        (["strict.tsv", "--figure", "a.doc"], 64, "doc"),
        (["strict.tsv", "--json", "."], 73, ". is a directory"),
    ],
)
def test_users_error_is_one_line_and_a_code(run, tables, arguments, code, message):
    before = (tables / "strict.tsv").read_bytes()
    found, _, err = run(*arguments)

    assert found == code
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert (tables / "strict.tsv").read_bytes() == before


def test_as_papers_print_it(run, tables):
    pytest.importorskip("jinja2")
    code, out, _ = run("strict.tsv", "loose.tsv", "--paper", "--radii", "0,0.3", "-o", "t.tex")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["sigma", "bound", "table", "0", "0.3", "average", "radius"] in rows
    assert [row[:3] for row in rows if row[:1] == ["0.25"]] == [
        ["0.25", "cohen", "strict"],
        ["0.25", "cohen", "loose"],
    ]
    assert r"\begin{tabular}{lllrrr}" in (tables / "t.tex").read_text()


def test_reasons_and_the_votes_that_would_do(run):
    code, out, _ = run("strict.tsv")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "abstained: margin not positive" in line]
    assert "3 (n ≈ " in line
    assert "would certify half of the inputs that abstain" in " ".join(out.split())


def test_the_same_votes_are_said_to_be_the_same(run):
    old = read_table("strict.tsv")
    write_table(recertify(old, bound="exact"), "exact.tsv", configuration={})
    code, out, err = run("strict.tsv", "exact.tsv")
    text = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "exact certifies the same votes as strict at the same alpha" in text
    assert "the exact radius is never smaller" in text
    assert "gain: 10 %, median, 90 %" in text


def test_rows_that_do_not_say_sigma(tmp_path, capsys):
    """Of a table in which other rows do."""
    path = tmp_path / "some.tsv"
    path.write_text(
        "idx\tlabel\tpredict\tradius\tcorrect\ttime\tsigma\n"
        "0\t1\t1\t0.5\t1\t1\t\n1\t1\t1\t0.25\t1\t1\t0.5\n2\t1\t1\t0.25\t1\t1\tNA\n"
    )
    with pytest.raises(SystemExit) as end:
        cli.main(["analyze", str(path)])
    assert end.value.code == 0
    assert "certified accuracy at 0.5" in capsys.readouterr().out
