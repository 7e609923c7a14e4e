import json
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsverify.certificates.counts import certify_counts
from rsverify.tables.reader import (
    COMMON_COLUMNS,
    TruncatedTableWarning,
    average_certified_radius,
    certified_accuracy,
    read_metadata,
    read_table,
    table_row,
    write_table,
)
from rsverify.tables.writer import TableWriter
from tests.support.altered import altered

COUNTS = [[900, 60, 40], [400, 350, 250], [20, 30, 950], [1000, 0, 0]]
LABELS = [0, 0, 1, 0]


def certificates(**options):
    defaults = {"sigma": 0.25, "alpha": 0.001, "bound": "cohen"}
    return [certify_counts(k, y=int(np.argmax(k)), **{**defaults, **options}) for k in COUNTS]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.tsv"


@pytest.fixture
def written(path):
    with TableWriter(path, configuration={"seed": 3}) as writer:
        for i, (label, certificate) in enumerate(zip(LABELS, certificates(), strict=True)):
            writer.write(10 * i, label, certificate)
    return path


def test_first_columns_are_the_common_ones(written):
    header = written.read_text().splitlines()[0].split("\t")

    assert header[:6] == ["idx", "label", "predict", "radius", "correct", "time"]


def test_row_holds_what_produced_it(written):
    table = read_table(written)

    assert table["idx"].tolist() == [0, 10, 20, 30]
    assert table["label"].tolist() == LABELS
    assert table["predict"].tolist() == [0, -1, 2, 0]
    assert table["correct"].tolist() == [1, 0, 0, 1]
    assert table[["count_0", "count_1", "count_2"]].to_numpy().tolist() == COUNTS
    assert table["y"].tolist() == [0, 0, 2, 0]
    assert set(table["n"]) == {1000}
    assert set(table["alpha"]) == {0.001}
    assert set(table["bound"]) == {"cohen"}
    assert table["status"].tolist() == [str(c.status) for c in certificates()]
    assert table["time"].isna().all()


def test_radius_in_file_is_rounded_down(written):
    fields = [line.split("\t")[3] for line in written.read_text().splitlines()[1:]]

    for text, certificate in zip(fields, certificates(), strict=True):
        gap = Fraction(certificate.radius) - Fraction(Decimal(text))
        assert 0 <= gap < Fraction(1, 10**6)


@given(radius=st.floats(0, 1e6), seconds=st.floats(0, 1e6))
def test_radius_read_back_never_exceeds_the_one_written(tmp_path_factory, radius, seconds):
    path = tmp_path_factory.mktemp("table") / "table.tsv"
    row = [0, 1, 1, radius, 1, seconds]
    write_table(pd.DataFrame([row], columns=list(COMMON_COLUMNS)), path, configuration={})

    assert radius - 1e-6 - 1e-12 * radius <= read_table(path)["radius"][0] <= radius


def test_json_beside_holds_configuration_and_versions(written):
    content = json.loads(written.with_suffix(".json").read_text())

    assert content["configuration"] == {"seed": 3}
    assert {"rsverify", "numpy", "scipy", "numba", "python"} <= content["versions"].keys()
    assert read_metadata(written) == content


def test_unknown_label_is_never_correct():
    abstained = certificates()[1]

    assert abstained.prediction == -1
    assert table_row(0, -1, abstained)["correct"] == 0


def test_tuple_seed_and_unknown_values_are_text(path):
    given = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0, bound="cohen")
    certificate = altered(given, seed=(7, 12))
    with TableWriter(path, configuration={}) as writer:
        writer.write(0, 0, certificate)
    table = read_table(path)

    assert table["seed"][0] == "7,12"
    assert math.isnan(table["lipschitz"][0])


@pytest.mark.parametrize("cut", [2, 5, 40])
def test_cut_last_line_is_dropped_with_a_warning(written, cut):
    written.write_bytes(written.read_bytes()[:-cut])

    with pytest.warns(TruncatedTableWarning, match="was cut off"):
        table = read_table(written)
    assert table["idx"].tolist() == [0, 10, 20]


