"""Figures of whole tables: values by hand, invariances, and two published tables."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.bounds.proportion import clopper_pearson_interval, clopper_pearson_lower
from rsverify.certificates.counts import certify_counts
from rsverify.tables.analysis import analyze, default_radii
from rsverify.tables.limits import mean_interval, mean_lower
from rsverify.tables.reader import read_table, table_row
from rsverify.tables.recertify_radii import InfiniteRadiusWarning, recertify_radii

# Votes of three classes, label; Cohen's bound at alpha = 0.001 abstains on rows 1 and 4.
ROWS = [
    ([1000, 0, 0], 0),
    ([510, 490, 0], 0),  # abstains, most votes right
    ([20, 30, 950], 1),
    ([900, 60, 40], 0),
    ([490, 510, 0], 0),  # abstains, most votes wrong
]


@pytest.fixture
def voted():
    certificates = [
        certify_counts(k, sigma=0.25, alpha=0.001, y=int(np.argmax(k)), bound="cohen")
        for k, _ in ROWS
    ]
    rows = [
        table_row(10 * i, y, c)
        for i, (c, (_, y)) in enumerate(zip(certificates, ROWS, strict=True))
    ]
    return pd.DataFrame(rows)


def test_figures_by_hand(voted):
    found = analyze(voted, radii=[0.3, 0.0], alpha=0.1)
    radius = voted["radius"].tolist()

    assert (found.inputs, found.alpha, found.has_votes) == (5, 0.1, True)
    assert found.smoothed.value == 3 / 5
    assert found.base is None
    assert found.abstained.value == 2 / 5
    assert found.radii == (0.0, 0.3)
    assert [e.value for e in found.certified] == [2 / 5, 1 / 5]
    assert found.average_radius.value == pytest.approx((radius[0] + radius[3]) / 5)
    assert found.predictions == {0: 3, 1: 1, 2: 1}
    assert found.labels == {0: 4, 1: 1}
    assert found.wrong_certificates == 0
    assert found.settings["n"] == (1000,)
    assert found.notes == ()


def test_limits_are_those_of_the_counts(voted):
    found = analyze(voted, radii=[0.0], alpha=0.1)

    def limits(e):
        return e.lower, e.upper

    assert limits(found.smoothed) == clopper_pearson_interval(3, 5, 0.1)
    assert limits(found.abstained) == clopper_pearson_interval(2, 5, 0.1)
    assert limits(found.certified[0]) == clopper_pearson_interval(2, 5, 0.1)
    one_sided = float(clopper_pearson_lower(2, 5, 0.1))
    assert found.certified[0].robust == pytest.approx((one_sided - 0.001) / 0.999, abs=1e-13)
    radii = [voted["radius"][0], 0, 0, voted["radius"][3], 0]
    expected = mean_interval(radii, 0.1, low=0.0, high=found.largest_radius)
    assert limits(found.average_radius) == expected
    share = mean_lower(radii, 0.1, low=0.0, high=found.largest_radius) / found.largest_radius
    robust = (share - 0.001) / 0.999 * found.largest_radius
    assert found.average_radius.robust == pytest.approx(robust, abs=1e-13)


def test_average_robust_radius_by_hand():
    """All certified at 0.5 of at most 0.8: a radius of 0.3 less per wrong certificate."""
    rows = pd.DataFrame({"idx": range(400), "label": 0, "predict": 0, "radius": 0.5, "correct": 1})
    found = analyze(rows, stated_alpha=0.2, largest_radius=0.8).average_radius

    assert found.value == 0.5
    assert found.robust < (0.5 - 0.2 * 0.8) / 0.8 < found.robust + 0.03


def test_base_accuracy_is_apart_from_the_smoothed_one(voted):
    column = analyze(voted.assign(base_predict=[0, 0, 1, 1, 0]))
    assert column.base.value == 4 / 5
    assert column.smoothed.value == 3 / 5

    answers = np.full(41, 9)
    answers[[0, 10]] = 0
    assert analyze(voted, base=answers).base.value == 2 / 5


def test_unknown_labels_are_never_right(voted):
    found = analyze(voted.assign(label=-1, correct=0, base_predict=-1))

    assert found.smoothed.value == found.base.value == 0
    assert "5 of 5 labels are unknown" in found.notes[0]


def test_without_votes_an_abstention_is_a_wrong_prediction(voted):
    found = analyze(voted[["idx", "label", "predict", "radius", "correct", "time"]])

    assert not found.has_votes
    assert found.smoothed.value == 2 / 5
    assert found.predictions == {-1: 2, 0: 2, 2: 1}
    assert found.settings == {}
    assert found.wrong_certificates is None
    assert found.certified[0].robust is None
    assert found.average_radius.lower is None


def test_settings_of_radii_alone_give_limits(voted):
    alone = voted[["idx", "label", "predict", "radius", "correct", "time"]]
    told = analyze(alone.round({"radius": 4}), n=1000, sigma=0.25, stated_alpha=0.001)

    assert told.average_radius.lower is not None
    assert told.certified[0].robust is not None
    assert told.notes == ()
    stated = analyze(alone, largest_radius=1.0)
    assert stated.average_radius.upper is not None
    assert stated.average_radius.robust is None


def test_largest_alpha_of_the_rows_holds_for_all(voted):
    mixed = voted.assign(alpha=[0.001, 0.001, 0.2, 0.001, 0.001])

    assert analyze(mixed).wrong_certificates == analyze(voted.assign(alpha=0.2)).wrong_certificates
    assert analyze(mixed).wrong_certificates > analyze(voted).wrong_certificates


def test_what_some_rows_do_not_say_is_not_known_of_the_table(voted):
    """Such a row may have any alpha, and any largest radius."""
    some = [True, True, True, True, False]
    found = analyze(voted.assign(alpha=voted["alpha"].where(some)))
    assert found.settings["alpha"] == (0.001,)
    assert found.wrong_certificates is None
    assert {e.robust for e in found.certified} == {None}
    assert found.average_radius.robust is found.average_radius.lower is None

    for column, unknown in (("sigma", np.nan), ("bound", ""), ("bound", None), ("n", np.nan)):
        rows = voted.assign(**{column: voted[column].where(some, unknown)})
        assert analyze(rows).largest_radius is None
        assert analyze(rows).average_radius.lower is None
        assert analyze(rows).wrong_certificates is not None
    assert analyze(voted).largest_radius is not None


def test_votes_that_can_certify_nothing_have_a_largest_radius_of_zero():
    certificate = certify_counts([3, 0], sigma=0.25, alpha=0.001, y=0, bound="cohen")
    found = analyze(pd.DataFrame([table_row(i, 0, certificate) for i in range(4)]))

    assert found.largest_radius == 0
    assert (found.average_radius.lower, found.average_radius.upper) == (0, 0)


def test_radii_above_the_largest_possible_one_take_its_limits_away(voted):
    found = analyze(voted, largest_radius=0.2)

    assert found.average_radius.lower is None
    assert "is above 0.2, the largest possible one" in found.notes[0]


def test_json_types(voted):
    found = analyze(voted.assign(base_predict=0), name="mine", radii=[0.1])
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))

    assert "table" not in content
    assert content["certified"][0]["radius"] == 0.1
    assert content["base"]["value"] == found.base.value
    assert content["settings"]["sigma"] == [0.25]
    assert content["predictions"] == {"0": 3, "1": 1, "2": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, r"alpha=1\.0 must be in \(0, 1\)"),
        ({"radii": [-0.1]}, r"radii=-0\.1 must not be negative"),
        ({"radii": [0.1, np.inf]}, r"radii=\[0\.1, inf\] must be finite"),
        ({"n": 7}, "n=7 contradicts the table, which says 1000"),
        ({"largest_radius": 0.0}, "largest_radius=0.0 must be positive"),
        ({"base": [1, 2]}, "must hold one class per input"),
    ],
)
def test_bad_arguments_are_refused(voted, options, message):
    with pytest.raises(ValueError, match=message):
        analyze(voted, **options)


@pytest.mark.parametrize("column", ["idx", "label", "predict", "correct"])
@pytest.mark.parametrize(
    ("value", "error"), [(np.nan, ValueError), (0.5, ValueError), ("a", TypeError)]
)
def test_columns_of_other_things_than_integers_are_refused(voted, column, value, error):
    bad = voted.assign(**{column: voted[column].astype(object).where(voted.index > 0, value)})
    if not isinstance(value, str):
        bad[column] = bad[column].astype(float)
    with pytest.raises(error, match=f"{column}=.* must be an integer"):
        analyze(bad)


def test_a_radius_of_minus_zero_is_zero(voted):
    assert str(analyze(voted, radii=[-0.0, 0.0]).radii) == "(0.0,)"


TABLES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-1, 3), st.floats(0.001, 0.9)), min_size=1, max_size=40
)


def frame(rows):
    label, predict, radius = map(np.array, zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "idx": 3 * np.arange(len(rows)),
            "label": label,
            "predict": predict,
            "radius": np.where(predict == -1, 0.0, radius),
            "correct": (predict == label).astype(int),
        }
    )


@settings(max_examples=40)
@given(TABLES, st.randoms(use_true_random=False))
def test_order_of_rows_and_split_into_shards_do_not_matter(rows, random):
    whole = frame(rows)
    order = list(range(len(whole)))
    random.shuffle(order)
    cut = random.randint(0, len(whole))
    shards = [whole.iloc[order[:cut]], whole.iloc[order[cut:]]]
    options = {"sigma": 0.25, "stated_alpha": 0.01, "largest_radius": 1.0}

    found = analyze(pd.concat(shards), **options)
    assert found == analyze(whole, **options)
    pd.testing.assert_frame_equal(found.table, analyze(whole, **options).table)


@settings(max_examples=40)
@given(TABLES, st.floats(0.001, 0.5))
def test_figures_are_within_their_limits_and_fall_with_the_radius(rows, alpha):
    found = analyze(frame(rows), alpha=alpha, stated_alpha=0.01, largest_radius=1.0)

    for e in (found.smoothed, found.abstained, found.average_radius, *found.certified):
        assert e.lower <= e.value <= e.upper
    for e in (found.average_radius, *found.certified):
        assert 0 <= e.robust <= e.value
    for near, far in zip(found.certified, found.certified[1:], strict=False):
        for name in ("value", "lower", "upper", "robust"):
            assert getattr(far, name) <= getattr(near, name)
    assert found.certified[0].value + found.abstained.value <= 1 + 1e-12
    assert sum(found.predictions.values()) == sum(found.labels.values()) == found.inputs


@given(st.one_of(st.none(), st.floats(1e-3, 1e3)), st.floats(0, 1e3))
def test_default_radii_are_few_and_within_reach(sigma, largest):
    radii = default_radii(sigma, largest)
    reach = largest if sigma is None else 3.9 * sigma

    assert radii[0] == 0
    assert len(radii) <= 9
    assert len(radii) >= 4 or reach < 1e-12
    assert radii[-1] <= reach * (1 + 1e-5)
    assert list(radii) == sorted(set(radii))


def test_default_radii_are_those_of_the_field():
    assert default_radii(0.5, 0.0) == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    assert default_radii(0.12, 0.0) == (0.0, 0.1, 0.2, 0.3, 0.4)
    assert default_radii(None, 1.0) == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_published_tables(real_data):
    """Counted with awk: correct rows 326 and 407 of 500, abstentions 83 and 19."""
    wide = read_table(real_data / "cohen_cifar10_sigma050.tsv")
    narrow = read_table(real_data / "cohen_cifar10_sigma012.tsv")

    found = analyze(wide, n=100_000, sigma=0.5, stated_alpha=0.01)
    assert found.certified[0].value == 326 / 500
    assert found.abstained.value == 83 / 500
    assert found.notes == ()
    assert found.average_radius.lower < 0.5375 < found.average_radius.upper
    found = analyze(narrow, n=100_000, sigma=0.12, stated_alpha=0.001)
    assert (found.smoothed.value, found.abstained.value) == (407 / 500, 19 / 500)
    assert found.notes == ()


def test_published_table_at_the_wrong_level_is_noted(real_data):
    wide = read_table(real_data / "cohen_cifar10_sigma050.tsv")
    found = analyze(wide, n=100_000, sigma=0.5, stated_alpha=0.001)

    assert any("the likeliest alpha is 0.01" in note for note in found.notes)
    assert found.average_radius.lower is None


FORMATS = ("bom_blank_last.tsv", "comma.csv", "crlf_mss.tsv", "fixed3.tsv", "fixed4.tsv")


@pytest.mark.parametrize("name", [*FORMATS, "repr_float32.tsv", "significant3.tsv"])
def test_no_way_of_printing_is_accused_of_another_level(real_data, name):
    table = read_table(real_data / "formats" / name)

    found = analyze(table, n=100_000, sigma=0.5, stated_alpha=0.001)
    assert found.notes == ()
    assert found.average_radius.lower is not None


@pytest.mark.parametrize(
    ("how", "sigma"), [("%.2f", 0.12), ("%.1f", 0.25), ("%.2g", 0.12), ("%.3f", 0.5)]
)
def test_a_largest_radius_that_was_rounded_up_is_no_larger_one(how, sigma):
    """0.4574 printed as 0.46 is more than half a percent too large."""
    largest = certify_counts([100_000, 0], y=0, sigma=sigma, alpha=0.001, bound="cohen").radius
    radius = float(how % largest)
    rows = pd.DataFrame({"idx": range(40), "label": [0, 1] * 20, "predict": [0, 1] * 20})
    rows = rows.assign(radius=radius, correct=1)

    found = analyze(rows, n=100_000, sigma=sigma, stated_alpha=0.001)
    assert found.notes == ()
    assert found.largest_radius >= radius > largest
    above = analyze(rows.assign(radius=radius + 0.2), n=100_000, sigma=sigma, stated_alpha=0.001)
    assert above.average_radius.lower is None


def test_an_infinite_radius_is_refused_with_its_remedy(real_data):
    table = read_table(real_data / "formats" / "inf_radius.tsv")
    with pytest.raises(ValueError, match=r"radius=inf must be finite .* at idx=0: .*recertify"):
        analyze(table)
    with pytest.warns(InfiniteRadiusWarning):
        finite = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001)
    assert analyze(finite).notes == ()
