import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm

from rsverify.certificates.counts import certify_counts
from rsverify.certificates.early import decide_counts
from rsverify.certificates.margins import level_of_bound
from rsverify.tables.counts import read_counts
from rsverify.tables.published_radii import CANDIDATE_ALPHAS
from rsverify.tables.reader import read_table, table_row, write_table
from rsverify.tables.recertify import (
    IMPOSSIBLE_RADIUS,
    PRINTED_AS_ZERO,
    InconsistentRadiiError,
    InconsistentRadiiWarning,
    InfiniteRadiusWarning,
    NotNestedWarning,
    recertify,
    recertify_radii,
)
from tests.support.altered import altered

COUNTS = [[900, 60, 40], [400, 350, 250], [20, 30, 950], [1000, 0, 0], [450, 550, 0]]
WINNERS = [0, 0, 2, 0, 0]
LABELS = [0, 0, 1, 0, 1]


def table_of(**options):
    rows = [
        table_row(i, label, certify_counts(k, y=y, sigma=0.25, **options))
        for i, (k, y, label) in enumerate(zip(COUNTS, WINNERS, LABELS, strict=True))
    ]
    return pd.DataFrame(rows)


COMPARED = ["predict", "radius", "correct", "status", "alpha", "bound", "margin"]


@pytest.mark.parametrize("radius", ["R1", "R2"])
@pytest.mark.parametrize("bound", ["cohen", "bonferroni", "exact"])
def test_counts_give_what_certifying_them_anew_gives(bound, radius):
    old = table_of(alpha=0.001, bound="cohen", radius=radius)
    found = recertify(old, alpha=0.02, bound=bound)

    expected = table_of(alpha=0.02, bound=bound, radius=radius)
    pd.testing.assert_frame_equal(found[COMPARED], expected[COMPARED], check_exact=True)


def test_alpha_and_bound_are_kept_where_not_given():
    old = table_of(alpha=0.01, bound="bonferroni")

    found = recertify(old)
    pd.testing.assert_frame_equal(found[COMPARED], old[COMPARED], check_exact=True)


def test_lipschitz_constants_are_kept_and_may_be_absent():
    options = {"sigma": 0.25, "alpha": 0.001, "bound": "cohen", "radius": "R1"}
    certificates = [
        certify_counts([900, 100], y=0, lipschitz=constant, **options) for constant in (0.1, None)
    ]
    table = pd.DataFrame([table_row(i, 0, c) for i, c in enumerate(certificates)])

    assert recertify(table)["radius"].tolist() == [c.radius for c in certificates]
    assert certificates[0].radius > certificates[1].radius


def discrete(certificate, alpha, excess):
    """As certificates of discrete noise are: a bound at less than the level that is stated."""
    return altered(certificate, alpha=alpha, noise_excess=excess)


@pytest.mark.parametrize("excess", [1e-12, 1e-3])
@pytest.mark.parametrize("alpha", [None, 0.05])
def test_what_the_noise_itself_adds_is_paid_for_again(alpha, excess, tmp_path):
    def table_at(total):
        options = {"sigma": 0.25, "alpha": float(level_of_bound(total, excess)), "bound": "cohen"}
        return pd.DataFrame(
            table_row(i, label, discrete(certify_counts(k, y=y, **options), total, excess))
            for i, (k, y, label) in enumerate(zip(COUNTS, WINNERS, LABELS, strict=True))
        )

    old, expected = table_at(0.01), table_at(alpha or 0.01)
    found = recertify(old, alpha=alpha)
    pd.testing.assert_frame_equal(found[COMPARED], expected[COMPARED], check_exact=True)
    # It is in the file, and a table that was certified again can be once more.
    write_table(found, tmp_path / "again.tsv", configuration={})
    back = recertify(read_table(tmp_path / "again.tsv"), alpha=0.01)
    pd.testing.assert_frame_equal(back[COMPARED], old[COMPARED], check_exact=True)
    # Rows of other noise pay nothing.
    mixed = pd.concat([table_of(alpha=0.01, bound="cohen"), old], ignore_index=True)
    mixed = mixed.assign(idx=range(len(mixed)))
    paid = recertify(mixed)["margin"].to_numpy()
    assert paid[: len(old)].tolist() == table_of(alpha=0.01, bound="cohen")["margin"].tolist()
    assert paid[len(old) :].tolist() == old["margin"].tolist()


