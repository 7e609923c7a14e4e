"""The demo, shortened: the whole way from training to a table and a picture."""

import json

import pytest

from rsverify import demo
from rsverify.certificate import certify_counts
from rsverify.demo import explanation, run_demo, summary
from rsverify.table import average_certified_radius, read_table

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
    for name in ("table.json", first.picture_path.name):
        paths = [r.table_path.parent / name for r in (first, second)]
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def without_times(result):
        rows = [line.split("\t") for line in result.table_path.read_text().splitlines()]
        assert rows[0][5] == "time"
        return [row[:5] + row[6:] for row in rows]

    assert without_times(first) == without_times(second)


def test_summary_and_explanation(results):
    found = summary(results[0].tables)
    assert found.index.tolist() == ["cohen", "bonferroni", "exact"]
    assert found["0"].between(0, 1).all()
    text = explanation(results[0])
    assert f"Each of the {IMAGES} images was classified {N} times" in text
    for word in (
        "cohen",
        "bonferroni",
        "exact",
        "table.tsv",
        "table.json",
        "certified_accuracy.png",
    ):
        assert word in text
    assert max(map(len, text.splitlines()[:-3])) <= 82


@pytest.mark.parametrize("images", [0, 501])
def test_images_out_of_range(tmp_path, images):
    with pytest.raises(ValueError, match=f"images={images} must be between 1 and 500"):
        run_demo(tmp_path, images=images)


def test_command_prints_table_and_meaning(tmp_path, capsys, monkeypatch):
    from rsverify import cli

    monkeypatch.setattr(demo, "EPOCHS", 1)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo", "--out", str(tmp_path), "--images", "3", "--n", "100"])
    out = capsys.readouterr().out

    assert stopped.value.code == 0
    for word in ("cohen", "bonferroni", "exact", "average", "larger"):
        assert word in out
    assert (tmp_path / "certified_accuracy.png").exists()
