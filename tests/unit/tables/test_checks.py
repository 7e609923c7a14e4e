"""What goes wrong with a table without an error is found, and what does not is not."""

import numpy as np
import pandas as pd
import pytest

from rsverify.certificates.counts import certify_counts
from rsverify.tables.checks import (
    findings,
    largest_possible_radius,
    misfits,
    ordered_rows,
    settings_of,
    smoothed_predictions,
    with_base,
    with_settings,
)
from rsverify.tables.reader import table_row


def table(predict, label=None, idx=None, radius=0.4):
    predict = np.asarray(predict)
    label = predict if label is None else np.asarray(label)
    return pd.DataFrame(
        {
            "idx": np.arange(predict.size) if idx is None else idx,
            "label": label,
            "predict": predict,
            "radius": np.where(predict == -1, 0.0, radius),
            "correct": ((predict == label) & (predict != -1)).astype(int),
        }
    )


def voted(*rows, **options):
    arguments = {"sigma": 0.25, "alpha": 0.001, "bound": "cohen"} | options
    return pd.DataFrame(
        [
            table_row(i, 0, certify_counts(k, y=int(np.argmax(k)), **arguments))
            for i, k in enumerate(rows)
        ]
    )


def found(rows, largest=None):
    return list(findings(ordered_rows(rows), largest))


BALANCED = np.arange(100) % 5


def test_a_good_table_has_no_findings():
    assert found(table(BALANCED), 0.4) == []


def test_predictions_that_collapse_to_a_class_are_found():
    predict = np.where(np.arange(100) < 90, 3, BALANCED)

    (note,) = found(table(predict, BALANCED))
    assert note.startswith(
        "predictions collapse to class 3: it is predicted for 92 of 100 inputs; its label is "
        "that of 20 of 100."
    )


@pytest.mark.parametrize(("share", "noted"), [(0.79, False), (0.8, True)])
def test_collapse_starts_at_four_fifths_of_the_other_classes(share, noted):
    label = np.repeat([0, 1], 100)
    predict = np.where(np.arange(200) < 100, 0, np.where(np.arange(200) < 100 + 100 * share, 0, 1))

    assert bool(found(table(predict, label))) == noted


def test_a_frequent_label_is_no_collapse_where_the_others_are_recognized():
    label = np.where(np.arange(1000) < 980, 0, 1)

    assert found(table(label, label)) == []
    assert "collapse to class" in found(table(np.zeros(1000, dtype=int), label))[0]


def test_collapse_without_labels_is_judged_by_the_predictions():
    predict = np.where(np.arange(100) < 85, 2, BALANCED)
    notes = found(table(predict, np.full(100, -1)))

    assert notes[0].startswith("100 of 100 labels are unknown")
    assert notes[1].startswith("predictions collapse to class 2")
    assert len(found(table(BALANCED, np.full(100, -1)))) == 1


def test_collapse_is_not_judged_from_few_or_from_one_class_or_from_abstentions():
    assert found(table([1] * 9, [0] * 9)) == []
    assert found(table([1] * 50, [1] * 50)) == []
    assert found(table([-1] * 50, BALANCED[:50])) == []


def test_abstentions_hide_no_collapse_where_there_are_votes():
    """All abstain by a hair, and all toward class 1."""
    rows = voted(*[[480, 520]] * 20)

    assert (rows["predict"] == -1).all()
    assert "predictions collapse to class 1" in found(rows)[0]


@pytest.mark.parametrize(
    ("idx", "missing"),
    [
        (np.arange(0, 1000, 20), 0),
        (np.delete(np.arange(0, 1000, 20), [7, 30]), 2),
        (np.delete(np.arange(60), [7, 8, 9]), 3),
        (np.sort(np.random.default_rng(0).permutation(500)[:50]), 0),  # a random subset
        (np.array([4]), 0),
    ],
)
def test_missing_rows_are_seen_where_the_others_are_regular(idx, missing):
    notes = found(table(BALANCED[: idx.size], idx=idx))

    assert bool(notes) == bool(missing)
    if missing:
        assert notes[0].startswith(f"{missing} rows seem to be missing")


def test_contradictions_and_impossible_radii_are_found():
    rows = table(BALANCED, radius=0.5).assign(correct=0)

    notes = found(rows, 0.4)
    assert notes[0] == "'correct' contradicts 'predict' and 'label' in 100 of 100 rows"
    assert notes[1].startswith("radius 0.5 is above 0.4, the largest possible one")


