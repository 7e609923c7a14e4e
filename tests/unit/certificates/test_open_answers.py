"""Votes for answers that nobody listed beforehand: what is decided is what all would decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rsverify import decide_margin

ALPHA = 0.05
LOOKS = np.arange(10, 310, 10)


def answers(shares: Any, rng: np.random.Generator, n: int) -> Any:
    return rng.choice(len(shares), size=n, p=shares)


def open_columns(drawn: Any, known: int) -> list[int]:
    """Return answers 0 to known − 1, and then every other one as it first occurs."""
    return list(dict.fromkeys([*range(known), *map(int, drawn)]))


def verdict_of(counts: Any, weights: Any, threshold: float, **more: Any) -> int:
    found = decide_margin(
        [counts], 0, threshold, ALPHA, estimand="difference", weights=weights, **more
    )
    return int(found.verdict)


def shares_of(kind: str) -> Any:
    rest = 200
    if kind == "many rare":
        return np.r_[0.5, 0.1, np.full(rest, 0.4 / rest)]
    if kind == "an unforeseen runner-up":
        return np.r_[0.4, 0.1, np.full(rest - 1, 0.2 / (rest - 1)), 0.3]
    return np.r_[0.35, 0.35, np.full(rest, 0.3 / rest)]


@pytest.mark.parametrize("kind", ["many rare", "an unforeseen runner-up", "a tie"])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_answers_seen_say_what_all_would(kind: str, threshold: float) -> None:
    shares, rng, known = shares_of(kind), np.random.default_rng(5), 3
    for _ in range(5):
        drawn = answers(shares, rng, int(LOOKS[-1]))
        for look in LOOKS:
            votes = np.bincount(drawn[:look], minlength=len(shares))
            columns = open_columns(drawn[:look], known)
            weights = np.zeros(len(shares))
            weights[1:known] = 1.0  # fixed beforehand; answer 2 hardly ever comes
            seen = verdict_of([*votes[columns], 0], [*weights[columns], 0.0], threshold)
            assert seen == verdict_of(votes, weights, threshold)


@pytest.mark.parametrize("kind", ["an unforeseen runner-up", "a tie"])
def test_an_open_number_of_answers_is_wrong_no_more_often_than_alpha(kind: str) -> None:
    shares, rng, known = shares_of(kind), np.random.default_rng(6), 3
    margin = float(shares[0] - shares[1:].max())
    wrong = {1: 0, -1: 0}
    runs = 150
    for _ in range(runs):
        drawn = answers(shares, rng, int(LOOKS[-1]))
        done = set()
        for look in LOOKS:
            votes = np.bincount(drawn[:look], minlength=len(shares))
            columns = open_columns(drawn[:look], known)
            weights = [0.0] + [1.0] * (known - 1) + [0.0] * (len(columns) - known)
            # Above the margin "at least" is wrong, and at it "below" is.
            if verdict_of(votes[columns], weights, margin + 0.001) == 1:
                done.add(1)
            if verdict_of(votes[columns], weights, margin) == -1:
                done.add(-1)
        for side in done:
            wrong[side] += 1
    # 99.9 % of binomial numbers at alpha are no larger.
    assert max(wrong.values()) <= 17


def test_refusals_are_no_runner_up_and_still_count() -> None:
    votes = [120, 150, 0, 20, 10]  # the answer, refusals, what never comes, and others
    weights = [0.0, 0.0, 1.0, 1.0, 0.0]
    assert verdict_of(votes, weights, 0.1, ignore=[1]) == 1
    assert verdict_of(votes, [0.0, 1.0, 1.0, 1.0, 0.0], 0.1) != 1
    # They are votes all the same: without them the margin would be another one.
    assert verdict_of(votes, weights, 0.6, ignore=[1]) == -1
    assert verdict_of([120, 0, 0, 20, 10], weights, 0.6) != -1
