import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_counts, certify_table
from rsverify._core.files import Interrupted
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import bonferroni_margin_lower
from rsverify.certificates.assumptions import AssumptionWarning
from rsverify.certificates.margins import BOUNDS
from rsverify.tables import margins
from rsverify.tables.certify import certify_table as defined_here
from rsverify.tables.reader import read_table, table_row, write_table
from rsverify.tables.recertify import recertify

COUNTS = np.array(
    [
        [900, 60, 40],
        [400, 350, 250],
        [20, 30, 950],
        [1000, 0, 0],
        [450, 550, 0],
        [3, 0, 0],
        [510, 490, 0],
    ]
)
CLASSES = [0, 0, 2, 0, 0, 0, 0]
LABELS = [0, 0, 1, 0, 1, -1, 0]
COMPARED = ["idx", "label", "predict", "radius", "correct", "status", "y", "n", "n0", "alpha"]
COMPARED += ["bound", "radius_kind", "sigma", "margin", "count_0", "count_1", "count_2"]
OPTIONS = {"sigma": 0.25, "alpha": 0.001}


def one_by_one(**options):
    rows = zip(COUNTS.tolist(), CLASSES, LABELS, strict=True)
    return pd.DataFrame(
        table_row(i, label, certify_counts(k, y=y, **{**OPTIONS, **options}))
        for i, (k, y, label) in enumerate(rows)
    )


def test_one_name():
    assert certify_table is defined_here