def test_every_prefix_after_the_header_is_readable(written):
    """A line that lacks its break only is whole: its votes add up to their number."""
    content = written.read_bytes()
    header = content.index(b"\n") + 1
    for size in range(header, len(content) + 1):
        written.write_bytes(content[:size])
        whole = b"\n" in content[size - 1 : size + 1]
        with _nothing() if whole else pytest.warns(TruncatedTableWarning):
            table = read_table(written)
        assert len(table) == content[: size + 1].count(b"\n") - 1
        assert table["idx"].tolist() == [0, 10, 20, 30][: len(table)]


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_each_row_is_in_the_file_before_the_next(path):
    with TableWriter(path, configuration={}) as writer:
        for i, certificate in enumerate(certificates()):
            writer.write(i, 0, certificate)
            assert len(read_table(path)) == i + 1


def test_resume_repairs_and_continues(written):
    whole = written.read_bytes()
    written.write_bytes(whole[:-7])
    with TableWriter(written, configuration={"seed": 3}, resume=True) as writer:
        assert writer.done == {0, 10, 20}
        writer.write(30, LABELS[3], certificates()[3])

    assert written.read_bytes() == whole


def test_resume_of_a_table_cut_in_its_header_starts_again(path):
    with TableWriter(path, configuration={}):
        pass
    path.write_text("idx\tlab")
    with TableWriter(path, configuration={}, resume=True) as writer:
        writer.write(0, 0, certificates()[0])

    assert read_table(path)["idx"].tolist() == [0]


def test_resume_with_another_configuration_is_refused(written):
    with pytest.raises(ValueError, match="seed=4 must be 3 to resume"):
        TableWriter(written, configuration={"seed": 4}, resume=True)


def test_existing_table_is_not_overwritten(written):
    with pytest.raises(FileExistsError, match="exists already"):
        TableWriter(written, configuration={"seed": 3})


def test_rows_of_other_classes_are_refused(written):
    other = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0, bound="cohen")
    with (
        TableWriter(written, configuration={"seed": 3}, resume=True) as writer,
        pytest.raises(ValueError, match="they must be"),
    ):
        writer.write(40, 0, other)


def test_write_table_and_read_back_agree(written, tmp_path):
    table = read_table(written)
    write_table(table, tmp_path / "copy.tsv", configuration={"seed": 3})

    assert (tmp_path / "copy.tsv").read_text() == written.read_text()
    assert not list(tmp_path.glob("*.partial"))


def test_field_that_would_break_the_file_is_refused(written, tmp_path):
    table = read_table(written).assign(status="two\tfields")

    with pytest.raises(ValueError, match="neither tabs nor line breaks"):
        write_table(table, tmp_path / "bad.tsv", configuration={})
    assert not (tmp_path / "bad.tsv").exists()


def common(*rows):
    return "\n".join(["\t".join(COMMON_COLUMNS), *("\t".join(r) for r in rows)]) + "\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("16.6", 16.6),
        ("0:00:13.736080", 13.73608),
        ("1:02:03", 3723.0),
        ("1 day, 0:00:01", 86401.0),
        ("2 days, 1:02:03.5", 176523.5),
        ("0 days 00:00:13.736080", 13.73608),
        ("0:14", 14.0),
        ("12:12", 732.0),
        ("90:00.25", 5400.25),
        ("16", 16.0),
        ("1.66e+01", 16.6),
    ],
)
def test_times_of_published_tables(path, text, seconds):
    path.write_text(common(("0", "3", "3", "0.486", "1", text)))

    assert read_table(path)["time"].tolist() == [seconds]


