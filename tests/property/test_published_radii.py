"""Radii recomputed from printed ones, against the votes that they were printed from."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.printed_tables import FORMATS, printed_table, tool_radii

from rsverify.tables.published_radii import cohen_radius
from rsverify.tables.reader import read_table
from rsverify.tables.recertify_radii import InconsistentRadiiError, recertify_radii

LEVELS = (0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001)


def check_table(path, rng, *, how, rows, n, sigma, alpha, new, separator="\t", end="\n", mark=""):
    """Assert what must hold of every table, and return the share of the radii that is lost."""
    table = printed_table(rng, rows, n, sigma, alpha, how)
    path.write_bytes((mark + table.content(separator, end)).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = recertify_radii(read_table(path), n=n, sigma=sigma, stated_alpha=alpha, alpha=new)

    true = cohen_radius(table.votes, n, sigma, new)
    assert (found["votes"] <= table.votes).all()
    assert (found["radius"] <= true).all()
    if new >= alpha:
        lost = table.certified & (found["predict"] == -1) & ~table.printed_as_zero
        assert not lost.any()
    return 1 - found["radius"].sum() / max(true[table.certified].sum(), 1e-300)


@settings(max_examples=120)
@given(
    how=st.sampled_from(sorted(FORMATS)),
    n=st.sampled_from((100, 770, 1000, 10_000, 100_000, 1_000_000, 10_000_000)),
    rows=st.sampled_from((1, 2, 5, 40, 200)),
    alphas=st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)),
    sigma=st.sampled_from((0.12, 0.25, 0.5, 1.0, 0.0731, 3.7)),
    layout=st.sampled_from((("\t", "\n", ""), (",", "\r\n", "\ufeff"), (";", "\n", "\ufeff"))),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_radius_is_above_the_true_one_and_no_certificate_is_lost(
    tmp_path_factory, how, n, rows, alphas, sigma, layout, seed
):
    path = tmp_path_factory.getbasetemp() / "printed.tsv"
    (alpha, new), (separator, end, mark) = alphas, layout
    options = {"separator": separator, "end": end, "mark": mark}
    rng = np.random.default_rng(seed)
    check_table(path, rng, how=how, rows=rows, n=n, sigma=sigma, alpha=alpha, new=new, **options)


@pytest.mark.slow
@pytest.mark.parametrize("how", sorted(FORMATS))
def test_tables_of_each_format(tmp_path, how):
    rng = np.random.default_rng(sum(map(ord, how)))
    for _ in range(60):
        alpha = 10 ** rng.uniform(-6, -0.5)
        check_table(
            tmp_path / "printed.tsv",
            rng,
            how=how,
            rows=int(rng.choice((1, 3, 10, 40, 150, 500))),
            n=int(rng.choice((100, 1000, 10_000, 100_000)) * rng.choice((1, 0.5, 0.77))),
            sigma=float(rng.choice((0.12, 0.25, 0.5, rng.uniform(0.01, 5)))),
            alpha=alpha,
            new=float(rng.choice((alpha, min(0.9, 3 * alpha), 0.001, alpha / 2))),
        )


@pytest.mark.parametrize(
    ("how", "allowed"),
    [
        ("two decimals", 0.01),
        ("three decimals", 1e-3),
        ("four decimals", 1e-4),
        ("down to four decimals", 1e-4),
        ("three digits", 2e-3),
        ("four digits", 2e-4),
        ("six decimals", 1e-6),
        ("float32", 1e-7),
        ("float64", 1e-12),
    ],
)
def test_what_rounding_costs_is_about_the_last_digit(tmp_path, how, allowed):
    rng = np.random.default_rng(3)
    settings_ = {"n": 100_000, "sigma": 0.5, "alpha": 0.001, "new": 0.001, "rows": 400}
    lost = check_table(tmp_path / "printed.tsv", rng, how=how, **settings_)

    assert 0 <= lost < allowed


def brute_force(lattice, how):
    """Return the fewest votes that print as each text, to nearest or rounded down."""
    nearest, down = how
    first = {}
    for votes in range(len(lattice) - 1, -1, -1):
        if lattice[votes] <= 0:
            break
        for name in (nearest, down):
            first[FORMATS[name](lattice[votes])] = votes
    return first


@pytest.mark.parametrize("sigma", [0.12, 0.5, 1.0])
@pytest.mark.parametrize(
    "how",
    [
        ("two decimals", "down to two decimals"),
        ("three decimals", "down to three decimals"),
        ("four decimals", "down to four decimals"),
        ("six decimals", "down to six decimals"),
    ],
)
def test_votes_are_the_fewest_that_print_so_to_nearest_or_rounded_down(tmp_path, how, sigma):
    n, alpha = 5000, 0.001
    path = tmp_path / "printed.tsv"
    lattice = tool_radii(np.arange(n + 1), n, sigma, alpha)
    fewest = brute_force(lattice, how)
    for i, name in enumerate(how):
        table = printed_table(np.random.default_rng(i), 300, n, sigma, alpha, name)
        path.write_text(table.content())
        found = recertify_radii(read_table(path), n=n, sigma=sigma, stated_alpha=alpha)
        for votes, text in zip(found["votes"], table.texts, strict=True):
            if float(text) == 0 or votes == fewest[text]:
                continue
            # One fewer, where a float32 of its radius may have been rounded across the edge.
            assert votes == fewest[text] - 1
            single = lattice[votes] * (1 + 2.0**-23)
            assert any(FORMATS[name](single) == text for name in how)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_level_is_noticed_wherever_a_radius_tells_it(tmp_path, seed):
    """Told by all vote counts there are: some printed radius is none of theirs."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "printed.tsv"
    told = named = 0
    for _ in range(10):
        n, sigma = int(rng.choice((500, 2000, 10_000))), float(rng.choice((0.12, 0.25, 0.5)))
        true, stated = rng.choice(LEVELS, size=2, replace=False)
        how = ("four decimals", "down to four decimals")
        table = printed_table(rng, 120, n, sigma, true, str(rng.choice(how)))
        path.write_text(table.content())
        fewest = brute_force(tool_radii(np.arange(n + 1), n, sigma, stated), how)
        tells = any(float(t) > 0 and t not in fewest for t in table.texts)
        try:
            recertify_radii(read_table(path), n=n, sigma=sigma, stated_alpha=stated)
        except InconsistentRadiiError as error:
            assert tells
            told += 1
            right = error.misfit.explanation
            named += right is not None and right.alpha == pytest.approx(true) and right.n == n
        else:
            assert not tells
    assert told >= 8
    assert named >= 0.9 * told


