"""Tables on disk: their names, their checksums, and what is refused before it is written."""

import json
import os
import re
import shutil
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify import certify_counts
from rsverify.tables.lines import check_signed, complete_lines, is_signed, signed, text_of
from rsverify.tables.merge import merge_tables
from rsverify.tables.metadata import (
    check_same_configuration,
    check_table_name,
    metadata_path,
    read_metadata,
    write_metadata,
)
from rsverify.tables.reader import COMMON_COLUMNS, read_table, write_table
from rsverify.tables.writer import TableWriter, sort_table

CERTIFICATE = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0, bound="cohen")


def write(path, indices=(0, 1), configuration=None, **options):
    with TableWriter(path, configuration=configuration or {"a": 1}, **options) as writer:
        for idx in indices:
            writer.write(idx, 0, CERTIFICATE)
    return path


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "table.tsv")


def frame(**columns):
    row = {name: [0] for name in COMMON_COLUMNS} | {"radius": [0.5]}
    return pd.DataFrame(row | columns)


# Names


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sigma_0.25", "sigma_0.50"),
        ("a.tsv", "a.csv"),
        ("a", "a.tsv"),
        ("run.1", "run.2"),
        ("x.tsv", "x.TSV"),
        ("t", "t.meta"),
        ("b.txt", "b"),
    ],
)
def test_two_tables_have_two_jsons(tmp_path, first, second):
    for name in (first, second):
        write(tmp_path / name, configuration={"name": name})
    for name in (first, second):
        assert read_metadata(tmp_path / name)["configuration"] == {"name": name}
    assert len(list(tmp_path.iterdir())) == 4


@given(
    st.lists(st.text("ab.tsvmejon", min_size=1, max_size=9), min_size=2, max_size=2, unique=True)
)
@settings(max_examples=300)
def test_no_two_names_share_a_json_and_no_json_is_a_table(names):
    from pathlib import Path

    tables = []
    for name in names:
        if set(name) == {"."}:
            return
        try:
            tables.append(check_table_name(Path("folder") / name))
        except ValueError:
            return
    beside = [metadata_path(path) for path in tables]
    assert beside[0] != beside[1]
    assert not set(tables) & set(beside)


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "a.meta.tsv", "a.csv.meta.json"])
def test_the_name_of_a_json_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match="must not end in"):
        write(tmp_path / name)
    with pytest.raises(ValueError, match="must not end in"):
        write_table(frame(), tmp_path / name, configuration={})
    assert not list(tmp_path.iterdir())


# Nothing is replaced


@pytest.mark.parametrize("mine", ["model.json", "model.tsv"])
def test_a_file_of_the_users_is_not_touched(tmp_path, mine):
    (tmp_path / mine).write_text('{"mine": 1}')
    out = tmp_path / "model.tsv"
    with pytest.raises(FileExistsError, match="exists already"):
        write(out)
    with pytest.raises(FileExistsError, match="exists already"):
        write_table(frame(), out, configuration={})
    with pytest.raises(ValueError, match=r"is not the JSON of a table|has no model.json beside it"):
        write(out, resume=True)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(mine, '{"mine": 1}')]


def test_write_table_replaces_by_force_alone(table):
    before = table.read_bytes()
    with pytest.raises(FileExistsError, match=r"table.tsv exists already"):
        write_table(frame(), table, configuration={})
    assert table.read_bytes() == before
    write_table(frame(), table, configuration={"b": 2}, force=True)
    assert read_table(table)["radius"].tolist() == [0.5]
    assert read_metadata(table)["configuration"] == {"b": 2}


def test_a_table_that_is_being_written_is_not_replaced(tmp_path):
    out = tmp_path / "table.tsv"
    with TableWriter(out, configuration={}) as writer:
        writer.write(0, 0, CERTIFICATE)
        with pytest.raises(OSError, match="another process is writing it"):
            write_table(frame(), out, configuration={}, force=True)
        with pytest.raises(OSError, match="another process is writing it"):
            TableWriter(out, configuration={}, resume=True)
        with pytest.raises(OSError, match="another process is writing it"):
            merge_tables([out], tmp_path / "merged.tsv")
        writer.write(1, 0, CERTIFICATE)
    assert read_table(out)["idx"].tolist() == [0, 1]


