"""Arguments that are refused, in one wording a kind."""

from __future__ import annotations

import warnings
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
        "runners_up": [
            lambda: score_margin_lower(scores, 0, 0.05, runners_up=two_sizes, **question)
        ],
        "digits": [lambda: round_down_digits(0.5, two_sizes)],
    }
    for name, ways in calls.items():
        for call in ways:
            with pytest.raises(
                ValueError, match=rf"^{name} of shape \(2,\) must be a single number$"
            ):
                call()


@pytest.mark.parametrize(
    "value",
    [
        [np.ma.masked, 0.5],
        [np.ma.array([0.1, 0.2], mask=[False, True])],
        ([0.1, 0.2], np.ma.array([0.1, 0.2], mask=[True, False])),
        [[0.1, np.ma.masked], [0.2, 0.3]],
        [[[0.1], [np.ma.masked]]],
        (np.ma.array(3, mask=True), 0.5),
    ],
)
def test_masks_within_lists_are_not_lost(value: Any) -> None:
    from rsverify._core.check import check_real

    with pytest.raises(TypeError, match=r"level=.* a mask would be lost"):
        check_real("level", value)


@pytest.mark.parametrize("value", [[True, 0.5], [[0.1, 0.2], [False, 1]], ([np.True_, 2],)])
def test_truth_values_within_lists_are_not_counted(value: Any) -> None:
    from rsverify._core.check import check_real

    with pytest.raises(TypeError, match=r"level=.* a truth value is not a number"):
        check_real("level", value)


def test_numbers_are_taken_without_a_change_of_how_warnings_are_shown() -> None:
    """A change of filters is one of the process, seen by other threads and their registries."""
    from rsverify._core.check import check_real

    class Deprecated:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            warnings.warn("another way is better", DeprecationWarning, stacklevel=2)
            return np.array([0.1, 0.2])

    with pytest.warns(DeprecationWarning, match="another way"):
        assert check_real("level", Deprecated()).tolist() == [0.1, 0.2]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            warnings.warn("once here", UserWarning, stacklevel=1)
            check_real("level", [0.1, (0.2)])
            check_real("level", ([0.1], [0.2]))
    assert len(said) == 1
