import gzip

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_table
from rsverify._core.errors import DataError
from rsverify.tables.counts import read_counts
from rsverify.tables.reader import read_table

VOTES = [[980, 15, 5], [400, 350, 250]]


@pytest.mark.parametrize(
    "content",
    [
        "980,15,5\n400,350,250\n",
        "\ufeff980;15;5\r\n400;350;250\r\n\r\n",
        "980\t15\t5\n400\t350\t250",
        "980 15  5\n400 350 250\n",
        "980.0,15.0,5.0\n4e2,3.5e2,2.5e2\n",
        "count_0,count_1,count_2\n980,15,5\n400,350,250\n",
        "c1,c2,c3\n980,15,5\n400,350,250\n",
        "0\t1\t2\n980\t15\t5\n400\t350\t250\n",
        "1,2,3\n980,15,5\n400,350,250\n",
        ",0,1,2\n0,980,15,5\n1,400,350,250\n",
        "label,0,1,2\n0,980,15,5\n1,400,350,250\n",
        "img_0.png,980,15,5\nimg_1.png,400,350,250\n",
        "class_0_votes\tc0\tc1\tc2\n1\t980\t15\t5\n1\t400\t350\t250\n",
        '"class 2","class 0","class 1"\n5,980,15\n250,400,350\n',
        "image,c0,c1,c2,time\nimg_0,980,15,5,0:14\nimg_1,400,350,250,0:15\n",
        "count_0,count_1,count_2,selected_0,selected_1\n980,15,5,1,0\n400,350,250,0,1\n",
        "# c0,c1,c2\n980,15,5\n400,350,250\n",  # as np.savetxt(header=…) writes them
        "# votes of run 3\n980,15,5\n400,350,250\n",
        "# votes of run\n980,15,5\n400,350,250\n",
        "# sigma 0.5\n#\n# c0 c1 c2\n980 15 5\n400 350 250\n",
        "#count_0\tcount_1\tcount_2\n980\t15\t5\n400\t350\t250\n",
        "# of run 3\nc0,c1,c2\n980,15,5\n400,350,250\n",
    ],
)
def test_counts_of_many_layouts(tmp_path, content):
    path = tmp_path / "votes.csv"
    path.write_text(content, encoding="utf-8")

    found = read_counts(path)
    assert found.filter(regex="^count_").to_numpy().tolist() == VOTES


@pytest.mark.parametrize(
    ("content", "label", "message"),
    [
        ("", None, "is empty"),
        ("c0,c1\n", None, "has a header and no rows of counts"),
        ("c0,c1\n980,20\n\n0,0\n", None, "line 4 of .*votes.csv has no votes"),
        ("980,15\n400,350,250\n", None, "line 2 of .*votes.csv has 3 fields; it must have 2"),
        ("980,15\n400,x\n", None, "column 'column 1' of .*votes.csv .* line 2 has 'x'"),
        ("980,15\n400,-3\n", None, "line 2 has '-3', which is too small"),
        ("980,15\n400,3.5\n", None, "line 2 has '3.5', which is not an integer"),
        ("980,15,5,3\n400,350,250,7\n", None, "without column 3 to 1000: give label=3"),
        ("0,3,980,15,5\n1,7,400,350,250\n", None, r"give columns=\['2-4'\], and label="),
        (
            "0,980,15,5,3\n1,400,350,250,7\n",
            None,
            r"column 0 and 4 to 1000: give columns=\['1-3'\]",
        ),
        ("a.png,980,15,5,3\nb.png,400,350,250,7\n", None, "without column 4 to 1000: give label=4"),
        ("a,b\nx,y\n", None, "it has none among 'a', 'b': name the columns of counts by --columns"),
        ("a.png,980\nb.png,400\n", None, "at least two columns of vote counts"),
        ("3,980,15,5\n7,400,350,250\n", None, "without column 0 to 1000: give label=0"),
        ("980,15\n400,350\n", 2, "label=2 must be a column between 0 and 1"),
        ("c0,c1\n980,15\n", 0, "label=0 is for files without a header"),
        ("a,b\n980,15\n", None, "it has none among 'a', 'b'"),
        ("idx,predict,radius\n0,1,0.5\n", None, "without vote counts: `rsverify recertify` takes"),
        ("c0,c2\n980,15\n", None, "it has none among 'c0', 'c2'"),
        ("c0,c1,d0,d1\n1,2,3,4\n", None, r"it has several \(c…, d…\)"),
    ],
)
def test_what_is_no_table_of_counts_is_refused(tmp_path, content, label, message):
    path = tmp_path / "votes.csv"
    path.write_text(content)

    with pytest.raises(ValueError, match=message):
        read_counts(path, label=label)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_beside_the_counts(tmp_path, label):
    path = tmp_path / "votes.txt"
    path.write_text("980 15 5 2\n400 350 250 0\n")

    found = read_counts(path, label=label)
    assert found["label"].tolist() == [2, 0]
    assert found.filter(like="count_").to_numpy().tolist() == VOTES