def test_early_stopping_is_noted():
    rows = table(BALANCED).assign(target_radius=0.25, decision="radius >= target")

    assert "known to reach 0.25 or not" in found(rows)[0]
    assert found(table(BALANCED).assign(target_radius=np.nan)) == []


def test_misfits_name_the_likeliest_level(real_data):
    from rsverify.tables.reader import read_table

    rows = read_table(real_data / "cohen_cifar10_sigma050.tsv")
    stated = with_settings(rows, n=100_000, sigma=0.5, stated_alpha=0.001)
    assert "the likeliest alpha is 0.01" in next(misfits(stated))
    right = with_settings(rows, n=100_000, sigma=0.5, stated_alpha=0.01)
    assert list(misfits(right)) == []


@pytest.mark.parametrize("bound", ["cohen", "bonferroni", "exact"])
@pytest.mark.parametrize("radius", ["R1", "R2"])
def test_no_votes_have_a_radius_above_the_largest_possible_one(bound, radius):
    rows = voted([50, 0], [49, 1], [25, 25], bound=bound, radius=radius)
    largest = largest_possible_radius(rows)

    assert rows["radius"].max() <= largest
    unanimous = certify_counts([50, 0], sigma=0.25, alpha=0.001, y=0, bound="cohen", radius=radius)
    assert largest == pytest.approx(unanimous.radius, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"n": [50, 51]},
        {"alpha": [0.1, 0.2]},
        {"bound": "anytime"},
        {"norm": "mahalanobis"},
        {"lipschitz": [1.0, np.nan]},
        {"lipschitz": [1.0, 2.0]},
    ],
)
def test_the_largest_radius_is_not_known_where_settings_differ_or_are_not_known(change):
    rows = voted([50, 0], [49, 1])

    assert largest_possible_radius(rows) is not None
    assert largest_possible_radius(rows.assign(**change)) is None
    assert largest_possible_radius(rows.drop(columns="sigma")) is None


def test_a_lipschitz_constant_makes_the_largest_r1_larger():
    rows = voted([50, 0], [49, 1], radius="R1", lipschitz=0.1)

    assert rows["radius"].max() <= largest_possible_radius(rows)


def test_settings_are_the_different_known_values():
    rows = voted([50, 0], [9, 1])

    assert settings_of(rows) == {
        "sigma": (0.25,),
        "n": (10, 50),
        "alpha": (0.001,),
        "bound": ("cohen",),
        "radius_kind": ("R2",),
    }


def test_predictions_are_of_the_most_votes_the_lowest_of_tied_ones():
    rows = voted([480, 520, 0], [500, 500, 0], [0, 1, 999])

    assert smoothed_predictions(rows).tolist() == [1, 0, 2]
    assert smoothed_predictions(table([2, -1])).tolist() == [2, -1]


def test_settings_are_added_where_the_table_does_not_say_them():
    rows = with_settings(table([1, 1]), n=100, sigma=0.5, stated_alpha=0.01)

    assert settings_of(rows)["bound"] == ("cohen",)
    assert "bound" not in with_settings(table([1, 1]), sigma=0.5)
    same = voted([50, 0])
    assert with_settings(same, sigma=0.25).equals(same)
    with pytest.raises(ValueError, match=r"sigma=0\.5 contradicts the table, which says 0\.25"):
        with_settings(same, sigma=0.5)
    with pytest.raises(ValueError, match=r"stated_alpha=0\.1 contradicts"):
        with_settings(same, stated_alpha=0.1)


def test_base_predictions_are_looked_up_by_idx():
    rows = with_base(table([1, 1], idx=[4, 2]), [9, 9, 7, 9, 5])

    assert rows["base_predict"].tolist() == [5, 7]
    with pytest.raises(ValueError, match=r"base of shape \(4,\) must hold one class per input, 5"):
        with_base(table([1, 1], idx=[4, 2]), [9, 9, 7, 9])
    with pytest.raises(ValueError, match="this one has 'base_predict'"):
        with_base(rows, [1] * 5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table([1]).iloc[:0], "no rows"),
        (table([1]).drop(columns="label"), "no column 'label'"),
        (table([1, 2], idx=[3, 3]), "idx=3 occurs twice"),
        (table([1], radius=np.inf), "radius=inf must be finite"),
        (table([1], radius=-0.1), r"radius=-0\.1 must be"),
        (table([1], radius=np.nan), "radius=nan must be"),
    ],
)
def test_tables_without_meaning_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        ordered_rows(rows)
