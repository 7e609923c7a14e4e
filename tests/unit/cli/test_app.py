import json
import os
import shlex
import subprocess
import sys

import pytest

from rsverify.certificates.counts import certify_counts
from rsverify.certificates.margins import margin_lower_bounds
from rsverify.cli import app as cli
from rsverify.tables.reader import read_metadata, read_table
from rsverify.tables.writer import TableWriter


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


@pytest.fixture
def counted(tmp_path):
    path = tmp_path / "counted.tsv"
    with TableWriter(path, configuration={"from": "a test"}) as writer:
        for i, counts in enumerate([[900, 60, 40], [500, 300, 200], [300, 600, 100]]):
            options = {"sigma": 0.25, "alpha": 0.001, "bound": "cohen"}
            chosen = [k // 10 for k in counts]  # of a sample of its own
            writer.write(i, 0, certify_counts(counts, selection=chosen, **options))
    return path


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "published.tsv"
    rows = ["0\t3\t3\t0.486\t1\t16.6", "20\t7\t7\t1.84\t1\t17.2", "40\t4\t-1\t0.0\t0\t17.5"]
    path.write_text("\n".join(["idx\tlabel\tpredict\tradius\tcorrect\ttime", *rows]) + "\n")
    return path


def test_bound_shows_every_method_for_both_estimands(capsys):
    code, out, err = run(capsys, "bound", 60, 25, 15, "--y", 0, "--alpha", 0.05)

    assert (code, err) == (0, "")
    assert "60 of 100 votes" in out
    rows = {line[:28].strip(): line.split()[-2:] for line in out.splitlines() if "." in line}
    for name, options in {
        "Cohen": {"bound": "cohen"},
        "Bonferroni": {"bound": "bonferroni"},
        "exact (likelihood-ratio)": {},
        "exact (difference)": {"ordering": "difference"},
        "exact (bonferroni)": {"ordering": "bonferroni"},
        "exact (taylor:5)": {"ordering": "taylor:5"},
    }.items():
        for shown, estimand in zip(rows[name], ("difference", "probit"), strict=True):
            limit = margin_lower_bounds([60, 25, 15], 0, 0.05, estimand=estimand, **options)
            assert limit - 1e-5 <= float(shown) <= limit


def test_bound_shows_radii_where_sigma_is_given(capsys):
    code, out, _ = run(capsys, "bound", 900, 60, 40, "--y", 0, "--sigma", 0.5)

    assert code == 0
    line = next(line for line in out.splitlines() if "exact (likelihood-ratio)" in line)
    shown = [float(cell) for cell in line.split()[-2:]]
    for value, kind in zip(shown, ("R1", "R2"), strict=True):
        radius = certify_counts([900, 60, 40], sigma=0.5, alpha=0.001, y=0, radius=kind).radius
        assert radius - 1e-5 <= value <= radius


def test_bound_of_no_votes_is_minus_infinity_not_an_error(capsys):
    code, out, _ = run(capsys, "bound", 0, 100, "--y", 0, "--sigma", 0.5)

    assert code == 0
    assert "−∞" in out
    assert "—" in out


def test_recertify_at_another_level_and_bound(capsys, counted, tmp_path):
    out_path = tmp_path / "new.tsv"
    code, out, err = run(
        capsys, "recertify", counted, out_path, "--alpha", 0.05, "--bound", "exact"
    )

    assert (code, err) == (0, "")
    assert "before" in out
    assert "after" in out
    new = read_table(out_path)
    for counts, radius in zip(
        new[["count_0", "count_1", "count_2"]].to_numpy(), new["radius"], strict=True
    ):
        exact = certify_counts(counts, sigma=0.25, alpha=0.05, y=int(counts.argmax())).radius
        assert exact - 1e-6 <= radius <= exact
    assert read_metadata(out_path)["configuration"]["before"] == {"from": "a test"}


PUBLISHED = ("--n", 100_000, "--sigma", 0.5, "--stated-alpha")


def test_recertify_names_the_command_that_published_radii_fit(capsys, tmp_path):
    """Radii of alpha 0.01, stated as 0.001: 1.96 is above what all votes give at that."""
    path, out_path = tmp_path / "wide one.tsv", tmp_path / "new.tsv"
    rows = [f"{i}\t3\t3\t{r}\t1\t16.6" for i, r in enumerate(("0.486", "1.96", "1.91", "1.96"))]
    path.write_text("\n".join(["idx\tlabel\tpredict\tradius\tcorrect\ttime", *rows]) + "\n")
    code, _, err = run(capsys, "recertify", path, out_path, *PUBLISHED, 0.001)

    assert code == 64
    assert err.count("\n") == 1
    assert f"error: {path}: 2 of 4 radii cannot have come from alpha=0.001" in err
    assert "the likeliest alpha is 0.01, at which 4 of 4 are possible" in err
    assert "--force" in err
    assert not out_path.exists()
    command = shlex.split(err.partition("`")[2].partition("`")[0])
    assert command[0] == "rsverify"
    assert run(capsys, *command[1:])[0] == 0
    new = read_table(out_path)
    assert set(new["alpha"]) == {0.001}
    assert new["radius"].max() < 1.91
    assert (new["predict"] == 3).all()


def test_recertify_goes_on_where_it_is_forced_and_says_what_is_lost(capsys, published):
    code, out, err = run(capsys, "recertify", published, *PUBLISHED, 0.001)
    assert (code, err) == (0, "")

    code, out, err = run(capsys, "recertify", published, *PUBLISHED, 0.000001, "--force")
    assert code == 0
    assert err.startswith("warning: 1 of 2 radii cannot have come from alpha=1e-06")
    assert "the rows that do not fit (1) become abstentions" in err
    assert err.count("\n") == 1
    assert "Certified accuracy of 3 inputs" in out


def test_recertify_reads_a_table_that_was_cut_off(capsys, counted):
    counted.write_bytes(counted.read_bytes()[:-3])
    code, out, err = run(capsys, "recertify", counted, "--alpha", 0.01)

    assert code == 0
    assert "was cut off and is dropped" in err
    assert "of 2 inputs" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bound", "60", "25"], 64, "Missing option '--y'"),
        (["bound", "--y", "0"], 64, "Missing argument"),
        (["bound", "60", "25", "--y", "2"], 64, "y=2 must be a class between 0 and 1"),
        (["bound", "60", "25", "--y", "0", "--alpha", "1.2"], 64, "alpha=1.2 must be in (0, 1)"),
        (["bound", "60", "x", "--y", "0"], 64, "'x'|valid integer"),
        (["bound", "60", "25", "--y", "0", "--sigma", "0"], 64, "sigma=0.0 must be positive"),
        (["frobnicate"], 64, "No such command"),
        (["recertify", "absent.tsv"], 66, "absent.tsv: No such file"),
        (["recertify", "PUBLISHED"], 64, "has radii only: --n must be given"),
        (["recertify", "COUNTED", "--sigma", "1"], 64, "sigma is for tables of radii only"),
        (
            ["recertify", "COUNTED", "--bound", "best"],
            64,
            "bound='best' must be one of",
        ),
        (
            ["recertify", "PUBLISHED", "--n=9", "--sigma=1", "--stated-alpha=0.1", "--bound=exact"],
            64,
            "must be 'cohen' for a table of radii only",
        ),
        (["recertify", "COUNTED", "FOLDER", "--alpha", "0.1"], 73, "is a directory"),
    ],
)
def test_users_error_is_one_line_and_a_code(
    capsys, counted, published, tmp_path, arguments, code, message
):
    places = {"COUNTED": str(counted), "PUBLISHED": str(published), "FOLDER": str(tmp_path)}
    found, _, err = run(capsys, *(places.get(a, a) for a in arguments))

    assert found == code
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert any(part in err for part in message.split("|"))


