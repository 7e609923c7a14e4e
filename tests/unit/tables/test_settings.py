"""A table of radii says what they are: what contradicts it is refused, not overwritten."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsverify import (
    analyze,
    certify_table,
    merge_tables,
    plan_samples,
    recertify,
    recertify_radii,
)
from rsverify._core.errors import DataError
from rsverify.noise import Laplace

GIVEN = {"n": 100_000, "sigma": 0.25, "stated_alpha": 0.001}
RADII = pd.DataFrame(
    {"idx": [0, 1, 2], "label": 3, "predict": [3, 3, -1], "radius": [0.486, 0.61, 0.0]}
).assign(correct=[1, 1, 0], time=1.0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": 1000}, "n=100000 contradicts the table, which says 1000"),
        ({"n": [100_000, 100_000, 99_999]}, "which says 99999"),
        ({"sigma": "0.5"}, "sigma=0.25 contradicts the table, which says 0.5"),
        ({"alpha": 0.01}, "stated_alpha=0.001 contradicts the table, which says 0.01"),
        ({"bound": "exact"}, "bound='exact' of the table must be that of Cohen's"),
        ({"bound": ["cohen", "bonferroni", "cohen"]}, "bound='bonferroni'"),
        ({"bound": "anytime"}, "bound='anytime'"),
        ({"bound": "betting"}, "bound='betting'"),
        ({"noise": "laplace:0.5"}, "noise='laplace:0.5'"),
        ({"noise": "gaussian:0.25,0.5"}, "noise='gaussian:0.25,0.5'"),
        ({"noise": "Uniform"}, "noise='Uniform'"),
        ({"norm": "linf"}, "norm='linf'"),
        ({"norm": 1}, "norm=1 of"),
        ({"radius_kind": "R1"}, "radius_kind='R1'"),
        ({"top_k": 5}, "top_k=5"),
        ({"alpha_shares": 10}, "alpha_shares=10"),
        ({"noise_excess": 1e-6}, "noise_excess=1e-06"),
    ],
)
def test_what_a_table_says_is_not_overwritten(columns, message):
    with pytest.raises(ValueError, match=message):
        recertify_radii(RADII.assign(**columns), **GIVEN)


@pytest.mark.parametrize(
    "columns",
    [
        {"n": 100_000, "sigma": 0.25, "alpha": 0.001, "bound": "cohen", "radius_kind": "R2"},
        {"n": "100000.0", "sigma": ".25", "alpha": "1e-3"},
        {"n": [100_000, np.nan, None], "alpha": ""},
        {"bound": "Clopper-Pearson", "noise": "Gaussian", "norm": "L2"},
        {"noise": 0.25, "norm": 2},
        {"noise": "gaussian:0.25", "norm": None, "top_k": 1, "alpha_shares": 1},
        {"noise": np.nan, "bound": "", "noise_excess": 0.0},
    ],
)
def test_what_says_the_same_or_nothing_changes_nothing(columns):
    expected = recertify_radii(RADII, **GIVEN)["radius"].tolist()
    assert expected[0] > 0.485
    assert recertify_radii(RADII.assign(**columns), **GIVEN)["radius"].tolist() == expected


def test_radii_of_the_exact_bound_tell_too_many_votes():
    """Why they are refused: taken for Cohen's, they certify more than their votes do."""
    made = certify_table([[700, 200, 100]], y=0, sigma=0.25, alpha=0.001, bound="exact")
    options = {"n": 1000, "sigma": 0.25, "stated_alpha": 0.001}
    found = recertify_radii(made[["label", "predict", "radius"]], **options)
    assert found["votes"][0] > 700
    for force in (False, True):
        with pytest.raises(DataError, match="bound='exact'"):
            recertify_radii(made, **options, force=force)


def test_analyses_refuse_other_settings_too():
    with pytest.raises(ValueError, match=r"sigma=0\.25 contradicts the table, which says 0\.5"):
        analyze(RADII.assign(sigma=0.5), n=100_000, sigma=0.25, stated_alpha=0.001)
    laplace = certify_table(
        [[800, 150, 50]], y=0, noise=Laplace(0.5), alpha=0.001, bound="cohen", label=0
    )
    for table in (laplace, RADII.assign(noise="uniform")):
        with pytest.raises(
            ValueError, match=r"sigma=0\.5 contradicts the table, which says noise="
        ):
            analyze(table, sigma=0.5)
    assert analyze(laplace).settings["noise"] == ("laplace:0.5",)
    found = analyze(RADII.assign(sigma=[0.25, np.nan, 0.25]), sigma=0.25)
    assert found.settings["sigma"] == (0.25,)


