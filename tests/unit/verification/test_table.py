"""Tables as files: each row by the digits it shows, changed rows refuted, exit codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rsverify
from rsverify import certify_counts, read_table, recertify, recertify_radii, verify_table
from rsverify.cli.app import main
from rsverify.tables.schema import table_row
from rsverify.tables.writer import write_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of eight rows, one of which abstains."""
    rng = np.random.default_rng(7)
    rows = []
    for i, first in enumerate([0.95, 0.8, 0.7, 0.6, 0.99, 0.9, 0.5, 0.34]):
        counts = rng.multinomial(400, [first, (1 - first) * 0.6, (1 - first) * 0.4])
        certificate = certify_counts(counts, y=0, sigma=0.5, alpha=0.01)
        rows.append(table_row(i, 0, certificate))
    path = tmp_path / "table.tsv"
    write_table(pd.DataFrame(rows), path, configuration={})
    return path


def changed(path: Path, row: int, column: str, value: str, *, checksums: bool = False) -> Path:
    """Return a copy with one field changed, its checksums dropped or left as they are."""
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    lines[row][header.index(column)] = value
    keep = len(header) if checksums else len(header) - 1
    new = path.with_name("changed.tsv")
    new.write_text("".join("\t".join(line[:keep]) + "\n" for line in [header, *lines]))
    return new


def field(path: Path, row: int, column: str) -> str:
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    return lines[row][header.index(column)]


def test_every_row_is_proved(table: Path) -> None:
    found = verify_table(table)
    assert found.counts == {"proved": 8, "refuted": 0, "not proved": 0}
    assert found.verdict == "proved"
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("row", [0, 1, 2, 4, 5])
def test_one_unit_in_the_last_digit_is_too_much(table: Path, row: int) -> None:
    radius = field(table, row, "radius")
    found = verify_table(changed(table, row, "radius", f"{float(radius) + 1e-6:.6f}"))
    assert found.counts["refuted"] == 1
    assert found.rows[str(row)].nuisance is not None, "by the votes, not by the margin beside"


@pytest.mark.parametrize("bound", ["cohen", "bonferroni"])
def test_one_unit_too_much_for_the_other_bounds(table: Path, tmp_path: Path, bound: Any) -> None:
    path = tmp_path / "again.tsv"
    write_table(recertify(read_table(table), bound=bound), path, configuration={})
    assert verify_table(path).verdict == "proved"
    radius = float(field(path, 1, "radius"))
    assert verify_table(changed(path, 1, "radius", f"{radius + 1e-6:.6f}")).verdict == "refuted"


def test_a_vote_moved_in_the_text_is_refuted(table: Path) -> None:
    for column, by in (("count_0", -1), ("count_0", 1), ("count_1", 1)):
        value = str(int(field(table, 1, column)) + by)
        assert verify_table(changed(table, 1, column, value)).rows["1"].verdict == "refuted"