def test_published_counts_and_logs(real_data):
    plain = read_counts(real_data / "formats" / "votes.csv")
    named = read_counts(real_data / "formats" / "votes_header.csv")
    assert plain.shape == (40, 4)
    assert (plain.sum(axis=1) == 100_000).all()
    assert named[list(plain.columns)].equals(plain)
    assert named["image"][0] == "img_0"
    cifar = read_counts(real_data / "cifar10_counts_sigma025.txt", label=-1)
    assert (cifar.filter(like="count_").sum(axis=1) == 100_000).all()
    assert np.isin(cifar["label"], range(10)).all()


def test_the_table_reader_names_the_reader_of_counts(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("image,label,c0,c1\nimg_0,0,980,20\n")

    with pytest.raises(ValueError, match=r"votes.csv .*has no column 'idx'.*read_counts"):
        read_table(path)


def test_a_row_of_votes_that_counts_like_a_header_is_one(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("0,1,2\n3,0,0\n1,1,1\n")  # three votes in every row, the first one too
    assert read_counts(path).to_numpy().tolist() == [[0, 1, 2], [3, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("content", "columns", "label"),
    [
        ("truth,cat,dog,eel\n2,980,15,5\n0,400,350,250\n", ["cat", "dog", "eel"], None),
        ("0,2,980,15,5\n1,0,400,350,250\n", [2, 3, 4], 1),
        ("truth,v_cat,v_dog,v_eel\n2,980,15,5\n0,400,350,250\n", ["v_*"], None),
        ("v_*,v_b,n\n980,20,1\n400,600,2\n", ["v_*", "v_b"], None),
        ("0,2,980,15,5\n1,0,400,350,250\n", ["2-4"], 1),
        ("0 15 980 5 2\n1 350 400 250 0\n", ["2", "1", "-2"], -1),
        ("980,15,5,0.98\n400,350,250,0.4\n", [0, 1, 2], None),
    ],
)
def test_columns_that_are_named(tmp_path, content, columns, label):
    path = tmp_path / "votes.csv"
    path.write_text(content)
    found = read_counts(path, columns=columns, label=label)
    votes = [[980, 20], [400, 600]] if "v_b" in columns else VOTES
    assert found.filter(like="count_").to_numpy().tolist() == votes
    assert label is None or found["label"].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["cat", "cow"], "columns='cow' must be a column of .*: 'cat', 'dog'"),
        (["cat"], "must be two or more different columns"),
        (["cat", "cat"], "must be two or more different columns"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, message):
    path = tmp_path / "votes.csv"
    path.write_text("cat,dog\n980,20\n")
    with pytest.raises(ValueError, match=message):
        read_counts(path, columns=columns)


def test_parquet_and_arrays(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(VOTES, columns=["c0", "c1", "c2"]).astype("Int64")
    frame["label"] = pd.array([2, 0], dtype="Int8")
    frame["image"] = ["a", "b"]
    frame.to_parquet(tmp_path / "votes.parquet")
    found = read_counts(tmp_path / "votes.parquet")
    assert found.filter(like="count_").to_numpy().tolist() == VOTES
    assert found[["label", "image"]].to_numpy().tolist() == [[2, "a"], [0, "b"]]

    frame.loc[1, "c2"] = pd.NA
    frame.to_parquet(tmp_path / "missing.parquet")
    with pytest.raises(ValueError, match=r"'c2' of .*missing.parquet .*: row 1 is missing"):
        read_counts(tmp_path / "missing.parquet")
    (tmp_path / "broken.parquet").write_text("no such thing")
    with pytest.raises(ValueError, match=r"broken.parquet is not a Parquet file"):
        read_counts(tmp_path / "broken.parquet")

    np.save(tmp_path / "votes.npy", np.array(VOTES, dtype=np.uint16))
    assert read_counts(tmp_path / "votes.npy").to_numpy().tolist() == VOTES
    np.save(tmp_path / "flat.npy", np.array(VOTES[0]))
    with pytest.raises(ValueError, match="must hold one row of counts per input"):
        read_counts(tmp_path / "flat.npy")


def test_labels_that_are_names_of_classes(tmp_path):
    frame = pd.DataFrame(VOTES, columns=["cat", "dog", "eel"]).assign(label=["eel", "cat"])
    names = ["cat", "dog", "eel"]
    frame.to_csv(tmp_path / "votes.csv", index=False)
    assert read_counts(tmp_path / "votes.csv", columns=names)["label"].tolist() == [2, 0]
    found = certify_table(frame, y="label", sigma=1, alpha=0.1, columns=names, bound="cohen")
    assert found["label"].tolist() == [2, 0]
    # By another name too, from a file or a frame.
    frame.rename(columns={"label": "truth"}).to_csv(tmp_path / "truth.csv", index=False)
    votes = read_counts(tmp_path / "truth.csv", columns=names)
    options = {"sigma": 1, "alpha": 0.1, "bound": "cohen"}
    assert certify_table(votes, y="truth", label="truth", **options)["y"].tolist() == [2, 0]
    votes.loc[1, "truth"] = "cow"
    with pytest.raises(ValueError, match=r"column 'truth' of counts .*: row 0 is 'eel'"):
        certify_table(votes, y="truth", **options)
    frame.assign(label=["eel", "cow"]).to_csv(tmp_path / "votes.csv", index=False)
    with pytest.raises(
        ValueError, match=r"'label' of .* line 2 has 'eel', which is not an integer"
    ):
        read_counts(tmp_path / "votes.csv", columns=names)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(b"c0,c1\n980,20\n", mtime=0), "compressed by gzip: decompress it"),
        (b"PK\x03\x04 and so on", "a zip archive or a spreadsheet"),
        (b"PAR1 and so on", "a Parquet file: give it the ending .parquet"),
        (b"\x93NUMPY and so on", "an array of numpy"),
        (b"ARROW1 and so on", "a Feather file"),
        (b"\x89HDF and so on", "an HDF5 file"),
        (b"\x80\x05 and so on", "a pickle, which is not read"),
        (b"[[980, 20], [1, 2]]", "JSON, or a list as Python prints it"),
        (b"[[980  20]\n [  1   2]]", "JSON, or a list as Python prints it"),
        (b'{"c0": [1], "c1": [2]}', "JSON: give the table that it belongs to, or save it as .csv"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, content, what):
    (tmp_path / "votes.csv").write_bytes(content)
    with pytest.raises(DataError, match=what):
        read_counts(tmp_path / "votes.csv")
    with pytest.raises(DataError, match=what):
        read_table(tmp_path / "votes.csv")


@pytest.mark.parametrize(
    "content",
    [
        "c0,c1\n980,2O\n",
        "c0,c1\n980,20\n3\n",
        "c0,c1\n980,-1\n",
        "c0,c1\n980,0.5\n",
        "c0,c1\n980,\n",
        "c0,c1\n0,0\n",
        f"c0,c1\n{10**30},1\n",
        'c0,c1\n"980,1\n',
        "# only a comment\n",
        "",
        "c0,c1\n",
    ],
)
def test_what_a_file_holds_is_an_error_of_data(tmp_path, content):
    """Which the command line tells from wrong options, by the code 65."""
    (tmp_path / "votes.csv").write_text(content)
    with pytest.raises(DataError, match=r"votes\.csv") as caught:
        read_counts(tmp_path / "votes.csv")
    assert "\n" not in str(caught.value)


def test_thousands_are_not_separated(tmp_path):
    (tmp_path / "votes.csv").write_text('c0,c1\n"1,000",1\n')
    with pytest.raises(DataError, match=r"line 2 has '1,000', .*thousands are not separated"):
        read_counts(tmp_path / "votes.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Damaged in the first row, by which a file without a header tells its columns.
        ("98O,15,5\n400,350,250\n", "'column 0' of .* line 1 has '98O', .*--columns"),
        ("980,15,5x\n400,350,250\n", "'column 2' of .* line 1 has '5x'"),
        ("NA 15 5\n400 350 250\n", "'column 0' of .* line 1 has 'NA'"),
        (",15,5\n400,350,250\n", "'column 0' of .* line 1 has ''"),
        ("1_000;15;5\n400;350;250\n", "'column 0' of .* line 1 has '1_000'"),
        # A thousand as spreadsheets print it where the decimal point is a comma.
        ("c0;c1\n900;1.000\n1.000;20\n", "'c1' of .* line 2 has '1.000', which may be a thousand"),
        ("c0\tc1\n100.000\t7\n", "'c0' of .* line 2 has '100.000', which may be a thousand"),
        ("c0,c1,c0\n1,2,3\n", "has two columns 'c0'; it must have one"),
        ("a;a;c0;c1\n1;2;3;4\n", "has two columns 'a'; it must have one"),
        # Votes for a class that has no number.
        ("count_0,count_1,count_other\n9,1,30\n8,2,3\n", "column 'count_other' beside 'count_0'"),
        ("votes_0,votes_1,votes_-1\n9,1,30\n8,2,3\n", "column 'votes_-1' beside 'votes_0'"),
        ("count_0,count_1,count_abstain\n9,1,0\n8,2,1\n", "name the columns of counts by --col"),
        # R leaves the column of the names of rows without one.
        ('"c0" "c1"\n"1" 980 20\n"2" 400 600\n', "line 2 of .* 3 fields; it must have 2 .names of"),
        ("c0,c1\n980,20,\n400,600,\n", "line 2 of .* has 3 fields; it must have 2$"),
    ],
)
def test_no_class_is_left_out_and_no_count_misread(tmp_path, content, message):
    (tmp_path / "votes.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_counts(tmp_path / "votes.csv")


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nlabel;c0;c1;c2\n0;980;15;5\n1;400;350;250\n",
        '\ufeff"sep=,"\r\nc0,c1,c2\r\n980,15,5\r\n400,350,250\r\n',
        "# votes of run\nc0 c1 c2\n980 15 5\n400 350 250\n",  # as many words as columns
        "# a b c d\nname,c0,c1,c2\nx,980,15,5\ny,400,350,250\n",
        "980.000,15.000,5.000\n400.000,350.000,250.000\n",  # all of them: printed with %.3f
        "count_0,count_1,count_2,count_total\n980,15,5,1000\n400,350,250,1000\n",
        "count_0,count_1,count_2,count_share\n980,15,5,0.98\n400,350,250,0.4\n",
        '"","count_0","count_1","count_2","correct"\n"1",980,15,5,1\n"2",400,350,250,0\n',
        "a.png,980,15,5,\nb.png,400,350,250,\n",
    ],
)
def test_counts_of_more_layouts(tmp_path, content):
    (tmp_path / "votes.csv").write_text(content, encoding="utf-8")
    found = read_counts(tmp_path / "votes.csv")
    assert found.filter(regex=r"^count_\d").to_numpy().tolist() == VOTES


