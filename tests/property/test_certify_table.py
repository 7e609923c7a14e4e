"""Rows certified together say what each says alone, whatever the votes and levels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify import certify_counts, certify_table
from rsverify.certificates.margins import BOUNDS
from rsverify.tables.recertify import recertify

ROWS = st.integers(2, 5).flatmap(
    lambda m: st.lists(
        st.lists(st.integers(0, 60), min_size=m, max_size=m).filter(any), min_size=1, max_size=6
    )
)


@settings(max_examples=60)
@given(
    counts=ROWS,
    bound=st.sampled_from(BOUNDS),
    radius=st.sampled_from(["R1", "R2"]),
    data=st.data(),
)
def test_a_table_is_its_rows(counts, bound, radius, data):
    rows, classes = len(counts), len(counts[0])
    y = data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    levels = st.sampled_from([0.2, 0.05, 0.001, 1e-9])
    alpha = data.draw(st.lists(levels, min_size=rows, max_size=rows))
    options = {"sigma": 0.5, "bound": bound, "radius": radius}
    table = certify_table(counts, y=y, alpha=alpha, **options)
    for i in range(rows):
        each = certify_counts(counts[i], y=y[i], alpha=alpha[i], **options)
        found = table.iloc[i]
        assert (found["predict"], found["radius"]) == (each.prediction, each.radius)
        assert (found["margin"], found["status"]) == (each.margin, str(each.status))
    again = recertify(table)
    np.testing.assert_array_equal(again["radius"], table["radius"])


@settings(max_examples=40)
@given(counts=ROWS, bound=st.sampled_from(BOUNDS))
def test_the_winner_of_the_same_votes_is_certified_less(counts, bound):
    """Exactly as at its share of alpha; so never more than the same class fixed beforehand."""
    options = {"sigma": 0.5, "bound": bound}
    winner = certify_table(counts, winner=True, alpha=0.05, **options)
    if bound != "exact":  # whose limits at another alpha are not always nested
        fixed = certify_table(counts, y=winner["y"].to_numpy(), alpha=0.05, **options)
        assert (winner["radius"] <= fixed["radius"]).all()
    share = np.nextafter(0.05 / len(counts[0]), 0)
    at_share = certify_table(counts, y=winner["y"].to_numpy(), alpha=share, **options)
    np.testing.assert_array_equal(winner["radius"], at_share["radius"])
