"""The demo, shortened: the whole way from training to a table and a picture."""

import json

import pytest

from rsverify.certificates.counts import certify_counts
from rsverify.certificates.early import decide_counts
from rsverify.demo import run as demo
from rsverify.demo.rows import ANSWERS, SOFT, TARGETS
from rsverify.demo.run import early_summary, explanation, finding, run_demo, summary
from rsverify.tables.reader import average_certified_radius, read_table

IMAGES, N = 12, 500


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return two runs of the same seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "EPOCHS", 4)
        folders = [tmp_path_factory.mktemp("demo") for _ in range(2)]
        return [run_demo(folder, images=IMAGES, n=N, seed=3) for folder in folders]


def test_network_learns(results):
    assert results[0].clean_accuracy > 0.8  # ten classes; guessing gives 0.1


def test_all_bounds_read_the_same_votes_and_exact_is_never_below(results):
    tables = results[0].tables
    assert list(tables) == ["cohen", "bonferroni", "exact"]
    counts = [f"count_{i}" for i in range(10)]
    for table in tables.values():
        assert table[counts].equals(tables["exact"][counts])
        assert (table[counts].sum(axis=1) == N).all()
    for other in ("cohen", "bonferroni"):
        gap = tables["exact"]["radius"] - tables[other]["radius"]
        assert (gap >= -1e-4).all()
    assert average_certified_radius(tables["exact"]) > 0


def test_rows_are_what_certify_counts_gives(results):
    for row in results[0].tables["exact"].to_dict("records"):
        expected = certify_counts(
            [row[f"count_{i}"] for i in range(10)],
            selection=[row[f"selected_{i}"] for i in range(10)],
            sigma=demo.SIGMA,
            alpha=demo.ALPHA,
        )
        assert (row["predict"], row["radius"]) == tuple(expected)
        assert row["status"] == str(expected.status)


def test_soft_tables_are_of_the_same_images(results):
    result = results[0]
    assert list(result.soft_tables) == list(SOFT)
    apart, betting = result.soft_tables.values()
    assert (apart["idx"] == result.tables["exact"]["idx"]).all()
    assert (betting["radius"] >= apart["radius"]).all()
    assert betting["radius"].mean() > apart["radius"].mean() > 0
    for table in (apart, betting):
        assert ((table["radius"] > 0) == (table["predict"] >= 0)).all()
        assert (table["correct"] == (table["predict"] == table["label"])).all()


def test_early_answers_agree_with_the_votes_of_the_table(results):
    result = results[0]
    early, exact = result.early, result.tables["exact"].set_index("idx")
    assert len(early) == IMAGES * len(TARGETS)
    assert set(early["decision"]) <= set(ANSWERS.values())
    assert early["n"].between(1, 10 * N).all()
    assert (early[early["decision"] == "undecided"]["n"] == 10 * N).all()
    for (idx, target), answer in early.set_index(["idx", "target"]).iterrows():
        row = exact.loc[idx]
        at_n = decide_counts(
            [row[f"count_{i}"] for i in range(10)],
            target_radius=target,
            sigma=demo.SIGMA,
            alpha=demo.ALPHA,
            selection=[row[f"selected_{i}"] for i in range(10)],
            horizon=10 * N,
        )
        # A question that the first votes answer is answered by then.
        assert at_n.decision == "undecided" or answer["n"] <= N
    assert (early["n"] < N).any()
    assert (early["n"] > N).any()


def test_early_summary_counts_answers(results):
    found = early_summary(results[0].early, N)
    assert found.index.tolist() == list(TARGETS)
    assert (found[["at least", "below", "undecided"]].sum(axis=1) == IMAGES).all()
    assert found["share of fixed"].between(0, 1).all()
    assert found["samples"].mean() == pytest.approx(results[0].early["n"].mean())


def test_files_are_written(results):
    result = results[0]
    table = read_table(result.table_path)
    assert len(table) == IMAGES
    assert (table["time"] > 0).all()
    configuration = json.loads(result.table_path.with_suffix(".json").read_text())["configuration"]
    assert configuration["n"] == N
    assert result.picture_path.read_bytes().startswith(b"\x89PNG")


def test_same_seed_gives_the_same_bytes_except_times(results):
    first, second = results
    for name in ("table.json", first.picture_path.name, first.early_path.name):
        paths = [r.table_path.parent / name for r in (first, second)]
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def without_times(result):
        rows = [line.split("\t") for line in result.table_path.read_text().splitlines()]
        assert (rows[0][5], rows[0][-1]) == ("time", "checksum")  # which is of the time too
        return [row[:5] + row[6:-1] for row in rows]

    assert without_times(first) == without_times(second)


def test_summary_and_explanation(results):
    found = summary(results[0].tables)
    assert found.index.tolist() == ["cohen", "bonferroni", "exact"]
    assert found["0"].between(0, 1).all()
    text = explanation(results[0])
    assert text.startswith(f"From the same {N} votes, the exact bound certifies radii ")
    assert f"until they decide, {10 * N:,} at most" in text
    for word in ("cohen", "bonferroni", "exact", "separate scores", "betting scores"):
        assert f"\n  {word} " in text
    folder = results[0].table_path.parent
    for name in ("early_stopping.tsv", "table.tsv", "table.json", "certified_accuracy.png"):
        assert name in text
        assert (folder / name).exists()
    assert max(len(line) for line in text.splitlines() if str(folder) not in line) <= 80


def test_what_to_do_next_can_be_done(results, capsys):
    """The last lines are commands; those that need nothing of the reader's are run."""
    from rsverify.cli import app as cli

    ending = explanation(results[0]).split("Next, three things:")[1]
    commands = [c.split() for c in ending.replace("\\\n", " ").splitlines() if " rsverify " in c]
    assert [c[1] for c in commands] == ["certify", "analyze", "recertify", "audit"]
    for command in commands[1:]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(command[1:])
        assert stopped.value.code == 0, capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        cli.main(commands[0][1:])
    assert stopped.value.code == 66  # its files are the reader's, and its options are known
    assert "no such file" in capsys.readouterr().err


def test_the_finding_is_what_the_tables_say(results):
    tables = results[0].tables
    ratio = tables["exact"]["radius"].where(tables["exact"]["correct"] == 1, 0).mean()
    ratio /= tables["cohen"]["radius"].where(tables["cohen"]["correct"] == 1, 0).mean()
    assert finding(tables, N).endswith(f"radii {ratio - 1:.1%} larger")
    same = tables | {"cohen": tables["exact"]}
    assert finding(same, N).endswith("certifies no larger radii")
    nothing = {name: table.assign(radius=0.0, correct=0) for name, table in tables.items()}
    assert finding(nothing, N).endswith("certifies no larger radii")
    assert finding(nothing | {"exact": tables["exact"]}, N).endswith("radii, Cohen's none")


@pytest.mark.parametrize("images", [0, 501])
def test_images_out_of_range(tmp_path, images):
    with pytest.raises(ValueError, match=f"images={images} must be between 1 and 500"):
        run_demo(tmp_path, images=images)


def test_command_prints_table_and_meaning(tmp_path, capsys, monkeypatch):
    from rsverify.cli import app as cli

    monkeypatch.setattr(demo, "EPOCHS", 1)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo", "--out", str(tmp_path), "--images", "3", "--n", "100"])
    out = capsys.readouterr().out

    assert stopped.value.code == 0
    for word in ("cohen", "bonferroni", "exact", "average", "betting scores", "undecided", "1,000"):
        assert word in out
    assert (tmp_path / "certified_accuracy.png").exists()