def test_columns_that_say_the_settings_must_agree_with_them(tmp_path):
    """A log has n, sigma and alpha beside its counts."""
    options = {"y": 0, "sigma": 0.5, "alpha": 0.001, "bound": "cohen"}
    expected = certify_table(VOTES, **options)
    (tmp_path / "log.csv").write_text(
        "n,sigma,alpha,n0,c0,c1,c2\n1000,0.50,1e-3,100,980,15,5\n1000,.5,0.001,100,400,350,250\n"
    )
    pd.testing.assert_frame_equal(
        certify_table(read_counts(tmp_path / "log.csv"), **options), expected
    )
    frame = pd.DataFrame(VOTES, columns=["c0", "c1", "c2"])
    same = frame.assign(n=1000, sigma=np.float32(0.5), alpha=[0.001, None])
    pd.testing.assert_frame_equal(certify_table(same, **options), expected)
    for column, value, message in (
        ("n", 2000, "'n' of counts must be 1000 in row 0, the votes of the row, not 2000"),
        ("sigma", 0.25, "'sigma' of counts must be 0.5 in row 0, as given, not 0.25"),
        ("alpha", "0.01", "'alpha' of counts must be 0.001 in row 0, as given, not 0.01"),
        ("sigma", "half", "'sigma' of counts must be 0.5 in row 0, as given, not half"),
    ):
        with pytest.raises(DataError, match=message):
            certify_table(frame.assign(**{column: value}), **options)


