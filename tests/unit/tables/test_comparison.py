"""Two tables input by input: counts and differences by hand, and what is not compared."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.certificates.certificate import certify_counts
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
    """Real vote counts, certified by two bounds: inputs differ more than the bounds do."""
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
    new = analyze(recertify(pd.DataFrame(rows), bound="bonferroni"), name="bonferroni")
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