@pytest.mark.parametrize(("column", "value"), [("alpha", "0.02"), ("alpha", "0.0101")])
def test_a_smaller_claim_is_refuted_unless_another_version_made_it(
    table: Path, column: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = changed(table, 1, column, value)
    found = verify_table(smaller)
    assert found.rows["1"].verdict == "refuted"
    assert "the radius holds, but" in found.rows["1"].reason
    assert code_of(str(smaller)) == 1
    for of_another in (True, False):
        beside = smaller.with_suffix(".json")
        version = "0.1.0" if of_another else rsverify.__version__
        beside.write_text(json.dumps({"versions": {"rsverify": version}}))
        found = verify_table(smaller)
        assert found.verdict == ("proved" if of_another else "refuted")
        assert found.rows["1"].below_bound == of_another
        assert verify_table(smaller, same_version=False).rows["1"].below_bound
        assert verify_table(smaller, same_version=True).verdict == "refuted"
        assert code_of(str(smaller), "--other-version") == 0
        assert "1 proved row states less than its bound gives" in capsys.readouterr().out
    beside.write_text("{")
    assert verify_table(smaller).verdict == "refuted"


def test_a_checksum_tells_what_votes_do_not(table: Path) -> None:
    found = verify_table(changed(table, 3, "label", "1", checksums=True))
    assert found.rows["3"].verdict == "refuted"
    assert "checksum" in found.rows["3"].reason
    again = changed(changed(table, 3, "label", "1", checksums=True), 3, "correct", "0")
    assert verify_table(again).verdict == "proved"


def rewritten(path: Path, name: str, **columns: Any) -> Path:
    """Return the table with its checksums dropped and columns (of text) added or replaced."""
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    frame = frame.drop(columns="checksum").assign(**columns)
    new = path.with_name(name)
    frame.to_csv(new, sep="\t", index=False)
    return new


@pytest.mark.parametrize("radius", ["0.000000", "0", "1e-9"])
@pytest.mark.parametrize("bound", ["exact", "cohen", "bonferroni"])
def test_an_abstention_made_a_prediction_is_refuted(table: Path, radius: str, bound: str) -> None:
    """A class certified with a radius of 0 counts in the certified accuracy at 0."""
    frame = pd.read_csv(table, sep="\t")
    predict, correct = frame["predict"].astype(str), frame["correct"].astype(str)
    predict[7], correct[7] = "0", "1"
    columns = {"predict": predict, "correct": correct, "bound": bound, "margin": ""}
    radii = frame["radius"].map("{:.6f}".format).where(frame["idx"] != 7, radius)
    false = rewritten(table, "false.tsv", radius=radii, **columns)
    assert verify_table(false, same_version=False).rows["7"].verdict == "refuted"


def test_a_radius_of_zero_is_proved_by_the_margin(tmp_path: Path) -> None:
    """Where sigma is tiny the radius is printed as 0, and the class is certified all the same."""
    rows = []
    for i, counts in enumerate(([60, 5, 35], [101, 60, 0], [61, 30, 40])):
        certificate = certify_counts(counts, y=0, sigma=1e-9, alpha=0.05)
        assert certificate.prediction == 0
        rows.append(table_row(i, 0, certificate))
    path = tmp_path / "tiny.tsv"
    write_table(pd.DataFrame(rows), path, configuration={})
    assert [field(path, i, "radius") for i in range(3)] == ["0.000000"] * 3
    assert verify_table(path).verdict == "proved"


@pytest.mark.parametrize("radius", ["1e400", "1e300", "1e10", "12.0", "3.5"])
@pytest.mark.parametrize("bound", ["exact", "cohen", "bonferroni"])
def test_what_no_votes_show_is_refuted_at_once(table: Path, radius: str, bound: str) -> None:
    header, *lines = [line.split("\t")[:-1] for line in table.read_text().splitlines()]
    for name, value in (("radius", radius), ("bound", bound), ("margin", "")):
        lines[0][header.index(name)] = value
    path = table.with_name("huge.tsv")
    path.write_text("".join("\t".join(row) + "\n" for row in [header, lines[0]]))
    found = verify_table(path)
    assert found.rows["0"].verdict == "refuted"
    assert "even all 400 votes" in found.rows["0"].reason
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("row", "share"), [(0, 3e-9), (3, 1e-7)])
def test_a_margin_above_the_bound_is_refuted_though_the_radius_holds(
    table: Path, row: int, share: float
) -> None:
    margin = repr(float(field(table, row, "margin")) * (1 + share))
    found = verify_table(changed(table, row, "margin", margin)).rows[str(row)]
    assert found.verdict == "refuted"
    assert "the radius holds, but the margin" in found.reason


@pytest.mark.parametrize("digits", [1, 3, 8])
def test_margins_may_be_rounded_in_any_way(table: Path, digits: int) -> None:
    margins = pd.read_csv(table, sep="\t")["margin"].map(f"{{:.{digits}f}}".format)
    assert verify_table(rewritten(table, "rounded.tsv", margin=margins)).verdict == "proved"


