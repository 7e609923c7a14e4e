"""A table of radii says what they are: what contradicts it is refused, not overwritten."""

import numpy as np
import pandas as pd
import pytest

from rsverify import analyze, certify_table, recertify_radii
from rsverify._core.errors import DataError

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
    found = analyze(RADII.assign(sigma=[0.25, np.nan, 0.25]), sigma=0.25)
    assert found.settings["sigma"] == (0.25,)
