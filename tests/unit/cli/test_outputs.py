"""What commands write: nothing over what is there without --force, all checked before the work."""

import shutil

import numpy as np
import pytest

from rsverify import certify_counts
from rsverify.cli import app as cli
from rsverify.tables.reader import read_table
from rsverify.tables.writer import TableWriter


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*map(str, arguments)])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "counted.tsv"
    with TableWriter(path, configuration={"made by": "a test"}) as writer:
        for idx, votes in enumerate([900, 700, 510, 990]):
            certificate = certify_counts(
                [votes, 1000 - votes], sigma=0.25, alpha=0.001, y=0, bound="cohen"
            )
            writer.write(idx, 0, certificate)
    return path


OUTPUTS = [
    ("recertify TABLE OUT --alpha 0.01", "b.tsv"),
    ("recertify TABLE OUT --alpha 0.01", "sigma_0.25"),
    ("recertify TABLE TABLE --alpha 0.01", "counted.tsv"),
    ("analyze TABLE --json OUT", "a.json"),
    ("analyze TABLE --json OUT", "counted.json"),
    ("analyze TABLE --markdown OUT", "a.md"),
    ("analyze TABLE --latex OUT", "a.tex"),
    ("analyze TABLE --figure OUT", "a.png"),
    ("analyze TABLE --figure OUT", "a.svg"),
    ("audit hoeffding_lower --n 20 --replications 200 --out OUT", "report.json"),
    ("audit hoeffding_lower --n 20 --replications 200 --out OUT", "report.csv"),
    ("audit hoeffding_lower --n 20 --replications 200 --out OUT", "report.parquet"),
    ("audit hoeffding_lower --n 20 --replications 200 --out OUT", "report.pdf"),
]


@pytest.mark.parametrize(("command", "name"), OUTPUTS)
def test_a_file_that_is_there_is_replaced_by_force_alone(capsys, tmp_path, table, command, name):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    out = tmp_path / name
    if not out.exists():
        out.write_text("mine")
    before = files(tmp_path)
    arguments = [{"TABLE": table, "OUT": out}.get(word, word) for word in command.split()]
    code, printed, err = run(capsys, *arguments)
    assert code == 73
    assert f"{out} exists already: name another file, or give --force" in err
    assert err.count("\n") == 1
    assert printed == ""  # nothing was worked on
    assert files(tmp_path) == before
    code, _, err = run(capsys, *arguments, "--force")
    assert code in (0, 2), err
    assert out.read_bytes() != before[name]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_recertify_does_not_touch_a_json_of_the_users(capsys, tmp_path, table):
    (tmp_path / "model.json").write_text("{}")
    code, _, err = run(capsys, "recertify", table, tmp_path / "model.tsv", "--alpha", 0.01)
    assert code == 73
    assert "model.json exists already" in err
    assert not (tmp_path / "model.tsv").exists()


@pytest.mark.parametrize("name", ["out.json", "out.JSON", "x.meta.tsv"])
def test_recertify_refuses_the_name_of_a_json_before_it_works(capsys, tmp_path, table, name):
    before = files(tmp_path)
    code, out, err = run(capsys, "recertify", table, tmp_path / name, "--alpha", 0.01)
    assert code == 64
    assert "must not end in" in err
    assert out == ""
    assert files(tmp_path) == before


def test_recertify_onto_itself_keeps_every_row(capsys, table):
    assert run(capsys, "recertify", table, table, "--alpha", 0.01, "--force")[0] == 0
    again = read_table(table)
    assert again["idx"].tolist() == [0, 1, 2, 3]
    assert set(again["alpha"]) == {0.01}


def test_recertify_does_not_replace_a_table_that_is_being_written(capsys, tmp_path, table):
    out = tmp_path / "running.tsv"
    with TableWriter(out, configuration={}) as writer:
        writer.write(0, 0, certify_counts([90, 10], sigma=1.0, alpha=0.01, y=0, bound="cohen"))
        code, _, err = run(capsys, "recertify", table, out, "--alpha", 0.01, "--force")
        assert code == 73
        assert f"{out}: another process is writing it" in err
    assert len(read_table(out)) == 1


def test_an_ending_that_nothing_draws_is_refused_before_the_work(capsys, tmp_path, table):
    code, out, err = run(
        capsys, "analyze", table, "--json", tmp_path / "a.json", "--figure", tmp_path / "a.doc"
    )
    assert code == 64
    assert "must end in" in err
    assert out == ""
    assert not (tmp_path / "a.json").exists()


