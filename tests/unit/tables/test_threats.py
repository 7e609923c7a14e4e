"""Tables of other noise, norms, ignored classes and top-k: written, read, certified again."""

import numpy as np
import pandas as pd
import pytest

from rsverify import analyze, certify_counts, certify_table, read_table, recertify
from rsverify.noise import Ablation, Deletion, DiscreteGaussian, Gaussian, Laplace, Lp, Uniform
from rsverify.tables.comparison import NotComparableError, compare
from rsverify.tables.formatting import to_frame
from rsverify.tables.paper_table import paper_table
from rsverify.tables.plot import plot_certified_accuracy
from rsverify.tables.schema import table_row
from rsverify.tables.writer import write_table

RNG = np.random.default_rng(3)
VOTES = RNG.multinomial(1000, [0.6, 0.25, 0.1, 0.05], 12)
SELECTED = RNG.multinomial(100, [0.6, 0.25, 0.1, 0.05], 12)
THREATS = [
    {"noise": Uniform(0.5)},
    {"noise": Uniform(0.5), "norm": "linf", "dimension": 784},
    {"noise": Gaussian(0.5), "norm": Lp(4), "dimension": 784},
    {"noise": Gaussian([0.5, 1.0]), "norm": "mahalanobis"},
    {"noise": Laplace(0.5)},
    {"noise": Laplace(0.5), "norm": Lp(3), "dimension": 784},
    {"noise": Ablation(45, 784)},
    {"noise": Deletion(0.97)},
    {"noise": DiscreteGaussian(0.5, 1 / 255)},
    {"sigma": 0.5},
    {"sigma": 0.5, "norm": "l1"},
]
EXTRA = [{}, {"ignore": (1,)}, {"top_k": 2}, {"top_k": 2, "ignore": (2,)}]


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("extra", EXTRA, ids=str)
def test_a_table_is_what_its_rows_are(
    threat: dict[str, object], extra: dict[str, object], tmp_path: object
) -> None:
    options = {**threat, **extra, "alpha": 0.01, "bound": "bonferroni"}
    table = certify_table(VOTES, selection=SELECTED, label=0, **options)
    singles = [
        certify_counts(votes, selection=selected, **options)
        for votes, selected in zip(VOTES, SELECTED, strict=True)
    ]
    assert table["radius"].tolist() == [c.radius for c in singles]
    assert table["predict"].tolist() == [c.prediction for c in singles]
    alone = pd.DataFrame([table_row(i, 0, c) for i, c in enumerate(singles)])
    for name in ("noise", "norm", "dimension", "ignored", "top_k", "top_others", "noise_excess"):
        assert (name in table) == (name in alone), name
        if name in table:
            assert table[name].fillna(-1).tolist() == alone[name].fillna(-1).tolist(), name
    # Certified again, from memory and from a file: the same; at a stricter level never more.
    write_table(table, tmp_path / "table.tsv", configuration={})
    for kept in (table, alone, read_table(tmp_path / "table.tsv")):
        again = recertify(kept)
        np.testing.assert_allclose(again["radius"], table["radius"], rtol=0, atol=1e-12)
        assert (recertify(kept, alpha=0.001)["radius"] <= again["radius"]).all()
    found = analyze(read_table(tmp_path / "table.tsv"), radii=[0.0])
    assert found.certified[0].value == (table["correct"] == 1).mean()


def test_what_a_table_says_of_its_threat_is_checked() -> None:
    table = certify_table(VOTES, y=0, alpha=0.01, noise=Uniform(0.5), ignore=[3])
    for column, value, message in [
        ("noise", "uniform", "noise='uniform' must have"),
        ("norm", "l0", "norm='l0' must be one of"),
        ("ignored", "9", "ignored='9' must list classes"),
        ("ignored", "x", "ignored='x' must list classes"),
        ("ignored", "1,2,3", "has no runner-up"),
    ]:
        with pytest.raises(ValueError, match=message):
            recertify(table.assign(**{column: value}))
    mixed = table.copy()
    mixed.loc[0, "norm"] = "linf"
    with pytest.raises(ValueError, match="differ between the rows"):
        recertify(mixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": Uniform(0.5), "sigma": 0.5}, "exactly one"),
        ({}, "exactly one"),
        ({"noise": Uniform(0.5), "norm": "l0"}, "must be one of"),
        ({"sigma": 0.5, "ignore": [0]}, "must not be one of ignore"),
        ({"sigma": 0.5, "ignore": [1, 2, 3]}, "must leave a runner-up"),
        ({"sigma": 0.5, "top_k": 2}, "needs selection"),
        ({"sigma": [0.5] * 12, "norm": "l1"}, "sigma of shape"),
    ],
)
def test_parts_that_do_not_fit_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        certify_table(VOTES, y=0, alpha=0.01, **options)


@pytest.mark.parametrize(
    ("noise", "norm", "other", "dimension"),
    [
        (Gaussian(0.5), None, "linf", 784),
        (Gaussian(0.5), "linf", None, 784),
        (Gaussian(0.5), "linf", "l1", 784),
        (Uniform(0.5), None, "linf", 784),
        (Uniform(0.5), "linf", "l1", 784),
        (Uniform(0.5), None, Lp(1.5), 12),
        (Gaussian([0.5, 0.25]), "l2", "mahalanobis", None),
    ],
)
def test_a_table_is_certified_again_in_another_norm_of_its_noise(noise, norm, other, dimension):
    votes = VOTES[:, :3]
    given = dimension if norm == "linf" else None
    table = certify_table(votes, y=0, label=0, alpha=0.01, noise=noise, norm=norm, dimension=given)
    found = recertify(
        table, norm=noise.check_norm(other), dimension=None if norm == "linf" else dimension
    )
    expected = certify_table(
        votes,
        y=0,
        label=0,
        alpha=0.01,
        noise=noise,
        norm=other,
        dimension=dimension if noise.needs_dimension(noise.check_norm(other)) else None,
    )
    same = [c for c in found.columns if c in expected and c not in ("time", "sigma", "dimension")]
    pd.testing.assert_frame_equal(found[same], expected[same])
    assert (found["radius"] > 0).any()
    back = recertify(found, norm=noise.check_norm(norm), dimension=given)
    assert back["radius"].tolist() == table["radius"].tolist()


