"""Whether a caller's scenario can be drawn from, and has the truth that it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from rsverify._core.check import FloatArray, shown
from rsverify._core.said import told_of
from rsverify.auditing.draws import real_sample
from rsverify.auditing.estimand import (
    Estimand,
    Parameters,
    draw_sample,
    draw_scores,
    draw_vote_paths,
    draw_votes,
    draw_with_variance,
)

SUM_ERROR = 1e-9  # of probabilities, by which their sum may be off
ROWS = 2  # drawn, to see whether it can be done


def check_drawn(estimand: Estimand, name: str, parameters: Parameters, n: int) -> None:
    """Raise where data with these parameters cannot be drawn, or have another truth."""
    what = f"scenarios[{name!r}]={shown(dict(parameters))}"
    if estimand.draw in _LAWS and "law" in parameters:
        check_law(what, parameters["law"], _LAWS[estimand.draw], binary=_binary(estimand))
    if estimand.draw in (draw_votes, draw_vote_paths) and "p" in parameters:
        _shares(what, parameters["p"])
    try:
        float(estimand.truth(**parameters))
        estimand.draw(np.random.default_rng(0), ROWS, n, **parameters)
    except Exception as error:  # of a draw that may be the caller's own
        raise ValueError(
            f"{what} must be parameters of the distributions of {estimand.name!r}: {told_of(error)}"
        ) from None


def _binary(estimand: Estimand) -> bool:
    return estimand.name == "binary-mean"


def check_law(what: str, law: object, kind: str, *, binary: bool = False) -> None:
    """Raise where a distribution of samples is none of its kind."""
    if not isinstance(law, Sequence) or not law or not isinstance(law[0], str):
        raise ValueError(f"{what} must have a law such as {_EXAMPLES[kind]}")
    rest = list(law[1:])
    if law[0] == "points":
        if len(rest) != 2 or len(rest[0]) != len(rest[1]) or not len(rest[0]):
            raise ValueError(f"{what} must have as many values as probabilities")
        _shares(what, rest[1])
        _check_values(what, _numbers(what, rest[0]), kind, binary=binary)
    elif kind == "real":
        _check_continuous(what, law)
    elif law[0] == ("dirichlet" if kind == "scores" else "beta") and not binary:
        sizes = _numbers(what, rest[0] if kind == "scores" and rest else rest)
        if sizes.ndim != 1 or len(sizes) < 2 or not (sizes > 0.0).all():
            raise ValueError(f"{what} must have positive parameters, as in {_EXAMPLES[kind]}")
    else:
        raise ValueError(f"{what} must have a law such as {_EXAMPLES[kind]}")


def _numbers(what: str, values: object) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must have numbers as values") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must have finite numbers as values")
    return array


def _shares(what: str, probabilities: object) -> None:
    """Raise where probabilities are none, or do not sum to 1: what is drawn is not what is said."""
    array = _numbers(what, probabilities)
    if array.ndim != 1 or not ((array >= 0.0) & (array <= 1.0)).all():
        raise ValueError(f"{what} must have probabilities in [0, 1]")
    if abs(array.sum() - 1.0) > SUM_ERROR:
        raise ValueError(f"{what} must have probabilities that sum to 1, not {array.sum():.10g}")


def _check_values(what: str, values: FloatArray, kind: str, *, binary: bool) -> None:
    if kind == "scores":
        if values.ndim != 2 or (values < 0.0).any() or _off(values.sum(axis=1)):
            raise ValueError(f"{what} must have rows of scores that are 0 or more and sum to 1")
    elif values.ndim != 1:
        raise ValueError(f"{what} must have numbers as values")
    elif binary and not np.isin(values, (0.0, 1.0)).all():
        raise ValueError(f"{what} must have the values 0 and 1")
    elif kind == "unit" and ((values < 0.0) | (values > 1.0)).any():
        raise ValueError(f"{what} must have values in [0, 1], where its data are")


def _off(sums: FloatArray) -> bool:
    return bool((np.abs(sums - 1.0) > SUM_ERROR).any())


def _check_continuous(what: str, law: Sequence[Any]) -> None:
    """Raise where there is no such continuous distribution of scipy, or not with its numbers."""
    from scipy import stats  # a third of a second, and seldom needed

    if not isinstance(getattr(stats, law[0], None), stats.rv_continuous):
        raise ValueError(f"{what} must name a continuous distribution of scipy.stats")
    try:
        middle = float(getattr(stats, law[0])(*law[1:]).ppf(0.5))
    except TypeError as error:
        raise ValueError(f"{what} must have the parameters of scipy's: {told_of(error)}") from None
    if not np.isfinite(middle):
        raise ValueError(f"{what} must have parameters that scipy.stats.{law[0]} takes")


_EXAMPLES: Mapping[str, str] = {
    "unit": "('beta', 2.0, 3.0) or ('points', (0.0, 1.0), (0.9, 0.1))",
    "real": "('norm', 0.0, 1.0) or ('points', (0.0, 7.0), (0.9, 0.1))",
    "scores": "('dirichlet', (5.0, 2.0, 1.0)) or ('points', rows of scores, probabilities)",
}
_LAWS: Mapping[Callable[..., object], str] = cast(
    Mapping[Callable[..., object], str],
    {
        draw_sample: "unit",
        draw_with_variance: "unit",
        draw_scores: "scores",
        real_sample: "real",
    },
)