def test_votes_that_were_counted_by_pandas():
    """One row per vote, grouped by what then is in the index."""
    drawn = pd.DataFrame(
        {
            "image": ["a"] * 10 + ["b"] * 10,
            "label": [1] * 10 + [0] * 10,
            "vote": [0, 1] * 3 + [1] * 14,
        }
    )
    options = {"sigma": 1, "alpha": 0.1, "y": "label", "bound": "cohen"}
    grouped = drawn.groupby(["image", "label"])["vote"].value_counts().unstack(fill_value=0)
    found = certify_table(grouped, **options)
    assert found[["image", "label", "y", "count_0", "count_1"]].to_numpy().tolist() == [
        ["a", 1, 1, 3, 7],
        ["b", 0, 0, 0, 10],
    ]
    crossed = pd.crosstab(drawn["label"], drawn["vote"])
    assert certify_table(crossed, **options)["y"].tolist() == [0, 1]
    pivoted = drawn.pivot_table(
        index=["image", "label"], columns="vote", aggfunc="size", fill_value=0
    )
    assert certify_table(pivoted, **options)["y"].tolist() == [1, 0]
    unnamed = grouped.set_axis(pd.MultiIndex.from_tuples([(0, 1), (1, 0)]))
    assert "level_0" not in certify_table(unnamed, **{**options, "y": [1, 0]})
