"""Two tables input by input: counts and differences by hand, and what is not compared."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify import certify_table, read_counts
from rsverify.certificates.counts import certify_counts
from rsverify.tables.analysis import analyze
from rsverify.tables.comparison import NotComparableError, compare
from rsverify.tables.limits import mean_interval
from rsverify.tables.reader import read_table, table_row
from rsverify.tables.recertify import recertify


def analysis(radius, correct=1, *, label=1, idx=None, name="table", **options):
    size = len(radius)
    rows = pd.DataFrame(
        {
            "idx": np.arange(size) if idx is None else idx,
            "label": label,
            "predict": 1,
            "radius": radius,
            "correct": correct,
        }
    )
    return analyze(rows, name=name, **({"largest_radius": 1.0} | options))


def test_by_hand():
    first = analysis([0.1, 0.2, 0.3, 0.4], correct=[1, 1, 1, 0], name="old")
    second = analysis([0.3, 0.2, 0.2, 0.4], correct=[1, 1, 1, 1], name="new", largest_radius=0.5)
    found = compare(first, second, alpha=0.1)

    assert (found.first, found.second, found.inputs) == ("old", "new", 4)
    assert (found.larger, found.smaller, found.equal) == (2, 1, 1)
    assert found.difference.value == pytest.approx((0.2 + 0 - 0.1 + 0.4) / 4)
    limits = mean_interval([0.2, 0, 0.2 - 0.3, 0.4], 0.1, low=-1.0, high=0.5)
    assert (found.difference.lower, found.difference.upper) == pytest.approx(
        tuple(limits), abs=1e-9
    )
    assert found.notes == ()


def test_inputs_are_paired_by_idx_and_those_of_one_table_are_left_out():
    first = analysis([0.1, 0.2, 0.3], idx=[4, 6, 8])
    second = analysis([0.5, 0.3, 0.2], idx=[9, 8, 6])
    found = compare(first, second)

    assert (found.inputs, found.equal) == (2, 2)
    assert "3 inputs and table 3: they are compared on the 2 of both" in found.notes[0]


def test_other_data_are_not_compared():
    with pytest.raises(NotComparableError, match="no idx in common"):
        compare(analysis([0.1]), analysis([0.1], idx=[5]))
    with pytest.raises(
        NotComparableError, match="different labels for 1 of 2 inputs, such as idx=1"
    ):
        compare(analysis([0.1, 0.1]), analysis([0.1, 0.1], label=[1, 2]))


def test_different_levels_are_noted():
    first = analysis([0.1], name="loose", stated_alpha=0.01)
    second = analysis([0.1], name="strict", stated_alpha=0.001)

    assert (
        "loose fail with probability at most 0.01, those of strict"
        in compare(first, second).notes[0]
    )
    assert compare(first, first).notes == ()


def test_no_limits_without_a_largest_radius_or_above_it():
    one = analysis([0.1, 0.2])
    for other in (
        analysis([0.3, 0.3], largest_radius=None),
        analysis([0.3, 0.3], largest_radius=0.1),
    ):
        assert compare(one, other).difference.lower is None
        assert compare(other, one).difference.lower is None
        assert compare(one, other).difference.value == pytest.approx(0.15)


PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@settings(max_examples=40)
@given(PAIRS, st.floats(0.001, 0.5), st.randoms(use_true_random=False))
def test_exchanged_tables_have_the_opposite_difference(pairs, alpha, random):
    one, two = (analysis(column) for column in zip(*pairs, strict=True))
    found, back = compare(one, two, alpha=alpha), compare(two, one, alpha=alpha)
    d, e = found.difference, back.difference

    assert (found.larger, found.smaller, found.equal) == (back.smaller, back.larger, back.equal)
    assert found.larger + found.smaller + found.equal == len(pairs)
    assert d.lower <= d.value <= d.upper
    np.testing.assert_allclose(
        [e.value, e.lower, e.upper], [-d.value, -d.upper, -d.lower], atol=1e-9
    )

    order = list(range(len(pairs)))
    random.shuffle(order)
    shuffled = analyze(two.table.iloc[order], largest_radius=1.0)
    assert compare(one, shuffled, alpha=alpha) == found


def test_pairs_show_what_separate_limits_hide(real_data):
    """Real vote counts, certified at two levels: inputs differ more than the levels do."""
    votes = np.loadtxt(real_data / "cifar10_counts_sigma025.txt", dtype=int)
    rows = [
        table_row(
            i,
            row[10],
            certify_counts(
                row[:10], y=int(row[:10].argmax()), sigma=0.25, alpha=0.001, bound="cohen"
            ),
        )
        for i, row in enumerate(votes)
    ]
    old = analyze(pd.DataFrame(rows), name="cohen")
    new = analyze(recertify(pd.DataFrame(rows), alpha=0.01), name="alpha = 0.01")
    found = compare(old, new)

    def width(e):
        return e.upper - e.lower

    assert found.difference.value == pytest.approx(
        new.average_radius.value - old.average_radius.value
    )
    assert width(found.difference) < 0.6 * width(old.average_radius)


def test_published_tables_are_of_the_same_inputs(real_data):
    wide = analyze(read_table(real_data / "cohen_cifar10_sigma050.tsv"), largest_radius=2.0)
    narrow = analyze(read_table(real_data / "cohen_cifar10_sigma012.tsv"), largest_radius=0.5)
    found = compare(wide, narrow)

    assert found.inputs == found.larger + found.smaller + found.equal == 500
    assert found.difference.upper < 0


# ---- Two certificates of the same votes.

VOTES = [
    [900, 60, 40],
    [400, 350, 250],
    [20, 30, 950],
    [1000, 0, 0],
    [700, 250, 50],
    [530, 420, 50],
]


def certified(bound, name="", *, counts=VOTES, y=0, **options):
    options = {"sigma": 0.5, "alpha": 0.001} | options
    rows = certify_table(counts, y=y, label=0, bound=bound, **options)
    return analyze(rows, name=name or bound)


@pytest.mark.parametrize("other", ["cohen", "bonferroni"])
def test_the_same_votes_are_recognized_and_gains_are_told(other):
    first, second = certified(other), certified("exact")
    found = compare(first, second)
    change = second.table["radius"].to_numpy().copy() - first.table["radius"].to_numpy()
    change[np.abs(change) < 1e-9] = 0  # the last digits of a root search
    np.testing.assert_array_equal(found.changes, change)
    assert (found.gains.smallest, found.gains.largest) == (change.min(), change.max())
    assert found.gains.median == np.sort(change)[2]
    assert found.gains.newly_certified == ((first.table["radius"] == 0) & (change > 0)).sum()
    assert found.gains.no_longer_certified == 0
    assert found.smaller == 0
    assert "the exact radius is never smaller" in found.gains.said
    # No interval around a difference that is no estimate.
    assert (found.difference.lower, found.difference.upper) == (None, None)
    assert found.to_dict()["gains"]["median"] == found.gains.median
    # The other way round the same is said.
    back = compare(second, first)
    assert "the exact radius is never smaller" in back.gains.said
    assert back.gains.no_longer_certified == found.gains.newly_certified


def test_an_exact_radius_that_is_smaller_is_told():
    second = certified("exact").table
    worse = second.assign(radius=second["radius"].where(second["idx"] != 0, 0.01))
    found = compare(certified("cohen"), analyze(worse, name="worse"))
    assert "the exact radius is smaller for 1 inputs" in found.gains.said


def test_other_pairs_of_bounds_promise_nothing():
    for bound, options in (("bonferroni", {}), ("exact", {"ordering": "difference"})):
        found = compare(certified("cohen"), certified(bound, **options))
        assert found.gains is not None
        assert "never smaller" not in found.gains.said


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.01},
        {"sigma": 0.25},
        {"radius": "R1"},
        {"y": [1, 0, 0, 0, 0, 0]},
        {"counts": [*VOTES[:5], [530, 421, 49]]},
        {"counts": [[*row, 0] for row in VOTES]},
    ],
)
def test_other_votes_or_settings_are_compared_with_an_interval(change):
    found = compare(certified("cohen"), certified("exact", **change))
    assert found.gains is None
    assert found.difference.value != 0


def test_published_counts_at_three_bounds(real_data):
    votes = read_counts(real_data / "cifar10_counts_sigma025.txt", label=-1)
    tables = [
        analyze(certify_table(votes, sigma=0.25, alpha=0.001, y="label", bound=b), name=b)
        for b in ("cohen", "bonferroni", "exact")
    ]
    for other in tables[:2]:
        found = compare(other, tables[2])
        assert found.smaller == 0
        assert found.gains.smallest >= 0
        assert found.gains.largest > 0.005


def test_in_a_notebook():
    found = compare(certified("cohen", "<b>"), certified("exact"))
    shown = found._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "median gain" in shown
    assert "<script" not in shown


def test_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    found = compare(certified("cohen"), certified("exact"))
    figure = found.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == []
    found.plot(tmp_path / "gains.png", title="gains")
    assert (tmp_path / "gains.png").stat().st_size > 1000
    with pytest.raises(FileExistsError):
        found.plot(tmp_path / "gains.png")