def test_what_other_software_writes_where_there_is_nothing(table: Path) -> None:
    empty = ["", "NA", "NaN", "nan", "None", "<NA>", "null", "N/A"]
    columns = dict.fromkeys(("lipschitz", "seed", "noise", "norm", "top_k"), empty)
    path = rewritten(table, "na.tsv", **columns, ignored=[*empty[:7], "2.0"])
    assert verify_table(path).counts["proved"] == 8


def test_tables_written_anew_by_other_software(table: Path) -> None:
    """With checksums of lines that are no longer the lines; quoted, and with names of rows."""
    frame = pd.read_csv(table, sep="\t")
    frame.to_csv(table.with_name("pandas.csv"), index=False)
    frame.to_csv(table.with_name("index.csv"))
    frame.to_csv(table.with_name("quoted.tsv"), sep="\t", index=False, quoting=1, na_rep="NA")
    frame.to_csv(table.with_name("bars.csv"), sep="|", index=False)
    columns = [*frame.columns[::-1]]
    frame[columns].iloc[::-1].to_csv(table.with_name("order.tsv"), sep="\t", index=False)
    note = frame.assign(note='5" disk, and a\x0cform feed\u2028')
    note.drop(columns="checksum").to_csv(table.with_name("note.csv"), index=False)
    for name in ("pandas.csv", "index.csv", "quoted.tsv", "bars.csv", "order.tsv", "note.csv"):
        assert verify_table(table.with_name(name)).counts["proved"] == 8, name
    plain = (table.with_name("quoted.tsv")).read_text()
    (table.with_name("told.tsv")).write_text("# made by an R script\n# in May\n" + plain)
    assert verify_table(table.with_name("told.tsv")).counts["proved"] == 8
    frame.to_csv(table.with_name("same.tsv"), sep="\t", index=False)
    row = verify_table(table.with_name("same.tsv")).rows["6"]  # 0.079190 became 0.07919
    assert row.verdict == "refuted"
    assert "leave out the column 'checksum'" in row.reason


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"count_1": ""}, "count_1 is missing"), ({"count_2": "NA"}, "count_2 is missing"),
     ({"selected_0": "9", "selected_1": ""}, "selected_1 is missing"),
     ({"idx": ["0", "1", "2", "3", "4", "5", "6", "1.0"]}, "two rows with idx=1"),
     ({"radius": "1/2"}, "radius='1/2' must be a finite number"),
     ({"radius": "0,5"}, "its decimal point a point"), ({"alpha": "1_0"}, "alpha='1_0' must be"),
     ({"radius": "-1e400"}, "radius=-1.00000e[+]400 is out"),
     ({"ignored": "two"}, "must list classes")],
)  # fmt: skip
def test_cells_that_cannot_be_taken_as_they_are(
    table: Path, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        verify_table(rewritten(table, "cells.tsv", **columns))


def test_two_columns_of_one_name(table: Path) -> None:
    """Which of the two is relied on cannot be told."""
    for name in ("radius", "count_0", "alpha"):
        lines = [line.split("\t")[:-1] for line in table.read_text().splitlines()]
        twice = [[*row, row[lines[0].index(name)]] for row in lines]
        path = table.with_name("twice.tsv")
        path.write_text("".join("\t".join(row) + "\n" for row in twice))
        with pytest.raises(ValueError, match=f"two columns '{name}'"):
            verify_table(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x1f\x8b\x08", "compressed by gzip"), (b"PAR1", "Parquet file: .* save it as .csv"),
     ("idx".encode("utf-16"), "UTF-16"), (b"idx\tcount_0\xe9\t", "line 1 .* not UTF-8"),
     (b'[{"idx": 0}]', "JSON"), (b"PK\x03\x04", "a zip archive or a spreadsheet")],
)  # fmt: skip
def test_other_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "other.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        verify_table(tmp_path / "other.tsv")