VOTES = certify_table(
    [[800, 150, 50], [600, 50, 350]], y=0, sigma=0.5, alpha=0.001, label=0, bound="cohen"
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="count_2"), "n=1000 of row 0 must be 950, its votes"),
        (lambda t: t.assign(n=[1000, 999]), "n=999 of row 1 must be 1000, its votes"),
        (lambda t: t.assign(count_1=[150.5, 50]), "'count_1' of table .* row 0 is 150.5"),
        (lambda t: t.assign(count_1=[150, np.nan]), "'count_1' of table .* row 1 is missing"),
        (lambda t: t.assign(noise="laplace:0.5"), "'noise' and no column 'norm'"),
        (lambda t: t.assign(norm="linf"), "radii in linf and no noise"),
        (lambda t: t.assign(norm=["l2", "l1"]), "radii in l1 and no noise"),
        (lambda t: t.assign(top_k=2), "top_k=2 of the table needs its column 'top_others'"),
    ],
)
def test_votes_that_are_not_what_a_table_says_are_not_certified_again(change, message):
    """A class whose column is gone would be one that the model never answered."""
    with pytest.raises(DataError, match=message):
        recertify(change(VOTES), alpha=0.01)


def test_an_analysis_tells_of_votes_that_are_missing():
    notes = analyze(VOTES.drop(columns="count_2")).notes
    assert any(note.startswith("'n' contradicts the votes in 2 of 2 rows") for note in notes)
    assert not any("'n' contradicts" in note for note in analyze(VOTES).notes)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop(columns="n"),
        lambda t: t.assign(n=["1000", None], norm="l2"),
        lambda t: t.assign(norm=None, top_k=1, noise=""),
        lambda t: t.astype({"count_0": "Int64", "count_1": float, "y": "Int8"}),
    ],
)
def test_votes_of_other_types_are_certified_again(change):
    expected = recertify(VOTES, alpha=0.01)["radius"].tolist()
    assert recertify(change(VOTES), alpha=0.01)["radius"].tolist() == expected


def test_a_pilot_tells_of_its_own_noise_only():
    options = {"target_radius": 0.1, "alpha": 0.001, "bounds": ["cohen"]}
    assert plan_samples(pilot=VOTES, sigma=0.5, **options).reachable
    with pytest.raises(ValueError, match=r"sigma=0\.25 contradicts the table, which says 0\.5"):
        plan_samples(pilot=VOTES, sigma=0.25, **options)
    other = certify_table(
        [[800, 150, 50]], y=0, noise=Laplace(0.5), alpha=0.001, bound="cohen", label=0
    )
    assert plan_samples(pilot=other, noise=Laplace(0.5), **options).reachable
    for given in ({"sigma": 0.5}, {"noise": Laplace(0.25)}):
        with pytest.raises(DataError, match=r"noise=laplace:0\.5 of the pilot must be"):
            plan_samples(pilot=other, **given, **options)


@pytest.mark.parametrize("parts", ["a.tsv", b"a.tsv", Path("a.tsv"), None, 3])
def test_one_path_is_not_several(parts, tmp_path):
    """A text is a sequence too: of its letters."""
    with pytest.raises(TypeError, match="must be several paths: give a list of them"):
        merge_tables(parts, tmp_path / "both.tsv")
    with pytest.raises(TypeError, match="bounds='exact' must be a list of names"):
        plan_samples(
            probabilities=[0.9, 0.1], target_radius=0.1, alpha=0.1, sigma=1, bounds="exact"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alpha", [0.01, 0.0001])
@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_radii_in_another_norm_are_not_compared(alpha, norm):
    """They are smaller or larger by the norm: warnings are errors here."""
    made = certify_table([[800, 150, 50]], y=0, sigma=0.5, alpha=0.001, bound="exact")
    found = recertify(made, alpha=alpha, norm=norm, dimension=100)
    assert found["radius"][0] > 0