def test_an_index_that_is_there_is_refused(table):
    with TableWriter(table, configuration={"a": 1}, resume=True) as writer:
        with pytest.raises(ValueError, match=r"idx=1 is in .*table.tsv already"):
            writer.write(1, 0, CERTIFICATE)
        writer.write(2, 0, CERTIFICATE)
        with pytest.raises(ValueError, match="idx=2 is in"):
            writer.write(2, 1, CERTIFICATE)
    assert read_table(table)["idx"].tolist() == [0, 1, 2]


def test_the_json_of_a_table_that_is_there_is_not_written_again(table):
    before = metadata_path(table).read_bytes()
    write(table, [5], resume=True, execution={"batch_size": 7})
    assert metadata_path(table).read_bytes() == before


# Checksums


def test_the_first_columns_stay_and_other_tools_read_the_table(table):
    other = pd.read_csv(table, sep="\t")
    assert tuple(other.columns[:6]) == COMMON_COLUMNS
    assert other.columns[-1] == "checksum"
    assert other["radius"].tolist() == read_table(table)["radius"].tolist()
    assert "checksum" not in read_table(table)


def test_every_flipped_bit_of_a_table_is_found(table):
    content = table.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        table.write_bytes(flipped)
        if bit // 8 == len(content) - 1:  # the last line break: its row is written again
            assert list(complete_lines(table).rows) == [0]
            continue
        with pytest.raises(ValueError, match=re.escape(str(table))) as caught:
            complete_lines(table)
        assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_json_is_found(table):
    beside = metadata_path(table)
    content = beside.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        beside.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"table\.json") as caught:
            check_same_configuration(table, {"a": 1})
        assert "\n" not in str(caught.value)


def test_a_line_does_not_pass_under_another_header():
    line = signed("0\t1", "idx\tlabel\tchecksum")
    assert is_signed(line, "idx\tlabel\tchecksum")
    assert not is_signed(line, "label\tidx\tchecksum")
    assert not is_signed(line, "idx\tlabe1\tchecksum")


def test_a_table_that_was_edited_is_read_without_its_checksums(table, tmp_path):
    text = table.read_text().replace("0.278620", "9.278620", 1)
    table.write_text(text)
    with pytest.raises(ValueError, match=r"line 2 of .*table.tsv does not match its checksum"):
        read_table(table)
    cut = tmp_path / "cut.tsv"
    cut.write_text("".join(x.rpartition("\t")[0] + "\n" for x in text.splitlines()))
    assert read_table(cut)["radius"].tolist() == [9.27862, 0.27862]


def test_rows_that_are_taken_out_or_moved_keep_their_checksums(table):
    header, *rows = table.read_text().splitlines(keepends=True)
    table.write_text(header + rows[1] + rows[0])
    assert read_table(table)["idx"].tolist() == [1, 0]
    sort_table(table)
    assert table.read_text() == header + rows[0] + rows[1]
    table.write_text(header + rows[1])
    assert read_table(table)["idx"].tolist() == [1]


def test_tables_without_checksums_are_read(tmp_path):
    path = tmp_path / "published.tsv"
    path.write_text("\t".join(COMMON_COLUMNS) + "\n0\t3\t3\t0.486\t1\t16.6\n")
    assert read_table(path)["radius"].tolist() == [0.486]
    check_signed(path.read_text().splitlines(), path)
    with pytest.raises(ValueError, match="has no column 'checksum' at the end of line 1"):
        complete_lines(path)