@given(st.floats(1e-11, 0.999), st.sampled_from([1e-12, 1e-9, 1e-3]))
def test_level_and_excess_together_are_at_most_the_total(alpha, excess):
    if alpha <= 2 * excess:
        with pytest.raises(ValueError, match=r"alpha=.* must be more than"):
            level_of_bound(alpha, excess)
        return
    left = float(level_of_bound(alpha, excess))

    assert Fraction(left) + Fraction(excess) <= Fraction(alpha)
    assert Fraction(alpha) - Fraction(left) - Fraction(excess) <= Fraction(alpha) / 2**51
    assert level_of_bound(alpha, 0.0) == alpha


def test_votes_at_which_sampling_stopped_are_refused():
    question = {"target_radius": 0.2, "sigma": 0.25, "alpha": 0.001, "y": 0}
    table = pd.DataFrame([table_row(0, 0, decide_counts([95, 3, 2], **question))])

    for stopped in (table, table.drop(columns="target_radius")):
        with pytest.raises(ValueError, match="as soon as their votes had decided"):
            recertify(stopped, bound="exact", alpha=0.05)


def test_lipschitz_constants_of_scores_are_not_used_for_votes():
    """A constant of 0.01 would certify forty times the radius that smoothing allows."""
    votes = certify_counts(
        [900, 100], y=0, sigma=0.25, alpha=0.001, bound="cohen", radius="R1", lipschitz=0.01
    )
    scores = pd.DataFrame([table_row(0, 0, votes) | {"bound": "betting"}])
    found = recertify(scores, bound="cohen")

    expected = certify_counts([900, 100], y=0, sigma=0.25, alpha=0.001, bound="cohen", radius="R1")
    assert found["radius"].tolist() == [expected.radius]
    assert votes.radius > 20 * expected.radius
    assert found["lipschitz"].isna().all()
    assert recertify(found)["radius"].tolist() == [expected.radius]


def test_original_table_is_left_alone():
    old = table_of(alpha=0.001, bound="cohen")
    before = old.copy()
    recertify(old, alpha=0.1)

    pd.testing.assert_frame_equal(old, before)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns=["count_0", "count_1", "count_2"]), {}, "no column 'count_0'"),
        (lambda t: t.drop(columns="y"), {}, "no column 'y'"),
        (lambda t: t.drop(columns="count_1"), {}, "without gaps"),
        (lambda t: t.iloc[:0], {}, "no rows"),
        (lambda t: t, {"alpha": 1.2}, r"alpha=1\.2 must be in \(0, 1\)"),
        (lambda t: t, {"bound": "best"}, "bound='best' must be one of"),
        (lambda t: t.assign(bound=["exact"] + ["cohen"] * 4), {}, "bound differs between the rows"),
    ],
)
def test_bad_tables_and_options_are_refused(change, options, message):
    with pytest.raises(ValueError, match=message):
        recertify(change(table_of(alpha=0.001, bound="cohen")), **options)


def cohen_radii(votes, n, sigma, alpha):
    """Return published radii: Cohen's, one by one, and as their code prints them."""
    exact = np.array(
        [
            certify_counts([k, n - k], y=0, sigma=sigma, alpha=alpha, bound="cohen").radius
            for k in votes
        ]
    )
    return exact, np.array([float(f"{r:.3}") for r in exact])


def published(radii):
    certified = np.asarray(radii) > 0
    return pd.DataFrame(
        {"label": 1, "predict": np.where(certified, 1, -1), "radius": radii, "correct": certified}
    )