@pytest.mark.parametrize("text", ["", "nan", "NaN", "NA", "NaT", "None", "null", "<NA>", "missing"])
def test_times_that_are_not_known(path, text):
    """As numpy, R, pandas, Python, databases and Julia print them."""
    path.write_text(common(("0", "3", "3", "0.486", "1", text)))

    assert read_table(path)["time"].isna().all()


def test_answers_of_the_base_model_are_classes(written):
    write_table(
        read_table(written).assign(base_predict=[0, 1, 2, 0]), written, configuration={}, force=True
    )

    assert read_table(written)["base_predict"].tolist() == [0, 1, 2, 0]
    assert read_table(written)["base_predict"].dtype == np.int64


def test_published_tables_are_read(real_data):
    for name in ("cohen_cifar10_sigma050.tsv", "cohen_cifar10_sigma012.tsv"):
        table = read_table(real_data / name)
        assert list(table.columns) == list(COMMON_COLUMNS)
        assert len(table) == 500
        assert (table["time"] > 0).all()
        assert ((table["predict"] == -1) == (table["radius"] == 0)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no column 'idx'"),
        ("idx\tlabel\tpredict\tradius\tcorrect\n", "has no column 'time'"),
        (common(("0", "3", "3", "0.4", "1")), "line 2 of .* has 5 fields; it must have 6"),
        (common(("0", "3", "3", "wide", "1", "2")), "column 'radius' of .* must hold numbers"),
        (common(("0", "3", "3", "", "1", "2")), "column 'radius' of .* must hold numbers"),
        (common(("0.5", "3", "3", "0.4", "1", "2")), "column 'idx' of .* must hold numbers"),
        (common(("0", "3", "3", "0.4", "1", "soon")), "column 'time' of .* must hold numbers"),
        (common(("0", "3", "3", "0.4", "1", "1:2")), "column 'time' of .* line 2 has '1:2'"),
        (common(("0", "3", "3", "0.4", "1", "0:61:00")), "line 2 has '0:61:00'"),
        (common(("0", "3", "3", "0.4", "1", "inf")), "column 'time' of .* line 2 has 'inf'"),
        (common(("0", "3", "3", "nan", "1", "2")), "column 'radius' of .* must not be .* NaN"),
        (common(("0", "3", "3", "-0.4", "1", "2")), "line 2 has '-0.4', .* not be negative"),
        (common(("0", "3", "3", "1_0", "1", "2")), "column 'radius' of .* line 2 has '1_0'"),
        (common(("0", "3", "3", "0,486", "1", "2")), "'0,486', .* decimal point must be a point"),
        (common(("9" * 20, "3", "3", "0.4", "1", "2")), "column 'idx' of .* is too large"),
        (common(("0", "3", "", "0.4", "1", "2")), "column 'predict' of .* line 2 has ''"),
        (common(("0", "\u0663", "3", "0.4", "1", "2")), "column 'label' of .* line 2"),
        (common(("0", "3", "3", "0.4", "1", "2", "9")), "line 2 of .* has 7 fields"),
        (common().replace("time", "idx\ttime"), "two columns 'idx'"),
        (common().replace("\t", "  "), "separated by spaces: it must be separated by tabs"),
        (common().replace("\t", ",").replace(",time", ""), r"commas\) has no column 'time'"),
    ],
)
def test_malformed_tables_are_refused(path, content, message):
    path.write_text(content)

    with pytest.raises(ValueError, match=message):
        read_table(path)


ROWS = [("0", "3", "3", "0.4860", "1", "0:14"), ("20", "7", "-1", "0.0000", "0", "0:15")]