def test_two_outputs_one_of_which_is_there_write_neither(capsys, tmp_path, table):
    (tmp_path / "b.md").write_text("mine")
    given = ("--json", tmp_path / "a.json", "--markdown", tmp_path / "b.md")
    assert run(capsys, "analyze", table, *given)[0] == 73
    assert not (tmp_path / "a.json").exists()
    reports = ("--out", tmp_path / "r.json", "--out", tmp_path / "b.md")
    code, _, _ = run(capsys, "audit", "hoeffding_lower", "--n", 5, *reports)
    assert code == 64
    (tmp_path / "r.csv").write_text("mine")
    reports = ("--out", tmp_path / "r.json", "--out", tmp_path / "r.csv")
    code, _, _ = run(capsys, "audit", "hoeffding_lower", "--n", 5, *reports)
    assert code == 73
    assert not (tmp_path / "r.json").exists()


def test_audit_paper_checks_its_output_before_it_audits(capsys, tmp_path):
    (tmp_path / "paper.json").write_text("mine")
    code, out, err = run(capsys, "audit-paper", "--out", tmp_path / "paper.json")
    assert (code, out) == (73, "")
    assert "paper.json exists already" in err


@pytest.mark.parametrize(
    "name", ["table.tsv", "table.json", "early_stopping.tsv", "certified_accuracy.png"]
)
def test_the_demo_checks_its_outputs_before_it_trains(capsys, tmp_path, name):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    (tmp_path / name).write_text("mine")
    code, out, err = run(capsys, "demo", "--out", tmp_path)
    assert (code, out) == (73, "")
    assert f"{name} exists already" in err
    assert files(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.replace(b"0.278620", b"9.278620"), "does not match its checksum"),
        (lambda t: t.replace(b"\t900\t", b"\t990\t"), "does not match its checksum"),
        (lambda t: t.replace(b"\tsigma\t", b"\tsigme\t"), "line 2 of"),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "recertify"])
def test_a_damaged_table_is_a_line_with_its_name(capsys, table, command, damage, message):
    table.write_bytes(damage(table.read_bytes()))
    more = () if command == "analyze" else ("--alpha", 0.01)
    code, _, err = run(capsys, command, table, *more)
    assert code >= 64
    assert str(table) in err
    assert message in err
    assert err.count("\n") == 1


def test_recertify_of_a_table_whose_json_is_damaged_names_it(capsys, tmp_path, table):
    table.with_suffix(".json").write_text("[" * 100_000)
    code, _, err = run(capsys, "recertify", table, tmp_path / "out.tsv", "--alpha", 0.01)
    assert code >= 64
    assert f"{table.with_suffix('.json')} is nested too deeply" in err
    assert not (tmp_path / "out.tsv").exists()
    shutil.rmtree(tmp_path / "nothing", ignore_errors=True)


def test_counts_beyond_64_bits_are_a_line(capsys, tmp_path):
    path = tmp_path / "huge.tsv"
    head = "idx\tlabel\tpredict\tradius\tcorrect\ttime\tcount_0"
    path.write_text(f"{head}\n0\t0\t0\t0.5\t1\t1\t{10**30}\n")
    code, _, err = run(capsys, "analyze", path)
    assert code >= 64
    assert f"column 'count_0' of {path} must hold numbers" in err
    assert np.iinfo(np.int64).max < 10**30


@pytest.mark.parametrize("outputs", [("a.json", "a.json"), ("a.json", "./a.json"), ("s.json",)])
def test_two_outputs_of_one_name_are_refused_before_the_work(capsys, tmp_path, outputs):
    options = [word for name in outputs for word in ("--out", f"{tmp_path}/{name}")]
    store = ("--store", tmp_path / "s.json")
    code, out, err = run(capsys, "audit", "hoeffding_lower", "--n", 5, *store, *options, "--force")
    assert (code, out) == (64, "")
    assert "is given twice, or is the store" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["data.npz", "model.pt", "weights.tsv", "factory.py"])
def test_certify_does_not_replace_what_it_reads_force_or_not(capsys, tmp_path, out):
    pytest.importorskip("torch")
    for name in ("data.npz", "model.pt", "weights.tsv", "factory.py"):
        (tmp_path / name).write_text("mine")
    before = files(tmp_path)
    model = tmp_path / ("factory.py:net" if out == "factory.py" else "model.pt")
    given = ("certify", model, tmp_path / "data.npz", tmp_path / out)
    code, _, err = run(capsys, *given, "--checkpoint", tmp_path / "weights.tsv", "--force")
    assert code == 64
    assert "would replace" in err
    assert files(tmp_path) == before