@settings(max_examples=60)
@given(
    n=st.sampled_from([50, 1000, 100_000]),
    shares=st.lists(st.floats(0.5, 1.0), min_size=1, max_size=12),
    sigma=st.sampled_from([0.12, 0.25, 1.0]),
    alphas=st.tuples(st.sampled_from(CANDIDATE_ALPHAS), st.sampled_from(CANDIDATE_ALPHAS)),
)
def test_recovered_votes_never_flatter(n, shares, sigma, alphas):
    votes = np.ceil(np.array(shares) * n).astype(int)
    stated, new = alphas
    _, printed = cohen_radii(votes, n, sigma, stated)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # radii of the stated alpha cause no warning
        found = recertify_radii(
            published(printed), n=n, sigma=sigma, stated_alpha=stated, alpha=new, digits=3
        )

    true, _ = cohen_radii(votes, n, sigma, new)
    certified = printed > 0
    assert (found["votes"][certified] <= votes[certified]).all()
    assert (found["radius"] <= true).all()
    # and not needlessly low: the recovered votes print the same digits
    _, again = cohen_radii(found["votes"][certified], n, sigma, stated)
    np.testing.assert_allclose(again, printed[certified], rtol=0.011)
    assert (found["predict"][~certified] == -1).all()


def test_recovered_votes_are_the_true_ones_where_the_lattice_is_wide():
    votes = np.array([99_900, 99_990, 99_999, 100_000])
    _, printed = cohen_radii(votes, 100_000, 0.5, 0.001)

    found = recertify_radii(published(printed), n=100_000, sigma=0.5, stated_alpha=0.001)
    assert found["votes"].tolist()[1:] == votes.tolist()[1:]


@pytest.mark.parametrize("true_alpha", [0.05, 0.01, 0.002, 0.0001])
def test_wrong_level_is_noticed_and_the_right_one_named(true_alpha):
    rng = np.random.default_rng(5)
    votes = 100_000 - rng.geometric(0.02, size=60) + 1
    _, printed = cohen_radii(votes, 100_000, 0.25, true_alpha)

    options = {"n": 100_000, "sigma": 0.25, "stated_alpha": 0.001}
    with pytest.raises(InconsistentRadiiError, match=f"give .*stated_alpha={true_alpha:g}, or"):
        recertify_radii(published(printed), **options)
    with pytest.warns(InconsistentRadiiWarning, match=f"likeliest alpha is {true_alpha:g}[, ]"):
        found = recertify_radii(published(printed), **options, force=True)
    impossible = found[found["status"] == IMPOSSIBLE_RADIUS]
    assert len(impossible) > 0
    assert (impossible["predict"] == -1).all()
    assert (impossible["radius"] == 0).all()


def test_radii_with_all_their_digits_fit_though_others_computed_them():
    """As tables of other tools hold them: scipy's quantiles, not rounded."""
    votes = np.arange(60_000, 100_001, 997)
    radius = 0.5 * norm.ppf(beta.ppf(0.001, votes, 100_000 - votes + 1))
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": radius})
    new = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001)

    assert new["votes"].tolist() == votes.tolist()
    with pytest.raises(InconsistentRadiiError, match=r"likeliest alpha is 0\.001"):
        recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.01)


def test_wrong_sigma_is_not_blamed_on_alpha_alone():
    _, printed = cohen_radii([99_990, 99_995, 99_999, 100_000], 100_000, 1.0, 0.001)

    with pytest.raises(InconsistentRadiiError, match="n or sigma may be wrong"):
        recertify_radii(published(printed), n=100_000, sigma=0.25, stated_alpha=0.001)


def test_published_table_at_sigma_050_was_computed_at_alpha_001(real_data):
    table = read_table(real_data / "cohen_cifar10_sigma050.tsv")
    assert table["radius"].max() == 1.96

    with pytest.raises(
        InconsistentRadiiError,
        match=r"radius 1\.96 is above 1\.906, that of all votes\); the likeliest alpha is 0\.01, "
        r"at which 417 of 417 are possible",
    ):
        recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001)
    found = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.01, alpha=0.001)
    assert found.loc[table["radius"] == 1.96, "votes"].eq(100_000).all()
    assert (found["radius"] <= table["radius"]).all()
    assert found["radius"].max() < 1.907


def test_published_table_at_sigma_012_fits_its_stated_alpha(real_data):
    table = read_table(real_data / "cohen_cifar10_sigma012.tsv")

    found = recertify_radii(table, n=100_000, sigma=0.12, stated_alpha=0.001)
    assert (found["status"] != IMPOSSIBLE_RADIUS).all()
    certified = table["predict"] != -1
    np.testing.assert_allclose(found["radius"][certified], table["radius"][certified], rtol=0.006)
    with pytest.raises(InconsistentRadiiError, match=r"likeliest alpha is 0\.001"):
        recertify_radii(table, n=100_000, sigma=0.12, stated_alpha=0.01)