def test_all_bad_cells_are_found_after_many_good_ones(path):
    """Line numbers are those of the file, blank lines counted."""
    for column, name in enumerate(COMMON_COLUMNS):
        bad = list(ROWS[0])
        bad[column] = "x"
        path.write_text(
            "\n" + common(*ROWS, *ROWS).replace("\n20", "\n\n20") + "\t".join(bad) + "\n"
        )
        with pytest.raises(ValueError, match=f"column '{name}' of .*table.tsv .*line 9 has 'x'"):
            read_table(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text + "\n",
        lambda text: text + "\n \n\t\t\t\t\t\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\t", ","),
        lambda text: text.replace("\t", ", "),
        lambda text: text.replace("\t", ";"),
        lambda text: text.replace("\t", "|"),
        lambda text: "\ufeff" + text.replace("\t", ";").replace("\n", "\r\n") + "\r\n",
        lambda text: text.replace("\n20", "\n\n20"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("\t", ",").replace("0:14", '"1 day, 0:14"').replace("\n", "\r\n"),
        lambda text: "\n".join(
            "\t".join(f'"{field}"' for field in line.split("\t")) for line in text.split("\n")[:-1]
        ),
        lambda text: text.replace("\t3\t3", "\t3.0\t3.0").replace("\t7\t", "\t7.0\t"),
        lambda text: text.replace("1\t0:14", "True\t0:14").replace("0\t0:15", "False\t0:15"),
        lambda text: text.replace("0.4860", "4.860E-01").replace("0.0000", "0"),
        lambda text: text.replace("idx\t", " idx \t").replace("\t3\t", "\t 3 \t"),
        lambda text: "# sigma 0.5\n# n 100000, alpha 0.001\n" + text,
        lambda text: "#" + text,
        lambda text: "# a b c d e f\n" + text.replace("\t", ","),
        lambda text: "\ufeffsep=;\r\n" + text.replace("\t", ";").replace("\n", "\r\n"),
    ],
)
def test_the_same_table_from_other_tools(path, change):
    path.write_bytes(change(common(*ROWS)).encode())
    table = read_table(path)

    assert list(table.columns) == list(COMMON_COLUMNS)
    assert table["idx"].tolist() == [0, 20]
    assert table["label"].tolist() == [3, 7]
    assert table["predict"].tolist() == [3, -1]
    assert table["radius"].tolist() == [0.486, 0.0]
    assert table["correct"].tolist() == [1, 0]
    assert (table["time"] % 86400).tolist() == [14.0, 15.0]
    assert table.dtypes.map(str).tolist() == ["int64"] * 3 + ["float64", "int64", "float64"]


def test_infinite_radii_are_read(path):
    path.write_text(common(("0", "3", "3", "inf", "1", "2"), ("1", "3", "3", "Infinity", "1", "2")))

    assert read_table(path)["radius"].tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (common(*ROWS).encode("utf-16"), "table.tsv is encoded as UTF-16 or UTF-32: save it"),
        (common(*ROWS).encode("utf-32"), "table.tsv is encoded as UTF-16 or UTF-32: save it"),
        (common(*ROWS).encode("utf-16-le"), "line 1 of .*table.tsv holds a NUL character"),
        ((common(*ROWS) + "# caf\u00e9\n").encode("cp1252"), "line 4 of .*table.tsv is not UTF-8"),
        ((common(*ROWS) + "# \u732b\n").encode("shift-jis"), "line 4 of .*table.tsv is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "line 1 of .*table.tsv is not UTF-8"),
    ],
)
def test_other_encodings_are_refused_with_the_name_of_the_file(path, content, message):
    path.write_bytes(content)

    with pytest.raises(ValueError, match=message):
        read_table(path)


def test_a_line_cut_within_a_character_is_dropped(path):
    path.write_bytes((common(*ROWS) + "40\t3\t3\t0.1\té").encode()[:-1])

    with pytest.warns(TruncatedTableWarning, match="was cut off"):
        assert len(read_table(path)) == 2