def test_a_table_of_an_older_version_is_read_and_not_resumed(table):
    lines = [x.rpartition("\t")[0] for x in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    older = {"format": 1, "configuration": {"a": 1}, "versions": {}}
    metadata_path(table).write_text(json.dumps(older, indent=2))
    assert len(read_table(table)) == 2
    assert read_metadata(table)["configuration"] == {"a": 1}
    with pytest.raises(ValueError, match="was begun by an older version, whose lines have no"):
        write(table, resume=True)


def test_the_json_of_an_older_version_is_found_where_it_was(tmp_path):
    path, older = tmp_path / "sigma_0.25", tmp_path / "sigma_0.json"
    path.write_text("")
    older.write_text('{"format": 1, "configuration": {"a": 1}, "versions": {}}')
    assert read_metadata(path)["configuration"] == {"a": 1}
    older.write_text('{"mine": 1}')
    assert read_metadata(path) == {}


# Damaged JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not the JSON of a table: Expecting value"),
        ("[]", "has no format"),
        ("3", "has no format"),
        ('{"a": 1}', "has no format"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"format":' + "[" * 50_000, "is nested too deeply"),
        ('{"format": true, "configuration": {}}', "format=True of .* must be 2"),
        ('{"format": 3, "configuration": {}}', "format=3 of .* must be 2"),
        ('{"format": "2", "configuration": {}}', "format='2' of .* must be 2"),
        ('{"format": 2.0, "configuration": {}}', "format=2.0 of .* must be 2"),
        ('{"format": 2}', "has no configuration"),
        (
            '{"format": 2, "configuration": []}',
            r"configuration of .* must be an object, and is \[\]",
        ),
        ('{"format": 1, "configuration": {}, "execution": 3}', "execution of .* must be an object"),
        ('{"format": 1, "configuration": {}, "versions": "x"}', "versions of .* must be an object"),
        ('{"format": 2, "configuration": {}}', "is damaged, or was edited"),
        ('{"format": ' + "9" * 5000 + "}", "is not the JSON of a table"),
        (b'{"format": 2, "a": "\xff"}', "is not the JSON of a table: 'utf-8' codec"),
        (
            '{"format": 1, "configuration": {}, "execution": {"batch_size": 1000000000000}}',
            "batch_size=1000000000000 of .* must be between 1 and",
        ),
        (
            '{"format": 1, "configuration": {}, "execution": {"batch_size": "8"}}',
            "batch_size='8' of .* must be between",
        ),
        (
            '{"format": 1, "configuration": {}, "execution": {"batch_size": true}}',
            "batch_size=True of .* must be between",
        ),
    ],
)
def test_a_json_that_is_not_one_is_a_line_with_its_name(table, text, message):
    metadata_path(table).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_metadata(table)
    assert str(metadata_path(table)) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(table)) + 200


