"""What a table says of a data set: levels, limits of p_y, and runs that stopped over inputs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from rsverify import analyze, certify_table, population_share_interval
from rsverify.bounds.proportion import clopper_pearson_lower
from rsverify.tables.comparison import compare
from rsverify.tables.formatting import explanation, to_frame, to_json
from rsverify.tables.input_limits import StoppedInputs, limits_of
from rsverify.tables.level_claims import level_claims
from rsverify.tables.vote_limits import share_of_easiest, vote_limits


def voted(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    votes = [rng.multinomial(500, p) for p in rng.dirichlet([5, 1, 1], rows)]
    return certify_table(votes, y=0, sigma=0.25, alpha=0.001, label=[0] * (rows - 2) + [1, 2])


@pytest.mark.parametrize("levels", [[0.001] * 500, [0.2, 0.01, 0.5], [0.05]])
def test_what_levels_buy_together(levels: Any) -> None:
    found = level_claims(np.array(levels), 0.05)
    wrong = np.random.default_rng(0).random((20_000, len(levels))) < levels
    assert found.expected_wrong == pytest.approx(wrong.sum(axis=1).mean(), abs=0.03)
    assert found.all_hold == pytest.approx((~wrong.any(axis=1)).mean(), abs=0.02)
    assert (1 - found.level_for_all) ** len(levels) == pytest.approx(0.95)
    assert (1 - found.level_for_all) ** len(levels) >= 0.95
    assert found.expected_wrong >= sum(levels)


def test_levels_of_an_analysis() -> None:
    found = analyze(voted())
    assert found.claims is not None
    assert found.claims.expected_wrong == pytest.approx(0.04)
    assert found.claims.all_hold == pytest.approx(0.999**40)
    frame = to_frame([found])
    assert frame.loc["all certificates hold"].iloc[0] == "with probability 0.960"
    assert frame.loc["alpha for all to hold"].iloc[0] == "0.0012"
    assert found.claims.level_for_all >= 0.0012
    assert json.loads(to_json([found]))["tables"][0]["claims"]["certificates"] == 40


def test_limits_of_p_y_are_those_of_the_votes() -> None:
    table = voted()
    found = vote_limits(table)
    assert found is not None
    limits = clopper_pearson_lower(table["count_0"], 500, 0.001)
    limits[-2:] = 0.0  # wrong
    ordered = np.sort(limits)
    for share, q in zip(found.shares, found.quantiles, strict=True):
        assert q == ordered[int(np.floor(share * 39))]
    assert "rewards a few easy inputs" in explanation([analyze(table)])


def test_limits_of_p_y_need_a_fixed_number_of_votes() -> None:
    table = voted()
    assert vote_limits(table.assign(bound="anytime")) is None
    assert vote_limits(table.assign(bound="betting")) is None
    assert vote_limits(table.drop(columns="y")) is None
    frame = to_frame([analyze(table.assign(bound="anytime"))])
    assert not any("p_y" in label for label in frame.index)


def test_who_carries_the_average() -> None:
    assert share_of_easiest(np.array([1.0] * 10)) == 0.1
    assert share_of_easiest(np.array([0.0] * 9 + [3.0])) == 1.0
    assert share_of_easiest(np.zeros(5)) is None


def of_random_order(count: int, population: int, right: Any) -> pd.DataFrame:
    table = voted(count)
    table = table.assign(label=0, predict=np.where(right, 0, 1), correct=right, radius=0.3)
    return table.assign(idx=range(count), position=range(1, count + 1), population=population)


def test_a_run_that_stopped_has_limits_that_allow_for_it() -> None:
    right = (np.arange(30) % 3 > 0).astype(int)
    table = of_random_order(30, 200, right)
    found = analyze(table, radii=[0.25, 0.5])
    fixed = analyze(table.drop(columns=["position", "population"]), radii=[0.25, 0.5])
    assert found.sampled is not None
    assert (found.sampled.inputs, found.sampled.population) == (30, 200)
    lower, upper = population_share_interval(20, 30, 200, 0.05)
    assert found.sampled.certified[0] == (lower, upper)
    for ours, theirs in zip(found.certified, fixed.certified, strict=True):
        assert ours.value == theirs.value
        assert ours.lower <= theirs.lower  # type: ignore[operator]
        assert ours.upper >= theirs.upper  # type: ignore[operator]
        assert ours.robust <= theirs.robust  # type: ignore[operator]
    assert found.average_radius.lower < fixed.average_radius.lower  # type: ignore[operator]
    assert found.average_radius.upper > fixed.average_radius.upper  # type: ignore[operator]
    assert found.wrong_certificates >= fixed.wrong_certificates  # type: ignore[operator]
    assert "of all inputs, certified at 0.25" in to_frame([found]).index
    assert "stopped over inputs" in explanation([found])
    assert compare(found, fixed).difference.lower is None
    shuffled = table.sample(frac=1.0, random_state=1)
    assert analyze(shuffled, radii=[0.25, 0.5]) == found
    found.plot()


def test_rows_that_are_left_out_of_a_random_order_are_refused() -> None:
    table = of_random_order(30, 200, np.ones(30, dtype=int))
    with pytest.raises(ValueError, match="position must count the rows from 1 without a gap"):
        limits_of(table[table["position"] != 4])


def test_time_uniform_limits_cover_at_the_worst_time_to_stop() -> None:
    """Of 300 runs that stop as soon as the fixed limit is above the truth, few are wrong."""
    rng, truth, alpha = np.random.default_rng(2), 0.5, 0.1
    wrong = fixed_wrong = 0
    for _ in range(300):
        hit = rng.random(150) < truth
        lower = clopper_pearson_lower(np.cumsum(hit), np.arange(1, 151), alpha)
        above = np.flatnonzero(np.asarray(lower) > truth)
        stop = int(above[0]) + 1 if above.size else 150
        limits = StoppedInputs(np.arange(stop))
        wrong += limits.share_lower(hit[:stop], alpha) > truth
        fixed_wrong += bool(above.size)
    assert wrong <= binom.ppf(0.999, 300, alpha)
    assert fixed_wrong > binom.ppf(0.999, 300, alpha)  # the rule does harm