TWICE = {
    "three decimals, shown with six": lambda r: f"{round(r, 3):.6f}",
    "two decimals, shown with four": lambda r: f"{round(r, 2):.4f}",
    "four decimals, shown with six digits": lambda r: f"{round(r, 4):.5e}",
    "three digits, shown with eight decimals": lambda r: f"{float(f'{r:.3g}'):.8f}",
    "float32 of three decimals, shown with eight": lambda r: f"{np.round(np.float32(r), 3):.8f}",
    "thousandths, multiplied": lambda r: repr(float(np.round(r / 0.001) * 0.001)),
    "thousandths below, multiplied": lambda r: repr(float(np.floor(r / 0.001) * 0.001)),
    "thousandths, multiplied, savetxt": lambda r: f"{np.round(r / 0.001) * 0.001:.18e}",
    "steps of five thousandths": lambda r: f"{round(r / 0.005) * 0.005:.6f}",
}


# Of few rows, or few different ones, the zeros may be chance.
SHARES = [(how, share) for how in TWICE for share in (1.0, 0.5)]
SHARES += [("three decimals, shown with six", 0.1), ("four decimals, shown with six digits", 0.2)]


@pytest.mark.parametrize(("how", "share"), SHARES)
def test_radii_that_were_rounded_before_they_were_printed(tmp_path, how, share):
    rng = np.random.default_rng(len(how))
    for n, sigma in ((100_000, 0.5), (10_000_000, 0.12)):
        votes = rng.integers(n * 0.52, n * 0.99, 300)
        true = cohen_radius(votes, n, sigma, 0.001)
        twice = rng.random(300) < share
        texts = [
            TWICE[how](r) if t else f"{r:.6f}" for r, t in zip(true.tolist(), twice, strict=True)
        ]
        table = pd.DataFrame({"idx": range(300), "label": 0, "predict": 0, "radius": texts})
        table = table.assign(correct=1, time="1.0")
        table.to_csv(tmp_path / "table.tsv", sep="\t", index=False)

        for printed in (table, read_table(tmp_path / "table.tsv")):
            found = recertify_radii(printed, n=n, sigma=sigma, stated_alpha=0.001)
            assert (found["votes"] <= votes).all()
            assert (found["votes"] > 0).all()
            assert (true - found["radius"]).max() < 0.12