@pytest.mark.parametrize(
    ("radius", "options", "message"),
    [
        (0.486, {"digits": 2}, "digits=2 must be at least 3"),
        (0.486, {"sigma": 0.0}, "sigma=0.0 must be positive"),
        (0.486, {"n": 0}, "n=0 must be between 1"),
        (0.486, {"stated_alpha": 0.0}, r"alpha=0\.0 must be in"),
        (-0.2, {}, "must not be negative or NaN"),
        (np.nan, {}, "must not be negative or NaN"),
        ("0,486", {}, "line 1 has '0,486', .*a decimal point must be a point"),
    ],
)
def test_bad_radii_and_options_are_refused(radius, options, message):
    table = pd.DataFrame({"label": [1], "predict": [1], "radius": [radius]})

    with pytest.raises(ValueError, match=message):
        recertify_radii(table, **{"n": 1000, "sigma": 0.5, "stated_alpha": 0.001, **options})


def test_table_of_abstentions_alone_stays_so():
    table = pd.DataFrame({"label": [1, 2], "predict": [-1, -1], "radius": [0.0, 0.0]})

    found = recertify_radii(table, n=1000, sigma=0.5, stated_alpha=0.001, alpha=0.05)
    assert found["predict"].tolist() == [-1, -1]
    assert found["correct"].tolist() == [0, 0]


FORMATS = (
    "bom_blank_last.tsv",
    "comma.csv",
    "crlf_mss.tsv",
    "fixed3.tsv",
    "fixed4.tsv",
    "inf_radius.tsv",
    "repr_float32.tsv",
    "significant3.tsv",
)


@pytest.mark.parametrize("name", FORMATS)
def test_one_table_as_eight_tools_print_it(real_data, name):
    votes = read_counts(real_data / "formats" / "votes.csv").to_numpy()[:, 0]
    table = read_table(real_data / "formats" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "inf_radius.tsv":
            warnings.simplefilter("ignore", InfiniteRadiusWarning)
        found = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001)

    true, _ = cohen_radii(votes, 100_000, 0.5, 0.001)
    assert (found["radius"] <= true).all()
    lost = (table["predict"] != -1) & (found["predict"] == -1)
    assert (table["radius"][lost] == 0).all()
    assert (found["status"][lost] == PRINTED_AS_ZERO).all()
    assert (found["status"] != IMPOSSIBLE_RADIUS).all()


@pytest.mark.parametrize("stated", [0.001, 0.01, 0.0001])
def test_two_sided_limits_are_named(stated):
    """Radii of `proportion_confint(votes, n, alpha, method="beta")`: half of alpha a side."""
    votes = np.array([99_000, 99_900, 99_990, 99_999, 100_000, 100_000, 80_000, 60_000])
    radius = 0.5 * norm.ppf(beta.ppf(stated / 2, votes, 100_000 - votes + 1))
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": [f"{r:.4f}" for r in radius]})
    options = {"n": 100_000, "sigma": 0.5}

    with pytest.raises(InconsistentRadiiError, match="two-sided Clopper–Pearson limits at") as why:
        recertify_radii(table, **options, stated_alpha=stated)
    right = why.value.misfit.explanation
    assert right.alpha == stated / 2
    found = recertify_radii(table, **options, stated_alpha=right.alpha)
    assert (found["votes"] <= votes).all()