@pytest.mark.parametrize("radius", ["R1", "R2"])
@pytest.mark.parametrize("bound", BOUNDS)
def test_all_rows_at_once_say_what_each_says(bound, radius, tmp_path):
    found = certify_table(COUNTS, y=CLASSES, label=LABELS, bound=bound, radius=radius, **OPTIONS)

    expected = one_by_one(bound=bound, radius=radius)
    assert list(found.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(found[COMPARED], expected[COMPARED], check_exact=True)
    assert {"runner-up ahead", "certified", "margin not positive"} <= set(found["status"])
    # and as a file: the same bytes that a writer of single rows makes
    write_table(found, tmp_path / "all.tsv", configuration={})
    write_table(expected, tmp_path / "each.tsv", configuration={})
    assert (tmp_path / "all.tsv").read_bytes() == (tmp_path / "each.tsv").read_bytes()
    again = recertify(read_table(tmp_path / "all.tsv"))
    np.testing.assert_array_equal(again["margin"], found["margin"])


def test_reasons_of_all_rows_are_those_of_each():
    rng = np.random.default_rng(3)
    n = rng.integers(1, 60, 300)
    counts = rng.multinomial(n, rng.dirichlet([1, 1, 1], 300))
    alpha = rng.choice([0.3, 0.05, 0.001, 1e-6], 300)
    for bound in BOUNDS:
        for radius in ("R1", "R2"):
            found = certify_table(counts, sigma=1, alpha=alpha, y=0, bound=bound, radius=radius)
            expected = [
                certify_counts(k, sigma=1, alpha=a, y=0, bound=bound, radius=radius).status
                for k, a in zip(counts[:60], alpha, strict=False)
            ]
            assert found["status"].tolist()[:60] == [str(s) for s in expected]
            assert "too few samples for alpha" in set(found["status"])


def test_levels_noise_and_constants_of_each_row():
    alpha, sigma, constant = [0.1, 0.01, 1e-4], [0.1, 0.5, 2.0], [0.1, 10.0, 0.2]
    found = certify_table(
        COUNTS[:3],
        sigma=sigma,
        alpha=alpha,
        lipschitz=constant,
        y=[0, 0, 2],
        radius="R1",
        bound="bonferroni",
    )
    for i, y in enumerate([0, 0, 2]):
        each = certify_counts(
            COUNTS[i],
            sigma=sigma[i],
            alpha=alpha[i],
            lipschitz=constant[i],
            y=y,
            radius="R1",
            bound="bonferroni",
        )
        assert (found["radius"][i], found["margin"][i]) == (each.radius, each.margin)


def test_a_custom_bound_is_asked_once_for_different_rows():
    asked = []

    def limits(k1, k2, n, alpha):
        asked.append(np.size(k1))
        return bonferroni_margin_lower(k1, k2, n, alpha, estimand="probit")

    bound = Bound("mine", limits, estimand="probit", side="lower", data="votes")
    found = certify_table(np.repeat(COUNTS, 50, axis=0), y=0, bound=bound, **OPTIONS)

    expected = certify_table(np.repeat(COUNTS, 50, axis=0), y=0, bound="bonferroni", **OPTIONS)
    np.testing.assert_array_equal(found["radius"], expected["radius"])
    assert asked == [len(COUNTS)]


def test_the_winner_of_the_same_votes_pays_for_all_classes(tmp_path):
    found = certify_table(COUNTS, winner=True, bound="exact", **OPTIONS)

    winners = COUNTS.argmax(axis=1)
    for i, y in enumerate(winners):
        each = certify_counts(COUNTS[i], sigma=0.25, alpha=np.nextafter(0.001 / 3, 0), y=int(y))
        assert found["radius"][i] == each.radius
    assert set(found["alpha"]) == {0.001}
    assert set(found["alpha_shares"]) == {3}
    # It is paid again by who reads the table.
    write_table(found, tmp_path / "winners.tsv", configuration={})
    again = recertify(read_table(tmp_path / "winners.tsv"), alpha=0.01, bound="cohen")
    expected = certify_table(COUNTS, winner=True, bound="cohen", sigma=0.25, alpha=0.01)
    np.testing.assert_array_equal(again["radius"], expected["radius"])


def test_a_selection_sample_chooses_the_class():
    selected = np.array([[7, 2, 1]] * 4 + [[0, 9, 1]] * 3)
    found = certify_table(COUNTS, selection=selected, bound="cohen", **OPTIONS)

    assert found["y"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert set(found["n0"]) == {10}
    frame = pd.DataFrame(COUNTS, columns=["count_0", "count_1", "count_2"]).join(
        pd.DataFrame(selected, columns=["selected_0", "selected_1", "selected_2"])
    )
    pd.testing.assert_frame_equal(certify_table(frame, bound="cohen", **OPTIONS), found)
    with pytest.warns(AssumptionWarning, match="identical to counts in 5 of 7 rows"):
        certify_table(COUNTS, selection=COUNTS, bound="cohen", **OPTIONS)


OTHER_TYPES = {
    "int32": lambda f: f.astype(np.int32),
    "uint64": lambda f: f.astype(np.uint64),
    "whole floats": lambda f: f.astype(float),
    "nullable": lambda f: f.astype("Int64"),
    "unsigned nullable": lambda f: f.astype("UInt16"),
    "objects": lambda f: f.astype(object),
    "text": lambda f: f.astype(str),
    "decimals": lambda f: f.map(Decimal),
    "arrow": lambda f: f.astype("int64[pyarrow]"),
    "categories": lambda f: f.astype("category"),
    "sparse": lambda f: f.astype(pd.SparseDtype(int)),
    "mixed": lambda f: f.astype({"c0": "Int64", "c1": object, "c2": float}),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_integers_of_any_type(kind):
    if kind == "arrow":
        pytest.importorskip("pyarrow")
    frame = OTHER_TYPES[kind](pd.DataFrame(COUNTS, columns=["c0", "c1", "c2"]))
    frame.insert(0, "image", [f"img_{i}" for i in range(len(frame))])
    frame["label"] = pd.array(LABELS, dtype="Int64")
    found = certify_table(frame, y=CLASSES, bound="cohen", **OPTIONS)

    expected = one_by_one(bound="cohen")
    np.testing.assert_array_equal(found[COMPARED].to_numpy(), expected[COMPARED].to_numpy())
    assert found["image"].tolist() == frame["image"].tolist()


def test_frames_of_other_packages():
    class Frame:
        """As polars and pyarrow have them."""

        def to_pandas(self):
            return pd.DataFrame(COUNTS, columns=["c0", "c1", "c2"]).assign(image="x")

    found = certify_table(Frame(), y=CLASSES, label=LABELS, bound="cohen", **OPTIONS)
    expected = one_by_one(bound="cohen")
    pd.testing.assert_frame_equal(found[COMPARED], expected[COMPARED])
    assert set(found["image"]) == {"x"}


def frame_of(column, value):
    frame = pd.DataFrame(COUNTS, columns=["c0", "c1", "c2"]).astype(object)
    frame.loc[2, column] = value
    return frame


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (frame_of("c1", pd.NA), "column 'c1' of counts must hold integers: row 2 is missing"),
        (frame_of("c1", None), "column 'c1' of counts .*: row 2 is None"),
        (frame_of("c0", 3.5), r"column 'c0' .*: row 2 is 3\.5"),
        (frame_of("c2", "many"), "column 'c2' .*: row 2 is 'many'"),
        (frame_of("c2", True), "column 'c2' .*: row 2 is True"),
        (frame_of("c2", 2**70), "column 'c2' .*: row 2 is 1180591620717411303424"),
        (frame_of("c2", -1), "counts has -1 in row 2, class 2"),
        (pd.DataFrame(COUNTS, index=list("abcdefg")).astype(float).replace(950, np.nan),
         r"column '2' .* row 2 \(index 'c'\) is missing"),
        (COUNTS - np.array([0, 0, 1]), "counts has -1 in row 3, class 2"),
        (COUNTS * 0, "counts has no votes in row 0"),
        (COUNTS[:, :1], r"shape \(7, 1\)"),
        (COUNTS[0], r"shape \(3,\)"),
        (COUNTS[:0], r"shape \(0, 3\)"),
        ([[1, 2], [3, "x"]], "column '1' .* row 1 is 'x'"),
        (pd.DataFrame(COUNTS, columns=["cat", "dog", "eel"]), "name the columns of counts"),
        (pd.DataFrame(COUNTS, columns=["c0", "c0", "c1"]), "two columns 'c0'"),
        (pd.DataFrame(COUNTS).assign(radius=1.0), "counts has a column 'radius'"),
        (pd.DataFrame(COUNTS).assign(label=99), "label=99 of row 0"),
        (pd.DataFrame(COUNTS).assign(y=1), "column 'y' that says other classes"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_by_row_and_column(counts, message):
    with pytest.raises(ValueError, match=message):
        certify_table(counts, y=0, bound="cohen", **OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the class is not said: give one of y"),
        ({"y": 0, "winner": True}, "y and winner are both given"),
        ({"y": 3}, "y=3 of row 0 must be a class between 0 and 2"),
        ({"y": [0, 1]}, r"y of shape \(2,\)"),
        ({"y": "true"}, "y='true' must be the number of a class, from 0, or a column"),
        ({"y": 0, "sigma": [1, 2]}, r"sigma of shape \(2,\)"),
        ({"y": 0, "alpha": 0}, "alpha=0"),
        ({"y": 0, "bound": "best"}, "bound='best' must be one of"),
        ({"y": 0, "ordering": "difference"}, "ordering='difference' must be None"),
        ({"y": 0, "lipschitz": 1.0}, "lipschitz=1.0 must be None"),
        ({"selection": [[1, 2, 3]]}, r"selection of shape \(1, 3\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        certify_table(COUNTS, **{**OPTIONS, "bound": "cohen", **options})


def test_named_columns_and_an_index_of_the_frame():
    frame = pd.DataFrame(COUNTS, columns=["cat", "dog", "eel"])
    frame.index = pd.Index([f"img_{i}" for i in range(7)], name="image")
    found = certify_table(
        frame.assign(truth=LABELS),
        y=CLASSES,
        label="truth",
        columns=["cat", "dog", "eel"],
        bound="cohen",
        **OPTIONS,
    )
    assert found["image"].tolist() == frame.index.tolist()
    assert found["correct"].tolist() == one_by_one(bound="cohen")["correct"].tolist()


# ---- Equal rows once; interrupted work kept.


class Limits:
    """Counts the rows that a bound is asked for; stops at a call."""

    def __init__(self, monkeypatch, stop_at=None):
        self.rows, self.calls = 0, 0
        original = margins.RowBound.limits

        def limits(this, k1, k2, n, alpha):
            self.calls += 1
            if self.calls == stop_at:
                raise KeyboardInterrupt
            self.rows += k1.size
            return original(this, k1, k2, n, alpha)

        monkeypatch.setattr(margins.RowBound, "limits", limits)


def many(rows):
    rng = np.random.default_rng(0)
    return rng.multinomial(1000, [0.8, 0.1, 0.05, 0.05], rows)


@pytest.mark.parametrize(("bound", "different"), [("cohen", 1), ("bonferroni", 2), ("exact", 2)])
def test_equal_rows_are_computed_once(bound, different, monkeypatch):
    asked = Limits(monkeypatch)
    # What the votes of the others are but for the most does not matter; to Cohen's not even that.
    counts = np.array([[900, 50, 50], [900, 50, 50], [900, 30, 70]] * 40)
    certify_table(counts, y=0, bound=bound, **OPTIONS)
    assert asked.rows == different


@pytest.mark.parametrize("call", ["certify", "recertify"])
def test_an_interrupted_run_goes_on_from_its_store(call, monkeypatch, tmp_path):
    counts, store = many(300), tmp_path / "limits.txt"
    whole = certify_table(counts, y=0, bound="bonferroni", **OPTIONS)

    def run():
        if call == "certify":
            return certify_table(counts, y=0, bound="bonferroni", store=store, **OPTIONS)
        return recertify(whole, store=store)

    monkeypatch.setattr(margins, "_SECONDS", 0.0)  # the smallest steps
    with monkeypatch.context() as patch:
        Limits(patch, stop_at=3)
        with pytest.raises(Interrupted, match=r"interrupted: 32 of \d+ different rows are kept in"):
            run()
    store.write_bytes(store.read_bytes() + b"cut off")  # as a killed process may leave it
    asked = Limits(monkeypatch)
    found = run()
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    different = len(np.unique(np.stack([counts[:, 0], counts[:, 1:].max(axis=1)]), axis=1).T)
    assert asked.rows == different - 32
    # Other bounds and other levels share the file.
    for options in ({"bound": "cohen"}, {"bound": "bonferroni", "alpha": 0.01}):
        expected = certify_table(counts, y=0, **{**OPTIONS, **options})
        found = certify_table(counts, y=0, store=store, **{**OPTIONS, **options})
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_store_that_was_cut_anywhere_is_gone_on_from(monkeypatch, tmp_path):
    """As a process that is killed while it writes leaves it."""
    monkeypatch.setattr(margins, "_SECONDS", 0.0)
    store, counts = tmp_path / "limits.txt", many(60)
    options = {"y": 0, "bound": "bonferroni", **OPTIONS}
    whole = certify_table(counts, store=store, **options)
    content = store.read_bytes()
    assert content.count(b"\n") > 20
    for size in (0, 1, 10, 25, 26, 27, 60, len(content) // 2, len(content) - 1):
        store.write_bytes(content[:size])
        pd.testing.assert_frame_equal(certify_table(counts, store=store, **options), whole)
        assert store.read_bytes().startswith(content[: content[:size].rfind(b"\n") + 1])


def test_a_store_that_is_none_is_left_alone(tmp_path):
    for name, content in (("mine.txt", "my notes\n"), ("cut.txt", "no line break")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match="does not hold limits of rows: name another file"):
            certify_table(many(9), y=0, store=tmp_path / name, bound="cohen", **OPTIONS)
        assert (tmp_path / name).read_text() == content


def test_a_damaged_store_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(margins, "_SECONDS", 0.0)
    store = tmp_path / "limits.txt"
    options = {"y": 0, "bound": "bonferroni", "store": store, **OPTIONS}
    certify_table(many(300), **options)
    store.write_text(store.read_text().replace("0x1.", "0x2.", 1))
    with pytest.raises(ValueError, match=r"line 2 of .* does not match its checksum"):
        certify_table(many(300), **options)


def test_interrupted_without_a_store_says_how_to_keep(monkeypatch):
    Limits(monkeypatch, stop_at=1)
    with pytest.raises(Interrupted, match="give store=FILE"):
        certify_table(many(30), y=0, bound="cohen", **OPTIONS)


def test_counts_of_the_caller_are_left_alone():
    counts = COUNTS.copy()
    frame = pd.DataFrame(COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (counts, frame):
            certify_table(given, y=0, bound="cohen", **OPTIONS)
    np.testing.assert_array_equal(counts, COUNTS)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(COUNTS))


@pytest.mark.parametrize(
    ("counts", "remedy"),
    [
        ("votes.csv", r"counts='votes\.csv' must be counts: a file's are read_counts"),
        ({"c0": [9], "c1": [1]}, r"counts is a dict: give pandas\.DataFrame"),
    ],
)
def test_what_is_no_array_of_counts_names_its_remedy(counts, remedy):
    with pytest.raises(TypeError, match=remedy):
        certify_table(counts, sigma=1.0, alpha=0.05, y=0)