@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_radii_that_are_rounded_after_a_table_was_read(tmp_path, decimals):
    rng = np.random.default_rng(decimals)
    votes = rng.integers(5_200_000, 9_900_000, 200)
    true = cohen_radius(votes, 10_000_000, 0.25, 0.001)
    for how in ("{:.6f}", "{:.9f}", "{!r}"):
        radii = [how.format(r) for r in true.tolist()]
        table = pd.DataFrame({"idx": range(200), "label": 0, "predict": 0, "radius": radii})
        table.assign(correct=1, time="1.0").to_csv(tmp_path / "t.tsv", sep="\t", index=False)
        read = read_table(tmp_path / "t.tsv")
        read["radius"] = read["radius"].round(decimals)

        found = recertify_radii(read, n=10_000_000, sigma=0.25, stated_alpha=0.001)
        assert (found["radius"] <= true).all()
        assert (true - found["radius"] < 1.3 * 10.0**-decimals).all()


def test_numbers_and_texts_without_a_file():
    rng = np.random.default_rng(8)
    settings_ = {"n": 100_000, "sigma": 0.25, "stated_alpha": 0.001}
    for how in ("three decimals", "three digits", "float32", "down to six decimals"):
        table = printed_table(rng, 200, 100_000, 0.25, 0.001, how)
        true = cohen_radius(table.votes, 100_000, 0.25, 0.001)
        frame = pd.DataFrame({"label": 1, "predict": np.where(table.certified, 1, -1)})
        for radius in (table.texts, [float(t) for t in table.texts]):
            found = recertify_radii(frame.assign(radius=radius), **settings_)
            assert (found["radius"] <= true).all()
            lost = table.certified & (found["predict"] == -1) & ~table.printed_as_zero
            assert not lost.any()
    exact = tool_radii(table.votes, 100_000, 0.25, 0.001)
    single = frame.assign(radius=exact.astype(np.float32))
    assert (recertify_radii(single, **settings_)["radius"] <= true).all()


def test_a_part_of_a_table_keeps_how_it_was_printed(tmp_path):
    """A radius of 1.2000 alone would be read as 1.2, of any of three digits more."""
    path = tmp_path / "printed.tsv"
    table = printed_table(np.random.default_rng(1), 200, 100_000, 0.5, 0.001, "four decimals")
    path.write_text(table.content())
    rows = read_table(path)
    options = {"n": 100_000, "sigma": 0.5, "stated_alpha": 0.001}
    whole = recertify_radii(rows, **options)
    for part in (rows.iloc[5:9], rows.sort_values("radius"), rows[rows["idx"] % 3 == 0]):
        found = recertify_radii(part, **options)
        assert found["votes"].tolist() == whole["votes"].loc[part.index].tolist()


@pytest.mark.parametrize("rows", [60, 300])
def test_short_texts_of_short_floats_are_read_as_all_that_they_stand_for(tmp_path, rows):
    """``str(numpy.float16(r))``: 0.5103 is all of 0.5100 to 0.5105."""
    rng = np.random.default_rng(rows)
    votes = rng.integers(60_000, 99_900, rows)
    true = cohen_radius(votes, 100_000, 0.5, 0.001)
    lines = [f"{i}\t0\t0\t{np.float16(r)!s}\t1\t1.0" for i, r in enumerate(true)]
    path = tmp_path / "float16.tsv"
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + "\n".join(lines) + "\n")

    found = recertify_radii(read_table(path), n=100_000, sigma=0.5, stated_alpha=0.001)

    assert (found["radius"] <= true).all()
    assert (found["predict"] == 0).all()
