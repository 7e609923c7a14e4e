"""Arguments that are refused, in one wording a kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def test_several_numbers_for_one_are_refused_in_one_wording() -> None:
    from rsverify import decide_margin, margin_sequence, score_margin_lower
    from rsverify.bounds.interval import interval_of
    from rsverify.bounds.mean import hoeffding_lower
    from rsverify.bounds.proportion import clopper_pearson_interval
    from rsverify.certificates.radius import round_down_digits
    from rsverify.certificates.simplex import scores_lipschitz

    scores, votes = np.full((4, 2), 0.5), np.array([[3, 1], [6, 2]])
    two, two_sizes = np.array([0.25, 0.5]), np.array([1, 2])
    question: dict[str, Any] = {"estimand": "probit"}
    calls = {
        "split": [
            lambda: interval_of(hoeffding_lower, [0.5] * 9, 0.05, split=two),
            lambda: clopper_pearson_interval(3, 9, 0.05, split=two),
            lambda: margin_sequence(votes, 0, 0.05, split=two, **question),
        ],
        "futility": [lambda: decide_margin(votes, 0, 0.5, 0.05, futility=two, **question)],
        "box": [lambda: score_margin_lower(scores, 0, 0.05, box=two, **question)],
        "radius": [lambda: round_down_digits(two, 3)],
        "temperature": [lambda: scores_lipschitz("softmax", 1.0, temperature=two)],
        "model_lipschitz": [lambda: scores_lipschitz("softmax", two)],
        "rivals": [lambda: score_margin_lower(scores, 0, 0.05, rivals=two_sizes, **question)],
        "digits": [lambda: round_down_digits(0.5, two_sizes)],
    }
    for name, ways in calls.items():
        for call in ways:
            with pytest.raises(
                ValueError, match=rf"^{name} of shape \(2,\) must be a single number$"
            ):
                call()