def test_traceback_on_request_and_for_our_own_errors(capsys, monkeypatch):
    _, _, err = run(capsys, "--traceback", "bound", 60, 25, "--y", 2)
    assert "Traceback" in err

    def broken(*_arguments, **_options):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("rsverify.certificates.margins.margin_lower_bounds", broken)
    code, _, err = run(capsys, "bound", 60, 25, "--y", 0)
    assert code == 70
    assert err.startswith("error: internal error: ZeroDivisionError: ours; ")
    assert "Traceback" in run(capsys, "--traceback", "bound", 60, 25, "--y", 0)[2]


def test_missing_package_is_named_with_its_remedy(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else 1)
    code, _, err = run(capsys, "demo")

    assert code == 69
    assert "torch is not installed" in err
    assert "rsverify[demo]" in err


def test_version_and_help(capsys):
    assert run(capsys, "--version")[1].startswith("rsverify ")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in ("bound", "certify", "recertify", "demo"):
        assert command in out
    code, out, err = run(capsys)
    assert code == 64
    assert "Usage" in out + err


def test_help_loads_nothing_heavy():
    program = (
        "import sys\n"
        "from rsverify.cli import app as cli\n"
        "try:\n"
        "    cli.main(['bound', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'numba', 'scipy', 'pandas', 'matplotlib', 'sklearn'}\n"
        "print('HEAVY', sorted(heavy & sys.modules.keys()))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert found.stdout.splitlines()[-1] == "HEAVY []"


def test_configuration_is_json(counted, tmp_path, capsys):
    run(capsys, "recertify", counted, tmp_path / "new.tsv", "--alpha", 0.05)
    content = json.loads((tmp_path / "new.json").read_text())
    assert content["configuration"]["alpha"] == 0.05
