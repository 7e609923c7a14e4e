import numpy as np
import pandas as pd
import pytest

from rsverify import certify_table, recertify, recertify_radii
from rsverify.certificates.margins import BOUNDS
from rsverify.tables.abstentions import NO_MAJORITY, abstentions
from rsverify.tables.reader import read_table
from rsverify.tables.writer import write_table

COUNTS = [[900, 60, 40], [520, 480, 0], [40, 30, 30], [30, 70, 0], [3, 0, 0], [9, 1, 0]]


def found(table):
    return {a.reason: a for a in abstentions(table)}


def test_each_reason_is_counted_and_all_together_are_all(tmp_path):
    table = certify_table(COUNTS, sigma=1, alpha=0.001, y=0, bound="cohen")
    reasons = found(table)
    assert {name: a.rows for name, a in reasons.items()} == {
        "margin not positive": 2,
        NO_MAJORITY: 1,
        "runner-up ahead": 1,
        "too few samples for alpha": 1,
    }
    write_table(table, tmp_path / "table.tsv", configuration={})
    assert abstentions(read_table(tmp_path / "table.tsv")) == abstentions(table)
    assert reasons["too few samples for alpha"].n_for_half == 10
    assert reasons["runner-up ahead"].n_for_half is None
    # Cohen's bound never certifies without a majority; another bound does.
    assert reasons[NO_MAJORITY].n_for_half is None
    assert found(recertify(table, bound="exact"))["margin not positive"].n_for_most is not None


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("n", "shares"), [(50, (0.52, 0.48, 0)), (40, (0.55, 0.3, 0.15)), (20, (0.7, 0.2, 0.1))]
)
def test_that_many_votes_do_at_the_same_shares(bound, n, shares):
    few = certify_table([np.round(np.array(shares) * n)], sigma=1, alpha=0.001, y=0, bound=bound)
    (why,) = abstentions(few)
    seen = few[["count_0", "count_1", "count_2"]].to_numpy()[0] / n
    for factor, certified in ((1, True), (0.5, False)):
        counts = seen * why.n_for_half * factor
        counts = np.append(np.floor(counts[0]), np.ceil(counts[1:]))
        counts[2] += round(why.n_for_half * factor) - counts.sum()
        again = certify_table([counts], sigma=1, alpha=0.001, y=0, bound=bound)
        assert (again["predict"][0] == 0) == certified, (why, factor)


def test_half_and_most_of_them():
    counts = [[500 + k, 500 - k] for k in range(1, 11)]
    table = certify_table(counts, sigma=1, alpha=1e-9, y=0, bound="bonferroni")
    (why,) = abstentions(table)
    each = sorted(a.n_for_half for row in range(10) for a in abstentions(table.iloc[[row]]))
    assert (why.rows, why.n_for_half, why.n_for_most) == (10, each[4], each[8])


def test_tables_without_votes_or_reasons():
    radii = pd.DataFrame(
        {"idx": range(3), "label": 1, "predict": [1, -1, -1], "radius": ["0.5", "0.0", "0.0"]}
    )
    assert [(a.reason, a.rows, a.n_for_half) for a in abstentions(radii)] == [("not said", 2, None)]
    again = recertify_radii(radii, n=1000, sigma=0.5, stated_alpha=0.001)
    assert [a.rows for a in abstentions(again)] == [2]
    assert abstentions(radii[radii["predict"] == 1]) == ()
    table = certify_table(COUNTS, sigma=1, alpha=0.001, y=0, bound="cohen")
    mixed = pd.concat([table, table.assign(idx=table["idx"] + 10, bound="betting")])
    by_reason = found(mixed)
    assert by_reason["runner-up ahead"].rows == 2
    # Of scores it is not known that they lack a majority.
    assert by_reason["margin not positive"].rows == 5