@pytest.mark.parametrize("change", [{"top_others": "1,2"}, {"top_others": ""}, {"top_k": 3}])
def test_as_many_classes_may_be_ahead_as_a_table_says(change):
    table = certify_table(VOTES[:3], selection=VOTES[3:6], top_k=2, alpha=0.01, sigma=0.5)
    assert len(recertify(table)) == 3
    with pytest.raises(ValueError, match="one fewer than top_k"):
        recertify(table.assign(**change))
    with pytest.raises(ValueError, match="one fewer than top_k"):
        recertify(table.drop(columns="top_k"))


@pytest.mark.parametrize(
    ("made", "asked", "message"),
    [
        ({"noise": Uniform(0.5)}, {"norm": "l0"}, "norm='l0' must be one of 'l1', 'l2', 'linf'"),
        ({"noise": Uniform(0.5)}, {"norm": "linf"}, "dimension=None must be given"),
        ({"sigma": 0.5}, {"norm": "edit"}, "Deletion has one"),
        ({"sigma": 0.5, "radius": "R1"}, {"norm": "linf", "dimension": 3}, "radius='R1' must be"),
        ({"sigma": [0.5, 0.25, 0.5]}, {"norm": "l1"}, "sigma differs between the rows"),
        (
            {"noise": Uniform(0.5), "norm": "linf", "dimension": 784},
            {"dimension": 12},
            "dimension=12 must be 784, which the table says",
        ),
        (
            {"sigma": 0.5, "norm": Lp(4), "dimension": 784},
            {"norm": "linf", "dimension": 3},
            "dimension=3 must be 784",
        ),
    ],
)
def test_another_norm_that_a_table_has_no_radius_in(made, asked, message):
    table = certify_table(VOTES[:3], y=0, alpha=0.01, **made)
    with pytest.raises(ValueError, match=message):
        recertify(table, **asked)


def in_two_norms() -> tuple[pd.DataFrame, pd.DataFrame]:
    table = certify_table(VOTES, y=0, label=0, alpha=0.01, sigma=0.5, bound="cohen")
    return table, recertify(table, norm="linf", dimension=12)


def test_figures_say_what_the_radii_are_about() -> None:
    plain, box = in_two_norms()
    options = {"label": 0, "alpha": 0.01, "bound": "cohen"}
    left_out = certify_table(VOTES, y=0, sigma=0.5, ignore=[2], **options)
    top = certify_table(VOTES, selection=VOTES[::-1].copy() + 1, top_k=2, sigma=0.5, **options)
    laplace = certify_table(VOTES, y=0, noise=Laplace(0.5), **options)
    many = certify_table(VOTES, y=0, noise=Gaussian([0.5] * 900), norm="linf", **options)
    tables = {"g": plain, "b": box, "i": left_out, "t": top, "l": laplace, "m": many}
    found = [analyze(table, name=name, radii=[0, 0.1]) for name, table in tables.items()]
    figures = to_frame(found)
    assert figures.loc["norm of the radii"].tolist() == ["—", "linf", "—", "—", "l1", "linf"]
    assert figures.loc["noise"].tolist()[:5] == ["—", "gaussian:0.5", "—", "—", "laplace:0.5"]
    assert len(figures.loc["noise", "m"]) < 40
    assert figures.loc["classes ignored"].tolist() == ["—", "—", "2", "—", "—", "—"]
    assert figures.loc["among so many most probable"].tolist() == ["—", "—", "—", "2", "—", "—"]
    assert "norm of the radii" not in to_frame(found[:1]).index
    printed = paper_table(found)
    assert set(printed["norm"]) == {"—", "linf", "l1"}
    assert "norm" not in paper_table(found[:1])


def test_radii_in_different_norms_are_not_taken_together() -> None:
    plain, box = in_two_norms()
    both = pd.concat([plain.iloc[:6], box.iloc[6:]], ignore_index=True)
    for table in (both, both.iloc[::-1]):
        with pytest.raises(ValueError, match="norm differs between the rows"):
            analyze(table)
    with pytest.raises(NotComparableError, match="radii of g are in l2 and those of b in linf"):
        compare(analyze(plain, name="g"), analyze(box, name="b"))
    assert compare(analyze(box, name="b"), analyze(box, name="c")).gains is not None


def test_another_claim_of_the_same_votes_is_no_other_bound() -> None:
    plain, _ = in_two_norms()
    options = {"y": 0, "label": 0, "alpha": 0.01, "sigma": 0.5, "bound": "cohen"}
    found = compare(analyze(plain), analyze(certify_table(VOTES, ignore=[2], **options)))
    assert found.gains is None
    assert "do not say the same of a class" in found.notes[0]


def test_figures_name_the_norm_of_their_axis() -> None:
    pytest.importorskip("matplotlib")
    plain, box = in_two_norms()
    for tables, label in (
        ({"g": plain}, "ℓ2 radius (input units)"),
        ({"b": box}, "radius in linf"),
        ({"g": plain, "b": box}, "radius in l2, linf"),
    ):
        assert plot_certified_accuracy(tables).axes[0].get_xlabel() == label
    assert analyze(box).plot().axes[0].get_xlabel() == "radius in linf"