def test_what_contradicts_itself_is_refuted_whatever_the_noise(table: Path) -> None:
    named = {"noise": "uniform:0.5", "norm": "l1"}
    assert verify_table(rewritten(table, "noise.tsv", **named)).counts["refuted"] == 0
    frame = pd.read_csv(table, sep="\t")
    for wrong in ({"count_2": "400"}, {"correct": (1 - frame["correct"]).astype(str)}):
        found = verify_table(rewritten(table, "noise.tsv", **named, **wrong))
        assert found.counts["refuted"] == 8


def test_commas_and_a_byte_order_mark(table: Path) -> None:
    header, *lines = [line.split("\t")[:-1] for line in table.read_text().splitlines()]
    path = table.with_name("commas.csv")
    path.write_bytes(
        b"\xef\xbb\xbf" + "".join(",".join(row) + "\r\n" for row in [header, *lines]).encode()
    )
    assert verify_table(path).counts["proved"] == 8


def test_votes_recovered_from_radii(tmp_path: Path) -> None:
    published = pd.DataFrame(
        {"idx": [0, 1, 2], "label": [3, 1, 0], "predict": [3, -1, 0],
         "radius": ["0.486", "0.0", "1.90"], "correct": [1, 0, 1], "time": [1.0, 1.0, 1.0]}
    )  # fmt: skip
    new = recertify_radii(published, n=100_000, sigma=0.5, stated_alpha=0.001, alpha=0.01)
    path = tmp_path / "radii.tsv"
    write_table(new, path, configuration={})
    assert verify_table(path).counts["proved"] == 3
    radius = float(field(path, 0, "radius"))
    assert verify_table(changed(path, 0, "radius", f"{radius + 1e-6:.6f}")).verdict == "refuted"


def test_a_sample_is_drawn_by_its_seed(table: Path) -> None:
    calls: list[tuple[int, int]] = []
    one = verify_table(table, sample=3, seed=4, progress=lambda done, of: calls.append((done, of)))
    assert set(one.rows) == set(verify_table(table, sample=3, seed=4).rows)
    assert len(one.rows) == 3
    assert one.size == 8
    assert calls[-1] == (3, 3)
    assert len(verify_table(table, sample=100).rows) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no certificates with vote counts"),
     ("idx\tlabel\tpredict\tradius\tcorrect\ttime\n", "no certificates with vote counts"),
     ("idx\tpredict\tcount_0\n", "no column 'radius'"),
     ("idx\tpredict\tradius\tn\tsigma\talpha\tbound\tradius_kind\tcount_0\n1\t2\n", "2 fields")],
)  # fmt: skip
def test_what_is_no_table_of_votes_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "other.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        verify_table(path)


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments])
    return int(ended.value.code or 0)


def test_exit_codes(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(str(table)) == 0
    assert "8 proved" in capsys.readouterr().out
    assert code_of(str(changed(table, 0, "radius", "2.5"))) == 1
    assert "idx 0: refuted" in capsys.readouterr().out
    assert code_of(str(table), "--budget", "30") == 2
    assert code_of(str(table.with_name("none.tsv"))) == 66
    assert code_of(str(changed(table, 0, "alpha", "x"))) == 65
    assert code_of(str(table), "--sample", "0") == 64


def test_json_says_all(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(str(table), "--sample", "2", "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"] == "proved"
    assert len(content["rows"]) == 2
    assert content["size"] == 8
    assert all(row["reason"] for row in content["rows"].values())


def test_real_votes_are_proved(real_data: Path, tmp_path: Path) -> None:
    counts = np.loadtxt(real_data / "cifar10_counts_sigma025.txt", dtype=np.int64)[:40, :-1]
    rows = [
        table_row(
            i, 0, certify_counts(c, y=int(c.argmax()), sigma=0.25, alpha=0.001, bound="bonferroni")
        )
        for i, c in enumerate(counts)
    ]
    path = tmp_path / "real.tsv"
    write_table(pd.DataFrame(rows), path, configuration={})
    assert verify_table(path).counts["proved"] == 40