@pytest.mark.parametrize(
    ("right", "stated"),
    [
        ({"n": 10_000, "sigma": 0.5}, {"n": 100_000, "sigma": 0.5}),
        ({"n": 100_000, "sigma": 0.5}, {"n": 10_000, "sigma": 0.5}),
        ({"n": 100_000, "sigma": 1.0}, {"n": 100_000, "sigma": 0.5}),
        ({"n": 1000, "sigma": 0.25}, {"n": 1000, "sigma": 0.12}),
    ],
)
def test_other_votes_and_noise_are_named_where_radii_tell_them(right, stated):
    n = right["n"]
    votes = np.unique(n - np.geomspace(1, n / 3, 60).astype(int) + 1)
    radius = right["sigma"] * norm.ppf(beta.ppf(0.001, votes, n - votes + 1))
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": radius})

    with pytest.raises(InconsistentRadiiError, match="n or sigma may be wrong") as why:
        recertify_radii(table, **stated, stated_alpha=0.001)
    named = why.value.misfit.explanation
    assert {"n": named.n, "sigma": named.sigma} == right
    recertify_radii(table, **right, stated_alpha=named.alpha)


def test_a_row_that_was_edited_does_not_accuse_the_level():
    votes = np.arange(60_000, 100_001, 400)
    radius = 0.5 * norm.ppf(beta.ppf(0.001, votes, 100_000 - votes + 1))
    radius[3] = 7.25
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": radius})
    options = {"n": 100_000, "sigma": 0.5, "stated_alpha": 0.001}

    with pytest.raises(InconsistentRadiiError, match=r"1 of 101 .*radius 7\.25 is above") as why:
        recertify_radii(table, **options)
    assert why.value.misfit.explanation is None
    with pytest.warns(InconsistentRadiiWarning, match=r"do not fit \(1\) become abstentions"):
        found = recertify_radii(table, **options, force=True)
    assert (found["predict"] == -1).tolist() == [i == 3 for i in range(101)]


def test_infinite_radii_have_at_least_the_votes_of_the_largest_finite_one():
    votes = np.array([100_000, 99_998, 99_000, 60_000])
    true, _ = cohen_radii(votes, 100_000, 0.5, 0.001)
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": [np.inf, np.inf, *true[2:]]})
    options = {"n": 100_000, "sigma": 0.5, "stated_alpha": 0.001}

    with pytest.warns(InfiniteRadiusWarning, match="2 radii are infinite"):
        found = recertify_radii(table, **options)
    assert found["votes"].tolist() == [99_000, 99_000, 99_000, 60_000]
    with pytest.warns(InfiniteRadiusWarning, match="as few votes as certify anything"):
        alone = recertify_radii(table.iloc[:2], **options)
    assert (alone["predict"] == 1).all()
    assert (alone["radius"] > 0).all()
    assert (alone["radius"] < 1e-4).all()


def test_a_radius_printed_as_zero_becomes_an_abstention_and_refuses_nothing():
    table = pd.DataFrame({"label": 1, "predict": 1, "radius": ["0.0000", "0.4860"]})

    found = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001)
    assert found["predict"].tolist() == [-1, 1]
    assert found["status"].tolist() == [PRINTED_AS_ZERO, "certified"]


def test_an_index_that_occurs_twice_is_refused():
    counted = table_of(alpha=0.001, bound="cohen").assign(idx=[0, 20, 40, 20, 60])
    with pytest.raises(ValueError, match="idx=20 occurs twice"):
        recertify(counted)
    radii = pd.DataFrame({"idx": [3, 3], "label": 1, "predict": 1, "radius": [0.5, 0.6]})
    with pytest.raises(ValueError, match="idx=3 occurs twice"):
        recertify_radii(radii, n=1000, sigma=0.5, stated_alpha=0.001)


@pytest.mark.parametrize(("old", "new"), [(0.01, 0.009), (0.009, 0.01)])
def test_two_levels_that_are_not_nested(old, new):
    rows = [
        table_row(i, 0, certify_counts(k, y=0, sigma=1.0, alpha=old))
        for i, k in enumerate([[45, 2, 2, 1], [38, 5, 4, 3]])
    ]
    with pytest.warns(NotNestedWarning, match="1 rows have the larger radius at the smaller alpha"):
        found = recertify(pd.DataFrame(rows), alpha=new)
    assert (found["radius"][0] > rows[0]["radius"]) == (new < old)
    nested = recertify(pd.DataFrame(rows), alpha=old, ordering="nested")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = recertify(nested, alpha=new, ordering="nested")
    change = (again["radius"] - nested["radius"]).to_numpy()
    assert (change * (new - old) >= 0).all()
    assert abs(change[1]) > 1e-4  # the other row moves with alpha, as rows do