def test_a_batch_size_out_of_range_is_refused_with_its_checksum(table):
    write_metadata(table, {"a": 1}, {"batch_size": 10**12})
    with pytest.raises(ValueError, match=r"batch_size=1000000000000 of .*table.json must be"):
        write(table, resume=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_a_path_that_is_not_text_can_be_kept(table):
    write_metadata(table, {"model": os.fsdecode(b"mod\xffel.pt"), "sigma": "σ"})
    kept = read_metadata(table)["configuration"]
    assert os.fsencode(kept["model"]) == b"mod\xffel.pt"
    assert kept["sigma"] == "σ"


# Damaged cells


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("sigma", "inf", r"sigma=inf of idx=0 in .*t.tsv must be positive and finite"),
        ("sigma", "-0.5", r"sigma=-0.5 of idx=0 in .*t.tsv must be positive"),
        ("sigma", "0", "sigma=0.0 of idx=0 in .* must be positive"),
        ("alpha", "1.5", r"alpha=1.5 of idx=0 in .* must be in \(0, 1\)"),
        ("alpha", "0", r"alpha=0.0 of idx=0 in .* must be in \(0, 1\)"),
        ("n", "-3", "n=-3 of idx=0 in .* must be nonnegative"),
        ("count_0", "-1", "count_0=-1 of idx=0 in .* must be nonnegative"),
        ("count_0", "9" * 30, "column 'count_0' of .*t.tsv must hold numbers"),
        ("n", "9223372036854775808", "column 'n' of .*t.tsv must hold numbers"),
        ("idx", "1" * 20, "column 'idx' of .*t.tsv must hold numbers"),
        ("lipschitz", "inf", "lipschitz=inf of idx=0 in .* must be positive and finite"),
        ("target_radius", "inf", "target_radius=inf of idx=0 in .* must be positive"),
    ],
)
def test_a_cell_out_of_range_is_a_line_with_the_file(tmp_path, column, value, message):
    row = dict.fromkeys(COMMON_COLUMNS, "0") | {"radius": "0.5", column: value}
    path = tmp_path / "t.tsv"
    path.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    with pytest.raises(ValueError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a\rb", "a\x0bb", "a\x85b", "a\u2028b", "a\tb", "a\nb"])
def test_a_field_that_would_break_a_line_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="neither tabs nor line breaks"):
        write_table(frame(status=[text]), tmp_path / "t.tsv", configuration={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace(b"idx", b"\xffdx", 1), "is not UTF-8 at byte 0"),
        (lambda t: t + t.splitlines(keepends=True)[1], "has two rows with idx=0"),
        (lambda t: t.replace(b"\n", b"\r\n"), "has no column 'checksum' at the end of line 1"),
        (lambda t: t[:200] + b"\0" * 40 + t[240:], "does not match its checksum|no column"),
        (lambda t: t.replace(b"\n", b" ", 1), "has no column 'checksum'|does not match"),
    ],
    ids=["not text", "twice", "crlf", "a hole", "two lines in one"],
)
def test_a_damaged_table_is_not_resumed(table, change, message):
    damaged = change(table.read_bytes())
    table.write_bytes(damaged)
    with pytest.raises(ValueError, match=message) as caught:
        write(table, [2], resume=True)
    assert str(table) in str(caught.value)
    assert table.read_bytes() == damaged


@pytest.mark.parametrize("idx", ["-1", "+1", "1_0", " 1", "01", "x", "١", ""])
def test_an_index_is_a_number_as_it_is_written(table, idx):
    header, row = table.read_text().splitlines()[:2]
    body = idx + "\t" + row.rpartition("\t")[0].partition("\t")[2]
    table.write_bytes(text_of(header, [signed(body, header)]))
    with pytest.raises(ValueError, match=r"idx=.* of .*table.tsv must be a nonnegative integer"):
        complete_lines(table)


# Merging


def test_merging_adds_rows_once_and_sorts_them(tmp_path):
    parts = [write(tmp_path / "p[1]*.tsv", (3, 0)), write(tmp_path / "p2.csv", (2, 0))]
    out = tmp_path / "all.tsv"
    merge_tables(parts, out)
    assert read_table(out)["idx"].tolist() == [0, 2, 3]
    merge_tables([write(tmp_path / "p3.tsv", (1,)), *parts], out)
    assert read_table(out)["idx"].tolist() == [0, 1, 2, 3]
    write(out, [4], resume=True)
    assert read_table(out)["idx"].tolist() == [0, 1, 2, 3, 4]


def test_merging_what_does_not_belong_together_changes_nothing(tmp_path):
    out = write(tmp_path / "out.tsv")
    other = write(tmp_path / "other.tsv", (7,), {"a": 2})
    no_json = shutil.copy(out, tmp_path / "no json.tsv")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    merged = r"a=1 of .* must be 2 to be merged with"
    for part, message in ((other, merged), (no_json, "has no no json.json")):
        with pytest.raises(ValueError, match=message):
            merge_tables([part], out)
    damaged = write(tmp_path / "damaged.tsv", (8,))
    damaged.write_bytes(damaged.read_bytes().replace(b"900", b"800"))
    with pytest.raises(ValueError, match=r"damaged.tsv does not match its checksum"):
        merge_tables([damaged], out)
    assert all(p.read_bytes() == content for p, content in before.items())