def test_a_line_separator_of_unicode_ends_no_line(path):
    """As in a name; Python's `splitlines` would cut the row there."""
    header = "\t".join((*COMMON_COLUMNS, "name"))
    path.write_text(f"{header}\n0\t3\t3\t0.4\t1\t2\tone\u2028two\x0bthree\n", encoding="utf-8")

    assert read_table(path)["name"].tolist() == ["one\u2028two\x0bthree"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", ["idx", "radius"])
def test_every_prefix_of_a_published_table_has_no_wrong_row(path, first, end):
    """But for the digits of its time. A radius at the end of a line may lack its exponent."""
    order = [*range(6)] if first == "idx" else [0, 1, 2, 4, 5, 3]
    rows = [COMMON_COLUMNS, *ROWS, ("40", "12", "12", "3.63e-05", "1", "0:00:16.5")]
    content = "".join("\t".join(row[i] for i in order) + end for row in rows).encode()
    path.write_bytes(content)
    whole = read_table(path)
    start = content.index(b"\n") + 1
    for size in range(start, len(content)):
        path.write_bytes(content[:size])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedTableWarning)
            table = read_table(path)
        assert len(table) in (content[:size].count(b"\n") - 1, content[:size].count(b"\n"))
        kept = [name for name in COMMON_COLUMNS if name != "time"]
        pd.testing.assert_frame_equal(table[kept], whole[kept].iloc[: len(table)])
    if first == "idx":
        assert len(table) == 3


def test_certified_accuracy_counts_correct_rows_with_a_radius_that_large():
    table = pd.DataFrame({"correct": [1, 1, 0, 0, 1], "radius": [0.5, 0.2, 0.9, 0.0, 0.2]})

    found = certified_accuracy(table, [[0.0, 0.2], [0.20001, 1.0]])
    assert found.tolist() == [[0.6, 0.6], [0.2, 0.0]]
    assert certified_accuracy(table, 0.5) == 0.2


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from((0.0, 0.1, 0.25, 1.5))), min_size=1),
    st.sampled_from((0.0, 0.1, 0.2, 0.25, 1.5, 2.0)),
)
def test_certified_accuracy_is_the_share_of_rows_counted_one_by_one(rows, radius):
    table = pd.DataFrame(rows, columns=["correct", "radius"])
    counted = sum(correct == 1 and r >= radius for correct, r in rows)

    assert certified_accuracy(table, radius) == counted / len(rows)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 5)), min_size=1, max_size=30),
)
def test_area_under_certified_accuracy_is_the_average_radius(rows):
    table = pd.DataFrame(rows, columns=["correct", "radius"])
    edges = np.unique(np.append(table["radius"], 0.0))
    area = float(np.sum(np.diff(edges) * certified_accuracy(table, edges[1:])))

    assert average_certified_radius(table) == pytest.approx(area, abs=1e-12)


def test_summaries_refuse_what_they_cannot_answer():
    table = pd.DataFrame({"correct": [1], "radius": [0.5]})

    with pytest.raises(ValueError, match=r"radii=-0\.1 must not be negative"):
        certified_accuracy(table, [0.1, -0.1])
    with pytest.raises(ValueError, match="NaN"):
        certified_accuracy(table, math.nan)
    with pytest.raises(ValueError, match="no rows"):
        certified_accuracy(table.iloc[:0], 0.1)
    with pytest.raises(ValueError, match="no rows"):
        average_certified_radius(table.iloc[:0])


@pytest.mark.parametrize(
    "header",
    ['idx","label","predict","radius","correct","time"', 'idx",label,predict,radius,correct,time'],
)
def test_a_header_that_lost_a_quote_is_one_line(path, header):
    path.write_text(header + "\n0,1,1,0.5,1,2.0\n")

    with pytest.raises(ValueError, match=r"line 1 of .*table.tsv has a quote in the wrong place"):
        read_table(path)


@pytest.mark.parametrize("correct", ["2", "-1", "10"])
def test_correct_is_one_or_zero(path, correct):
    path.write_text("\t".join(COMMON_COLUMNS) + f"\n0\t1\t1\t0.5\t{correct}\t2.0\n")

    with pytest.raises(ValueError, match=rf"correct={correct} of idx=0 in .* must be 0 or 1"):
        read_table(path)
